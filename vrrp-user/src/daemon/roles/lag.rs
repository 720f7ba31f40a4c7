//! How long a follower has lacked what its source had.
//!
//! Measured by positions as they were looked at, so no server's clock is in it, and a source that hangs hides nothing. Owns
//! that measure. Refuses to know what follows from it.

use std::time::Duration;

use crate::mysql::Position;
use crate::vrrp::Instant;

#[derive(Clone, Debug, Default)]
pub(super) struct Lag {
    /// What the source had when the follower was first seen to lack it, and when that was.
    awaited: Option<(Position, Instant)>,
    follower: Option<Position>,
    moved_at: Option<Instant>,
    /// How long the last thing that it lacked and was seen to get had been on its way.
    took: Option<Duration>,
}

impl Lag {
    /// One look at both.
    pub(super) fn note(&mut self, source: &Position, follower: &Position, now: Instant) {
        let lacks = |position: &Position| position.beyond(follower).is_some_and(|lacks| !lacks.is_empty());
        let has_awaited = self.awaited.as_ref().is_some_and(|(position, _)| !lacks(position));
        if !lacks(source) {
            self.took = Some(Duration::ZERO);
        } else if has_awaited {
            self.took = Some(self.age(now));
        }
        if self.awaited.as_ref().is_none_or(|(position, _)| !lacks(position)) {
            self.awaited = lacks(source).then(|| (source.clone(), now));
        }
        if self.follower.as_ref() != Some(follower) {
            (self.follower, self.moved_at) = (Some(follower.clone()), Some(now));
        }
    }

    /// Since when it lacks something that the source had then.
    pub(super) fn age(&self, now: Instant) -> Duration {
        self.awaited.as_ref().map_or(Duration::ZERO, |(_, since)| now.since(*since))
    }

    /// At some look it had what the source had had at another: it does follow.
    pub(super) const fn has_caught_up(&self) -> bool {
        self.took.is_some()
    }

    /// It gets what its source has within `limit`: it was seen to, and nothing has been on its way for longer.
    pub(super) fn is_within(&self, limit: Duration, now: Instant) -> bool {
        self.took.is_some_and(|took| took <= limit) && self.age(now) <= limit
    }

    /// For how long it has lacked something and taken in nothing.
    pub(super) fn still(&self, now: Instant) -> Duration {
        self.moved_at.map_or(Duration::ZERO, |moved| now.since(moved)).min(self.age(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::from_nanos(ms * 1_000_000)
    }

    fn position(last: u64) -> Position {
        Position::parse_mariadb(&format!("0-1-{last}")).unwrap()
    }

    #[test]
    fn a_follower_that_keeps_up_has_no_age_however_much_is_written() {
        let mut lag = Lag::default();
        for look in 0..40 {
            lag.note(&position(look * 100 + 105), &position(look * 100 + 100), at(look * 250));
            assert!(lag.age(at(look * 250)) <= Duration::from_millis(250), "{lag:?}");
        }
    }

    #[test]
    fn one_that_comes_back_far_behind_is_near_only_when_it_has_caught_up() {
        let mut lag = Lag::default();
        let mut look = |at_ms, source, follower| {
            lag.note(&position(source), &position(follower), at(at_ms));
            lag.is_within(Duration::from_secs(1), at(at_ms))
        };
        assert!(!look(0, 1_000, 100));
        for (number, follower) in (1..=8).map(|number| (number, 100 + number * 100)) {
            assert!(!look(number * 250, 1_000 + number * 10, follower), "{number}: it has a long way to go");
        }
        // What it lacked first took longer; what it lacked then is there at once.
        assert!(!look(2_500, 1_100, 1_000));
        assert!(look(2_750, 1_110, 1_100));
        assert!(look(3_000, 1_120, 1_110));
        // And stands still.
        assert!(look(3_250, 1_130, 1_110) && look(4_000, 1_160, 1_110) && !look(4_250, 1_170, 1_110));
        assert!(look(4_500, 1_170, 1_170));
    }

    #[test]
    fn one_that_stands_still_is_as_old_as_what_it_lacks_first() {
        let mut lag = Lag::default();
        lag.note(&position(100), &position(100), at(0));
        for look in 1..=8 {
            lag.note(&position(100 + look), &position(100), at(look * 250));
        }
        assert_eq!(lag.age(at(2_000)), Duration::from_millis(1_750));
        assert_eq!(lag.still(at(2_000)), Duration::from_millis(1_750));
        let mut afresh = Lag::default();
        afresh.note(&position(108), &position(100), at(2_000));
        assert!(!afresh.has_caught_up(), "it only lacks something");
        afresh.note(&position(109), &position(108), at(2_250));
        assert!(afresh.has_caught_up(), "it has what it lacked, and is late all the same");
        // It moves, and is as late as before.
        lag.note(&position(109), &position(100), at(2_250));
        lag.note(&position(109), &position(100), at(2_500));
        lag.note(&position(120), &position(101), at(2_750));
        assert_eq!(lag.still(at(2_750)), Duration::ZERO);
        lag.note(&position(120), &position(120), at(3_000));
        assert_eq!(lag.age(at(3_000)), Duration::ZERO);
    }
}
