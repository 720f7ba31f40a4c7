//! Flood: junk, weaker strangers and replays of a third host, at rising rates up to what the machine can make.

use std::{
    collections::{HashMap, HashSet},
    path::Path,
    thread,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use vrrp_lab::{
    Capture, Requirement, clock,
    flood::{self, Bound, FOREIGN, Flood, Junk},
    frame::Advert,
    observer::Kind,
};

use super::{
    Rounds,
    deadline::Turns,
    noise::{CpuTime, Noise},
    report::{Plot, Row, Section, Series, Table},
    scene::{Contender, PRIORITIES, Scene, Setting, is_from},
    stats::{Samples, spread},
    tries::Tries,
};

/// What the third host sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kinds {
    Junk,
    Stranger,
    Replay,
}

impl Kinds {
    pub(crate) const ALL: [Self; 3] = [Self::Junk, Self::Stranger, Self::Replay];

    const fn name(self) -> &'static str {
        match self {
            Self::Junk => "junk: TTL, checksum, password, VRID, length",
            Self::Stranger => "valid, weaker stranger",
            Self::Replay => "replay of the master's adverts",
        }
    }
}

/// Who makes the packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Generator {
    /// A packet socket on the third host; the switch copies each packet to both.
    Socket,
    /// Test runs of an XDP program at the switch's ports to both.
    LiveFrames,
}

impl Generator {
    const fn name(self) -> &'static str {
        match self {
            Self::Socket => "socket",
            Self::LiveFrames => "live frames",
        }
    }
}

/// What one flood did.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    /// Packets a second that the backup's interface counted, whatever was sent.
    rate: f64,
    pub(crate) false_masters: usize,
    master_cpu: f64,
    pub(crate) backup_cpu: f64,
    /// Of the master's adverts on the wire, those that the backup's kernel half did not find right. Only for junk, which is
    /// never right, and only for ours.
    missed: Option<u64>,
    /// What our backup's kernel half dropped, by reason.
    kernel_drops: Vec<(String, u64)>,
    /// Packets that the kernel had to throw away before a raw socket: keepalived's only.
    socket_drops: u64,
    log_bytes: u64,
}

/// One flood: version, interval, what is sent, how much of it a second to each host (None: as much as the machine can make),
/// for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Plan {
    version: u8,
    advert_ms: u32,
    kinds: Kinds,
    rate: Option<u64>,
    seconds: u64,
}

impl Plan {
    /// At the machine's full rate, long enough that three lost adverts in a row would show several times over.
    pub(crate) const fn full(kinds: Kinds) -> Self {
        Self { version: 3, advert_ms: 100, kinds, rate: None, seconds: 2 }
    }

    const fn slower(kinds: Kinds, rate: u64) -> Self {
        Self { rate: Some(rate), ..Self::full(kinds) }
    }

    const fn setting(self) -> Setting {
        Setting { version: self.version, advert_ms: self.advert_ms, instances: INSTANCES }
    }

    /// What a socket can make travels through the switch as packets do.
    fn generator(self) -> Generator {
        let by_socket = self.rate.is_some_and(|rate| rate <= MOST_BY_SOCKET);
        if by_socket || Requirement::LiveFrames.missing().is_some() {
            Generator::Socket
        } else {
            Generator::LiveFrames
        }
    }

    fn label(self) -> String {
        let rate = self.rate.map_or_else(|| "full rate".to_owned(), |rate| format!("{rate}/s"));
        format!("{}, {rate}", self.kinds.name())
    }
}

/// What the goals are judged by.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub(crate) runs: HashMap<(Plan, Contender), Tries<Run>>,
}

impl Findings {
    /// As if no noisy round had gone wrong.
    pub(crate) fn forgiven(&self) -> Self {
        Self { runs: self.runs.iter().map(|(case, tries)| (*case, tries.forgiven())).collect() }
    }

    pub(crate) fn of(&self, kinds: Kinds, contender: Contender) -> Tries<Run> {
        self.runs.get(&(Plan::full(kinds), contender)).cloned().unwrap_or_default()
    }
}

/// Those that goals are judged by, and those that are seen once.
const JUNK: Plan = Plan::full(Kinds::Junk);
/// What junk at full rate is judged with.
pub(crate) const JUDGED: Setting = JUNK.setting();
const GOALS: [Plan; 3] = [JUNK, Plan::full(Kinds::Stranger), Plan::full(Kinds::Replay)];
const OTHERS: [Plan; 6] = [
    Plan::slower(Kinds::Junk, 10_000),
    Plan::slower(Kinds::Junk, 50_000),
    Plan::slower(Kinds::Junk, 250_000),
    Plan::slower(Kinds::Junk, 1_000_000),
    Plan::slower(Kinds::Stranger, 50_000),
    // Longer than a down interval, or it could prove nothing.
    Plan { version: 2, advert_ms: 1000, kinds: Kinds::Junk, rate: None, seconds: 5 },
];
const QUICK: [Plan; 1] = [Plan::full(Kinds::Junk)];
const INSTANCES: usize = 10;
const _: () = assert!(INSTANCES < FOREIGN as usize, "no foreign virtual router is one of ours");
/// Packets a second.
const MOST_BY_SOCKET: u64 = 50_000;

