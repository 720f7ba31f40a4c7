//! The report on a terminal: aligned, folded to its width, and without colour where nobody would see it.
//!
//! Owns how it reads there. Refuses to know how it is drawn or kept.

use std::io::IsTerminal as _;

use super::report::{Report, Section, Table, Verdict};

mod table;
#[cfg(test)]
mod tests;

/// Where there is no terminal, and at most on one: longer lines are hard to follow.
const WIDTH: usize = 100;

/// One topic, as soon as it is done.
pub(super) fn print_section(section: &Section) {
    let (width, paint) = terminal();
    let mut lines = body(section, width, paint);
    lines.push(String::new());
    println!("{}", lines.join("\n"));
}

/// What there is to say when all topics have been told: where it was measured, how long it took, and the goals.
pub(super) fn print_end(report: &Report) {
    let (width, paint) = terminal();
    println!("{}", end(report, width, paint).join("\n"));
}

fn terminal() -> (usize, Paint) {
    let is_terminal = std::io::stdout().is_terminal();
    let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let width = crossterm::terminal::size().map_or(WIDTH, |(columns, _)| usize::from(columns));
    let width = if is_terminal { width.clamp(60, WIDTH) } else { WIDTH };
    (width, Paint(is_terminal && wanted))
}

fn end(report: &Report, width: usize, paint: Paint) -> Vec<String> {
    let mut lines = head(report, width, paint);
    lines.extend(report.sections.last().map(|times| body(times, width, paint)).unwrap_or_default());
    lines.extend(goals(report, width, paint));
    lines
}

/// Seconds, or minutes and seconds.
pub(super) fn duration(seconds: f64) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a run takes minutes; `as` saturates"
    )]
    let whole = seconds.round() as u64;
    if whole < 60 { format!("{whole} s") } else { format!("{} min {:02} s", whole / 60, whole % 60) }
}

fn head(report: &Report, width: usize, paint: Paint) -> Vec<String> {
    let machine = &report.machine;
    let quick = if report.quick { "quick run: a first impression, no proof" } else { "" };
    let first = ["vrrp bench", &machine.date, &machine.commit, &duration(report.seconds), quick];
    let cpus = format!("{} x {}", machine.cpus, machine.cpu);
    let memory = format!("{} MiB", machine.memory_mib);
    let load = format!("load {} before, {} after", machine.load_before, machine.load_after);
    #[expect(clippy::float_arithmetic, reason = "shares")]
    let [steal, foreign] = [machine.noise.steal, machine.noise.foreign].map(|share| share * 100.0);
    let noise = format!("steal {steal:.1} %, other programs {foreign:.1} %");
    let second =
        [&format!("Linux {}", machine.kernel), cpus.trim_end_matches([' ', 'x']), &memory, &load, &noise];
    let join = |parts: &[&str]| {
        parts.iter().filter(|part| !part.is_empty()).copied().collect::<Vec<_>>().join(" | ")
    };
    let mut lines = vec![String::new()];
    lines.extend(table::wrap(&join(&first), width).iter().map(|line| paint.bold(line)));
    lines.extend(table::wrap(&join(&second), width));
    for (name, version) in &machine.versions {
        lines.extend(table::wrap(&format!("{name}: {version}"), width));
    }
    if let Some(noise) = machine.noise.told() {
        lines.push(paint.yellow(&format!("{noise}: compare within this run, not with others.")));
    }
    lines
}

fn body(section: &Section, width: usize, paint: Paint) -> Vec<String> {
    let mut lines = vec![String::new(), String::new(), paint.bold(&section.title.to_uppercase())];
    for paragraph in section.explanation.split("\n\n").filter(|paragraph| !paragraph.is_empty()) {
        lines.extend(table::wrap(paragraph, width));
    }
    for table in &section.tables {
        lines.extend([String::new(), paint.bold(&table.title)]);
        lines.extend(table::lines(table, width, paint));
    }
    if !section.remarks.is_empty() {
        lines.push(String::new());
    }
    for remark in &section.remarks {
        let folded = table::wrap(remark, width.saturating_sub(2));
        let bullet = |(number, line)| format!("{} {line}", if number == 0 { '*' } else { ' ' });
        lines.extend(folded.into_iter().enumerate().map(bullet));
    }
    lines
}

fn goals(report: &Report, width: usize, paint: Paint) -> Vec<String> {
    if report.goals.is_empty() {
        return Vec::new();
    }
    let reached = report.goals.iter().filter(|goal| goal.reached == Verdict::Reached).count();
    let mut table = Table::new("", &["", "what", "goal", "measured"]);
    for goal in &report.goals {
        let verdict = format!("{} {}", goal.reached.sign(), goal.reached.name());
        let cells = [verdict, goal.what.clone(), goal.goal.clone(), goal.measured.clone()];
        table.rows.push(super::report::Row { cells: cells.into(), ..Default::default() });
    }
    let title = format!("GOALS: {reached} of {} reached", report.goals.len());
    let mut lines = vec![String::new(), String::new(), paint.bold(&title)];
    lines.extend(table::lines(&table, width, paint).into_iter().map(|line| paint.verdict(line)));
    lines
}

/// Colour, or none.
#[derive(Clone, Copy, Debug)]
struct Paint(bool);

impl Paint {
    fn wrapped(self, code: &str, text: &str) -> String {
        if self.0 { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    fn bold(self, text: &str) -> String {
        self.wrapped("1", text)
    }

    fn dim(self, text: &str) -> String {
        self.wrapped("2", text)
    }

    fn yellow(self, text: &str) -> String {
        self.wrapped("33", text)
    }

    /// Colours the verdict that a line begins with.
    fn verdict(self, line: String) -> String {
        for (verdict, code) in [(Verdict::Reached, "32"), (Verdict::Missed, "31"), (Verdict::Unknown, "33")] {
            let shown = format!("{} {}", verdict.sign(), verdict.name());
            if let Some(rest) = line.strip_prefix(&shown) {
                return format!("{}{rest}", self.wrapped(code, &shown));
            }
        }
        line
    }
}
