//! Junk: forged adverts, sent one by one at a chosen moment or as fast as the machine can.
//!
//! Owns the forgeries and the generators, each bounded in time and count. Refuses to know what they should achieve.

use std::{
    io,
    net::Ipv4Addr,
    os::fd::OwnedFd,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context, Result, bail};

use crate::{
    bpf, clock,
    frame::{Advert, Mac, checksum},
    lab::{Host, Lab},
    socket,
};

/// Frames per system call of the packet-socket generator.
const BATCH: usize = 64;
/// Copies of one frame to one host in one test run, about 0.3 ms: each begins with an allocation of 0.1 ms.
const LIVE_BATCH: u32 = 1024;
/// The index of the loopback in every namespace.
const LOOPBACK: u32 = 1;
/// Where the VRRP message begins in a frame of ours, whose IP header has no options.
const VRRP: usize = 34;

/// Whoever is flooded runs virtual routers below this ID: a forgery for another of theirs would be obeyed.
pub const FOREIGN: u8 = 128;

/// What is wrong with a forged advert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Junk {
    /// TTL 254, as after one router hop.
    WrongTtl,
    BadChecksum,
    /// Version 3 has no password: there it is an advert of version 2 that brings one.
    WrongPassword,
    /// A virtual router that nobody here runs: one from [`FOREIGN`] on.
    ForeignVrid,
    /// Cut off inside the address list, while the count still claims it.
    Truncated,
    /// Nothing is wrong, except that it comes from a stranger of priority 1.
    LowerPriority,
    /// Nothing is wrong, except that it comes from a stranger and gives the address up.
    Release,
}

impl Junk {
    /// Those that a receiver must drop or pass unread: no state may change by them.
    pub const INVALID: [Self; 5] =
        [Self::WrongTtl, Self::BadChecksum, Self::WrongPassword, Self::ForeignVrid, Self::Truncated];

    /// Forgeries of this kind, after the model of a correct advert, from some sender addresses.
    pub fn forge(self, model: &Advert, source_mac: Mac) -> Vec<Vec<u8>> {
        let senders: Vec<Ipv4Addr> = (1..=8).map(|last| Ipv4Addr::new(10, 99, 0, 230 + last)).collect();
        let vrids: Vec<u8> = (FOREIGN..=255).filter(|vrid| *vrid != model.vrid).collect();
        let forge_one = |(index, source): (usize, &Ipv4Addr)| {
            let mut advert = Advert { source: *source, priority: 254, ..model.clone() };
            match self {
                Self::WrongTtl => advert.ttl = 254,
                Self::WrongPassword => {
                    // A second, where the model's unit is a hundredth of it.
                    advert.interval = if advert.version == 2 { advert.interval } else { 1 };
                    advert.version = 2;
                    advert.auth = Some((1, *b"wrong\0\0\0"));
                }
                Self::ForeignVrid => {
                    advert.vrid = vrids.get(index * 31 % vrids.len()).copied().unwrap_or(255)
                }
                Self::LowerPriority => advert.priority = 1,
                Self::Release => advert.priority = 0,
                Self::BadChecksum | Self::Truncated => {}
            }
            let mut frame = advert.emit(source_mac);
            match self {
                Self::BadChecksum => flip(&mut frame, VRRP + 6),
                Self::Truncated => truncate(&mut frame),
                Self::WrongTtl
                | Self::WrongPassword
                | Self::ForeignVrid
                | Self::LowerPriority
                | Self::Release => {}
            }
            frame
        };
        senders.iter().enumerate().map(forge_one).collect()
    }
}

/// Where a flood ends, whichever comes first.
#[derive(Clone, Copy, Debug)]
pub struct Bound {
    pub time: Duration,
    pub packets: u64,
    /// Packets a second; `None` for all that the machine can.
    pub rate: Option<u64>,
}

impl Bound {
    /// As fast as possible for that long.
    pub fn seconds(seconds: u64) -> Self {
        Self { time: Duration::from_secs(seconds), packets: u64::MAX, rate: None }
    }
}

