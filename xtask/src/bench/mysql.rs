//! A MySQL pair under a client that writes: how long it is without service, and what of it is lost.
//!
//! Owns the events, their order in a session, and the tables. The pair itself is `pair`. Judges by what the client was told,
//! by what the surviving server holds, and by what the switch saw.

use std::{collections::BTreeMap, path::Path};

use anyhow::Result;

mod pair;
mod steps;

use super::{
    Rounds,
    deadline::Turns,
    noise::{CpuTime, Noise},
    report::{Lane, Plot, Row, Section, Series, Table},
    stats::{Samples, cell},
    tries::{Tries, Worst},
};
use pair::Pair;

/// Who watches the servers and moves the address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Way {
    /// Ours with `role: manage`: the server's role goes with the address.
    Managed,
    /// Ours with a check alone: both servers writable all the time, as the recipe has them.
    Observed,
    /// keepalived, told of the event at the very moment by a track_file: no detection can be better.
    Told,
    /// keepalived with the recipe's kind of check: a connection every 2 s, down after three failures.
    Recipe,
}

impl Way {
    const ALL: [Self; 4] = [Self::Managed, Self::Observed, Self::Told, Self::Recipe];

    const fn name(self) -> &'static str {
        match self {
            Self::Managed => "vrrp, role: manage",
            Self::Observed => "vrrp, check alone",
            Self::Told => "keepalived, told at once",
            Self::Recipe => "keepalived, recipe's check",
        }
    }

    const fn is_ours(self) -> bool {
        matches!(self, Self::Managed | Self::Observed)
    }
}

/// What happens to the active host or its server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Event {
    /// Somebody wants it: `vrrp drain`, or SIGTERM of keepalived.
    Switch,
    /// SIGKILL of mysqld.
    Kill,
    /// SIGSTOP of mysqld.
    Freeze,
    /// The host's cable.
    Cut,
}

impl Event {
    const ALL: [Self; 4] = [Self::Kill, Self::Freeze, Self::Switch, Self::Cut];

    const fn name(self) -> &'static str {
        match self {
            Self::Switch => "planned switch",
            Self::Kill => "kill -9 of mysqld",
            Self::Freeze => "mysqld frozen",
            Self::Cut => "link cut",
        }
    }
}

/// What one event came to; times in milliseconds.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    /// Between two acknowledgements. None: the client got nothing through while anybody waited.
    pub(crate) outage: Option<f64>,
    /// How long that was waited for.
    waited: f64,
    /// From the event to the other host's gratuitous ARP.
    pub(crate) announced: Option<f64>,
    /// Acknowledged before the event, or by then, and not on the server that serves in the end.
    pub(crate) lost: usize,
    /// Rows that are there twice, of the same time.
    pub(crate) twice: usize,
    pub(crate) noise: Noise,
    /// What the winner did on its way to the address and how long each took, in ms; by its own word.
    steps: Vec<(String, f64)>,
    lanes: Vec<Lane>,
}

/// What the goals are judged by.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    outcomes: BTreeMap<(Event, Way), Tries<Outcome>>,
}

impl Findings {
    /// As if no noisy round had gone wrong.
    pub(crate) fn forgiven(&self) -> Self {
        Self { outcomes: self.outcomes.iter().map(|(case, tries)| (*case, tries.forgiven())).collect() }
    }

    /// The rounds of one case; none if it was not run.
    pub(crate) fn of(&self, event: Event, way: Way) -> Tries<Outcome> {
        self.outcomes.get(&(event, way)).cloned().unwrap_or_default()
    }

    /// Median of the outages; None without one, and where the middle one had no end.
    pub(crate) fn outage(&self, event: Event, way: Way) -> Option<f64> {
        self.of(event, way).median(Worst::Most, |outcome| outcome.outage).filter(|outage| outage.is_finite())
    }

    /// Median of the times to the announcement, of the rounds that came to a result.
    pub(crate) fn announced(&self, event: Event, way: Way) -> Option<f64> {
        self.of(event, way).values(|outcome| outcome.announced).median()
    }

    /// The winner's steps in their order, each with its durations of all rounds in ms.
    pub(crate) fn steps(&self, event: Event, way: Way) -> Vec<(String, Samples)> {
        steps::by_name(self.of(event, way).runs.iter().map(|outcome| outcome.steps.as_slice()))
    }

    /// All that were lost.
    pub(crate) fn lost(&self, event: Event, way: Way) -> usize {
        self.of(event, way).sum(|outcome| outcome.lost)
    }

    /// All rows that are there twice.
    pub(crate) fn twice(&self, event: Event, way: Way) -> usize {
        self.of(event, way).sum(|outcome| outcome.twice)
    }
}

/// A pair's life: these events one after the other, each leaving the other host in charge.
#[derive(Clone, Copy, Debug)]
struct Session {
    way: Way,
    events: &'static [Event],
    /// However many rounds are asked for.
    once: bool,
}

