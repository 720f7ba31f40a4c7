//! Where a checked configuration meets the interfaces of this host.
//!
//! Owns the translation: names to indices, values to frames, rules, holdings and wards. After it every router has
//! one place that all threads know it by, from its start to its end. Opens nothing and starts nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use thiserror::Error;
use vrrp_ebpf::abi;

use crate::config::{Checksum, Config, Instance, Protocol, Scope, Skew, VirtualAddress};
use crate::daemon::frames::{Frames, Template};
use crate::database::Place;
use crate::health::settings::Kind;
use crate::net::executor::{Announcing, Holding, RESETTING};
use crate::net::guard::Ward;
use crate::net::links::{Interest, Picture};
use crate::net::netlink::{Link, Vip};
use crate::vrrp;
use crate::wire::{AdvertInterval, Authentication, Dialect, Ipv4Checksum, MacAddress, arp};

/// What handing an order over and resetting clients may add to a release's own deadline: more than
/// [`crate::net::executor::RESETTING`].
pub(super) const SERVICE_SLACK: Duration = Duration::from_millis(250);

/// Why a configuration does not fit this host.
#[derive(Debug, Error)]
pub enum WiringError {
    #[error(
        "instance {instance}: this host has no interface {interface}; it has {known}. Correct `interface`, or start \
         the daemon after the interface is there"
    )]
    NoInterface { instance: String, interface: String, known: String },
    #[error(
        "instance {instance}: {address} is the only address of {interface}: a virtual address comes and goes, so the \
         interface needs one of its own to send adverts from"
    )]
    OwnAddress { instance: String, interface: String, address: Ipv4Addr },
    #[error(
        "instance {instance}: `peer` is at {address}, which is this host's own: the gate would ask this host's server in place \
         of the other's, and never open; write the other host's own address"
    )]
    OwnPeer { instance: String, address: IpAddr },
    #[error("instance {instance}: {interface} is no Ethernet interface: VRRP adverts need one")]
    NotEthernet { instance: String, interface: String },
    #[error(
        "instance {instance}: its {addresses} addresses make an advert of {length} bytes, and {interface} carries \
         {mtu}; use fewer, or a larger MTU"
    )]
    TooLong { instance: String, interface: String, addresses: usize, length: usize, mtu: u32 },
    #[error(
        "instance {instance}: this process was started with room for {room} instances, counting those that are just \
         leaving; restart it for more"
    )]
    NoRoom { instance: String, room: usize },
}

/// One virtual router as all parts of the daemon see it.
#[derive(Clone, Debug)]
pub(super) struct Wired {
    /// Its place.
    pub(super) router: usize,
    pub(super) name: String,
    pub(super) interface: String,
    pub(super) ifindex: u32,
    pub(super) core: vrrp::Config,
    pub(super) frames: Frames,
    pub(super) holding: Holding,
    pub(super) rule_key: abi::RuleKey,
    pub(super) rule: abi::Rule,
    pub(super) peers: Vec<Ipv4Addr>,
    /// A server's role goes with the addresses.
    pub(super) is_managed: bool,
    /// How long clients may hold up addresses that go, after the last advert: a server that is made read-only first, sockets
    /// that are reset.
    pub(super) farewell: Duration,
    /// As the interface is at the start.
    pub(super) running: bool,
    pub(super) primary_address: Option<Ipv4Addr>,
}

/// All of them, and what of the host's interfaces concerns them.
#[derive(Clone, Debug, Default)]
pub(super) struct Wiring {
    pub(super) routers: Vec<Wired>,
    pub(super) interest: Interest,
}

impl Wiring {
    /// Finds every interface; says which one is missing.
    pub(super) fn new(config: &Config, picture: &Picture, places: &Places) -> Result<Self, WiringError> {
        let mut places = places.clone();
        let mut interfaces = BTreeMap::new();
        let mut devices = BTreeMap::new();
        let mut vips = BTreeSet::new();
        for instance in &config.instances {
            let link = find(picture, instance, &instance.interface)?;
            interfaces.insert(link.ifindex, link.name.clone());
            devices.insert(link.ifindex, link.name.clone());
            for address in &instance.virtual_addresses {
                let device = find(picture, instance, &address.device)?;
                devices.insert(device.ifindex, device.name.clone());
                vips.insert((device.ifindex, address.address));
            }
        }
        let interest = Interest { interfaces, devices, vips };
        let routers = config
            .instances
            .iter()
            .map(|instance| wire(config, instance, &mut places, picture, &interest))
            .collect::<Result<_, _>>()?;
        Ok(Self { routers, interest })
    }

