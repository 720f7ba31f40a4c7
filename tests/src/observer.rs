//! Who said what when, at rates a [`crate::Capture`] was not made for: adverts and announcements reduced to a few bytes
//! each, with the kernel's stamps, taken in the switch.
//!
//! Sees frames as they enter from a host, and as they leave towards one: behind a cut port the two differ. Owns the
//! listening thread and its bounded store. Refuses to judge.

use std::{
    io,
    net::Ipv4Addr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::{clock, namespace::Namespace, packet_ring::PacketRing, socket};

/// Sightings kept; what comes after is counted as lost.
const CAPACITY: usize = 16_000_000;
/// Enough for Ethernet, IPv4 and the fixed part of an advert, or for ARP.
const SNAP: u32 = 96;

/// A port of a switch, and which directions count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Port {
    pub ifindex: u32,
    /// What the host behind it sends.
    pub from: bool,
    /// What the switch sends it.
    pub to: bool,
}

/// What was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Advert {
        virtual_router_id: u8,
        priority: u8,
    },
    /// Gratuitous ARP.
    Announcement {
        address: Ipv4Addr,
    },
}

/// One frame, seen once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// CLOCK_MONOTONIC: the kernel's stamp, translated.
    pub time_ns: u64,
    /// Index into the ports given at the start.
    pub port: u16,
    pub outgoing: bool,
    pub kind: Kind,
}

/// A running observer; ends when dropped.
#[derive(Debug)]
pub struct Observer {
    store: Arc<Store>,
    thread: Option<JoinHandle<Result<u32>>>,
}

#[derive(Debug, Default)]
struct Store {
    sightings: Mutex<Vec<Sighting>>,
    lost: AtomicUsize,
    stop: AtomicBool,
}

impl Observer {
    /// Listens on these ports of the switch in `bridge`.
    pub fn start(bridge: &Namespace, ports: &[Port]) -> Result<Self> {
        let ring = bridge.enter(|| open(ports))?.context("open the observer's packet ring")?;
        let store = Arc::new(Store::default());
        let thread = {
            let (store, ports) = (Arc::clone(&store), ports.to_vec());
            thread::Builder::new().name("observer".into()).spawn(move || listen(ring, &store, &ports))?
        };
        Ok(Self { store, thread: Some(thread) })
    }

    /// Everything so far, oldest first.
    pub fn sightings(&self) -> Vec<Sighting> {
        self.lock().clone()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Whether nothing was seen yet.
    pub fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    /// Forgets what it has: the next stretch begins.
    pub fn clear(&self) {
        self.lock().clear();
    }

    /// Hands the sightings from that index on to `look`; what it says.
    pub fn look<T>(&self, from: usize, look: impl FnOnce(&[Sighting]) -> T) -> T {
        look(self.lock().get(from..).unwrap_or_default())
    }

    /// Ends it. An error if anything was lost: then no conclusion may be drawn.
    pub fn finish(mut self) -> Result<Vec<Sighting>> {
        let drops = self.stop()?;
        let lost = self.store.lost.load(Ordering::Relaxed);
        if drops > 0 || lost > 0 {
            bail!("the observer lost frames ({drops} in the kernel, {lost} for want of room)");
        }
        Ok(std::mem::take(&mut *self.lock()))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Sighting>> {
        self.store.sightings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stop(&mut self) -> Result<u32> {
        self.store.stop.store(true, Ordering::Relaxed);
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(drops)) => drops,
            Some(Err(_)) => bail!("the observer's thread panicked"),
            None => Ok(0),
        }
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        if let Err(error) = self.stop() {
            eprintln!("lab: {error:#}");
        }
    }
}

fn open(ports: &[Port]) -> io::Result<PacketRing> {
    let socket = socket::packet_socket()?;
    socket::attach_filter(&socket, &mut filter(ports))?;
    let ring = PacketRing::new(socket)?;
    let everything = u16::try_from(libc::ETH_P_ALL).map_err(io::Error::other)?;
    socket::bind_packet(ring.socket(), 0, everything)?;
    Ok(ring)
}

fn listen(mut ring: PacketRing, store: &Store, ports: &[Port]) -> Result<u32> {
    let lead_ns = clock::realtime_lead_ns();
    // On a machine that is otherwise busy a ring of a few seconds would overflow.
    if let Err(error) = rustix::process::nice(-10) {
        eprintln!("lab: the observer has no more priority than others ({error})");
    }
    let wait = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };
    let mut batch = Vec::new();
    loop {
        // Read before the last look: what came before the end is not missed.
        let ends = store.stop.load(Ordering::Relaxed);
        while ring.next_block(|frame| {
            let port = ports.iter().position(|port| port.ifindex == frame.ifindex);
            if let (Some(port), Some(kind)) = (port, kind(frame.bytes)) {
                let time_ns = frame.stamp_ns.saturating_sub(lead_ns);
                let port = u16::try_from(port).unwrap_or(u16::MAX);
                batch.push(Sighting { time_ns, port, outgoing: frame.outgoing, kind });
            }
        }) {
            let mut sightings = store.sightings.lock().unwrap_or_else(PoisonError::into_inner);
            let room = CAPACITY.saturating_sub(sightings.len());
            store.lost.fetch_add(batch.len().saturating_sub(room), Ordering::Relaxed);
            batch.truncate(room);
            sightings.append(&mut batch);
        }
        if ends {
            return socket::packet_drops_v3(ring.socket()).context("read the observer's drop counter");
        }
        // Interrupted or timed out: the loop looks again.
        poll(&mut [PollFd::new(ring.socket(), PollFlags::IN)], Some(&wait)).ok();
        // A block is handed over when it is full or its time is over; a short sleep keeps the observer from waking for
        // each, which would take the CPU from those it observes.
        thread::sleep(Duration::from_millis(5));
    }
}

