//! `$NAME=VALUE` definitions, and their replacement in a line.
//!
//! Owns names and where a replacement begins and ends. The reader decides what is done with a value of many lines.

use std::collections::HashMap;
use std::rc::Rc;

use super::report::Place;

/// A line of a definition's value, or of a file.
#[derive(Clone, Debug)]
pub(super) struct Raw {
    pub(super) code: String,
    pub(super) comment: Option<Rc<str>>,
    /// The comment begins inside a word: `pass!word`.
    pub(super) is_cut: bool,
    pub(super) place: Place,
}

/// Never empty.
pub(super) type Lines = Rc<[Raw]>;

/// What is defined so far.
#[derive(Debug, Default)]
pub(super) struct Definitions {
    known: HashMap<String, Lines>,
}

/// What a `$` in a line stands for.
#[derive(Clone, Debug)]
pub(super) enum Replacement {
    Text(String),
    Lines(Lines),
    /// `${_RANDOM ...}`: the least of the range.
    Random(String),
}

pub(super) fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// `$NAME=VALUE`: name and value.
pub(super) fn definition(line: &str) -> Option<(&str, &str)> {
    let (name, value) = line.strip_prefix('$')?.split_once('=')?;
    is_name(name).then(|| (name, value.trim()))
}

impl Definitions {
    pub(super) fn set(&mut self, name: &str, lines: Vec<Raw>) {
        if !lines.is_empty() {
            self.known.insert(name.to_owned(), lines.into());
        }
    }

    pub(super) fn set_text(&mut self, name: &str, code: String, place: Place) {
        self.set(name, vec![Raw { code, comment: None, is_cut: false, place }]);
    }

    /// The first `$` from `from` on that stands for something: where it begins and ends, and for what.
    pub(super) fn find(&self, line: &str, from: usize) -> Option<(usize, usize, Replacement)> {
        let mut start = from;
        while let Some(at) = line.get(start..)?.find('$').map(|at| start + at) {
            let rest = &line[at + 1..];
            let found = match rest.strip_prefix('{') {
                Some(inner) => inner.split_once('}').map(|(name, _)| (name, at + name.len() + 3)),
                None => {
                    let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
                    Some((&rest[..end], at + 1 + end))
                }
            };
            if let Some((name, end)) = found
                && let Some(replacement) = self.value(name)
            {
                return Some((at, end, replacement));
            }
            start = at + 1;
        }
        None
    }

    fn value(&self, name: &str) -> Option<Replacement> {
        if let Some(lines) = self.known.get(name) {
            return Some(match &lines[..] {
                [only] => Replacement::Text(only.code.clone()),
                [] | [..] => Replacement::Lines(Rc::clone(lines)),
            });
        }
        match name {
            // What keeps them from beginning a comment: comments are cut off before anything is replaced.
            "_HASH" => Some(Replacement::Text("#".to_owned())),
            "_BANG" => Some(Replacement::Text("!".to_owned())),
            _ => {
                let range = name.strip_prefix("_RANDOM")?.split_whitespace().next().unwrap_or("0");
                Some(Replacement::Random(range.to_owned()))
            }
        }
    }
}
