//! `cargo xtask bench`: ours and a real keepalived, alternately, in one run, on the same machine.
//!
//! Owns which measurements run, in what order, and the report they end in. Refuses to know how each is made: one file
//! per topic.

#![expect(clippy::float_arithmetic, reason = "measured values and their ratios")]

use std::{path::PathBuf, process::ExitCode};

use anyhow::{Context, Result};
use clap::ValueEnum;
use vrrp_lab::{clock, interrupt, namespace};

use crate::{
    command::{cargo, require_root, succeed, target_folder},
    setup::{self, Group},
};

mod deadline;
mod density;
mod failover;
mod files;
mod flood;
mod goals;
mod html;
mod kernel_half;
mod limits;
mod machine;
mod metrics;
mod mysql;
mod report;
mod scene;
mod starve;
mod stats;
mod text;
mod times;
mod tries;
mod verdict;

use deadline::Deadline;
use report::{Report, SCHEMA};
use scene::Contender;

#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  cargo xtask bench                      everything, under 25 minutes\n  \
                        cargo xtask bench failover density     two topics\n  \
                        cargo xtask bench --quick              a first impression, under 3 minutes"
)]
pub(crate) struct Options {
    /// What to measure
    #[arg(value_enum, default_values_t = [Topic::All])]
    topics: Vec<Topic>,
    /// Fewer rounds and settings, shorter windows: under 3 minutes for everything. No goal is judged by it
    #[arg(long)]
    quick: bool,
    /// Rounds of each comparison; the goals want at least 5
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=100))]
    rounds: u16,
    /// Whom to measure against; `tuned` adds keepalived with real-time priority, locked memory and large buffers
    #[arg(long, value_enum, default_values_t = [Peer::Keepalived])]
    peer: Vec<Peer>,
    /// Folder for report.json and report.html; `bench` in the build folder unless given
    #[arg(long, value_name = "FOLDER")]
    output: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Topic {
    /// Stop, kill and cut: when the other one speaks and announces
    Failover,
    /// Many virtual routers: adverts due and sent, lateness, CPU, memory
    Density,
    /// Junk, weaker strangers and replays of a third host, at rising rates up to what this machine can make
    Flood,
    /// Load, and daemons that are stopped for a while
    Starve,
    /// Arrival in the kernel to decision: the ring buffer beside a raw socket
    Latency,
    /// What a packet costs in the kernel half
    Xdp,
    /// A MySQL pair under a client's writes: outage and lost writes
    Mysql,
    All,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Peer {
    Keepalived,
    Tuned,
    None,
}

/// How often, and who.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rounds {
    pub(crate) count: usize,
    pub(crate) quick: bool,
    keepalived: bool,
    tuned: bool,
    /// Asked before each round.
    pub(crate) deadline: Deadline,
}

impl Rounds {
    /// In the order in which they alternate.
    pub(crate) fn contenders(self) -> impl Iterator<Item = Contender> {
        Contender::ALL.into_iter().filter(move |contender| match contender {
            Contender::Ours => true,
            Contender::Keepalived => self.keepalived,
            Contender::Tuned => self.tuned,
        })
    }
}

/// The verb itself.
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    require_root("cargo xtask bench (it builds hosts out of network namespaces)")?;
    setup::ensure(&[Group::Build, Group::Lab, Group::Test])?;
    succeed(&mut cargo(&["build", "--release", "--locked", "--package", "vrrp-user"]))
        .context("build what is to be measured")?;
    let binary = target_folder()?.join("release/vrrp");
    // Hosts, folders and mounts go with an interrupted run; the topics that were done are in the report already.
    interrupt::exit_after(namespace::sweep_own).context("catch signals")?;
    let rounds = Rounds {
        count: if options.quick { 1 } else { usize::from(options.rounds) },
        quick: options.quick,
        keepalived: options.peer.contains(&Peer::Keepalived),
        tuned: options.peer.contains(&Peer::Tuned),
        deadline: Deadline::start(options.quick),
    };
    let wanted = |topic| options.topics.contains(&topic) || options.topics.contains(&Topic::All);
    let (began, cpu) = (clock::now_ns(), machine::CpuTime::now());
    let mut machine = machine::Machine::look();
    let mut sections = Vec::new();
    let mut findings = goals::Findings::default();
    let mut times = times::Times::start();
    // The cheap ones first: a run that is cut short has said something.
    if wanted(Topic::Xdp) {
        sections.push(kernel_half::costs(rounds, &binary, &mut findings.kernel_half)?);
        times.note("xdp");
    }
    if wanted(Topic::Latency) {
        sections.push(kernel_half::latency(rounds, &binary, &mut findings.kernel_half)?);
        times.note("latency");
    }
    if wanted(Topic::Density) {
        let (section, found) = density::run(rounds, &binary)?;
        sections.push(section);
        findings.density = Some(found);
        times.note("density");
    }
    if wanted(Topic::Failover) {
        let (section, found) = failover::run(rounds, &binary)?;
        sections.push(section);
        findings.failover = Some(found);
        times.note("failover");
    }
    if wanted(Topic::Flood) {
        let (section, found) = flood::run(rounds, &binary)?;
        sections.push(section);
        findings.flood = Some(found);
        times.note("flood");
    }
    if wanted(Topic::Starve) {
        let (section, found) = starve::run(rounds, &binary)?;
        sections.push(section);
        findings.starve = Some(found);
        times.note("starve");
    }
    if wanted(Topic::Mysql) {
        let (section, found) = mysql::run(rounds, &binary)?;
        sections.push(section);
        findings.mysql = Some(found);
        times.note("mysql");
    }
    let goals = goals::judge(rounds, &findings);
    sections.extend(limits::section(&goals, &findings, rounds.deadline, &binary));
    times.note("limits");
    sections.push(times.section(rounds));
    machine.load_after = machine::load();
    machine.steal = cpu.steal_since();
    let report = Report {
        schema: SCHEMA,
        quick: options.quick,
        machine,
        seconds: stats::milliseconds(began, clock::now_ns()) / 1e3,
        goals,
        sections,
    };
    text::print(&report);
    let folder = match &options.output {
        Some(folder) => folder.clone(),
        None => target_folder()?.join("bench"),
    };
    let (json, html) = report.write(&folder)?;
    println!("\n{}\n{}", html.display(), json.display());
    Ok(ExitCode::SUCCESS)
}
