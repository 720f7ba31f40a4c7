//! Failover: a master that stops, dies or loses its link; when the other one speaks, and when each address is announced.
//!
//! Owns the events, their stamps and the distance from the RFC's own limit. Judges by what the switch saw, never by logs.

use std::{collections::HashMap, path::Path, thread, time::Duration};

use anyhow::Result;
use vrrp_lab::{
    clock,
    observer::{Kind, Observer, Sighting},
};

use super::{
    Rounds,
    machine::{CpuTime, noise},
    report::{Lane, Plot, Row, Section, Series, Table},
    scene::{Contender, PRIORITIES, Router, Scene, Setting, is_from, is_to},
    stats::{Samples, cell, milliseconds},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Event {
    Stop,
    Kill,
    Cut,
}

impl Event {
    /// In this order one session has them all: each leaves the other half in charge.
    const ALL: [Self; 3] = [Self::Stop, Self::Kill, Self::Cut];

    const fn name(self) -> &'static str {
        match self {
            Self::Stop => "planned stop",
            Self::Kill => "kill -9",
            Self::Cut => "cut link",
        }
    }
}

/// What one event came to. Times in milliseconds from the event, distances from the RFC's limit.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    pub(crate) first_advert: f64,
    /// Of each address, sorted.
    pub(crate) announced: Samples,
    /// Announcement less the limit that follows from the last advert that reached the survivor, of each address.
    pub(crate) beyond_limit: Samples,
    pub(crate) steal: f64,
    lanes: Vec<Lane>,
}

/// All outcomes of one setting.
type Outcomes = HashMap<(Event, Contender), Vec<Outcome>>;

/// Version, interval, instances: those that goals are judged by, and those that are seen once.
const GOALS: [(u8, u32, usize); 3] = [(2, 1000, 1), (3, 10, 1), (3, 10, 200)];
const OTHERS: [(u8, u32, usize); 3] = [(3, 100, 1), (2, 1000, 200), (3, 100, 200)];
const QUICK: [(u8, u32, usize); 2] = [(2, 1000, 1), (3, 10, 1)];

/// The section of the report.
pub(crate) fn run(rounds: Rounds, binary: &Path) -> Result<(Section, Findings)> {
    let mut section = Section::new(
        "failover",
        "Failover",
        "A pair at rest; then the master is stopped (SIGTERM), killed (SIGKILL of the daemon; our guard lives on, of \
         keepalived both processes go) or its link is cut in the switch. Times run from the event to the survivor's first \
         advert and to the first gratuitous ARP of each address, as seen by the switch. \"Beyond the limit\" is the distance \
         from what the RFC prescribes after the last advert that reached the survivor: the down interval, or Skew_Time after \
         priority 0; negative is sooner. Ours runs with `skew: none`, which two routers need no RFC's permission for; \
         keepalived has no such setting.",
    );
    let mut findings = Findings::default();
    let settings: Vec<_> = if rounds.quick {
        QUICK.into_iter().map(|setting| (setting, 1)).collect()
    } else {
        let goals = GOALS.into_iter().map(|setting| (setting, rounds.count));
        goals.chain(OTHERS.into_iter().map(|setting| (setting, 1))).collect()
    };
    for ((version, advert_ms, instances), count) in settings {
        let setting = Setting { version, advert_ms, instances };
        let mut outcomes = Outcomes::new();
        let mut unsettled: HashMap<Contender, usize> = HashMap::new();
        for round in 0..count {
            for contender in rounds.contenders() {
                println!("failover: {}, {}, round {}", setting.label(), contender.name(), round + 1);
                match session(setting, contender, binary) {
                    Ok(session) => {
                        for (event, outcome) in session {
                            outcomes.entry((event, contender)).or_default().push(outcome);
                        }
                    }
                    Err(error) => {
                        *unsettled.entry(contender).or_default() += 1;
                        println!("  no result: {error:#}");
                    }
                }
            }
        }
        section.tables.push(table(setting, rounds, &outcomes));
        for (contender, times) in unsettled {
            section.remarks.push(format!(
                "{}: {} could not be brought to rest (or did not recover) in {times} of {count} rounds",
                setting.label(),
                contender.name()
            ));
        }
        section.plots.extend(plots(setting, &outcomes));
        findings.note(setting, outcomes);
    }
    Ok((section, findings))
}