    /// The router of this place.
    pub(super) fn router(&self, place: usize) -> Option<&Wired> {
        self.routers.iter().find(|router| router.router == place)
    }
}

impl Wired {
    /// What the guard must know of it.
    pub(super) fn ward(&self) -> Ward {
        Ward {
            name: self.name.clone(),
            vips: self.holding.vips.clone(),
            ifindex: self.ifindex,
            release: self.frames.release().to_vec(),
            freeze_limit_ns: u64::try_from(self.holding.freeze_limit.as_nanos()).unwrap_or(u64::MAX),
            is_managed: self.is_managed,
        }
    }
}

/// Which places are taken, and by whom. A virtual router that stays keeps its own, and one that is new gets the first
/// that is free.
#[derive(Clone, Debug)]
pub(super) struct Places {
    room: usize,
    owners: BTreeMap<abi::RuleKey, usize>,
    taken: BTreeSet<usize>,
}

impl Places {
    pub(super) fn new(room: usize) -> Self {
        Self { room, owners: BTreeMap::new(), taken: BTreeSet::new() }
    }

    pub(super) fn own(&mut self, key: abi::RuleKey, place: usize) {
        self.owners.insert(key, place);
        self.taken.insert(place);
    }

    /// Taken by one that leaves.
    pub(super) fn block(&mut self, place: usize) {
        self.taken.insert(place);
    }

    fn find(&mut self, key: &abi::RuleKey) -> Option<usize> {
        if let Some(place) = self.owners.get(key) {
            return Some(*place);
        }
        let free = (0..self.room).find(|place| !self.taken.contains(place))?;
        self.taken.insert(free);
        Some(free)
    }
}

fn find<'p>(picture: &'p Picture, instance: &Instance, interface: &str) -> Result<&'p Link, WiringError> {
    picture.named(interface).ok_or_else(|| WiringError::NoInterface {
        instance: instance.name.clone(),
        interface: interface.to_owned(),
        known: picture.links.iter().map(|link| link.name.as_str()).collect::<Vec<_>>().join(", "),
    })
}

