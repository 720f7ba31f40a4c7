//! Axes: where a value lies between the ends of a picture, and which round numbers are written there.
//!
//! Owns what may be drawn at all: NaN, infinities and absurd magnitudes end here. Refuses to know pixels and colours.

#![expect(clippy::float_arithmetic, reason = "pictures, not timers")]

use std::ops::Range;

use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};

use crate::bench::stats::Samples;

/// Larger values than this are no measurements of ours.
const ABSURD: f64 = 1e15;
/// A logarithmic axis spans no more than this; what is smaller lies at its left end.
const SPAN: f64 = 1e9;
/// More labels than this touch each other.
const TICKS: usize = 8;

/// The values that have a place in a picture.
pub(super) fn drawable(samples: &Samples) -> impl Iterator<Item = f64> {
    samples.0.iter().copied().filter(|value| is_drawable(*value))
}

/// Whether a value has a place in a picture.
pub(super) fn is_drawable(value: f64) -> bool {
    value.is_finite() && value.abs() < ABSURD
}

/// A value as an axis or a bar shows it: no digits without meaning, thousands apart.
pub(super) fn label(value: f64) -> String {
    let text = format!("{value:.9}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    let (whole, fraction) = text.split_once('.').map_or((text, ""), |(whole, fraction)| (whole, fraction));
    let (sign, digits) = whole.strip_prefix('-').map_or(("", whole), |digits| ("\u{2212}", digits));
    let mut grouped = String::from(sign);
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && digits.len() > 4 && (digits.len() - position).is_multiple_of(3) {
            grouped.push('\u{202f}');
        }
        grouped.push(digit);
    }
    if !fraction.is_empty() {
        grouped.push('.');
        grouped.push_str(fraction);
    }
    grouped
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Axis {
    from: f64,
    to: f64,
    logarithmic: bool,
    ticks: Vec<f64>,
    percent: bool,
}

impl Axis {
    /// From 0 to there, nothing written.
    pub(super) const fn bare(to: f64) -> Self {
        Self { from: 0.0, to, logarithmic: false, ticks: Vec::new(), percent: false }
    }

    /// Shares, from 0 to `to` of the whole, as per cent.
    pub(super) fn share(to: f64) -> Self {
        Self { percent: true, ..Self::linear([0.0, to]) }
    }

    /// Around these values; from 0 if that is near.
    pub(super) fn linear(values: impl IntoIterator<Item = f64>) -> Self {
        let (mut from, mut to) = extremes(values).unwrap_or((0.0, 1.0));
        if from > 0.0 && from < to * 0.7 {
            from = 0.0;
        }
        if to < 0.0 && to > from * 0.7 {
            to = 0.0;
        }
        if to - from <= to.abs().max(from.abs()) * 1e-9 {
            let around = if to == 0.0 { 1.0 } else { to.abs() * 0.1 };
            (from, to) = (from - around, to + around);
        }
        let step = round_step((to - from) / 5.0);
        let first = (from / step).floor();
        let last = (to / step).ceil();
        let mut ticks = vec![first * step];
        while ticks.len() <= 2 * TICKS && ticks.last().is_some_and(|tick| *tick < (last - 0.5) * step) {
            #[expect(clippy::cast_precision_loss, reason = "a handful")]
            ticks.push((first + ticks.len() as f64) * step);
        }
        Self { from: first * step, to: last * step, logarithmic: false, ticks, percent: false }
    }

    /// Around these values; linear if none of them is positive.
    pub(super) fn logarithmic(values: impl IntoIterator<Item = f64>) -> Self {
        let values: Vec<f64> = values.into_iter().filter(|value| is_drawable(*value)).collect();
        let Some((low, high)) = extremes(values.iter().copied().filter(|value| *value > 0.0)) else {
            return Self::linear(values);
        };
        let low = low.max(high / SPAN);
        let round = round_numbers(low, high);
        let first = round.iter().rposition(|number| *number <= low * (1.0 + 1e-9)).unwrap_or(0);
        let last = round.iter().position(|number| *number >= high * (1.0 - 1e-9));
        let last = last.unwrap_or_else(|| round.len().saturating_sub(1)).max(first + 2).min(round.len() - 1);
        let inner = &round[first..=last];
        Self { from: round[first], to: round[last], logarithmic: true, ticks: thin(inner), percent: false }
    }

    /// Where the axis begins.
    pub(super) const fn start(&self) -> f64 {
        self.from
    }

    /// Whether its steps are factors.
    pub(super) const fn is_logarithmic(&self) -> bool {
        self.logarithmic
    }

    /// Where a value lies: 0 at the start, 1 at the end, never outside.
    pub(super) fn place(&self, value: f64) -> f64 {
        let share = if self.logarithmic {
            if value <= self.from {
                return 0.0;
            }
            (value / self.from).ln() / (self.to / self.from).ln()
        } else {
            (value - self.from) / (self.to - self.from)
        };
        if share.is_nan() { 0.0 } else { share.clamp(0.0, 1.0) }
    }

    /// The value at a place, the reverse of [`Axis::place`].
    pub(super) fn value(&self, place: f64) -> f64 {
        if self.logarithmic {
            return self.from * (self.to / self.from).powf(place);
        }
        (self.to - self.from).mul_add(place, self.from)
    }
}

fn extremes(values: impl IntoIterator<Item = f64>) -> Option<(f64, f64)> {
    values.into_iter().filter(|value| is_drawable(*value)).fold(None, |known, value| {
        let (low, high) = known.unwrap_or((value, value));
        Some((low.min(value), high.max(value)))
    })
}

/// 1, 2 or 5 times a power of ten, not smaller than asked for.
fn round_step(least: f64) -> f64 {
    let power = 10_f64.powf(least.log10().floor());
    [1.0, 2.0, 5.0].map(|digit| digit * power).into_iter().find(|step| *step >= least).unwrap_or(power * 10.0)
}

/// 1, 2 and 5 times every power of ten, from below `low` to beyond `high`.
fn round_numbers(low: f64, high: f64) -> Vec<f64> {
    let mut power = 10_f64.powf(low.log10().floor() - 1.0);
    let mut numbers = Vec::new();
    while power <= high * 100.0 {
        numbers.extend([1.0, 2.0, 5.0].map(|digit| digit * power));
        power *= 10.0;
    }
    numbers
}

/// All of them, or only the powers of ten, or only some of these: as many as can be read.
fn thin(numbers: &[f64]) -> Vec<f64> {
    if numbers.len() <= TICKS {
        return numbers.to_vec();
    }
    let is_power = |number: &f64| (number.log10() - number.log10().round()).abs() < 1e-6;
    let powers: Vec<f64> = numbers.iter().copied().filter(is_power).collect();
    let every = powers.len().div_ceil(TICKS);
    powers.into_iter().step_by(every.max(1)).collect()
}

impl Ranged for Axis {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, limit: (i32, i32)) -> i32 {
        let (from, to) = (f64::from(limit.0), f64::from(limit.1));
        #[expect(clippy::cast_possible_truncation, reason = "between the limits, which are of that type")]
        let pixel = (to - from).mul_add(self.place(*value), from).round() as i32;
        pixel
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        // The fine lines between the labels are not drawn.
        if hint.weight().allow_light_points() { Vec::new() } else { self.ticks.clone() }
    }

    fn range(&self) -> Range<f64> {
        self.from..self.to
    }
}

impl ValueFormatter<f64> for Axis {
    fn format_ext(&self, value: &f64) -> String {
        if self.percent { format!("{} %", label(value * 100.0)) } else { label(*value) }
    }
}
