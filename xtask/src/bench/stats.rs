//! Samples and what they come to: median, percentiles, extremes, ratios.
//!
//! Owns the arithmetic of the report. Refuses to know what was measured.

use serde::{Serialize, Serializer, ser::SerializeStruct as _};

/// More values than this are not kept in JSON one by one.
const KEPT: usize = 2000;

/// Measured values in one unit, in the order in which they were taken.
#[derive(Clone, Debug, Default)]
pub(crate) struct Samples(pub(crate) Vec<f64>);

impl Serialize for Samples {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Counted { samples: self, count: self.0.len() }.serialize(serializer)
    }
}

/// How many there were, and each in its order; of very many, which would make a file that nobody can open, the sorted
/// ones at equal distances, the smallest and the largest among them.
pub(crate) struct Counted<'a> {
    pub(crate) samples: &'a Samples,
    /// More than the samples, if they are such quantiles already.
    pub(crate) count: usize,
}

impl Serialize for Counted<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (values, mut fields) = (&self.samples.0, serializer.serialize_struct("Samples", 2)?);
        fields.serialize_field("count", &self.count)?;
        if self.count == values.len() && values.len() <= KEPT {
            fields.serialize_field("values", values)?;
        } else {
            let mut sorted = values.clone();
            sorted.sort_by(f64::total_cmp);
            fields.serialize_field("quantiles", &evenly(&sorted, KEPT + 1))?;
        }
        fields.end()
    }
}

/// At most so many of them, at equal distances, the first and the last among them.
pub(crate) fn evenly(all: &[f64], most: usize) -> Vec<f64> {
    if all.len() <= most.max(2) {
        return all.to_vec();
    }
    (0..most).map(|number| all[number * (all.len() - 1) / (most - 1)]).collect()
}

impl Samples {
    /// One more.
    pub(crate) fn push(&mut self, value: f64) {
        self.0.push(value);
    }

    /// The value below which that share (0 to 1) of the samples lies: the nearest one that was really measured.
    pub(crate) fn percentile(&self, share: f64) -> Option<f64> {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 samples")]
        let position = (share * sorted.len() as f64).ceil();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between 0 and the length"
        )]
        let index = (position as usize).saturating_sub(1);
        sorted.get(index).copied()
    }

    /// The middle one; of an even number the mean of both.
    pub(crate) fn median(&self) -> Option<f64> {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        let upper = sorted.get(middle).copied()?;
        if sorted.len() % 2 == 1 {
            return Some(upper);
        }
        sorted.get(middle - 1).map(|lower| f64::midpoint(*lower, upper))
    }

    pub(crate) fn min(&self) -> Option<f64> {
        self.0.iter().copied().min_by(f64::total_cmp)
    }

    pub(crate) fn max(&self) -> Option<f64> {
        self.0.iter().copied().max_by(f64::total_cmp)
    }
}

impl FromIterator<f64> for Samples {
    fn from_iter<T: IntoIterator<Item = f64>>(values: T) -> Self {
        Self(values.into_iter().collect())
    }
}

/// Nanoseconds between two stamps, in milliseconds; negative if the second is earlier.
pub(crate) fn milliseconds(from_ns: u64, until_ns: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "distances of minutes at most")]
    let distance = until_ns.abs_diff(from_ns) as f64 / 1e6;
    if until_ns < from_ns { -distance } else { distance }
}

/// A number for a cell: three digits that matter, no more.
pub(crate) fn short(value: f64) -> String {
    let size = value.abs();
    if size >= 100.0 || value == 0.0 {
        format!("{value:.0}")
    } else if size >= 10.0 {
        format!("{value:.1}")
    } else if size >= 1.0 {
        format!("{value:.2}")
    } else {
        format!("{value:.3}")
    }
}

/// [`short`], or a dash.
pub(crate) fn cell(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), short)
}

/// The median, and of more than one sample the least and the most behind it: `12.3 (11.9-14.0)`.
pub(crate) fn spread(samples: &Samples) -> String {
    let range = samples.min().zip(samples.max()).filter(|(least, most)| short(*least) != short(*most));
    match range {
        Some((least, most)) => {
            format!("{} ({}\u{2013}{})", cell(samples.median()), short(least), short(most))
        }
        None => cell(samples.median()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let samples: Samples = (1..=100).map(f64::from).collect();
        assert_eq!(samples.percentile(0.5), Some(50.0));
        assert_eq!(samples.percentile(0.99), Some(99.0));
        assert_eq!(samples.percentile(1.0), Some(100.0));
        assert_eq!(samples.median(), Some(50.5));
        assert_eq!(Samples::default().median(), None);
    }

    #[test]
    fn many_samples_are_kept_as_quantiles_from_the_least_to_the_greatest() {
        let keep = |samples: &Samples| serde_json::to_value(samples).unwrap();
        let few = keep(&Samples(vec![3.0, 1.0, f64::NAN]));
        assert_eq!(few, serde_json::json!({ "count": 3, "values": [3.0, 1.0, null] }));
        let many = keep(&(0..100_001).rev().map(f64::from).collect());
        assert_eq!(many["count"], 100_001);
        let quantiles = many["quantiles"].as_array().unwrap();
        assert_eq!(quantiles.len(), KEPT + 1);
        assert_eq!([&quantiles[0], &quantiles[KEPT / 2], &quantiles[KEPT]], [0.0, 50_000.0, 100_000.0]);
    }

    #[test]
    fn what_is_thinned_out_keeps_both_ends() {
        let all: Vec<f64> = (0..1000).map(f64::from).collect();
        assert_eq!(evenly(&all, 4), [0.0, 333.0, 666.0, 999.0]);
        assert_eq!(evenly(&all[..3], 4), [0.0, 1.0, 2.0]);
    }

    #[test]
    fn a_spread_is_said_where_there_is_one() {
        let of = |values: &[f64]| spread(&Samples(values.to_vec()));
        assert_eq!(of(&[2.0, 1.0, 9.0]), "2.00 (1.00\u{2013}9.00)");
        assert_eq!([of(&[3.0, 3.0]), of(&[5.0]), of(&[])], ["3.00", "5.00", "-"]);
    }

    #[test]
    fn numbers_are_as_long_as_they_are_exact() {
        assert_eq!(
            [1234.5, 45.67, 3.456, 0.1234, -2.5].map(short),
            ["1234", "45.7", "3.46", "0.123", "-2.50"]
        );
    }
}
