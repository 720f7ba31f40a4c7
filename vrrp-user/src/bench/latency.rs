//! `vrrp bench latency`: from an advert's arrival in the kernel to the decision about it, by the kernel half's ring and
//! by a raw socket, on the same packets of a live interface.
//!
//! Owns the order of the run and its report. Both ways end in equal engines on threads of the same priority. It may
//! run beside the daemon: it attaches where there is room, and nothing is sent, answered or claimed.

mod threads;

use std::fmt;
use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rustix::net::netdevice::name_to_index;
use rustix::net::{AddressFamily, SocketType, socket};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use vrrp_ebpf::abi::{Counter, RULE_CHANGES_ONLY, SLOT_WAKE_ALWAYS};

use self::threads::{Sample, Shared, Stage};
use super::SCHEMA;
use super::adverts::Routers;
use super::machine::{Machine, Ticks, share};
use super::percentiles::{Differences, Percentiles};
use super::raw_socket::{RawSocket, RawSocketError};
use crate::config::Config;
use crate::net::maps::MapsError;
use crate::net::receiver::{Choice, Control, OpenError, Receiver, open};
use crate::net::xdp::{Diagnostics, Sizes};
use crate::net::{Interface, Mode, clock, realtime};

/// How long the raw socket sleeps before it looks whether the run is over.
const PATIENCE: Duration = Duration::from_millis(50);
/// A configuration says otherwise.
const REALTIME_PRIORITY: u8 = 50;
/// A picture needs no more steps.
const QUANTILES: usize = 200;
/// Two stamps of one packet are not further apart; adverts of one sender for one router are never this close.
const SAME_PACKET_NS: u64 = 3_000_000;

#[derive(Debug, Error)]
pub enum LatencyError {
    #[error("interface {interface}: {source}; `ip link` names those of this host")]
    Interface { interface: String, source: io::Error },
    #[error(transparent)]
    RawSocket(#[from] RawSocketError),
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Maps(#[from] MapsError),
    #[error(
        "interface {interface}: received by {mode}, not by the kernel half, so there is no ring to measure: {why}"
    )]
    NoRing { interface: String, mode: Mode, why: String },
    #[error(
        "no advert was heard on {interface}: measure where another router is master, and not beside a daemon with \
         `consume: true`; or name a configuration (--config)"
    )]
    Silent { interface: String },
    #[error("the configuration has no instance on {interface}")]
    NotConfigured { interface: String },
    #[error("{operation}: {source}")]
    System { operation: &'static str, source: io::Error },
    #[error("the {0} thread panicked, which is a fault of this program")]
    Panicked(&'static str),
}

/// What to measure, and for how long.
#[derive(Clone, Debug)]
pub struct Options {
    pub interface: String,
    /// Without it, what is heard first.
    pub config: Option<Config>,
    pub time: Duration,
}

/// One way of receiving.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Way {
    /// What made the stamp that the latency counts from: `xdp-sw`, `tcx-sw` (both `bpf_ktime_get_ns`), `skb-sw`.
    pub origin: String,
    /// Arrival to decision, of the same packets.
    pub latency: Percentiles,
    /// The same at equal distances from the least to the most, for whoever draws them; none if there was no advert.
    pub quantiles_ns: Vec<u64>,
}

/// Wake-ups with adverts, by how adverts are delivered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Wakeups {
    /// `wake`, `all` or `changes`.
    pub delivery: String,
    pub seconds: f64,
    pub adverts: u64,
    pub wakeups: u64,
    pub per_advert: f64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LatencyReport {
    pub schema: u32,
    pub machine: Machine,
    pub interface: String,
    /// How the kernel half is attached.
    pub mode: String,
    pub virtual_routers: Vec<u8>,
    /// SCHED_FIFO of both threads; `None` if it was not granted.
    pub realtime_priority: Option<u8>,
    /// Adverts that both ways received and decided; the percentiles are of them.
    pub adverts: u64,
    /// Received by one of them only: at the edges of the run, or lost.
    pub unmatched: u64,
    pub ring: Way,
    pub raw_socket: Way,
    /// Time of the ring's decision less that of the raw socket's, packet by packet.
    pub ring_later_by: Differences,
    /// The raw socket's stamp less the ring's, packet by packet: how much later (or sooner) it was taken.
    pub raw_stamp_later_by: Differences,
    pub wakeups: Vec<Wakeups>,
    /// How to read it.
    pub notes: Vec<String>,
}

