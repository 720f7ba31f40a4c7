//! One thing that is not as it should be: what, why it matters, and what mends it.

use std::fmt;

use serde::Serialize;

/// How bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Good to know.
    Info,
    /// A failover would be slower, or lose what it need not.
    Warning,
    /// This pair must not fail over like this.
    Error,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        })
    }
}

/// Where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Node {
    Local,
    Peer,
    /// Between the two.
    Pair,
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Local => "local",
            Self::Peer => "peer",
            Self::Pair => "pair",
        })
    }
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The check's name, which does not change between versions.
    pub check: &'static str,
    pub severity: Severity,
    pub node: Node,
    pub found: String,
    pub why: &'static str,
    /// The statement, or the line of my.cnf, that mends it.
    pub mend: String,
}

/// What the rules have found on one node, or between two.
#[derive(Debug)]
pub(super) struct Findings {
    node: Node,
    all: Vec<Finding>,
}

impl Findings {
    pub(super) fn on(node: Node) -> Self {
        Self { node, all: Vec::new() }
    }

    pub(super) fn error(
        &mut self,
        check: &'static str,
        found: impl Into<String>,
        why: &'static str,
        mend: impl Into<String>,
    ) {
        self.add(check, Severity::Error, found.into(), why, mend.into());
    }

    pub(super) fn warn(
        &mut self,
        check: &'static str,
        found: impl Into<String>,
        why: &'static str,
        mend: impl Into<String>,
    ) {
        self.add(check, Severity::Warning, found.into(), why, mend.into());
    }

    pub(super) fn info(
        &mut self,
        check: &'static str,
        found: impl Into<String>,
        why: &'static str,
        mend: impl Into<String>,
    ) {
        self.add(check, Severity::Info, found.into(), why, mend.into());
    }

    pub(super) fn into_all(self) -> Vec<Finding> {
        self.all
    }

    fn add(
        &mut self,
        check: &'static str,
        severity: Severity,
        found: String,
        why: &'static str,
        mend: String,
    ) {
        self.all.push(Finding { check, severity, node: self.node, found, why, mend });
    }
}
