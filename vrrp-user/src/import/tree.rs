//! Lines to statements in blocks; braces that are missing or too many are reported and lived with.
//!
//! Owns the nesting. Of keywords it knows only those that stand nowhere but at the top.

use super::define::Raw;
use super::report::{Place, Report};
use super::words::{Token, tokens};

/// Deeper than any configuration.
const MAX_DEPTH: usize = 32;

/// Inside a block one of these means that the block was never closed.
const TOP_ONLY: [&str; 13] = [
    "global_defs",
    "vrrp_instance",
    "vrrp_script",
    "vrrp_sync_group",
    "vrrp_track_process",
    "vrrp_track_file",
    "virtual_server",
    "virtual_server_group",
    "static_ipaddress",
    "static_routes",
    "static_rules",
    "bfd_instance",
    "garp_group",
];

/// Words, and the block behind them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Statement {
    /// Empty only for a block that has no name.
    pub(super) words: Vec<String>,
    pub(super) place: Place,
    pub(super) comment: Option<String>,
    /// The comment cut the last word short.
    pub(super) is_cut: bool,
    pub(super) block: Option<Vec<Self>>,
}

impl Statement {
    pub(super) fn keyword(&self) -> &str {
        self.words.first().map_or("", String::as_str)
    }

    /// The word behind the keyword.
    pub(super) fn value(&self) -> Option<&str> {
        self.words.get(1).map(String::as_str)
    }

    pub(super) fn inside(&self) -> &[Self] {
        self.block.as_deref().unwrap_or_default()
    }
}

/// Takes line after line.
#[derive(Debug, Default)]
pub(super) struct Builder {
    done: Vec<Statement>,
    /// Blocks that are open, the innermost last.
    open: Vec<Statement>,
    /// Blocks too deep to keep.
    buried: usize,
}

impl Builder {
    pub(super) fn line(&mut self, raw: &Raw, report: &mut Report) {
        let mut comment = raw.comment.as_deref().map(str::to_owned);
        let mut current: Option<Statement> = None;
        for token in tokens(&raw.code) {
            match token {
                Token::Word(word) => {
                    let statement = current.get_or_insert_with(|| Statement {
                        place: raw.place,
                        comment: comment.take(),
                        is_cut: raw.is_cut,
                        ..Statement::default()
                    });
                    statement.words.push(word);
                }
                Token::Open => {
                    let statement = current.take();
                    self.open_block(statement, raw.place, report);
                }
                Token::Close => {
                    self.push(current.take());
                    self.close_block(raw.place, report);
                }
            }
        }
        self.push(current);
    }

    /// Everything; blocks still open are closed, and that is said.
    pub(super) fn finish(mut self, report: &mut Report) -> Vec<Statement> {
        while let Some(block) = self.open.pop() {
            let why = "has no closing brace; read as if it stood at the end of the file, as keepalived does";
            report.warn(block.place, &headline(&block), why);
            self.push(Some(block));
        }
        self.done
    }

    fn siblings(&mut self) -> &mut Vec<Statement> {
        match self.open.last_mut() {
            Some(block) => block.block.get_or_insert_default(),
            None => &mut self.done,
        }
    }

    fn push(&mut self, statement: Option<Statement>) {
        if self.buried == 0
            && let Some(statement) = statement
        {
            self.siblings().push(statement);
        }
    }

    fn open_block(&mut self, statement: Option<Statement>, place: Place, report: &mut Report) {
        if self.buried > 0 || self.open.len() >= MAX_DEPTH {
            if self.buried == 0 {
                report.error(place, "{", "is nested deeper than any configuration; left out");
            }
            self.buried += 1;
            return;
        }
        // A brace on a line of its own belongs to what stands before it.
        let before = self.siblings().pop_if(|last| last.block.is_none());
        let mut statement = match (statement, before) {
            (Some(statement), before) => {
                self.push(before);
                statement
            }
            (None, Some(before)) => before,
            (None, None) => {
                report.warn(place, "{", "belongs to no keyword; the block is left out, as keepalived does");
                Statement { place, ..Statement::default() }
            }
        };
        if TOP_ONLY.contains(&statement.keyword()) {
            while let Some(block) = self.open.pop() {
                let why = format!(
                    "has no closing brace before the next `{}`, which keepalived therefore does not know; read here as if \
                     it had one",
                    statement.keyword()
                );
                report.error(block.place, &headline(&block), why);
                self.push(Some(block));
            }
        }
        statement.block = Some(Vec::new());
        self.open.push(statement);
    }

    fn close_block(&mut self, place: Place, report: &mut Report) {
        if self.buried > 0 {
            self.buried -= 1;
            return;
        }
        match self.open.pop() {
            Some(block) => self.push(Some(block)),
            None => report.warn(place, "}", "closes nothing; left out"),
        }
    }
}

/// A block in a message.
fn headline(block: &Statement) -> String {
    if block.words.is_empty() { "{".to_owned() } else { block.words.join(" ") }
}
