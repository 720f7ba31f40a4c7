//! From what each part of the daemon knows to one snapshot.
//!
//! Owns the putting together, and the memory of when and why each router came into its state. Changes nothing and asks
//! nobody who could be slow: the advert thread has filled in its sheet, the kernel's news have been heard.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::Ipv4Addr;
use std::time::Duration;

use vrrp_ebpf::abi::Counter;

use crate::control::snapshot::{
    Address, AdvertThread, Buckets, Check, Failover, Guard, Hold, Instance, Interface, Percentiles, Priority,
    Probe, Reject, Ring, SCHEMA, Snapshot, State, Timers, Transition, Weight, nanos,
};
use crate::daemon::advert_thread::{Reading, Sheet};
use crate::daemon::notice::Notice;
use crate::daemon::service::Running;
use crate::daemon::standing::{Holder, Standpoint};
use crate::daemon::wiring::Wired;
use crate::health::judge::{Symptom, View};
use crate::health::watch::{Look, Watch};
use crate::histogram::Histogram;
use crate::net::clock;
use crate::net::executor::Report;
use crate::vrrp::interval::{down_interval, skew_time};
use crate::vrrp::state::{Backup, Master, Phase};
use crate::vrrp::{self, Instant, Label};
use crate::wire::{AdvertInterval, Version};

mod server;

/// How a router came into its state.
#[derive(Clone, Debug)]
pub(super) struct Arrival {
    label: Label,
    at: Instant,
    why: String,
}

/// Transitions of a router that are remembered.
const TIMELINE: usize = 24;

/// What became of the routers, by place.
#[derive(Debug, Default)]
pub(super) struct Arrivals {
    latest: BTreeMap<usize, Arrival>,
    histories: BTreeMap<usize, History>,
    addresses_on: Histogram,
    addresses_off: Histogram,
}

#[derive(Debug, Default)]
struct History {
    /// Into each of [`State::ALL`], in that order.
    transitions: [u64; State::ALL.len()],
    timeline: VecDeque<Transition>,
}

impl History {
    fn add(&mut self, transition: Transition) {
        for (state, count) in State::ALL.iter().zip(&mut self.transitions) {
            *count += u64::from(*state == transition.to);
        }
        if self.timeline.len() == TIMELINE {
            self.timeline.pop_front();
        }
        self.timeline.push_back(transition);
    }

    fn transitions(&self) -> BTreeMap<String, u64> {
        let counted = State::ALL.iter().zip(self.transitions).filter(|(_, count)| *count > 0);
        counted.map(|(state, count)| (state.name().to_owned(), count)).collect()
    }
}

impl Arrivals {
    /// Remembers what a notice says of it.
    pub(super) fn remember(&mut self, notice: &Notice) {
        match *notice {
            Notice::Transition { router, from, to, why, at } => {
                self.note(router, from, to, &why.to_string(), at)
            }
            Notice::Executor(Report::Held { took, .. }) => self.addresses_on.add(took),
            Notice::Executor(Report::Released { took, .. }) => self.addresses_off.add(took),
            Notice::Executor(
                Report::Refused { .. }
                | Report::Withheld { .. }
                | Report::Stuck { .. }
                | Report::Expired { .. }
                | Report::Changed { .. },
            )
            | Notice::Fenced { .. }
            | Notice::Late { .. }
            | Notice::SendRefused { .. } => {}
        }
    }

    fn note(&mut self, router: usize, from: Label, to: Label, why: &str, at: Instant) {
        if from != to {
            let ago = u64::try_from(clock::now().since(at).as_millis()).unwrap_or(0);
            let time_unix_ms = clock::unix_ms().saturating_sub(ago);
            let (from, to) = (shown(from), shown(to));
            let transition = Transition { time_unix_ms, from, to, why: why.to_owned() };
            self.histories.entry(router).or_default().add(transition);
        }
        let since = match self.latest.get(&router) {
            // A remark: no new state.
            Some(known) if from == to && known.label == to => known.at,
            Some(_) | None => at,
        };
        self.latest.insert(router, Arrival { label: to, at: since, why: why.to_owned() });
    }

