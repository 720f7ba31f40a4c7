//! `cargo xtask simulate`: the protocol core through many more lives than the tests give it.
//!
//! Owns how many and how fast: an optimised core with its overflow checks on, all cores at work. Refuses to know the
//! promises; the simulation's judge does (vrrp-user/src/vrrp/simulation/judge.rs).

use std::process::ExitCode;

use anyhow::Result;

use crate::command::cargo;

const TEST: &str = "seeds::no_seed_breaks_a_promise";

/// Two and three routers on a simulated segment with faults by chance. A broken promise names its seed.
#[derive(clap::Args)]
#[command(
    after_help = "Example: cargo xtask simulate --seeds 1000000\n         cargo xtask simulate --seed 17"
)]
pub(crate) struct Options {
    /// How many seeds
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
    /// The first of them; go on where another run ended
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Only this one, with a trace of what happens
    #[arg(long, conflicts_with_all = ["seeds", "from"])]
    seed: Option<u64>,
}

/// The verb itself.
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    // Not --release: only the core is worth optimising, and the checks stay in it.
    let optimised = "profile.dev.package.vrrp-user.opt-level=3";
    let mut tests = cargo(&["test", "--package", "vrrp-user", "--lib", "--locked", "--config", optimised]);
    tests.args(["--", "--exact", TEST, "--nocapture"]);
    match options.seed {
        Some(seed) => tests.env("VRRP_SIM_SEED", seed.to_string()),
        None => tests
            .env("VRRP_SIM_FROM", options.from.to_string())
            .env("VRRP_SIM_SEEDS", options.seeds.to_string()),
    };
    let output = crate::test::stream(tests.stdout(std::process::Stdio::piped()))?;
    // A test that was renamed is not a test that passed.
    let has_run = output.totals.passed + output.totals.failed > 0;
    if !has_run {
        println!("no simulation ran: is {TEST} still there?");
    }
    Ok(if output.is_success && has_run { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
