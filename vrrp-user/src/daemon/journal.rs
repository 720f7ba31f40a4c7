//! The daemon's log: notices and counters as lines that an operator can act on.
//!
//! Owns the words, and the limit on them: what comes in by the packet is counted there and said here at most a few
//! times, so that a flood cannot fill a disk.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::Ipv4Addr;
use std::time::Duration;

use vrrp_ebpf::abi::Counter;
use vrrp_ebpf::slot::Rejected;

use crate::daemon::advert_thread::Tally;
use crate::daemon::notice::Notice;
use crate::daemon::standing::Standing;
use crate::daemon::wiring::Wiring;
use crate::net::clock;
use crate::net::executor::Report;
use crate::net::links::LinkNews;
use crate::net::mailbox::Mailbox;
use crate::net::netlink::Vip;
use crate::net::receiver::Control;
use crate::net::slots::Slots;
use crate::vrrp::{Instant, Label, Why};

/// The same rejected sender is named again after this.
const REPEAT: Duration = Duration::from_secs(3600);
/// Lines on rejected adverts in one [`WINDOW`] at most.
const REJECT_LINES: u32 = 8;
const WINDOW: Duration = Duration::from_secs(60);
/// Lines on late wakes and refused frames: one in this time, with the number of those unsaid.
const QUIET: Duration = Duration::from_secs(10);

/// See the file's head.
pub(super) struct Journal {
    /// By place.
    instances: BTreeMap<usize, Instance>,
    standing: Standing,
    interfaces: HashMap<u32, String>,
    control: Control,
    rejects: Rejects,
    late: Limited,
    refused: Limited,
    lost: u64,
}

struct Instance {
    name: String,
    slot: u32,
    vips: Vec<Vip>,
    interval: String,
}

impl Journal {
    pub(super) fn new(wiring: &Wiring, control: Control, standing: Standing) -> Self {
        let mut journal = Self {
            instances: BTreeMap::new(),
            standing,
            interfaces: HashMap::new(),
            control,
            rejects: Rejects::default(),
            late: Limited::default(),
            refused: Limited::default(),
            lost: 0,
        };
        journal.learn(wiring);
        journal
    }

    /// Names and addresses of a configuration. Those of routers that are leaving stay known.
    pub(super) fn learn(&mut self, wiring: &Wiring) {
        let instances = wiring.routers.iter().map(|router| {
            let instance = Instance {
                name: router.name.clone(),
                slot: router.rule.slot,
                vips: router.holding.vips.clone(),
                interval: router.core.advert_interval.to_string(),
            };
            (router.router, instance)
        });
        self.instances.extend(instances);
        self.interfaces.extend(wiring.interest.interfaces.clone());
    }

    /// A router has left for good.
    pub(super) fn forget(&mut self, router: usize) {
        self.instances.remove(&router);
    }

    pub(super) fn slots(&self) -> &Slots {
        self.control.slots()
    }

    /// The rules, peers and counters of the kernel half.
    pub(super) fn control(&mut self) -> &mut Control {
        &mut self.control
    }

    /// Writes one.
    pub(super) fn write(&mut self, notice: &Notice) {
        self.write_notice(notice);
    }

    /// Says how many notices did not fit.
    pub(super) fn write_lost(&mut self, notices: &Mailbox<Notice>) {
        let lost = notices.refused();
        if lost > self.lost {
            tracing::warn!(
                "{} notices came faster than they could be written and are lost",
                lost - self.lost
            );
            self.lost = lost;
        }
    }

    fn write_notice(&mut self, notice: &Notice) {
        match *notice {
            Notice::Transition { router, from, to, why, .. } => {
                let instance = self.name(router);
                if from == to {
                    tracing::info!(instance, "{to}: {why}");
                } else if why == Why::Suspended {
                    tracing::warn!(instance, "{from} -> {to}: {why} ({})", self.standing.reasons(instance));
                } else if to == Label::Fault {
                    tracing::error!(instance, "{from} -> {to}: {why}");
                } else {
                    tracing::info!(instance, "{from} -> {to}: {why}");
                }
            }
            Notice::Executor(report) => self.write_report(report),
            Notice::Fenced { router } => {
                tracing::error!(
                    instance = self.name(router),
                    "fenced: this process was frozen and the guard acted"
                );
            }
            Notice::Late { by } => {
                if let Some(unsaid) = self.late.take_turn(clock::now()) {
                    tracing::warn!("the advert thread woke {by:?} late{}", Unsaid(unsaid));
                }
            }
            Notice::SendRefused { ifindex, frames } => {
                if let Some(unsaid) = self.refused.take_turn(clock::now()) {
                    let interface = self.interface(ifindex);
                    tracing::warn!(interface, "the kernel refused {frames} adverts{}", Unsaid(unsaid));
                }
            }
        }
    }

