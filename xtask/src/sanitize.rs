//! `cargo xtask sanitize`: the tests of what is unsafe, under the sanitizers of the compiler.
//!
//! Owns which tests run under which sanitizer, and says which could not. Refuses to know the tests. Miri would see more
//! and is part of nightly toolchains only; most of what is unsafe here are system calls, which it does not run anyway.

use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result};
use clap::ValueEnum;

use crate::{
    command::{answer, cargo, line, program, target_folder},
    fuzz::{host, no_kernel_half},
    test::{Totals, stream},
};

/// AddressSanitizer (bounds, lifetimes, leaks) over all unit tests of both halves, and over the root tests of what only a
/// kernel can try: receivers, ring, send sockets, witness and doors; ThreadSanitizer (races) over the unit tests of shared
/// memory: the slots, the board, the mailboxes.
#[derive(clap::Args)]
#[command(after_help = "Example: cargo xtask sanitize thread")]
pub(crate) struct Options {
    /// Which; both when left out
    sanitizers: Vec<Sanitizer>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Sanitizer {
    Address,
    Thread,
}

const ALL: [Sanitizer; 2] = [Sanitizer::Address, Sanitizer::Thread];

/// Programs of root tests that do not start the daemon, and which of their tests: no measurements. The daemon itself cannot run so: it
/// locks its memory, and the sanitizer's shadow of it is larger than any machine.
const ROOT_TESTS: [(&str, &str); 4] = [
    ("receiver", ""),
    ("prog_test_run", "--skip=every_kind_of_packet_is_measured"),
    ("checks", "the_witness_tells"),
    ("roles", "a_service_that_leaves"),
];

/// Unit tests that judge CPU time, which instrumented code takes several times as much of.
const TIMED: [&str; 3] =
    ["--skip=take_less_than_a_second", "--skip=is_as_quick", "--skip=come_out_one_by_one"];

/// The verb itself.
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    run_these(if options.sanitizers.is_empty() { &ALL } else { &options.sanitizers })
}

/// Both.
pub(crate) fn run_all() -> Result<ExitCode> {
    run_these(&ALL)
}

fn run_these(sanitizers: &[Sanitizer]) -> Result<ExitCode> {
    let (mut is_clean, mut skipped) = (true, Vec::new());
    for sanitizer in sanitizers {
        println!("== {}", sanitizer.name());
        match sanitizer.obstacle() {
            Some(why) => skipped.push(format!("{}: {why}", sanitizer.name())),
            None => is_clean &= sanitizer.run(&mut skipped)?,
        }
    }
    println!("\n{}", closing(is_clean, &skipped));
    // What was asked for and could not be done at all is no success.
    let is_good = is_clean && sanitizers.iter().any(|sanitizer| sanitizer.obstacle().is_none());
    Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What a run comes to; "nothing found" alone is said of everything only.
fn closing(is_clean: bool, skipped: &[String]) -> String {
    let found = if is_clean { "nothing found" } else { "see above" };
    if skipped.is_empty() {
        return format!("sanitize: {found}");
    }
    format!("sanitize: {found} in what ran; not run: {}", skipped.join("; "))
}

impl Sanitizer {
    const fn name(self) -> &'static str {
        match self {
            Self::Address => "address",
            Self::Thread => "thread",
        }
    }

    /// Tests with this in their names.
    const fn filters(self) -> &'static [&'static str] {
        match self {
            Self::Address => &[],
            Self::Thread => &["slot", "table::", "board", "mailbox"],
        }
    }

    /// A thread's steps inside an uninstrumented standard library would look like races.
    const fn needs_own_std(self) -> bool {
        match self {
            Self::Address => false,
            Self::Thread => true,
        }
    }

    fn obstacle(self) -> Option<&'static str> {
        let sysroot = answer(program("rustc").args(["--print", "sysroot"])).unwrap_or_default();
        let source = std::path::Path::new(sysroot.trim()).join("lib/rustlib/src/rust/library/std");
        (self.needs_own_std() && !source.exists())
            .then_some("the standard library's source is not installed (rustup component add rust-src)")
    }

    /// False if something was found; what could not run is noted.
    fn run(self, skipped: &mut Vec<String>) -> Result<bool> {
        let mut unit = self.tests(&["--package", "vrrp-ebpf", "--package", "vrrp-user", "--lib"])?;
        unit.arg("--").args(self.filters()).args(TIMED);
        let mut is_clean = self.judge(&mut unit, skipped)?;
        if self == Self::Address {
            for (program, filter) in ROOT_TESTS {
                let mut tests = self.tests(&["--package", "vrrp-tests", "--test", program])?;
                tests.arg("--").args(Some(filter).filter(|filter| !filter.is_empty()));
                is_clean &= self.judge(&mut tests, skipped)?;
            }
        }
        Ok(is_clean)
    }

    fn tests(self, which: &[&str]) -> Result<Command> {
        let folder = target_folder()?;
        let own = folder.join(format!("sanitize-{}", self.name()));
        let mut tests = cargo(&["test", "--locked", "--no-fail-fast"]);
        tests.args(which).args(["--target", &host()?]).arg("--target-dir").arg(&own);
        if self.needs_own_std() {
            // Nor does it load the kernel half.
            tests.arg("-Zbuild-std").env("VRRP_EBPF_OBJECT", no_kernel_half(&own)?);
        }
        tests.env("RUSTC_BOOTSTRAP", "1").env("RUSTFLAGS", format!("-Zsanitizer={}", self.name()));
        // Some only look whether it is there.
        tests.env("VRRP_BIN", folder.join("debug/vrrp"));
        // Under instrumentation time runs slower, not the promises: fewer lives and cases.
        tests.env("VRRP_SIM_SEEDS", "500").env("PROPTEST_CASES", "64");
        // A finding ends the program.
        tests.env("ASAN_OPTIONS", "detect_stack_use_after_return=1").env("TSAN_OPTIONS", "halt_on_error=1");
        tests.stdout(Stdio::piped());
        Ok(tests)
    }

    fn judge(self, tests: &mut Command, skipped: &mut Vec<String>) -> Result<bool> {
        let outcome = stream(tests).context("run the tests under the sanitizer")?;
        let Totals { passed, reasons, .. } = outcome.totals;
        let reasons: Vec<_> = reasons.iter().map(|reason| reason.trim_start_matches("skipped: ")).collect();
        skipped.extend(reasons.iter().map(|reason| format!("{}: {reason}", self.name())));
        let has_run = passed > 0 || !reasons.is_empty();
        if !has_run {
            println!("no test ran: {}", line(tests));
        }
        Ok(outcome.is_success && has_run)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closing_line_names_what_was_not_run() {
        assert_eq!(closing(true, &[]), "sanitize: nothing found");
        let skipped = ["thread: no source".to_owned()];
        assert_eq!(
            closing(true, &skipped),
            "sanitize: nothing found in what ran; not run: thread: no source"
        );
        assert!(closing(false, &skipped).contains("see above"));
    }
}
