//! Which adverts a measurement on a live interface is about: those of the configuration, or those heard first.
//!
//! Owns the rules made of them and the engines that decide about them. Refuses to claim an address: the routers here
//! are BACKUPs of the lowest priority whose deadlines nobody works, so they never become anything else.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::num::NonZeroU8;
use std::time::Duration;

use vrrp_ebpf::abi::{AUTH_NONE, AUTH_PASS, FAMILY_IPV4, MAX_FRAME, Rule, RuleKey};

use super::raw_socket::RawSocket;
use crate::config::{Config, Protocol};
use crate::net::clock;
use crate::net::maps::MapsError;
use crate::net::receiver::Control;
use crate::vrrp::{self, Actions, Advert, Engine, Event, Instant, RouterIndex};
use crate::wire::frame::Packet;
use crate::wire::{AdvertInterval, Authentication, Dialect};

/// Longer than the usual interval: whoever speaks each second has spoken.
const LISTEN: Duration = Duration::from_millis(1500);
/// On an interface where nobody has spoken yet.
const LISTEN_LONGER: Duration = Duration::from_secs(5);

/// One virtual router on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Router {
    dialect: Dialect,
}

/// The virtual routers of one interface; each one's place is its slot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Routers {
    by_id: BTreeMap<u8, Router>,
}

impl Routers {
    /// The instances of this interface.
    pub(super) fn of_config(config: &Config, interface: &str) -> Self {
        let instances = config.instances.iter().filter(|instance| instance.interface == interface);
        let router = |protocol: &Protocol| match protocol {
            Protocol::V2 { advert_interval, password } => {
                let authentication = password.as_ref().map_or(Authentication::None, |password| {
                    Authentication::Password(password.zero_filled())
                });
                Router { dialect: Dialect::V2 { interval: *advert_interval, authentication } }
            }
            Protocol::V3 { advert_interval, .. } => Router {
                // Either form is understood.
                dialect: Dialect::V3 {
                    interval: *advert_interval,
                    checksum: crate::wire::Ipv4Checksum::PseudoHeader,
                },
            },
        };
        let by_id = instances.map(|instance| (instance.virtual_router_id.get(), router(&instance.protocol)));
        Self { by_id: by_id.collect() }
    }

    /// Those that speak now. The first advert of each says how the rest look.
    pub(super) fn listen(socket: &RawSocket) -> Self {
        let mut routers = Self::default();
        let mut packet = [0; MAX_FRAME];
        let start = clock::now();
        loop {
            let waited = clock::now().since(start);
            if waited >= LISTEN_LONGER || (waited >= LISTEN && !routers.by_id.is_empty()) {
                return routers;
            }
            let Some(received) = socket.receive(&mut packet) else { continue };
            let Ok(packet) = Packet::parse(&packet[..received.length]) else { continue };
            let router = Router { dialect: packet.advert.dialect };
            routers.by_id.entry(packet.advert.virtual_router_id).or_insert(router);
        }
    }

    pub(super) fn ids(&self) -> Vec<u8> {
        self.by_id.keys().copied().collect()
    }

    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// The slot of this virtual router.
    pub(super) fn slot(&self, virtual_router_id: u8) -> Option<u32> {
        let position = self.by_id.keys().position(|id| *id == virtual_router_id)?;
        u32::try_from(position).ok()
    }

    /// Hands the kernel half a rule for each, with these `RULE_*` flags.
    pub(super) fn insert(&self, control: &mut Control, ifindex: u32, flags: u8) -> Result<(), MapsError> {
        for (slot, (id, router)) in (0..).zip(&self.by_id) {
            let key = RuleKey { ifindex, family: FAMILY_IPV4, virtual_router_id: *id, padding: 0 };
            // Any priority but a farewell: there is nobody here to be weaker than.
            control.slots().set_minimum_priority(slot, 1);
            control.insert_rule(key, router.rule(slot, flags))?;
        }
        Ok(())
    }

    /// `SLOT_*` bits of all.
    pub(super) fn set_flags(&self, control: &Control, flags: u32) {
        for (slot, _) in (0..).zip(&self.by_id) {
            control.slots().set_flags(slot, flags);
        }
    }

    /// What decides about their adverts.
    pub(super) fn judge(&self) -> Judge {
        let config = |router: &Router| vrrp::Config {
            priority: NonZeroU8::MIN,
            advert_interval: router.interval(),
            preempt: false,
            skew: vrrp::Skew::Rfc,
            startup_delay: Duration::ZERO,
            vip_deadline: Duration::from_secs(1),
            release_deadline: vrrp::router::RELEASE_DEADLINE,
        };
        let mut judge = Judge {
            engine: Engine::new(self.by_id.values().map(config)),
            actions: Actions::for_routers(self.len()),
        };
        let now = clock::now();
        for (router, _) in (0..).zip(&self.by_id) {
            for event in [Event::PrimaryAddress(Some(Ipv4Addr::UNSPECIFIED)), Event::LinkUp, Event::Startup] {
                judge.handle(router, event, now);
            }
        }
        judge
    }
}

