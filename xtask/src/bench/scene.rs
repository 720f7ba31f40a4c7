//! A pair on one or more segments, and who plays it: ours, keepalived as installed, keepalived tuned.
//!
//! Owns equivalent configurations and the handles to watch and hurt what runs. Refuses to know what is measured.

use std::{collections::HashSet, fs, net::Ipv4Addr, path::Path, path::PathBuf, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use vrrp_lab::{
    Daemon, Host, Instance, Keepalived, Lab, Observer, Peer, clock,
    observer::{Kind, Port, Sighting},
    peers::Talk,
    process::{Process, process_name},
};

use super::{metrics::Metrics, usage::Usage};

/// One segment carries no more virtual routers than this; the next ones get a segment of their own.
const PER_SEGMENT: usize = 250;
/// From this many on the kernel half keeps our adverts from the stack of a host where nobody else wants them.
const DENSE: usize = 200;
/// Priority of `a`, the master, and of `b`.
pub(crate) const PRIORITIES: [u8; 2] = [100, 90];

/// Who plays the pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Contender {
    Ours,
    Keepalived,
    /// With what its documentation offers for speed: real-time priority, locked memory, larger receive buffers.
    Tuned,
}

impl Contender {
    pub(crate) const ALL: [Self; 3] = [Self::Ours, Self::Keepalived, Self::Tuned];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Ours => "vrrp",
            Self::Keepalived => "keepalived",
            Self::Tuned => "keepalived, tuned",
        }
    }
}

/// The pair's protocol and size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Setting {
    pub(crate) version: u8,
    pub(crate) advert_ms: u32,
    pub(crate) instances: usize,
}

impl Setting {
    pub(crate) fn interval(self) -> Duration {
        Duration::from_millis(u64::from(self.advert_ms))
    }

    /// RFC 3768 §6.1, RFC 9568 §6.1, for the router with this priority.
    pub(crate) fn skew_time(self, priority: u8) -> Duration {
        match self.version {
            2 => Duration::from_secs(1) * (256 - u32::from(priority)) / 256,
            _ => self.interval() * (256 - u32::from(priority)) / 256,
        }
    }

    pub(crate) fn down_interval(self, priority: u8) -> Duration {
        self.interval() * 3 + self.skew_time(priority)
    }

    pub(crate) fn label(self) -> String {
        let interval = if self.advert_ms.is_multiple_of(1000) {
            format!("{} s", self.advert_ms / 1000)
        } else {
            format!("{} ms", self.advert_ms)
        };
        format!("v{} {interval}, {} instance{}", self.version, self.instances, plural(self.instances))
    }
}

const fn plural(count: usize) -> &'static str {
    if count == 1 { "" } else { "s" }
}

/// The network of a measurement.
#[derive(Debug)]
pub(crate) struct Scene {
    pub(crate) lab: Lab,
    pub(crate) setting: Setting,
    /// Interface, and how many virtual routers live there.
    segments: Vec<(String, u8)>,
    /// The switch's ports, `a` and `b` by turns, as the observer numbers them.
    ports: Vec<Port>,
    binary: PathBuf,
    /// More keys of each of our instances.
    extra: Vec<String>,
}

impl Scene {
    /// Hosts, segments and cables for this many virtual routers.
    pub(crate) fn new(name: &str, setting: Setting, binary: &Path) -> Result<Self> {
        let lab = Lab::pair(name)?;
        let mut segments = Vec::new();
        let mut ports = Vec::new();
        let mut left = setting.instances;
        for number in 0..setting.instances.div_ceil(PER_SEGMENT) {
            let here = u8::try_from(left.min(PER_SEGMENT))?;
            left -= usize::from(here);
            let (interface, pair) = if number == 0 {
                ("eth0".to_owned(), vec![lab.host("a").port(), lab.host("b").port()])
            } else {
                let segment = lab.add_segment(u8::try_from(number)?, &["a", "b"])?;
                (segment.interface, segment.ports)
            };
            segments.push((interface, here));
            ports.extend(pair.into_iter().map(|ifindex| Port { ifindex, from: true, to: false }));
        }
        Ok(Self { lab, setting, segments, ports, binary: binary.to_owned(), extra: Vec::new() })
    }

