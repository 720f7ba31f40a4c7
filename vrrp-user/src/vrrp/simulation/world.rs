//! The segment, time, and everything that can go wrong. Refuses to know what ought to happen (`judge`).

use core::cmp::{Ordering, Reverse};
use core::net::Ipv4Addr;
use core::time::Duration;
use std::collections::BinaryHeap;

use super::host::Host;
use super::judge::Judge;
use super::rng::Rng;
use crate::vrrp::action::Action;
use crate::vrrp::interval::down_interval;
use crate::vrrp::state::{Fault as FaultState, State};
use crate::vrrp::{Advert, Config, Event, Instant, RELEASE};

pub(super) const START: Instant = Instant::from_nanos(1_000_000_000_000);

/// What a healthy host and segment may take; the judge's bounds are made of these.
pub(super) const LEAST: Duration = Duration::from_micros(50);
pub(super) const NETWORK: Duration = Duration::from_millis(1);
pub(super) const WAKE: Duration = Duration::from_micros(300);
pub(super) const EXECUTOR: Duration = Duration::from_millis(3);
/// After the death of the daemon.
const GUARD: Duration = Duration::from_millis(20);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    Freeze(usize),
    Starve(usize),
    Unplug(usize),
    /// One way.
    Cut {
        from: usize,
        to: usize,
    },
    /// Of the whole segment, in percent.
    Loss(u8),
    /// Of the whole segment, up to so much for each packet: they overtake each other.
    Delay(Duration),
    FillRing(usize),
    SlowExecutor(usize),
    Refuse(usize),
    /// An orderly stop; a start at the end.
    Stop(usize),
    Kill(usize),
    /// Told to stay out; to take part again at the end.
    Suspend(usize),
}

#[derive(Clone, Copy, Debug)]
enum Happening {
    Begin(Fault),
    End(Fault),
    Arrive {
        to: usize,
        advert: Advert,
    },
    Run(usize),
    OrderDone(usize),
    /// The guard looks at a heartbeat that was fresh at this time.
    Guard {
        host: usize,
        heartbeat: Instant,
    },
    /// The guard after the death of the daemon.
    LastRites(usize),
}

#[derive(Debug)]
struct Planned {
    at: Instant,
    /// What was planned first happens first.
    number: u64,
    what: Happening,
}

impl PartialEq for Planned {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Planned {}

impl PartialOrd for Planned {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Planned {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

#[derive(Debug)]
pub(super) struct World {
    pub(super) now: Instant,
    pub(super) hosts: Vec<Host>,
    pub(super) judge: Judge,
    /// Faults in force.
    pub(super) faults: Vec<Fault>,
    /// When the last after-effect of a fault ends: a packet still under way, an order that still hangs.
    pub(super) clean_from: Instant,
    pub(super) guarded: bool,
    plan: BinaryHeap<Reverse<Planned>>,
    planned: u64,
    rng: Rng,
}

impl World {
    pub(super) fn new(seed: u64, rng: Rng, configs: &[Config], guarded: bool, trace: bool) -> Self {
        let now = START;
        let address = |number: usize| Ipv4Addr::new(192, 0, 2, 10 + u8::try_from(number).unwrap());
        let hosts: Vec<_> = configs
            .iter()
            .enumerate()
            .map(|(number, config)| Host::new(address(number), *config, now))
            .collect();
        let mut world = Self {
            now,
            judge: Judge::new(seed, configs, now, trace),
            hosts,
            faults: Vec::new(),
            clean_from: now,
            guarded,
            plan: BinaryHeap::new(),
            planned: 0,
            rng,
        };
        for host in 0..world.hosts.len() {
            world.hosts[host].start();
            world.wake(host);
        }
        world
    }

    fn plan(&mut self, at: Instant, what: Happening) {
        self.planned += 1;
        self.plan.push(Reverse(Planned { at, number: self.planned, what }));
    }

    pub(super) fn plan_fault(&mut self, fault: Fault, from: Instant, span: Duration) {
        self.plan(from, Happening::Begin(fault));
        self.plan(from + span, Happening::End(fault));
    }

    pub(super) fn run_until(&mut self, end: Instant) {
        while let Some(Reverse(next)) = self.plan.peek()
            && next.at <= end
        {
            let Some(Reverse(planned)) = self.plan.pop() else {
                return;
            };
            self.now = planned.at;
            // What may not last is judged at its end as well as at its beginning.
            self.judge.look(self.now, &self.hosts, self.disturbed());
            self.happen(planned.what);
            self.judge.look(self.now, &self.hosts, self.disturbed());
        }
        self.now = end;
    }

    pub(super) fn run_for(&mut self, span: Duration) {
        self.run_until(self.now + span);
    }

    pub(super) fn disturbed(&self) -> bool {
        !self.faults.is_empty() || self.now < self.clean_from
    }

