//! `cargo xtask test`: every test there is, and one line that sums them up.
//!
//! Owns the build they run against, the environment they see, the sum, and why what failed did. Refuses to count a skipped test as passed.

use std::{
    io::{BufRead, BufReader, Write},
    process::{ExitCode, Stdio},
};

use anyhow::{Context, Result};

use crate::{
    command::{cargo, line, require_root, succeed, target_folder},
    fuzz, sanitize,
    setup::{self, Group},
};

/// With `--long`: simulated lives, seconds of blind changes per parser, seconds of libFuzzer per parser.
const LONG_SEEDS: &str = "100000";
const LONG_CHANGES: &str = "10";
const LONG_FUZZ_SECONDS: u64 = 60;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// The full counts: 500 kills, ten minutes at full rate, 100000 simulated lives, libFuzzer and the sanitizers
    #[arg(long)]
    long: bool,
    /// Only the unit tests: no root, nothing to install, no network namespaces
    #[arg(long)]
    unit: bool,
    /// Only tests with this in their names
    filter: Option<String>,
}

/// What the test programs' closing lines add up to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    skipped: u64,
    pub(crate) reasons: Vec<String>,
    /// Tests that passed only after a try that failed while the machine stood still.
    again: u64,
    failures: Vec<Failure>,
    /// Lines are the text of the last failure, until the program that failed sums up.
    is_in_failure: bool,
}

/// What a test said when it failed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Failure {
    name: String,
    text: Vec<String>,
}

/// So much of a failure's text is told again at the end: what was expected stands first, what the daemons logged last.
const FIRST_LINES: usize = 20;
const LAST_LINES: usize = 40;

/// How a run of tests ended.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) is_success: bool,
    pub(crate) totals: Totals,
}

impl Totals {
    /// Takes in one line of output, if it is one that counts.
    fn note(&mut self, line: &str) {
        self.note_failure(line);
        self.again += u64::from(line.contains("tried again: "));
        // "test name ... skipped: why" when a test's own line is not finished yet.
        if let Some(start) = line.find("skipped: ") {
            self.reasons.push(line.get(start..).unwrap_or_default().to_owned());
        }
        let Some((_, counts)) = line.split_once("test result: ") else { return };
        for part in counts.split(['.', ';']) {
            let mut words = part.split_whitespace();
            let (Some(number), Some(what)) = (words.next(), words.next()) else { continue };
            let Ok(number) = number.parse::<u64>() else { continue };
            match what {
                "passed" => self.passed += number,
                "failed" => self.failed += number,
                "ignored" => self.skipped += number,
                _ => {}
            }
        }
    }

    /// "---- name ----", or "---- name stdout ----" from Rust's own harness, and what follows.
    fn note_failure(&mut self, line: &str) {
        let heading = line.strip_prefix("---- ").and_then(|rest| rest.strip_suffix(" ----"));
        if let Some(name) = heading {
            let name = name.strip_suffix(" stdout").unwrap_or(name).to_owned();
            self.failures.push(Failure { name, text: Vec::new() });
            self.is_in_failure = true;
        } else if line == "failures:" || line.starts_with("test result: ") {
            self.is_in_failure = false;
        } else if self.is_in_failure
            && let Some(failure) = self.failures.last_mut()
            && !(line.is_empty() && failure.text.is_empty())
        {
            failure.text.push(line.to_owned());
        }
    }
}

impl Failure {
    /// Its name and the text that explains it, the middle left out if it is long.
    fn tell(&self) -> Vec<String> {
        let mut told = vec![format!("failed: {}", self.name)];
        let text = &self.text;
        let omitted = text.len().saturating_sub(FIRST_LINES + LAST_LINES);
        let first = if omitted == 0 { text.len() } else { FIRST_LINES };
        let quote = |line: &String| format!("  {line}");
        told.extend(text.iter().take(first).map(quote));
        if omitted > 0 {
            told.push(format!("  [{omitted} lines left out: see above]"));
        }
        told.extend(text.iter().skip(first + omitted).map(quote));
        told
    }
}

