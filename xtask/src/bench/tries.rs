//! The rounds of one contender in one case: those that came to a result, and those that did not.
//!
//! Owns what a failed round counts for: it is the worst there is, never left out. Refuses to know what was measured.

use anyhow::Result;

use super::{
    noise::{CpuTime, Noise},
    stats::Samples,
};

/// Which end of a scale is the bad one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Worst {
    Most,
    Least,
}

#[derive(Clone, Debug)]
pub(crate) struct Tries<T> {
    /// What came to a result.
    pub(crate) runs: Vec<T>,
    /// How many rounds did not.
    pub(crate) failed: usize,
    /// Of the round that had most of it.
    pub(crate) noise: Noise,
    /// Which of `runs` had too much of it, and how many of the failed rounds.
    noisy: Vec<usize>,
    noisy_failed: usize,
    /// Rounds whose results are left out: as good as can be.
    forgiven: usize,
}

impl<T> Default for Tries<T> {
    fn default() -> Self {
        Self {
            runs: Vec::new(),
            failed: 0,
            noise: Noise::default(),
            noisy: Vec::new(),
            noisy_failed: 0,
            forgiven: 0,
        }
    }
}

impl<T> Tries<T> {
    /// All of them quiet.
    #[cfg(test)]
    pub(crate) fn of(runs: Vec<T>, failed: usize) -> Self {
        Self { runs, failed, ..Self::default() }
    }

    /// One more round, whatever it comes to: a result and the noise meanwhile, or its error.
    pub(crate) fn attempt(&mut self, round: impl FnOnce() -> Result<(T, Noise)>) -> Option<anyhow::Error> {
        let cpu = CpuTime::now();
        match round() {
            Ok((run, noise)) => {
                self.push(run, noise);
                None
            }
            Err(error) => {
                self.fail(cpu.noise_since());
                Some(error)
            }
        }
    }

    /// A result, measured with this much noise.
    pub(crate) fn push(&mut self, run: T, noise: Noise) {
        if noise.told().is_some() {
            self.noisy.push(self.runs.len());
        }
        self.runs.push(run);
        self.noise = self.noise.max(noise);
    }

    /// A round without a result.
    pub(crate) fn fail(&mut self, noise: Noise) {
        self.failed += 1;
        self.noisy_failed += usize::from(noise.told().is_some());
        self.noise = self.noise.max(noise);
    }

    /// As if every round that had too much noise had gone as well as can be.
    pub(crate) fn forgiven(&self) -> Self
    where
        T: Clone,
    {
        Self { forgiven: self.noisy.len() + self.noisy_failed, ..self.quiet() }
    }

    /// Without the rounds that had too much noise.
    fn quiet(&self) -> Self
    where
        T: Clone,
    {
        let runs = self.runs.iter().enumerate().filter(|(number, _)| !self.noisy.contains(number));
        Self {
            runs: runs.map(|(_, run)| run.clone()).collect(),
            failed: self.failed - self.noisy_failed,
            ..Self::default()
        }
    }

    /// Rounds with something to compare with.
    pub(crate) fn results(&self) -> usize {
        self.runs.len() + self.forgiven
    }

    pub(crate) fn rounds(&self) -> usize {
        self.runs.len() + self.failed + self.forgiven
    }

    /// For a cell: `5`, or `4 of 5` when one failed.
    pub(crate) fn count(&self) -> String {
        match self.failed {
            0 => self.runs.len().to_string(),
            _ => format!("{} of {}", self.runs.len(), self.rounds()),
        }
    }

    /// What `value` takes from each result; failed rounds are not in it.
    pub(crate) fn values(&self, value: impl Fn(&T) -> Option<f64>) -> Samples {
        self.runs.iter().filter_map(value).collect()
    }

    /// The median over all rounds, each failed one, and each that has no such value, as bad as can be.
    pub(crate) fn median(&self, worst: Worst, value: impl Fn(&T) -> Option<f64>) -> Option<f64> {
        let bad = if worst == Worst::Most { f64::INFINITY } else { f64::NEG_INFINITY };
        let mut samples: Samples = self.runs.iter().map(|run| value(run).unwrap_or(bad)).collect();
        samples.0.extend(std::iter::repeat_n(bad, self.failed));
        samples.0.extend(std::iter::repeat_n(-bad, self.forgiven));
        // Between the worst and the best there is nothing to blame.
        samples.median().map(|median| if median.is_nan() { -bad } else { median })
    }

    /// The median of another contender's results, whose failed rounds are none: a forgiven one has the most there is.
    pub(crate) fn rival_median(&self, value: impl Fn(&T) -> Option<f64>) -> Option<f64> {
        let mut samples = self.values(value);
        samples.0.extend(std::iter::repeat_n(f64::INFINITY, self.forgiven));
        samples.median()
    }

    /// Of all results together.
    pub(crate) fn sum(&self, value: impl Fn(&T) -> usize) -> usize {
        self.runs.iter().map(value).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tries(values: &[f64], failed: usize) -> Tries<f64> {
        Tries::of(values.to_vec(), failed)
    }

    #[test]
    fn a_failed_round_is_as_bad_as_can_be() {
        let value = |value: &f64| Some(*value);
        assert_eq!(tries(&[1.0, 2.0, 3.0], 0).median(Worst::Most, value), Some(2.0));
        assert_eq!(tries(&[1.0, 2.0, 3.0], 2).median(Worst::Most, value), Some(3.0));
        assert_eq!(tries(&[1.0, 2.0], 3).median(Worst::Most, value), Some(f64::INFINITY));
        assert_eq!(tries(&[1.0, 2.0], 3).median(Worst::Least, value), Some(f64::NEG_INFINITY));
        assert_eq!(tries(&[], 0).median(Worst::Most, value), None);
        // A result without the value is no better.
        assert_eq!(tries(&[1.0], 0).median(Worst::Most, |_| None), Some(f64::INFINITY));
    }

    #[test]
    fn a_forgiven_round_is_as_good_as_can_be() {
        let noisy = Noise { steal: 0.3, foreign: 0.0 };
        let mut all = tries(&[], 0);
        for (value, noise) in [(9.0, Noise::NONE), (1.0, noisy), (8.0, Noise::NONE), (7.0, Noise::NONE)] {
            all.push(value, noise);
        }
        all.fail(noisy);
        let forgiven = all.forgiven();
        assert_eq!(
            (forgiven.runs.as_slice(), forgiven.failed, forgiven.rounds()),
            (&[9.0, 8.0, 7.0][..], 0, 5)
        );
        assert_eq!(forgiven.noise, Noise::NONE);
        assert_eq!(forgiven.median(Worst::Most, |value| Some(*value)), Some(7.0));
        assert_eq!(forgiven.median(Worst::Least, |value| Some(*value)), Some(9.0));
        let half = Tries { failed: 1, forgiven: 1, ..tries(&[], 0) };
        assert_eq!(half.median(Worst::Most, |value| Some(*value)), Some(f64::NEG_INFINITY));
    }

    #[test]
    fn an_error_is_counted_and_told() {
        let mut tries = Tries::default();
        assert!(tries.attempt(|| Ok((1, Noise::NONE))).is_none());
        assert_eq!(tries.attempt(|| anyhow::bail!("no")).unwrap().to_string(), "no");
        assert_eq!((tries.rounds(), tries.failed, tries.count().as_str()), (2, 1, "1 of 2"));
    }
}
