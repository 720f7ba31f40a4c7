//! The page holds whatever a report may hold, and shows nothing that was not measured.

use std::{fs, path::PathBuf};

use super::{
    axis::{Axis, label},
    colour::Palette,
    example, page, plot,
};
use crate::bench::{
    report::{Goal, Lane, Plot, Report, Row, Series, Subject, Table, Verdict},
    stats::Samples,
};

const EVIL: &str = "<script>alert('x')</script> & \"co\"";

fn series(name: &str, values: &[f64]) -> Series {
    Series::new(name, Samples(values.to_vec()))
}

fn bare() -> Report {
    Report { goals: Vec::new(), sections: Vec::new(), ..example::report() }
}

/// Every kind over the same values, as lines, marks and bars.
fn every_kind(name: &str, values: &[f64]) -> Vec<Plot> {
    let (title, unit) = (name.to_owned(), name.to_owned());
    let mut plots = Vec::new();
    for logarithmic in [false, true] {
        let series = vec![series(name, values), series("other", &[])];
        let (title, unit) = (title.clone(), unit.clone());
        plots.push(Plot::Cdf {
            title: title.clone(),
            unit: unit.clone(),
            logarithmic,
            series: series.clone(),
        });
        plots.push(Plot::Histogram {
            title: title.clone(),
            unit: unit.clone(),
            logarithmic,
            series: series.clone(),
        });
        let labels = values.iter().map(|_| name.to_owned()).collect();
        plots.push(Plot::Bars { title, unit, logarithmic, labels, series });
    }
    let lane = |limit| Lane {
        name: name.to_owned(),
        adverts: values.to_vec(),
        announcements: values.to_vec(),
        limit,
    };
    plots.push(Plot::Timeline { title, lanes: vec![lane(None), lane(values.first().copied())] });
    plots
}

fn svg(plot: &Plot) -> Option<String> {
    plot::draw(plot, &Palette::new(plot::names(plot))).unwrap().svg
}

/// The parts that a shape's place is made of.
fn numbers(svg: &str) -> Vec<f64> {
    const PLACES: [&str; 12] =
        ["x", "y", "width", "height", "x1", "x2", "y1", "y2", "cx", "cy", "r", "points"];
    let quoted: Vec<&str> = svg.split('"').collect();
    let attributes = quoted.windows(2).filter(|pair| {
        PLACES
            .iter()
            .any(|name| pair[0].strip_suffix('=').is_some_and(|before| before.ends_with(&format!(" {name}"))))
    });
    attributes
        .flat_map(|pair| pair[1].split([',', ' ']))
        .filter(|number| !number.is_empty())
        .map(|number| number.parse().unwrap())
        .collect()
}

#[test]
fn foreign_text_stays_text() {
    let mut report = bare();
    report.machine.kernel = EVIL.to_owned();
    report.machine.versions = vec![(EVIL.to_owned(), EVIL.to_owned())];
    report.goals = vec![Goal {
        what: EVIL.to_owned(),
        goal: EVIL.to_owned(),
        measured: EVIL.to_owned(),
        reached: Verdict::Reached,
        samples: Vec::new(),
        subject: Subject::Timeline,
    }];
    let mut section = crate::bench::report::Section::new(EVIL, EVIL, EVIL);
    let mut table = Table::new(EVIL, &[EVIL]);
    table.rows.push(Row { cells: vec![EVIL.to_owned()], noise: Some(EVIL.to_owned()), samples: Vec::new() });
    section.tables.push(table);
    section.plots = every_kind(EVIL, &[1.0, 2.0]);
    section.remarks.push(EVIL.to_owned());
    report.sections = vec![section.clone(), section];
    let page = page(&report);
    assert!(!page.contains("<script"), "a tag got through");
    assert!(!page.contains("\"co\""), "a quote got through");
    assert!(page.matches("&lt;script&gt;").count() > 30);
}

#[test]
fn the_page_loads_nothing() {
    let page = page(&example::report());
    for foreign in ["http:", "https:", "src=", "url(", "@import", "<link", "<script"] {
        let namespace = page.matches("http://www.w3.org/2000/svg").count();
        let expected = if foreign == "http:" { namespace } else { 0 };
        assert_eq!(page.matches(foreign).count(), expected, "{foreign}");
    }
    assert!(page.contains("default-src 'none'"));
}

#[test]
fn what_was_measured_is_on_the_page() {
    let report = example::report();
    let page = page(&report);
    for expected in [
        "3</b> of 5 reached",
        "6.18.5-cloud",
        "21 min 52 s",
        "c28fcb3a91d0",
        "1.3 %",
        "11 % of the CPU stolen",
    ] {
        assert!(page.contains(expected), "{expected}");
    }
    let svgs = page.matches("<svg ").count();
    let plots = report.sections.iter().map(|section| section.plots.len()).sum::<usize>();
    // The last one has no series.
    assert_eq!((svgs, page.matches("Nothing was measured").count()), (plots - 1, 1));
    assert!(!page.contains("could not be drawn"));
    // A row's name has the colour of its line.
    assert!(page.contains("<i class=\"dot s1\"></i>keepalived</td>"));
}

