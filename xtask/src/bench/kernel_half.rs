//! The topics that the daemon's own binary measures: `vrrp bench latency` and `vrrp bench xdp`, in scenes of this bench.
//!
//! Owns the scenes and the translation of what the binary says. Refuses to measure anything itself.

use std::{fs, path::Path, process::Command, time::Duration};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use vrrp_lab::{
    Instance, Requirement,
    flood::{Bound, Flood, Junk},
};

use super::{
    Rounds,
    deadline::Turns,
    noise::{CpuTime, Noise},
    report::{Plot, Row, Section, Series, Table},
    scene::{Contender, Scene, Setting},
    stats::{Samples, cell, spread},
    tries::{Tries, Worst},
};
use crate::command::output_within;

/// What the goals are judged by.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub(crate) latency: Tries<Later>,
    /// All kinds of packet, of each round.
    pub(crate) costs: Tries<Vec<Cost>>,
}

/// One round of `vrrp bench latency`, in microseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Later {
    pub(crate) ring_p50: f64,
    pub(crate) raw_p50: f64,
}

impl Findings {
    /// As if no noisy round had gone wrong.
    pub(crate) fn forgiven(&self) -> Self {
        Self { latency: self.latency.forgiven(), costs: self.costs.forgiven() }
    }

    /// Of one kind of packet, round by round.
    pub(crate) fn cost(&self, name: &str, value: impl Fn(&Cost) -> f64) -> Samples {
        self.costs.values(|costs| of_kind(costs, name).map(&value))
    }

    /// Median of one kind of packet over all rounds, failed ones as bad as can be; None if there was no round.
    pub(crate) fn judged(&self, name: &str, value: impl Fn(&Cost) -> f64) -> Option<f64> {
        self.costs.median(Worst::Most, |costs| of_kind(costs, name).map(&value))
    }

    /// Median ns of one kind of packet: of the medians of the rounds that came to a result.
    pub(crate) fn median_ns(&self, name: &str) -> Option<f64> {
        self.cost(name, |cost| cost.median_ns).median()
    }
}

fn of_kind<'a>(costs: &'a [Cost], name: &str) -> Option<&'a Cost> {
    costs.iter().find(|cost| cost.name == name)
}

/// One kind of packet, as `vrrp bench xdp` says it.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Cost {
    pub(crate) name: String,
    pub(crate) group: String,
    pub(crate) best_ns: f64,
    pub(crate) median_ns: f64,
    pub(crate) ratio: f64,
}

#[derive(Debug, Deserialize)]
struct Size {
    program: String,
    verified_instructions: Option<u32>,
    instructions: Option<u32>,
    jited_bytes: u32,
}

#[derive(Debug, Deserialize)]
struct XdpReport {
    rows: Vec<Cost>,
    sizes: Vec<Size>,
}

#[derive(Debug, Deserialize)]
struct VerdictReport {
    mode: String,
    dropped_per_second: u64,
    most_dropped_per_second: u64,
    passed_per_second: u64,
    accepted_per_second: u64,
}

#[derive(Clone, Copy, Debug, Deserialize)]
struct Percentiles {
    count: usize,
    p50_ns: f64,
    p90_ns: f64,
    p99_ns: f64,
    p99_9_ns: f64,
    p99_99_ns: f64,
    max_ns: f64,
}

#[derive(Debug, Deserialize)]
struct Way {
    origin: String,
    latency: Percentiles,
    /// At equal distances, the least and the most among them.
    quantiles_ns: Vec<u64>,
}

#[derive(Debug, Deserialize)]
struct Wakeups {
    delivery: String,
    adverts: u64,
    per_advert: f64,
}

#[derive(Debug, Deserialize)]
struct LatencyReport {
    mode: String,
    /// Decided by both ways.
    adverts: u64,
    /// Decided by one of them only.
    unmatched: u64,
    ring: Way,
    raw_socket: Way,
    wakeups: Vec<Wakeups>,
    notes: Vec<String>,
}

