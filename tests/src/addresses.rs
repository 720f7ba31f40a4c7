//! Which addresses the hosts' kernels have: asked once, or watched as they change.
//!
//! One netlink socket hears all watched namespaces (NETLINK_LISTEN_ALL_NSID), and the kernel makes address changes one
//! at a time under its RTNL lock: the ORDER of the events is the true order, across hosts. Their STAMPS are taken when
//! the watching thread reads them. It has real-time priority where that is permitted, yet on a loaded machine a stamp
//! can be late by the thread's scheduling delay (here usually 0.1 ms, tens of ms when the hypervisor takes the CPU):
//! judge overlaps with `HoldingTimeline::overlap_longer_than`, and durations with that error in mind.
//!
//! Owns the watching thread and its events. Refuses to judge.

use std::{
    collections::HashMap,
    io,
    net::{IpAddr, Ipv4Addr},
    os::fd::AsRawFd,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use netlink_packet_core::{NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::{
    RouteNetlinkMessage,
    address::{AddressAttribute, AddressMessage},
};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};

use crate::{
    clock,
    lab::Lab,
    namespace::{Namespace, run},
    socket,
    timeline::{Change, HoldingTimeline},
};

/// rtnetlink.h: RTMGRP_IPV4_IFADDR.
const IPV4_CHANGES: u32 = 0x10;

/// An IPv4 address on an interface.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HeldAddress {
    pub address: Ipv4Addr,
    pub prefix_length: u8,
    pub ifindex: u32,
    pub label: Option<String>,
    /// Seconds until the kernel removes it; `None` when it never does.
    pub valid_seconds: Option<u32>,
}

/// One event of a kernel.
#[derive(Clone, Debug)]
pub struct AddressEvent {
    /// CLOCK_MONOTONIC when the watching thread read it.
    pub time_ns: u64,
    pub host: String,
    /// Added (or renewed) rather than removed.
    pub added: bool,
    pub address: HeldAddress,
}

/// Watches the IPv4 addresses of some hosts of a lab; ends when dropped.
#[derive(Debug)]
pub struct AddressWatch {
    shared: Arc<Shared>,
    namespaces: Vec<(String, String)>,
    start_ns: u64,
    initial: Vec<(String, HeldAddress)>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    events: Mutex<Vec<AddressEvent>>,
    failed: Mutex<Option<String>>,
    stop: AtomicBool,
}

impl AddressWatch {
    /// Starts watching; what the hosts have now is the beginning of the history.
    pub fn start(lab: &Lab, hosts: &[&str]) -> Result<Self> {
        let mut names = HashMap::new();
        let mut namespaces = Vec::new();
        for (index, name) in hosts.iter().enumerate() {
            let namespace = lab.host(name).namespace().name();
            let id = nsid(lab.bridge().name(), namespace, index)?;
            names.insert(id, (*name).to_owned());
            namespaces.push(((*name).to_owned(), namespace.to_owned()));
        }
        let netlink = lab.bridge().enter(open)?.context("open the watching netlink socket")?;
        let mut initial = Vec::new();
        for name in hosts {
            initial.extend(lab.host(name).addresses()?.into_iter().map(|held| ((*name).to_owned(), held)));
        }
        let shared = Arc::new(Shared::default());
        let thread = {
            let shared = Arc::clone(&shared);
            thread::Builder::new().name("addresses".into()).spawn(move || watch(&netlink, &shared, &names))?
        };
        Ok(Self { shared, namespaces, start_ns: clock::now_ns(), initial, thread: Some(thread) })
    }

    /// All events so far, oldest first.
    pub fn events(&self) -> Vec<AddressEvent> {
        self.lock().clone()
    }

    /// The history of one address up to now. An error if an event was lost: then no conclusion may be drawn.
    pub fn timeline(&self, address: Ipv4Addr) -> Result<HoldingTimeline> {
        self.check()?;
        let mut held: HashMap<(String, u8, u32), bool> = HashMap::new();
        let mut changes = Vec::new();
        let before = self.initial.iter().map(|(host, address)| (self.start_ns, host, true, address));
        let events = self.events();
        let after = events.iter().map(|event| (event.time_ns, &event.host, event.added, &event.address));
        for (time_ns, host, added, held_address) in before.chain(after) {
            if held_address.address != address {
                continue;
            }
            held.insert((host.clone(), held_address.prefix_length, held_address.ifindex), added);
            let holds = held.iter().any(|((of, _, _), holds)| of == host && *holds);
            changes.push(Change { time_ns: time_ns.max(self.start_ns), host: host.clone(), held: holds });
        }
        Ok(HoldingTimeline::new(self.start_ns, clock::now_ns(), &changes))
    }

