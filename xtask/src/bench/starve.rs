//! Starvation: a host that does not get its CPU, or does not get to run at all, on either side of the adverts.

use std::{
    collections::{HashMap, HashSet},
    fs,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result};
use rustix::process::Signal;
use vrrp_lab::{
    clock,
    load::Load,
    observer::{Kind, Observer},
};

mod disk;
mod pressure;

use pressure::Room;

use super::{
    Rounds,
    deadline::Turns,
    noise::{CpuTime, Noise},
    report::{Plot, Row, Section, Series, Table},
    scene::{Contender, PRIORITIES, Router, Scene, Setting, is_from, tail},
    stats::{milliseconds, spread},
    tries::Tries,
};

/// What is done to the pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Case {
    BusyLoops,
    Memory,
    Disk,
    /// The backup sleeps for 90 % of the down interval.
    ShortStop,
    /// For three down intervals, the master alive.
    LongStop,
    /// The master sleeps: silent for no more than 90 % of the down interval.
    SenderStop,
    /// Both sleep for three down intervals, while the segment goes away and comes back.
    BothStop,
    /// The master dies while the backup sleeps.
    DeadMaster,
}

impl Case {
    /// Whether something is written to a disk for it.
    const fn wants_disk(self) -> bool {
        matches!(self, Self::Memory | Self::Disk)
    }

    /// Seen once: what they do depends on the machine more than on the contenders.
    const LOADS: [Self; 3] = [Self::BusyLoops, Self::Memory, Self::Disk];
    const STALLS: [Self; 4] = [Self::ShortStop, Self::LongStop, Self::SenderStop, Self::BothStop];
    /// No false master. Not the stopped master: ours is relieved by its guard before the backup's time is up, on purpose.
    pub(crate) const JUDGED: [Self; 3] = [Self::ShortStop, Self::LongStop, Self::BothStop];

    const fn name(self) -> &'static str {
        match self {
            Self::BusyLoops => "8 busy loops",
            Self::Memory => "memory short",
            Self::Disk => "disk writes",
            Self::ShortStop => "backup stopped for 0.9 down intervals",
            Self::LongStop => "backup stopped for 3 down intervals",
            Self::SenderStop => "master stopped, silent for 0.9 down intervals at most",
            Self::BothStop => "both stopped, port down and up",
            Self::DeadMaster => "master dies while the backup is stopped",
        }
    }
}

/// What it came to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    /// Instances for which the backup spoke while the master lived; for a dead master, always 0.
    pub(crate) false_masters: usize,
    /// A dead master: from the end of the stall to the first advert of the last instance, in advert intervals.
    pub(crate) replaced_after: Option<f64>,
    /// Under memory pressure in a control group: how often its limit was met.
    pub(crate) limit_met: Option<u64>,
}

/// What the goals are judged by.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub(crate) runs: HashMap<(Case, u32, Contender), Tries<Run>>,
}

impl Findings {
    /// As if no noisy round had gone wrong.
    pub(crate) fn forgiven(&self) -> Self {
        Self { runs: self.runs.iter().map(|(case, tries)| (*case, tries.forgiven())).collect() }
    }

    /// The rounds of one case; none if it was not run.
    pub(crate) fn of(&self, case: Case, advert_ms: u32, contender: Contender) -> Tries<Run> {
        self.runs.get(&(case, advert_ms, contender)).cloned().unwrap_or_default()
    }
}

/// The second is the harder case, of which the goals want all rounds.
pub(crate) const INTERVALS: [u32; 2] = [100, 10];
const INSTANCES: usize = 10;
const LOADED: Duration = Duration::from_millis(2500);
const NO_DISK: &str = "the folders for temporary files are in memory";

/// The way out that runs no destructor.
pub(crate) fn sweep_own() {
    pressure::sweep_own();
}