/// The section of the report.
pub(crate) fn run(rounds: Rounds, binary: &Path) -> Result<(Section, Findings)> {
    let mut section = Section::new(
        "flood",
        "Flood",
        "Ten instances; both hosts receive what a broken or hostile third one would send, made by one CPU of the same \
         machine. Up to 50 000 packets/s a packet socket sends them through the switch. Beyond that the kernel makes \
         them, by test runs of an XDP program on live frames, at the switch's ports to both hosts: the switch need not \
         copy them. Keepalived's interfaces then have an empty XDP program, without which a veth takes no such frames. \
         Packets/s are what the backup's interface counted, the pair's own among them, not what was sent: the CPU that \
         makes packets receives them, too, so that fewer come to whom they cost more. Version 3 has no password: there an \
         advert of version 2 brings one. False masters are instances for which the backup spoke while the master lived, \
         or the living master fell silent for a down interval, of all rounds together. Adverts missed are those of the \
         master's on the wire that our kernel half did not find right; one that is on its way when a count is taken may \
         be among them; of keepalived nobody knows. Socket drops are packets that found a raw socket full: among them may \
         be the master's adverts. The v2 flood is seen once and not judged.",
    );
    if let Some(why) = Requirement::LiveFrames.missing() {
        section.remarks.push(format!("no live frames, a packet socket made all packets: {why}"));
    }
    let mut findings = Findings::default();
    let plans: Vec<(Plan, usize)> = if rounds.quick {
        QUICK.map(|plan| (plan, 1)).into()
    } else {
        GOALS.into_iter().map(|plan| (plan, rounds.count)).chain(OTHERS.map(|plan| (plan, 1))).collect()
    };
    let mut order: Vec<Setting> = Vec::new();
    let mut turns = Turns::new(rounds.deadline);
    for &(plan, count) in &plans {
        let label = format!("{}, {}", plan.setting().label(), plan.label());
        for round in 0..count {
            // keepalived at its best is seen once where the goals look.
            let asked = if GOALS.contains(&plan) { rounds.in_round(round, count) } else { rounds };
            for contender in asked.contenders() {
                let what = format!("{label}, {}", contender.name());
                if !turns.next(&what) {
                    continue;
                }
                println!("flood: {what}, round {}", round + 1);
                let tries = findings.runs.entry((plan, contender)).or_default();
                if let Some(error) = tries.attempt(|| measure(plan, contender, binary)) {
                    println!("  no result: {error:#}");
                    section.remarks.push(format!("{what}: {error:#}"));
                }
            }
        }
        if !order.contains(&plan.setting()) {
            order.push(plan.setting());
        }
    }
    for setting in order {
        let mut table = Table::new(
            &setting.label(),
            &[
                "flood",
                "who",
                "rounds",
                "packets made by",
                "packets/s",
                "false masters",
                "master CPU, %",
                "backup CPU, %",
                "adverts missed",
                "socket drops",
                "log, KiB",
            ],
        );
        for (plan, _) in plans.iter().filter(|(plan, _)| plan.setting() == setting) {
            for contender in rounds.with_tuned().contenders() {
                if let Some(tries) = findings.runs.get(&(*plan, contender)) {
                    table.rows.push(row(*plan, contender, tries));
                }
            }
        }
        section.tables.push(table);
    }
    section.remarks.extend(turns.remark());
    section.tables.push(drops(&plans, &findings));
    section.plots.push(bars(rounds, &plans, &findings));
    Ok((section, findings))
}

