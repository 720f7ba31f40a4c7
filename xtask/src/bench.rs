//! `cargo xtask bench`: ours and a real keepalived, alternately, in one run, on the same machine.
//!
//! Owns which measurements run, in what order, and the report they end in. Refuses to know how each is made: one file
//! per topic.

#![expect(clippy::float_arithmetic, reason = "measured values and their ratios")]

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    thread,
};

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
mod noise;
mod report;
mod scene;
mod starve;
mod stats;
mod text;
mod times;
mod tries;
mod usage;
mod verdict;

use deadline::Deadline;
use report::{Report, SCHEMA, Section};
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
    /// End with exit code 1 if a goal was missed, too; a topic without any result ends so in any case
    #[arg(long)]
    strict: bool,
    /// Rounds of each comparison; the goals want at least 5
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=100))]
    rounds: u16,
    /// Whom to measure against; `tuned` is keepalived with real-time priority, locked memory and large buffers, which is seen
    /// once in any case in failover, density, flood and starve
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

impl Topic {
    const ORDER: [Self; 7] =
        [Self::Xdp, Self::Latency, Self::Density, Self::Failover, Self::Flood, Self::Starve, Self::Mysql];

    /// As on the command line.
    const fn name(self) -> &'static str {
        match self {
            Self::Failover => "failover",
            Self::Density => "density",
            Self::Flood => "flood",
            Self::Starve => "starve",
            Self::Latency => "latency",
            Self::Xdp => "xdp",
            Self::Mysql => "mysql",
            Self::All => "all",
        }
    }
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
    /// With keepalived at its best beside it, whenever keepalived is there at all: what the tables tell.
    pub(crate) const fn with_tuned(self) -> Self {
        Self { tuned: self.tuned || self.keepalived && !self.quick, ..self }
    }

    /// For this one of so many: it is seen once, in the one in the middle.
    pub(crate) const fn in_round(self, round: usize, count: usize) -> Self {
        if round == count / 2 { self.with_tuned() } else { self }
    }

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
    let wanted = |topic: Topic| options.topics.contains(&topic) || options.topics.contains(&Topic::All);
    let servers = wanted(Topic::Mysql).then_some(Group::Mysql);
    setup::ensure(&[Group::Build, Group::Bench].into_iter().chain(servers).collect::<Vec<_>>())?;
    succeed(&mut cargo(&["build", "--release", "--locked", "--package", "vrrp-user"]))
        .context("build what is to be measured")?;
    let binary = target_folder()?.join("release/vrrp");
    // Hosts, folders and mounts go with an interrupted run; the topics that were done are in the report already.
    interrupt::exit_after(clean_up).context("catch signals")?;
    let rounds = Rounds {
        count: if options.quick { 1 } else { usize::from(options.rounds) },
        quick: options.quick,
        keepalived: options.peer.contains(&Peer::Keepalived),
        tuned: options.peer.contains(&Peer::Tuned),
        deadline: Deadline::start(options.quick),
    };
    let folder = match &options.output {
        Some(folder) => folder.clone(),
        None => target_folder()?.join("bench"),
    };
    let mut bench = Bench::start(rounds, &binary, folder);
    // The cheap ones first: a run that is cut short has said something.
    for topic in Topic::ORDER.into_iter().filter(|topic| wanted(*topic)) {
        bench.measure(topic);
    }
    let end = bench.finish()?;
    println!("\n{}\n{}", end.html.display(), end.json.display());
    for topic in &end.failed {
        eprintln!("bench: no result: {topic}");
    }
    let is_missed = options.strict && end.missed > 0;
    if is_missed {
        eprintln!("bench: goals missed: {}", end.missed);
    }
    Ok(if is_missed || !end.failed.is_empty() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn clean_up() {
    namespace::sweep_own();
    starve::sweep_own();
}

/// A run, and what it has found so far.
struct Bench<'a> {
    rounds: Rounds,
    binary: &'a Path,
    folder: PathBuf,
    began: u64,
    cpu: noise::CpuTime,
    machine: machine::Machine,
    sections: Vec<Section>,
    findings: goals::Findings,
    times: times::Times,
    /// Topics that came to nothing.
    failed: Vec<&'static str>,
}

/// What a run came to.
struct End {
    json: PathBuf,
    html: PathBuf,
    missed: usize,
    failed: Vec<&'static str>,
}

impl<'a> Bench<'a> {
    fn start(rounds: Rounds, binary: &'a Path, folder: PathBuf) -> Self {
        Self {
            rounds,
            binary,
            folder,
            began: clock::now_ns(),
            cpu: noise::CpuTime::now(),
            machine: machine::Machine::look(),
            sections: Vec::new(),
            findings: goals::Findings::default(),
            times: times::Times::start(),
            failed: Vec::new(),
        }
    }