#[test]
fn every_kind_is_drawn() {
    for plot in every_kind("a", &[3.0, 1.0, 2.0, 250.0]) {
        let svg = svg(&plot).unwrap();
        assert!(svg.starts_with("<svg role=\"img\" ") && svg.trim_end().ends_with("</svg>"), "{plot:?}");
        let shapes = ["<polyline", "<rect", "<polygon"].map(|shape| svg.matches(shape).count());
        assert!(shapes.iter().sum::<usize>() > 0, "{plot:?}");
    }
}

#[test]
fn nothing_is_drawn_of_nothing() {
    for values in [&[][..], &[f64::NAN], &[f64::INFINITY, f64::NEG_INFINITY, f64::NAN], &[f64::MAX]] {
        for plot in every_kind("a", values) {
            assert!(svg(&plot).is_none(), "{plot:?}");
        }
    }
    for plot in [
        Plot::Timeline { title: String::new(), lanes: Vec::new() },
        Plot::Bars {
            title: String::new(),
            unit: String::new(),
            logarithmic: false,
            labels: vec!["a".to_owned()],
            series: Vec::new(),
        },
    ] {
        assert!(svg(&plot).is_none(), "{plot:?}");
    }
}

#[test]
fn one_sample_is_a_picture() {
    for value in [0.0, 1.0, -1.0, 1e-12, 123.456, -0.004, 9e14] {
        for plot in every_kind("a", &[value]) {
            let svg = svg(&plot).unwrap();
            assert!(!numbers(&svg).is_empty(), "{plot:?}");
        }
    }
}

#[test]
fn no_value_leaves_the_picture_or_is_not_a_number() {
    let wild =
        [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MAX, f64::MIN, -5.0, 0.0, 1e-300, 1e-3, 7.0, 9e14];
    for plot in every_kind("a", &wild) {
        let svg = svg(&plot).unwrap();
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{plot:?}");
        // The first two are the picture's own size.
        let numbers = numbers(&svg);
        let outside = numbers.iter().find(|number| **number < -20.0 || **number > numbers[0].max(numbers[1]));
        assert_eq!(outside, None, "{plot:?}");
    }
}

#[test]
fn what_a_picture_leaves_out_is_said() {
    let plot = Plot::Cdf {
        title: String::new(),
        unit: "ms".to_owned(),
        logarithmic: true,
        series: vec![series("a", &[f64::NAN, -1.0, 0.0, 2.0, 30.0])],
    };
    let figure = plot::draw(&plot, &Palette::default()).unwrap();
    assert_eq!(figure.note.unwrap(), "1 without a value left out; 2 at or below 2 drawn there");
    assert_eq!(figure.keys[0].detail, "median 1.00 ms, 4 samples");
}

#[test]
fn quantiles_are_told_with_the_number_of_samples_behind_them() {
    let quantiles = series("a", &[1.0, 2.0, 3.0]).of(60_000);
    let json = serde_json::to_value(&quantiles).unwrap();
    assert_eq!(json["values"], serde_json::json!({ "count": 60_000, "quantiles": [1.0, 2.0, 3.0] }));
    let plot =
        Plot::Cdf { title: String::new(), unit: "ms".to_owned(), logarithmic: true, series: vec![quantiles] };
    let figure = plot::draw(&plot, &Palette::default()).unwrap();
    assert_eq!(figure.keys[0].detail, "median 2.00 ms, 60000 samples");
}

#[test]
fn a_crowd_of_marks_does_not_make_a_crowd_of_shapes() {
    let adverts: Vec<f64> = (0..20_000).map(|number| f64::from(number) / 50.0).collect();
    let lane = Lane { name: "a".to_owned(), adverts, announcements: vec![1.0, 300.0], limit: Some(36.5) };
    let svg = svg(&Plot::Timeline { title: String::new(), lanes: vec![lane] }).unwrap();
    assert_eq!(svg.matches("<rect").count(), 3);
    assert!(svg.len() < 10_000, "{}", svg.len());
}

#[test]
fn axes_begin_and_end_at_round_numbers_around_the_values() {
    let ends = |axis: Axis| (axis.value(0.0), axis.value(1.0));
    assert_eq!(ends(Axis::linear([3.0, 97.0])), (0.0, 100.0));
    assert_eq!(ends(Axis::linear([640.0, 660.0])), (640.0, 660.0));
    assert_eq!(ends(Axis::linear([-120.0, 310.0])), (-200.0, 400.0));
    let (from, to) = ends(Axis::logarithmic([0.3, 450.0]));
    assert!((from - 0.2).abs() < 1e-9 && (to - 500.0).abs() < 1e-9, "{from} {to}");
    assert_eq!(Axis::logarithmic([-3.0, 0.0]), Axis::linear([-3.0, 0.0]));
}

#[test]
fn labels_have_no_digits_without_meaning() {
    let labels = [0.1 + 0.2, 1e-6, 1234.0, 50_000.0, 1_234_567.5, -20.0, 0.0].map(label);
    assert_eq!(
        labels,
        ["0.3", "0.000001", "1234", "50\u{202f}000", "1\u{202f}234\u{202f}567.5", "\u{2212}20", "0"]
    );
}

#[test]
fn an_example_lies_in_the_build_folder_to_be_looked_at() {
    let program = std::env::current_exe().unwrap();
    let folder: PathBuf = program.ancestors().nth(3).unwrap().join("tmp/bench-example");
    let (json, html) = example::report().write(&folder).unwrap();
    assert!(fs::metadata(json).unwrap().len() > 1000);
    assert!(fs::metadata(html).unwrap().len() < 1 << 20, "a page of many pictures has to stay small");
}
