//! What goes wrong, when and for how long, by chance. Refuses to know the consequences.

use core::net::Ipv4Addr;
use core::num::NonZeroU8;
use core::time::Duration;

use super::rng::Rng;
use super::world::{Fault, World};
use crate::vrrp::router::RELEASE_DEADLINE;
use crate::vrrp::{Config, Skew};
use crate::wire::{AdvertInterval, Version};

#[derive(Debug)]
pub(super) struct Script {
    configs: Vec<Config>,
    guarded: bool,
    /// After the start, for so long.
    faults: Vec<(Fault, Duration, Duration)>,
    end: Duration,
}

impl Script {
    pub(super) fn random(rng: &mut Rng) -> Self {
        let configs = configs(rng);
        let interval = configs.iter().map(|config| config.advert_interval.duration()).max().unwrap();
        let span = interval * 30;
        let faults: Vec<_> = (0..rng.below(15))
            .map(|_| {
                let from = rng.span(Duration::ZERO, span);
                let fault = fault(rng, configs.len(), interval);
                // Long enough for the guard to be at work before the daemon is back.
                let least = Duration::from_millis(30);
                let most = least.max(if rng.percent(50) { interval * 3 } else { interval * 12 });
                (fault, from, rng.span(least, most))
            })
            .collect();
        let ends = faults.iter().map(|(_, from, lasting)| *from + *lasting);
        let end = ends.max().unwrap_or(Duration::ZERO).max(span / 2);
        Self { configs, guarded: rng.percent(70), faults, end }
    }

    pub(super) fn world(&self, seed: u64, rng: Rng, trace: bool) -> World {
        let world = World::new(seed, rng, &self.configs, self.guarded, trace);
        world.judge.note(world.now, || format!("{self:?}"));
        world
    }

    pub(super) fn play(&self, world: &mut World) {
        let start = world.now;
        for (fault, from, lasting) in &self.faults {
            world.plan_fault(*fault, start + *from, *lasting);
        }
        world.run_until(start + self.end);
        // A stop that takes its time.
        while !world.faults.is_empty() {
            world.run_for(Duration::from_millis(10));
        }
    }
}

fn configs(rng: &mut Rng) -> Vec<Config> {
    let hosts = 2 + rng.index(2);
    let interval = rng.pick(&[
        (Version::V3, 1),
        (Version::V3, 10),
        (Version::V3, 10),
        (Version::V3, 100),
        (Version::V2, 1),
    ]);
    let same_interval = interval.0 == Version::V2 || rng.percent(80);
    let alike = rng.percent(30);
    let delay = if rng.percent(20) { Duration::from_millis(300) } else { Duration::ZERO };
    let no_skew = hosts == 2 && rng.percent(40);
    let preempt = rng.percent(50);
    let mixed = rng.percent(20);
    (0..hosts)
        .map(|number| {
            let (version, count) = interval;
            let count = if same_interval { count } else { count * rng.pick(&[1, 2, 5]) };
            let priority = match rng.below(10) {
                0 => 255,
                1 => 1,
                2 => 254,
                _ if alike => 100,
                _ => 50 + u8::try_from(rng.below(150)).unwrap(),
            };
            let peer = Ipv4Addr::new(192, 0, 2, if number == 0 { 11 } else { 10 });
            Config {
                priority: NonZeroU8::new(priority).unwrap(),
                advert_interval: AdvertInterval::from_wire(version, count).unwrap(),
                preempt: if mixed { rng.percent(50) } else { preempt },
                skew: if no_skew { Skew::None { peer } } else { Skew::Rfc },
                startup_delay: delay,
                vip_deadline: Duration::from_secs(1),
                release_deadline: RELEASE_DEADLINE,
            }
        })
        .collect()
}

fn fault(rng: &mut Rng, hosts: usize, interval: Duration) -> Fault {
    let host = rng.index(hosts);
    let other = (host + 1 + rng.index(hosts - 1)) % hosts;
    match rng.below(14) {
        0 | 1 => Fault::Freeze(host),
        2 => Fault::Starve(host),
        3 => Fault::Unplug(host),
        4 | 5 => Fault::Cut { from: host, to: other },
        6 => Fault::Loss(u8::try_from(10 + rng.below(90)).unwrap()),
        7 => Fault::Delay(rng.span(interval / 10, interval * 4)),
        8 => Fault::FillRing(host),
        9 => {
            if rng.percent(50) {
                Fault::SlowExecutor(host)
            } else {
                Fault::Refuse(host)
            }
        }
        10 => Fault::Stop(host),
        11 | 12 => Fault::Suspend(host),
        _ => Fault::Kill(host),
    }
}