    /// One topic; what it came to is told and kept at once. A topic that fails is no reason to lose the others.
    fn measure(&mut self, topic: Topic) {
        let section = self.section(topic).unwrap_or_else(|error| {
            println!("  no result: {error:#}");
            self.failed.push(topic.name());
            let mut section = Section::new(topic.name(), topic.name(), "");
            section.remarks.push(format!("No result: {error:#}"));
            section
        });
        text::print_section(&section);
        self.sections.push(section);
        self.times.note(topic.name());
        // The end of the run fails with it; until then it is no reason to measure nothing.
        if let Err(error) = self.write(true) {
            eprintln!("bench: {error:#}");
        }
    }

    fn section(&mut self, topic: Topic) -> Result<Section> {
        let (rounds, binary, findings) = (self.rounds, self.binary, &mut self.findings);
        Ok(match topic {
            Topic::Xdp => kernel_half::costs(rounds, binary, &mut findings.kernel_half),
            Topic::Latency => kernel_half::latency(rounds, binary, &mut findings.kernel_half),
            Topic::Density => keep(density::run(rounds, binary)?, &mut findings.density),
            Topic::Failover => keep(failover::run(rounds, binary)?, &mut findings.failover),
            Topic::Flood => keep(flood::run(rounds, binary)?, &mut findings.flood),
            Topic::Starve => keep(starve::run(rounds, binary)?, &mut findings.starve),
            Topic::Mysql => keep(mysql::run(rounds, binary)?, &mut findings.mysql),
            Topic::All => anyhow::bail!("all of them are no topic"),
        })
    }

    /// What stands in the way of the goals, and the verdicts.
    fn finish(mut self) -> Result<End> {
        let goals = goals::judge(self.rounds, &self.findings);
        let limits = limits::section(&goals, &self.findings, self.rounds.deadline, self.binary);
        if let Some(section) = limits {
            text::print_section(&section);
            self.sections.push(section);
        }
        self.times.note("limits");
        let report = self.report(false);
        text::print_end(&report);
        let missed = goals.iter().filter(|goal| goal.reached == report::Verdict::Missed).count();
        let (json, html) = self.write(false)?;
        Ok(End { json, html, missed, failed: self.failed })
    }

    fn report(&self, is_partial: bool) -> Report {
        let mut machine = self.machine.clone();
        machine.load_after = machine::load();
        machine.noise = self.cpu.noise_since();
        let mut sections = self.sections.clone();
        let mut times = self.times.section(self.rounds);
        if is_partial {
            times.remarks.push("The run was not over when this was written.".to_owned());
        }
        sections.push(times);
        Report {
            schema: SCHEMA,
            quick: self.rounds.quick,
            machine,
            seconds: stats::milliseconds(self.began, clock::now_ns()) / 1e3,
            goals: goals::judge(self.rounds, &self.findings),
            sections,
        }
    }

    /// Where it is: JSON, HTML.
    fn write(&self, is_partial: bool) -> Result<(PathBuf, PathBuf)> {
        // What was measured last lost its hosts in the middle: the file tells of what came before. Whoever caught the signal
        // ends the program when all is swept.
        while interrupt::caught().is_some() {
            thread::park();
        }
        self.report(is_partial).write(&self.folder)
    }
}

/// The section; what was found is noted for the goals.
fn keep<T>((section, found): (Section, T), findings: &mut Option<T>) -> Section {
    *findings = Some(found);
    section
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_that_fails_is_told_and_a_run_that_is_cut_short_has_said_something() {
        let folder = std::env::temp_dir().join(format!("vrrp-bench-partial-{}", std::process::id()));
        let rounds =
            Rounds { count: 1, quick: true, keepalived: false, tuned: false, deadline: Deadline::never() };
        // Nothing is measured here: all topics together are none.
        let mut bench = Bench::start(rounds, Path::new("/no such program"), folder.clone());
        bench.measure(Topic::All);
        let page = std::fs::read_to_string(folder.join("report.html")).unwrap();
        assert!(page.contains("No result: all of them are no topic"), "{page}");
        assert!(page.contains("The run was not over when this was written."), "{page}");
        let end = bench.finish().unwrap();
        assert_eq!((end.failed.as_slice(), end.missed), (["all"].as_slice(), 0));
        let page = std::fs::read_to_string(folder.join("report.html")).unwrap();
        assert!(!page.contains("The run was not over"), "{page}");
        std::fs::remove_dir_all(folder).unwrap();
    }
}
