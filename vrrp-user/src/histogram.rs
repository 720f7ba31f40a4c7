//! Durations counted in buckets of a fixed number, so that counting never allocates.
//!
//! Owns the buckets: eight to each power of two of nanoseconds, so a percentile is right to one part in eight. Refuses
//! to know what took so long.

use std::time::Duration;

/// Buckets to one power of two, as a power of two.
const FINENESS: u32 = 3;
/// Up to 2^40 ns, some 18 minutes; what is longer counts as that.
const POWERS: u32 = 40;
const BUCKETS: usize = ((POWERS - FINENESS + 1) << FINENESS) as usize;

/// See the file's head.
#[derive(Clone, Debug)]
pub struct Histogram {
    buckets: Box<[u64; BUCKETS]>,
    count: u64,
    sum_ns: u64,
    longest_ns: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { buckets: Box::new([0; BUCKETS]), count: 0, sum_ns: 0, longest_ns: 0 }
    }
}

impl Histogram {
    pub fn add(&mut self, duration: Duration) {
        let ns = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        self.buckets[bucket(ns)] += 1;
        self.count += 1;
        self.sum_ns = self.sum_ns.saturating_add(ns);
        self.longest_ns = self.longest_ns.max(ns);
    }

    /// Does not allocate.
    pub fn copy_from(&mut self, other: &Self) {
        self.buckets.copy_from_slice(other.buckets.as_slice());
        (self.count, self.sum_ns, self.longest_ns) = (other.count, other.sum_ns, other.longest_ns);
    }

    pub const fn count(&self) -> u64 {
        self.count
    }

    pub const fn sum(&self) -> Duration {
        Duration::from_nanos(self.sum_ns)
    }

    /// The longest of all.
    pub const fn longest(&self) -> Duration {
        Duration::from_nanos(self.longest_ns)
    }

    /// So many per mille took no longer than this; `None` if nothing was counted.
    pub fn percentile(&self, per_mille: u64) -> Option<Duration> {
        let rank = self.count.saturating_mul(per_mille).div_ceil(1000).max(1);
        let mut seen = 0;
        for (place, count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen >= rank && self.count > 0 {
                return Some(Duration::from_nanos(upper_ns(place).min(self.longest_ns)));
            }
        }
        None
    }

    /// How many took no longer than each of these, which must rise: for a histogram of coarser buckets.
    pub fn cumulative<const N: usize>(&self, limits: [Duration; N]) -> [u64; N] {
        limits.map(|limit| {
            let within = |place: &usize| u128::from(upper_ns(*place)) <= limit.as_nanos();
            (0..BUCKETS).take_while(within).map(|place| self.buckets[place]).sum()
        })
    }
}

/// Below 2^FINENESS each value has a bucket of its own; above, the top FINENESS + 1 bits choose it.
#[expect(clippy::cast_possible_truncation, reason = "the result is below BUCKETS")]
const fn bucket(ns: u64) -> usize {
    let most = (1 << POWERS) - 1;
    let ns = if ns > most { most } else { ns };
    if ns < 1 << FINENESS {
        return ns as usize;
    }
    let shift = ns.ilog2() - FINENESS;
    ((((shift + 1) as u64) << FINENESS) + ((ns >> shift) & ((1 << FINENESS) - 1))) as usize
}

/// The longest that falls into a bucket.
const fn upper_ns(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < 1 << FINENESS {
        return bucket;
    }
    let shift = (bucket >> FINENESS) - 1;
    let base = (1 << FINENESS) + (bucket & ((1 << FINENESS) - 1));
    ((base + 1) << shift) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_duration_falls_into_the_bucket_that_ends_at_most_an_eighth_above_it() {
        let mut ns = 0_u64;
        while ns < 1 << POWERS {
            for ns in [ns, ns + 1, ns + ns / 3] {
                let ns = ns.min((1 << POWERS) - 1);
                let upper = upper_ns(bucket(ns));
                assert!(bucket(ns) < BUCKETS && upper >= ns && upper - ns <= ns / 8, "{ns} {upper}");
                assert_eq!(bucket(upper), bucket(ns));
                assert_eq!(bucket(upper + 1).min(BUCKETS - 1), (bucket(ns) + 1).min(BUCKETS - 1));
            }
            ns = (ns + 1) * 2;
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn percentiles_are_those_of_what_was_counted() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.percentile(500), None);
        for micros in 1..=1000 {
            histogram.add(Duration::from_micros(micros));
        }
        let within = |per_mille, micros: u64| {
            let found = histogram.percentile(per_mille).unwrap();
            let exact = Duration::from_micros(micros);
            assert!(found >= exact && found <= exact * 9 / 8, "{per_mille}: {found:?}");
        };
        within(500, 500);
        within(990, 990);
        assert_eq!(histogram.percentile(1000), Some(Duration::from_millis(1)));
        assert_eq!((histogram.count(), histogram.longest()), (1000, Duration::from_millis(1)));
        let [none, half, all] =
            histogram.cumulative([Duration::ZERO, Duration::from_micros(524), Duration::from_secs(1)]);
        assert_eq!((none, all), (0, 1000));
        assert!((440..=525).contains(&half), "{half}");
    }
}
