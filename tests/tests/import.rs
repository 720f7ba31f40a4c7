//! Moving over from keepalived: the two files of the recipe, imported, keep the recipe's promises, as a pair of ours and
//! beside a real keepalived that runs the other file.
#![expect(clippy::unwrap_used, reason = "a test panics when it fails")]

mod import {
    pub(super) mod files;
    pub(super) mod promises;
    pub(super) mod site;
}

use std::process::ExitCode;

use vrrp_lab::harness;

fn main() -> ExitCode {
    harness::run([import::files::tests(), import::promises::tests()].concat())
}