    fn write_report(&self, report: Report) {
        match report {
            Report::Held { router, took, .. } => {
                tracing::info!(instance = self.name(router), "{} on, within {took:?}", self.vips(router));
            }
            Report::Released { router, took, ended, .. } => {
                let reset = match ended {
                    0 => String::new(),
                    1 => "; 1 client's connection was reset".to_owned(),
                    _ => format!("; {ended} clients' connections were reset"),
                };
                tracing::info!(
                    instance = self.name(router),
                    "{} off, within {took:?}{reset}",
                    self.vips(router)
                );
            }
            Report::Refused { router, vip, errno, .. } => tracing::error!(
                instance = self.name(router),
                "the kernel refuses {}: {}; none of the addresses is on",
                self.vip(router, vip),
                io::Error::from_raw_os_error(errno)
            ),
            Report::Stuck { router, vip, errno } => tracing::error!(
                instance = self.name(router),
                "the kernel does not let go of {}: {}; trying again until it does",
                self.vip(router, vip),
                io::Error::from_raw_os_error(errno)
            ),
            // The role has said why.
            Report::Changed { .. } | Report::Withheld { .. } => {}
            Report::Expired { router } => tracing::error!(
                instance = self.name(router),
                "the lifetime of {} ended before it could be renewed",
                self.vips(router)
            ),
        }
    }

    /// What the kernel tells of the interfaces.
    pub(super) fn link(&self, news: &LinkNews) {
        match *news {
            LinkNews::Up { ifindex } => tracing::info!(interface = self.interface(ifindex), "has carrier"),
            LinkNews::Down { ifindex } => {
                tracing::warn!(interface = self.interface(ifindex), "has no carrier")
            }
            LinkNews::PrimaryAddress { ifindex, address: Some(address) } => {
                tracing::info!(interface = self.interface(ifindex), "adverts leave from {address}");
            }
            LinkNews::PrimaryAddress { ifindex, address: None } => {
                tracing::warn!(interface = self.interface(ifindex), "has no address of its own");
            }
            LinkNews::VipRemoved { .. } | LinkNews::Replaced { .. } => {}
        }
    }

    /// Once a second: who was rejected and why.
    pub(super) fn tick(&mut self) {
        if let Some(programs) = self.control.programs_mut() {
            programs.log_diagnostics();
        }
        let now = clock::now();
        let mut counters = None;
        for instance in self.instances.values() {
            let Some(rejected) = self.control.slots().last_reject(instance.slot) else { continue };
            if !self.rejects.is_due(instance.slot, rejected, now) {
                continue;
            }
            // Asked for only where a line is due, and once.
            let counters = counters.get_or_insert_with(|| self.control.counters().ok());
            let counter = Counter::ALL.get(usize::from(rejected.reason));
            let count =
                counters.as_ref().zip(counter).map_or(0, |(counters, counter)| counters.get(*counter));
            if self.rejects.is_worth_a_line(instance.slot, rejected, count, now) {
                let sender = Ipv4Addr::from(rejected.sender);
                tracing::warn!(
                    instance = instance.name,
                    "adverts of {sender} are rejected: {}",
                    reason(rejected.reason, &instance.interval)
                );
            }
        }
    }

    /// The last line: what it all came to.
    pub(super) fn close(&self, tally: &Tally) {
        let counters = match self.control.counters() {
            Ok(counters) => counters
                .iter()
                .filter(|(_, count)| *count > 0)
                .map(|(counter, count)| format!("{} {count}", counter.name()))
                .collect::<Vec<_>>()
                .join(", "),
            Err(error) => error.to_string(),
        };
        tracing::info!(
            "ended: {} adverts sent, {} refused by the kernel, {} taken from the ring, {} wakes, {} of them late; \
             kernel half: {counters}",
            tally.adverts_sent,
            tally.adverts_refused,
            tally.adverts_received,
            tally.wakes,
            tally.late_wakes,
        );
    }

    pub(super) fn name(&self, router: usize) -> &str {
        self.instances.get(&router).map_or("?", |instance| instance.name.as_str())
    }

    fn interface(&self, ifindex: u32) -> &str {
        self.interfaces.get(&ifindex).map_or("?", String::as_str)
    }

    fn vip(&self, router: usize, vip: usize) -> String {
        let vip = self.instances.get(&router).and_then(|instance| instance.vips.get(vip));
        vip.map_or_else(|| "an address".to_owned(), |vip| format!("{}/{}", vip.address, vip.prefix))
    }

    fn vips(&self, router: usize) -> String {
        match self.instances.get(&router).map(|instance| instance.vips.as_slice()) {
            Some([only]) => format!("{}/{}", only.address, only.prefix),
            Some([first, rest @ ..]) => format!("{}/{} and {} more", first.address, first.prefix, rest.len()),
            Some([]) | None => "no address".to_owned(),
        }
    }
}

