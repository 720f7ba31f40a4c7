//! The two receiving threads: the ring's, which waits and works as the advert thread does, and the raw socket's.
//!
//! Owns what is taken down of each advert. Neither allocates, locks or logs while it runs. Refuses to know what is made
//! of the samples.

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU8, Ordering};

use rustix::event::{EventfdFlags, epoll, eventfd};
use rustix::io::Errno;
use vrrp_ebpf::abi::MAX_FRAME;

use crate::bench::adverts::{Judge, Routers};
use crate::bench::raw_socket::RawSocket;
use crate::net::receiver::Receiver;
use crate::net::{clock, realtime, stamp};
use crate::vrrp::Instant;
use crate::wire::frame::Packet;

/// More are decided, but not taken down: half a minute of 25 000 adverts a second.
const MOST_SAMPLES: usize = 1 << 20;

/// How adverts are delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Each wakes: samples are taken.
    Wake = 0,
    /// Each enters the ring.
    All = 1,
    /// Those that change something enter the ring.
    Changes = 2,
}

impl Stage {
    pub(super) const ALL: [Self; 3] = [Self::Wake, Self::All, Self::Changes];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Wake => "wake",
            Self::All => "all",
            Self::Changes => "changes",
        }
    }
}

/// Between the stages' numbers and this, one byte tells the threads all they must know.
const BEFORE: u8 = 254;
const END: u8 = 255;

/// What the main thread tells the others.
pub(super) struct Shared {
    priority: u8,
    stage: AtomicU8,
    bell: OwnedFd,
}

impl Shared {
    pub(super) fn new(priority: u8) -> Result<Self, Errno> {
        let bell = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self { priority, stage: AtomicU8::new(BEFORE), bell })
    }

    pub(super) fn enter(&self, stage: Stage) {
        self.stage.store(stage as u8, Ordering::Relaxed);
    }

    pub(super) fn end(&self) {
        self.stage.store(END, Ordering::Relaxed);
        // It rings once, and an eventfd with room for it refuses nothing.
        match rustix::io::write(&self.bell, &1u64.to_ne_bytes()) {
            Ok(_) | Err(_) => {}
        }
    }

    fn is_over(&self) -> bool {
        self.stage.load(Ordering::Relaxed) == END
    }

    fn stage(&self) -> Option<Stage> {
        let stage = self.stage.load(Ordering::Relaxed);
        Stage::ALL.into_iter().find(|known| *known as u8 == stage)
    }

    /// What was not granted, in words.
    fn raise_priority(&self) -> Option<String> {
        if self.priority == 0 {
            return None;
        }
        realtime::raise_priority(self.priority).err().map(|error| error.to_string())
    }
}

/// One advert, from arrival to decision, ns of CLOCK_MONOTONIC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sample {
    pub(super) slot: u32,
    /// IPv4.
    pub(super) sender: u32,
    pub(super) arrived_ns: u64,
    pub(super) decided_ns: u64,
}

/// What a thread brought home.
pub(super) struct Taken {
    pub(super) samples: Vec<Sample>,
    /// Returns from waiting that found adverts, by [`Stage`].
    pub(super) wakeups: [u64; 3],
    pub(super) refused: Option<String>,
}

impl Taken {
    fn new(refused: Option<String>) -> Self {
        Self { samples: Vec::with_capacity(MOST_SAMPLES), wakeups: [0; 3], refused }
    }

    fn note(&mut self, sample: Sample) {
        if self.samples.len() < MOST_SAMPLES {
            self.samples.push(sample);
        }
    }
}

/// Until the run is over.
pub(super) fn run_ring(mut receiver: Receiver, mut judge: Judge, shared: &Shared) -> Result<Taken, Errno> {
    let poller = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let add = |fd: BorrowedFd<'_>| {
        // Edges, for the advert thread's reason: records that were not worth a wake-up are no reason to come back.
        let flags = epoll::EventFlags::IN | epoll::EventFlags::ET;
        epoll::add(&poller, fd, epoll::EventData::new_u64(0), flags)
    };
    add(receiver.as_fd())?;
    add(shared.bell.as_fd())?;
    let mut taken = Taken::new(shared.raise_priority());
    let mut events = [MaybeUninit::<epoll::Event>::uninit(); 2];
    while !shared.is_over() {
        match epoll::wait(&poller, &mut events, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
        let stage = shared.stage();
        let now = clock::now();
        let mut found = false;
        while let Some(record) = receiver.next_record() {
            found = true;
            let Ok(packet) = Packet::parse_frame(record.frame()) else { continue };
            let (slot, arrived) = (record.slot(), Instant::from_nanos(record.arrived_ns()));
            judge.decide(slot, &packet, arrived, now);
            let decided_ns = clock::now().as_nanos();
            if stage == Some(Stage::Wake) && record.woke() {
                let (sender, arrived_ns) = (packet.source.to_bits(), arrived.as_nanos());
                taken.note(Sample { slot, sender, arrived_ns, decided_ns });
            }
        }
        if let Some(stage) = stage
            && found
        {
            taken.wakeups[stage as usize] += 1;
        }
    }
    Ok(taken)
}

/// Until the run is over.
pub(super) fn run_raw(socket: &RawSocket, routers: &Routers, shared: &Shared) -> Taken {
    let mut judge = routers.judge();
    let mut taken = Taken::new(shared.raise_priority());
    let mut buffer = [0; MAX_FRAME];
    let slots: Vec<Option<u32>> = (0..=u8::MAX).map(|id| routers.slot(id)).collect();
    while !shared.is_over() {
        let Some(received) = socket.receive(&mut buffer) else { continue };
        let now = clock::now();
        let Ok(packet) = Packet::parse(&buffer[..received.length]) else { continue };
        let slot = slots.get(usize::from(packet.advert.virtual_router_id)).copied().flatten();
        let Some(slot) = slot else { continue };
        // The engine's own arithmetic does not depend on how old the advert is: its true age is reckoned afterwards.
        judge.decide(slot, &packet, now, now);
        let decided_ns = clock::now().as_nanos();
        if let Some(stage) = shared.stage() {
            taken.wakeups[stage as usize] += 1;
            if stage == Stage::Wake {
                let arrived_ns = stamp::arrived_ns(received.stamp);
                taken.note(Sample { slot, sender: packet.source.to_bits(), arrived_ns, decided_ns });
            }
        }
    }
    taken
}