/// Measures. Takes `options.time`, and a few seconds more to listen if there is no configuration.
pub fn run(options: &Options) -> Result<LatencyReport, LatencyError> {
    let interface = find(&options.interface)?;
    let socket = RawSocket::open(&interface, PATIENCE)?;
    let routers = match &options.config {
        Some(config) => Routers::of_config(config, &interface.name),
        None => Routers::listen(&socket),
    };
    if routers.is_empty() {
        let interface = interface.name;
        return Err(match options.config {
            Some(_) => LatencyError::NotConfigured { interface },
            None => LatencyError::Silent { interface },
        });
    }
    let (receiver, mut control) = open(
        Choice::Auto,
        std::slice::from_ref(&interface),
        Sizes { rules: 256, ..Sizes::default() },
        Diagnostics::Off,
    )?;
    let mode = ring_mode(&control, &interface)?;

    let ticks = Ticks::now();
    let priority = options.config.as_ref().map_or(REALTIME_PRIORITY, |config| config.realtime_priority);
    let ran = measure(options.time, &interface, priority, &routers, receiver, &mut control, socket)?;
    let mut notes = vec![
        "Compared: the time from the kernel's stamp to the end of the engine's decision, by the kernel half's ring (epoll, \
         as the daemon's advert thread) and by a blocking raw socket of IP protocol 112, equal engines, the same packets."
            .to_owned(),
        "In `wake` each advert wakes, as at a MASTER who must answer: the latency is of these. No faster wake-up than a raw \
         socket's is claimed; the kernel half's gain is what does not wake: `all` and `changes`, and junk."
            .to_owned(),
        "Both threads are woken by the same packet and may have to wait for each other on few CPUs.".to_owned(),
    ];
    notes.extend(ran.refused);
    let pairs = pair(&ran.ring, &ran.raw);
    Ok(LatencyReport {
        schema: SCHEMA,
        machine: Machine::since(ticks),
        interface: interface.name,
        mode: mode.name().into(),
        virtual_routers: routers.ids(),
        realtime_priority: (priority > 0 && ran.granted).then_some(priority),
        adverts: pairs.len() as u64,
        unmatched: (ran.ring.len() + ran.raw.len() - 2 * pairs.len()) as u64,
        ring: way(if mode == Mode::Tcx { "tcx-sw" } else { "xdp-sw" }, pairs.iter().map(|(ring, _)| ring)),
        raw_socket: way("skb-sw", pairs.iter().map(|(_, raw)| raw)),
        ring_later_by: differences(&pairs, |sample| sample.decided_ns, |ring, raw| ring - raw),
        raw_stamp_later_by: differences(&pairs, |sample| sample.arrived_ns, |ring, raw| raw - ring),
        wakeups: ran.wakeups,
        notes,
    })
}

/// The interface of this name.
pub(super) fn find(name: &str) -> Result<Interface, LatencyError> {
    let failed = |errno: rustix::io::Errno| LatencyError::Interface {
        interface: name.to_owned(),
        source: errno.into(),
    };
    let any = socket(AddressFamily::INET, SocketType::DGRAM, None).map_err(failed)?;
    Ok(Interface { name: name.to_owned(), index: name_to_index(&any, name).map_err(failed)? })
}

/// How the kernel half is attached; an error if it is not.
pub(super) fn ring_mode(control: &Control, interface: &Interface) -> Result<Mode, LatencyError> {
    match control.attachments() {
        [attachment] if attachment.mode != Mode::Socket => Ok(attachment.mode),
        attachments => {
            let refused = attachments.iter().flat_map(|attachment| &attachment.refused);
            let why = refused.map(|(mode, why)| format!("{mode}: {why}")).collect::<Vec<_>>().join("; ");
            Err(LatencyError::NoRing { interface: interface.name.clone(), mode: Mode::Socket, why })
        }
    }
}

struct Ran {
    ring: Vec<Sample>,
    raw: Vec<Sample>,
    wakeups: Vec<Wakeups>,
    granted: bool,
    /// What the system did not grant, in words.
    refused: Vec<String>,
}

