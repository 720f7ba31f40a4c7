//! Failover: a master that stops, dies or loses its link; when the other one speaks, and when each address is announced.
//!
//! Owns the events, their stamps and the distance from the RFC's own limit. Judges by what the switch saw, never by logs.

use std::{collections::HashMap, path::Path, thread, time::Duration};

use anyhow::Result;
use rustix::process::Signal;
use vrrp_lab::{
    clock,
    observer::{Kind, Observer, Sighting},
};

use super::{
    Rounds,
    deadline::Turns,
    noise::{CpuTime, Noise},
    report::{Lane, Plot, Row, Section, Series, Table},
    scene::{Contender, PRIORITIES, Router, Scene, Setting, is_from, is_to, tail},
    stats::{Samples, cell, milliseconds},
    tries::Tries,
};

mod marks;

use marks::{advert_marks, announcement_marks};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Event {
    Stop,
    /// The daemon alone.
    Kill,
    Cut,
    /// The daemon and whoever stands by it, all at once.
    KillAll,
}

impl Event {
    const ALL: [Self; 4] = [Self::Stop, Self::Kill, Self::Cut, Self::KillAll];
    /// In this order one session has them: each leaves the other half in charge.
    const SESSION: [Self; 3] = [Self::Stop, Self::Kill, Self::Cut];

    const fn name(self) -> &'static str {
        match self {
            Self::Stop => "planned stop",
            Self::Kill => "kill -9 of the daemon",
            Self::KillAll => "kill -9 of all",
            Self::Cut => "cut link",
        }
    }
}

/// What one event came to. Times in milliseconds from the event, distances from the RFC's limit.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    /// None if the address was announced without one.
    pub(crate) first_advert: Option<f64>,
    /// Of each address, sorted.
    pub(crate) announced: Samples,
    /// Announcement less the limit that follows from the last advert that reached the survivor, of each address.
    pub(crate) beyond_limit: Samples,
    /// The first advert's, of its own virtual router.
    pub(crate) advert_beyond_limit: Option<f64>,
    pub(crate) lanes: Vec<Lane>,
}

/// All outcomes of one setting.
pub(crate) type Outcomes = HashMap<(Event, Contender), Tries<Outcome>>;

/// Version, interval, instances: those that goals are judged by, and those that are seen once.
const GOALS: [(u8, u32, usize); 3] = [(2, 1000, 1), (3, 10, 1), (3, 10, 200)];
const OTHERS: [(u8, u32, usize); 3] = [(3, 100, 1), (3, 100, 200), (2, 1000, 200)];
/// Those of the goals in which keepalived at its best is seen once, whoever else is measured against.
const WITH_TUNED: [(u8, u32, usize); 2] = [GOALS[0], GOALS[2]];
const QUICK: [(u8, u32, usize); 2] = [(2, 1000, 1), (3, 10, 1)];