/// What a flood came to.
#[derive(Clone, Copy, Debug)]
pub struct FloodReport {
    pub packets: u64,
    pub time: Duration,
}

impl FloodReport {
    /// Packets a second.
    pub fn rate(&self) -> u64 {
        u64::try_from(u128::from(self.packets) * 1_000_000_000 / self.time.as_nanos().max(1))
            .unwrap_or(u64::MAX)
    }
}

/// A running flood; ends when dropped.
#[derive(Debug)]
pub struct Flood {
    sent: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<io::Result<FloodReport>>>,
}

impl Flood {
    /// Sends `frames` round and round from `host` until `bound`: `sendmmsg` on a packet socket past the queues.
    pub fn start(host: &Host, frames: Vec<Vec<u8>>, bound: Bound) -> Result<Self> {
        let socket = sender(host)?;
        Self::spawn(frames, bound, move |run| run.by_socket(&socket))
    }

    /// The same to each of these hosts, out of their ports of the switch, as if it had just forwarded them; bound and
    /// report are of what each host is sent. Made by test runs of an XDP program on live frames
    /// ([`Requirement::LiveFrames`](crate::Requirement)), ten times as fast as a socket, whose packets the switch has to
    /// copy. A host without native XDP loses them all: see [`accept_live`].
    pub fn start_live(lab: &Lab, hosts: &[&str], frames: Vec<Vec<u8>>, bound: Bound) -> Result<Self> {
        let ports: Vec<u32> = hosts.iter().map(|name| lab.host(name).port()).collect();
        let load = || {
            let program = bpf::load(bpf::Verdict::Transmit)?;
            // Where nothing is received: only for test runs that need not wait.
            let link = bpf::attach_generic(&program, LOOPBACK)?;
            io::Result::Ok((program, link))
        };
        let (program, link) = lab.bridge().enter(load)?.context("load the program that makes live frames")?;
        let join = lab.bridge().joiner()?;
        Self::spawn(frames, bound, move |run| {
            join().map_err(io::Error::other)?;
            let report = run.by_live_frames(&program, &ports);
            drop(link);
            report
        })
    }

    fn spawn(
        frames: Vec<Vec<u8>>,
        bound: Bound,
        generate: impl FnOnce(&Run) -> io::Result<FloodReport> + Send + 'static,
    ) -> Result<Self> {
        if frames.is_empty() {
            bail!("a flood of no frames");
        }
        let (sent, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let run = Run { frames, bound, sent: Arc::clone(&sent), stop: Arc::clone(&stop) };
        let thread = thread::Builder::new().name("flood".into()).spawn(move || generate(&run))?;
        Ok(Self { sent, stop, thread: Some(thread) })
    }

    /// Packets sent so far.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Ends it now; what it came to.
    pub fn stop(self) -> Result<FloodReport> {
        self.stop.store(true, Ordering::Relaxed);
        self.finish()
    }

    /// Waits for its bound; what it came to.
    pub fn finish(mut self) -> Result<FloodReport> {
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(report)) => report.context("the flood failed"),
            Some(Err(_)) | None => bail!("the flood's thread panicked"),
        }
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            eprintln!("lab: the flood's thread panicked");
        }
    }
}

/// Has a host's `eth0` take in live frames, by an empty native XDP program, until the link is dropped. A veth drops them
/// otherwise; a daemon's own program is as good.
pub fn accept_live(host: &Host) -> Result<OwnedFd> {
    let attach = || bpf::attach_native(&bpf::load(bpf::Verdict::Pass)?, host.ifindex());
    host.namespace().enter(attach)?.with_context(|| format!("attach an empty program on {}", host.name()))
}

/// Sends frames from a host's `eth0` now, in order.
pub fn send(host: &Host, frames: &[Vec<u8>]) -> Result<()> {
    Injector::new(host)?.send(frames)
}

/// An open sender, for frames that must leave at a chosen moment.
#[derive(Debug)]
pub struct Injector {
    socket: OwnedFd,
}