    fn happen(&mut self, what: Happening) {
        match what {
            Happening::Begin(fault) => self.begin(fault),
            Happening::End(fault) => self.end(fault),
            Happening::Arrive { to, advert } => self.arrive(to, advert),
            Happening::Run(host) => self.run(host),
            Happening::OrderDone(host) => self.order_done(host),
            Happening::Guard { host, heartbeat } => self.guard(host, heartbeat),
            Happening::LastRites(host) => self.fence(host),
        }
    }

    pub(super) fn begin(&mut self, fault: Fault) {
        self.judge.note(self.now, || format!("begin {fault:?}"));
        self.faults.push(fault);
        match fault {
            Fault::Freeze(host) => self.hosts[host].troubles.frozen += 1,
            Fault::Starve(host) => self.hosts[host].troubles.starved += 1,
            Fault::Unplug(host) => {
                self.hosts[host].troubles.no_carrier += 1;
                self.tell(host, Event::LinkDown);
            }
            Fault::FillRing(host) => self.hosts[host].troubles.ring_full += 1,
            Fault::SlowExecutor(host) => self.hosts[host].troubles.slow_executor += 1,
            Fault::Refuse(host) => self.hosts[host].troubles.refusing += 1,
            Fault::Stop(host) => self.tell(host, Event::Shutdown),
            Fault::Suspend(host) => {
                self.hosts[host].troubles.suspended += 1;
                self.tell(host, Event::Suspend);
            }
            Fault::Kill(host) => {
                self.hosts[host].troubles.dead += 1;
                self.plan(self.now + GUARD, Happening::LastRites(host));
            }
            Fault::Cut { .. } | Fault::Loss(_) | Fault::Delay(_) => {}
        }
        if let Fault::Freeze(host) | Fault::Starve(host) = fault
            && self.guarded
        {
            let heartbeat = self.hosts[host].last_run;
            let config = self.hosts[host].config;
            let interval = config.advert_interval;
            let fatal = down_interval(config.priority, interval) - interval.duration();
            self.plan((heartbeat + fatal).max(self.now), Happening::Guard { host, heartbeat });
        }
    }

    pub(super) fn end(&mut self, fault: Fault) {
        // A router that is still on its way out is started again once it is out.
        if let Fault::Stop(host) = fault
            && self.hosts[host].is_stopping()
        {
            return self.plan(self.now + Duration::from_millis(10), Happening::End(fault));
        }
        self.judge.note(self.now, || format!("end {fault:?}"));
        let position = self.faults.iter().position(|other| *other == fault).unwrap();
        self.faults.swap_remove(position);
        self.clean_from = self.clean_from.max(self.now);
        match fault {
            Fault::Freeze(host) => self.hosts[host].troubles.frozen -= 1,
            Fault::Starve(host) => self.hosts[host].troubles.starved -= 1,
            Fault::Unplug(host) => {
                self.hosts[host].troubles.no_carrier -= 1;
                if self.hosts[host].has_carrier() {
                    self.tell(host, Event::LinkUp);
                }
            }
            Fault::FillRing(host) => self.hosts[host].troubles.ring_full -= 1,
            Fault::SlowExecutor(host) => self.hosts[host].troubles.slow_executor -= 1,
            Fault::Refuse(host) => self.hosts[host].troubles.refusing -= 1,
            Fault::Stop(host) => self.tell(host, Event::Startup),
            Fault::Suspend(host) => {
                self.hosts[host].troubles.suspended -= 1;
                if self.hosts[host].troubles.suspended == 0 {
                    self.tell(host, Event::Resume);
                }
            }
            Fault::Kill(host) => {
                self.hosts[host].troubles.dead -= 1;
                if self.hosts[host].is_alive() {
                    self.judge.reborn(host, self.now);
                    self.hosts[host].restart(self.now);
                }
            }
            Fault::Cut { .. } | Fault::Loss(_) | Fault::Delay(_) => {}
        }
        if let Fault::Freeze(host) | Fault::Starve(host) | Fault::Kill(host) = fault {
            self.wake(host);
            self.next_order(host);
        }
    }

    fn tell(&mut self, host: usize, event: Event) {
        if self.hosts[host].is_alive() {
            self.hosts[host].inbox.push_back(event);
            self.wake(host);
        }
    }

    fn wake(&mut self, host: usize) {
        let latency = self.rng.span(Duration::ZERO, WAKE);
        self.run_at(host, self.now + latency);
    }

    fn run_at(&mut self, host: usize, at: Instant) {
        let host_state = &mut self.hosts[host];
        if host_state.next_run.is_none_or(|planned| at < planned) {
            host_state.next_run = Some(at);
            self.plan(at, Happening::Run(host));
        }
    }

