//! Whether commits on the active server wait for a replica in vain.
//!
//! Measured by looks at its semi-synchronous replication: no replica is there, or the one that is counted acknowledges nothing
//! (a source counts a dead one until it next hears of it). Owns that measure. Refuses to know what follows from it.

use std::time::Duration;

use super::active::{AWAY, STANDS_STILL};
use crate::mysql::SemiSync;
use crate::vrrp::Instant;

#[derive(Clone, Debug, Default)]
pub(super) struct Commits {
    /// Looks in a row at which too few replicas were connected.
    alone: u32,
    /// What had been acknowledged at the look before, if commits waited then.
    before: Option<u64>,
    /// Commits have waited since then, and none was acknowledged.
    unanswered_since: Option<Instant>,
}

impl Commits {
    /// One look. True: a replica is waited for that is gone, or stuck. A peer's server that is away (`is_peer_away`) is given no
    /// more time.
    pub(super) fn note(&mut self, semi: &SemiSync, is_peer_away: bool, now: Instant) -> bool {
        self.alone = if semi.would_stall() { self.alone + 1 } else { 0 };
        let acknowledged = (semi.waiting > 0).then_some(semi.acknowledged);
        let before = std::mem::replace(&mut self.before, acknowledged);
        let waits = semi.is_source_enabled && semi.is_source_active;
        let is_unanswered = waits && before.is_some() && before == acknowledged;
        self.unanswered_since = is_unanswered.then(|| self.unanswered_since.unwrap_or(now));
        // Another replica than the peer's may only be slow.
        let is_hopeless = is_peer_away && semi.would_stall_without(1);
        let patience = if is_hopeless { Duration::ZERO } else { STANDS_STILL };
        self.alone >= AWAY || self.unanswered_since.is_some_and(|since| now.since(since) >= patience)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOOK: Duration = Duration::from_millis(250);

    fn semi(clients: u64, waiting: u64, acknowledged: u64) -> SemiSync {
        SemiSync { waiting, acknowledged, ..SemiSync::of_source(clients) }
    }

    /// At which look of these, one every 250 ms, it was in vain.
    fn in_vain(is_peer_away: bool, looks: impl IntoIterator<Item = SemiSync>) -> Option<usize> {
        let mut commits = Commits::default();
        let mut now = Instant::from_nanos(1);
        looks.into_iter().position(|semi| {
            now = now + LOOK;
            commits.note(&semi, is_peer_away, now)
        })
    }

    #[test]
    fn a_replica_that_is_not_there_is_waited_for_four_looks_whoever_commits() {
        assert_eq!(in_vain(false, vec![semi(0, 0, 7); 8]), Some(3));
        let reconnects = (0..40).map(|look| semi(u64::from(look % 4 == 3), 0, 7));
        assert_eq!(in_vain(false, reconnects), None);
    }

    #[test]
    fn one_that_is_counted_and_acknowledges_nothing_is_stuck_or_dead() {
        assert_eq!(in_vain(false, vec![semi(1, 5, 7); 20]), Some(9), "two seconds after the second look");
        assert_eq!(in_vain(true, vec![semi(1, 5, 7); 20]), Some(1), "and its server does not answer, either");
    }

    #[test]
    fn one_that_is_slow_is_waited_for() {
        let slow = || (0..40).map(|look| semi(1, 5, look / 4));
        assert_eq!(in_vain(false, slow()), None, "one commit in a second");
        let busy = || (0..40).map(|look| semi(1, 5, look * 100));
        assert_eq!(in_vain(true, busy()), None, "only its listener is shut");
        let idle = || (0..40).map(|look| semi(1, look % 2, 7));
        assert_eq!(in_vain(true, idle()), None, "nobody has waited since the look before");
        assert_eq!(in_vain(true, vec![semi(2, 5, 7); 20]), Some(9), "another one is there, and no better");
    }

    #[test]
    fn commits_that_wait_for_nobody_are_let_alone() {
        let off = |semi| SemiSync { is_source_active: false, ..semi };
        assert_eq!(in_vain(true, vec![off(semi(0, 0, 7)); 40]), None);
    }
}