/// The section of the report.
pub(crate) fn run(rounds: Rounds, binary: &Path) -> Result<(Section, Findings)> {
    let mut section = Section::new(
        "starve",
        "Starvation",
        "Ten instances, version 3. Busy loops, memory and disk load \
         press on both halves at once, since they share the machine; a stop is SIGSTOP of the whole daemon, as when a virtual machine pauses. False masters are instances for \
         which the backup spoke while the master lived. At 10 ms a stall of the machine itself beyond 36 ms takes every \
         advert away, and a takeover is then what the protocol asks for. A stopped master is seen and not judged: of ours the guard \
         takes the addresses off, and says so to the peer, once its daemon has been silent for the down interval less one advert \
         interval, so that a frozen host never holds what another claims.",
    );
    let mut findings = Findings::default();
    let intervals: &[u32] = if rounds.quick { &[100] } else { &INTERVALS };
    let has_disk = disk::folder().is_some();
    if !has_disk && !rounds.quick {
        section.remarks.push(format!("Without \"memory short\" and \"disk writes\": {NO_DISK}."));
    }
    let mut turns = Turns::new(rounds.deadline);
    // The goals do not wait for what is seen once.
    for &advert_ms in intervals.iter().rev() {
        let setting = Setting { version: 3, advert_ms, instances: INSTANCES };
        let mut table = Table::new(
            &setting.label(),
            &[
                "case",
                "who",
                "rounds",
                "rounds with false masters",
                "false masters, all rounds",
                "replaced after, intervals",
            ],
        );
        let stops = if advert_ms == INTERVALS[1] { rounds.count } else { 1 };
        let loads = Case::LOADS.into_iter().filter(|case| !rounds.quick && (has_disk || !case.wants_disk()));
        let loads = loads.map(|case| (case, 1));
        let stalls = Case::STALLS.into_iter().chain([Case::DeadMaster]).map(|case| (case, stops));
        for (case, count) in stalls.chain(loads) {
            for round in 0..count {
                // keepalived at its best is seen once at the harder interval.
                let asked = if advert_ms == INTERVALS[1] { rounds.in_round(round, count) } else { rounds };
                for contender in asked.contenders() {
                    let what = format!("{}, {}, {}", setting.label(), case.name(), contender.name());
                    if !turns.next(&what) {
                        continue;
                    }
                    println!("starve: {what}, round {}", round + 1);
                    let tries = findings.runs.entry((case, advert_ms, contender)).or_default();
                    if let Some(error) = tries.attempt(|| measure(setting, case, contender, binary)) {
                        println!("  no result: {error:#}");
                        section.remarks.push(format!("{what}: {error:#}"));
                    }
                }
            }
            for contender in rounds.with_tuned().contenders() {
                if let Some(runs) = findings.runs.get(&(case, advert_ms, contender)) {
                    table.rows.push(row(case, contender, runs));
                }
            }
        }
        section.tables.push(table);
        section.plots.push(bars(setting, rounds, &findings));
    }
    section.remarks.extend(turns.remark());
    section.remarks.extend(memory(&findings));
    Ok((section, findings))
}

fn measure(setting: Setting, case: Case, contender: Contender, binary: &Path) -> Result<(Run, Noise)> {
    let scene = Scene::new("starve", setting, binary)?;
    let observer = scene.observe(false)?;
    let room = if case == Case::Memory { Room::make() } else { None };
    let settle = || scene.settle(contender, &observer);
    let (mut a, mut b, _) = match &room {
        Some(room) => room.around(settle)?,
        None => settle()?,
    };
    let down = setting.down_interval(PRIORITIES[1]);
    observer.clear();
    let before = (a.usage(), b.usage());
    let cpu = CpuTime::now();
    let (mut replaced_after, mut limit_met) = (None, None);
    match case {
        Case::BusyLoops => under(Load::busy_loops(&scene.lab, 8)?),
        Case::Memory => match &room {
            Some(room) => limit_met = Some(room.press(&scene.lab, &disk()?, LOADED)?),
            None => under(Load::memory(&scene.lab, fill()?)?),
        },
        Case::Disk => under(Load::disk(&scene.lab, &disk()?)?),
        Case::ShortStop => pause(&b, down * 9 / 10),
        Case::LongStop => pause(&b, down * 3),
        // Its last advert may be an interval ago.
        Case::SenderStop => pause(&a, down * 9 / 10 - setting.interval()),
        Case::BothStop => {
            let trees = [&a, &b].map(|router| (router.process(), router.process().tree()));
            for (process, tree) in &trees {
                process.signal_all(tree, Signal::STOP);
            }
            scene.host("a").cut()?;
            thread::sleep(down * 3);
            scene.host("a").heal()?;
            for (process, tree) in trees.iter().rev() {
                process.signal_all(tree, Signal::CONT);
            }
        }
        Case::DeadMaster => replaced_after = Some(dead_master(&scene, &observer, &a, &b, down)?),
    }
    let noise = cpu.noise_since();
    thread::sleep(down + setting.interval() * 2);
    if case != Case::DeadMaster {
        a.usage_since(&before.0)?;
    }
    b.usage_since(&before.1)?;
    let metrics = b.metrics(&scene)?;
    let mut false_masters = HashSet::new();
    for sighting in observer.finish()? {
        if case != Case::DeadMaster
            && let Kind::Advert { priority: 1.., .. } = sighting.kind
            && is_from(&sighting, 1)
            && let Some(router) = scene.router_of(&sighting)
        {
            false_masters.insert(router);
        }
    }
    if let (true, Some(metrics)) = (case != Case::DeadMaster && false_masters.is_empty(), metrics) {
        metrics.ensure_backups(setting.instances)?;
    }
    Ok((Run { false_masters: false_masters.len(), replaced_after, limit_met }, noise))
}

fn disk() -> Result<PathBuf> {
    disk::folder().context(NO_DISK)
}

fn fill() -> Result<u64> {
    Ok(pressure::fill(&fs::read_to_string("/proc/meminfo").context("read /proc/meminfo")?))
}

fn under(load: Load) {
    thread::sleep(LOADED);
    drop(load);
}

