//! Percentiles of durations, and of differences that may be negative.
//!
//! Refuses to know what was measured.

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// What took longer counts as that: two hours.
const LONGEST_NS: u64 = 7_200_000_000_000;

/// Of durations in nanoseconds, by a histogram that is exact to three digits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Percentiles {
    pub count: u64,
    pub p50_ns: u64,
    pub p90_ns: u64,
    pub p99_ns: u64,
    pub p99_9_ns: u64,
    pub p99_99_ns: u64,
    pub max_ns: u64,
}

impl Percentiles {
    pub(super) fn of(durations_ns: impl Iterator<Item = u64>) -> Self {
        const DIGITS: u8 = 3;
        let Ok(mut histogram) = Histogram::<u64>::new_with_max(LONGEST_NS, DIGITS) else {
            return Self::default();
        };
        for ns in durations_ns {
            histogram.saturating_record(ns);
        }
        Self {
            count: histogram.len(),
            p50_ns: histogram.value_at_quantile(0.5),
            p90_ns: histogram.value_at_quantile(0.9),
            p99_ns: histogram.value_at_quantile(0.99),
            p99_9_ns: histogram.value_at_quantile(0.999),
            p99_99_ns: histogram.value_at_quantile(0.9999),
            max_ns: histogram.max(),
        }
    }
}

/// Of differences in nanoseconds, from all of them, exactly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Differences {
    pub count: u64,
    pub p10_ns: i64,
    pub p50_ns: i64,
    pub p90_ns: i64,
}

impl Differences {
    pub(super) fn of(mut differences_ns: Vec<i64>) -> Self {
        differences_ns.sort_unstable();
        let count = differences_ns.len();
        let at = |percent: usize| {
            let rank = (count * percent).div_ceil(100).max(1) - 1;
            differences_ns.get(rank).copied().unwrap_or(0)
        };
        Self { count: count as u64, p10_ns: at(10), p50_ns: at(50), p90_ns: at(90) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_the_values_to_three_digits() {
        let percentiles = Percentiles::of((1..=100_000).rev());
        assert_eq!(percentiles.count, 100_000);
        for (found, exact) in [
            (percentiles.p50_ns, 50_000),
            (percentiles.p90_ns, 90_000),
            (percentiles.p99_ns, 99_000),
            (percentiles.p99_9_ns, 99_900),
            (percentiles.p99_99_ns, 99_990),
            (percentiles.max_ns, 100_000),
        ] {
            assert!(found.abs_diff(exact) <= exact / 1000, "{found} is not {exact}");
        }
    }

    #[test]
    fn nothing_and_the_longest_stall_are_counted_too() {
        assert_eq!(Percentiles::of(std::iter::empty()), Percentiles::default());
        let hour = 3_600_000_000_000;
        let percentiles = Percentiles::of([0, hour].into_iter());
        assert_eq!((percentiles.count, percentiles.p50_ns), (2, 0));
        assert!(percentiles.max_ns.abs_diff(hour) <= hour / 1000);
    }

    #[test]
    fn differences_keep_their_sign() {
        let differences = Differences::of((-50..50).rev().collect());
        assert_eq!(differences, Differences { count: 100, p10_ns: -41, p50_ns: -1, p90_ns: 39 });
        assert_eq!(Differences::of(vec![7]), Differences { count: 1, p10_ns: 7, p50_ns: 7, p90_ns: 7 });
        assert_eq!(Differences::of(Vec::new()), Differences::default());
    }
}
