//! `cargo xtask bench`: ours and a real keepalived, alternately, in one run, on the same machine.
//!
//! Owns which measurements run, in what order, and the report they end in. Refuses to know how each is made: one file
//! per topic.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Result;
use clap::ValueEnum;

#[cfg_attr(not(test), expect(dead_code, reason = "until a measurement ends in a report"))]
mod files;
#[cfg_attr(not(test), expect(dead_code, reason = "until a measurement ends in a report"))]
mod html;
mod machine;
mod report;
mod stats;
#[cfg_attr(not(test), expect(dead_code, reason = "until a measurement ends in a report"))]
mod text;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// What to measure
    #[arg(value_enum, default_values_t = [Topic::All])]
    topics: Vec<Topic>,
    /// Fewer rounds and shorter windows: under 3 minutes for everything
    #[arg(long)]
    quick: bool,
    /// Rounds of each comparison; the goals are judged from 5 on
    #[arg(long, value_name = "N")]
    rounds: Option<usize>,
    /// Folder for report.json and report.html; `bench` in the build folder unless given
    #[arg(long, value_name = "FOLDER")]
    output: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Topic {
    Failover,
    Density,
    Flood,
    Starve,
    Latency,
    Xdp,
    Mysql,
    All,
}

/// The verb itself.
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    drop((options.topics.len(), options.quick, options.rounds, options.output.clone()));
    Ok(ExitCode::SUCCESS)
}