fn measure(
    time: Duration,
    interface: &Interface,
    priority: u8,
    routers: &Routers,
    receiver: Receiver,
    control: &mut Control,
    socket: RawSocket,
) -> Result<Ran, LatencyError> {
    let system = |operation| move |source| LatencyError::System { operation, source };
    let mut refused: Vec<String> =
        realtime::lock_memory().err().map(|error| error.to_string()).into_iter().collect();
    let shared = Arc::new(Shared::new(priority).map_err(|errno| system("make an eventfd")(errno.into()))?);
    routers.set_flags(control, SLOT_WAKE_ALWAYS);
    routers.insert(control, interface.index, 0)?;

    let spawn = thread::Builder::new;
    let ring = {
        let (shared, judge) = (Arc::clone(&shared), routers.judge());
        let run = move || threads::run_ring(receiver, judge, &shared);
        spawn().name("ring".into()).spawn(run).map_err(system("start a thread"))?
    };
    let raw = {
        let (shared, routers) = (Arc::clone(&shared), routers.clone());
        let run = move || threads::run_raw(&socket, &routers, &shared);
        spawn().name("raw-socket".into()).spawn(run)
    };
    let raw = raw.map_err(|source| {
        shared.end();
        system("start a thread")(source)
    })?;
    // Whatever happens here, both threads are told to end.
    let stages = run_stages(time, interface, routers, control, &shared);
    shared.end();
    let ring = ring.join().map_err(|_panic| LatencyError::Panicked("ring"))?;
    let raw = raw.join().map_err(|_panic| LatencyError::Panicked("raw socket"))?;
    let stages = stages?;

    let ring = ring.map_err(|errno| system("wait for the ring")(errno.into()))?;
    let granted = ring.refused.is_none() && raw.refused.is_none();
    refused.extend(ring.refused.or(raw.refused));
    let wakeups = Stage::ALL.into_iter().zip(&stages).map(|(stage, ended)| {
        let (wakeups, adverts) = (ring.wakeups[stage as usize], ended.adverts);
        Wakeups {
            delivery: stage.name().into(),
            seconds: Duration::from_nanos(ended.until_ns - ended.from_ns).as_secs_f64(),
            adverts,
            wakeups,
            per_advert: share(wakeups, adverts),
        }
    });
    // The socket has been open since before the program was attached.
    let [Ended { from_ns, until_ns, .. }, _, _] = stages;
    let within = |samples: Vec<Sample>| {
        let is_within = |sample: &Sample| (from_ns..until_ns).contains(&sample.arrived_ns);
        samples.into_iter().filter(is_within).collect()
    };
    let wakeups = wakeups.collect();
    Ok(Ran { wakeups, ring: within(ring.samples), raw: within(raw.samples), granted, refused })
}

/// What a stage was.
#[derive(Clone, Copy, Debug, Default)]
struct Ended {
    /// ns of CLOCK_MONOTONIC.
    from_ns: u64,
    until_ns: u64,
    adverts: u64,
}

/// Half of the time every advert wakes, then the two ways of steady delivery.
fn run_stages(
    time: Duration,
    interface: &Interface,
    routers: &Routers,
    control: &mut Control,
    shared: &Shared,
) -> Result<[Ended; 3], LatencyError> {
    let mut results = [Ended::default(); 3];
    for (stage, result) in Stage::ALL.into_iter().zip(&mut results) {
        let (slot_flags, rule_flags, time) = match stage {
            Stage::Wake => (SLOT_WAKE_ALWAYS, 0, time / 2),
            Stage::All => (0, 0, time / 4),
            Stage::Changes => (0, RULE_CHANGES_ONLY, time / 4),
        };
        routers.set_flags(control, slot_flags);
        routers.insert(control, interface.index, rule_flags)?;
        shared.enter(stage);
        let before = control.counters()?.get(Counter::Accepted);
        let from_ns = clock::now().as_nanos();
        thread::sleep(time);
        let adverts = control.counters()?.get(Counter::Accepted) - before;
        *result = Ended { from_ns, until_ns: clock::now().as_nanos(), adverts };
    }
    Ok(results)
}

