//! Interfaces and their addresses, as the kernel tells of them.
//!
//! Owns the picture of links and IPv4 addresses, and what of a change is news to a virtual router. It learns from
//! notifications alone and asks the kernel only at the start and after it lost some: a question waits for the
//! kernel's lock, a notification does not. Decides nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::Ipv4Addr;

use futures_util::StreamExt;
use netlink_packet_core::NetlinkPayload;
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use rtnetlink::{MulticastGroup, new_multicast_connection};
use thiserror::Error;
use tokio::sync::{mpsc, watch as level};

use crate::net::netlink::{HeldAddress, Link, Netlink, NetlinkError, held_address, link};

/// What a virtual router must hear of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkNews {
    /// Administratively up and with carrier, after it was not.
    Up { ifindex: u32 },
    /// No carrier, or set down.
    Down { ifindex: u32 },
    /// The address that adverts are sent from is another one now, or none.
    PrimaryAddress { ifindex: u32, address: Option<Ipv4Addr> },
    /// A virtual address is no longer there.
    VipRemoved { ifindex: u32, address: Ipv4Addr },
    /// The interface has another MAC address, or another interface has its name: all that was built on it is stale.
    Replaced { ifindex: u32 },
}

/// Why the watch ended.
#[derive(Debug, Error)]
pub enum WatchError {
    #[error("cannot hear of interface changes: {0}")]
    Subscribe(io::Error),
    #[error("cannot hear of interface changes: {0}")]
    Netlink(#[from] NetlinkError),
    #[error("the kernel's news of interfaces ended")]
    Ended,
}

/// The interfaces that adverts and addresses are on, and the addresses that are ours to give.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interest {
    /// Index to name.
    pub interfaces: BTreeMap<u32, String>,
    /// Those and the ones that only virtual addresses are on: all that indices and MAC addresses were taken from.
    pub devices: BTreeMap<u32, String>,
    pub vips: BTreeSet<(u32, Ipv4Addr)>,
}

/// Links and addresses at one time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Picture {
    pub links: Vec<Link>,
    pub addresses: Vec<HeldAddress>,
}

impl Picture {
    /// Asks the kernel.
    pub fn take(netlink: &mut Netlink) -> Result<Self, NetlinkError> {
        Ok(Self { links: netlink.links()?, addresses: netlink.addresses()? })
    }

    /// The interface of that name.
    pub fn named(&self, name: &str) -> Option<&Link> {
        self.links.iter().find(|link| link.name == name)
    }

    /// The address that adverts are sent from: the interface's first that is not virtual (RFC 9568 §5.1.1.1), one
    /// that is not secondary before others.
    pub fn primary_address(&self, ifindex: u32, interest: &Interest) -> Option<Ipv4Addr> {
        let own = |held: &&HeldAddress| {
            held.ifindex == ifindex && !interest.vips.contains(&(ifindex, held.address))
        };
        let first = self.addresses.iter().filter(own).find(|held| !held.secondary);
        first.or_else(|| self.addresses.iter().find(own)).map(|held| held.address)
    }

    /// Whether the interface is up and has carrier.
    pub fn is_running(&self, ifindex: u32) -> bool {
        self.links.iter().any(|link| link.ifindex == ifindex && link.running)
    }

    /// Takes in one notification.
    fn apply(&mut self, message: &RouteNetlinkMessage) {
        if let RouteNetlinkMessage::NewLink(message) = message
            // A bridge speaks of its ports in messages of its own family: they are not about the link.
            && message.header.interface_family == AddressFamily::Unspec
        {
            let new = link(message);
            match self.links.iter_mut().find(|known| known.ifindex == new.ifindex) {
                Some(known) => *known = new,
                None => self.links.push(new),
            }
        } else if let RouteNetlinkMessage::DelLink(message) = message
            && message.header.interface_family == AddressFamily::Unspec
        {
            self.links.retain(|known| known.ifindex != message.header.index);
            self.addresses.retain(|known| known.ifindex != message.header.index);
        } else if let RouteNetlinkMessage::NewAddress(message) = message
            && let Some(new) = held_address(message)
        {
            match self.addresses.iter_mut().find(|known| same_address(known, &new)) {
                Some(known) => *known = new,
                None => self.addresses.push(new),
            }
        } else if let RouteNetlinkMessage::DelAddress(message) = message
            && let Some(gone) = held_address(message)
        {
            self.addresses.retain(|known| !same_address(known, &gone));
        }
    }