/// What the goals are judged by.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    by_setting: Vec<(Setting, Outcomes)>,
}

impl Findings {
    fn note(&mut self, setting: Setting, outcomes: Outcomes) {
        self.by_setting.push((setting, outcomes));
    }

    /// Median over the rounds of what `value` takes from each outcome.
    pub(crate) fn median(
        &self,
        setting: Setting,
        event: Event,
        contender: Contender,
        value: impl Fn(&Outcome) -> Option<f64>,
    ) -> Option<f64> {
        let (_, outcomes) = self.by_setting.iter().find(|(known, _)| *known == setting)?;
        outcomes.get(&(event, contender))?.iter().filter_map(value).collect::<Samples>().median()
    }
}

fn session(setting: Setting, contender: Contender, binary: &Path) -> Result<Vec<(Event, Outcome)>> {
    let mut scene = Scene::new("failover", setting, binary)?;
    if contender == Contender::Ours {
        scene = scene.with("skew: none");
    }
    let observer = scene.observe(true)?;
    let (a, b, _) = scene.settle(contender, &observer)?;
    let mut halves = [a, b];
    let mut outcomes = Vec::new();
    for (number, event) in Event::ALL.into_iter().enumerate() {
        let master = number % 2;
        outcomes.push((event, strike(&scene, &observer, event, &mut halves, master)?));
        if event != Event::Cut {
            halves[master].restart(&scene)?;
            thread::sleep(setting.interval() * 2 + Duration::from_millis(900));
        }
    }
    drop(halves);
    observer.finish()?;
    Ok(outcomes)
}