/// The samples of the same packets: same router and sender, stamps close together, both in the order of arrival.
fn pair(ring: &[Sample], raw: &[Sample]) -> Vec<(Sample, Sample)> {
    let sorted = |samples: &[Sample]| {
        let mut sorted = samples.to_vec();
        sorted.sort_by_key(|sample| (sample.slot, sample.sender, sample.arrived_ns));
        sorted
    };
    let (ring, raw) = (sorted(ring), sorted(raw));
    let (mut ring, mut raw) = (ring.as_slice(), raw.as_slice());
    let mut pairs = Vec::with_capacity(ring.len().min(raw.len()));
    while let ([a, more_ring @ ..], [b, more_raw @ ..]) = (ring, raw) {
        let close = a.arrived_ns.abs_diff(b.arrived_ns) <= SAME_PACKET_NS;
        let of_one = (a.slot, a.sender) == (b.slot, b.sender);
        if of_one && close {
            pairs.push((*a, *b));
            (ring, raw) = (more_ring, more_raw);
        } else if (a.slot, a.sender, a.arrived_ns) < (b.slot, b.sender, b.arrived_ns) {
            ring = more_ring;
        } else {
            raw = more_raw;
        }
    }
    pairs
}

fn way<'a>(origin: &str, samples: impl Iterator<Item = &'a Sample>) -> Way {
    let mut all: Vec<u64> =
        samples.map(|sample| sample.decided_ns.saturating_sub(sample.arrived_ns)).collect();
    all.sort_unstable();
    Way {
        origin: origin.into(),
        latency: Percentiles::of(all.iter().copied()),
        quantiles_ns: quantiles(&all),
    }
}

/// Of values in their order.
fn quantiles(sorted: &[u64]) -> Vec<u64> {
    let Some(last) = sorted.len().checked_sub(1) else { return Vec::new() };
    (0..=QUANTILES).filter_map(|number| sorted.get(number * last / QUANTILES)).copied().collect()
}

fn differences(
    pairs: &[(Sample, Sample)],
    time: fn(&Sample) -> u64,
    less: fn(i64, i64) -> i64,
) -> Differences {
    let of = |sample| time(sample).cast_signed();
    Differences::of(pairs.iter().map(|(ring, raw)| less(of(ring), of(raw))).collect())
}

impl fmt::Display for LatencyReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "From the arrival of an advert in the kernel to the decision about it")?;
        writeln!(f, "{}", self.machine)?;
        let priority = self.realtime_priority.map_or_else(|| "none".into(), |priority| priority.to_string());
        writeln!(
            f,
            "{} by {}, {} virtual routers, real-time priority {priority}, {} adverts ({} not matched)\n",
            self.interface,
            self.mode,
            self.virtual_routers.len(),
            self.adverts,
            self.unmatched,
        )?;
        writeln!(
            f,
            "{:<22} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9}",
            "us", "p50", "p90", "p99", "p99.9", "p99.99", "max"
        )?;
        for (name, way) in [("ring buffer", &self.ring), ("raw socket", &self.raw_socket)] {
            let Percentiles { p50_ns, p90_ns, p99_ns, p99_9_ns, p99_99_ns, max_ns, .. } = way.latency;
            write!(f, "{:<22}", format!("{name} ({})", way.origin))?;
            for ns in [p50_ns, p90_ns, p99_ns, p99_9_ns, p99_99_ns, max_ns] {
                write!(f, " {:>9}", microseconds(ns.cast_signed()))?;
            }
            writeln!(f)?;
        }
        for (name, difference) in [
            ("ring decides later by", self.ring_later_by),
            ("raw stamp is later by", self.raw_stamp_later_by),
        ] {
            let [p10, p50, p90] = [difference.p10_ns, difference.p50_ns, difference.p90_ns].map(microseconds);
            writeln!(f, "{name:<22} {p50:>9} {p90:>9}   (p10 {p10})")?;
        }
        writeln!(f, "\n{:<12} {:>9} {:>9} {:>12}", "delivery", "adverts", "wake-ups", "per advert")?;
        for Wakeups { delivery, adverts, wakeups, per_advert, .. } in &self.wakeups {
            writeln!(f, "{delivery:<12} {adverts:>9} {wakeups:>9} {per_advert:>12.3}")?;
        }
        writeln!(f)?;
        self.notes.iter().try_for_each(|note| writeln!(f, "{note}"))
    }
}

/// With one decimal.
fn microseconds(ns: i64) -> String {
    let tenths = ns.unsigned_abs() / 100;
    format!("{}{}.{}", if ns < 0 { "-" } else { "" }, tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests;
