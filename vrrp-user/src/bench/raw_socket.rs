//! What a daemon without a kernel half would listen on: a raw socket of IP protocol 112 with kernel receive times.
//!
//! Receives only. Refuses to know what an advert means.

use std::io;
use std::mem::zeroed;
use std::net::Ipv4Addr;
use std::num::NonZeroU32;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use rustix::net::sockopt::{
    Timeout, set_ip_add_membership_with_ifindex, set_socket_recv_buffer_size_force, set_socket_timeout,
};
use rustix::net::{AddressFamily, Protocol, SocketFlags, SocketType, socket_with};
use rustix::time::Timespec;
use thiserror::Error;
use vrrp_ebpf::abi::IPPROTO_VRRP;

use crate::net::{Interface, stamp};
use crate::wire::frame::MULTICAST;

/// As the daemon's own fallback: a burst of some thousand adverts.
const RECEIVE_BUFFER: usize = 4 << 20;

#[derive(Debug, Error)]
#[error("raw socket on {interface}: {operation}: {source}; it needs root (CAP_NET_RAW)")]
pub struct RawSocketError {
    interface: String,
    operation: &'static str,
    source: io::Error,
}

pub(super) struct RawSocket {
    fd: OwnedFd,
}

pub(super) struct Received {
    /// From the IP header on.
    pub(super) length: usize,
    /// The kernel's, of CLOCK_REALTIME.
    pub(super) stamp: Option<Timespec>,
}

impl RawSocket {
    /// Hears this interface only. [`Self::receive`] waits no longer than `patience`.
    pub(super) fn open(interface: &Interface, patience: Duration) -> Result<Self, RawSocketError> {
        let failed = |operation| {
            let interface = interface.name.clone();
            move |source: io::Error| RawSocketError { interface, operation, source }
        };
        // Not 0, so it is one.
        let protocol = NonZeroU32::new(u32::from(IPPROTO_VRRP)).map(Protocol::from_raw);
        let fd = socket_with(AddressFamily::INET, SocketType::RAW, SocketFlags::CLOEXEC, protocol)
            .map_err(|errno| failed("socket")(errno.into()))?;
        let socket = Self { fd };
        socket.set(libc::SO_BINDTODEVICE, interface.name.as_bytes()).map_err(failed("SO_BINDTODEVICE"))?;
        socket.set(libc::SO_TIMESTAMPNS, &1_i32.to_ne_bytes()).map_err(failed("SO_TIMESTAMPNS"))?;
        set_socket_timeout(&socket.fd, Timeout::Recv, Some(patience))
            .map_err(|errno| failed("SO_RCVTIMEO")(errno.into()))?;
        set_socket_recv_buffer_size_force(&socket.fd, RECEIVE_BUFFER)
            .map_err(|errno| failed("SO_RCVBUFFORCE")(errno.into()))?;
        set_ip_add_membership_with_ifindex(&socket.fd, &MULTICAST, &Ipv4Addr::UNSPECIFIED, interface.index)
            .map_err(|errno| failed("join 224.0.0.18")(errno.into()))?;
        Ok(socket)
    }

    /// The oldest packet, waiting for one; `None` if none came in time. A packet longer than `buffer` is cut.
    pub(super) fn receive(&self, buffer: &mut [u8]) -> Option<Received> {
        let mut control = stamp::Control::new();
        let mut vector = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
        // SAFETY: null pointers and zeros are an empty message.
        let mut message: libc::msghdr = unsafe { zeroed() };
        message.msg_iov = &raw mut vector;
        message.msg_iovlen = 1;
        control.lend_to(&mut message);
        // SAFETY: all pointers in the message live until the end of this function.
        let length = unsafe { libc::recvmsg(self.fd.as_raw_fd(), &raw mut message, 0) };
        // Nothing came, or a passing error such as ENETDOWN: the caller looks at the time and comes back.
        let length = usize::try_from(length).ok()?;
        // SAFETY: the kernel filled in the message, and what it points to lives.
        Some(Received { length, stamp: unsafe { stamp::of(&message) } })
    }

    fn set(&self, option: libc::c_int, value: &[u8]) -> io::Result<()> {
        let length = libc::socklen_t::try_from(value.len()).map_err(io::Error::other)?;
        // SAFETY: the pointer is valid for the length given; the kernel only reads.
        let set = unsafe {
            libc::setsockopt(self.fd.as_raw_fd(), libc::SOL_SOCKET, option, value.as_ptr().cast(), length)
        };
        if set < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}