/// The verb itself.
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    if !options.unit {
        require_root("cargo xtask test (it builds hosts out of network namespaces)")?;
        setup::ensure(&[Group::Build, Group::Lab, Group::Test])?;
        succeed(&mut cargo(&["build", "--workspace", "--locked"])).context("build what is to be tested")?;
    }
    let mut tests = cargo(&["test", "--workspace", "--locked", "--no-fail-fast"]);
    if options.unit {
        tests.args(["--lib", "--bins"]);
    }
    tests.args(options.filter.as_deref());
    tests.env("VRRP_TEST_LONG", if options.long { "1" } else { "0" });
    if options.long {
        tests.env("VRRP_SIM_SEEDS", LONG_SEEDS).env("VRRP_FUZZ_SECONDS", LONG_CHANGES);
    }
    tests.env("VRRP_BIN", target_folder()?.join("debug/vrrp"));
    let Outcome { is_success, totals } = stream(tests.stdout(Stdio::piped()))?;

    if !totals.reasons.is_empty() {
        println!("\nskipped here:");
        totals.reasons.iter().for_each(|reason| println!("  {reason}"));
    }
    if !is_success && totals.failed == 0 {
        println!("\nno test failed, but `{}` did: see above", line(&tests));
    }
    let ran = totals.passed + totals.failed;
    if ran == 0 {
        println!(
            "\nno test ran{}",
            options.filter.as_ref().map_or(String::new(), |f| format!(" with {f:?} in its name"))
        );
    }
    // Everything, and nothing in particular was asked for: then the slow proofs, too.
    let is_proven = !options.long || options.filter.is_some() || prove()?;
    for failure in &totals.failures {
        println!();
        failure.tell().iter().for_each(|line| println!("{line}"));
    }
    if totals.again > 0 {
        println!(
            "\n{} of them failed while the machine stood still, and passed when tried again",
            totals.again
        );
    }
    println!("\n{} passed, {} failed, {} skipped", totals.passed, totals.failed, totals.skipped);
    let is_good = is_success && is_proven && totals.failed == 0 && ran > 0;
    Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// libFuzzer and the sanitizers: builds of their own, so by `--long` and by their own verbs only.
fn prove() -> Result<bool> {
    let outcomes = [fuzz::run_all(LONG_FUZZ_SECONDS)?, sanitize::run_all()?];
    Ok(outcomes.iter().all(|code| *code == ExitCode::SUCCESS))
}

/// Runs the tests, passing their output on as it comes.
pub(crate) fn stream(tests: &mut std::process::Command) -> Result<Outcome> {
    let mut child = tests.spawn().with_context(|| format!("cannot run `{}`", line(tests)))?;
    let mut totals = Totals::default();
    if let Some(output) = child.stdout.take() {
        let mut output = BufReader::new(output);
        let mut bytes = Vec::new();
        // By lines, and lossy: a test may print any bytes.
        while output.read_until(b'\n', &mut bytes).context("read the tests' output")? > 0 {
            totals.note(String::from_utf8_lossy(&bytes).trim_end());
            let mut terminal = std::io::stdout().lock();
            terminal
                .write_all(&bytes)
                .and_then(|()| terminal.flush())
                .context("pass the tests' output on")?;
            bytes.clear();
        }
    }
    let status = child.wait().context("wait for the tests")?;
    Ok(Outcome { is_success: status.success(), totals })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closing_lines_of_all_programs_are_summed() {
        let mut totals = Totals::default();
        let lines = [
            "running 3 tests",
            "test a ... ok",
            "test result: ok. 15 passed; 0 failed; 2 ignored; 0 measured; 0 filtered out; finished in 27.86s",
            "skipped: name: no native XDP on veth",
            "test b ... tried again: b, 2 times in all",
            "test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 14 filtered out; finished in 0.17s",
        ];
        lines.iter().for_each(|line| totals.note(line));
        let reasons = vec!["skipped: name: no native XDP on veth".to_owned()];
        assert_eq!(
            totals,
            Totals { passed: 16, failed: 2, skipped: 2, reasons, again: 1, ..Totals::default() }
        );
    }

    #[test]
    fn failures_of_both_harnesses_are_told_again_with_their_text() {
        let mut totals = Totals::default();
        let lines = [
            "test one ... FAILED",
            "",
            "failures:",
            "",
            "---- one ----",
            "test panicked: two owners",
            "",
            "  a held it",
            "",
            "---- module::two stdout ----",
            "",
            "thread 'module::two' panicked at src/lib.rs:1:1:",
            "",
            "failures:",
            "    one",
            "    module::two",
            "",
            "test result: FAILED. 1 passed; 2 failed; 0 ignored",
            "a line of the next program",
        ];
        lines.iter().for_each(|line| totals.note(line));
        let told: Vec<_> = totals.failures.iter().flat_map(Failure::tell).collect();
        let expected = [
            "failed: one",
            "  test panicked: two owners",
            "  ",
            "    a held it",
            "  ",
            "failed: module::two",
            "  thread 'module::two' panicked at src/lib.rs:1:1:",
            "  ",
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn a_long_failure_keeps_its_beginning_and_its_end() {
        let text: Vec<_> = (0..100).map(|number| format!("line {number}")).collect();
        let told = Failure { name: "long".to_owned(), text }.tell();
        assert_eq!(told.len(), 1 + FIRST_LINES + 1 + LAST_LINES);
        assert_eq!(told[FIRST_LINES], "  line 19");
        assert_eq!(told[FIRST_LINES + 1], "  [40 lines left out: see above]");
        assert_eq!(told[FIRST_LINES + 2], "  line 60");
        assert_eq!(told.last().unwrap(), "  line 99");
    }
}
