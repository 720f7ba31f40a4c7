//! Faults that have a name, each with its promise in numbers.

use core::net::Ipv4Addr;
use core::num::NonZeroU8;
use core::time::Duration;

use super::rng::Rng;
use super::world::{EXECUTOR, Fault, NETWORK, WAKE, World};
use crate::vrrp::interval::{down_interval, skew_time};
use crate::vrrp::router::RELEASE_DEADLINE;
use crate::vrrp::{Config, Instant, Label, Skew};
use crate::wire::{AdvertInterval, Version};

const STRONG: usize = 0;
const WEAK: usize = 1;

/// The usual pair: priorities 150 and 100; the strong one is master.
struct Pair {
    world: World,
    interval: Duration,
    from: Instant,
    elections: u32,
}

/// What happens within a host or between two, besides the protocol's own waits.
fn slack() -> Duration {
    (NETWORK + WAKE * 2 + EXECUTOR) * 2
}

const INTERVALS: [(Version, u16); 4] =
    [(Version::V3, 1), (Version::V3, 10), (Version::V3, 100), (Version::V2, 1)];

#[derive(Clone, Copy)]
struct Setup {
    preempt: bool,
    no_skew: bool,
    guarded: bool,
}

const PLAIN: Setup = Setup { preempt: false, no_skew: false, guarded: true };

impl Pair {
    fn new(seed: u64, (version, count): (Version, u16), setup: Setup) -> Self {
        let config = |priority, peer| Config {
            priority: NonZeroU8::new(priority).unwrap(),
            advert_interval: AdvertInterval::from_wire(version, count).unwrap(),
            preempt: setup.preempt,
            skew: if setup.no_skew { Skew::None { peer: Ipv4Addr::new(192, 0, 2, peer) } } else { Skew::Rfc },
            startup_delay: Duration::ZERO,
            vip_deadline: Duration::from_secs(1),
            release_deadline: RELEASE_DEADLINE,
        };
        let configs = [config(150, 11), config(100, 10)];
        let interval = configs[0].advert_interval.duration();
        let mut world = World::new(seed, Rng::new(seed), &configs, setup.guarded, false);
        world.judge.remembers = true;
        // Somewhere between two adverts.
        world.run_for(interval * 6 + Duration::from_micros(seed * 137));
        assert_eq!(labels(&world), [Label::Master, Label::Backup]);
        let from = world.now;
        let elections = world.judge.elections;
        Self { world, interval, from, elections }
    }

    fn down(&self, host: usize) -> Duration {
        let config = self.world.hosts[host].config;
        down_interval(config.priority, config.advert_interval)
    }

    fn skew(&self, host: usize) -> Duration {
        let config = self.world.hosts[host].config;
        skew_time(config.priority, config.advert_interval)
    }

    /// The time from `from` on in which so many held.
    fn time_with(&self, holders: usize) -> Duration {
        let history = &self.world.judge.history;
        let ends = history.iter().skip(1).map(|(at, _)| *at).chain([self.world.now]);
        history
            .iter()
            .zip(ends)
            .filter(|((_, who), _)| who.iter().filter(|holds| **holds).count() == holders)
            .map(|((at, _), end)| end.since((*at).max(self.from)))
            .sum()
    }

    fn takeovers(&self) -> u32 {
        self.world.judge.elections - self.elections
    }
}

fn labels(world: &World) -> Vec<Label> {
    world.hosts.iter().map(|host| host.engine.routers()[0].label()).collect()
}

fn for_each_pair(setup: Setup, mut scenario: impl FnMut(Pair)) {
    for interval in INTERVALS {
        for seed in 0..50 {
            scenario(Pair::new(seed, interval, setup));
        }
    }
}

#[test]
fn a_planned_stop_costs_the_skew_time_and_never_two_holders() {
    for_each_pair(PLAIN, |mut pair| {
        pair.world.begin(Fault::Stop(STRONG));
        pair.world.run_for(pair.interval * 5);
        assert_eq!(labels(&pair.world), [Label::Initialize, Label::Master]);
        assert!(pair.time_with(0) <= pair.skew(WEAK) + slack(), "{:?}", pair.time_with(0));
        assert_eq!(pair.time_with(2), Duration::ZERO);
    });
}

#[test]
fn with_skew_none_a_planned_stop_costs_milliseconds() {
    for_each_pair(Setup { no_skew: true, ..PLAIN }, |mut pair| {
        pair.world.begin(Fault::Stop(STRONG));
        pair.world.run_for(pair.interval * 5);
        assert_eq!(labels(&pair.world), [Label::Initialize, Label::Master]);
        assert!(pair.time_with(0) <= slack(), "{:?}", pair.time_with(0));
        assert_eq!(pair.time_with(2), Duration::ZERO);
    });
}

