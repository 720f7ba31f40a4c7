//! When a goal counts as reached, missed or unknown.
//!
//! Owns the rules: enough rounds of its own, and noise excuses a miss but never makes a success, and no miss
//! that the quiet rounds are enough for. Refuses to know the goals.

use super::{
    noise::Noise,
    report::Verdict,
    stats::{Samples, cell},
    tries::Tries,
};

/// Fewer rounds prove nothing.
pub(super) const ENOUGH: usize = 5;

/// The rounds that a verdict rests on.
#[derive(Clone, Debug)]
pub(super) struct Basis {
    /// Of whatever was tried least often.
    rounds: usize,
    failed: usize,
    noise: Noise,
    /// What else may have disturbed them.
    stall: Option<String>,
    /// Round by round, for whoever asks why.
    pub(super) values: Vec<(String, Samples)>,
}

impl Basis {
    pub(super) const fn new(rounds: usize, failed: usize, noise: Noise) -> Self {
        Self { rounds, failed, noise, stall: None, values: Vec::new() }
    }

    pub(super) fn of<T>(tries: &Tries<T>) -> Self {
        Self::new(tries.rounds(), tries.failed, tries.noise)
    }

    /// Rests on both.
    pub(super) fn and(mut self, other: Self) -> Self {
        self.rounds = self.rounds.min(other.rounds);
        self.failed += other.failed;
        self.noise = self.noise.max(other.noise);
        self.stall = self.stall.or(other.stall);
        self.values.extend(other.values);
        self
    }

    /// Compares with another contender's results. What that one failed at is no result to compare with; what it is forgiven
    /// is one that is as good for us as can be.
    pub(super) fn against<T>(mut self, other: &Tries<T>) -> Self {
        self.rounds = self.rounds.min(other.results());
        self.noise = self.noise.max(other.noise);
        self
    }

    /// Disturbed by something that the noise does not show.
    pub(super) fn disturbed(mut self, stall: Option<String>) -> Self {
        self.stall = stall;
        self
    }

    pub(super) fn with(mut self, name: &str, values: Samples) -> Self {
        self.values.push((name.to_owned(), values));
        self
    }
}

/// The verdict, and what more there is to say about it. `reached` is None where there was nothing to judge or to compare
/// with; a miss is certain if it is one without the disturbed rounds.
pub(super) fn judge(
    basis: &Basis,
    quick: bool,
    is_certain: bool,
    reached: Option<bool>,
) -> (Verdict, Vec<String>) {
    let mut more = Vec::new();
    if basis.failed > 0 {
        more.push(format!("{} failed round{}", basis.failed, if basis.failed == 1 { "" } else { "s" }));
    }
    let verdict = match reached {
        None => Verdict::Unknown,
        Some(_) if quick => Verdict::Unknown,
        Some(_) if basis.rounds < ENOUGH => {
            more.push(format!("{} of at least {ENOUGH} rounds", basis.rounds));
            Verdict::Unknown
        }
        Some(true) => Verdict::Reached,
        Some(false) => {
            let noise = basis.noise.told().map(|noise| format!("up to {noise}"));
            let excuses: Vec<String> = noise.into_iter().chain(basis.stall.clone()).collect();
            if excuses.is_empty() || is_certain {
                Verdict::Missed
            } else {
                more.push(format!("no verdict: {}", excuses.join(", ")));
                Verdict::Unknown
            }
        }
    };
    (verdict, more)
}

/// How many times the second is of the first; None if either is missing.
pub(super) fn times(ours: Option<f64>, theirs: Option<f64>) -> Option<f64> {
    // A forgiven one is sooner than can be.
    ours.zip(theirs).map(|(ours, theirs)| theirs / ours.max(0.0))
}

/// `5.10 ms; keepalived 650 ms`, the second half only if there is one.
pub(super) fn beside(ours: String, theirs: &[Option<f64>], unit: &str) -> String {
    if theirs.iter().all(Option::is_none) {
        return ours;
    }
    let theirs: Vec<String> = theirs.iter().map(|value| format!("{} {unit}", cell(*value))).collect();
    format!("{ours}; keepalived {}", theirs.join(" and "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(rounds: usize, noise: Noise, reached: Option<bool>) -> Verdict {
        judge(&Basis::new(rounds, 0, noise), false, false, reached).0
    }

    #[test]
    fn noise_makes_a_miss_unknown_and_never_a_success() {
        let stolen = Noise { steal: 0.2, foreign: 0.0 };
        let foreign = Noise { steal: 0.0, foreign: 0.3 };
        assert_eq!(verdict(5, Noise::NONE, Some(false)), Verdict::Missed);
        for noise in [stolen, foreign] {
            assert_eq!(verdict(5, noise, Some(false)), Verdict::Unknown);
            assert_eq!(verdict(5, noise, Some(true)), Verdict::Reached);
        }
        let (_, more) = judge(&Basis::new(5, 0, stolen), false, false, Some(false));
        assert_eq!(more, ["no verdict: up to 20 % of the CPU stolen"]);
        assert_eq!(judge(&Basis::new(5, 0, stolen), false, true, Some(false)).0, Verdict::Missed);
    }

    #[test]
    fn a_verdict_wants_enough_rounds_of_its_own() {
        assert_eq!(verdict(4, Noise::NONE, Some(true)), Verdict::Unknown);
        let short = Basis::new(9, 0, Noise::NONE).and(Basis::new(3, 0, Noise::NONE));
        assert_eq!(judge(&short, false, false, Some(false)).0, Verdict::Unknown);
        assert_eq!(
            judge(&Basis::new(9, 0, Noise::NONE), true, false, Some(true)).0,
            Verdict::Unknown,
            "quick"
        );
        assert_eq!(verdict(9, Noise::NONE, None), Verdict::Unknown);
    }

    #[test]
    fn what_the_other_failed_at_is_nothing_to_compare_with() {
        let theirs = Tries::of(vec![1, 2, 3, 4], 1);
        assert_eq!(
            judge(&Basis::new(5, 0, Noise::NONE).against(&theirs), false, false, Some(true)).0,
            Verdict::Unknown
        );
        // Our own failures are rounds, and are told.
        let ours = Tries::of(vec![1, 2, 3, 4], 1);
        let (verdict, more) = judge(&Basis::of(&ours), false, false, Some(false));
        assert_eq!((verdict, more), (Verdict::Missed, vec!["1 failed round".to_owned()]));
    }
}