impl LatencyReport {
    /// Without samples every percentile is 0, which would be the best there is.
    fn ensure_matched(&self) -> Result<()> {
        // In the first stage, from which the percentiles are, each of them should have been decided by both.
        let accepted = self.wakeups.first().map_or(0, |wake| wake.adverts);
        let heard = accepted.max(self.adverts + self.unmatched);
        ensure!(
            self.adverts * 2 > heard,
            "of {heard} adverts {} were decided both ways: too few to compare by",
            self.adverts
        );
        Ok(())
    }
}

/// The section on BPF_PROG_TEST_RUN and on verdicts per second.
pub(crate) fn costs(rounds: Rounds, binary: &Path, findings: &mut Findings) -> Section {
    let mut section = Section::new(
        "xdp",
        "Cost of a packet in the kernel half",
        "BPF_PROG_TEST_RUN, all kinds of packet in turn, beside a program that passes everything at once and one that only \
         reads the clock. In each round every kind is run eleven times, alternately, and counts with its median, in whole \
         nanoseconds; here is the median of the rounds, with the least and the most, and beside it the best single run.",
    );
    let mut sizes_seen = Vec::new();
    let mut turns = Turns::new(rounds.deadline);
    for round in 1..=rounds.count {
        if !turns.next("BPF_PROG_TEST_RUN") {
            continue;
        }
        println!("xdp: BPF_PROG_TEST_RUN, round {round}");
        let cpu = CpuTime::now();
        let error = findings.costs.attempt(|| {
            let report: XdpReport =
                ask(rounds, Command::new(binary).args(["bench", "xdp", "--json", "--rounds", "11"]))?;
            sizes_seen = report.sizes;
            Ok((report.rows, cpu.noise_since()))
        });
        section.remarks.extend(error.map(|error| told(&format!("BPF_PROG_TEST_RUN, round {round}"), &error)));
    }
    let kinds: Vec<Cost> = findings.costs.runs.first().cloned().unwrap_or_default();
    let mut table =
        Table::new("ns per packet", &["verdict", "packet", "ns", "best run", "times the empty program"]);
    for Cost { name, group, .. } in &kinds {
        let (ns, best) =
            (findings.cost(name, |cost| cost.median_ns), findings.cost(name, |cost| cost.best_ns));
        table.rows.push(Row {
            cells: vec![
                group.clone(),
                name.clone(),
                spread(&ns),
                cell(best.min()),
                cell(findings.cost(name, |cost| cost.ratio).median()),
            ],
            noise: findings.costs.noise.told(),
            samples: vec![("median_ns".to_owned(), ns), ("best_ns".to_owned(), best)],
        });
    }
    section.tables.push(table);
    let mut sizes = Table::new(
        "The programs",
        &["program", "instructions", "machine code, bytes", "verified instructions", "of the limit, %"],
    );
    for size in &sizes_seen {
        let verified = size.verified_instructions.map(f64::from);
        sizes.rows.push(Row {
            cells: vec![
                size.program.clone(),
                cell(size.instructions.map(f64::from)),
                size.jited_bytes.to_string(),
                size.verified_instructions.map_or_else(|| "-".to_owned(), |count| count.to_string()),
                cell(verified.map(|count| count / 10_000.0)),
            ],
            ..Row::default()
        });
    }
    section.tables.push(sizes);
    let usual: Vec<(String, f64)> = kinds
        .iter()
        .filter_map(|cost| Some((cost.name.clone(), findings.median_ns(&cost.name)?)))
        .filter(|(_, ns)| *ns < 1_000.0)
        .collect();
    section.plots.push(Plot::Bars {
        title: "ns per packet, median of the rounds".to_owned(),
        unit: "ns".to_owned(),
        logarithmic: false,
        labels: usual.iter().map(|(name, _)| name.clone()).collect(),
        series: vec![Series::new("vrrp", usual.iter().map(|(_, ns)| *ns).collect())],
    });
    if turns.next("verdicts per second") {
        match throughput(rounds, binary) {
            Ok((table, remarks)) => {
                section.tables.push(table);
                section.remarks.extend(remarks);
            }
            Err(error) => section.remarks.push(told("verdicts per second", &error)),
        }
    }
    section.remarks.extend(turns.remark());
    section
}

