//! Flood: junk, weaker strangers and replays from a third host, at rising rates.

use std::{collections::HashSet, path::Path, thread, time::Duration};

use anyhow::{Context, Result};
use vrrp_lab::{
    Capture, clock,
    flood::{Bound, Flood, Junk},
    frame::Advert,
    observer::Kind,
};

use super::{
    Rounds,
    machine::{CpuTime, noise},
    report::{Plot, Row, Section, Series, Table},
    scene::{Contender, Scene, Setting, is_from},
    stats::{Samples, cell},
};

/// What the third host sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kinds {
    Junk,
    Stranger,
    Replay,
}

impl Kinds {
    const fn name(self) -> &'static str {
        match self {
            Self::Junk => "junk: TTL, checksum, password, VRID, length",
            Self::Stranger => "valid, weaker stranger",
            Self::Replay => "replay of the master's adverts",
        }
    }
}

/// What one flood did.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    rate: f64,
    pub(crate) false_masters: usize,
    pub(crate) backup_cpu: f64,
    /// Packets that the kernel had to throw away before a raw socket: keepalived's only.
    socket_drops: u64,
    log_bytes: u64,
    steal: f64,
}

/// What the goals are judged by: all runs of junk at the machine's full rate.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub(crate) full_rate: Vec<(Contender, Run)>,
}

/// Version, interval, what is sent, and how much of it a second; None: as much as the machine can.
type Plan = (u8, u32, &'static [Kinds], &'static [Option<u64>]);
const SETTINGS: &[Plan] = &[
    (3, 100, &[Kinds::Junk, Kinds::Stranger, Kinds::Replay], &[Some(10_000), Some(50_000), None]),
    (2, 1000, &[Kinds::Junk], &[None]),
];
const QUICK: &[Plan] = &[(3, 100, &[Kinds::Junk], &[None])];
const INSTANCES: usize = 10;
const WINDOW: Duration = Duration::from_secs(2);

const fn plans(rounds: Rounds) -> &'static [Plan] {
    if rounds.quick { QUICK } else { SETTINGS }
}

const fn setting(version: u8, advert_ms: u32) -> Setting {
    Setting { version, advert_ms, instances: INSTANCES }
}

/// The section of the report.
pub(crate) fn run(rounds: Rounds, binary: &Path) -> Result<(Section, Findings)> {
    let mut section = Section::new(
        "flood",
        "Flood",
        "Ten instances; a third host on the segment sends what a broken or hostile one would, from one CPU of the same \
         machine. False masters are instances for which the backup spoke while the master lived. Socket drops are packets \
         that found a raw socket full: among them may be the master's adverts.",
    );
    let mut findings = Findings::default();
    for (version, advert_ms, kinds, rates) in plans(rounds) {
        let setting = setting(*version, *advert_ms);
        let mut table = Table::new(
            &setting.label(),
            &["flood", "who", "packets/s", "false masters", "backup CPU, %", "socket drops", "log, KiB"],
        );
        for &kinds in *kinds {
            for &rate in *rates {
                for contender in rounds.contenders() {
                    println!("flood: {}, {}, {}", setting.label(), kinds.name(), contender.name());
                    match measure(setting, kinds, rate, contender, binary) {
                        Ok(run) => {
                            table.rows.push(row(kinds, contender, &run));
                            if rate.is_none() && kinds == Kinds::Junk {
                                findings.full_rate.push((contender, run));
                            }
                        }
                        Err(error) => {
                            println!("  no result: {error:#}");
                            let who = contender.name();
                            section.remarks.push(format!(
                                "{}, {}, {who}: {error:#}",
                                setting.label(),
                                kinds.name()
                            ));
                        }
                    }
                }
            }
        }
        section.tables.push(table);
    }
    section.plots.push(bars(rounds, &findings));
    Ok((section, findings))
}