    /// The same with one more key of each of our instances: `with("skew: none")` needs peers, which are added.
    pub(crate) fn with(mut self, line: &str) -> Self {
        self.extra.push(line.to_owned());
        self
    }

    pub(crate) fn host(&self, name: &str) -> &Host {
        self.lab.host(name)
    }

    /// What `a` and `b` send; with `received`, what reaches them as well.
    pub(crate) fn observe(&self, received: bool) -> Result<Observer> {
        let ports: Vec<Port> = self.ports.iter().map(|port| Port { to: received, ..*port }).collect();
        Observer::start(self.lab.bridge(), &ports)
    }

    /// Starts one half of the pair.
    pub(crate) fn start(&self, contender: Contender, host: &'static str) -> Result<Router> {
        let half = usize::from(host == "b");
        let (on, priority) = (self.lab.host(host), PRIORITIES[half]);
        let program = match contender {
            Contender::Ours => {
                let config = on.file("vrrp.yaml");
                fs::write(&config, self.our_file(host, Last::AsIs))
                    .with_context(|| format!("write {}", config.display()))?;
                Program::Ours(Daemon::start_with_file(on, &self.binary, &config)?)
            }
            Contender::Keepalived | Contender::Tuned => {
                let config = on.file("keepalived.conf");
                let peers = self.theirs(priority, Last::AsIs);
                fs::write(&config, vrrp_lab::peers::configuration(tuning(contender), &peers))
                    .with_context(|| format!("write {}", config.display()))?;
                Program::Keepalived(Keepalived::start_talking(on, Talk::Usual, &config)?)
            }
        };
        Ok(Router { program, host, contender, orphans: Vec::new() })
    }

    /// Has a running router read its file again, in which the last virtual router holds another address instead of its
    /// own. Which one.
    pub(crate) fn reload(&self, router: &mut Router) -> Result<Ipv4Addr> {
        let (config, text) = match &router.program {
            Program::Ours(daemon) => (daemon.config().to_owned(), self.our_file(router.host, Last::Moved)),
            Program::Keepalived(keepalived) => {
                let priority = PRIORITIES[usize::from(router.host == "b")];
                let peers = self.theirs(priority, Last::Moved);
                (
                    keepalived.config().to_owned(),
                    vrrp_lab::peers::configuration(tuning(router.contender), &peers),
                )
            }
        };
        fs::write(&config, text).with_context(|| format!("write {}", config.display()))?;
        router.process_mut().signal(Signal::HUP);
        let (segment, vrid) = (self.segments.len() - 1, self.segments[self.segments.len() - 1].1);
        Ok(Ipv4Addr::new(10, 99 + u8::try_from(segment)?, MOVED, vrid))
    }

    fn our_file(&self, host: &str, last: Last) -> String {
        let priority = PRIORITIES[usize::from(host == "b")];
        let text = vrrp_lab::daemon::yaml(&format!("bench-{host}"), &self.ours(host, priority, last));
        let mut text = vrrp_lab::daemon::with_control(self.lab.host(host), &text);
        if self.setting.instances >= DENSE {
            text.push_str("consume: true\n");
        }
        text
    }

    fn ours(&self, host: &str, priority: u8, last: Last) -> Vec<Instance> {
        let other = self.lab.host(if host == "a" { "b" } else { "a" }).address();
        self.each(last, |interface, vrid, vip| {
            let mut extra = self.extra.clone();
            if extra.iter().any(|line| line.starts_with("skew")) {
                extra.push(format!("peers: [{}]", peer_on(interface, other)));
            }
            Instance {
                name: format!("{interface}_{vrid}"),
                interface: interface.to_owned(),
                vrid,
                priority,
                version: self.setting.version,
                advert_interval: format!("{}ms", self.setting.advert_ms),
                preempt: false,
                password: (self.setting.version == 2).then(|| "1111".to_owned()),
                virtual_addresses: vec![vip],
                extra,
            }
        })
    }