/// What floods the interface whose verdicts are counted.
#[derive(Clone, Copy)]
struct Torrent {
    packets: &'static str,
    junk: Junk,
    /// By live frames at the switch's port; else by a packet socket on another host, whose packets the switch copies.
    is_live: bool,
}

const TORRENTS: [Torrent; 3] = [
    Torrent { packets: "TTL 254", junk: Junk::WrongTtl, is_live: false },
    Torrent { packets: "TTL 254", junk: Junk::WrongTtl, is_live: true },
    // Right in all, and it changes nothing: the whole way of an advert but for the ring.
    Torrent { packets: "valid, weaker stranger", junk: Junk::LowerPriority, is_live: true },
];

/// From one CPU into native XDP on a veth.
fn throughput(rounds: Rounds, binary: &Path) -> Result<(Table, Vec<String>)> {
    let mut table = Table::new(
        "Verdicts per second on a veth",
        &["packets", "by", "attached", "sent/s", "dropped/s", "best second", "accepted/s", "passed/s"],
    );
    println!("xdp: verdicts per second");
    let setting = Setting { version: 3, advert_ms: 100, instances: 1 };
    let scene = Scene::new("verdicts", setting, binary)?;
    let observer = scene.observe(false)?;
    let (_a, _b, _) = scene.settle(Contender::Ours, &observer)?;
    let mut remarks = Vec::new();
    let missing = Requirement::LiveFrames.missing();
    for torrent in TORRENTS {
        if let (true, Some(why)) = (torrent.is_live, &missing) {
            remarks.push(format!("no {} by live frames: {why}", torrent.packets));
            continue;
        }
        table.rows.push(flooded(&scene, torrent, rounds, binary)?);
    }
    Ok((table, remarks))
}

/// Counts on the third host, where nobody else holds the interface.
fn flooded(scene: &Scene, torrent: Torrent, rounds: Rounds, binary: &Path) -> Result<Row> {
    let seconds = if rounds.quick { 2 } else { 5 };
    let stranger = scene.host("b");
    let model = vrrp_lab::frame::Advert::v3(scene.host("a").address(), 1, 100, 10, &[[10, 99, 1, 1].into()]);
    let frames = torrent.junk.forge(&model, stranger.mac());
    // With a configuration it need not listen first for what there is: it counts at once, and the flood is there by then.
    let counter = scene.host("client");
    let config = counter.file("verdicts.yaml");
    let instance = Instance { vrid: 1, ..Instance::v3(1, "100ms") };
    fs::write(&config, vrrp_lab::daemon::yaml("verdicts", &[instance]))
        .with_context(|| format!("write {}", config.display()))?;
    // Ends with the counting; a bound of its own in case that never does.
    let bound = Bound::seconds(seconds + 30);
    let flood = match torrent.is_live {
        true => Flood::start_live(&scene.lab, &[counter.name()], frames, bound)?,
        false => Flood::start(stranger, frames, bound)?,
    };
    std::thread::sleep(Duration::from_millis(200));
    let cpu = CpuTime::now();
    let mut command = Command::new("ip");
    command.args(["netns", "exec", counter.namespace().name()]).arg(binary).args(["bench", "xdp", "--json"]);
    command.args(["--interface", "eth0", "--for", &format!("{seconds}s"), "--config"]).arg(&config);
    let report: VerdictReport = ask(rounds, &mut command)?;
    let flood = flood.stop()?;
    #[expect(clippy::cast_precision_loss, reason = "packets of seconds")]
    let number = |count: u64| count as f64;
    let per_second = |count: u64| cell(Some(number(count)));
    let sample = |name: &str, count: u64| (name.to_owned(), std::iter::once(number(count)).collect());
    Ok(Row {
        cells: vec![
            torrent.packets.to_owned(),
            if torrent.is_live { "live frames" } else { "socket" }.to_owned(),
            report.mode,
            per_second(flood.rate()),
            per_second(report.dropped_per_second),
            per_second(report.most_dropped_per_second),
            per_second(report.accepted_per_second),
            per_second(report.passed_per_second),
        ],
        noise: cpu.noise_since().told(),
        samples: vec![
            sample("sent_per_second", flood.rate()),
            sample("dropped_per_second", report.dropped_per_second),
            sample("accepted_per_second", report.accepted_per_second),
        ],
    })
}