/// A frozen server comes back with the write that it was at, which only it has: a freeze is the end of a session.
const SESSIONS: [Session; 7] = [
    Session { way: Way::Managed, events: &[Event::Switch, Event::Kill], once: false },
    Session { way: Way::Managed, events: &[Event::Freeze], once: false },
    Session { way: Way::Told, events: &[Event::Switch, Event::Kill], once: false },
    Session { way: Way::Observed, events: &[Event::Kill], once: false },
    // Waiting for what is known by then: timers that are far longer than anything else here.
    Session { way: Way::Recipe, events: &[Event::Freeze, Event::Kill], once: true },
    Session { way: Way::Managed, events: &[Event::Cut], once: true },
    Session { way: Way::Told, events: &[Event::Cut], once: true },
];
const QUICK: [Session; 2] = [
    Session { way: Way::Managed, events: &[Event::Kill], once: true },
    Session { way: Way::Told, events: &[Event::Kill], once: true },
];

/// The section of the report.
pub(crate) fn run(rounds: Rounds, binary: &Path) -> Result<(Section, Findings)> {
    let mut section = Section::new(
        "mysql",
        "A MySQL pair",
        "Two MariaDB servers that replicate both ways without semi-synchronous replication, the recipe's adverts (version 2, \
         1 s), and a client on a third host: one connection at the virtual address, a write about every millisecond, the \
         kernel's own SYN timers, an answer given up after 5 s, a new attempt 5 ms after a failure; the same for all. An \
         outage is the time between two acknowledged writes; one without an end while anybody waited is the worst there is, \
         and what comes after it is done to a new pair. \
         Lost are writes that were acknowledged and are not on the server that serves in the end; \"told at once\" and \
         \"recipe's check\" leave both servers writable, as the recipe does; \"told at once\" is told by this bench at the \
         moment of the event, which no check could be, and logs as installed; \"recipe's check\" is a script that connects every 2 s, three failures. Each timeline is of the round with the median outage.",
    );
    let mut findings = Findings::default();
    let sessions: &[Session] = if rounds.quick { &QUICK } else { &SESSIONS };
    let mut turns = Turns::new(rounds.deadline);
    // What is seen once comes last: the goals do not wait for it.
    let (judged, once): (Vec<Session>, Vec<Session>) = sessions.iter().partition(|session| !session.once);
    let all = (0..rounds.count).map(|round| (round, &judged)).chain([(0, &once)]);
    for (round, sessions) in all {
        for session in sessions {
            let is_wanted = session.way.is_ours() || rounds.contenders().count() > 1;
            if !is_wanted {
                continue;
            }
            // Where nobody serves after an event, the next one needs another pair.
            let mut events = session.events;
            while !events.is_empty() {
                let what = format!("{}, {}", names(events), session.way.name());
                if !turns.next(&what) {
                    break;
                }
                println!("mysql: {what}, round {}", round + 1);
                let cpu = CpuTime::now();
                match play(session.way, events, binary) {
                    Ok(outcomes) => {
                        events = events.get(outcomes.len()..).unwrap_or_default();
                        section.remarks.extend(begun_anew(&what, events, &outcomes));
                        for (event, outcome) in outcomes {
                            let noise = outcome.noise;
                            findings.outcomes.entry((event, session.way)).or_default().push(outcome, noise);
                        }
                    }
                    Err(error) => {
                        // Without the reckoning at its end nothing of a session counts.
                        for event in std::mem::take(&mut events) {
                            let tries = findings.outcomes.entry((*event, session.way)).or_default();
                            tries.fail(cpu.noise_since());
                        }
                        println!("  no result: {error:#}");
                        section.remarks.push(format!("{what}: {error:#}"));
                    }
                }
            }
        }
    }
    section.remarks.extend(turns.remark());
    section.tables.push(table(&findings));
    section.plots = plots(&findings);
    Ok((section, findings))
}

/// One pair's life, up to the event after which nobody serves: at least one of them.
fn play(way: Way, events: &[Event], binary: &Path) -> Result<Vec<(Event, Outcome)>> {
    let mut pair = Pair::start(way, binary)?;
    let mut outcomes = Vec::new();
    for (number, event) in events.iter().enumerate() {
        let outcome = pair.strike(*event)?;
        let is_over = outcome.outage.is_none() && *event != Event::Freeze;
        outcomes.push((*event, outcome));
        if is_over {
            break;
        }
        if number + 1 < events.len() {
            pair.mend(*event)?;
        }
    }
    for ((_, outcome), account) in outcomes.iter_mut().zip(pair.settle_accounts()?) {
        (outcome.lost, outcome.twice) = (account.lost, account.twice);
    }
    Ok(outcomes)
}

/// What needs a new pair because nobody served after an event.
fn begun_anew(what: &str, rest: &[Event], outcomes: &[(Event, Outcome)]) -> Option<String> {
    let (last, _) = outcomes.last()?;
    let told = || format!("{what}: after the {} nobody served; a new pair for: {}", last.name(), names(rest));
    (!rest.is_empty()).then(told)
}

fn names(events: &[Event]) -> String {
    events.iter().map(|event| event.name()).collect::<Vec<_>>().join(", ")
}