    /// Takes in one notification and tells what it changed. Looks only at what it is about: a host with thousands of
    /// addresses gets thousands of these when it takes over.
    fn learn(&mut self, message: &RouteNetlinkMessage, interest: &Interest, tell: &mut impl FnMut(LinkNews)) {
        if let RouteNetlinkMessage::NewAddress(about) | RouteNetlinkMessage::DelAddress(about) = message {
            let Some(about) = held_address(about) else { return };
            let HeldAddress { ifindex, address, .. } = about;
            let had = (self.has(ifindex, address), self.primary_address(ifindex, interest));
            self.apply(message);
            let has = (self.has(ifindex, address), self.primary_address(ifindex, interest));
            if had.1 != has.1 && interest.interfaces.contains_key(&ifindex) {
                tell(LinkNews::PrimaryAddress { ifindex, address: has.1 });
            }
            if had.0 && !has.0 && interest.vips.contains(&(ifindex, address)) {
                tell(LinkNews::VipRemoved { ifindex, address });
            }
        } else {
            let before = self.clone();
            self.apply(message);
            if before.links != self.links {
                self.news_since(&before, interest, tell);
            }
        }
    }

    /// What is so for whoever is interested in more, or in something else, than before.
    fn introduce(&self, former: &Interest, interest: &Interest, tell: &mut impl FnMut(LinkNews)) {
        for ifindex in interest.interfaces.keys().copied() {
            let address = self.primary_address(ifindex, interest);
            let is_new = !former.interfaces.contains_key(&ifindex);
            if is_new || address != self.primary_address(ifindex, former) {
                tell(LinkNews::PrimaryAddress { ifindex, address });
            }
            match self.is_running(ifindex) {
                true if is_new => tell(LinkNews::Up { ifindex }),
                false if is_new => tell(LinkNews::Down { ifindex }),
                true | false => {}
            }
        }
    }

    /// The virtual addresses that are there.
    fn present(&self, interest: &Interest) -> BTreeSet<(u32, Ipv4Addr)> {
        let held = self.addresses.iter().map(|held| (held.ifindex, held.address));
        held.filter(|place| interest.vips.contains(place)).collect()
    }

    /// The same, by what one message is about.
    fn note_presence(
        &self,
        message: &RouteNetlinkMessage,
        interest: &Interest,
        present: &level::Sender<BTreeSet<(u32, Ipv4Addr)>>,
    ) {
        if let RouteNetlinkMessage::NewAddress(about) | RouteNetlinkMessage::DelAddress(about) = message {
            let Some(HeldAddress { ifindex, address, .. }) = held_address(about) else { return };
            if interest.vips.contains(&(ifindex, address)) {
                let there = self.has(ifindex, address);
                present.send_if_modified(|present| {
                    if there {
                        present.insert((ifindex, address))
                    } else {
                        present.remove(&(ifindex, address))
                    }
                });
            }
        } else if let RouteNetlinkMessage::DelLink(_) = message {
            present.send_replace(self.present(interest));
        }
    }

    fn has(&self, ifindex: u32, address: Ipv4Addr) -> bool {
        self.addresses.iter().any(|held| (held.ifindex, held.address) == (ifindex, address))
    }

    fn is_replaced(&self, before: &Self, ifindex: u32, name: &str) -> bool {
        let find = |picture: &Self| picture.links.iter().find(|link| link.ifindex == ifindex).cloned();
        let (old, new) = (find(before), find(self));
        let changed_mac = matches!((&old, &new), (Some(old), Some(new)) if old.mac != new.mac);
        let successor = new.is_none() && self.named(name).is_some();
        // Gone and back under its old index: sockets and programs that hung on it are dead all the same.
        let came_back = old.is_none() && new.is_some();
        changed_mac || came_back || (successor && before.named(name) != self.named(name))
    }