fn strike(
    scene: &Scene,
    observer: &Observer,
    event: Event,
    halves: &mut [Router; 2],
    master: usize,
) -> Result<Outcome> {
    let survivor = 1 - master;
    let (from_master, from_survivor) = (u16::try_from(master)?, u16::try_from(survivor)?);
    observer.clear();
    // A few adverts before the event, to tell the limit from.
    thread::sleep(scene.setting.interval() * 2 + Duration::from_millis(30));
    let cpu = CpuTime::now();
    let mut at = clock::now_ns();
    match event {
        Event::Stop => halves[master].process_mut().terminate(),
        Event::Kill => halves[master].kill(),
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
    let steal = cpu.steal_since();
    thread::sleep(Duration::from_millis(30));
    let all = observer.sightings();
    let announced = announcements(scene, &all, from_survivor, at);
    if !complete {
        anyhow::bail!(
            "after the {} only {} of {} addresses were announced within {limit:?}",
            event.name(),
            announced.len(),
            scene.setting.instances
        );
    }
    let spoke_before = all.iter().any(|sighting| {
        is_from(sighting, from_survivor) && sighting.time_ns < at && is_living_advert(sighting)
    });
    if spoke_before {
        anyhow::bail!("the backup was master already before the {}", event.name());
    }
    let first_advert = all
        .iter()
        .filter(|sighting| is_from(sighting, from_survivor) && is_living_advert(sighting))
        .map(|sighting| milliseconds(at, sighting.time_ns))
        .find(|time| *time >= 0.0)
        .unwrap_or(f64::NAN);
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
    let mut beyond_limit = Samples::default();
    for (router, time_ns) in &announced {
        if let Some((last_ns, priority)) = heard.get(router) {
            let wait = match priority {
                0 => scene.setting.skew_time(PRIORITIES[survivor]),
                _ => scene.setting.down_interval(PRIORITIES[survivor]),
            };
            beyond_limit.push(milliseconds(*last_ns, *time_ns) - wait.as_secs_f64() * 1e3);
        }
    }
    let mut times: Samples = announced.values().map(|time_ns| milliseconds(at, *time_ns)).collect();
    times.0.sort_by(f64::total_cmp);
    let lane = |half: u16, name: &str| Lane {
        name: name.to_owned(),
        adverts: marks(&all, at, |sighting| is_from(sighting, half) && is_living_advert(sighting)),
        announcements: marks(&all, at, |sighting| {
            is_from(sighting, half) && matches!(sighting.kind, Kind::Announcement { .. })
        }),
        limit: None,
    };
    let lanes = vec![lane(from_master, "old master"), lane(from_survivor, "survivor")];
    Ok(Outcome { first_advert, announced: times, beyond_limit, steal, lanes })
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

/// At most so many marks make a picture; more make a blot.
const MARKS: usize = 400;

fn marks(all: &[Sighting], at: u64, wanted: impl Fn(&Sighting) -> bool) -> Vec<f64> {
    let wanted = all.iter().filter(|sighting| wanted(sighting));
    wanted.map(|sighting| milliseconds(at, sighting.time_ns)).take(MARKS).collect()
}

fn table(setting: Setting, rounds: Rounds, outcomes: &Outcomes) -> Table {
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
            "last VIP, p99",
            "min",
            "max",
            "beyond the limit, last VIP",
            "times slower",
        ],
    );
    for event in Event::ALL {
        let ours = outcomes.get(&(event, Contender::Ours)).and_then(|outcomes| median(outcomes, last_vip));
        for contender in rounds.contenders() {
            let Some(outcomes) = outcomes.get(&(event, contender)) else { continue };
            let last: Samples = outcomes.iter().filter_map(last_vip).collect();
            let slower = match (contender, last.median(), ours) {
                (Contender::Keepalived | Contender::Tuned, Some(theirs), Some(ours)) => {
                    cell(Some(theirs / ours))
                }
                (Contender::Ours, _, _) | (Contender::Keepalived | Contender::Tuned, _, _) => "1".to_owned(),
            };
            let steal = outcomes.iter().map(|outcome| outcome.steal).fold(0.0, f64::max);
            table.rows.push(Row {
                cells: vec![
                    event.name().to_owned(),
                    contender.name().to_owned(),
                    outcomes.len().to_string(),
                    cell(median(outcomes, |outcome| Some(outcome.first_advert))),
                    cell(median(outcomes, |outcome| outcome.announced.min())),
                    cell(median(outcomes, |outcome| outcome.announced.median())),
                    cell(last.median()),
                    cell(last.percentile(0.99)),
                    cell(last.min()),
                    cell(last.max()),
                    cell(median(outcomes, |outcome| outcome.beyond_limit.max())),
                    slower,
                ],
                noise: noise(steal),
                samples: vec![
                    ("first_advert_ms".to_owned(), outcomes.iter().map(|o| o.first_advert).collect()),
                    ("last_vip_ms".to_owned(), last),
                    (
                        "beyond_limit_last_ms".to_owned(),
                        outcomes.iter().filter_map(|outcome| outcome.beyond_limit.max()).collect(),
                    ),
                ],
            });
        }
    }
    table
}

pub(crate) fn last_vip(outcome: &Outcome) -> Option<f64> {
    outcome.announced.max()
}

fn median(outcomes: &[Outcome], value: impl Fn(&Outcome) -> Option<f64>) -> Option<f64> {
    outcomes.iter().filter_map(value).collect::<Samples>().median()
}

fn plots(setting: Setting, outcomes: &Outcomes) -> Vec<Plot> {
    let mut plots = Vec::new();
    for event in Event::ALL {
        let of = |contender| outcomes.get(&(event, contender)).filter(|outcomes| !outcomes.is_empty());
        let series: Vec<Series> = Contender::ALL
            .into_iter()
            .filter_map(|contender| {
                let values = of(contender)?.iter().flat_map(|outcome| outcome.announced.0.clone()).collect();
                Some(Series { name: contender.name().to_owned(), values })
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
        for contender in [Contender::Ours, Contender::Keepalived] {
            if let Some(outcome) = of(contender).and_then(|outcomes| outcomes.first()) {
                let title = format!("{}, {}: {}", setting.label(), event.name(), contender.name());
                plots.push(Plot::Timeline { title, lanes: outcome.lanes.clone() });
            }
        }
    }
    plots
}
