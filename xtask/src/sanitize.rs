//! `cargo xtask sanitize`: the tests of what is unsafe, under the sanitizers of the compiler.
//!
//! Owns which tests run under which sanitizer, and says which could not. Refuses to know the tests. Miri would see more
//! and is part of nightly toolchains only; most of what is unsafe here are system calls, which it does not run anyway.

use std::process::{ExitCode, Stdio};

use anyhow::{Context, Result};
use clap::ValueEnum;

use crate::{
    command::{answer, cargo, program, target_folder},
    fuzz::{host, no_kernel_half},
    test::stream,
};

/// AddressSanitizer (bounds, lifetimes, leaks) over all unit tests of both halves; ThreadSanitizer (races) over those
/// of shared memory: the slots, the board, the mailboxes.
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

/// The verb itself.
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    run_these(if options.sanitizers.is_empty() { &ALL } else { &options.sanitizers })
}

/// Both.
pub(crate) fn run_all() -> Result<ExitCode> {
    run_these(&ALL)
}

fn run_these(sanitizers: &[Sanitizer]) -> Result<ExitCode> {
    let mut is_clean = true;
    for sanitizer in sanitizers {
        println!("== {}", sanitizer.name());
        match sanitizer.obstacle() {
            Some(why) => println!("skipped: {}: {why}", sanitizer.name()),
            None => is_clean &= sanitizer.run()?,
        }
    }
    println!("\nsanitize: {}", if is_clean { "nothing found" } else { "see above" });
    Ok(if is_clean { ExitCode::SUCCESS } else { ExitCode::FAILURE })
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
            Self::Thread => &["slot", "board", "mailbox"],
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

    fn run(self) -> Result<bool> {
        let folder = target_folder()?.join(format!("sanitize-{}", self.name()));
        let object = no_kernel_half(&folder)?;
        let host = host()?;
        let mut tests =
            cargo(&["test", "--package", "vrrp-ebpf", "--package", "vrrp-user", "--lib", "--locked"]);
        tests.args(["--no-fail-fast", "--target", &host]).arg("--target-dir").arg(&folder);
        if self.needs_own_std() {
            tests.arg("-Zbuild-std");
        }
        tests.arg("--").args(self.filters());
        tests.env("RUSTC_BOOTSTRAP", "1").env("VRRP_EBPF_OBJECT", object);
        tests.env("RUSTFLAGS", format!("-Zsanitizer={}", self.name()));
        // Under instrumentation time runs slower, not the promises: fewer lives and cases.
        tests.env("VRRP_SIM_SEEDS", "500").env("PROPTEST_CASES", "64");
        // A finding ends the program.
        tests.env("ASAN_OPTIONS", "detect_stack_use_after_return=1").env("TSAN_OPTIONS", "halt_on_error=1");
        let outcome = stream(tests.stdout(Stdio::piped())).context("run the tests under the sanitizer")?;
        let has_run = outcome.totals.passed > 0;
        if !has_run {
            println!("no test ran");
        }
        Ok(outcome.is_success && has_run)
    }
}