    /// What has changed since `before`, for whom it concerns.
    fn news_since(&self, before: &Self, interest: &Interest, tell: &mut impl FnMut(LinkNews)) {
        for (ifindex, name) in &interest.devices {
            if self.is_replaced(before, *ifindex, name) {
                tell(LinkNews::Replaced { ifindex: *ifindex });
            }
        }
        for ifindex in interest.interfaces.keys().copied() {
            match (before.is_running(ifindex), self.is_running(ifindex)) {
                (true, false) => tell(LinkNews::Down { ifindex }),
                (false, true) => tell(LinkNews::Up { ifindex }),
                (true, true) | (false, false) => {}
            }
            let address = self.primary_address(ifindex, interest);
            if address != before.primary_address(ifindex, interest) {
                tell(LinkNews::PrimaryAddress { ifindex, address });
            }
        }
        for (ifindex, address) in interest.vips.iter().copied() {
            if before.has(ifindex, address) && !self.has(ifindex, address) {
                tell(LinkNews::VipRemoved { ifindex, address });
            }
        }
    }
}

fn same_address(one: &HeldAddress, other: &HeldAddress) -> bool {
    (one.ifindex, one.address, one.prefix) == (other.ifindex, other.address, other.prefix)
}

/// Tells the news for as long as it runs. `known` is the picture that the listener started from. When the interest
/// changes, what is so about an interface that is new in it is news. `present`: which of the virtual addresses are there.
pub async fn watch(
    mut known: Picture,
    mut interests: level::Receiver<Interest>,
    present: level::Sender<BTreeSet<(u32, Ipv4Addr)>>,
    listener: mpsc::Sender<LinkNews>,
) -> Result<(), WatchError> {
    let groups = [MulticastGroup::Link, MulticastGroup::Ipv4Ifaddr];
    let mut interest = interests.borrow_and_update().clone();
    loop {
        let (connection, _handle, mut messages) =
            new_multicast_connection(&groups).map_err(WatchError::Subscribe)?;
        let connection = tokio::spawn(connection);
        let _stop = AbortOnDrop(connection);
        let mut told = Vec::new();
        // What happened before the subscription.
        let picture = resync().await?;
        picture.news_since(&known, &interest, &mut |news| told.push(news));
        known = picture;
        present.send_replace(known.present(&interest));
        loop {
            for news in told.drain(..) {
                listener.send(news).await.map_err(|_closed| WatchError::Ended)?;
            }
            let message = tokio::select! {
                message = messages.next() => message.ok_or(WatchError::Ended)?.0,
                changed = interests.changed() => {
                    changed.map_err(|_closed| WatchError::Ended)?;
                    let former = std::mem::replace(&mut interest, interests.borrow_and_update().clone());
                    known.introduce(&former, &interest, &mut |news| told.push(news));
                    present.send_replace(known.present(&interest));
                    continue;
                }
            };
            if let NetlinkPayload::InnerMessage(message) = &message.payload {
                known.learn(message, &interest, &mut |news| told.push(news));
                known.note_presence(message, &interest, &present);
            } else if let NetlinkPayload::Overrun(_) = message.payload {
                // What is still queued is older than what we would learn by asking: a new subscription forgets it.
                tracing::warn!(
                    "the kernel's news of interfaces came too fast and some were lost: asking anew"
                );
                break;
            }
        }
    }
}

async fn resync() -> Result<Picture, WatchError> {
    // A thread of its own: the question waits for the kernel's lock, and the runtime must not.
    tokio::task::spawn_blocking(|| Picture::take(&mut Netlink::open()?))
        .await
        .map_err(|error| WatchError::Subscribe(io::Error::other(error)))?
        .map_err(WatchError::Netlink)
}

struct AbortOnDrop(tokio::task::JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests;
