//! What one keyword of keepalived's set, and the readers of its values: seconds, switches, numbers.
//!
//! Owns "the last one counts", which is keepalived's rule for a keyword that stands twice.

use super::report::{Report, shown};
use super::tree::Statement;
use super::yaml::Origin;

/// A keyword's value and where it stood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Setting {
    pub(super) text: String,
    pub(super) origin: Origin,
}

pub(super) fn origin(statement: &Statement) -> Origin {
    Origin {
        place: statement.place,
        what: statement.keyword().to_owned(),
        comment: statement.comment.clone(),
    }
}

/// The keyword's value; a message if there is none.
pub(super) fn value(statement: &Statement, report: &mut Report) -> Option<Setting> {
    let Some(text) = statement.value() else {
        let why = "has no value; keepalived keeps its default, and so does this";
        report.warn(statement.place, statement.keyword(), why);
        return None;
    };
    Some(Setting { text: text.to_owned(), origin: origin(statement) })
}

/// Puts the keyword's value in its place; one that was there before is said.
pub(super) fn set(slot: &mut Option<Setting>, statement: &Statement, report: &mut Report) {
    let Some(setting) = value(statement, report) else { return };
    if let Some(earlier) = slot.replace(setting) {
        // A password has no place in a report.
        let text = if statement.keyword() == "auth_pass" {
            "it".to_owned()
        } else {
            format!("`{}`", shown(&earlier.text))
        };
        let why = format!(
            "stands again in line {}, and the last one counts: {text} here has no effect",
            statement.place.line(),
        );
        report.warn(earlier.origin.place, statement.keyword(), why);
    }
}

/// A switch: on without a value. None, and a message, if it is neither.
pub(super) fn switch(statement: &Statement, report: &mut Report) -> Option<bool> {
    match statement.value() {
        None | Some("on" | "true" | "yes") => Some(true),
        Some("off" | "false" | "no") => Some(false),
        Some(other) => {
            let why = format!("`{}` is neither on nor off; keepalived keeps its default", shown(other));
            report.warn(statement.place, statement.keyword(), why);
            None
        }
    }
}

/// `2.71828` seconds in microseconds, which is keepalived's resolution.
pub(super) fn micros(text: &str) -> Option<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(whole) || !is_number(fraction) || (whole.is_empty() && fraction.is_empty()) {
        return None;
    }
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let fraction: u64 = format!("{fraction:0<6}").get(..6)?.parse().ok()?;
    whole.checked_mul(1_000_000)?.checked_add(fraction)
}

/// Microseconds as our configuration has them.
pub(super) fn duration(micros: u64) -> String {
    if micros.is_multiple_of(1_000_000) {
        format!("{}s", micros / 1_000_000)
    } else if micros.is_multiple_of(1000) {
        format!("{}ms", micros / 1000)
    } else {
        format!("{micros}us")
    }
}

/// A duration for our configuration; text that is none is passed on, and the parser's refusal becomes the report's.
pub(super) fn seconds(text: &str) -> String {
    micros(text).map_or_else(|| text.to_owned(), duration)
}

/// What a name may have in our configuration, the rest as `_`.
pub(super) fn identifier(text: &str) -> String {
    let sane = |c: char| if c.is_ascii_alphanumeric() || "_.-:@".contains(c) { c } else { '_' };
    let mut name: String = text.chars().map(sane).take(64).collect();
    if name.is_empty() {
        name.push('_');
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_measured_against_literals() {
        for (text, expected) in [
            ("1", "1s"),
            ("0.92", "920ms"),
            ("2.71828", "2718280us"),
            ("5.5", "5500ms"),
            (".5", "500ms"),
            ("1.0000001", "1s"),
            ("30", "30s"),
            ("-1", "-1"),
            ("1,5", "1,5"),
            (".", "."),
            ("99999999999999999999", "99999999999999999999"),
        ] {
            assert_eq!(seconds(text), expected);
        }
    }
}
