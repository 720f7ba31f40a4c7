//! Plots: each kind of picture as SVG, with what a reader needs beside it.
//!
//! Owns size, type and the frame that all kinds share; one file per kind. Refuses to know the page.

use anyhow::Result;
use plotters::{
    chart::{ChartBuilder, ChartContext},
    coord::{Shift, cartesian::Cartesian2d},
    drawing::{DrawingArea, IntoDrawingArea as _},
    prelude::SVGBackend,
    style::{
        Color as _, IntoFont as _, ShapeStyle, TextStyle,
        text_anchor::{HPos, Pos, VPos},
    },
};

use super::{
    axis::{Axis, drawable},
    colour::{Colour, GRID, INK, MUTED, Palette},
};
use crate::bench::{
    report::{Plot, Series},
    stats::{Samples, short},
};

mod bars;
mod cdf;
mod histogram;
mod timeline;

/// The backend counts in whole pixels: a picture is drawn ten times as large as it is meant.
const FINE: u32 = 10;
/// Wide enough for a column of a desk's screen, and still to be read on a phone's.
const WIDTH: u32 = 480;
/// Height of the pictures that have no rows.
const HEIGHT: u32 = 250;
/// Of all letters.
const TYPE: f64 = 11.5;

type Backend<'a> = SVGBackend<'a>;
type Area<'a> = DrawingArea<Backend<'a>, Shift>;
type Chart<'a, 'b> = ChartContext<'a, Backend<'b>, Cartesian2d<Axis, Axis>>;

/// What stands beside a picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Key {
    /// The class of the swatch.
    pub(super) class: String,
    pub(super) name: String,
    /// Numbers to the name.
    pub(super) detail: String,
}

/// A picture, ready for the page.
#[derive(Clone, Debug)]
pub(super) struct Figure {
    pub(super) title: String,
    /// `None` if there was nothing to draw.
    pub(super) svg: Option<String>,
    pub(super) keys: Vec<Key>,
    /// What the picture does not show.
    pub(super) note: Option<String>,
}

/// Draws it; an error names the cause, and the page goes on without the picture.
pub(super) fn draw(plot: &Plot, palette: &Palette) -> Result<Figure> {
    match plot {
        Plot::Cdf { title, unit, logarithmic, series } => {
            cdf::draw(title, unit, *logarithmic, series, palette)
        }
        Plot::Histogram { title, unit, logarithmic, series } => {
            histogram::draw(title, unit, *logarithmic, series, palette)
        }
        Plot::Timeline { title, lanes } => timeline::draw(title, lanes),
        Plot::Bars { title, unit, logarithmic, labels, series } => {
            bars::draw(title, unit, *logarithmic, labels, series, palette)
        }
    }
}

/// The names that get a colour.
pub(super) fn names(plot: &Plot) -> impl Iterator<Item = &str> {
    let series: &[Series] = match plot {
        Plot::Cdf { series, .. } | Plot::Histogram { series, .. } | Plot::Bars { series, .. } => series,
        Plot::Timeline { .. } => &[],
    };
    series.iter().map(|series| series.name.as_str())
}

