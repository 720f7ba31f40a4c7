//! What is wrong or odd with a file: gathered while it is read, given line and column at the end.

use std::fmt;
use std::path::{Path as FilePath, PathBuf};

use super::tree::{Path, locate};

/// More are counted, not shown: each costs a walk through the text, and nobody reads on.
pub(super) const MAX_SHOWN: usize = 50;

/// One thing to tell the operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub file: PathBuf,
    /// Line and column, both counted from 1, where one is known.
    pub place: Option<(usize, usize)>,
    /// The key's path, as in `instances[0].priority`; empty for the document itself.
    pub path: String,
    pub message: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file.display())?;
        if let Some((line, column)) = self.place {
            write!(f, "{line}:{column}:")?;
        }
        if !self.path.is_empty() {
            write!(f, " {}:", self.path)?;
        }
        write!(f, " {}", self.message)
    }
}

struct Problem {
    path: Path,
    /// The key is at fault, not its value.
    key: bool,
    message: String,
}

impl Problem {
    fn located(self, text: &str, file: &FilePath) -> Finding {
        Finding {
            file: file.to_owned(),
            place: locate(text, &self.path, self.key).map(|place| (place.line, place.column)),
            path: self.path.to_string(),
            message: self.message,
        }
    }
}

/// All that was found so far.
#[derive(Default)]
pub(super) struct Problems {
    errors: Vec<Problem>,
    warnings: Vec<Problem>,
}

impl Problems {
    pub(super) fn value(&mut self, path: &Path, message: impl Into<String>) {
        self.errors.push(Problem { path: path.clone(), key: false, message: message.into() });
    }

    pub(super) fn key(&mut self, path: &Path, message: impl Into<String>) {
        self.errors.push(Problem { path: path.clone(), key: true, message: message.into() });
    }

    pub(super) fn warn(&mut self, path: &Path, message: impl Into<String>) {
        self.warnings.push(Problem { path: path.clone(), key: false, message: message.into() });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.errors.is_empty()
    }

    /// The errors in the order of the file, and how many more there are.
    pub(super) fn errors(self, text: &str, file: &FilePath) -> (Vec<Finding>, usize) {
        let more = self.errors.len().saturating_sub(MAX_SHOWN);
        (located(self.errors, text, file), more)
    }

    /// The warnings in the order of the file.
    pub(super) fn warnings(self, text: &str, file: &FilePath) -> Vec<Finding> {
        located(self.warnings, text, file)
    }
}

fn located(problems: Vec<Problem>, text: &str, file: &FilePath) -> Vec<Finding> {
    let mut findings: Vec<Finding> =
        problems.into_iter().take(MAX_SHOWN).map(|problem| problem.located(text, file)).collect();
    findings.sort_by_key(|finding| finding.place);
    findings
}
