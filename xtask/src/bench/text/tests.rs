//! What a terminal shows of a report: aligned, within its width, and plain where it has to be.

use super::*;
use crate::bench::{html::example, report::Row};

/// All that a run prints: its topics one by one, and the end.
fn render(report: &Report, width: usize, paint: Paint) -> String {
    let topics = report.sections.split_last().map(|(_, topics)| topics).unwrap_or_default();
    let mut lines: Vec<String> = topics.iter().flat_map(|section| body(section, width, paint)).collect();
    lines.extend(end(report, width, paint));
    lines.join("\n")
}

fn plain() -> String {
    render(&example::report(), WIDTH, Paint(false))
}

#[test]
fn no_line_is_wider_than_the_terminal() {
    for width in [60, 80, 100] {
        let text = render(&example::report(), width, Paint(false));
        let long = text.lines().find(|line| line.chars().count() > width);
        assert_eq!(long, None, "at {width}");
    }
}

#[test]
fn without_colour_there_is_no_escape() {
    assert!(!plain().contains('\x1b'));
    let coloured = render(&example::report(), WIDTH, Paint(true));
    assert!(
        coloured.contains("\x1b[32m\u{2713} reached\x1b[0m") && coloured.contains("\x1b[31m\u{2717} missed")
    );
}

#[test]
fn numbers_end_in_one_column() {
    let mut table = Table::new("", &["who", "very long title of ms"]);
    for cells in [["vrrp", "1.25"], ["keepalived", "649"], ["none", "-"]] {
        table.rows.push(Row { cells: cells.map(str::to_owned).into(), ..Row::default() });
    }
    let lines = table::lines(&table, 40, Paint(false));
    assert_eq!(
        lines,
        [
            "             very",
            "             long",
            "            title",
            "who         of ms",
            "-----------------",
            "vrrp         1.25",
            "keepalived    649",
            "none            -"
        ]
    );
}

#[test]
fn a_noisy_row_says_why() {
    let text = plain();
    let lines: Vec<&str> = text.lines().collect();
    let noisy = lines.iter().position(|line| line.contains("! noisy: 11 % of the CPU stolen")).unwrap();
    assert!(lines[noisy - 1].starts_with("kill -9       keepalived  "), "{}", lines[noisy - 1]);
}

#[test]
fn what_does_not_fit_side_by_side_comes_below_with_its_row_named_again() {
    let mut table = Table::new("", &["who", "one", "two", "three"]);
    table.rows.push(Row {
        cells: ["somebody", "1111111111", "2222222222", "3333333333"].map(str::to_owned).into(),
        noise: Some("load".to_owned()),
        samples: Vec::new(),
    });
    let text = table::lines(&table, 32, Paint(false)).join("\n");
    assert_eq!(text.matches("somebody").count(), 2);
    assert_eq!(text.matches("noisy").count(), 1);
    assert!(text.lines().all(|line| line.len() <= 32), "{text}");
}

#[test]
fn the_goals_come_last_with_their_verdicts() {
    let text = plain();
    let (_, goals) = text.split_once("GOALS: 3 of 5 reached").unwrap();
    for verdict in ["\u{2713} reached", "\u{2717} missed", "? unknown"] {
        assert!(goals.contains(verdict), "{verdict}");
    }
}

#[test]
fn an_empty_report_is_a_head() {
    let report = Report { goals: Vec::new(), sections: Vec::new(), ..example::report() };
    let text = render(&report, WIDTH, Paint(false));
    assert!(text.contains("vrrp bench | 2026-11-23") && !text.contains("GOALS"));
}

#[test]
fn durations_are_told_in_minutes_from_one_on() {
    assert_eq!([0.4, 59.4, 60.0, 1312.4].map(duration), ["0 s", "59 s", "1 min 00 s", "21 min 52 s"]);
}