/// From the first one's stop to its going on; to find the processes takes milliseconds, which are no part of it.
fn pause(router: &Router, time: Duration) {
    let (process, tree) = (router.process(), router.process().tree());
    process.signal_all(&tree, Signal::STOP);
    thread::sleep(time);
    process.signal_all(&tree, Signal::CONT);
}

/// How many intervals after the end of its sleep the backup had taken over every instance.
fn dead_master(scene: &Scene, observer: &Observer, a: &Router, b: &Router, down: Duration) -> Result<f64> {
    let (master, backup) = (a.process().tree(), b.process().tree());
    b.process().signal_all(&backup, Signal::STOP);
    // No word of farewell: a dead host.
    a.process().signal_all(&master, Signal::KILL);
    thread::sleep(down * 2);
    let awake = clock::now_ns();
    b.process().signal_all(&backup, Signal::CONT);
    let mut taken = HashSet::new();
    let mut last = awake;
    let mut next = 0;
    let all_taken = clock::wait_until(down * 2 + Duration::from_secs(3), || {
        next += observer.look(next, |fresh| {
            for sighting in fresh {
                if let Kind::Advert { priority: 1.., .. } = sighting.kind
                    && is_from(sighting, 1)
                    && let Some(router) = scene.router_of(sighting)
                    && taken.insert(router)
                {
                    last = sighting.time_ns;
                }
            }
            fresh.len()
        });
        taken.len() == scene.setting.instances
    });
    anyhow::ensure!(
        all_taken,
        "only {} of {} instances were taken over:\n{}",
        taken.len(),
        scene.setting.instances,
        tail(&b.process().log())
    );
    Ok(milliseconds(awake, last) / (scene.setting.interval().as_secs_f64() * 1e3))
}

/// How memory was short.
fn memory(findings: &Findings) -> Option<String> {
    let of = |who| {
        let tries = INTERVALS.map(|advert_ms| findings.of(Case::Memory, advert_ms, who));
        tries.into_iter().flat_map(|tries| tries.runs).collect::<Vec<Run>>()
    };
    let all = Contender::ALL.map(|who| (who, of(who)));
    let told = all.iter().filter(|(_, runs)| !runs.is_empty()).map(|(who, runs)| {
        let met: u64 = runs.iter().filter_map(|run| run.limit_met).sum();
        format!("{met} times with {}", who.name())
    });
    let told: Vec<String> = told.collect();
    let in_groups = all.iter().flat_map(|(_, runs)| runs).all(|run| run.limit_met.is_some());
    (!told.is_empty()).then(|| {
        if in_groups {
            format!(
                "\"memory short\": both daemons and two writers of files in one control group, with {} MiB beyond what the pair had at \
                 rest; the limit was met {}.",
                pressure::SPARE,
                told.join(", ")
            )
        } else {
            "\"memory short\": no control group with a limit can be made here; two processes fill and free what is available, \
             but for 2 GiB."
                .to_owned()
        }
    })
}

fn row(case: Case, contender: Contender, tries: &Tries<Run>) -> Row {
    let replaced = tries.values(|run| run.replaced_after);
    #[expect(clippy::cast_precision_loss, reason = "counts of seconds")]
    let (wrong, met) = (
        tries.values(|run| Some(run.false_masters as f64)),
        tries.values(|run| run.limit_met.map(|met| met as f64)),
    );
    Row {
        cells: vec![
            case.name().to_owned(),
            contender.name().to_owned(),
            tries.count(),
            tries.runs.iter().filter(|run| run.false_masters > 0).count().to_string(),
            tries.sum(|run| run.false_masters).to_string(),
            spread(&replaced),
        ],
        noise: tries.noise.told(),
        samples: vec![
            ("false_masters".to_owned(), wrong),
            ("replaced_after_intervals".to_owned(), replaced),
            ("memory_limit_met".to_owned(), met),
        ],
    }
}

/// Of each case: in which share of the rounds the backup spoke for nothing.
fn bars(setting: Setting, rounds: Rounds, findings: &Findings) -> Plot {
    let cases: Vec<Case> = Case::LOADS.into_iter().chain(Case::STALLS).collect();
    let series = rounds.contenders().map(|contender| {
        #[expect(clippy::cast_precision_loss, reason = "a few rounds")]
        let share = |case: &Case| {
            let tries = findings.of(*case, setting.advert_ms, contender);
            let wrong = tries.runs.iter().filter(|run| run.false_masters > 0).count();
            if tries.runs.is_empty() { f64::NAN } else { wrong as f64 / tries.runs.len() as f64 * 100.0 }
        };
        Series::new(contender.name(), cases.iter().map(share).collect())
    });
    Plot::Bars {
        title: format!("{}: rounds with a false master", setting.label()),
        unit: "% of the rounds".to_owned(),
        logarithmic: false,
        labels: cases.iter().map(|case| case.name().to_owned()).collect(),
        series: series.collect(),
    }
}