    /// A router has left for good.
    pub(super) fn forget(&mut self, router: usize) {
        self.latest.remove(&router);
        self.histories.remove(&router);
    }

    /// Whether it is MASTER, by the last notice.
    pub(super) fn is_master(&self, router: usize) -> bool {
        self.latest.get(&router).is_some_and(|arrival| arrival.label == Label::Master)
    }

    /// Whether it takes no part, by the last notice.
    pub(super) fn is_out(&self, router: usize) -> bool {
        self.latest.get(&router).is_some_and(|arrival| match arrival.label {
            Label::Initialize | Label::Fault => true,
            Label::Backup | Label::Master => false,
        })
    }
}

impl Running {
    /// One line for a service manager: each router if they are few, else how many of each kind.
    pub(super) fn summary(&self) -> String {
        const FEW: usize = 4;
        let label = |router: usize| {
            self.arrivals.latest.get(&router).map_or(Label::Initialize, |arrival| arrival.label)
        };
        let routers = &self.wiring.routers;
        if routers.len() <= FEW {
            let each = routers.iter().map(|router| format!("{} {}", router.name, label(router.router)));
            return each.collect::<Vec<_>>().join(", ");
        }
        let count = |wanted| routers.iter().filter(|router| label(router.router) == wanted).count();
        let [master, backup, fault] = [Label::Master, Label::Backup, Label::Fault].map(count);
        format!("{master} MASTER, {backup} BACKUP, {fault} FAULT of {}", routers.len())
    }

    /// How things were when the sheet was filled in.
    pub(super) fn snapshot(&mut self, sheet: &Sheet) -> Snapshot {
        let present = self.present.borrow().clone();
        let readings: BTreeMap<usize, &Reading> =
            sheet.readings.iter().map(|reading| (reading.router, reading)).collect();
        let instances = self.wiring.routers.iter().filter_map(|router| {
            let reading = readings.get(&router.router)?;
            Some(self.instance(router, reading, sheet.at, &present))
        });
        let instances = instances.collect();
        let guard = match (self.config.guard, self.guarding.is_there()) {
            (false, _) => Guard::Off,
            (true, true) => Guard::Watching,
            (true, false) => Guard::Missing,
        };
        let router_id = self.config.router_id.clone().unwrap_or_else(host_name);
        let control = self.journal.control();
        let interfaces = control.attachments().iter().map(|attachment| Interface {
            name: attachment.interface.name.clone(),
            mode: attachment.mode.name().to_owned(),
            refused: attachment.refused.iter().map(|(mode, why)| format!("{mode}: {why}")).collect(),
        });
        let interfaces = interfaces.collect();
        let counters = control.counters().map(|counters| {
            counters.iter().map(|(counter, count)| (counter.name().to_owned(), count)).collect()
        });
        let ring = control.ring_fill().map(|(used_bytes, size_bytes)| Ring { used_bytes, size_bytes });
        let (tally, lateness) = (&sheet.tally, &sheet.lateness);
        Snapshot {
            schema: SCHEMA,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            time_unix_ms: clock::unix_ms(),
            router_id,
            pid: std::process::id(),
            uptime_ns: nanos(sheet.at.since(self.began)),
            config: self.source.file.display().to_string(),
            guard,
            interfaces,
            counters: counters.unwrap_or_else(|error| {
                tracing::warn!("{error}");
                BTreeMap::new()
            }),
            ring,
            advert_thread: AdvertThread {
                wakes: tally.wakes,
                late_wakes: tally.late_wakes,
                adverts_sent: tally.adverts_sent,
                adverts_refused: tally.adverts_refused,
                adverts_received: tally.adverts_received,
                sent_lateness: percentiles(&lateness.sent),
                received_lateness: percentiles(&lateness.received),
                sent_buckets: Buckets::of(&lateness.sent),
                received_buckets: Buckets::of(&lateness.received),
            },
            notifications: self.herald.deliveries(),
            failover: Failover {
                silence: Buckets::of(&lateness.silence),
                claim: Buckets::of(&lateness.claim),
                addresses_on: Buckets::of(&self.arrivals.addresses_on),
                addresses_off: Buckets::of(&self.arrivals.addresses_off),
            },
            instances,
        }
    }

