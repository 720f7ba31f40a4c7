//! The topics that the daemon's own binary measures: `vrrp bench latency` and `vrrp bench xdp`, in scenes of this bench.
//!
//! Owns the scenes and the translation of what the binary says. Refuses to measure anything itself.

use std::{path::Path, process::Command, time::Duration};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use vrrp_lab::flood::{Bound, Flood, Junk};

use super::{
    Rounds,
    machine::noise,
    report::{Plot, Row, Section, Series, Table},
    scene::{Contender, Scene, Setting},
    stats::{Samples, cell},
};

/// What the goals are judged by.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    /// Median of the ring's p50 less the raw socket's, in microseconds.
    pub(crate) ring_later_us: Option<f64>,
    /// Best ns per packet by the name of the row.
    pub(crate) costs: Vec<Cost>,
}

impl Findings {
    pub(crate) fn cost(&self, name: &str) -> Option<&Cost> {
        self.costs.iter().find(|cost| cost.name == name)
    }
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
struct Machine {
    steal: f64,
}

#[derive(Debug, Deserialize)]
struct XdpReport {
    machine: Machine,
    rows: Vec<Cost>,
    sizes: Vec<Size>,
}

#[derive(Debug, Deserialize)]
struct VerdictReport {
    mode: String,
    dropped_per_second: u64,
    most_dropped_per_second: u64,
    passed_per_second: u64,
}

#[derive(Clone, Copy, Debug, Deserialize)]
struct Percentiles {
    count: u64,
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
}

#[derive(Debug, Deserialize)]
struct Wakeups {
    delivery: String,
    adverts: u64,
    per_advert: f64,
}

#[derive(Debug, Deserialize)]
struct LatencyReport {
    machine: Machine,
    mode: String,
    ring: Way,
    raw_socket: Way,
    wakeups: Vec<Wakeups>,
    notes: Vec<String>,
}

/// The section on BPF_PROG_TEST_RUN and on verdicts per second.
pub(crate) fn costs(rounds: Rounds, binary: &Path, findings: &mut Findings) -> Result<Section> {
    let mut section = Section::new(
        "xdp",
        "Cost of a packet in the kernel half",
        "BPF_PROG_TEST_RUN, all kinds of packet in turn, beside a program that passes everything at once and one that only \
         reads the clock. Best and median of the rounds, in whole nanoseconds.",
    );
    println!("xdp: BPF_PROG_TEST_RUN");
    let count = if rounds.quick { "11" } else { "41" };
    let report: XdpReport = ask(Command::new(binary).args(["bench", "xdp", "--json", "--rounds", count]))?;
    let mut table =
        Table::new("ns per packet", &["verdict", "packet", "best", "median", "times the empty program"]);
    for cost in &report.rows {
        table.rows.push(Row {
            cells: vec![
                cost.group.clone(),
                cost.name.clone(),
                cell(Some(cost.best_ns)),
                cell(Some(cost.median_ns)),
                cell(Some(cost.ratio)),
            ],
            noise: noise(report.machine.steal),
            samples: Vec::new(),
        });
    }
    section.tables.push(table);
    let mut sizes = Table::new(
        "The programs",
        &["program", "instructions", "machine code, bytes", "verified instructions", "of the limit, %"],
    );
    for size in &report.sizes {
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
    let usual = |cost: &&Cost| cost.best_ns < 1_000.0;
    section.plots.push(Plot::Bars {
        title: "ns per packet, best round".to_owned(),
        unit: "ns".to_owned(),
        logarithmic: false,
        labels: report.rows.iter().filter(usual).map(|cost| cost.name.clone()).collect(),
        series: vec![Series {
            name: "vrrp".to_owned(),
            values: report.rows.iter().filter(usual).map(|cost| cost.best_ns).collect(),
        }],
    });
    findings.costs = report.rows;
    section.tables.push(throughput(rounds, binary)?);
    Ok(section)
}

/// Junk from one CPU into native XDP on a veth.
fn throughput(rounds: Rounds, binary: &Path) -> Result<Table> {
    let seconds = if rounds.quick { 2 } else { 5 };
    let mut table = Table::new(
        "Verdicts per second on a veth, flooded by a packet socket through the switch",
        &["packets", "attached", "sent/s", "dropped/s", "best second", "passed/s"],
    );
    println!("xdp: verdicts per second");
    let setting = Setting { version: 3, advert_ms: 100, instances: 1 };
    let scene = Scene::new("verdicts", setting, binary)?;
    let observer = scene.observe(false)?;
    let (_a, _b, _) = scene.settle(Contender::Ours, &observer)?;
    // On the third host nobody else holds the interface.
    let stranger = scene.host("b");
    let model = vrrp_lab::frame::Advert::v3(scene.host("a").address(), 1, 100, 10, &[[10, 99, 1, 1].into()]);
    let frames = Junk::WrongTtl.forge(&model, stranger.mac());
    let namespace = scene.host("client").namespace().name().to_owned();
    let time = format!("{seconds}s");
    let counting = std::thread::spawn({
        let binary = binary.to_owned();
        move || {
            ask::<VerdictReport>(Command::new("ip").args(["netns", "exec", &namespace]).arg(binary).args([
                "bench",
                "xdp",
                "--interface",
                "eth0",
                "--for",
                &time,
                "--json",
            ]))
        }
    });
    // It listens for virtual routers before it attaches and counts.
    std::thread::sleep(Duration::from_millis(2500));
    let flood = Flood::start(stranger, frames, Bound::seconds(seconds))?.finish()?;
    let report = counting.join().map_err(|_panic| anyhow::anyhow!("the counting thread panicked"))??;
    #[expect(clippy::cast_precision_loss, reason = "packets of seconds")]
    let per_second = |count: u64| cell(Some(count as f64));
    table.rows.push(Row {
        cells: vec![
            "TTL 254".to_owned(),
            report.mode,
            per_second(flood.rate()),
            per_second(report.dropped_per_second),
            per_second(report.most_dropped_per_second),
            per_second(report.passed_per_second),
        ],
        ..Row::default()
    });
    Ok(table)
}

const ROUTERS: usize = 20;

/// The section on arrival to decision.
pub(crate) fn latency(rounds: Rounds, binary: &Path, findings: &mut Findings) -> Result<Section> {
    let mut section = Section::new(
        "latency",
        "From arrival to decision",
        "A third host on the segment of a pair with 20 instances at 10 ms runs `vrrp bench latency`: each advert is decided \
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
    let scene = Scene::new("latency", setting, binary)?;
    let observer = scene.observe(false)?;
    let (_a, _b, _) = scene.settle(Contender::Ours, &observer)?;
    drop(observer);
    let namespace = scene.host("client").namespace().name();
    let time = if rounds.quick { "3s" } else { "6s" };
    let mut differences = Samples::default();
    for round in 1..=rounds.count {
        println!("latency: round {round}");
        let report: LatencyReport = ask(Command::new("ip")
            .args(["netns", "exec", namespace])
            .arg(binary)
            .args(["bench", "latency", "--interface", "eth0", "--for", time, "--json"]))?;
        let later = report.ring.latency.p50_ns - report.raw_socket.latency.p50_ns;
        differences.push(later / 1e3);
        for (way, name) in
            [(&report.ring, format!("ring, {}", report.mode)), (&report.raw_socket, "raw socket".to_owned())]
        {
            let Percentiles { count, p50_ns, p90_ns, p99_ns, p99_9_ns, p99_99_ns, max_ns } = way.latency;
            let us = |ns: f64| cell(Some(ns / 1e3));
            table.rows.push(Row {
                cells: vec![
                    round.to_string(),
                    name,
                    way.origin.clone(),
                    count.to_string(),
                    us(p50_ns),
                    us(p90_ns),
                    us(p99_ns),
                    us(p99_9_ns),
                    us(p99_99_ns),
                    us(max_ns),
                ],
                noise: noise(report.machine.steal),
                samples: Vec::new(),
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
    findings.ring_later_us = differences.median();
    section.tables.extend([table, wakeups]);
    Ok(section)
}

/// Runs one of the binary's benches and reads its JSON.
fn ask<T: for<'de> Deserialize<'de>>(command: &mut Command) -> Result<T> {
    let line = crate::command::line(command);
    let output = command.output().with_context(|| format!("cannot run `{line}`"))?;
    ensure!(
        output.status.success(),
        "`{line}` failed ({}): {}",
        output.status,
        String::from_utf8_lossy(&output.stderr).trim()
    );
    serde_json::from_slice(&output.stdout).with_context(|| format!("read what `{line}` printed"))
}