fn measure(
    setting: Setting,
    kinds: Kinds,
    rate: Option<u64>,
    contender: Contender,
    binary: &Path,
) -> Result<Run> {
    let scene = Scene::new("flood", setting, binary)?;
    let observer = scene.observe(false)?;
    let capture = Capture::start(&scene.lab, &["a"])?;
    let (_a, b, _) = scene.settle(contender, &observer)?;
    thread::sleep(setting.interval());
    let heard = capture.finish()?;
    let adverts: Vec<(&Advert, &Vec<u8>)> = heard
        .iter()
        .filter_map(|record| Some((record.advert()?, &record.bytes)))
        .filter(|(advert, _)| advert.priority != 0)
        .collect();
    let (model, _) = adverts.last().copied().context("the master was not heard")?;
    let client = scene.host("client");
    let frames: Vec<Vec<u8>> = match kinds {
        Kinds::Junk => Junk::INVALID.iter().flat_map(|junk| junk.forge(model, client.mac())).collect(),
        Kinds::Stranger => Junk::LowerPriority.forge(model, client.mac()),
        Kinds::Replay => adverts.iter().rev().take(INSTANCES).map(|(_, bytes)| (*bytes).clone()).collect(),
    };
    let (log, cpu, usage) = (b.process().log_len(), CpuTime::now(), b.usage());
    let drops = raw_drops(&scene)?;
    observer.clear();
    let start = clock::now_ns();
    let flood = Flood::start(client, frames, Bound { time: WINDOW, packets: u64::MAX, rate })?.finish()?;
    let end = clock::now_ns();
    let used = b.usage().cpu_ns.saturating_sub(usage.cpu_ns);
    let steal = cpu.steal_since();
    // Whoever lost adverts notices a down interval later.
    thread::sleep(setting.down_interval(90) - setting.interval() * 2);
    let mut false_masters = HashSet::new();
    for sighting in observer.finish()? {
        if let Kind::Advert { priority: 1.., .. } = sighting.kind
            && is_from(&sighting, 1)
            && let Some(router) = scene.router_of(&sighting)
        {
            false_masters.insert(router);
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "a few seconds, and packets of them")]
    Ok(Run {
        rate: flood.rate() as f64,
        false_masters: false_masters.len(),
        backup_cpu: used as f64 / (end - start) as f64 * 100.0,
        socket_drops: raw_drops(&scene)?.saturating_sub(drops),
        log_bytes: b.process().log_len().saturating_sub(log),
        steal,
    })
}

/// The drops of all raw sockets on `b`: the last column of /proc/net/raw.
fn raw_drops(scene: &Scene) -> Result<u64> {
    let listing = scene.host("b").namespace().run("cat", &["/proc/net/raw"])?;
    let last = |line: &str| line.split_whitespace().last().and_then(|drops| drops.parse::<u64>().ok());
    Ok(listing.lines().skip(1).filter_map(last).sum())
}

#[expect(clippy::cast_precision_loss, reason = "counts and bytes of seconds")]
fn row(kinds: Kinds, contender: Contender, run: &Run) -> Row {
    Row {
        cells: vec![
            kinds.name().to_owned(),
            contender.name().to_owned(),
            cell(Some(run.rate)),
            run.false_masters.to_string(),
            cell(Some(run.backup_cpu)),
            run.socket_drops.to_string(),
            cell(Some(run.log_bytes as f64 / 1024.0)),
        ],
        noise: noise(run.steal),
        samples: Vec::new(),
    }
}

fn bars(rounds: Rounds, findings: &Findings) -> Plot {
    let series = rounds.contenders().map(|contender| {
        let of = findings.full_rate.iter().filter(|(who, _)| *who == contender);
        Series {
            name: contender.name().to_owned(),
            values: of.map(|(_, run)| run.backup_cpu).collect::<Samples>(),
        }
    });
    Plot::Bars {
        title: "CPU of the backup under junk at the machine's full rate".to_owned(),
        unit: "% of a core".to_owned(),
        logarithmic: false,
        // Every plan has junk at the full rate.
        labels: plans(rounds)
            .iter()
            .map(|(version, advert_ms, ..)| setting(*version, *advert_ms).label())
            .collect(),
        series: series.collect(),
    }
}
