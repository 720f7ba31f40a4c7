//! What a bench run found out, as values: sections with tables and plots, goals, and the machine it was found out on.
//!
//! Owns the shape of the results; `text` prints them, `html` draws them, and as JSON they are kept. Refuses to measure.

use serde::{Serialize, Serializer, ser::SerializeStruct as _};

use super::{
    machine::Machine,
    stats::{Counted, Samples},
};

/// Version of the JSON form; changes when a field changes its meaning.
pub(crate) const SCHEMA: u32 = 1;

/// Everything.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) schema: u32,
    /// `--quick`: fewer rounds, shorter windows.
    pub(crate) quick: bool,
    pub(crate) machine: Machine,
    pub(crate) seconds: f64,
    pub(crate) goals: Vec<Goal>,
    pub(crate) sections: Vec<Section>,
}

/// One topic: failover, density, ...
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Section {
    /// As on the command line.
    pub(crate) name: String,
    pub(crate) title: String,
    /// What was done and how to read it, a few sentences.
    pub(crate) explanation: String,
    pub(crate) tables: Vec<Table>,
    pub(crate) plots: Vec<Plot>,
    /// What could not be measured, and why; what fell short, and what its limit is.
    pub(crate) remarks: Vec<String>,
}

impl Section {
    pub(crate) fn new(name: &str, title: &str, explanation: &str) -> Self {
        Self {
            name: name.to_owned(),
            title: title.to_owned(),
            explanation: explanation.to_owned(),
            tables: Vec::new(),
            plots: Vec::new(),
            remarks: Vec::new(),
        }
    }
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Table {
    pub(crate) title: String,
    pub(crate) columns: Vec<String>,
    pub(crate) rows: Vec<Row>,
}

impl Table {
    pub(crate) fn new(title: &str, columns: &[&str]) -> Self {
        let columns = columns.iter().map(|&column| column.to_owned()).collect();
        Self { title: title.to_owned(), columns, rows: Vec::new() }
    }

    /// Whether a column holds numbers, with units or without: such are aligned by their ends.
    pub(crate) fn is_numeric(&self, column: usize) -> bool {
        let mut cells = self.rows.iter().filter_map(|row| row.cells.get(column)).map(String::as_str);
        let is_gap = |cell: &str| cell.is_empty() || cell == "-";
        cells.clone().any(|cell| !is_gap(cell)) && cells.all(|cell| is_gap(cell) || is_number(cell))
    }
}

/// Begins like a number, and has no more letters than a unit: `-3.4 ms`, `5 of 5`, but not `10 ms, 200 instances`.
fn is_number(cell: &str) -> bool {
    let digits = cell.trim_start_matches(['-', '+', '<', '>', '~', '\u{2212}', '\u{2265}', '\u{2264}', ' ']);
    digits.starts_with(|first: char| first.is_ascii_digit())
        && cell.chars().filter(|c| c.is_alphabetic()).count() <= 3
}

#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Row {
    pub(crate) cells: Vec<String>,
    /// Why this row should not be trusted: steal, load.
    pub(crate) noise: Option<String>,
    /// The measured values behind the cells, by name.
    pub(crate) samples: Vec<(String, Samples)>,
}

/// A picture of measured values.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum Plot {
    /// Cumulative distribution, one line each; the x axis may be logarithmic.
    Cdf { title: String, unit: String, logarithmic: bool, series: Vec<Series> },
    /// Histogram, one colour each; the x axis, and with it the bins, may be logarithmic.
    Histogram { title: String, unit: String, logarithmic: bool, series: Vec<Series> },
    /// One lane per host or event source over time; time 0 is the event.
    Timeline { title: String, lanes: Vec<Lane> },
    /// Bars in groups: one group per label, one bar per series.
    Bars { title: String, unit: String, logarithmic: bool, labels: Vec<String>, series: Vec<Series> },
}

#[derive(Clone, Debug)]
pub(crate) struct Series {
    pub(crate) name: String,
    pub(crate) values: Samples,
    /// How many were measured: more than the values, if they are quantiles at equal distances.
    pub(crate) count: usize,
}

impl Series {
    pub(crate) fn new(name: &str, values: Samples) -> Self {
        Self { name: name.to_owned(), count: values.0.len(), values }
    }

    /// Of so many samples, of which these are the quantiles.
    pub(crate) fn of(self, count: usize) -> Self {
        Self { count, ..self }
    }
}

impl Serialize for Series {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Series", 2)?;
        fields.serialize_field("name", &self.name)?;
        fields.serialize_field("values", &Counted { samples: &self.values, count: self.count })?;
        fields.end()
    }
}

/// Marks at moments, in milliseconds from the event.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Lane {
    pub(crate) name: String,
    pub(crate) adverts: Vec<f64>,
    pub(crate) announcements: Vec<f64>,
    /// Where the RFC's limit lies, if it is known.
    pub(crate) limit: Option<f64>,
}

/// One line of the goals' table.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Goal {
    pub(crate) what: String,
    pub(crate) goal: String,
    pub(crate) measured: String,
    pub(crate) reached: Verdict,
    /// Our values behind it, round by round, by name.
    pub(crate) samples: Vec<(String, Samples)>,
    #[serde(skip)]
    pub(crate) subject: Subject,
}

/// What a goal is about: what to look at when it is missed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    /// CPU and punctuality of a pair in version 3.
    Density { advert_ms: u32, instances: usize },
    /// What packets cost in the kernel half.
    KernelHalf,
    /// What a flood of junk costs.
    Junk,
    /// From arrival to decision.
    Latency,
    /// When what happened.
    Timeline,
    /// What the winner of a managed server does before its address comes.
    Winning,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Verdict {
    Reached,
    Missed,
    /// The machine's noise does not allow an answer, or the case was not run.
    Unknown,
}

impl Verdict {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Reached => "reached",
            Self::Missed => "missed",
            Self::Unknown => "unknown",
        }
    }

    /// For those who do not see the colour.
    pub(crate) const fn sign(self) -> char {
        match self {
            Self::Reached => '\u{2713}',
            Self::Missed => '\u{2717}',
            Self::Unknown => '?',
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_of_numbers_may_have_units_and_gaps_but_no_words() {
        let mut table = Table::new("", &["setting", "ms", "share", "nothing"]);
        for cells in [["10 ms, 200 instances", "1.25", "99.9 %", "-"], ["1 s", "-", "5 of 5", ""]] {
            table.rows.push(Row { cells: cells.map(str::to_owned).into(), ..Row::default() });
        }
        assert_eq!([0, 1, 2, 3, 4].map(|column| table.is_numeric(column)), [false, true, true, false, false]);
    }
}