    fn theirs(&self, priority: u8, last: Last) -> Vec<Peer> {
        self.each(last, |interface, vrid, vip| Peer {
            name: format!("{interface}_{vrid}"),
            interface: interface.to_owned(),
            vrid,
            priority,
            version: self.setting.version,
            advert_ms: self.setting.advert_ms,
            nopreempt: true,
            password: (self.setting.version == 2).then(|| "1111".to_owned()),
            virtual_addresses: vec![vip],
            extra: Vec::new(),
        })
    }

    fn each<T>(&self, last: Last, one: impl Fn(&str, u8, String) -> T) -> Vec<T> {
        let mut all = Vec::with_capacity(self.setting.instances);
        for (number, (interface, count)) in self.segments.iter().enumerate() {
            for vrid in 1..=*count {
                let moves = last == Last::Moved && all.len() + 1 == self.setting.instances;
                let third = if moves { MOVED } else { 1 };
                all.push(one(interface, vrid, format!("10.{}.{third}.{vrid}/32", 99 + number)));
            }
        }
        all
    }

    /// Which virtual router a sighting is about; `None` for one that is not ours.
    pub(crate) fn router_of(&self, sighting: &Sighting) -> Option<usize> {
        let segment = usize::from(sighting.port) / 2;
        let vrid = match sighting.kind {
            Kind::Advert { virtual_router_id, .. } => virtual_router_id,
            Kind::Announcement { address } => {
                let [ten, network, one, vrid] = address.octets();
                if (ten, one) != (10, 1) || usize::from(network) != 99 + segment {
                    return None;
                }
                vrid
            }
        };
        let known = segment < self.segments.len() && vrid >= 1 && vrid <= self.segments[segment].1;
        known.then(|| segment * PER_SEGMENT + usize::from(vrid) - 1)
    }

    /// Starts `a`, waits until it announced every address, then `b`, and waits until that one has listened. How long `a`
    /// took, in milliseconds.
    pub(crate) fn settle(&self, contender: Contender, observer: &Observer) -> Result<(Router, Router, f64)> {
        let started = clock::now_ns();
        let mut a = self.start(contender, "a")?;
        let limit = self.setting.down_interval(PRIORITIES[0]) * 2 + Duration::from_secs(15);
        let mut announced = HashSet::new();
        let (mut next, mut last) = (0, started);
        let complete = clock::wait_until(limit, || {
            next += observer.look(next, |fresh| {
                for sighting in fresh {
                    if let Kind::Announcement { .. } = sighting.kind
                        && is_from(sighting, 0)
                        && let Some(router) = self.router_of(sighting)
                        && announced.insert(router)
                    {
                        last = sighting.time_ns;
                    }
                }
                fresh.len()
            });
            announced.len() == self.setting.instances
        });
        if !complete {
            bail!(
                "{} announced {} of {} addresses in {limit:?}:\n{}",
                contender.name(),
                announced.len(),
                self.setting.instances,
                tail(&a.process().log())
            );
        }
        let mut b = self.start(contender, "b")?;
        // Loading, attaching, listening; and thousands of instances take a moment to read.
        let many = Duration::from_millis(self.setting.instances as u64 / 2);
        std::thread::sleep(self.setting.interval() * 2 + Duration::from_millis(700) + many);
        for router in [&mut a, &mut b] {
            if !router.process_mut().is_running() {
                bail!("{} ended: {}", router.process().name(), tail(&router.process().log()));
            }
        }
        Ok((a, b, super::stats::milliseconds(started, last)))
    }
}

/// The third number of the address that a reload brings.
const MOVED: u8 = 2;

/// The last virtual router's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Last {
    AsIs,
    Moved,
}

const fn tuning(contender: Contender) -> &'static [&'static str] {
    match contender {
        Contender::Ours | Contender::Keepalived => &[],
        Contender::Tuned => TUNING,
    }
}

/// Real-time scheduling, nothing swapped out, roomy sockets, one burst of announcements.
const TUNING: &[&str] = &[
    "vrrp_rt_priority 50",
    "vrrp_no_swap",
    "vrrp_rlimit_rttime 1000000",
    "vrrp_rx_bufs_policy 1048576",
    "vrrp_rx_bufs_multiplier 3",
];

