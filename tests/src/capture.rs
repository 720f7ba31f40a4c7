//! What is on the wire: adverts and ARP, with the kernel's own stamps, told apart by the host that sent them.
//!
//! Listens in the bridge's namespace, on the ports: it sees what a host sends even when its link is cut, and no host's
//! XDP program or firewall comes before it. On request on a host, to see what came through to it. Owns the listening thread and its bounded store. Refuses to judge.

use std::{
    io,
    net::Ipv4Addr,
    os::fd::{AsRawFd, OwnedFd},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context, Result, bail};

use crate::{
    clock,
    frame::{Advert, Arp, Frame, Mac},
    lab::{Host, Lab},
    namespace::Namespace,
    socket,
};

/// Records kept; what comes after is counted as lost.
pub const CAPACITY: usize = 500_000;

/// One frame, as it entered the switch, or the host that is listened on.
#[derive(Clone, Debug)]
pub struct Record {
    /// CLOCK_MONOTONIC: the kernel's stamp at arrival (SO_TIMESTAMPNS), translated.
    pub time_ns: u64,
    /// The host whose port it came from, or that received it.
    pub host: String,
    pub source_mac: Mac,
    pub frame: Frame,
    /// The whole Ethernet frame: to decode further, or to replay.
    pub bytes: Vec<u8>,
}

impl Record {
    /// The advert in it, if it is one.
    pub fn advert(&self) -> Option<&Advert> {
        match &self.frame {
            Frame::Advert(advert) => Some(advert),
            Frame::Arp(_) | Frame::Broken => None,
        }
    }

    /// The ARP packet in it, if it is one.
    pub fn arp(&self) -> Option<&Arp> {
        match &self.frame {
            Frame::Arp(arp) => Some(arp),
            Frame::Advert(_) | Frame::Broken => None,
        }
    }
}

/// A running capture; ends when dropped.
#[derive(Debug)]
pub struct Capture {
    store: Arc<Store>,
    socket: Arc<OwnedFd>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Store {
    records: Mutex<Vec<Record>>,
    overflowed: AtomicBool,
    failed: Mutex<Option<io::Error>>,
    stop: AtomicBool,
}

impl Capture {
    /// Listens to what these hosts send. Leave flooders out: their junk would fill the store.
    pub fn start(lab: &Lab, hosts: &[&str]) -> Result<Self> {
        let ports = hosts.iter().map(|name| (lab.host(name).port(), (*name).to_owned())).collect();
        Self::listen_in(lab.bridge(), ports)
    }

    /// Listens on a host's own `eth0` to what it receives: past its XDP program, which must have let it through.
    pub fn start_on(host: &Host) -> Result<Self> {
        Self::listen_in(host.namespace(), vec![(host.ifindex(), host.name().to_owned())])
    }

    fn listen_in(namespace: &Namespace, ports: Vec<(u32, String)>) -> Result<Self> {
        let socket = namespace
            .enter(|| open(&ports.iter().map(|(port, _)| *port).collect::<Vec<_>>()))?
            .context("open the capture's packet socket")?;
        let socket = Arc::new(socket);
        let store = Arc::new(Store::default());
        let thread = {
            let (socket, store) = (Arc::clone(&socket), Arc::clone(&store));
            thread::Builder::new().name("capture".into()).spawn(move || listen(&socket, &store, &ports))?
        };
        Ok(Self { store, socket, thread: Some(thread) })
    }

    /// Everything so far, oldest first.
    pub fn records(&self) -> Vec<Record> {
        self.lock().clone()
    }

    /// Takes the records out, oldest first: for captures without an end.
    pub fn drain(&self) -> Vec<Record> {
        std::mem::take(&mut *self.lock())
    }

    /// How many records there are: with [`Capture::since`], to look only at what is new.
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Whether nothing was captured yet.
    pub fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    /// The records from that index on.
    pub fn since(&self, index: usize) -> Vec<Record> {
        self.lock().get(index..).unwrap_or_default().to_vec()
    }

    /// The adverts that a host has sent so far, with their stamps.
    pub fn adverts_from(&self, host: &str) -> Vec<(u64, Advert)> {
        let records = self.lock();
        let of_host = records.iter().filter(|record| record.host == host);
        of_host.filter_map(|record| Some((record.time_ns, record.advert()?.clone()))).collect()
    }

    /// When a host announced that address by gratuitous ARP.
    pub fn announcements(&self, host: &str, address: Ipv4Addr) -> Vec<u64> {
        let records = self.lock();
        let wanted = |record: &&Record| {
            record.host == host
                && record.arp().is_some_and(|arp| arp.is_gratuitous() && arp.sender == address)
        };
        records.iter().filter(wanted).map(|record| record.time_ns).collect()
    }

    /// Waits for the first record, from the beginning, that is `wanted`.
    pub fn wait_for(&self, limit: Duration, wanted: impl Fn(&Record) -> bool) -> Option<Record> {
        self.wait_since(0, limit, wanted)
    }

