//! A synchronous rtnetlink client: addresses on and off, and what is there now.
//!
//! Owns one NETLINK_ROUTE socket and the wording of requests. Each request runs under the kernel's RTNL lock in the
//! caller, so somebody else's slow link operation holds it up: only threads that may wait (the VIP executor, the
//! guard, start-up) call it. Decides nothing: who may hold an address is the core's business.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_REPLACE, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage,
    NetlinkPayload,
};
use netlink_packet_route::address::{AddressAttribute, AddressHeaderFlags, AddressMessage, CacheInfo};
use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkLayerType, LinkMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Replies are awaited this long: the kernel answers in the same system call, so this only bounds a surprise.
const REPLY_DEADLINE: Duration = Duration::from_secs(2);

/// A virtual IP as the kernel is asked for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vip {
    pub address: Ipv4Addr,
    pub prefix: u8,
    pub ifindex: u32,
    pub label: Option<String>,
    /// The kernel's number: 0 global, 200 site, 253 link, 254 host.
    pub scope: u8,
}

/// An IPv4 address that an interface has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldAddress {
    pub address: Ipv4Addr,
    pub prefix: u8,
    pub ifindex: u32,
    /// Added after another one of the same subnet.
    pub secondary: bool,
}

/// An interface as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    pub ifindex: u32,
    pub name: String,
    pub mac: [u8; 6],
    /// Administratively up and with carrier.
    pub running: bool,
    pub ethernet: bool,
    pub mtu: u32,
}

/// Why the kernel's netlink did not do as asked.
#[derive(Debug, Error)]
pub enum NetlinkError {
    #[error("netlink: {operation}: {source}")]
    Socket { operation: &'static str, source: io::Error },
    #[error("kernel refused to {operation}: {source}")]
    Refused { operation: String, source: io::Error },
}

impl NetlinkError {
    /// The kernel's error number, 0 if it never got to answer.
    pub fn errno(&self) -> i32 {
        match self {
            Self::Socket { source, .. } | Self::Refused { source, .. } => source.raw_os_error().unwrap_or(0),
        }
    }
}

/// Whether a removed address had been there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removed {
    WasHeld,
    WasAbsent,
}

/// One socket, one request at a time.
#[derive(Debug)]
pub struct Netlink {
    socket: Socket,
    sequence: u32,
    request: Vec<u8>,
}

impl Netlink {
    /// Opens the socket in the network namespace of the calling thread.
    pub fn open() -> Result<Self, NetlinkError> {
        let failed = |operation| move |source| NetlinkError::Socket { operation, source };
        let mut socket = Socket::new(NETLINK_ROUTE).map_err(failed("socket"))?;
        socket.bind_auto().map_err(failed("bind"))?;
        socket.connect(&SocketAddr::new(0, 0)).map_err(failed("connect"))?;
        rustix::net::sockopt::set_socket_timeout(
            &socket,
            rustix::net::sockopt::Timeout::Recv,
            Some(REPLY_DEADLINE),
        )
        .map_err(|errno| failed("receive timeout")(errno.into()))?;
        Ok(Self { socket, sequence: 0, request: Vec::new() })
    }

    /// Puts the address on its interface, or renews it: asking twice is the same as asking once.
    ///
    /// With a lifetime the kernel takes it off by itself when nobody renews it in time.
    pub fn add_address(&mut self, vip: &Vip, lifetime: Option<Duration>) -> Result<(), NetlinkError> {
        let mut message = address_message(vip);
        if let Some(lifetime) = lifetime {
            let mut info = CacheInfo::default();
            info.ifa_valid = u32::try_from(lifetime.as_secs()).unwrap_or(u32::MAX);
            info.ifa_preferred = info.ifa_valid;
            message.attributes.push(AddressAttribute::CacheInfo(info));
        }
        if let Some(label) = &vip.label {
            message.attributes.push(AddressAttribute::Label(label.clone()));
        }
        let operation = || format!("add {}/{} to interface {}", vip.address, vip.prefix, vip.ifindex);
        self.request(
            RouteNetlinkMessage::NewAddress(message),
            NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE,
            operation,
            |_| {},
        )
    }

    /// Takes the address off. One that is not there is no error.
    pub fn remove_address(&mut self, vip: &Vip) -> Result<Removed, NetlinkError> {
        let operation = || format!("remove {}/{} from interface {}", vip.address, vip.prefix, vip.ifindex);
        let message = RouteNetlinkMessage::DelAddress(address_message(vip));
        match self.request(message, NLM_F_ACK, operation, |_| {}) {
            Ok(()) => Ok(Removed::WasHeld),
            Err(NetlinkError::Refused { source, .. })
                if matches!(source.raw_os_error(), Some(libc::EADDRNOTAVAIL | libc::ENODEV)) =>
            {
                Ok(Removed::WasAbsent)
            }
            Err(error) => Err(error),
        }
    }

