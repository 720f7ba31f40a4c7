//! What the import has to say: each thing with its place in the keepalived files, a reason and a grade.
//!
//! Owns the gathering and the table. Refuses to know the language it reports on.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};

/// A line of one of the files that were read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    file: u32,
    /// From 1; 0 is the file as a whole.
    line: u32,
}

impl Place {
    pub(super) fn new(file: usize, line: usize) -> Self {
        let clip = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
        Self { file: clip(file), line: clip(line) }
    }

    /// Counted from 1.
    pub fn line(self) -> u32 {
        self.line
    }
}

/// How much it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Grade {
    /// The YAML does not do what the original did.
    Error,
    /// It does, or as good as; but something should be known or looked at.
    Warning,
    /// Left out, and nothing is lost by it.
    Ignored,
}

impl fmt::Display for Grade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Ignored => "ignored",
        })
    }
}

/// One line of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub grade: Grade,
    pub place: Place,
    /// keepalived's keyword, or the block.
    pub what: String,
    pub why: String,
    /// The same line may be read many times (`~SEQ`).
    pub times: usize,
}

/// All of them. Prints as a table.
#[derive(Clone, Debug, Default)]
pub struct Report {
    files: Vec<PathBuf>,
    findings: Vec<Finding>,
    known: HashMap<(Grade, Place, String, String), usize>,
}

impl Report {
    pub(super) fn add_file(&mut self, file: &Path) -> usize {
        self.files.push(file.to_owned());
        self.files.len() - 1
    }

    pub(super) fn add(&mut self, grade: Grade, place: Place, what: &str, why: impl Into<String>) {
        // A block without a name, or a name of two quotes.
        let what = if what.is_empty() { "\"\"".to_owned() } else { shown(what) };
        let why = why.into();
        let key = (grade, place, what.clone(), why.clone());
        if let Some(finding) = self.known.get(&key).and_then(|index| self.findings.get_mut(*index)) {
            finding.times += 1;
            return;
        }
        self.known.insert(key, self.findings.len());
        self.findings.push(Finding { grade, place, what, why, times: 1 });
    }

    pub(super) fn error(&mut self, place: Place, what: &str, why: impl Into<String>) {
        self.add(Grade::Error, place, what, why);
    }

    pub(super) fn warn(&mut self, place: Place, what: &str, why: impl Into<String>) {
        self.add(Grade::Warning, place, what, why);
    }

    pub(super) fn ignore(&mut self, place: Place, what: &str, why: impl Into<String>) {
        self.add(Grade::Ignored, place, what, why);
    }

    /// By file and line.
    pub(super) fn sort(&mut self) {
        self.known.clear();
        self.findings.sort_by_key(|finding| (finding.place, finding.grade));
    }

    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// `file:line`.
    pub fn place(&self, place: Place) -> String {
        let file = self.files.get(place.file as usize).map(|file| file.display().to_string());
        let file = file.unwrap_or_else(|| "?".to_owned());
        if place.line == 0 { file } else { format!("{file}:{}", place.line) }
    }

    pub fn count(&self, grade: Grade) -> usize {
        self.findings.iter().filter(|finding| finding.grade == grade).map(|finding| finding.times).sum()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let places: Vec<String> = self.findings.iter().map(|finding| self.place(finding.place)).collect();
        let width = |texts: &mut dyn Iterator<Item = usize>| texts.max().unwrap_or(0).min(40);
        let place_width = width(&mut places.iter().map(|place| place.chars().count()));
        let what_width = width(&mut self.findings.iter().map(|finding| finding.what.chars().count()));
        for (finding, place) in self.findings.iter().zip(&places) {
            let Finding { grade, what, why, times, .. } = finding;
            write!(f, "{grade:<7}  {place:<place_width$}  {what:<what_width$}  {why}")?;
            if *times > 1 {
                write!(f, " ({times} times)")?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

/// Text of the operator's in a message: one short line without control characters.
pub(super) fn shown(text: &str) -> String {
    const MOST: usize = 60;
    let clean = |c: char| if c.is_control() { '?' } else { c };
    let mut shown: String = text.chars().take(MOST).map(clean).collect();
    if text.chars().nth(MOST).is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_thing_twice_in_a_place_is_one_line() {
        let mut report = Report::default();
        let file = report.add_file(Path::new("a.conf"));
        for _ in 0..3 {
            report.error(Place::new(file, 7), "use_vmac", "why");
        }
        report.warn(Place::new(file, 2), "state", "because");
        report.sort();
        assert_eq!(
            report.to_string(),
            "warning  a.conf:2  state     because\nerror    a.conf:7  use_vmac  why (3 times)\n"
        );
        assert_eq!(report.count(Grade::Error), 3);
    }
}
