//! The multicast groups of VRRP: without a real join a network card filters the adverts away before XDP sees them,
//! and a snooping switch does not forward them.
//!
//! Owns sockets that exist only to be members: datagram sockets bound to nothing, so that they receive nothing.

use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;

use rustix::net::sockopt::set_ip_add_membership_with_ifindex;
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use thiserror::Error;

/// 224.0.0.18 (RFC 9568 §5.1.1.2).
pub const VRRP_GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 18);

/// Why an interface is not in the group.
#[derive(Debug, Error)]
#[error("cannot join {VRRP_GROUP} on interface {interface}: {source}")]
pub struct MembershipError {
    interface: String,
    source: std::io::Error,
}

/// A membership; it ends when dropped.
#[derive(Debug)]
pub struct Membership {
    _socket: OwnedFd,
}

impl Membership {
    /// Joins the group on one interface. A socket each: the kernel allows a socket 20 groups only.
    pub fn join(interface: &str, ifindex: u32) -> Result<Self, MembershipError> {
        let failed = |errno: rustix::io::Errno| MembershipError {
            interface: interface.to_owned(),
            source: errno.into(),
        };
        let socket =
            rustix::net::socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)
                .map_err(failed)?;
        set_ip_add_membership_with_ifindex(&socket, &VRRP_GROUP, &Ipv4Addr::UNSPECIFIED, ifindex)
            .map_err(failed)?;
        Ok(Self { _socket: socket })
    }
}
