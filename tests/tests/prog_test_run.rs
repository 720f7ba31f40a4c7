//! The kernel half run by BPF_PROG_TEST_RUN: the programs as the verifier accepted them, on frames of our making.
//!
//! Needs root and BPF; says so and skips where they are not to be had. Attached only to the loopback of a namespace
//! of its own, and only because the kernel runs an attached program without a pause of 20 ms before each run.

#![expect(clippy::unwrap_used, reason = "a test panics")]

mod prog_test_run {
    pub(super) mod cost;
    pub(super) mod kernel;
    pub(super) mod limits;
    pub(super) mod ring;
    pub(super) mod verdicts;
}

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};
use prog_test_run::{cost, kernel, limits, ring, verdicts};

type Case = (&'static str, fn());

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // They share the one loopback.
    arguments.test_threads = Some(1);
    let lacking = kernel::lacking();
    if let Some(why) = &lacking {
        println!("skipped: {why}");
    }
    let cases = [verdicts::CASES, ring::CASES, limits::CASES, cost::CASES].concat();
    let trials = cases.into_iter().map(|(name, case): Case| {
        let trial = Trial::test(name, move || {
            case();
            Ok(())
        });
        trial.with_ignored_flag(lacking.is_some())
    });
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}
