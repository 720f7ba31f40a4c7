//! `vrrp scan`: which virtual routers are spoken for on a segment, by whom, and what does not fit this host's
//! configuration.
//!
//! Beside the daemon: an ear of its own, for a while, and nothing is sent. Owns the listening; what is wrong with a
//! speaker is `judge`'s, how it reads `report`'s.

mod judge;
mod report;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use thiserror::Error;

use crate::config::Config;
use crate::net::ear::{Ear, EarError};
use crate::net::links::Picture;
use crate::net::netlink::{Netlink, NetlinkError};
use crate::net::{Interface, clock};
use crate::vrrp::Instant;
use crate::wire::MacAddress;
use crate::wire::frame::{self, Packet};
use crate::wire::peek::Peek;
pub use report::{Report, Speaker};

/// Speakers that are told apart; a flood of invented senders must not eat the memory.
const MOST: usize = 1024;

/// What to listen for.
#[derive(Debug)]
pub struct Options {
    pub interface: String,
    pub time: Duration,
    /// To compare with.
    pub config: Option<Config>,
}

#[derive(Debug, Error)]
pub enum ScanError {
    #[error("there is no interface {interface}; there is {known}")]
    NoInterface { interface: String, known: String },
    #[error(transparent)]
    Netlink(#[from] NetlinkError),
    #[error(transparent)]
    Ear(#[from] EarError),
}

/// One who speaks for one virtual router: IPv6 or not, its ID, the sender.
type Key = (bool, u8, IpAddr);

/// What was heard of it.
#[derive(Clone, Debug)]
struct Heard {
    mac: MacAddress,
    version: u8,
    priority: u8,
    interval: Duration,
    ttl: u8,
    auth_type: u8,
    addresses: Vec<IpAddr>,
    first: Instant,
    last: Instant,
    count: u64,
    /// Version 2's password, if it can be read.
    password: Option<[u8; 8]>,
    /// Why a parser refuses the last one, as far as that is the sender's fault.
    fault: Option<frame::Error>,
}

/// Listens and judges.
pub fn run(options: &Options) -> Result<Report, ScanError> {
    let picture = Picture::take(&mut Netlink::open()?)?;
    let link = picture.named(&options.interface).ok_or_else(|| ScanError::NoInterface {
        interface: options.interface.clone(),
        known: picture.links.iter().map(|link| link.name.as_str()).collect::<Vec<_>>().join(", "),
    })?;
    let interface = Interface { name: link.name.clone(), index: link.ifindex };
    let mut ear = Ear::open(&interface)?;
    let (mut heard, mut others) = (BTreeMap::new(), 0);
    let until = clock::now() + options.time;
    while let Some((at, frame)) = ear.next(until)? {
        note(&mut heard, &mut others, at, frame);
    }
    let speakers = judge::judge(&heard, &interface.name, MacAddress(link.mac), options.config.as_ref());
    Ok(Report::new(&interface.name, options, speakers, others))
}

fn note(heard: &mut BTreeMap<Key, Heard>, others: &mut u64, at: Instant, frame: &[u8]) {
    let Some(peek) = Peek::parse(frame) else {
        *others += 1;
        return;
    };
    let key = (peek.source.is_ipv6(), peek.virtual_router_id, peek.source);
    if heard.len() >= MOST && !heard.contains_key(&key) {
        *others += 1;
        return;
    }
    let parsed = Packet::parse_frame(frame);
    let before = heard.get(&key).map(|before| (before.first, before.count));
    let (first, count) = before.unwrap_or((at, 0));
    let news = Heard {
        mac: peek.source_mac,
        version: peek.version,
        priority: peek.priority,
        interval: peek.interval,
        ttl: peek.ttl,
        auth_type: peek.auth_type,
        addresses: peek.addresses().collect(),
        first,
        last: at,
        count: count + 1,
        password: parsed.as_ref().ok().and_then(judge::password),
        // IPv6 has no parser of ours; what it says is told all the same.
        fault: parsed.err().filter(|_| peek.source.is_ipv4()),
    };
    heard.insert(key, news);
}

#[cfg(test)]
mod tests;
