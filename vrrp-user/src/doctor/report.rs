//! The findings as a person reads them, and as a program does.

use std::fmt::Write as _;

use serde::Serialize;

use super::finding::{Finding, Severity};

/// Everything that was found, and where it was looked for.
#[derive(Debug, Serialize)]
pub struct Report {
    pub local: Subject,
    pub peer: Option<Subject>,
    pub findings: Vec<Finding>,
}

/// A server that was asked.
#[derive(Debug, Serialize)]
pub struct Subject {
    pub place: String,
    /// None: it did not answer.
    pub server: Option<String>,
    pub role: Option<String>,
}

impl Report {
    pub fn worst(&self) -> Option<Severity> {
        self.findings.iter().map(|finding| finding.severity).max()
    }

    /// 0: nothing, 1: warnings, 2: errors.
    pub fn exit_code(&self) -> u8 {
        match self.worst() {
            Some(Severity::Error) => 2,
            Some(Severity::Warning) => 1,
            Some(Severity::Info) | None => 0,
        }
    }

    /// For a terminal of that width; `has_colour` paints the severities.
    pub fn table(&self, width: usize, has_colour: bool) -> String {
        let mut text = String::new();
        let width = width.clamp(60, 140);
        for (name, subject) in [("local", Some(&self.local)), ("peer", self.peer.as_ref())] {
            let Some(subject) = subject else { continue };
            let server = subject.server.as_deref().unwrap_or("no answer");
            let role = subject.role.as_deref().map_or(String::new(), |role| format!(", {role}"));
            // Writing to a String cannot fail.
            writeln!(text, "{name:<6} {}  {server}{role}", subject.place).ok();
        }
        for finding in &self.findings {
            let head = format!("{:<8} {:<6} {}", finding.severity, finding.node, finding.check);
            let head = if has_colour { paint(&head, finding.severity) } else { head };
            writeln!(text, "\n{head}").ok();
            for (label, what) in
                [("found", finding.found.as_str()), ("why", finding.why), ("mend", &finding.mend)]
            {
                for (index, line) in wrap(what, width.saturating_sub(9)).iter().enumerate() {
                    writeln!(text, "  {:<6} {line}", if index == 0 { label } else { "" }).ok();
                }
            }
        }
        let count = |severity| self.findings.iter().filter(|finding| finding.severity == severity).count();
        let (errors, warnings, infos) =
            (count(Severity::Error), count(Severity::Warning), count(Severity::Info));
        let (errors, warnings) = (counted(errors, "error"), counted(warnings, "warning"));
        writeln!(text, "\n{errors}, {warnings}, {infos} to know").ok();
        if self.peer.is_none() {
            text.push_str("the peer was not asked: --peer ADDRESS compares the two\n");
        }
        text
    }
}

fn counted(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

fn paint(text: &str, severity: Severity) -> String {
    let colour = match severity {
        Severity::Error => 31,
        Severity::Warning => 33,
        Severity::Info => 36,
    };
    format!("\u{1b}[{colour}m{text}\u{1b}[0m")
}

/// At spaces; a word longer than a line stays whole.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let is_full = lines
            .last()
            .is_some_and(|line| !line.is_empty() && line.chars().count() + 1 + word.chars().count() > width);
        if is_full {
            lines.push(String::new());
        }
        if let Some(line) = lines.last_mut() {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_wrapped_at_spaces() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("averylongword x", 5), ["averylongword", "x"]);
        assert_eq!(wrap("", 5), [""]);
    }

    #[test]
    fn one_is_no_plural() {
        assert_eq!([0, 1, 2].map(|count| counted(count, "error")), ["0 errors", "1 error", "2 errors"]);
    }
}