    fn run(&mut self, host: usize) {
        // Another one was planned for an earlier time, and has run.
        if self.hosts[host].next_run != Some(self.now) {
            return;
        }
        self.hosts[host].next_run = None;
        if !self.hosts[host].can_run() {
            return;
        }
        let before = self.hosts[host].master();
        self.hosts[host].run(self.now);
        self.judge.acted(self.now, host, &self.hosts[host], before);
        for position in 0..self.hosts[host].actions.as_slice().len() {
            match self.hosts[host].actions.as_slice()[position].action {
                Action::SendAdvert { priority } => self.multicast(host, priority.get()),
                Action::SendRelease => self.multicast(host, RELEASE),
                Action::TakeVips(_)
                | Action::AnnounceVips
                | Action::DropVips(_)
                | Action::SetMinimumPriority(_)
                | Action::WakeAlways(_)
                | Action::Transition { .. } => {}
            }
        }
        self.next_order(host);
        if let Some(deadline) = self.hosts[host].engine.next_deadline() {
            let latency = self.rng.span(Duration::ZERO, WAKE);
            self.run_at(host, deadline.max(self.now) + latency);
        }
    }

    fn multicast(&mut self, from: usize, priority: u8) {
        if !self.hosts[from].has_carrier() {
            return;
        }
        let sender = self.hosts[from].address;
        let advert_interval = self.hosts[from].config.advert_interval;
        for to in (0..self.hosts.len()).filter(|to| *to != from) {
            let (mut lost, mut most) = (false, NETWORK);
            for fault in self.faults.iter().copied() {
                if let Fault::Loss(percent) = fault {
                    lost |= self.rng.percent(u64::from(percent));
                }
                if let Fault::Delay(delay) = fault {
                    most = most.max(delay);
                }
                lost |= fault == Fault::Cut { from, to };
            }
            if lost {
                continue;
            }
            let arrived = self.now + self.rng.span(LEAST, most);
            if most > NETWORK {
                self.clean_from = self.clean_from.max(arrived);
            }
            let advert = Advert { arrived, sender, priority, advert_interval };
            self.plan(arrived, Happening::Arrive { to, advert });
        }
    }

    fn arrive(&mut self, to: usize, advert: Advert) {
        if !self.hosts[to].has_carrier() || !self.hosts[to].is_alive() {
            return;
        }
        let lost = self.hosts[to].troubles.ring_full > 0;
        self.judge.arrived(to, advert, lost);
        if self.hosts[to].arrive(advert) {
            self.wake(to);
        }
    }

    /// The executor goes on to its next order, if it has one and is not at it already.
    fn next_order(&mut self, host: usize) {
        if self.hosts[host].busy || self.hosts[host].orders.is_empty() {
            return;
        }
        self.hosts[host].busy = true;
        let slow = self.hosts[host].troubles.slow_executor > 0;
        let most = if slow { Duration::from_millis(1500) } else { EXECUTOR };
        let done = self.now + self.rng.span(LEAST, most);
        if slow {
            self.clean_from = self.clean_from.max(done);
        }
        self.plan(done, Happening::OrderDone(host));
    }

    fn order_done(&mut self, host: usize) {
        if !self.hosts[host].busy {
            return;
        }
        if !self.hosts[host].executor_can_run() {
            // Frozen in the middle of it: does it again.
            self.hosts[host].busy = false;
            return;
        }
        self.hosts[host].carry_out();
        self.wake(host);
        self.next_order(host);
    }

    fn guard(&mut self, host: usize, heartbeat: Instant) {
        let stalled = !self.hosts[host].can_run() && self.hosts[host].last_run == heartbeat;
        if stalled && self.hosts[host].is_alive() && self.hosts[host].holds {
            self.fence(host);
            // First in the inbox: a thawed daemon looks at the fence before anything else.
            self.hosts[host].inbox.push_front(Event::Fenced);
        }
    }

    fn fence(&mut self, host: usize) {
        if self.hosts[host].holds {
            self.judge.note(self.now, || format!("guard fences {host}"));
            self.hosts[host].holds = false;
            self.multicast(host, RELEASE);
        }
    }

    /// After the last fault: exactly one holder, and the right one, within the bound; unless a promotion was refused, for
    /// then the hold-down comes first.
    pub(super) fn must_converge(&mut self) {
        assert!(self.faults.is_empty());
        let refused_until = |host: &Host| {
            if let State::Fault(FaultState::Refused { until }) = host.state() { Some(*until) } else { None }
        };
        let mut from = self.now.max(self.clean_from);
        self.run_until(from + EXECUTOR * 4 + WAKE * 4 + super::super::router::RELEASE_DEADLINE);
        if let Some(until) = self.hosts.iter().filter_map(refused_until).max() {
            from = from.max(until);
        }
        self.run_until(from + self.judge.convergence());
        self.judge.converged(self.now, &self.hosts);
    }

    /// And then nothing happens any more.
    pub(super) fn must_stay(&mut self) {
        self.judge.at_peace();
        self.run_for(self.judge.longest_interval() * 5);
        self.judge.converged(self.now, &self.hosts);
    }
}
