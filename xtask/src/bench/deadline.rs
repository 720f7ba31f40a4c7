//! When a run has to end, and which rounds were not begun because of it.
//!
//! Owns the bounds that the bench promises, with something in reserve for a last round that takes longer than the ones before.
//! Refuses to interrupt: a round that was begun is measured to its end, or until what it waits for has had its time.

use std::{collections::HashMap, time::Duration};

use vrrp_lab::{clock, interrupt};

/// How long a run may take: of all topics, and with `--quick`.
pub(super) const BOUND: Duration = Duration::from_secs(25 * 60);
pub(super) const QUICK_BOUND: Duration = Duration::from_secs(3 * 60);
/// Behind the last round: of a whole run for the profiles, of a quick one, which has none, for a round that takes longer
/// than it was thought to.
const PROFILES: Duration = Duration::from_secs(60);
const QUICK_RESERVE: Duration = Duration::from_secs(20);
/// Whatever is asked gets so long, however late it is: what is well answers by then.
const LEAST_PATIENCE: Duration = Duration::from_secs(10);
/// What a round, or a profile, is taken to need until a longer one of its kind was seen.
const USUAL: Duration = Duration::from_secs(15);

/// A moment, by the monotonic clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline {
    /// For rounds.
    rounds: u64,
    /// For all that there is.
    whole: u64,
}

impl Deadline {
    /// Of a run that begins now.
    pub(super) fn start(quick: bool) -> Self {
        let now = clock::now_ns();
        let (bound, reserve) = if quick { (QUICK_BOUND, QUICK_RESERVE) } else { (BOUND, PROFILES) };
        Self { rounds: now + clock::nanos(bound - reserve), whole: now + clock::nanos(bound) }
    }

    /// How long to wait for something that is given `usual` as a rule.
    pub(crate) fn patience(self, usual: Duration) -> Duration {
        self.patience_at(clock::now_ns(), usual)
    }

    fn patience_at(self, now: u64, usual: Duration) -> Duration {
        let left = Duration::from_nanos(self.whole.saturating_sub(now));
        usual.min(left.max(LEAST_PATIENCE))
    }

    /// Whether one more profile can be made.
    pub(super) fn has_time_for_profile(self) -> bool {
        interrupt::caught().is_none() && fits(clock::now_ns(), USUAL, self.whole)
    }

    #[cfg(test)]
    pub(super) const fn never() -> Self {
        Self { rounds: u64::MAX, whole: u64::MAX }
    }
}

fn fits(now: u64, needed: Duration, end: u64) -> bool {
    now.saturating_add(clock::nanos(needed)) <= end
}

/// The rounds of one topic, asked for one by one: a round that would not fit any more is not begun.
#[derive(Debug)]
pub(crate) struct Turns {
    deadline: Deadline,
    /// When the last one began, and what it measures.
    began: Option<(u64, String)>,
    /// By what they measured.
    longest: HashMap<String, Duration>,
    /// Rounds by what they would have measured.
    left_out: Vec<(String, usize)>,
}

impl Turns {
    pub(crate) fn new(deadline: Deadline) -> Self {
        Self { deadline, began: None, longest: HashMap::new(), left_out: Vec::new() }
    }

    /// Whether one more round of this can begin now; if not, it is noted.
    pub(crate) fn next(&mut self, what: &str) -> bool {
        self.next_at(clock::now_ns(), what) && interrupt::caught().is_none()
    }

    fn next_at(&mut self, now: u64, what: &str) -> bool {
        if let Some((began, before)) = self.began.take() {
            let took = Duration::from_nanos(now.saturating_sub(began));
            let longest = self.longest.entry(before).or_default();
            *longest = took.max(*longest);
        }
        let needed = self.longest.get(what).copied().unwrap_or_default().max(USUAL);
        if fits(now, needed, self.deadline.rounds) {
            self.began = Some((now, what.to_owned()));
            return true;
        }
        match self.left_out.iter_mut().find(|(known, _)| known == what) {
            Some((_, count)) => *count += 1,
            None => self.left_out.push((what.to_owned(), 1)),
        }
        false
    }

    /// What was left out, if anything was.
    pub(crate) fn remark(&self) -> Option<String> {
        let told = |(what, count): &(String, usize)| {
            format!("{what} ({count} round{})", if *count == 1 { "" } else { "s" })
        };
        let all: Vec<String> = self.left_out.iter().map(told).collect();
        (!all.is_empty()).then(|| format!("Left out for time: {}.", all.join("; ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = clock::SECOND;

    #[test]
    fn a_round_that_would_not_fit_is_left_out_and_told() {
        let mut turns = Turns::new(Deadline { rounds: 60 * SECOND, whole: 60 * SECOND });
        assert!(turns.next_at(0, "a"));
        assert_eq!(turns.remark(), None);
        // It took 20 s: so may the next one, and 45 s are too late for it, though not for a usual one.
        assert!(turns.next_at(20 * SECOND, "a"));
        assert!(!turns.next_at(40 * SECOND + 1, "a"));
        assert!(!turns.next_at(40 * SECOND + 1, "a"));
        assert!(!turns.next_at(45 * SECOND + 1, "b"));
        assert_eq!(turns.remark().unwrap(), "Left out for time: a (2 rounds); b (1 round).");
    }

    #[test]
    fn a_long_round_is_no_measure_of_another_kind() {
        let mut turns = Turns::new(Deadline { rounds: 90 * SECOND, whole: 90 * SECOND });
        assert!(turns.next_at(0, "long"));
        assert!(turns.next_at(55 * SECOND, "short"));
        assert!(turns.next_at(60 * SECOND, "short"));
        assert!(!turns.next_at(65 * SECOND, "long"));
        assert!(turns.next_at(75 * SECOND, "short"));
        assert_eq!(turns.remark().unwrap(), "Left out for time: long (1 round).");
    }

    #[test]
    fn the_first_round_wants_the_usual_time() {
        let deadline = Deadline { rounds: 60 * SECOND, whole: 90 * SECOND };
        assert!(Turns::new(deadline).next_at(60 * SECOND - clock::nanos(USUAL), "a"));
        assert!(!Turns::new(deadline).next_at(60 * SECOND - clock::nanos(USUAL) + 1, "a"));
    }

    #[test]
    fn a_quick_run_has_its_own_bound() {
        let length = |quick| {
            let now = clock::now_ns();
            Duration::from_nanos(Deadline::start(quick).rounds - now).as_secs_f64().round()
        };
        assert_eq!(
            (length(true), length(false)),
            (160.0, 24.0 * 60.0),
            "something is left behind the last round"
        );
    }

    #[test]
    fn nobody_is_waited_for_much_longer_than_the_run_may_take() {
        let deadline = Deadline { rounds: 60 * SECOND, whole: 90 * SECOND };
        let patience = |now| deadline.patience_at(now * SECOND, Duration::from_secs(60)).as_secs();
        assert_eq!([0, 30, 50, 85, 95].map(patience), [60, 60, 40, 10, 10]);
    }
}