#[test]
fn a_killed_daemon_costs_the_guard_and_the_skew_time() {
    for_each_pair(PLAIN, |mut pair| {
        pair.world.begin(Fault::Kill(STRONG));
        pair.world.run_for(pair.interval * 5 + Duration::from_millis(50));
        assert!(pair.world.hosts[WEAK].holds);
        assert!(pair.time_with(0) <= pair.skew(WEAK) + slack());
        assert_eq!(pair.time_with(2), Duration::ZERO);
        // Back, and without preemption it leaves things as they are.
        pair.world.end(Fault::Kill(STRONG));
        pair.world.run_for(pair.interval * 10);
        assert_eq!(labels(&pair.world), [Label::Backup, Label::Master]);
        assert_eq!(pair.time_with(2), Duration::ZERO);
    });
}

#[test]
fn a_dead_host_costs_the_down_interval() {
    for_each_pair(PLAIN, |mut pair| {
        pair.world.begin(Fault::Unplug(STRONG));
        pair.world.run_for(pair.interval * 5);
        assert_eq!(labels(&pair.world), [Label::Fault, Label::Master]);
        assert!(pair.time_with(0) <= pair.down(WEAK) + slack());
        assert_eq!(pair.time_with(2), Duration::ZERO);
    });
}

#[test]
fn a_preempting_master_comes_back_with_an_overlap_of_milliseconds() {
    for_each_pair(Setup { preempt: true, ..PLAIN }, |mut pair| {
        pair.world.begin(Fault::Unplug(STRONG));
        pair.world.run_for(pair.interval * 5);
        pair.world.end(Fault::Unplug(STRONG));
        pair.world.run_for(pair.interval * 5);
        assert_eq!(labels(&pair.world), [Label::Master, Label::Backup]);
        assert!(pair.time_with(2) <= slack(), "{:?}", pair.time_with(2));
    });
}

#[test]
fn a_healed_cut_leaves_two_holders_for_less_than_one_interval() {
    for_each_pair(PLAIN, |mut pair| {
        let cuts = [Fault::Cut { from: STRONG, to: WEAK }, Fault::Cut { from: WEAK, to: STRONG }];
        cuts.into_iter().for_each(|cut| pair.world.begin(cut));
        pair.world.run_for(pair.interval * 10);
        assert_eq!(labels(&pair.world), [Label::Master, Label::Master], "each is alone in its world");
        cuts.into_iter().for_each(|cut| pair.world.end(cut));
        pair.from = pair.world.now;
        pair.world.run_for(pair.interval * 5);
        // RFC 9568 §6.4.3: the stronger one stays, preemption or not.
        assert_eq!(labels(&pair.world), [Label::Master, Label::Backup]);
        assert!(pair.time_with(2) <= pair.interval + slack(), "{:?}", pair.time_with(2));
    });
}

#[test]
fn a_stalled_backup_never_takes_over_from_a_living_master() {
    for_each_pair(PLAIN, |mut pair| {
        let (down, interval) = (pair.down(WEAK), pair.interval);
        for stall in [Fault::Freeze(WEAK), Fault::Starve(WEAK)] {
            for span in [down * 9 / 10, down * 3] {
                pair.world.begin(stall);
                pair.world.run_for(span);
                pair.world.end(stall);
                pair.world.run_for(interval * 5);
            }
        }
        // Its ring full on top of it: the slot knows.
        pair.world.begin(Fault::FillRing(WEAK));
        pair.world.run_for(down * 3);
        pair.world.end(Fault::FillRing(WEAK));
        assert_eq!(pair.takeovers(), 0);
        assert_eq!(labels(&pair.world), [Label::Master, Label::Backup]);
    });
}

#[test]
fn a_stalled_backup_takes_over_from_a_dead_master_within_two_intervals_once_it_runs() {
    for_each_pair(PLAIN, |mut pair| {
        pair.world.begin(Fault::Freeze(WEAK));
        pair.world.begin(Fault::Unplug(STRONG));
        pair.world.run_for(pair.down(WEAK) * 3);
        assert_eq!(pair.takeovers(), 0);
        pair.world.end(Fault::Freeze(WEAK));
        pair.world.run_for(pair.interval * 2);
        assert!(pair.world.hosts[WEAK].holds);
    });
}

#[test]
fn a_stopped_and_continued_master_does_not_take_back() {
    for_each_pair(PLAIN, |mut pair| {
        pair.world.begin(Fault::Freeze(STRONG));
        pair.world.run_for(pair.down(WEAK) * 3);
        assert!(pair.world.hosts[WEAK].holds);
        pair.world.end(Fault::Freeze(STRONG));
        pair.world.run_for(pair.interval * 20);
        assert_eq!(labels(&pair.world), [Label::Backup, Label::Master]);
        assert_eq!(pair.takeovers(), 1, "the weak one's, and no other");
        assert_eq!(pair.time_with(2), Duration::ZERO);
    });
}

#[test]
fn without_a_guard_a_continued_master_lets_go_before_it_speaks() {
    for_each_pair(Setup { guarded: false, ..PLAIN }, |mut pair| {
        pair.world.begin(Fault::Freeze(STRONG));
        pair.world.run_for(pair.down(WEAK) * 3);
        pair.world.end(Fault::Freeze(STRONG));
        pair.from = pair.world.now;
        pair.world.run_for(pair.interval * 20);
        assert_eq!(labels(&pair.world), [Label::Backup, Label::Master]);
        assert_eq!(pair.takeovers(), 1);
        assert!(pair.time_with(2) <= WAKE + EXECUTOR, "{:?}", pair.time_with(2));
    });
}