/// Runs `draw` on an empty picture of this height; the picture.
fn picture(height: u32, draw: impl FnOnce(&Area<'_>) -> Result<()>) -> Result<String> {
    let mut svg = String::new();
    let area = SVGBackend::with_string(&mut svg, (WIDTH * FINE, height * FINE)).into_drawing_area();
    draw(&area)?;
    area.present()?;
    drop(area);
    Ok(svg.replacen("<svg ", "<svg role=\"img\" ", 1))
}

/// Room around what is drawn, as it is meant, not as fine as it is drawn.
#[derive(Clone, Copy, Debug)]
struct Frame {
    left: u32,
    right: u32,
}

/// Axes, their labels and the lines to read values by.
fn frame<'a, 'b>(area: &'a Area<'b>, room: Frame, unit: &str, x: Axis, y: Axis) -> Result<Chart<'a, 'b>> {
    let below = if unit.is_empty() { 22 } else { 40 };
    let mut chart = ChartBuilder::on(area)
        .margin_top(8 * FINE)
        .margin_right(room.right * FINE)
        .margin_left(if room.left == 0 { 8 * FINE } else { 0 })
        .x_label_area_size(below * FINE)
        .y_label_area_size(room.left * FINE)
        .build_cartesian_2d(x, y)?;
    chart
        .configure_mesh()
        .bold_line_style(line(GRID, 1.0))
        .axis_style(line(GRID, 1.0))
        .set_all_tick_mark_size(4 * FINE)
        .label_style(text(INK, HPos::Center, VPos::Center))
        .x_desc(unit)
        .draw()?;
    Ok(chart)
}

fn line(colour: Colour, width: f64) -> ShapeStyle {
    #[expect(clippy::float_arithmetic, reason = "a line's width")]
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a line's width")]
    let width = (width * f64::from(FINE)) as u32;
    colour.rgb().stroke_width(width)
}

#[expect(clippy::float_arithmetic, reason = "a font's size; 1.24 is what the backend divides by")]
fn text(colour: Colour, horizontal: HPos, vertical: VPos) -> TextStyle<'static> {
    let font = ("sans-serif", TYPE * 1.24 * f64::from(FINE)).into_font();
    let style = TextStyle::from(font).pos(Pos::new(horizontal, vertical));
    TextStyle { color: colour.rgb().to_backend_color(), ..style }
}

/// Drawable values of each, sorted; and what to say about the others.
fn sort(series: &[Series], axis: &Axis) -> (Vec<(String, Vec<f64>)>, Option<String>) {
    let (mut lost, mut flat) = (0, 0);
    let sorted = series
        .iter()
        .map(|series| {
            let mut values: Vec<f64> = drawable(&series.values).collect();
            values.sort_by(f64::total_cmp);
            lost += series.values.0.len() - values.len();
            if axis.is_logarithmic() {
                flat += values.iter().filter(|value| **value < axis.start()).count();
            }
            (series.name.clone(), values)
        })
        .collect();
    let mut notes = Vec::new();
    if lost > 0 {
        notes.push(format!("{lost} without a value left out"));
    }
    if flat > 0 {
        notes.push(format!("{flat} at or below {} drawn there", super::axis::label(axis.start())));
    }
    (sorted, (!notes.is_empty()).then(|| notes.join("; ")))
}

/// The axis for all values of all series.
fn axis(series: &[Series], logarithmic: bool) -> Axis {
    let values = series.iter().flat_map(|series| drawable(&series.values));
    if logarithmic { Axis::logarithmic(values) } else { Axis::linear(values) }
}

/// Name, number and median of each; the number is that of the samples, drawn one by one or not.
fn keys(series: &[Series], sorted: &[(String, Vec<f64>)], unit: &str, palette: &Palette) -> Vec<Key> {
    let key = |(series, (name, values)): (&Series, &(String, Vec<f64>))| {
        let count = if series.count > series.values.0.len() { series.count } else { values.len() };
        let median = Samples(values.clone()).median();
        Key {
            class: format!("s{}", palette.number(name).unwrap_or(0)),
            name: name.clone(),
            detail: median.map_or_else(
                || "no sample".to_owned(),
                |median| format!("median {} {unit}, {count} samples", short(median)),
            ),
        }
    };
    series.iter().zip(sorted).map(key).collect()
}

/// A dashed line from top to bottom of what is between two heights.
fn dashes(
    chart: &mut Chart<'_, '_>,
    x: f64,
    (from, to): (f64, f64),
    count: u32,
    style: ShapeStyle,
) -> Result<()> {
    #[expect(clippy::float_arithmetic, reason = "a picture")]
    let dash = |number: u32| {
        let step = (to - from) / f64::from(count);
        let start = step.mul_add(f64::from(number), from);
        plotters::element::PathElement::new(vec![(x, start), (x, step.mul_add(0.6, start))], style)
    };
    chart.draw_series((0..count).map(dash))?;
    Ok(())
}

/// For what has no colour of its own.
const QUIET: Colour = MUTED;