fn wire(
    config: &Config,
    instance: &Instance,
    places: &mut Places,
    picture: &Picture,
    interest: &Interest,
) -> Result<Wired, WiringError> {
    let link = find(picture, instance, &instance.interface)?;
    if !link.ethernet {
        let (instance, interface) = (instance.name.clone(), link.name.clone());
        return Err(WiringError::NotEthernet { instance, interface });
    }
    let vips = instance
        .virtual_addresses
        .iter()
        .map(|address| vip(picture, instance, address))
        .collect::<Result<Vec<_>, _>>()?;
    if let Some(address) = own_peer(picture, instance) {
        return Err(WiringError::OwnPeer { instance: instance.name.clone(), address });
    }
    let (dialect, advert_interval) = dialect(&instance.protocol);
    let primary_address = picture.primary_address(link.ifindex, interest);
    let own = picture.addresses.iter().find(|held| held.ifindex == link.ifindex);
    if let (None, Some(own)) = (primary_address, own) {
        return Err(WiringError::OwnAddress {
            instance: instance.name.clone(),
            interface: link.name.clone(),
            address: own.address,
        });
    }
    let template = Template {
        mac: MacAddress(link.mac),
        virtual_router_id: instance.virtual_router_id.get(),
        priority: instance.priority,
        dialect,
        addresses: instance.virtual_addresses.iter().map(|address| address.address.octets()).collect(),
    };
    let frames = Frames::new(template, primary_address);
    let length = frames.as_ref().map_or(usize::MAX, Frames::packet_length);
    let Some(frames) = frames.filter(|_| length <= link.mtu as usize) else {
        return Err(WiringError::TooLong {
            instance: instance.name.clone(),
            interface: link.name.clone(),
            addresses: vips.len(),
            length,
            mtu: link.mtu,
        });
    };
    let services = services(instance);
    let slack = if services.is_empty() && instance.role.is_none() { Duration::ZERO } else { SERVICE_SLACK };
    let core = vrrp::Config {
        priority: instance.priority,
        advert_interval,
        preempt: instance.preempt,
        skew: match (instance.skew, instance.peers.first()) {
            (Skew::None, Some(peer)) => vrrp::Skew::None { peer: *peer },
            (Skew::None | Skew::Rfc, _) => vrrp::Skew::Rfc,
        },
        startup_delay: instance.startup_delay,
        vip_deadline: instance.vip_deadline
            + instance.role.as_ref().map_or(Duration::ZERO, |role| role.settings.longest_win()),
        release_deadline: vrrp::router::RELEASE_DEADLINE
            + slack
            + instance.role.as_ref().map_or(Duration::ZERO, |role| role.handover_timeout),
    };
    let down = instance.master_down_interval();
    let holding = Holding {
        announcements: announcements(picture, &vips),
        vips,
        services,
        announcing: Announcing {
            burst: instance.garp.burst.get(),
            repeat_after: instance.garp.repeat_after,
            refresh: instance.garp.refresh,
        },
        lifetime: config.address_lifetime(instance),
        freeze_limit: down.saturating_sub(core.advert_interval.duration()),
    };
    let rule_key = rule_key(instance, link.ifindex);
    let place = places.find(&rule_key).and_then(|place| Some((place, u32::try_from(place).ok()?)));
    let Some((router, slot)) = place else {
        return Err(WiringError::NoRoom { instance: instance.name.clone(), room: places.room });
    };
    let rule = rule(config, instance, slot);
    let demotion = instance.role.as_ref().map_or(Duration::ZERO, |role| role.settings.statement_limit);
    let resetting = if holding.services.is_empty() { Duration::ZERO } else { RESETTING };
    let farewell = demotion + resetting;
    Ok(Wired {
        router,
        name: instance.name.clone(),
        interface: link.name.clone(),
        ifindex: link.ifindex,
        core,
        frames,
        holding,
        rule_key,
        rule,
        peers: instance.peers.clone(),
        is_managed: instance.role.is_some(),
        farewell,
        running: link.running,
        primary_address,
    })
}

/// The other server's address, if this host has it. IPv6 addresses are in no picture: such a one shows when the gate holds.
fn own_peer(picture: &Picture, instance: &Instance) -> Option<IpAddr> {
    let role = instance.role.as_ref()?;
    let Place::Tcp(address, port) = role.peer.as_ref()?.place else { return None };
    // Behind another port of this host may be a tunnel to the other one, or the other server of two on trial.
    let is_own =
        role.service_ports.contains(&port) || matches!(role.local.place, Place::Tcp(_, own) if own == port);
    let is_here = picture.addresses.iter().any(|held| IpAddr::V4(held.address) == address);
    (is_own && is_here).then_some(address)
}

fn vip(picture: &Picture, instance: &Instance, address: &VirtualAddress) -> Result<Vip, WiringError> {
    Ok(Vip {
        address: address.address,
        prefix: address.prefix,
        ifindex: find(picture, instance, &address.device)?.ifindex,
        label: address.label.clone(),
        scope: scope(address.scope),
    })
}

const fn scope(scope: Scope) -> u8 {
    match scope {
        Scope::Global => 0,
        Scope::Site => 200,
        Scope::Link => 253,
        Scope::Host => 254,
    }
}

fn announcements(picture: &Picture, vips: &[Vip]) -> Vec<Vec<u8>> {
    let mac = |ifindex| picture.links.iter().find(|link| link.ifindex == ifindex).map(|link| link.mac);
    vips.iter()
        .map(|vip| {
            let hardware = MacAddress(mac(vip.ifindex).unwrap_or_default());
            let announcement = arp::Repr { hardware, address: vip.address };
            let mut frame = vec![0; announcement.buffer_len()];
            announcement.emit(&mut frame);
            frame
        })
        .collect()
}

/// What the checks know as served here. With a managed role its own doors see to the clients.
fn services(instance: &Instance) -> Vec<u16> {
    if instance.role.is_some() {
        return Vec::new();
    }
    let ports = instance.checks.iter().filter_map(|check| match &check.kind {
        Kind::Mysql(mysql) => Some(mysql.port.get()),
        Kind::Tcp(tcp) => Some(tcp.port.get()),
        Kind::Script(_) => None,
    });
    ports.collect::<BTreeSet<_>>().into_iter().collect()
}