    /// All IPv4 addresses of the network namespace, in the kernel's order.
    pub fn addresses(&mut self) -> Result<Vec<HeldAddress>, NetlinkError> {
        let mut message = AddressMessage::default();
        message.header.family = AddressFamily::Inet;
        let mut found = Vec::new();
        self.request(
            RouteNetlinkMessage::GetAddress(message),
            NLM_F_DUMP,
            || "list addresses".to_owned(),
            |reply| {
                if let RouteNetlinkMessage::NewAddress(message) = reply {
                    found.extend(held_address(&message));
                }
            },
        )?;
        Ok(found)
    }

    /// All interfaces of the network namespace.
    pub fn links(&mut self) -> Result<Vec<Link>, NetlinkError> {
        let mut found = Vec::new();
        self.request(
            RouteNetlinkMessage::GetLink(LinkMessage::default()),
            NLM_F_DUMP,
            || "list interfaces".to_owned(),
            |reply| {
                if let RouteNetlinkMessage::NewLink(message) = reply {
                    found.push(link(&message));
                }
            },
        )?;
        Ok(found)
    }

    fn request(
        &mut self,
        message: RouteNetlinkMessage,
        flags: u16,
        operation: impl Fn() -> String,
        mut each: impl FnMut(RouteNetlinkMessage),
    ) -> Result<(), NetlinkError> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST | flags;
        header.sequence_number = self.sequence;
        let mut message = NetlinkMessage::new(header, NetlinkPayload::from(message));
        message.finalize();
        self.request.resize(message.buffer_len(), 0);
        message.serialize(&mut self.request);
        let failed = |operation| move |source| NetlinkError::Socket { operation, source };
        self.socket.send(&self.request, 0).map_err(failed("send"))?;
        loop {
            let (datagram, _) = self.socket.recv_from_full().map_err(failed("receive"))?;
            let mut rest = datagram.as_slice();
            while !rest.is_empty() {
                let reply = NetlinkMessage::<RouteNetlinkMessage>::deserialize(rest);
                let length = rest.first_chunk().map_or(0, |length| u32::from_ne_bytes(*length)) as usize;
                rest = rest.get(length.next_multiple_of(4).max(16)..).unwrap_or(&[]);
                // A message of a kind that the library cannot read says nothing about those that we ask for.
                let Ok(reply) = reply else { continue };
                if reply.header.sequence_number != self.sequence {
                    continue;
                }
                if let NetlinkPayload::InnerMessage(message) = reply.payload {
                    each(message);
                } else if let NetlinkPayload::Error(error) = reply.payload {
                    let Some(code) = error.code else { return Ok(()) };
                    let source = io::Error::from_raw_os_error(code.get().abs());
                    return Err(NetlinkError::Refused { operation: operation(), source });
                } else if let NetlinkPayload::Done(_) = reply.payload {
                    return Ok(());
                }
            }
        }
    }
}

fn address_message(vip: &Vip) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.family = AddressFamily::Inet;
    message.header.prefix_len = vip.prefix;
    message.header.index = vip.ifindex;
    message.header.scope = vip.scope.into();
    message.attributes.push(AddressAttribute::Local(IpAddr::V4(vip.address)));
    message.attributes.push(AddressAttribute::Address(IpAddr::V4(vip.address)));
    message
}

/// An IPv4 address message as a value; None for what is not IPv4.
pub(crate) fn held_address(message: &AddressMessage) -> Option<HeldAddress> {
    let local = message.attributes.iter().find_map(|attribute| {
        if let AddressAttribute::Local(IpAddr::V4(address)) = attribute { Some(*address) } else { None }
    })?;
    Some(HeldAddress {
        address: local,
        prefix: message.header.prefix_len,
        ifindex: message.header.index,
        secondary: message.header.flags.contains(AddressHeaderFlags::Secondary),
    })
}

/// A link message as a value.
pub(crate) fn link(message: &LinkMessage) -> Link {
    let mut link = Link {
        ifindex: message.header.index,
        name: String::new(),
        mac: [0; 6],
        running: message.header.flags.contains(LinkFlags::Up | LinkFlags::LowerUp),
        ethernet: matches!(message.header.link_layer_type, LinkLayerType::Ether),
        mtu: 0,
    };
    for attribute in &message.attributes {
        if let LinkAttribute::IfName(name) = attribute {
            link.name.clone_from(name);
        } else if let LinkAttribute::Address(mac) = attribute {
            link.mac = mac.as_slice().try_into().unwrap_or_default();
        } else if let LinkAttribute::Mtu(mtu) = attribute {
            link.mtu = *mtu;
        }
    }
    link
}