/// The section of the report.
pub(crate) fn run(rounds: Rounds, binary: &Path) -> Result<(Section, Findings)> {
    let mut section = Section::new(
        "failover",
        "Failover",
        "A pair at rest; then the master is stopped (SIGTERM), killed or its link is cut in the switch. \"kill -9 of the \
         daemon\" is SIGKILL of the one process that a pid file names: of ours the daemon, its guard alive; of keepalived the \
         main process, its child alive for as long as it wants to. \"kill -9 of all\" is every process of either at once, seen \
         once. Times run from the event to the survivor's first advert and to the first gratuitous ARP of each address, as \
         seen by the switch. \"Beyond the limit\" is the distance from what the RFC prescribes after the last advert that \
         reached the survivor: the down interval, or Skew_Time after priority 0; negative is sooner. The rounds strike at \
         moments spread evenly over the advert interval, the same for all contenders. Ours runs with `skew: none`, which two \
         routers need no RFC's permission for; keepalived has no such setting. From 200 instances on ours runs with \
         `consume: true`: the kernel half keeps adverts from the host's stack, where nobody else wants them; keepalived reads \
         them from there. \"keepalived, tuned\" has what its documentation offers for speed: real-time priority, locked memory, \
         large receive buffers; it is seen once, at two settings, unless `--peer tuned` asks for all rounds. A round that did not end as it should is no number here, and the worst there is to the goals. Each \
         timeline is of the round with the median outcome.",
    );
    let mut findings = Findings::default();
    let settings: Vec<_> = if rounds.quick {
        QUICK.into_iter().map(|setting| (setting, 1)).collect()
    } else {
        let goals = GOALS.into_iter().map(|setting| (setting, rounds.count));
        goals.chain(OTHERS.into_iter().map(|setting| (setting, 1))).collect()
    };
    let mut turns = Turns::new(rounds.deadline);
    for ((version, advert_ms, instances), count) in settings {
        let setting = Setting { version, advert_ms, instances };
        let mut outcomes = Outcomes::new();
        for round in 0..count {
            // keepalived at its best is seen once, in the middle of an interval.
            let is_compared = WITH_TUNED.contains(&(version, advert_ms, instances));
            let asked = if is_compared { rounds.in_round(round, count) } else { rounds };
            for contender in asked.contenders() {
                let what = format!("{}, {}", setting.label(), contender.name());
                if !turns.next(&what) {
                    continue;
                }
                println!("failover: {what}, round {}", round + 1);
                let case = Session { setting, contender, binary, phase: phase(round, count) };
                // A cut takes seconds at this interval, and no goal is judged by it.
                let events =
                    if version == 2 && round > 0 { &Event::SESSION[..2] } else { &Event::SESSION[..] };
                section.remarks.extend(case.play(events, &mut outcomes));
            }
        }
        for contender in rounds.contenders().filter(|_| !rounds.quick && (version, instances) == (2, 1)) {
            let what = format!("{}, {}, {}", setting.label(), contender.name(), Event::KillAll.name());
            if !turns.next(&what) {
                continue;
            }
            println!("failover: {what}");
            let case = Session { setting, contender, binary, phase: phase(0, 1) };
            section.remarks.extend(case.play(&[Event::KillAll], &mut outcomes));
        }
        section.tables.push(table(setting, &outcomes));
        section.plots.extend(plots(setting, &outcomes));
        findings.note(setting, outcomes);
    }
    section.remarks.extend(turns.remark());
    Ok((section, findings))
}

/// In which part of an advert interval a round strikes: evenly spread over all of them.
#[expect(clippy::cast_precision_loss, reason = "a few rounds")]
fn phase(round: usize, count: usize) -> f64 {
    (round as f64 + 0.5) / count as f64
}

/// What the goals are judged by.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    by_setting: Vec<(Setting, Outcomes)>,
}

impl Findings {
    pub(crate) fn note(&mut self, setting: Setting, outcomes: Outcomes) {
        self.by_setting.push((setting, outcomes));
    }

    /// As if no noisy round had gone wrong.
    pub(crate) fn forgiven(&self) -> Self {
        let forgiven =
            |outcomes: &Outcomes| outcomes.iter().map(|(case, tries)| (*case, tries.forgiven())).collect();
        let by_setting = self.by_setting.iter();
        Self { by_setting: by_setting.map(|(setting, outcomes)| (*setting, forgiven(outcomes))).collect() }
    }

    /// The rounds of one case.
    pub(crate) fn of(&self, setting: Setting, event: Event, contender: Contender) -> Option<&Tries<Outcome>> {
        let (_, outcomes) = self.by_setting.iter().find(|(known, _)| *known == setting)?;
        outcomes.get(&(event, contender))
    }
}

/// One pair's life.
struct Session<'a> {
    setting: Setting,
    contender: Contender,
    binary: &'a Path,
    /// Of an interval, 0 to 1.
    phase: f64,
}