    fn instance(
        &self,
        router: &Wired,
        reading: &Reading,
        now: Instant,
        present: &BTreeSet<(u32, Ipv4Addr)>,
    ) -> Instance {
        let state = label(&reading.state);
        let arrival = self.arrivals.latest.get(&router.router).filter(|arrival| arrival.label == state);
        let standpoint = self.standing.of(&router.name);
        let heard = Heard::of(router, reading, now);
        let interval = heard.advert_interval;
        let holds = self.lines.board.is_held(router.router);
        let addresses = router.holding.vips.iter().map(|vip| Address {
            address: format!("{}/{}", vip.address, vip.prefix),
            device: self.wiring.interest.devices.get(&vip.ifindex).cloned().unwrap_or_default(),
            held: holds,
            present: present.contains(&(vip.ifindex, vip.address)),
        });
        let history = self.arrivals.histories.get(&router.router);
        let slots = self.journal.slots();
        let last_reject = slots.last_reject(router.rule.slot).map(|rejected| Reject {
            sender: Ipv4Addr::from(rejected.sender),
            reason: Counter::ALL
                .get(usize::from(rejected.reason))
                .map_or_else(|| "unknown".to_owned(), |counter| counter.name().to_owned()),
        });
        Instance {
            name: router.name.clone(),
            interface: router.interface.clone(),
            virtual_router_id: router.rule_key.virtual_router_id,
            version: match reading.config.advert_interval.version() {
                Version::V2 => 2,
                Version::V3 => 3,
            },
            state: shown(state),
            state_age_ns: arrival.map(|arrival| nanos(now.since(arrival.at))),
            why: arrival.map_or_else(String::new, |arrival| arrival.why.clone()),
            phase: phase(&reading.state, now),
            priority: priority(reading, standpoint.as_ref()),
            preempt: reading.config.preempt,
            held_out: standpoint.map(holds_of).unwrap_or_default(),
            master: heard.master,
            master_priority: heard.priority,
            last_advert_age_ns: heard.age.map(nanos),
            timers: Timers {
                advert_interval_ns: nanos(interval.duration()),
                skew_time_ns: nanos(skew_time(reading.config.priority, interval)),
                master_down_interval_ns: nanos(down_interval(reading.config.priority, interval)),
                next_ns: reading.state.deadline().map(|at| nanos(at.since(now))),
            },
            addresses: addresses.collect(),
            role: self.roles.shown(&router.name),
            last_reject,
            checks: self.checks.of(&router.name).map(|(_, watch)| check(watch)).collect(),
            transitions: history.map(History::transitions).unwrap_or_default(),
            timeline: history.map(|history| history.timeline.iter().cloned().collect()).unwrap_or_default(),
        }
    }
}

fn check(watch: &Watch) -> Check {
    let standing = watch.standing();
    let probe = |(view, look): (View, Look)| Probe {
        name: if view == View::Plain { watch.kind() } else { view.name() }.to_owned(),
        age_ns: nanos(look.at.elapsed()),
        took_ns: nanos(look.took),
        trouble: if look.finding.symptom == Symptom::Good { String::new() } else { look.finding.cause },
        durations: Buckets::of(&look.durations),
    };
    Check {
        name: watch.name().to_owned(),
        kind: watch.kind().to_owned(),
        verdict: standing.verdict.name().to_owned(),
        verdict_age_ns: standing.since.map(|since| nanos(since.elapsed())),
        cause: standing.cause,
        changes: standing.changes,
        probes: watch.looks().into_iter().map(probe).collect(),
        server: watch.server().map(server::shown),
    }
}

