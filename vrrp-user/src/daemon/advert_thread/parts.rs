//! What the service runtime prepares for the advert thread and gets back: everything that has to be allocated or freed.
//!
//! Owns the thread's knowledge of one router, the change that a reload hands over, and the sheet that the thread fills
//! in when asked how things are. The thread swaps, fills and returns; the memory is the runtime's.

use std::net::Ipv4Addr;
use std::time::Duration;

use vrrp_ebpf::abi;
use vrrp_ebpf::slot::Liveness;

use super::Initial;
use crate::daemon::frames::Frames;
use crate::daemon::wiring::Wired;
use crate::histogram::Histogram;
use crate::net::clock;
use crate::net::executor::Holding;
use crate::net::packet::PacketSockets;
use crate::net::slots::Slots;
use crate::vrrp::{self, Advert, Instant, State};
use crate::wire::{AdvertInterval, Version};

/// Tries to read a slot that is being written.
const SPINS: usize = 200;

/// Whether a router takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Presence {
    Here,
    /// Told to leave; its addresses may still be on.
    Leaving,
    Gone,
}

/// What the thread knows of a router besides its state.
#[derive(Debug)]
pub(in crate::daemon) struct Router {
    pub(super) ifindex: u32,
    pub(super) slot: u32,
    pub(super) version: Version,
    pub(super) frames: Frames,
    pub(super) vips: Vec<(u32, Ipv4Addr)>,
    /// Since when it has its place: what arrived before was for a router that had it earlier.
    pub(super) since: Instant,
    pub(super) presence: Presence,
    /// What the slot said when it was last read.
    pub(super) last_heard: Option<Advert>,
    /// The guard's mark, as last seen.
    pub(super) fenced: bool,
    /// The core wants to be woken by each of its adverts.
    pub(super) wakes_always: bool,
    /// When it became MASTER, until its first advert has left.
    pub(super) decided: Option<Instant>,
    /// A server's role goes with the addresses.
    pub(super) is_managed: bool,
    /// How long clients may hold up addresses that go.
    pub(super) farewell: Duration,
    /// Whoever was silent for longer was silent before it was told to leave.
    pub(super) freeze_limit: Duration,
}

impl Router {
    pub(in crate::daemon) fn new(wired: &Wired) -> Self {
        Self {
            ifindex: wired.ifindex,
            slot: wired.rule.slot,
            version: wired.core.advert_interval.version(),
            frames: wired.frames.clone(),
            vips: wired.holding.vips.iter().map(|vip| (vip.ifindex, vip.address)).collect(),
            since: Instant::from_nanos(0),
            presence: Presence::Here,
            last_heard: None,
            fenced: false,
            wakes_always: false,
            decided: None,
            is_managed: wired.is_managed,
            farewell: wired.farewell,
            freeze_limit: wired.holding.freeze_limit,
        }
    }

    /// The slot's. Whoever watches wants every advert, and now.
    pub(super) fn flags(&self, is_watched: bool) -> u32 {
        let wakes = if self.wakes_always || is_watched { abi::SLOT_WAKE_ALWAYS } else { 0 };
        wakes | if is_watched { abi::SLOT_DELIVER_ALWAYS } else { 0 }
    }

    /// What the slot says. A slot that is being written for longer than we can spin (a stalled CPU in a virtual
    /// machine) is a sign of life: the last known content, heard now.
    pub(super) fn hear(&mut self, slots: &Slots) -> Option<Advert> {
        for _ in 0..SPINS {
            if let Ok(liveness) = slots.read(self.slot) {
                let advert = liveness.and_then(|liveness| self.advert(&liveness));
                self.last_heard = advert.filter(|advert| advert.arrived >= self.since);
                return self.last_heard;
            }
            std::hint::spin_loop();
        }
        self.last_heard.map(|advert| Advert { arrived: clock::now(), ..advert })
    }

    fn advert(&self, liveness: &Liveness) -> Option<Advert> {
        Some(Advert {
            arrived: Instant::from_nanos(liveness.arrived_ns),
            sender: Ipv4Addr::from_bits(liveness.sender.low()),
            priority: liveness.priority,
            advert_interval: AdvertInterval::from_wire(self.version, liveness.advert_interval)?,
        })
    }
}

/// What a reload changes. Comes back with what it replaced.
#[derive(Debug, Default)]
pub(in crate::daemon) struct Change {
    /// For all interfaces from now on.
    pub(in crate::daemon) sockets: PacketSockets,
    /// Those that leave first, and new ones last.
    pub(in crate::daemon) steps: Vec<Step>,
}

#[derive(Debug)]
pub(in crate::daemon) enum Step {
    Remove {
        router: usize,
    },
    /// Another configuration for a living router. `holding`: what its addresses are now, if they or what is done with
    /// them changed; `readdressed`: a MASTER must take them anew.
    Alter {
        router: usize,
        parts: Router,
        core: vrrp::Config,
        holding: Option<Box<Holding>>,
        readdressed: bool,
    },
    Insert {
        router: usize,
        parts: Option<Router>,
        core: vrrp::Config,
        holding: Option<Box<Holding>>,
        initial: Initial,
    },
}

/// One router as the thread sees it at this moment.
#[derive(Clone, Copy, Debug)]
pub(in crate::daemon) struct Reading {
    pub(in crate::daemon) router: usize,
    pub(in crate::daemon) state: State,
    pub(in crate::daemon) config: vrrp::Config,
    /// The last advert that it obeys, by the slot.
    pub(in crate::daemon) heard: Option<Advert>,
}

/// The thread's answer to how things are. Its room is made by whoever asks.
#[derive(Debug)]
pub(in crate::daemon) struct Sheet {
    pub(in crate::daemon) at: Instant,
    pub(in crate::daemon) readings: Vec<Reading>,
    pub(in crate::daemon) tally: Tally,
    pub(in crate::daemon) lateness: Lateness,
}

impl Sheet {
    pub(in crate::daemon) fn for_routers(room: usize) -> Self {
        Self {
            at: Instant::from_nanos(0),
            readings: Vec::with_capacity(room),
            tally: Tally::default(),
            lateness: Lateness::default(),
        }
    }
}

/// What the thread did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::daemon) struct Tally {
    pub(in crate::daemon) wakes: u64,
    pub(in crate::daemon) late_wakes: u64,
    pub(in crate::daemon) adverts_sent: u64,
    pub(in crate::daemon) adverts_refused: u64,
    pub(in crate::daemon) adverts_received: u64,
}

/// How late the thread is.
#[derive(Clone, Debug, Default)]
pub(in crate::daemon) struct Lateness {
    /// From the time an advert was due until the kernel had taken it.
    pub(in crate::daemon) sent: Histogram,
    /// From an advert's arrival in the kernel until it was acted upon; only of those that woke the thread.
    pub(in crate::daemon) received: Histogram,
    /// From the last advert of the master that was until the decision to succeed it.
    pub(in crate::daemon) silence: Histogram,
    /// From that decision until the kernel had taken the first advert of the new one.
    pub(in crate::daemon) claim: Histogram,
}

impl Lateness {
    /// Copies without allocating.
    pub(super) fn copy_from(&mut self, other: &Self) {
        self.sent.copy_from(&other.sent);
        self.received.copy_from(&other.received);
        self.silence.copy_from(&other.silence);
        self.claim.copy_from(&other.claim);
    }
}