impl Session<'_> {
    /// These events one after the other. What ended it early, if anything did: that is a failure of the event that it ended
    /// at, and what came before it stays. Without a pair at rest, or with frames lost, all of them have failed.
    fn play(&self, events: &[Event], outcomes: &mut Outcomes) -> Option<String> {
        let cpu = CpuTime::now();
        let mut done = Vec::new();
        let played = self.pair().and_then(|(scene, observer, mut halves)| {
            let struck = self.strikes(&scene, &observer, &mut halves, events, &mut done);
            drop(halves);
            observer.finish()?;
            Ok(struck)
        });
        let (error, failed) = match played {
            Ok(Ok(())) => (None, &[][..]),
            Ok(Err(error)) => (Some(error), events.get(done.len()..=done.len()).unwrap_or_default()),
            Err(error) => {
                done.clear();
                (Some(error), events)
            }
        };
        for (event, (outcome, noise)) in events.iter().zip(done) {
            outcomes.entry((*event, self.contender)).or_default().push(outcome, noise);
        }
        for event in failed {
            outcomes.entry((*event, self.contender)).or_default().fail(cpu.noise_since());
        }
        error.map(|error| {
            println!("  no result: {error:#}");
            format!("{}, {}: {error:#}", self.setting.label(), self.contender.name())
        })
    }

    fn strikes(
        &self,
        scene: &Scene,
        observer: &Observer,
        halves: &mut [Router; 2],
        events: &[Event],
        done: &mut Vec<(Outcome, Noise)>,
    ) -> Result<()> {
        for (number, event) in events.iter().enumerate() {
            if number > 0 {
                halves[1 - number % 2].restart(scene)?;
                thread::sleep(self.setting.interval() * 2 + Duration::from_millis(900));
            }
            let cpu = CpuTime::now();
            let outcome = strike(scene, observer, *event, halves, number % 2, self.phase)?;
            done.push((outcome, cpu.noise_since()));
        }
        Ok(())
    }

    /// At rest.
    fn pair(&self) -> Result<(Scene, Observer, [Router; 2])> {
        let mut scene = Scene::new("failover", self.setting, self.binary)?;
        if self.contender == Contender::Ours {
            scene = scene.with("skew: none");
        }
        let observer = scene.observe(true)?;
        let (a, b, _) = scene.settle(self.contender, &observer)?;
        Ok((scene, observer, [a, b]))
    }
}

/// Sleeps until the master's beat of the first virtual router is that part of an interval ago.
fn await_phase(scene: &Scene, observer: &Observer, master: u16, phase: f64) {
    let is_beat = |sighting: &&Sighting| {
        is_from(sighting, master) && is_living_advert(sighting) && scene.router_of(sighting) == Some(0)
    };
    let last = observer.look(0, |all| all.iter().rev().find(is_beat).map(|sighting| sighting.time_ns));
    let Some(last) = last else { return };
    let interval = clock::nanos(scene.setting.interval());
    let mut at = last + clock::nanos(scene.setting.interval().mul_f64(phase));
    while at < clock::now_ns() {
        at += interval;
    }
    thread::sleep(Duration::from_nanos(at.saturating_sub(clock::now_ns())));
}

