//! The report as one page: a file that can be mailed, printed and read on a phone, and loads nothing from anywhere.
//!
//! Owns the page's order and its text. Refuses to compute: what it shows is in the report.

use std::fmt::Write as _;

use super::report::{Goal, Plot, Report, Section, Table, Verdict};

mod axis;
mod colour;
#[cfg(test)]
pub(super) mod example;
mod markup;
mod plot;
#[cfg(test)]
mod tests;

use colour::Palette;
use markup::{anchor, escape};
use plot::Figure;

const STYLE: &str = include_str!("html/style.css");
/// So many timelines are shown at once; more are folded away.
const OPEN: usize = 4;

/// The whole page.
pub(super) fn page(report: &Report) -> String {
    let plots = report.sections.iter().flat_map(|section| &section.plots);
    let palette = Palette::new(plots.flat_map(plot::names));
    let mut page = Page { text: String::new(), palette };
    page.head();
    page.machine(report);
    page.goals(&report.goals);
    for section in &report.sections {
        page.section(section);
    }
    page.add(format_args!(
        "<footer>Made by <code>cargo xtask bench</code>. The numbers behind this page are in <code>report.json</code> \
         beside it.</footer>\n</main>\n</body>\n</html>\n"
    ));
    page.text
}

#[derive(Debug)]
struct Page {
    text: String,
    palette: Palette,
}

impl Page {
    fn add(&mut self, text: std::fmt::Arguments<'_>) {
        // Writing to a String cannot fail.
        self.text.write_fmt(text).unwrap_or_default();
    }

