//! Bars in groups, lying, so that labels have room: one group per label, one bar per series.

#![expect(clippy::float_arithmetic, reason = "pictures, not timers")]

use anyhow::Result;
use plotters::{
    element::{Rectangle, Text},
    style::{
        Color as _,
        text_anchor::{HPos, VPos},
    },
};

use super::{Figure, Frame, Key, axis, frame, picture, text};
use crate::bench::{
    html::{
        axis::{Axis, is_drawable},
        colour::{INK, Palette},
    },
    report::Series,
    stats::short,
};

/// Heights: of a group's label, of a bar with its gap, of the gap between groups.
const LABEL: u32 = 20;
const BAR: u32 = 17;
const GAP: u32 = 8;
/// A label longer than this would leave the picture.
const LETTERS: usize = 66;

pub(super) fn draw(
    title: &str,
    unit: &str,
    logarithmic: bool,
    labels: &[String],
    series: &[Series],
    palette: &Palette,
) -> Result<Figure> {
    let key = |series: &Series| Key {
        class: format!("s{}", palette.number(&series.name).unwrap_or(0)),
        name: series.name.clone(),
        detail: String::new(),
    };
    let keys = series.iter().map(key).collect();
    let nothing = series.iter().all(|series| !series.values.0.iter().any(|value| is_drawable(*value)));
    if labels.is_empty() || nothing {
        return Ok(Figure { title: title.to_owned(), svg: None, keys, note: None });
    }
    let x = scale(series, logarithmic);
    let bars = u32::try_from(series.len())?;
    let rows = u32::try_from(labels.len())? * (LABEL + BAR * bars + GAP);
    let base = if x.is_logarithmic() { x.start() } else { 0.0 };
    let svg = picture(rows + 48, |area| {
        let left = x.start();
        let mut chart = frame(area, Frame { left: 0, right: 62 }, unit, x, Axis::bare(f64::from(rows)))?;
        let mut top = f64::from(rows);
        for (group, label) in labels.iter().enumerate() {
            let style = text(INK, HPos::Left, VPos::Center);
            chart.draw_series([Text::new(cut(label), (left, top - f64::from(LABEL) * 0.62), style)])?;
            top -= f64::from(LABEL);
            for series in series {
                let value = series.values.0.get(group).copied().filter(|value| is_drawable(*value));
                let end = value.unwrap_or(base);
                let corners = [(base, top - 2.0), (end, top - f64::from(BAR) + 1.0)];
                let style = palette.colour(&series.name).rgb().filled();
                chart.draw_series([Rectangle::new(corners, style)])?;
                // A space that is not swallowed keeps them apart.
                let shown = value.map_or_else(|| "no result".to_owned(), short);
                let shown = format!("\u{a0}{shown}");
                let place = (end.max(base), top - f64::from(BAR) / 2.0 - 0.5);
                chart.draw_series([Text::new(shown, place, text(INK, HPos::Left, VPos::Center))])?;
                top -= f64::from(BAR);
            }
            top -= f64::from(GAP);
        }
        Ok(())
    })?;
    Ok(Figure { title: title.to_owned(), svg: Some(svg), keys, note: None })
}

/// Bars are compared by their length: a linear axis has to show 0.
fn scale(series: &[Series], logarithmic: bool) -> Axis {
    let axis = axis(series, logarithmic);
    if axis.is_logarithmic() {
        // One step more below, so that the smallest bar has a length.
        let values = series.iter().flat_map(|series| series.values.0.clone());
        return Axis::logarithmic(values.chain([axis.start() * 0.5]));
    }
    Axis::linear(series.iter().flat_map(|series| series.values.0.clone()).chain([0.0]))
}

fn cut(label: &str) -> String {
    if label.chars().count() <= LETTERS {
        return label.to_owned();
    }
    label.chars().take(LETTERS - 1).chain(['\u{2026}']).collect()
}