/// Whose adverts, and how old the last one is.
struct Heard {
    master: Option<Ipv4Addr>,
    priority: Option<u8>,
    age: Option<Duration>,
    /// The one that the timers go by.
    advert_interval: AdvertInterval,
}

impl Heard {
    fn of(router: &Wired, reading: &Reading, now: Instant) -> Self {
        let own = reading.config.advert_interval;
        match reading.state {
            vrrp::State::Master(Master { last_sent, .. }) => Self {
                master: router.primary_address,
                priority: Some(reading.config.priority.get()),
                age: Some(now.since(last_sent)),
                advert_interval: own,
            },
            vrrp::State::Backup(Backup { master, armed_from, .. }) => {
                let heard = reading.heard.map(|advert| advert.arrived).max(master.map(|_| armed_from));
                Self {
                    master: master.map(|master| master.address),
                    priority: master.map(|master| master.priority),
                    age: heard.map(|at| now.since(at)),
                    advert_interval: match (own, master) {
                        (AdvertInterval::V3(_), Some(master)) => master.advert_interval,
                        (AdvertInterval::V2(_) | AdvertInterval::V3(_), _) => own,
                    },
                }
            }
            vrrp::State::Initialize | vrrp::State::Fault(_) => {
                Self { master: None, priority: None, age: None, advert_interval: own }
            }
        }
    }
}

const fn label(state: &vrrp::State) -> Label {
    match state {
        vrrp::State::Initialize => Label::Initialize,
        vrrp::State::Fault(_) => Label::Fault,
        vrrp::State::Backup(_) => Label::Backup,
        vrrp::State::Master(_) => Label::Master,
    }
}

pub(super) const fn shown(label: Label) -> State {
    match label {
        Label::Initialize => State::Initialize,
        Label::Fault => State::Fault,
        Label::Backup => State::Backup,
        Label::Master => State::Master,
    }
}

fn phase(state: &vrrp::State, now: Instant) -> Option<String> {
    let vrrp::State::Master(master) = state else { return None };
    match master.phase {
        Phase::Holding => None,
        Phase::Promoting { deadline } => {
            Some(format!("addresses are being added, {:?} left for it", deadline.since(now)))
        }
        Phase::Releasing { .. } => Some("addresses are being taken off".to_owned()),
        Phase::Doubting { until } => {
            Some(format!("was silent for too long: listens for {:?} before it goes on", until.since(now)))
        }
    }
}

fn priority(reading: &Reading, standpoint: Option<&Standpoint>) -> Priority {
    let effective = reading.config.priority.get();
    let weights = standpoint.map(|standpoint| {
        let weights = standpoint.weights.iter();
        weights.map(|(source, weight)| Weight { source: source.clone(), weight: *weight }).collect()
    });
    Priority {
        effective,
        base: standpoint.map_or(effective, |standpoint| standpoint.base.get()),
        weights: weights.unwrap_or_default(),
    }
}

fn holds_of(standpoint: Standpoint) -> Vec<Hold> {
    let by = |holder| match holder {
        Holder::Operator => "operator".to_owned(),
        Holder::Check(name) => name,
        Holder::Role => "role".to_owned(),
    };
    standpoint.holders.into_iter().map(|(holder, why)| Hold { by: by(holder), why }).collect()
}

fn percentiles(histogram: &Histogram) -> Percentiles {
    let of = |per_mille| histogram.percentile(per_mille).map_or(0, nanos);
    Percentiles {
        count: histogram.count(),
        p50_ns: of(500),
        p99_ns: of(990),
        p999_ns: of(999),
        max_ns: nanos(histogram.longest()),
    }
}

fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}