fn measure(plan: Plan, contender: Contender, binary: &Path) -> Result<(Run, Noise)> {
    let setting = plan.setting();
    let scene = Scene::new("flood", setting, binary)?;
    let observer = scene.observe(false)?;
    let capture = Capture::start(&scene.lab, &["a"])?;
    let hosts = ["a", "b"];
    let generator = plan.generator();
    let _accepting = match (generator, contender) {
        (Generator::LiveFrames, Contender::Keepalived | Contender::Tuned) => {
            hosts.iter().map(|name| flood::accept_live(scene.host(name))).collect::<Result<Vec<_>>>()?
        }
        // Ours attaches a program of its own.
        (Generator::LiveFrames, Contender::Ours) | (Generator::Socket, _) => Vec::new(),
    };
    let (mut a, mut b, _) = scene.settle(contender, &observer)?;
    thread::sleep(setting.interval());
    let heard = capture.finish()?;
    let adverts: Vec<(&Advert, &Vec<u8>)> = heard
        .iter()
        .filter_map(|record| Some((record.advert()?, &record.bytes)))
        .filter(|(advert, _)| advert.priority != 0)
        .collect();
    let (model, _) = adverts.last().copied().context("the master was not heard")?;
    let client = scene.host("client");
    let frames: Vec<Vec<u8>> = match plan.kinds {
        Kinds::Junk => Junk::INVALID.iter().flat_map(|junk| junk.forge(model, client.mac())).collect(),
        Kinds::Stranger => Junk::LowerPriority.forge(model, client.mac()),
        Kinds::Replay => adverts.iter().rev().take(INSTANCES).map(|(_, bytes)| (*bytes).clone()).collect(),
    };
    let log = b.process().log_len();
    let drops = raw_drops(&scene)?;
    let received = scene.host("b").received()?;
    let cpu = CpuTime::now();
    let (metrics, counted_from) = (b.metrics(&scene)?, clock::now_ns());
    let usage = (a.usage(), b.usage());
    observer.clear();
    let start = clock::now_ns();
    let bound = Bound { time: Duration::from_secs(plan.seconds), packets: u64::MAX, rate: plan.rate };
    let flood = match generator {
        Generator::Socket => Flood::start(client, frames, bound)?,
        Generator::LiveFrames => Flood::start_live(&scene.lab, &hosts, frames, bound)?,
    };
    let flood = flood.finish()?;
    let end = clock::now_ns();
    let arrived = scene.host("b").received()?.saturating_sub(received);
    ensure!(arrived > flood.packets / 10, "of {} packets {arrived} arrived", flood.packets);
    let used = (a.usage_since(&usage.0)?, b.usage_since(&usage.1)?);
    let (counted, counted_until) = (metrics.zip(b.metrics(&scene)?), clock::now_ns());
    let noise = cpu.noise_since();
    // Whoever lost adverts notices a down interval later.
    thread::sleep(setting.down_interval(PRIORITIES[1]) - setting.interval() * 2);
    // Who died of it only by then has not stood it either.
    for (router, before) in [(&mut a, &usage.0), (&mut b, &usage.1)] {
        router.usage_since(before)?;
    }
    let last = b.metrics(&scene)?;
    let mut false_masters = HashSet::new();
    let silence = clock::nanos(setting.down_interval(PRIORITIES[1]));
    let mut spoke = [start; INSTANCES];
    let mut sent = 0_u64;
    for sighting in observer.finish()? {
        if let Kind::Advert { priority: 1.., .. } = sighting.kind
            && let Some(router) = scene.router_of(&sighting)
        {
            if is_from(&sighting, 1) {
                false_masters.insert(router);
            } else if is_from(&sighting, 0) {
                if sighting.time_ns.saturating_sub(spoke[router]) > silence {
                    false_masters.insert(router);
                }
                spoke[router] = sighting.time_ns;
                sent += u64::from((counted_from..counted_until).contains(&sighting.time_ns));
            }
        }
    }
    // One that yields to a stranger may leave no other of the pair to speak.
    false_masters.extend((0..INSTANCES).filter(|router| end.saturating_sub(spoke[*router]) > silence));
    if let (true, Some(last)) = (false_masters.is_empty(), &last) {
        last.ensure_backups(INSTANCES)?;
    }
    let missed = counted.as_ref().and_then(|(before, after)| after.accepted(before));
    #[expect(clippy::cast_precision_loss, reason = "nanoseconds of a few seconds")]
    let share = |before: u64, after: u64| after.saturating_sub(before) as f64 / (end - start) as f64 * 100.0;
    #[expect(clippy::cast_precision_loss, reason = "packets of a few seconds")]
    let run = Run {
        rate: arrived as f64 / flood.time.as_secs_f64(),
        false_masters: false_masters.len(),
        master_cpu: share(usage.0.cpu_ns, used.0.cpu_ns),
        backup_cpu: share(usage.1.cpu_ns, used.1.cpu_ns),
        missed: missed.filter(|_| plan.kinds == Kinds::Junk).map(|accepted| sent.saturating_sub(accepted)),
        kernel_drops: counted.map(|(before, after)| after.drops(&before)).unwrap_or_default(),
        socket_drops: raw_drops(&scene)?.saturating_sub(drops),
        log_bytes: b.process().log_len().saturating_sub(log),
    };
    Ok((run, noise))
}