fn dialect(protocol: &Protocol) -> (Dialect, AdvertInterval) {
    match protocol {
        Protocol::V2 { advert_interval, password } => {
            let authentication = password
                .as_ref()
                .map_or(Authentication::None, |password| Authentication::Password(password.zero_filled()));
            let interval = *advert_interval;
            (Dialect::V2 { interval, authentication }, AdvertInterval::V2(interval))
        }
        Protocol::V3 { advert_interval, checksum } => {
            let checksum = match checksum {
                Checksum::Rfc5798 => Ipv4Checksum::PseudoHeader,
                Checksum::Rfc9568 => Ipv4Checksum::MessageOnly,
            };
            let interval = *advert_interval;
            (Dialect::V3 { interval, checksum }, AdvertInterval::V3(interval))
        }
    }
}

/// An IPv4 address in the kernel half's sixteen bytes.
pub(super) const fn mapped(address: Ipv4Addr) -> [u8; 16] {
    let [a, b, c, d] = address.octets();
    [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, a, b, c, d]
}

fn rule_key(instance: &Instance, ifindex: u32) -> abi::RuleKey {
    abi::RuleKey {
        ifindex,
        family: abi::FAMILY_IPV4,
        virtual_router_id: instance.virtual_router_id.get(),
        padding: 0,
    }
}

fn rule(config: &Config, instance: &Instance, slot: u32) -> abi::Rule {
    let mut flags = 0;
    for (bit, set) in [
        (abi::RULE_PEERS_ONLY, !instance.peers.is_empty()),
        (abi::RULE_CONSUME, config.consume),
        (abi::RULE_CHANGES_ONLY, config.delivers_changes_only()),
    ] {
        if set {
            flags |= bit;
        }
    }
    let (version, v2_interval, password) = match &instance.protocol {
        Protocol::V2 { advert_interval, password } => (2, advert_interval.get(), password.as_ref()),
        Protocol::V3 { .. } => (3, 0, None),
    };
    let auth_type = if password.is_some() { abi::AUTH_PASS } else { abi::AUTH_NONE };
    let password = password.map_or([0; 8], |password| password.zero_filled());
    abi::Rule { slot, version, auth_type, flags, v2_interval, password }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::net::netlink::HeldAddress;

    fn wired(peer: &str, port: u16) -> Result<Wiring, WiringError> {
        let text = format!(
            "instances: [{{ name: A, interface: eth0, virtual_router_id: 1, virtual_addresses: [10.0.0.9/24], role: manage, \
             mysql: {{ socket: /s, user: u, peer: {{ address: \"{peer}\", port: {port}, user: p }} }} }}]"
        );
        let config = Config::parse(&text, Path::new("x.yaml")).unwrap().config;
        let link = |ifindex: u32, name: &str| Link {
            ifindex,
            name: name.to_owned(),
            mac: [2, 0, 0, 0, 0, 1],
            running: true,
            ethernet: true,
            mtu: 1500,
        };
        let held = |ifindex, last| HeldAddress {
            address: Ipv4Addr::new(10, 0, 0, last),
            prefix: 24,
            ifindex,
            secondary: false,
        };
        let links = vec![link(2, "eth0"), link(3, "eth1")];
        let picture = Picture { links, addresses: vec![held(2, 1), held(3, 2)] };
        Wiring::new(&config, &picture, &Places::new(4))
    }

    #[test]
    fn a_peer_at_an_address_of_this_host_is_refused_on_whatever_interface() {
        for own in ["10.0.0.1", "10.0.0.2", "::ffff:10.0.0.1"] {
            let error = wired(own, 3306).unwrap_err();
            assert!(matches!(error, WiringError::OwnPeer { .. }), "{error}");
            assert!(error.to_string().contains("write the other host's own address"), "{error}");
        }
        assert_eq!(wired("10.0.0.3", 3306).unwrap().routers.len(), 1);
        assert_eq!(
            wired("10.0.0.2", 3307).unwrap().routers.len(),
            1,
            "a tunnel, or the other of two on trial"
        );
    }
}
