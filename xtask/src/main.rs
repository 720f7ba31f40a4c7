//! `cargo xtask`: what is done to the project rather than by it. One file per verb.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

mod bench;
mod command;
mod dist;
mod fuzz;
mod lint;
mod run;
mod sanitize;
mod setup;
mod simulate;
mod test;

#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", about = "Set up, run, test and lint the project")]
struct Options {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Run the lab: two nodes and a client on this machine, live. After `--`: the daemon on this host instead
    Run(run::Options),
    /// Run every test of the project, from units to whole hosts with a real keepalived
    Test(test::Options),
    /// Measure against a real keepalived, side by side in one run; a report as table, JSON and HTML
    Bench(bench::Options),
    /// Check formatting, lints, documentation, licences, layering and file sizes
    Lint,
    /// Build a Debian package
    Dist(dist::Options),
    /// Run libFuzzer on the parsers
    Fuzz(fuzz::Options),
    /// Run the tests of what is unsafe under the compiler's sanitizers
    Sanitize(sanitize::Options),
    /// Run the protocol core through a million simulated lives, or replay one
    Simulate(simulate::Options),
    /// Install what the other verbs need; they do it themselves, too
    Setup(setup::Options),
}

fn main() -> ExitCode {
    match Options::parse().verb.carry_out() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

impl Verb {
    fn carry_out(self) -> Result<ExitCode> {
        match self {
            Self::Run(options) => run::run(options),
            Self::Test(options) => test::run(&options),
            Self::Bench(options) => bench::run(&options),
            Self::Lint => lint::run(),
            Self::Dist(options) => dist::run(&options),
            Self::Fuzz(options) => fuzz::run(&options),
            Self::Sanitize(options) => sanitize::run(&options),
            Self::Simulate(options) => simulate::run(&options),
            Self::Setup(options) => setup::run(&options),
        }
    }
}
