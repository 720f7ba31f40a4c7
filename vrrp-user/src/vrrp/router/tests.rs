//! A bench for one virtual router, and the tests on it by subject.

use super::*;
use crate::vrrp::RELEASE;
use crate::vrrp::action::{Actions, RouterIndex};
use crate::vrrp::state::{Refusal, Then};

mod changes;
mod late;
mod ownership;
mod properties;
mod rfc;
mod rules;

const VIP_DEADLINE: Duration = Duration::from_secs(1);
const US: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 10);
const SMALLER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 9);
const PEER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 20);
const STRANGER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 30);

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn ns(nanos: u64) -> Duration {
    Duration::from_nanos(nanos)
}

fn priority(priority: u8) -> NonZeroU8 {
    NonZeroU8::new(priority).unwrap()
}

fn v2(seconds: u16) -> AdvertInterval {
    AdvertInterval::from_wire(Version::V2, seconds).unwrap()
}

fn v3(centiseconds: u16) -> AdvertInterval {
    AdvertInterval::from_wire(Version::V3, centiseconds).unwrap()
}

/// Version 3, 1 s, priority 100, preempting: skew 609.375 ms, down interval 3609.375 ms.
fn config() -> Config {
    Config {
        priority: priority(100),
        advert_interval: v3(100),
        preempt: true,
        skew: Skew::Rfc,
        startup_delay: Duration::ZERO,
        vip_deadline: VIP_DEADLINE,
        release_deadline: RELEASE_DEADLINE,
    }
}

const SKEW: Duration = Duration::from_nanos(609_375_000);
const DOWN: Duration = Duration::from_nanos(3_609_375_000);

struct Bench {
    router: VirtualRouter,
    actions: Actions,
    start: Instant,
    now: Instant,
}

impl Bench {
    /// In INITIALIZE, nothing known of the interface.
    fn new(config: Config) -> Self {
        let start = Instant::from_nanos(1_000_000_000_000);
        Self {
            router: VirtualRouter::new(config, Turn::default()),
            actions: Actions::default(),
            start,
            now: start,
        }
    }

    /// Started on an interface that works.
    fn started(config: Config) -> Self {
        let mut bench = Self::new(config);
        bench.give(Event::LinkUp);
        bench.give(Event::PrimaryAddress(Some(US)));
        bench.give(Event::Startup);
        bench
    }

    /// MASTER, holding.
    fn holding(config: Config) -> Self {
        let mut bench = Self::promoting(config);
        bench.give(Event::VipsHeld(bench.job()));
        assert_eq!(bench.phase(), Phase::Holding);
        bench
    }

    /// MASTER, the addresses ordered.
    fn promoting(config: Config) -> Self {
        let mut bench = Self::started(config);
        if bench.router.label() == Label::Backup {
            bench.run_to_deadline(None);
        }
        assert!(matches!(bench.phase(), Phase::Promoting { .. }));
        bench
    }

    fn give(&mut self, event: Event) -> Vec<Action> {
        self.actions.clear();
        self.router.handle(event, self.now, &mut self.actions.of(RouterIndex(0)));
        self.actions.as_slice().iter().map(|entry| entry.action).collect()
    }

    fn pass(&mut self, span: Duration) {
        self.now = self.now + span;
    }

    fn deadline(&self) -> Instant {
        self.router.deadline().unwrap()
    }

    /// How long until the next deadline.
    fn wait(&self) -> Duration {
        self.deadline().since(self.now)
    }

    fn run_to_deadline(&mut self, heard: Option<Advert>) -> Vec<Action> {
        self.now = self.now.max(self.deadline());
        self.give(Event::Deadline { heard })
    }

    /// Advertises on time for as long as `span`.
    fn stay_master(&mut self, span: Duration) {
        let end = self.now + span;
        while self.deadline() <= end {
            self.run_to_deadline(None);
        }
        self.now = end;
    }

    /// The advert that arrives now.
    fn advert(&self, sender: Ipv4Addr, priority: u8) -> Advert {
        Advert { arrived: self.now, sender, priority, advert_interval: self.router.config.advert_interval }
    }

    fn hear(&mut self, sender: Ipv4Addr, priority: u8) -> Vec<Action> {
        let advert = self.advert(sender, priority);
        self.give(Event::Advert(advert))
    }

    fn job(&self) -> Job {
        self.router.job
    }

    fn phase(&self) -> Phase {
        let State::Master(master) = self.router.state else {
            panic!("not master: {:?}", self.router);
        };
        master.phase
    }

    fn backup(&self) -> Backup {
        let State::Backup(backup) = self.router.state else {
            panic!("not backup: {:?}", self.router);
        };
        backup
    }
}

/// Changes of state, and remarks (`from == to`), with their reasons.
fn told(actions: &[Action]) -> impl DoubleEndedIterator<Item = (Label, Label, Why)> {
    actions.iter().filter_map(|action| {
        if let Action::Transition { from, to, why } = action { Some((*from, *to, *why)) } else { None }
    })
}

fn transitions(actions: &[Action]) -> Vec<(Label, Label)> {
    told(actions).map(|(from, to, _)| (from, to)).collect()
}

fn reason(actions: &[Action]) -> Why {
    told(actions).next_back().unwrap().2
}

/// What others can see: adverts and addresses.
fn effects(actions: &[Action]) -> Vec<Action> {
    let visible = |action: &&Action| {
        !matches!(action, Action::Transition { .. } | Action::SetMinimumPriority(_) | Action::WakeAlways(_))
    };
    actions.iter().filter(visible).copied().collect()
}

fn send(number: u8) -> Action {
    Action::SendAdvert { priority: priority(number) }
}
