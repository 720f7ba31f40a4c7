//! One host: the engine with what surrounds it. The kernel's slot and ring, the thread that drives, the executor.
//!
//! Refuses to know the segment and the other hosts (`world`).

use core::net::Ipv4Addr;
use std::collections::VecDeque;

use crate::vrrp::action::{Action, Actions, NOBODY, RouterIndex};
use crate::vrrp::state::{Master, Phase, State};
use crate::vrrp::{Advert, Config, Engine, Event, Instant, Job, RELEASE};

const ROUTER: RouterIndex = RouterIndex(0);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Take(Job),
    Drop(Job),
}

/// Each fault counts how often it is in force: two that overlap end with the later one.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Troubles {
    /// SIGSTOP: the whole process.
    pub(super) frozen: u32,
    /// Only the thread that drives the engine.
    pub(super) starved: u32,
    pub(super) no_carrier: u32,
    pub(super) ring_full: u32,
    pub(super) slow_executor: u32,
    pub(super) refusing: u32,
    pub(super) dead: u32,
    /// Told to stay out.
    pub(super) suspended: u32,
}

#[derive(Debug)]
pub(super) struct Host {
    pub(super) address: Ipv4Addr,
    pub(super) config: Config,
    pub(super) engine: Engine,
    pub(super) actions: Actions,
    pub(super) troubles: Troubles,

    // The kernel half.
    slot: Option<Advert>,
    minimum_priority: u16,
    wake_always: bool,
    announced: Option<(Ipv4Addr, u8, u16)>,
    ring: VecDeque<Advert>,

    // The thread.
    pub(super) inbox: VecDeque<Event>,
    pub(super) next_run: Option<Instant>,
    pub(super) last_run: Instant,

    // The executor, and what it has brought about.
    pub(super) orders: VecDeque<Order>,
    pub(super) busy: bool,
    pub(super) holds: bool,
}

impl Host {
    pub(super) fn new(address: Ipv4Addr, config: Config, now: Instant) -> Self {
        Self {
            address,
            config,
            engine: Engine::new([config].into_iter()),
            actions: Actions::for_routers(1),
            troubles: Troubles::default(),
            slot: None,
            minimum_priority: NOBODY,
            wake_always: false,
            announced: None,
            ring: VecDeque::new(),
            inbox: VecDeque::new(),
            next_run: None,
            last_run: now,
            orders: VecDeque::new(),
            busy: false,
            holds: false,
        }
    }

    /// A new process on the same machine.
    pub(super) fn restart(&mut self, now: Instant) {
        let Self { address, config, troubles, holds, next_run, .. } = *self;
        *self = Self { troubles, holds, next_run, ..Self::new(address, config, now) };
        self.start();
    }

    pub(super) fn start(&mut self) {
        let link = if self.has_carrier() { Event::LinkUp } else { Event::LinkDown };
        if self.troubles.suspended > 0 {
            self.inbox.push_back(Event::Suspend);
        }
        self.inbox.extend([link, Event::PrimaryAddress(Some(self.address)), Event::Startup]);
    }

    pub(super) fn has_carrier(&self) -> bool {
        self.troubles.no_carrier == 0
    }

    pub(super) fn is_alive(&self) -> bool {
        self.troubles.dead == 0
    }

    pub(super) fn can_run(&self) -> bool {
        self.is_alive() && self.troubles.frozen == 0 && self.troubles.starved == 0
    }

    pub(super) fn executor_can_run(&self) -> bool {
        self.is_alive() && self.troubles.frozen == 0
    }

    pub(super) fn state(&self) -> &State {
        self.engine.routers()[0].state()
    }

    pub(super) fn master(&self) -> Option<Master> {
        match self.state() {
            State::Master(master) => Some(*master),
            State::Initialize | State::Fault(_) | State::Backup(_) => None,
        }
    }

    /// Told to stop, or on its way out.
    pub(super) fn is_stopping(&self) -> bool {
        let releasing = |master: Master| matches!(master.phase, Phase::Releasing { .. });
        self.is_alive() && (self.inbox.contains(&Event::Shutdown) || self.master().is_some_and(releasing))
    }

    /// Nothing in its state contradicts being told to stay out.
    pub(super) fn may_be_suspended(&self) -> bool {
        match self.state() {
            State::Initialize | State::Fault(_) => true,
            State::Backup(_) => false,
            State::Master(master) => matches!(master.phase, Phase::Releasing { .. }),
        }
    }

    /// The kernel half at work, whatever the process does. True if the thread is to be woken.
    pub(super) fn arrive(&mut self, advert: Advert) -> bool {
        if advert.priority != RELEASE && u16::from(advert.priority) >= self.minimum_priority {
            self.slot = Some(advert);
        }
        if self.troubles.ring_full > 0 {
            return false;
        }
        self.ring.push_back(advert);
        let news = Some((advert.sender, advert.priority, advert.advert_interval.to_wire()));
        let changed = self.announced != news;
        self.announced = news;
        changed || self.wake_always
    }

    /// As the advert thread does it: the clock once, drain, then the deadlines.
    pub(super) fn run(&mut self, now: Instant) {
        self.last_run = now;
        self.actions.clear();
        while let Some(event) = self.inbox.pop_front() {
            self.engine.handle(ROUTER, event, now, &mut self.actions);
        }
        while let Some(advert) = self.ring.pop_front() {
            self.engine.handle(ROUTER, Event::Advert(advert), now, &mut self.actions);
        }
        let slot = self.slot;
        self.engine.due(now, |_| slot, &mut self.actions);
        for entry in self.actions.as_slice() {
            match entry.action {
                Action::TakeVips(job) => self.orders.push_back(Order::Take(job)),
                Action::DropVips(job) => self.orders.push_back(Order::Drop(job)),
                Action::SetMinimumPriority(priority) => self.minimum_priority = priority,
                Action::WakeAlways(always) => self.wake_always = always,
                // The world's and the judge's.
                Action::SendAdvert { .. }
                | Action::SendRelease
                | Action::AnnounceVips
                | Action::Transition { .. } => {}
            }
        }
    }

    /// The executor has finished its first order. An order that was overtaken is not carried out.
    pub(super) fn carry_out(&mut self) {
        self.busy = false;
        let Some(order) = self.orders.pop_front() else {
            return;
        };
        if !self.orders.is_empty() {
            return;
        }
        let result = match order {
            Order::Take(job) if self.troubles.refusing > 0 => Event::VipsRefused(job),
            Order::Take(job) => {
                self.holds = true;
                Event::VipsHeld(job)
            }
            Order::Drop(job) => {
                self.holds = false;
                Event::VipsReleased(job)
            }
        };
        self.inbox.push_back(result);
    }
}
