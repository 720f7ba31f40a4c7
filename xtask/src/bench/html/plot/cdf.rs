//! Cumulative distributions: how many per cent of the samples are at most so large.

#![expect(clippy::float_arithmetic, reason = "pictures, not timers")]

use anyhow::Result;
use plotters::{
    element::{Circle, PathElement},
    style::Color as _,
};

use super::{FINE, Figure, Frame, HEIGHT, axis, frame, keys, line, picture, sort};
use crate::bench::{
    html::{axis::Axis, colour::Palette},
    report::Series,
    stats::Samples,
};

/// A line has no more steps than this: finer than a screen shows.
const STEPS: usize = 240;

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
    let svg = picture(HEIGHT, |area| {
        let mut chart = frame(area, Frame { left: 46, right: 16 }, unit, x, Axis::share(1.0))?;
        // The first is the one that matters: nothing is drawn over it.
        for (name, values) in sorted.iter().rev() {
            let colour = palette.colour(name);
            chart.draw_series([PathElement::new(steps(values), line(colour, 2.0))])?;
            if let Some(median) = Samples(values.clone()).median() {
                chart.draw_series([Circle::new((median, 0.5), 4 * FINE, colour.rgb().filled())])?;
            }
        }
        Ok(())
    })?;
    Ok(Figure { title: title.to_owned(), svg: Some(svg), keys, note })
}

/// Up by the same share at each of the (sorted) values.
fn steps(values: &[f64]) -> Vec<(f64, f64)> {
    let count = values.len().min(STEPS);
    let mut points = Vec::with_capacity(2 * count);
    #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 samples")]
    let share = |number: usize| number as f64 / count as f64;
    for number in 0..count {
        // The last of those that this step stands for, so that the end is the maximum.
        let last = ((number + 1) * values.len() / count).saturating_sub(1);
        points.push((values[last], share(number)));
        points.push((values[last], share(number + 1)));
    }
    points
}