    /// Waits for the first record, from that index on, that is `wanted`.
    pub fn wait_since(
        &self,
        index: usize,
        limit: Duration,
        wanted: impl Fn(&Record) -> bool,
    ) -> Option<Record> {
        let mut next = index;
        let mut found = None;
        clock::wait_until(limit, || {
            let records = self.lock();
            found = records.get(next..).unwrap_or_default().iter().find(|record| wanted(record)).cloned();
            next = records.len().max(index);
            found.is_some()
        });
        found
    }

    /// Ends the capture. An error if anything was lost: then no conclusion may be drawn.
    pub fn finish(mut self) -> Result<Vec<Record>> {
        self.stop();
        if let Some(error) = self.store.failed.lock().unwrap_or_else(PoisonError::into_inner).take() {
            return Err(error).context("the capture stopped early");
        }
        let drops = socket::packet_drops(&self.socket).context("read the capture's drop counter")?;
        if drops > 0 || self.store.overflowed.load(Ordering::Relaxed) {
            bail!(
                "the capture lost packets ({drops} in the kernel; store of {CAPACITY} full: {})",
                self.len() == CAPACITY
            );
        }
        Ok(std::mem::take(&mut *self.lock()))
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Record>> {
        self.store.records.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stop(&mut self) {
        self.store.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            eprintln!("lab: the capture thread panicked");
        }
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        self.stop();
    }
}

fn open(ports: &[u32]) -> io::Result<OwnedFd> {
    let socket = socket::packet_socket()?;
    socket::attach_filter(&socket, &mut filter(ports))?;
    socket::want_stamps(&socket)?;
    socket::force_receive_buffer(socket.as_raw_fd(), 64 << 20)?;
    socket::limit_wait(socket.as_raw_fd(), Duration::from_millis(50))?;
    let everything = u16::try_from(libc::ETH_P_ALL).map_err(io::Error::other)?;
    socket::bind_packet(&socket, 0, everything)?;
    Ok(socket)
}

/// Keeps what came in (not what goes out) through one of `ports` and is ARP, or IPv4 with protocol 112.
fn filter(ports: &[u32]) -> Vec<libc::sock_filter> {
    // linux/filter.h: ancillary data is read at these offsets.
    const PACKET_TYPE: u32 = 0xffff_f000 + 4;
    const IFINDEX: u32 = 0xffff_f000 + 8;
    let load = |size: u32, k: u32| instruction(libc::BPF_LD | size | libc::BPF_ABS, 0, 0, k);
    let equal =
        |k: u32, jt: usize, jf: usize| instruction(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, jt, jf, k);
    let give = |k: u32| instruction(libc::BPF_RET | libc::BPF_K, 0, 0, k);
    // After the ports: five instructions, then "keep", then "drop".
    let mut program = vec![load(libc::BPF_W, PACKET_TYPE)];
    program.push(equal(4, ports.len() + 7, 0));
    program.push(load(libc::BPF_W, IFINDEX));
    for (index, port) in ports.iter().enumerate() {
        let left = ports.len() - index - 1;
        program.push(equal(*port, left, if left == 0 { 6 } else { 0 }));
    }
    program.extend([
        load(libc::BPF_H, 12),
        equal(0x0806, 3, 0),
        equal(0x0800, 0, 3),
        load(libc::BPF_B, 23),
        equal(112, 0, 1),
        give(u32::MAX),
        give(0),
    ]);
    program
}

fn instruction(code: u32, jt: usize, jf: usize, k: u32) -> libc::sock_filter {
    let jump = |by: usize| u8::try_from(by).unwrap_or(u8::MAX);
    libc::sock_filter { code: u16::try_from(code).unwrap_or(0), jt: jump(jt), jf: jump(jf), k }
}

fn listen(socket: &OwnedFd, store: &Store, ports: &[(u32, String)]) {
    let mut buffer = vec![0; 16 << 10];
    while !store.stop.load(Ordering::Relaxed) {
        let received = match socket::receive(socket.as_raw_fd(), &mut buffer) {
            Ok(received) => received,
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
                continue;
            }
            Err(error) => {
                *store.failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                return;
            }
        };
        let now = clock::now_ns();
        let time_ns = received.stamp_ns.map_or(now, |stamp| stamp.saturating_sub(clock::realtime_lead_ns()));
        let host = ports.iter().find(|(port, _)| i32::try_from(*port) == Ok(received.ifindex));
        let bytes = buffer.get(..received.length).unwrap_or_default();
        let mut source_mac = Mac::default();
        source_mac.copy_from_slice(bytes.get(6..12).unwrap_or(&[0; 6]));
        let record = Record {
            time_ns,
            host: host.map(|(_, name)| name.clone()).unwrap_or_default(),
            source_mac,
            frame: Frame::parse(bytes),
            bytes: bytes.to_vec(),
        };
        let mut records = store.records.lock().unwrap_or_else(PoisonError::into_inner);
        if records.len() < CAPACITY {
            records.push(record);
        } else {
            store.overflowed.store(true, Ordering::Relaxed);
        }
    }
}
