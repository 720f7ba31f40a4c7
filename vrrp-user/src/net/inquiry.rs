//! Asks a segment who has an address, and listens for a moment.
//!
//! Owns a packet socket for ARP alone, for one inquiry. Changes nobody's cache. Refuses to know who should have it.

use std::collections::BTreeSet;
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socket_with};
use thiserror::Error;

use super::{clock, packet};
use crate::vrrp::Instant;
use crate::wire::{MacAddress, arp, ethernet};

/// A probe or its answer may be lost.
const ASKED: u32 = 3;
/// RFC 5227 has seconds between them, for hosts that start all at once; one that an operator asks with need not wait for those.
const SPACING: Duration = Duration::from_millis(150);
/// An Ethernet frame of the smallest size.
const FRAME: usize = 60;

#[derive(Debug, Error)]
#[error("ask by ARP on interface {ifindex}: {operation}: {source}; it needs CAP_NET_RAW")]
pub struct InquiryError {
    ifindex: u32,
    operation: &'static str,
    source: io::Error,
}

/// Who claims one of these addresses on the interface, besides the cards in `ours`. Takes about half a second.
///
/// # Errors
/// No socket, no such interface, or it is down.
pub fn ask(
    ifindex: u32,
    hardware: MacAddress,
    addresses: &BTreeSet<Ipv4Addr>,
    ours: &BTreeSet<[u8; 6]>,
) -> Result<BTreeSet<(Ipv4Addr, [u8; 6])>, InquiryError> {
    let error = |operation| move |source: io::Error| InquiryError { ifindex, operation, source };
    let socket = open(ifindex).map_err(error("open a socket"))?;
    let mut claims = BTreeSet::new();
    for _ in 0..ASKED {
        for address in addresses {
            let mut frame = [0; FRAME];
            arp::Repr { hardware, address: *address }.emit_probe(&mut frame);
            match send(&socket, &frame, SendFlags::DONTWAIT) {
                // A full queue: the next round asks again.
                Ok(_) | Err(Errno::AGAIN | Errno::NOBUFS) => {}
                Err(errno) => return Err(error("send")(errno.into())),
            }
        }
        let until = clock::now() + SPACING;
        while let Some(claim) = next(&socket, until).map_err(error("listen"))? {
            if addresses.contains(&claim.address) && !ours.contains(&claim.hardware.0) {
                claims.insert((claim.address, claim.hardware.0));
            }
        }
    }
    Ok(claims)
}

fn open(ifindex: u32) -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::PACKET, SocketType::RAW, flags, None)?;
    packet::bind(&socket, ifindex, ethernet::TYPE_ARP)?;
    Ok(socket)
}

/// The next claim of any address; none when that instant has come.
fn next(socket: &OwnedFd, until: Instant) -> io::Result<Option<arp::Repr>> {
    loop {
        let left = until.since(clock::now());
        if left.is_zero() {
            return Ok(None);
        }
        let mut frame = [0; FRAME];
        match recv(socket, &mut frame, RecvFlags::DONTWAIT) {
            Ok((_, length)) => {
                let frame = frame.get(..length).unwrap_or(&frame);
                if let Ok(claim) = arp::Repr::parse_claim(frame) {
                    return Ok(Some(claim));
                }
            }
            Err(Errno::AGAIN) => wait(socket, left)?,
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

fn wait(socket: &OwnedFd, left: Duration) -> io::Result<()> {
    let mut descriptors = [PollFd::from_borrowed_fd(socket.as_fd(), PollFlags::IN)];
    let timeout = Timespec { tv_sec: 0, tv_nsec: left.min(SPACING).subsec_nanos().into() };
    match poll(&mut descriptors, Some(&timeout)) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}