    fn head(&mut self) {
        let rules = colour::rules();
        self.add(format_args!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta name=\"color-scheme\" content=\"light dark\">\n\
             <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
             <title>vrrp bench</title>\n<style>\n{rules}{STYLE}</style>\n</head>\n<body>\n<main>\n"
        ));
    }

    fn machine(&mut self, report: &Report) {
        let machine = &report.machine;
        self.add(format_args!(
            "<header>\n<h1>vrrp, measured</h1>\n<p class=\"lead\">Ours and a real keepalived, alternately, in one run, \
             on one machine; watched from a third place with the kernel\u{2019}s stamps.</p>\n"
        ));
        if report.quick {
            self.add(format_args!(
                "<p class=\"warn\">A quick run: fewer rounds and shorter windows. A first impression, no proof.</p>\n"
            ));
        }
        if let Some(noise) = machine.noise.told() {
            self.add(format_args!(
                "<p class=\"warn\">{}: compare within this run, not with others.</p>\n",
                escape(&noise)
            ));
        }
        self.add(format_args!("<dl>\n"));
        let cpus = if machine.cpus == 1 { "1 CPU".to_owned() } else { format!("{} CPUs", machine.cpus) };
        let cpu = if machine.cpu.is_empty() { cpus } else { format!("{cpus}, {}", machine.cpu) };
        let facts = [
            ("date", machine.date.clone()),
            ("commit", machine.commit.clone()),
            ("took", super::text::duration(report.seconds)),
            ("kernel", machine.kernel.clone()),
            ("machine", format!("{cpu}, {} MiB", machine.memory_mib)),
            ("load before", machine.load_before.clone()),
            ("load after", machine.load_after.clone()),
            ("steal", per_cent(machine.noise.steal)),
            ("other programs", per_cent(machine.noise.foreign)),
        ];
        for (name, value) in facts.iter().map(|(name, value)| (*name, value)) {
            self.fact(name, value);
        }
        for (name, version) in &machine.versions {
            self.fact(name, version);
        }
        self.add(format_args!("</dl>\n"));
        if report.sections.len() > 1 {
            self.add(format_args!("<nav>"));
            for section in &report.sections {
                self.add(format_args!(
                    "<a href=\"#{}\">{}</a>",
                    anchor(&section.name),
                    escape(&section.title)
                ));
            }
            self.add(format_args!("</nav>\n"));
        }
        self.add(format_args!("</header>\n"));
    }

    fn fact(&mut self, name: &str, value: &str) {
        if !value.is_empty() {
            self.add(format_args!("<div><dt>{}</dt><dd>{}</dd></div>\n", escape(name), escape(value)));
        }
    }

    fn goals(&mut self, goals: &[Goal]) {
        if goals.is_empty() {
            return;
        }
        let count = |verdict| goals.iter().filter(|goal| goal.reached == verdict).count();
        self.add(format_args!(
            "<section id=\"goals\">\n<h2>Goals</h2>\n<p class=\"score\"><b>{}</b> of {} reached</p>\n<div class=\"gauge\">",
            count(Verdict::Reached),
            goals.len()
        ));
        for verdict in [Verdict::Reached, Verdict::Missed, Verdict::Unknown] {
            let (count, class) = (count(verdict), verdict.name());
            if count > 0 {
                self.add(format_args!("<span class=\"{class}\" style=\"flex-grow:{count}\"></span>"));
            }
        }
        self.add(format_args!(
            "</div>\n<table class=\"goals\">\n<thead><tr><th></th><th>what</th><th>goal</th><th>measured</th></tr></thead>\n<tbody>\n"
        ));
        for goal in goals {
            let (class, sign) = (goal.reached.name(), goal.reached.sign());
            self.add(format_args!(
                "<tr><td><span class=\"verdict {class}\">{sign} {class}</span></td><td>{}</td><td data-name=\"goal\">{}</td>\
                 <td data-name=\"measured\">{}</td></tr>\n",
                escape(&goal.what),
                escape(&goal.goal),
                escape(&goal.measured)
            ));
        }
        self.add(format_args!("</tbody>\n</table>\n</section>\n"));
    }

    fn section(&mut self, section: &Section) {
        self.add(format_args!(
            "<section id=\"{}\">\n<h2>{}</h2>\n",
            anchor(&section.name),
            escape(&section.title)
        ));
        for paragraph in section.explanation.split("\n\n").filter(|paragraph| !paragraph.is_empty()) {
            self.add(format_args!("<p class=\"explanation\">{}</p>\n", escape(paragraph)));
        }
        for table in &section.tables {
            self.table(table);
        }
        let is_timeline = |plot: &&Plot| matches!(plot, Plot::Timeline { .. });
        let (timelines, others): (Vec<&Plot>, Vec<&Plot>) = section.plots.iter().partition(is_timeline);
        self.figures(&others);
        if timelines.len() > OPEN {
            self.add(format_args!("<details><summary>{} timelines</summary>\n", timelines.len()));
            self.figures(&timelines);
            self.add(format_args!("</details>\n"));
        } else {
            self.figures(&timelines);
        }
        if !section.remarks.is_empty() {
            self.add(format_args!("<ul class=\"remarks\">\n"));
            for remark in &section.remarks {
                self.add(format_args!("<li>{}</li>\n", escape(remark)));
            }
            self.add(format_args!("</ul>\n"));
        }
        self.add(format_args!("</section>\n"));
    }

    fn table(&mut self, table: &Table) {
        let numeric: Vec<bool> = (0..table.columns.len()).map(|column| table.is_numeric(column)).collect();
        let class = |column: usize| if numeric.get(column) == Some(&true) { " class=\"n\"" } else { "" };
        self.add(format_args!(
            "<h3>{}</h3>\n<div class=\"scroll\" tabindex=\"0\"><table>\n<thead><tr>",
            escape(&table.title)
        ));
        for (column, title) in table.columns.iter().enumerate() {
            self.add(format_args!("<th{}>{}</th>", class(column), escape(title)));
        }
        self.add(format_args!("</tr></thead>\n<tbody>\n"));
        for row in &table.rows {
            self.add(format_args!("<tr{}>", if row.noise.is_some() { " class=\"noisy\"" } else { "" }));
            for (column, cell) in row.cells.iter().enumerate() {
                let dot = self.palette.number(cell).map(|number| format!("<i class=\"dot s{number}\"></i>"));
                let dot = dot.unwrap_or_default();
                self.add(format_args!("<td{}>{dot}{}</td>", class(column), escape(cell)));
            }
            self.add(format_args!("</tr>\n"));
            if let Some(noise) = &row.noise {
                self.add(format_args!(
                    "<tr class=\"noise\"><td colspan=\"{}\"><span>\u{26a0}\u{fe0e} noisy: {}</span></td></tr>\n",
                    table.columns.len().max(1),
                    escape(noise)
                ));
            }
        }
        self.add(format_args!("</tbody>\n</table></div>\n"));
    }

    fn figures(&mut self, plots: &[&Plot]) {
        if plots.is_empty() {
            return;
        }
        self.add(format_args!("<div class=\"figures\">\n"));
        for plot in plots {
            match plot::draw(plot, &self.palette) {
                Ok(figure) => self.figure(&figure),
                // Half an hour of measurements is not lost for a picture.
                Err(error) => {
                    let why = escape(&format!("{error:#}"));
                    self.add(format_args!("<p class=\"warn\">A picture could not be drawn: {why}</p>\n"));
                }
            }
        }
        self.add(format_args!("</div>\n"));
    }

    fn figure(&mut self, figure: &Figure) {
        self.add(format_args!(
            "<figure>\n<figcaption>{}</figcaption>\n<ul class=\"keys\">",
            escape(&figure.title)
        ));
        for key in &figure.keys {
            self.add(format_args!(
                "<li><i class=\"dot {}\"></i>{} <small>{}</small></li>",
                escape(&key.class),
                escape(&key.name),
                escape(&key.detail)
            ));
        }
        self.add(format_args!("</ul>\n"));
        match &figure.svg {
            Some(svg) => self.text.push_str(svg),
            None => self.add(format_args!("<p class=\"nothing\">Nothing was measured.</p>\n")),
        }
        if let Some(note) = &figure.note {
            self.add(format_args!("<p class=\"note\">{}</p>\n", escape(note)));
        }
        self.add(format_args!("</figure>\n"));
    }
}

fn per_cent(share: f64) -> String {
    #[expect(clippy::float_arithmetic, reason = "a share")]
    let value = share * 100.0;
    format!("{value:.1} %")
}