/// Junk to both hosts at the machine's full rate, for whoever looks at what it costs.
pub(crate) fn start_junk(scene: &Scene, bound: Bound) -> Result<Flood> {
    let (master, client) = (scene.host("a"), scene.host("client"));
    let model = Advert::v3(master.address(), 1, 100, 10, &[[10, 99, 1, 1].into()]);
    let frames = Junk::INVALID.iter().flat_map(|junk| junk.forge(&model, client.mac())).collect();
    match JUNK.generator() {
        Generator::Socket => Flood::start(client, frames, bound),
        Generator::LiveFrames => Flood::start_live(&scene.lab, &["a", "b"], frames, bound),
    }
}

/// The drops of all raw sockets on `b`: the last column of /proc/net/raw.
fn raw_drops(scene: &Scene) -> Result<u64> {
    let listing = scene.host("b").namespace().run("cat", &["/proc/net/raw"])?;
    let last = |line: &str| line.split_whitespace().last().and_then(|drops| drops.parse::<u64>().ok());
    Ok(listing.lines().skip(1).filter_map(last).sum())
}

#[expect(clippy::cast_precision_loss, reason = "counts and bytes of seconds")]
fn row(plan: Plan, contender: Contender, tries: &Tries<Run>) -> Row {
    let values = |value: fn(&Run) -> Option<f64>| tries.values(value);
    let missed = values(|run| run.missed.map(|missed| missed as f64));
    Row {
        cells: vec![
            plan.label(),
            contender.name().to_owned(),
            tries.count(),
            plan.generator().name().to_owned(),
            spread(&values(|run| Some(run.rate))),
            tries.sum(|run| run.false_masters).to_string(),
            spread(&values(|run| Some(run.master_cpu))),
            spread(&values(|run| Some(run.backup_cpu))),
            spread(&missed),
            spread(&values(|run| Some(run.socket_drops as f64))),
            spread(&values(|run| Some(run.log_bytes as f64 / 1024.0))),
        ],
        noise: tries.noise.told(),
        samples: vec![
            ("packets_per_second".to_owned(), values(|run| Some(run.rate))),
            ("false_masters".to_owned(), values(|run| Some(run.false_masters as f64))),
            ("master_cpu".to_owned(), values(|run| Some(run.master_cpu))),
            ("backup_cpu".to_owned(), values(|run| Some(run.backup_cpu))),
            ("adverts_missed".to_owned(), missed),
            ("socket_drops".to_owned(), values(|run| Some(run.socket_drops as f64))),
        ],
    }
}

/// What our kernel half did with the floods: packets of all rounds, by the reason for which they were dropped.
fn drops(plans: &[(Plan, usize)], findings: &Findings) -> Table {
    let mut table = Table::new(
        "Dropped by our backup's kernel half, all rounds",
        &["setting", "flood", "rounds", "packets by reason"],
    );
    for (plan, _) in plans {
        let Some(tries) = findings.runs.get(&(*plan, Contender::Ours)) else { continue };
        let mut reasons: Vec<(String, u64)> = Vec::new();
        for (reason, count) in tries.runs.iter().flat_map(|run| &run.kernel_drops) {
            match reasons.iter_mut().find(|(known, _)| known == reason) {
                Some((_, sum)) => *sum += count,
                None => reasons.push((reason.clone(), *count)),
            }
        }
        let reasons: Vec<String> =
            reasons.iter().map(|(reason, count)| format!("{reason} {count}")).collect();
        let reasons = if reasons.is_empty() { "none".to_owned() } else { reasons.join(", ") };
        table.rows.push(Row {
            cells: vec![plan.setting().label(), plan.label(), tries.count(), reasons],
            ..Row::default()
        });
    }
    table
}

/// Medians.
fn bars(rounds: Rounds, plans: &[(Plan, usize)], findings: &Findings) -> Plot {
    let full: Vec<Plan> = plans.iter().map(|(plan, _)| *plan).filter(|plan| plan.rate.is_none()).collect();
    let series = rounds.contenders().map(|contender| {
        let of = |plan: &Plan| {
            let tries = findings.runs.get(&(*plan, contender))?;
            tries.values(|run| Some(run.backup_cpu)).median()
        };
        let values = full.iter().map(|plan| of(plan).unwrap_or(f64::NAN)).collect::<Samples>();
        Series::new(contender.name(), values)
    });
    Plot::Bars {
        title: "CPU of the backup under floods at the machine's full rate".to_owned(),
        unit: "% of a core".to_owned(),
        logarithmic: false,
        labels: full
            .iter()
            .map(|plan| format!("{}: {}", plan.setting().label(), plan.kinds.name()))
            .collect(),
        series: series.collect(),
    }
}