impl Injector {
    /// A sender on a host's `eth0`.
    pub fn new(host: &Host) -> Result<Self> {
        Ok(Self { socket: sender(host)? })
    }

    /// Sends frames now, in order, in one system call.
    pub fn send(&self, frames: &[Vec<u8>]) -> Result<()> {
        let mut rest = frames;
        while !rest.is_empty() {
            let sent = socket::send_all(&self.socket, rest).context("send forged frames")?;
            rest = rest.get(sent..).unwrap_or_default();
        }
        Ok(())
    }
}

struct Run {
    frames: Vec<Vec<u8>>,
    bound: Bound,
    sent: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
}

impl Run {
    fn by_socket(&self, socket: &OwnedFd) -> io::Result<FloodReport> {
        // Long enough that a batch from any starting point is one slice.
        let ring: Vec<Vec<u8>> =
            self.frames.iter().cycle().take(self.frames.len() + BATCH).cloned().collect();
        let mut next = 0;
        self.until_bound(|allowed| {
            let count = usize::try_from(allowed).map_or(BATCH, |allowed| allowed.min(BATCH));
            match socket::send_all(socket, ring.get(next..next + count).unwrap_or_default()) {
                Ok(sent) => {
                    next = (next + sent) % self.frames.len();
                    Ok(sent as u64)
                }
                // The interface's queue is full: the rate is the machine's.
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => Ok(0),
                Err(error) => Err(error),
            }
        })
    }

    fn by_live_frames(&self, program: &OwnedFd, ports: &[u32]) -> io::Result<FloodReport> {
        let mut frames = self.frames.iter().cycle();
        self.until_bound(|allowed| {
            let count = u32::try_from(allowed).map_or(LIVE_BATCH, |allowed| allowed.min(LIVE_BATCH));
            let frame = frames.next().map(Vec::as_slice).unwrap_or_default();
            for port in ports {
                bpf::run_live(program, *port, frame, count)?;
            }
            Ok(count.into())
        })
    }

    fn until_bound(&self, mut send: impl FnMut(u64) -> io::Result<u64>) -> io::Result<FloodReport> {
        let start = clock::now_ns();
        let end = start.saturating_add(clock::nanos(self.bound.time));
        let mut packets = 0;
        loop {
            let now = clock::now_ns();
            if now >= end || packets >= self.bound.packets || self.stop.load(Ordering::Relaxed) {
                return Ok(FloodReport { packets, time: Duration::from_nanos(now - start) });
            }
            let due = self.bound.rate.map_or(u64::MAX, |rate| {
                let due = u128::from(rate) * u128::from(now - start) / u128::from(clock::SECOND);
                u64::try_from(due).unwrap_or(u64::MAX)
            });
            let allowed = due.min(self.bound.packets).saturating_sub(packets);
            if allowed == 0 {
                thread::sleep(Duration::from_micros(500));
                continue;
            }
            packets += send(allowed)?;
            self.sent.store(packets, Ordering::Relaxed);
        }
    }
}

fn sender(host: &Host) -> Result<OwnedFd> {
    let open = || {
        let socket = socket::packet_socket()?;
        // Protocol 0: it receives nothing.
        socket::bind_packet(&socket, host.ifindex(), 0)?;
        socket::bypass_queues(&socket)?;
        io::Result::Ok(socket)
    };
    host.namespace().enter(open)?.context("open a sending packet socket")
}

fn flip(frame: &mut [u8], index: usize) {
    if let Some(byte) = frame.get_mut(index) {
        *byte ^= 0x55;
    }
}

/// Takes the last bytes of the message away and says so in the IP header, whose checksum stays right.
fn truncate(frame: &mut Vec<u8>) {
    frame.truncate(VRRP + 10);
    let length = u16::try_from(frame.len() - 14).unwrap_or(0);
    if let Some(header) = frame.get_mut(14..VRRP) {
        header[2..4].copy_from_slice(&length.to_be_bytes());
        header[10..12].fill(0);
        let sum = checksum(header);
        header[10..12].copy_from_slice(&sum.to_be_bytes());
    }
}