/// The other host's address on an interface: on `eth<n>` it is 10.(99 + n).0.x.
fn peer_on(interface: &str, other: Ipv4Addr) -> Ipv4Addr {
    let number: u8 = interface.trim_start_matches("eth").parse().unwrap_or(0);
    let [_, _, _, last] = other.octets();
    Ipv4Addr::new(10, 99 + number, 0, last)
}

/// Whether a frame came from `a` (0) or `b` (1).
pub(crate) const fn is_from(sighting: &Sighting, half: u16) -> bool {
    !sighting.outgoing && sighting.port % 2 == half
}

/// Whether a frame was handed to `a` (0) or `b` (1).
pub(crate) const fn is_to(sighting: &Sighting, half: u16) -> bool {
    sighting.outgoing && sighting.port % 2 == half
}

/// The last lines of a log.
pub(crate) fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines.get(lines.len().saturating_sub(8)..).unwrap_or_default().join("\n")
}

/// One half of a pair.
#[derive(Debug)]
pub(crate) struct Router {
    program: Program,
    host: &'static str,
    contender: Contender,
    /// What a killed keepalived may have left running.
    orphans: Vec<u32>,
}

#[derive(Debug)]
enum Program {
    Ours(Daemon),
    Keepalived(Keepalived),
}

impl Router {
    pub(crate) fn process(&self) -> &Process {
        match &self.program {
            Program::Ours(daemon) => daemon,
            Program::Keepalived(keepalived) => keepalived,
        }
    }

    pub(crate) fn process_mut(&mut self) -> &mut Process {
        match &mut self.program {
            Program::Ours(daemon) => daemon,
            Program::Keepalived(keepalived) => keepalived,
        }
    }

    /// `kill -9` of the daemon, as an operator does it with the pid of its pid file, or the kernel's OOM killer: our guard
    /// lives on, and so does keepalived's child, as long as it wants to.
    /// With its processes, which it takes time to look up.
    pub(crate) fn kill(&mut self, tree: Vec<u32>) {
        self.process_mut().kill();
        if let Program::Keepalived(_) = &self.program {
            self.orphans = tree;
        }
    }

    /// Starts it again on its host after it ended.
    pub(crate) fn restart(&mut self, scene: &Scene) -> Result<()> {
        let host = scene.lab.host(self.host);
        for pid in self.orphans.drain(..) {
            // Most are gone, and the number may be another's by now.
            if process_name(pid).as_deref() == Some("keepalived") {
                end(pid);
            }
        }
        match &mut self.program {
            Program::Ours(daemon) => daemon.restart(host),
            Program::Keepalived(keepalived) => keepalived.restart(host),
        }
    }

    /// What our daemon counts, and an error if it does not say; None for keepalived, which has no such numbers.
    pub(crate) fn metrics(&self, scene: &Scene) -> Result<Option<Metrics>> {
        match &self.program {
            Program::Ours(_) => Metrics::read(&vrrp_lab::daemon::socket(scene.host(self.host))).map(Some),
            Program::Keepalived(_) => Ok(None),
        }
    }

    /// What it has used so far.
    pub(crate) fn usage(&self) -> Usage {
        Usage::of(self.process().tree())
    }

    /// The same at the end of a window that began with `before`; an error if it, or one of its helpers, has ended since: the
    /// dead use nothing, send nothing, and would look best of all.
    pub(crate) fn usage_since(&mut self, before: &Usage) -> Result<Usage> {
        let after = self.usage();
        let (name, ending) = (self.process().name().to_owned(), self.process_mut().ending());
        let (ended, log) = (after.ended(before), || tail(&self.process().log()));
        if let Some(ending) = ending {
            bail!("{name} ended while it was measured ({ending}):\n{}", log());
        }
        ensure!(ended.is_empty(), "of {name} processes {ended:?} ended while it was measured:\n{}", log());
        Ok(after)
    }
}

fn end(pid: u32) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        // It may have ended this very moment.
        kill_process(pid, Signal::KILL).unwrap_or_default();
    }
}