/// Who has been named for what, and how many lines that took.
#[derive(Debug, Default)]
struct Rejects {
    seen: HashMap<(u32, u8, [u8; 4]), Instant>,
    /// Of each slot: the last that was named, and how many had been rejected for that reason by then. It stays in the slot
    /// when all is well again.
    named: HashMap<u32, (Rejected, u64)>,
    window_began: Option<Instant>,
    lines: u32,
}

impl Rejects {
    /// Whether the sender was not named for it within the hour.
    fn is_due(&self, slot: u32, rejected: Rejected, now: Instant) -> bool {
        let key = (slot, rejected.reason, rejected.sender);
        self.seen.get(&key).is_none_or(|at| now.since(*at) >= REPEAT)
    }

    /// `count` is of adverts that were rejected for that reason so far.
    fn is_worth_a_line(&mut self, slot: u32, rejected: Rejected, count: u64, now: Instant) -> bool {
        if self.window_began.is_none_or(|began| now.since(began) >= WINDOW) {
            self.window_began = Some(now);
            self.lines = 0;
            self.seen.retain(|_, at| now.since(*at) < REPEAT);
        }
        let is_news = self.named.get(&slot).is_none_or(|(named, then)| *named != rejected || count > *then);
        if self.lines >= REJECT_LINES || !is_news || !self.is_due(slot, rejected, now) {
            return false;
        }
        self.seen.insert((slot, rejected.reason, rejected.sender), now);
        self.named.insert(slot, (rejected, count));
        self.lines += 1;
        true
    }
}

/// One line in a while, with the number of those unsaid.
#[derive(Debug, Default)]
struct Limited {
    last: Option<Instant>,
    unsaid: u64,
}

impl Limited {
    fn take_turn(&mut self, now: Instant) -> Option<u64> {
        if self.last.is_some_and(|last| now.since(last) < QUIET) {
            self.unsaid += 1;
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.unsaid))
    }
}

struct Unsaid(u64);

impl std::fmt::Display for Unsaid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            0 => Ok(()),
            count => write!(f, " ({count} more since the last such line)"),
        }
    }
}

/// What is wrong with an advert, and what to look at.
pub(super) fn reason(reason: u8, interval: &str) -> String {
    let counter = Counter::ALL.get(usize::from(reason)).copied();
    let text = match counter {
        Some(Counter::IpTtl) => "their TTL is not 255: they came through a router, or from an attacker",
        Some(Counter::Version) => "they speak the other version of VRRP: make `version` equal on both",
        Some(Counter::InvalidType) => "they are no advertisements",
        Some(Counter::PacketLength) => "their length does not fit their address count",
        Some(Counter::Checksum) => "their checksum is wrong",
        Some(Counter::AuthTypeMismatch) => {
            "one side uses a password and the other none: make `auth` equal on both"
        }
        Some(Counter::AuthFailure) => "wrong password: make `auth` equal on both",
        Some(Counter::AdvertInterval) => {
            return format!(
                "their advert interval is not our {interval}: in version 2 it must be equal on both"
            );
        }
        Some(Counter::AddressCount) => "they carry no address",
        Some(Counter::Sender) => "the sender is not one of `peers`",
        Some(
            Counter::Accepted
            | Counter::ChecksumMessageOnly
            | Counter::ChecksumPseudoHeader
            | Counter::ForeignPassed
            | Counter::ForeignDropped
            | Counter::NotUnderstood
            | Counter::RateLimited
            | Counter::RingFull
            | Counter::Delivered
            | Counter::Woke,
        )
        | None => "for a reason that this version does not know",
    };
    text.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn a_flood_of_rejected_senders_is_a_handful_of_lines() {
        let mut rejects = Rejects::default();
        let now = Instant::from_nanos(1);
        let flood = (0..10_000u32).filter(|sender| {
            let rejected = Rejected { reason: 6, sender: sender.to_be_bytes() };
            rejects.is_worth_a_line(0, rejected, u64::from(*sender), now)
        });
        assert_eq!(flood.count(), 8);
    }

    #[test]
    fn the_same_sender_is_named_once_an_hour_while_it_goes_on() {
        let rejected = Rejected { reason: 6, sender: [10, 0, 0, 9] };
        let named = |rejected_until: u64| {
            let mut rejects = Rejects::default();
            let lines = (0..4 * 3600).filter(|second| {
                let count = (*second).min(rejected_until);
                rejects.is_worth_a_line(0, rejected, count, Instant::from_nanos(second * SECOND))
            });
            lines.count()
        };
        assert_eq!(named(u64::MAX), 4);
        assert_eq!(named(300), 2, "once more for what came after the first line, then it was mended");
        assert_eq!(named(0), 1, "the slot keeps the last one for ever");
    }
}
