//! Histograms: which share of the samples lies in which range.

#![expect(clippy::float_arithmetic, reason = "pictures, not timers")]

use anyhow::Result;
use plotters::{
    element::{PathElement, Polygon},
    style::Color as _,
};

use super::{Figure, Frame, HEIGHT, axis, frame, keys, line, picture, sort};
use crate::bench::{
    html::{axis::Axis, colour::Palette},
    report::Series,
};

const BINS: u32 = 48;

pub(super) fn draw(
    title: &str,
    unit: &str,
    logarithmic: bool,
    series: &[Series],
    palette: &Palette,
) -> Result<Figure> {
    let x = axis(series, logarithmic);
    let (sorted, note) = sort(series, &x);
    let keys = keys(series, &sorted, unit, palette);
    if sorted.iter().all(|(_, values)| values.is_empty()) {
        return Ok(Figure { title: title.to_owned(), svg: None, keys, note });
    }
    let heights: Vec<Vec<f64>> = sorted.iter().map(|(_, values)| count(values, &x)).collect();
    let highest = heights.iter().flatten().copied().fold(0.0, f64::max);
    let svg = picture(HEIGHT, |area| {
        let mut chart = frame(area, Frame { left: 46, right: 16 }, unit, x.clone(), Axis::share(highest))?;
        for ((name, _), heights) in sorted.iter().zip(&heights).rev() {
            let colour = palette.colour(name);
            let outline = outline(heights, &x);
            chart.draw_series([Polygon::new(outline.clone(), colour.rgb().mix(0.22).filled())])?;
            chart.draw_series([PathElement::new(outline, line(colour, 1.5))])?;
        }
        Ok(())
    })?;
    Ok(Figure { title: title.to_owned(), svg: Some(svg), keys, note })
}

/// Share of the values in each bin.
fn count(values: &[f64], axis: &Axis) -> Vec<f64> {
    let mut bins = vec![0.0; BINS as usize];
    #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 samples")]
    let one = 1.0 / values.len().max(1) as f64;
    for value in values {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a place is 0 to 1")]
        let bin = (axis.place(*value) * f64::from(BINS)) as usize;
        bins[bin.min(BINS as usize - 1)] += one;
    }
    bins
}

/// Around the bins that are not empty at either end.
fn outline(heights: &[f64], axis: &Axis) -> Vec<(f64, f64)> {
    let mut points = Vec::new();
    let first = heights.iter().position(|height| *height > 0.0).unwrap_or(0);
    let last = heights.iter().rposition(|height| *height > 0.0).unwrap_or(0);
    for (bin, height) in (0..BINS).zip(heights).skip(first).take(last + 1 - first) {
        let edge = |number: u32| axis.value(f64::from(number) / f64::from(BINS));
        if points.is_empty() {
            points.push((edge(bin), 0.0));
        }
        points.extend([(edge(bin), *height), (edge(bin + 1), *height)]);
    }
    if let Some((end, _)) = points.last().copied() {
        points.push((end, 0.0));
    }
    points
}