/// The median over all rounds, where there is one, and how many had no end.
fn outage_cell(all: &Tries<Outcome>) -> String {
    let endless = all.runs.iter().filter(|outcome| outcome.outage.is_none());
    let waited = endless.clone().map(|outcome| outcome.waited / 1e3).collect::<Samples>().max();
    let Some(waited) = waited else { return cell(all.values(|outcome| outcome.outage).median()) };
    let (count, waited) = (endless.count(), cell(Some(waited)));
    match all.median(Worst::Most, |outcome| outcome.outage).filter(|median| median.is_finite()) {
        Some(median) => format!("{}; {count} without end in {waited} s", cell(Some(median))),
        None => format!("none within {waited} s: {count} of {}", all.rounds()),
    }
}

fn table(findings: &Findings) -> Table {
    let mut table = Table::new(
        "Client at the virtual address",
        &[
            "event",
            "who",
            "rounds",
            "outage, median, ms",
            "min",
            "max",
            "VIP announced, ms",
            "acknowledged writes lost",
            "rows there twice",
            "times longer",
        ],
    );
    for event in Event::ALL {
        let ours = findings.outage(event, Way::Managed);
        for way in Way::ALL {
            let all = findings.of(event, way);
            if all.rounds() == 0 {
                continue;
            }
            let ended = all.values(|outcome| outcome.outage);
            let times = findings.outage(event, way).zip(ours).map(|(theirs, ours)| theirs / ours);
            #[expect(clippy::cast_precision_loss, reason = "rows of a few rounds")]
            table.rows.push(Row {
                cells: vec![
                    event.name().to_owned(),
                    way.name().to_owned(),
                    all.count(),
                    outage_cell(&all),
                    cell(ended.min()),
                    cell(ended.max()),
                    cell(findings.announced(event, way)),
                    findings.lost(event, way).to_string(),
                    all.sum(|outcome| outcome.twice).to_string(),
                    cell(times),
                ],
                noise: all.noise.told(),
                samples: vec![
                    ("outage_ms".to_owned(), ended),
                    ("announced_ms".to_owned(), all.values(|outcome| outcome.announced)),
                    ("lost".to_owned(), all.values(|outcome| Some(outcome.lost as f64))),
                    ("twice".to_owned(), all.values(|outcome| Some(outcome.twice as f64))),
                ],
            });
        }
    }
    table
}

fn plots(findings: &Findings) -> Vec<Plot> {
    let mut plots = Vec::new();
    for event in Event::ALL {
        let series: Vec<Series> = Way::ALL
            .into_iter()
            .filter_map(|way| {
                let values = findings.of(event, way).values(|outcome| outcome.outage);
                (!values.0.is_empty()).then(|| Series::new(way.name(), values))
            })
            .collect();
        if !series.is_empty() {
            let title = format!("{}: the client's outage", event.name());
            plots.push(Plot::Cdf { title, unit: "ms".to_owned(), logarithmic: true, series });
        }
        for way in Way::ALL {
            if let Some(outcome) = median_outcome(&findings.of(event, way)) {
                let title = format!("{}: {}", event.name(), way.name());
                plots.push(Plot::Timeline { title, lanes: outcome.lanes.clone() });
            }
        }
    }
    plots
}

/// The round whose outage was neither shortest nor longest.
fn median_outcome(tries: &Tries<Outcome>) -> Option<&Outcome> {
    let mut runs: Vec<&Outcome> = tries.runs.iter().collect();
    runs.sort_by(|one, other| {
        let outage = |outcome: &Outcome| outcome.outage.unwrap_or(f64::INFINITY);
        outage(one).total_cmp(&outage(other))
    });
    runs.get(runs.len() / 2).copied()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::bench) fn outcome(outage: Option<f64>) -> Outcome {
        Outcome {
            outage,
            waited: 20_000.0,
            announced: None,
            lost: 0,
            twice: 0,
            noise: Noise::NONE,
            steps: Vec::new(),
            lanes: Vec::new(),
        }
    }

    impl Findings {
        pub(in crate::bench) fn note(&mut self, event: Event, way: Way, tries: Tries<Outcome>) {
            self.outcomes.insert((event, way), tries);
        }
    }

    #[test]
    fn rounds_without_an_end_are_counted_beside_the_median_that_they_worsen() {
        let told = |outages: &[Option<f64>]| {
            let runs = outages.iter().copied().map(outcome).collect();
            outage_cell(&Tries::of(runs, 0))
        };
        assert_eq!(told(&[Some(10.0), Some(20.0), Some(30.0)]), "20.0");
        assert_eq!(told(&[Some(10.0), Some(20.0), None]), "20.0; 1 without end in 20.0 s");
        assert_eq!(told(&[Some(10.0), None, None]), "none within 20.0 s: 2 of 3");
    }

    #[test]
    fn events_behind_one_without_an_end_are_told_to_have_had_a_new_pair() {
        let played = [(Event::Switch, outcome(None))];
        let told = begun_anew("x", &[Event::Kill], &played).unwrap();
        assert_eq!(told, "x: after the planned switch nobody served; a new pair for: kill -9 of mysqld");
        assert_eq!(begun_anew("x", &[], &played), None);
    }
}