fn kind(bytes: &[u8]) -> Option<Kind> {
    if bytes.get(12..14)? == [0x08, 0x06] {
        let (sender, target) = (bytes.get(28..32)?, bytes.get(38..42)?);
        let address = <[u8; 4]>::try_from(sender).ok()?;
        return (sender == target).then_some(Kind::Announcement { address: address.into() });
    }
    let message = 14 + usize::from(bytes.get(14)? & 0x0f) * 4;
    Some(Kind::Advert { virtual_router_id: *bytes.get(message + 1)?, priority: *bytes.get(message + 2)? })
}

/// Keeps ARP and IPv4 with protocol 112 on one of the ports in a direction that counts.
fn filter(ports: &[Port]) -> Vec<libc::sock_filter> {
    // linux/filter.h: ancillary data is read at these offsets.
    const PACKET_TYPE: u32 = 0xffff_f000 + 4;
    const IFINDEX: u32 = 0xffff_f000 + 8;
    let load = |size: u32, k: u32| instruction(libc::BPF_LD | size | libc::BPF_ABS, 0, 0, k);
    let equal =
        |k: u32, jt: usize, jf: usize| instruction(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, jt, jf, k);
    let give = |k: u32| instruction(libc::BPF_RET | libc::BPF_K, 0, 0, k);
    let mut program = vec![
        load(libc::BPF_H, 12),
        equal(0x0806, 4, 0),
        equal(0x0800, 0, 2),
        load(libc::BPF_B, 23),
        equal(112, 1, 0),
        give(0),
        load(libc::BPF_W, PACKET_TYPE),
    ];
    let keep = |ports: &[u32]| {
        let mut part = vec![load(libc::BPF_W, IFINDEX)];
        for (index, port) in ports.iter().enumerate() {
            part.push(equal(*port, ports.len() - index, 0));
        }
        part.extend([give(0), give(SNAP)]);
        part
    };
    let to: Vec<u32> = ports.iter().filter(|port| port.to).map(|port| port.ifindex).collect();
    let from: Vec<u32> = ports.iter().filter(|port| port.from).map(|port| port.ifindex).collect();
    let (to, from) = (keep(&to), keep(&from));
    program.push(equal(u32::from(libc::PACKET_OUTGOING), 0, to.len()));
    program.extend(to);
    program.extend(from);
    program
}

fn instruction(code: u32, jt: usize, jf: usize, k: u32) -> libc::sock_filter {
    let jump = |by: usize| u8::try_from(by).unwrap_or(u8::MAX);
    libc::sock_filter { code: u16::try_from(code).unwrap_or(0), jt: jump(jt), jf: jump(jf), k }
}