fn strike(
    scene: &Scene,
    observer: &Observer,
    event: Event,
    halves: &mut [Router; 2],
    master: usize,
    phase: f64,
) -> Result<Outcome> {
    let survivor = 1 - master;
    let (from_master, from_survivor) = (u16::try_from(master)?, u16::try_from(survivor)?);
    observer.clear();
    // A few adverts before the event, to tell the limit from.
    thread::sleep(scene.setting.interval() * 2 + Duration::from_millis(30));
    // Not between the stamp and the blow: it takes milliseconds.
    let tree = halves[master].process().tree();
    await_phase(scene, observer, from_master, phase);
    let mut at = clock::now_ns();
    match event {
        Event::Stop => halves[master].process_mut().terminate(),
        Event::Kill => halves[master].kill(tree),
        Event::KillAll => halves[master].process().signal_all(&tree, Signal::KILL),
        Event::Cut => {
            scene.host(["a", "b"][master]).cut()?;
            // The command itself takes a few milliseconds; the limit counts from the last advert in any case.
            at = clock::now_ns();
        }
    }
    let limit = scene.setting.down_interval(PRIORITIES[survivor]) * 2 + Duration::from_secs(3);
    let complete = clock::wait_until(limit, || {
        observer.look(0, |all| announcements(scene, all, from_survivor, at).len() == scene.setting.instances)
    });
    thread::sleep(Duration::from_millis(30));
    let all = observer.sightings();
    let announced = announcements(scene, &all, from_survivor, at);
    if !complete {
        anyhow::bail!(
            "after the {} only {} of {} addresses were announced within {limit:?}:\n{}",
            event.name(),
            announced.len(),
            scene.setting.instances,
            tail(&halves[survivor].process().log())
        );
    }
    let spoke_before = all.iter().any(|sighting| {
        is_from(sighting, from_survivor) && sighting.time_ns < at && is_living_advert(sighting)
    });
    if spoke_before {
        anyhow::bail!("the backup was master already before the {}", event.name());
    }
    let first_advert = all.iter().find(|sighting| {
        is_from(sighting, from_survivor) && is_living_advert(sighting) && sighting.time_ns >= at
    });
    // The last word that reached the survivor before it announced.
    let mut heard: HashMap<usize, (u64, u8)> = HashMap::new();
    for sighting in &all {
        if let Kind::Advert { priority, .. } = sighting.kind
            && is_to(sighting, from_survivor)
            && let Some(router) = scene.router_of(sighting)
            && announced.get(&router).is_some_and(|announced| sighting.time_ns < *announced)
        {
            heard.insert(router, (sighting.time_ns, priority));
        }
    }
    // From the event to where the RFC would have the survivor take over.
    let limit_of = |router: usize| {
        let (last_ns, priority) = heard.get(&router)?;
        let wait = match priority {
            0 => scene.setting.skew_time(PRIORITIES[survivor]),
            _ => scene.setting.down_interval(PRIORITIES[survivor]),
        };
        Some(milliseconds(at, *last_ns) + wait.as_secs_f64() * 1e3)
    };
    let mut beyond_limit = Samples::default();
    let mut limits = Samples::default();
    for (router, time_ns) in &announced {
        if let Some(limit) = limit_of(*router) {
            beyond_limit.push(milliseconds(at, *time_ns) - limit);
            limits.push(limit);
        }
    }
    let advert_beyond_limit = first_advert.and_then(|sighting| {
        Some(milliseconds(at, sighting.time_ns) - limit_of(scene.router_of(sighting)?)?)
    });
    let first_advert = first_advert.map(|sighting| milliseconds(at, sighting.time_ns));
    let mut times: Samples = announced.values().map(|time_ns| milliseconds(at, *time_ns)).collect();
    times.0.sort_by(f64::total_cmp);
    let lane = |half: u16, name: &str, limit| Lane {
        name: name.to_owned(),
        adverts: advert_marks(&all, at, half),
        announcements: announcement_marks(&all, at, half),
        limit,
    };
    // Of several, the last one's.
    let lanes = vec![lane(from_master, "old master", None), lane(from_survivor, "survivor", limits.max())];
    Ok(Outcome { first_advert, announced: times, beyond_limit, advert_beyond_limit, lanes })
}

fn is_living_advert(sighting: &Sighting) -> bool {
    matches!(sighting.kind, Kind::Advert { priority: 1.., .. })
}

/// When the survivor first announced each address after the event.
fn announcements(scene: &Scene, all: &[Sighting], half: u16, after: u64) -> HashMap<usize, u64> {
    let mut first = HashMap::new();
    for sighting in all {
        if let Kind::Announcement { .. } = sighting.kind
            && sighting.time_ns >= after
            && is_from(sighting, half)
            && let Some(router) = scene.router_of(sighting)
        {
            first.entry(router).or_insert(sighting.time_ns);
        }
    }
    first
}