impl Router {
    const fn interval(&self) -> AdvertInterval {
        match self.dialect {
            Dialect::V2 { interval, .. } => AdvertInterval::V2(interval),
            Dialect::V3 { interval, .. } => AdvertInterval::V3(interval),
        }
    }

    fn rule(&self, slot: u32, flags: u8) -> Rule {
        let rule = Rule { slot, version: 3, auth_type: AUTH_NONE, flags, v2_interval: 0, password: [0; 8] };
        match self.dialect {
            Dialect::V3 { .. } => rule,
            Dialect::V2 { interval, authentication } => {
                let rule = Rule { version: 2, v2_interval: interval.get(), ..rule };
                match authentication {
                    Authentication::None => rule,
                    Authentication::Password(password) => Rule { auth_type: AUTH_PASS, password, ..rule },
                }
            }
        }
    }
}

/// An engine whose wishes come to nothing.
pub(super) struct Judge {
    engine: Engine,
    actions: Actions,
}

impl Judge {
    /// As the advert thread does with a packet that arrived at `arrived`. Done when this returns.
    pub(super) fn decide(&mut self, slot: u32, packet: &Packet<'_>, arrived: Instant, now: Instant) {
        let advert = Advert {
            arrived,
            sender: packet.source,
            priority: packet.advert.priority,
            advert_interval: packet.advert.advert_interval(),
        };
        self.handle(slot, Event::Advert(advert), now);
    }

    fn handle(&mut self, router: u32, event: Event, now: Instant) {
        self.engine.handle(RouterIndex(router), event, now, &mut self.actions);
        self.actions.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vrrp::Label;
    use crate::wire::{Centiseconds, Ipv4Checksum, Seconds};

    fn routers() -> Routers {
        let interval = Seconds::new(1).unwrap();
        let v2 = Dialect::V2 { interval, authentication: Authentication::Password(*b"1111\0\0\0\0") };
        let interval = Centiseconds::new(10).unwrap();
        let v3 = Dialect::V3 { interval, checksum: Ipv4Checksum::PseudoHeader };
        Routers { by_id: [(7, Router { dialect: v3 }), (51, Router { dialect: v2 })].into() }
    }

    #[test]
    fn rules_are_what_was_heard() {
        let routers = routers();
        assert_eq!((routers.slot(7), routers.slot(51), routers.slot(8)), (Some(0), Some(1), None));
        let v2 = routers.by_id[&51].rule(1, 4);
        assert_eq!((v2.slot, v2.version, v2.auth_type, v2.v2_interval, v2.flags), (1, 2, AUTH_PASS, 1, 4));
        assert_eq!(v2.password, *b"1111\0\0\0\0");
        let v3 = routers.by_id[&7].rule(0, 0);
        assert_eq!((v3.version, v3.auth_type, v3.v2_interval, v3.password), (3, AUTH_NONE, 0, [0; 8]));
    }

    #[test]
    fn the_configuration_names_those_of_its_interface() {
        let text = "instances:\n  - { name: A, interface: eth0, virtual_router_id: 51, virtual_addresses: [10.0.0.1], \
                    auth: { type: pass, password: \"1111\" } }\n  - { name: B, interface: eth0, virtual_router_id: 7, \
                    version: 3, advert_interval: 100ms, virtual_addresses: [10.0.0.2] }\n  - { name: C, interface: \
                    eth1, virtual_router_id: 9, virtual_addresses: [10.0.0.3] }\n";
        let loaded = Config::parse(text, std::path::Path::new("test.yaml")).unwrap();
        assert_eq!(Routers::of_config(&loaded.config, "eth0"), routers());
        assert!(Routers::of_config(&loaded.config, "eth9").is_empty());
    }

    #[test]
    fn a_judge_stays_backup_whatever_it_hears() {
        let routers = routers();
        let mut judge = routers.judge();
        let labels = |judge: &Judge| judge.engine.routers().iter().map(|r| r.label()).collect::<Vec<_>>();
        assert_eq!(labels(&judge), [Label::Backup; 2]);
        for priority in [200, 1, 0] {
            let advert_interval = routers.by_id[&7].interval();
            let now = clock::now();
            let advert = Advert { arrived: now, sender: Ipv4Addr::LOCALHOST, priority, advert_interval };
            judge.handle(0, Event::Advert(advert), now);
            assert_eq!(labels(&judge), [Label::Backup; 2]);
        }
    }
}