#[test]
fn a_lone_master_that_was_stalled_resumes_after_listening() {
    for_each_pair(Setup { guarded: false, ..PLAIN }, |mut pair| {
        pair.world.begin(Fault::Unplug(WEAK));
        pair.world.begin(Fault::Starve(STRONG));
        pair.world.run_for(pair.interval * 10);
        pair.world.end(Fault::Starve(STRONG));
        let resumes = pair.interval + slack();
        let sent = |pair: &Pair| pair.world.hosts[STRONG].master().unwrap().last_sent;
        let silent_from = sent(&pair);
        pair.world.run_for(pair.interval);
        assert_eq!(sent(&pair), silent_from, "listens first");
        pair.world.run_for(resumes - pair.interval);
        assert!(sent(&pair) > silent_from);
        assert_eq!(labels(&pair.world), [Label::Master, Label::Fault]);
        assert_eq!(pair.time_with(0), Duration::ZERO);
    });
}

#[test]
fn a_pair_that_slept_together_keeps_its_master() {
    for_each_pair(Setup { guarded: false, ..PLAIN }, |mut pair| {
        let sleepers = [Fault::Freeze(WEAK), Fault::Freeze(STRONG)];
        // Whoever wakes first.
        for order in [[0, 1], [1, 0]] {
            sleepers.into_iter().for_each(|fault| pair.world.begin(fault));
            pair.world.run_for(pair.down(WEAK) * 3);
            for sleeper in order {
                pair.world.end(sleepers[sleeper]);
                pair.world.run_for(pair.interval / 10);
            }
            pair.world.run_for(pair.interval * 5);
            assert_eq!(labels(&pair.world), [Label::Master, Label::Backup]);
        }
        assert_eq!(pair.takeovers(), 0);
    });
}

#[test]
fn a_refused_promotion_hands_over_to_who_can() {
    for_each_pair(PLAIN, |mut pair| {
        pair.world.begin(Fault::Refuse(WEAK));
        pair.world.begin(Fault::Stop(STRONG));
        pair.world.run_for(pair.interval * 5);
        assert_eq!(labels(&pair.world), [Label::Initialize, Label::Fault]);
        pair.world.end(Fault::Stop(STRONG));
        pair.world.run_for(pair.interval * 5);
        assert!(pair.world.hosts[STRONG].holds);
        assert_eq!(pair.time_with(2), Duration::ZERO);
    });
}

#[test]
fn a_master_told_to_stay_out_costs_the_skew_time_and_never_two_holders() {
    for_each_pair(PLAIN, |mut pair| {
        pair.world.begin(Fault::Suspend(STRONG));
        pair.world.run_for(pair.interval * 5);
        assert_eq!(labels(&pair.world), [Label::Fault, Label::Master]);
        assert!(pair.time_with(0) <= pair.skew(WEAK) + slack(), "{:?}", pair.time_with(0));
        // Back, and without preemption it leaves things as they are.
        pair.world.end(Fault::Suspend(STRONG));
        pair.world.run_for(pair.interval * 10);
        assert_eq!(labels(&pair.world), [Label::Backup, Label::Master]);
        assert_eq!(pair.takeovers(), 1);
        // And the other way round: the address comes back, with no preemption involved.
        pair.world.begin(Fault::Suspend(WEAK));
        pair.world.run_for(pair.interval * 5);
        assert_eq!(labels(&pair.world), [Label::Master, Label::Fault]);
        assert_eq!(pair.time_with(2), Duration::ZERO);
    });
}

#[test]
fn with_preemption_a_strong_router_takes_back_once_it_may_take_part_again() {
    for_each_pair(Setup { preempt: true, ..PLAIN }, |mut pair| {
        pair.world.begin(Fault::Suspend(STRONG));
        pair.world.run_for(pair.interval * 5);
        assert_eq!(labels(&pair.world), [Label::Fault, Label::Master]);
        pair.world.end(Fault::Suspend(STRONG));
        pair.world.run_for(pair.interval * 5);
        assert_eq!(labels(&pair.world), [Label::Master, Label::Backup]);
        assert!(pair.time_with(2) <= slack(), "{:?}", pair.time_with(2));
    });
}

#[test]
fn a_backup_told_to_stay_out_does_not_replace_a_dead_master() {
    for_each_pair(PLAIN, |mut pair| {
        pair.world.begin(Fault::Suspend(WEAK));
        pair.world.begin(Fault::Kill(STRONG));
        pair.world.run_for(pair.interval * 10);
        assert_eq!(pair.world.hosts[WEAK].engine.routers()[0].label(), Label::Fault);
        assert_eq!(pair.takeovers(), 0);
        pair.world.end(Fault::Suspend(WEAK));
        pair.world.run_for(pair.down(WEAK) + slack());
        assert!(pair.world.hosts[WEAK].holds);
    });
}