    /// Who holds the address now, by the events.
    pub fn holders(&self, address: Ipv4Addr) -> Result<Vec<String>> {
        Ok(self.timeline(address)?.holders().to_vec())
    }

    /// Waits until exactly `host` holds the address; the error tells the history.
    pub fn wait_for_holder(&self, address: Ipv4Addr, host: &str, limit: Duration) -> Result<HoldingTimeline> {
        self.wait_for_holders(address, &[host], limit)
    }

    /// Waits until exactly these hosts hold the address.
    pub fn wait_for_holders(
        &self,
        address: Ipv4Addr,
        hosts: &[&str],
        limit: Duration,
    ) -> Result<HoldingTimeline> {
        let wanted = |holders: &[String]| {
            holders.len() == hosts.len()
                && hosts.iter().all(|host| holders.iter().any(|holder| holder == host))
        };
        clock::wait_until(limit, || self.holders(address).map_or(true, |holders| wanted(&holders)));
        let timeline = self.timeline(address)?;
        if !wanted(timeline.holders()) {
            bail!(
                "{address} is held by {:?} after {limit:?}, not by {hosts:?}:\n{timeline}",
                timeline.holders()
            );
        }
        Ok(timeline)
    }

    /// Ends the watch, after asking each kernel whether the history ended where it says.
    pub fn finish(mut self, address: Ipv4Addr) -> Result<HoldingTimeline> {
        let mut attempt = 0;
        loop {
            let before = self.lock().len();
            let mut really = Vec::new();
            for (host, namespace) in &self.namespaces {
                let listing = run("ip", &["-n", namespace, "-4", "-o", "address", "show"])?;
                if listing.contains(&format!("inet {address}/")) {
                    really.push(host.clone());
                }
            }
            clock::sleep_ms(5);
            let timeline = self.timeline(address)?;
            let mut seen = timeline.holders().to_vec();
            seen.sort();
            really.sort();
            if seen == really {
                self.stop();
                return Ok(timeline);
            }
            // It may have changed between the two looks.
            if attempt >= 3 && self.lock().len() == before {
                bail!("events say that {seen:?} hold {address}, the kernels say {really:?}:\n{timeline}");
            }
            if attempt > 20 {
                bail!(
                    "{address} keeps changing hands; the final check never got two equal answers:\n{timeline}"
                );
            }
            attempt += 1;
        }
    }

