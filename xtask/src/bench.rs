//! `cargo xtask bench`: ours and a real keepalived, alternately, in one run, on the same machine.
//!
//! Owns which measurements run, in what order, and the report they end in. Refuses to know how each is made: one file
//! per topic.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Result;
use clap::ValueEnum;

mod density;
mod machine;
mod report;
mod scene;
mod stats;

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
    let binary = crate::command::target_folder()?.join("release/vrrp");
    let args: Vec<u32> = std::env::var("DENS").unwrap().split(',').map(|x| x.parse().unwrap()).collect();
    let setting = scene::Setting { version: 3, advert_ms: args[1], instances: args[0] as usize };
    for _ in 0..args[2] {
        for contender in [scene::Contender::Ours, scene::Contender::Keepalived] {
            if args[3] == 0 && contender != scene::Contender::Ours {
                continue;
            }
            let run = density::measure(setting, contender, std::time::Duration::from_secs(4), &binary);
            match run {
                Ok(r) => println!(
                    "{} settled {:.0} sent {:.4} ({:.0}/s) late p50 {:?} p99 {:?} max {:?} false {} cpu {:.1}/{:.1} mib {:.1}/{:.1} steal {:.3}",
                    contender.name(),
                    r.settled_ms,
                    r.sent_share,
                    r.sent_per_second,
                    r.lateness_ms.median(),
                    r.lateness_ms.percentile(0.99),
                    r.lateness_ms.max(),
                    r.false_masters,
                    r.master_cpu,
                    r.backup_cpu,
                    r.master_mib,
                    r.backup_mib,
                    r.steal
                ),
                Err(e) => println!("{e:#}"),
            }
        }
    }
    drop((options.topics.len(), options.quick, options.rounds, options.output.clone()));
    Ok(ExitCode::SUCCESS)
}