fn table(setting: Setting, outcomes: &Outcomes) -> Table {
    let mut table = Table::new(
        &setting.label(),
        &[
            "event",
            "who",
            "rounds",
            "first advert, ms",
            "first VIP",
            "median VIP",
            "last VIP",
            "least",
            "most",
            "beyond the limit, first advert",
            "first VIP",
            "median VIP",
            "last VIP",
            "times slower",
        ],
    );
    for event in Event::ALL {
        let ours = outcomes.get(&(event, Contender::Ours)).and_then(|tries| tries.values(last_vip).median());
        for contender in Contender::ALL {
            let Some(tries) = outcomes.get(&(event, contender)) else { continue };
            let last = tries.values(last_vip);
            let slower = match (contender, last.median(), ours) {
                (Contender::Keepalived | Contender::Tuned, Some(theirs), Some(ours)) => {
                    cell(Some(theirs / ours))
                }
                (Contender::Keepalived | Contender::Tuned, _, _) => "-".to_owned(),
                (Contender::Ours, _, _) => "1".to_owned(),
            };
            let median = |value: fn(&Outcome) -> Option<f64>| cell(tries.values(value).median());
            table.rows.push(Row {
                cells: vec![
                    event.name().to_owned(),
                    contender.name().to_owned(),
                    tries.count(),
                    median(|outcome| outcome.first_advert),
                    median(|outcome| outcome.announced.min()),
                    median(|outcome| outcome.announced.median()),
                    cell(last.median()),
                    cell(last.min()),
                    cell(last.max()),
                    median(|outcome| outcome.advert_beyond_limit),
                    median(first_beyond_limit),
                    median(|outcome| outcome.beyond_limit.median()),
                    median(last_beyond_limit),
                    slower,
                ],
                noise: tries.noise.told(),
                samples: vec![
                    ("first_advert_ms".to_owned(), tries.values(|outcome| outcome.first_advert)),
                    ("first_vip_ms".to_owned(), tries.values(|outcome| outcome.announced.min())),
                    ("median_vip_ms".to_owned(), tries.values(|outcome| outcome.announced.median())),
                    ("last_vip_ms".to_owned(), last),
                    (
                        "beyond_limit_advert_ms".to_owned(),
                        tries.values(|outcome| outcome.advert_beyond_limit),
                    ),
                    ("beyond_limit_first_ms".to_owned(), tries.values(first_beyond_limit)),
                    (
                        "beyond_limit_median_ms".to_owned(),
                        tries.values(|outcome| outcome.beyond_limit.median()),
                    ),
                    ("beyond_limit_last_ms".to_owned(), tries.values(last_beyond_limit)),
                ],
            });
        }
    }
    table
}

pub(crate) fn last_vip(outcome: &Outcome) -> Option<f64> {
    outcome.announced.max()
}

pub(crate) fn last_beyond_limit(outcome: &Outcome) -> Option<f64> {
    outcome.beyond_limit.max()
}

/// A takeover before the limit is one that the master need not have been dead for.
pub(crate) fn first_beyond_limit(outcome: &Outcome) -> Option<f64> {
    outcome.beyond_limit.min()
}

/// The round whose last address came neither soonest nor latest.
fn median_outcome(tries: &Tries<Outcome>) -> Option<&Outcome> {
    let mut runs: Vec<&Outcome> = tries.runs.iter().collect();
    runs.sort_by(|one, other| {
        let last = |outcome| last_vip(outcome).unwrap_or(f64::INFINITY);
        last(one).total_cmp(&last(other))
    });
    runs.get(runs.len() / 2).copied()
}

fn plots(setting: Setting, outcomes: &Outcomes) -> Vec<Plot> {
    let mut plots = Vec::new();
    for event in Event::ALL {
        let of = |contender| outcomes.get(&(event, contender)).filter(|tries| !tries.runs.is_empty());
        let series: Vec<Series> = Contender::ALL
            .into_iter()
            .filter_map(|contender| {
                let runs = &of(contender)?.runs;
                let values = runs.iter().flat_map(|outcome| outcome.announced.0.clone()).collect();
                Some(Series::new(contender.name(), values))
            })
            .collect();
        if !series.is_empty() {
            let title = format!(
                "{}, {}: from the event to each address's announcement",
                setting.label(),
                event.name()
            );
            plots.push(Plot::Cdf { title, unit: "ms".to_owned(), logarithmic: true, series });
        }
        for contender in Contender::ALL {
            if let Some(outcome) = of(contender).and_then(median_outcome) {
                let title = format!("{}, {}: {}", setting.label(), event.name(), contender.name());
                plots.push(Plot::Timeline { title, lanes: outcome.lanes.clone() });
            }
        }
    }
    plots
}