    fn check(&self) -> Result<()> {
        match &*self.shared.failed.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(why) => bail!("the address watch is no witness any more: {why}"),
            None => Ok(()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<AddressEvent>> {
        self.shared.events.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            eprintln!("lab: the address watch panicked");
        }
    }
}

impl Drop for AddressWatch {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The IPv4 addresses in a namespace, loopback included.
pub fn dump(namespace: &Namespace) -> Result<Vec<HeldAddress>> {
    namespace.enter(dump_here)?.with_context(|| format!("list the addresses in {}", namespace.name()))
}

fn dump_here() -> Result<Vec<HeldAddress>> {
    let mut socket = Socket::new(NETLINK_ROUTE)?;
    socket.bind_auto()?;
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | NLM_F_DUMP;
    let request = RouteNetlinkMessage::GetAddress(AddressMessage::default());
    let mut message = NetlinkMessage::new(header, NetlinkPayload::from(request));
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    socket.send_to(&bytes, &SocketAddr::new(0, 0), 0)?;
    let mut found = Vec::new();
    loop {
        let (bytes, _) = socket.recv_from_full()?;
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let message = NetlinkMessage::<RouteNetlinkMessage>::deserialize(rest)?;
            rest = rest.get(aligned(message.header.length)..).unwrap_or_default();
            if let NetlinkPayload::Done(_) = message.payload {
                return Ok(found);
            }
            if let NetlinkPayload::Error(error) = message.payload {
                bail!("the kernel refused: {error}");
            }
            found.extend(decode(message.payload).map(|(_, held)| held));
        }
    }
}

fn open() -> io::Result<Socket> {
    let mut socket = Socket::new(NETLINK_ROUTE)?;
    socket::force_receive_buffer(socket.as_raw_fd(), 16 << 20)?;
    socket::limit_wait(socket.as_raw_fd(), Duration::from_millis(50))?;
    socket.set_listen_all_namespaces(true)?;
    socket.bind(&SocketAddr::new(0, IPV4_CHANGES))?;
    Ok(socket)
}

/// The number under which the observer knows a namespace; events carry it. Set if it has none yet.
fn nsid(observer: &str, namespace: &str, index: usize) -> Result<i32> {
    let find = || -> Result<Option<i32>> {
        let listing = run("ip", &["-n", observer, "netns", "list-id"])?;
        // "nsid 3 (iproute2 netns name: NAME)"
        let line = listing.lines().find(|line| line.contains(&format!(": {namespace})")));
        Ok(line.and_then(|line| line.split_whitespace().nth(1)).and_then(|id| id.parse().ok()))
    };
    if let Some(id) = find()? {
        return Ok(id);
    }
    run("ip", &["-n", observer, "netns", "set", namespace, &(1000 + index).to_string()])?;
    find()?.with_context(|| format!("{observer} has no id for {namespace}"))
}

fn watch(netlink: &Socket, shared: &Shared, names: &HashMap<i32, String>) {
    if let Err(error) = socket::become_realtime() {
        eprintln!("lab: the address watch runs without real-time priority ({error}): its stamps may be late");
    }
    let mut buffer = vec![0; 64 << 10];
    while !shared.stop.load(Ordering::Relaxed) {
        match socket::receive(netlink.as_raw_fd(), &mut buffer) {
            Ok(received) => {
                let time_ns = clock::now_ns();
                let Some(host) = received.nsid.and_then(|id| names.get(&id)) else { continue };
                let bytes = buffer.get(..received.length).unwrap_or_default();
                if let Err(why) = note(bytes, time_ns, host, shared) {
                    fail(shared, format!("an event could not be decoded: {why:#}"));
                }
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            // ENOBUFS: the kernel had to drop events.
            Err(error) => fail(shared, format!("receiving failed: {error}")),
        }
    }
}

fn note(bytes: &[u8], time_ns: u64, host: &str, shared: &Shared) -> Result<()> {
    let mut rest = bytes;
    while !rest.is_empty() {
        let message = NetlinkMessage::<RouteNetlinkMessage>::deserialize(rest)?;
        rest = rest.get(aligned(message.header.length)..).unwrap_or_default();
        if let Some((added, address)) = decode(message.payload) {
            let event = AddressEvent { time_ns, host: host.to_owned(), added, address };
            shared.events.lock().unwrap_or_else(PoisonError::into_inner).push(event);
        }
    }
    Ok(())
}

fn fail(shared: &Shared, why: String) {
    shared.failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(why);
}

fn aligned(length: u32) -> usize {
    usize::try_from(length).unwrap_or(usize::MAX).next_multiple_of(4)
}

fn decode(payload: NetlinkPayload<RouteNetlinkMessage>) -> Option<(bool, HeldAddress)> {
    let NetlinkPayload::InnerMessage(message) = payload else { return None };
    let added = matches!(message, RouteNetlinkMessage::NewAddress(_));
    let (RouteNetlinkMessage::NewAddress(message) | RouteNetlinkMessage::DelAddress(message)) = message
    else {
        return None;
    };
    let mut held = HeldAddress {
        address: Ipv4Addr::UNSPECIFIED,
        prefix_length: message.header.prefix_len,
        ifindex: message.header.index,
        label: None,
        valid_seconds: None,
    };
    for attribute in message.attributes {
        if let AddressAttribute::Local(IpAddr::V4(address)) = attribute {
            held.address = address;
        } else if let AddressAttribute::Label(label) = attribute {
            held.label = Some(label);
        } else if let AddressAttribute::CacheInfo(info) = attribute {
            held.valid_seconds = (info.ifa_valid != u32::MAX).then_some(info.ifa_valid);
        }
    }
    (held.address != Ipv4Addr::UNSPECIFIED).then_some((added, held))
}
