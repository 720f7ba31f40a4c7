//! What does not fit, speaker by speaker.
//!
//! Owns the comparison with this host's configuration, and of the speakers with each other. Pure.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use super::report::Speaker;
use super::{Heard, Key};
use crate::config::{Config, Instance, Protocol};
use crate::wire::frame::{self, Packet};
use crate::wire::{Authentication, Dialect, MacAddress};

/// Version 2's password, if there is one.
pub(super) fn password(packet: &Packet<'_>) -> Option<[u8; 8]> {
    match packet.advert.dialect {
        Dialect::V2 { authentication: Authentication::Password(password), .. } => Some(password),
        Dialect::V2 { authentication: Authentication::None, .. } | Dialect::V3 { .. } => None,
    }
}

pub(super) fn judge(
    heard: &BTreeMap<Key, Heard>,
    interface: &str,
    own: MacAddress,
    config: Option<&Config>,
) -> Vec<Speaker> {
    let instances = config.map_or(&[][..], |config| &config.instances);
    heard
        .iter()
        .map(|(key, speaker)| {
            let (is_ipv6, id, sender) = *key;
            let mine = instances.iter().find(|instance| {
                !is_ipv6 && instance.interface == interface && instance.virtual_router_id.get() == id
            });
            let is_own = speaker.mac == own;
            let mut problems = of_itself(speaker);
            if let Some(mine) = mine {
                problems.extend(against(speaker, sender, mine, is_own));
            }
            let rivals = heard.iter().filter(|((other_ipv6, other_id, other), rival)| {
                (*other_ipv6, *other_id) == (is_ipv6, id) && *other != sender && overlap(rival, speaker)
            });
            let rivals: Vec<_> = rivals.map(|((_, _, other), _)| other.to_string()).collect();
            if !rivals.is_empty() {
                problems.push(format!("speaks at the same time as {}: two masters", rivals.join(", ")));
            }
            Speaker {
                family: if is_ipv6 { 6 } else { 4 },
                virtual_router_id: id,
                source: sender,
                source_mac: speaker.mac.to_string(),
                this_host: is_own,
                version: speaker.version,
                priority: speaker.priority,
                interval_ms: millis(speaker.interval),
                measured_ms: measured(speaker).map(millis),
                addresses: speaker.addresses.clone(),
                adverts: speaker.count,
                instance: mine.map(|mine| mine.name.clone()),
                problems,
            }
        })
        .collect()
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// How far apart they really came.
fn measured(speaker: &Heard) -> Option<Duration> {
    let gaps = u32::try_from(speaker.count.checked_sub(1)?).ok().filter(|gaps| *gaps > 0)?;
    Some(speaker.last.since(speaker.first) / gaps)
}

/// Each was heard again after the other had begun: no handover looks like that.
fn overlap(one: &Heard, other: &Heard) -> bool {
    let is_alive = |heard: &Heard| heard.priority > 0 && heard.count > 1;
    is_alive(one) && is_alive(other) && one.last > other.first && other.last > one.first
}

/// What is wrong whoever listens.
fn of_itself(speaker: &Heard) -> Vec<String> {
    let mut problems = Vec::new();
    if speaker.ttl != 255 {
        problems.push(format!("TTL {} and not 255: forwarded, or forged", speaker.ttl));
    }
    match speaker.fault {
        None | Some(frame::Error::TimeToLive(_)) => {}
        Some(fault) => problems.push(fault.to_string()),
    }
    problems
}

fn against(speaker: &Heard, sender: IpAddr, mine: &Instance, is_own: bool) -> Vec<String> {
    let name = &mine.name;
    let mut problems = Vec::new();
    let (version, interval) = match &mine.protocol {
        Protocol::V2 { advert_interval, .. } => (2, Duration::from_secs(advert_interval.get().into())),
        Protocol::V3 { advert_interval, .. } => {
            (3, Duration::from_millis(u64::from(advert_interval.get()) * 10))
        }
    };
    if speaker.version != version {
        problems.push(format!("version {}, {name} has {version}: neither hears the other", speaker.version));
        return problems;
    }
    if speaker.interval != interval {
        let what =
            if version == 2 { "each drops the other's adverts" } else { "a BACKUP goes by the master's" };
        problems.push(format!("interval {:?}, {name} has {interval:?}: {what}", speaker.interval));
    }
    if let Protocol::V2 { password, .. } = &mine.protocol {
        problems.extend(authentication(speaker, password.as_ref().map(|ours| ours.zero_filled()), name));
    }
    if let IpAddr::V4(sender) = sender
        && !is_own
        && !mine.peers.is_empty()
        && !mine.peers.contains(&sender)
    {
        problems.push(format!("not one of the `peers` of {name}"));
    }
    let ours: Vec<Ipv4Addr> = mine.virtual_addresses.iter().map(|address| address.address).collect();
    let is_same = ours.len() == speaker.addresses.len()
        && ours.iter().all(|address| speaker.addresses.contains(&IpAddr::V4(*address)));
    if !is_same {
        let list = ours.iter().map(Ipv4Addr::to_string).collect::<Vec<_>>().join(", ");
        problems.push(format!("other addresses than {name}, which has {list}"));
    }
    if !is_own && speaker.priority == mine.priority.get() {
        problems.push(format!("the priority of {name}: the higher of the two hosts' addresses decides"));
    }
    problems
}

fn authentication(speaker: &Heard, ours: Option<[u8; 8]>, name: &str) -> Option<String> {
    match (speaker.auth_type, ours) {
        (0, None) => None,
        (0, Some(_)) => Some(format!("no password, {name} has one: each drops the other's adverts")),
        (_, None) => Some(format!("a password, {name} has none: each drops the other's adverts")),
        // One that cannot be read has been told as a fault.
        (_, Some(ours)) => speaker
            .password
            .filter(|theirs| *theirs != ours)
            .map(|_| format!("not the password of {name}: each drops the other's adverts")),
    }
}
