//! The planned switch: the owner is drained, and resumed once the other one has the address.
//!
//! Owns the two commands and the time between them. Refuses to touch the address itself.

use std::path::PathBuf;

use anyhow::Result;
use vrrp_lab::{
    Host, Process,
    clock::{self, SECOND},
};

/// Longer than any hand-over may take.
const LIMIT: u64 = 15 * SECOND;

/// Which daemon is asked, and how.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) binary: PathBuf,
    pub(super) socket: PathBuf,
    pub(super) instance: &'static str,
}

impl Target {
    fn order(&self, host: &Host, verb: &str) -> Result<Process> {
        let socket = self.socket.to_string_lossy();
        host.spawn(&format!("vrrp-{verb}"), &self.binary, &[verb, self.instance, "--socket", &socket])
    }
}

/// One switch on its way.
pub(super) struct Switch {
    pub(super) from: usize,
    target: Target,
    began_ns: u64,
    command: Process,
    is_resuming: bool,
}

impl Switch {
    /// Orders the owner to leave.
    pub(super) fn begin(host: &Host, from: usize, target: Target) -> Result<Self> {
        let command = target.order(host, "drain")?;
        Ok(Self { from, target, began_ns: clock::now_ns(), command, is_resuming: false })
    }

    /// What there is to tell, good or not, and whether that was all of it. Never waits.
    pub(super) fn look(&mut self, host: &Host, has_moved: bool) -> Result<(Vec<Word>, bool)> {
        let mut words = Vec::new();
        let ending = self.command.ending();
        if let Some(how) = ending.as_deref().filter(|how| *how != "exit code 0") {
            let log = self.command.log();
            let said = log.lines().next_back().unwrap_or(how);
            words.push(Word::Bad(format!("{} of {}: {said}", self.verb(), host.name())));
            return Ok((words, true));
        }
        if self.is_resuming {
            if ending.is_some() {
                words.push(Word::Good(format!("{} was resumed: it stands by", host.name())));
            }
            return Ok((words, ending.is_some()));
        }
        let is_late = clock::now_ns().saturating_sub(self.began_ns) > LIMIT;
        if ending.is_some() && (has_moved || is_late) {
            if !has_moved {
                let text = format!("nobody took over within {} s of the drain", LIMIT / SECOND);
                words.push(Word::Bad(text));
            }
            self.command = self.target.order(host, "resume")?;
            self.is_resuming = true;
        }
        Ok((words, false))
    }

    fn verb(&self) -> &'static str {
        if self.is_resuming { "resume" } else { "drain" }
    }
}

/// A word on the way.
pub(super) enum Word {
    Good(String),
    Bad(String),
}