/// Longer than any of the binary's benches takes here.
const PATIENCE: Duration = Duration::from_secs(60);
/// So many that a round brings more than ten thousand adverts, in half of its time: p99.99 wants one sample beyond it.
const ROUTERS: usize = 40;
const ADVERTS_PER_SECOND: usize = 100;
const SECONDS: usize = 6;
/// So many samples have one beyond p99.99.
const RARE: usize = 10_000;
const _: () = assert!(ROUTERS * ADVERTS_PER_SECOND * SECONDS / 2 > RARE, "p99.99 is told of each round");

/// The section on arrival to decision.
pub(crate) fn latency(rounds: Rounds, binary: &Path, findings: &mut Findings) -> Section {
    let mut section = Section::new(
        "latency",
        "From arrival to decision",
        "A third host on the segment of a pair with 40 instances at 10 ms runs `vrrp bench latency`: each advert is decided \
         twice, once by way of the kernel half's ring buffer and once by way of a raw socket with the kernel's receive \
         stamps, on threads of equal priority, each wake-up counted as for adverts that change something. A faster wake-up \
         than the raw socket's is not claimed; what the kernel half buys is that adverts which change nothing wake nobody.",
    );
    let mut table = Table::new(
        "Arrival to decision, µs",
        &["round", "way", "stamp", "adverts", "p50", "p90", "p99", "p99.9", "p99.99", "max"],
    );
    let mut wakeups = Table::new("Wake-ups", &["round", "delivery", "adverts", "wake-ups per advert"]);
    let setting = Setting { version: 3, advert_ms: 10, instances: ROUTERS };
    let cpu = CpuTime::now();
    let pair = Scene::new("latency", setting, binary).and_then(|scene| {
        let observer = scene.observe(false)?;
        let (a, b, _) = scene.settle(Contender::Ours, &observer)?;
        Ok((scene, a, b))
    });
    let (scene, _a, _b) = match pair {
        Ok(pair) => pair,
        Err(error) => {
            // Without a pair there is no round that could go well.
            for _ in 0..rounds.count {
                findings.latency.fail(cpu.noise_since());
            }
            section.remarks.push(told(&setting.label(), &error));
            return section;
        }
    };
    let namespace = scene.host("client").namespace().name();
    let time = format!("{}s", if rounds.quick { SECONDS / 2 } else { SECONDS });
    let mut quantiles = [Samples::default(), Samples::default()];
    // Of each round; the same packets both ways.
    let mut counts: Vec<usize> = Vec::new();
    let mut turns = Turns::new(rounds.deadline);
    for round in 1..=rounds.count {
        if !turns.next("a round") {
            continue;
        }
        println!("latency: round {round}");
        let (mut report, mut noise, cpu) = (None, Noise::default(), CpuTime::now());
        let error = findings.latency.attempt(|| {
            let mut command = Command::new("ip");
            command.args(["netns", "exec", namespace]).arg(binary);
            command.args(["bench", "latency", "--interface", "eth0", "--for", &time, "--json"]);
            let heard: LatencyReport = ask(rounds, &mut command)?;
            heard.ensure_matched()?;
            let later = Later {
                ring_p50: heard.ring.latency.p50_ns / 1e3,
                raw_p50: heard.raw_socket.latency.p50_ns / 1e3,
            };
            report = Some(heard);
            noise = cpu.noise_since();
            Ok((later, noise))
        });
        section.remarks.extend(error.map(|error| told(&format!("round {round}"), &error)));
        let Some(report) = report else { continue };
        counts.push(usize::try_from(report.adverts).unwrap_or(usize::MAX));
        let ways =
            [(&report.ring, format!("ring, {}", report.mode)), (&report.raw_socket, "raw socket".to_owned())];
        for ((way, name), quantiles) in ways.into_iter().zip(&mut quantiles) {
            #[expect(clippy::cast_precision_loss, reason = "nanoseconds of seconds")]
            quantiles.0.extend(way.quantiles_ns.iter().map(|ns| *ns as f64 / 1e3));
            let Percentiles { count, p50_ns, p90_ns, p99_ns, p99_9_ns, p99_99_ns, max_ns } = way.latency;
            let us = |ns: f64| cell(Some(ns / 1e3));
            // One sample beyond it, or it is the greatest under another name.
            let rare = |least: usize, ns: f64| if count >= least { us(ns) } else { "n/a".to_owned() };
            let one = |name: &str, ns: f64| (name.to_owned(), std::iter::once(ns / 1e3).collect());
            table.rows.push(Row {
                cells: vec![
                    round.to_string(),
                    name,
                    way.origin.clone(),
                    count.to_string(),
                    us(p50_ns),
                    us(p90_ns),
                    us(p99_ns),
                    rare(1_000, p99_9_ns),
                    rare(RARE, p99_99_ns),
                    us(max_ns),
                ],
                noise: noise.told(),
                samples: vec![one("p50_us", p50_ns), one("p99_us", p99_ns), one("max_us", max_ns)],
            });
        }
        for kind in &report.wakeups {
            wakeups.rows.push(Row {
                cells: vec![
                    round.to_string(),
                    kind.delivery.clone(),
                    kind.adverts.to_string(),
                    cell(Some(kind.per_advert)),
                ],
                ..Row::default()
            });
        }
        if round == 1 {
            section.remarks.extend(report.notes);
        }
    }
    let [ring, raw] = quantiles;
    let series = |name: &str, values| Series::new(name, values).of(counts.iter().sum());
    section.plots.push(Plot::Cdf {
        title: "arrival to decision, quantiles of all rounds".to_owned(),
        unit: "µs".to_owned(),
        logarithmic: true,
        series: vec![series("ring", ring), series("raw socket", raw)],
    });
    section.remarks.extend(turns.remark());
    section.tables.extend([table, wakeups]);
    section
}

