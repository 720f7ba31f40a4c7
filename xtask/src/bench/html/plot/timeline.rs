//! Timelines: who said what and when around an event, one lane each, and where the RFC's limit lies.

#![expect(clippy::float_arithmetic, reason = "pictures, not timers")]

use anyhow::Result;
use plotters::{
    element::{PathElement, Rectangle, Text},
    style::{
        Color as _,
        text_anchor::{HPos, VPos},
    },
};

use super::{Chart, Figure, Frame, Key, QUIET, WIDTH, dashes, frame, line, picture, text};
use crate::bench::{
    html::{
        axis::{Axis, is_drawable},
        colour::{Colour, INK, LIMIT, SERIES},
    },
    report::Lane,
    stats::short,
};

/// Height of a lane: its name, its adverts, its announcements.
const LANE: f64 = 62.0;

pub(super) fn draw(title: &str, lanes: &[Lane]) -> Result<Figure> {
    let key = |class: &str, name: &str| Key {
        class: class.to_owned(),
        name: name.to_owned(),
        detail: String::new(),
    };
    let mut keys = vec![key("muted", "advert"), key("s0", "announcement (gratuitous ARP)")];
    if lanes.iter().any(|lane| lane.limit.is_some_and(is_drawable)) {
        keys.push(key("limit", "the RFC's limit"));
    }
    let times: Vec<f64> = lanes
        .iter()
        .flat_map(|lane| lane.adverts.iter().chain(&lane.announcements).copied().chain(lane.limit))
        .filter(|time| is_drawable(*time))
        .collect();
    if times.is_empty() {
        return Ok(Figure { title: title.to_owned(), svg: None, keys, note: None });
    }
    let x = Axis::linear(times.into_iter().chain([0.0]));
    let rows = LANE * f64::from(u32::try_from(lanes.len())?);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a few lanes")]
    let height = rows as u32 + 48;
    let svg = picture(height, |area| {
        let axis = x.clone();
        let mut chart = frame(area, Frame { left: 0, right: 14 }, "ms from the event", x, Axis::bare(rows))?;
        let mut top = rows;
        for lane in lanes {
            draw_lane(&mut chart, &axis, lane, top)?;
            top -= LANE;
        }
        Ok(())
    })?;
    Ok(Figure { title: title.to_owned(), svg: Some(svg), keys, note: None })
}

fn draw_lane(chart: &mut Chart<'_, '_>, axis: &Axis, lane: &Lane, top: f64) -> Result<()> {
    let name = Text::new(summary(lane), (axis.start(), top - 11.0), text(INK, HPos::Left, VPos::Center));
    chart.draw_series([name])?;
    // The event; not through the names.
    let event = PathElement::new(vec![(0.0, top - 20.0), (0.0, top - LANE + 3.0)], line(INK, 1.0));
    chart.draw_series([event])?;
    draw_marks(chart, axis, &lane.adverts, (top - 24.0, top - 34.0), 1.5, QUIET)?;
    draw_marks(chart, axis, &lane.announcements, (top - 38.0, top - 54.0), 2.5, SERIES[0])?;
    if let Some(limit) = lane.limit.filter(|limit| is_drawable(*limit)) {
        dashes(chart, limit, (top - LANE + 4.0, top - 19.0), 6, line(LIMIT, 1.5))?;
    }
    Ok(())
}

/// The lane's name, and what happened in it after the event in numbers.
fn summary(lane: &Lane) -> String {
    let after: Vec<f64> =
        lane.announcements.iter().copied().filter(|time| is_drawable(*time) && *time >= 0.0).collect();
    let first = after.iter().copied().min_by(f64::total_cmp);
    let last = after.iter().copied().max_by(f64::total_cmp);
    let mut text = lane.name.clone();
    match (first, last) {
        (Some(first), Some(last)) if last > first => {
            text.push_str(&format!(": announces {} to {} ms", short(first), short(last)));
        }
        (Some(only), _) => text.push_str(&format!(": announces at {} ms", short(only))),
        (None, _) => {}
    }
    if let Some(limit) = lane.limit.filter(|limit| is_drawable(*limit)) {
        text.push_str(&format!(", limit {} ms", short(limit)));
    }
    text
}

/// A mark each; those that touch become one, however many they are.
fn draw_marks(
    chart: &mut Chart<'_, '_>,
    axis: &Axis,
    times: &[f64],
    (top, bottom): (f64, f64),
    width: f64,
    colour: Colour,
) -> Result<()> {
    let half = width / 2.0 / f64::from(WIDTH);
    let mut places: Vec<f64> =
        times.iter().filter(|time| is_drawable(**time)).map(|time| axis.place(*time)).collect();
    places.sort_by(f64::total_cmp);
    let mut runs: Vec<(f64, f64)> = Vec::new();
    for place in places {
        match runs.last_mut() {
            Some((_, end)) if place - half <= *end => *end = place + half,
            Some(_) | None => runs.push((place - half, place + half)),
        }
    }
    let mark = |(from, to): (f64, f64)| {
        Rectangle::new([(axis.value(from), top), (axis.value(to), bottom)], colour.rgb().filled())
    };
    chart.draw_series(runs.into_iter().map(mark))?;
    Ok(())
}
