//! Runs tests one after the other, and says of each that cannot run here why it was skipped.
//!
//! A thin layer over libtest-mimic: the same output and arguments as `cargo test`. A test body panics when it fails.
//! Owns the counts of the short and the long mode, and tells where the time went. Refuses to know what is tested.

use std::{
    process::ExitCode,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use libtest_mimic::{Arguments, Trial};

use crate::{capability::Requirement, clock, interrupt, namespace, stall};

/// Set to 1 for the full counts.
pub const LONG_VARIABLE: &str = "VRRP_TEST_LONG";

/// How many nanoseconds each test took, in the order in which they ended.
static TIMES: Mutex<Vec<(u64, &str)>> = Mutex::new(Vec::new());
/// So many of them are told.
const SLOWEST: usize = 5;

/// One test.
#[derive(Clone, Copy, Debug)]
pub struct Test {
    pub name: &'static str,
    pub needs: &'static [Requirement],
    pub body: fn(),
    /// See [`despite_stalls`].
    pub stall: Option<Duration>,
}

/// These tests, each tried again if it failed while the machine stood still for so long ([`stall::despite_stalls`]).
/// Those that have a limit already keep it.
pub fn despite_stalls(limit: Duration, mut tests: Vec<Test>) -> Vec<Test> {
    for test in &mut tests {
        test.stall.get_or_insert(limit);
    }
    tests
}

/// `tests![needs; one, two]`: the functions as tests under their own names.
#[macro_export]
macro_rules! tests {
    ($needs:expr; $($body:ident),+ $(,)?) => {
        vec![$($crate::harness::Test { name: stringify!($body), needs: &$needs, body: $body, stall: None }),+]
    };
}

/// The whole `main` of a test program (`harness = false`).
pub fn run(tests: Vec<Test>) -> ExitCode {
    if let Err(error) = interrupt::exit_after(namespace::sweep_own) {
        eprintln!(
            "cannot catch signals ({error}): an interrupted run leaves namespaces that the next one removes"
        );
    }
    let mut arguments = Arguments::from_args();
    // Hosts share the machine's CPUs and the RTNL lock: one lab at a time.
    arguments.test_threads = Some(1);
    let trials = tests.into_iter().map(|test| trial(test, &arguments)).collect();
    let conclusion = libtest_mimic::run(&arguments, trials);
    tell_slowest();
    // exit() in libtest-mimic would be as good, but main may have destructors.
    if conclusion.has_failed() { ExitCode::from(101) } else { ExitCode::SUCCESS }
}

/// Whether the full counts are asked for.
pub fn is_long() -> bool {
    std::env::var(LONG_VARIABLE).is_ok_and(|value| value == "1")
}

/// The count for the mode: `count(5, 100)` restarts.
pub fn count(short: usize, long: usize) -> usize {
    if is_long() { long } else { short }
}

fn trial(test: Test, arguments: &Arguments) -> Trial {
    let why = test.needs.iter().find_map(|requirement| requirement.missing());
    if let Some(why) = &why
        && !arguments.list
        && arguments.filter.as_ref().is_none_or(|filter| test.name.contains(filter))
    {
        println!("skipped: {}: {why}", test.name);
    }
    let is_missing = why.is_some();
    Trial::test(test.name, move || {
        let started = clock::now_ns();
        match test.stall {
            Some(limit) => {
                let tries = stall::despite_stalls(limit, test.body);
                if tries > 1 {
                    // Counted at the end: a test that needs this often has a fault of its own.
                    println!("tried again: {}, {tries} times in all", test.name);
                }
            }
            None => (test.body)(),
        }
        TIMES.lock().unwrap_or_else(PoisonError::into_inner).push((clock::now_ns() - started, test.name));
        Ok(())
    })
    .with_ignored_flag(is_missing)
}

fn tell_slowest() {
    let mut times = TIMES.lock().unwrap_or_else(PoisonError::into_inner);
    times.sort_unstable_by(|one, other| other.cmp(one));
    let line: Vec<_> =
        times.iter().take(SLOWEST).map(|(time, name)| format!("{name} {} s", time / clock::SECOND)).collect();
    if !line.is_empty() {
        println!("slowest: {}", line.join(", "));
    }
}