/// On the terminal at once, and for the report.
fn told(what: &str, error: &anyhow::Error) -> String {
    println!("  no result: {error:#}");
    format!("{what}: {error:#}")
}

/// Runs one of the binary's benches and reads its JSON.
fn ask<T: for<'de> Deserialize<'de>>(rounds: Rounds, command: &mut Command) -> Result<T> {
    let line = crate::command::line(command);
    let output = output_within(command, rounds.deadline.patience(PATIENCE))?;
    ensure!(
        output.status.success(),
        "`{line}` failed ({}): {}",
        output.status,
        String::from_utf8_lossy(&output.stderr).trim()
    );
    serde_json::from_slice(&output.stdout).with_context(|| format!("read what `{line}` printed"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_of_nothing_are_no_result() {
        let way = || Way {
            origin: String::new(),
            latency: Percentiles {
                count: 0,
                p50_ns: 0.0,
                p90_ns: 0.0,
                p99_ns: 0.0,
                p99_9_ns: 0.0,
                p99_99_ns: 0.0,
                max_ns: 0.0,
            },
            quantiles_ns: Vec::new(),
        };
        let is_enough = |adverts, unmatched, accepted| {
            let wake = Wakeups { delivery: "wake".to_owned(), adverts: accepted, per_advert: 1.0 };
            let (ring, raw_socket) = (way(), way());
            let (mode, notes) = (String::new(), Vec::new());
            let report =
                LatencyReport { mode, adverts, unmatched, ring, raw_socket, wakeups: vec![wake], notes };
            report.ensure_matched().is_ok()
        };
        assert!(is_enough(5_990, 12, 6_001));
        assert!(!is_enough(0, 0, 0), "nobody sent");
        assert!(!is_enough(0, 6_000, 6_000));
        assert!(!is_enough(100, 0, 6_000), "neither way heard the others");
    }
}
