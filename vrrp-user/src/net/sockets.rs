//! Destroys TCP sockets of clients that came in over a virtual address: each client sees a reset at once.
//!
//! Owns the two sock_diag requests, list and destroy. To be used while the address is still ours: the reset is sent from it.
//! Refuses to know whose sockets they are.

use std::io;
use std::net::Ipv4Addr;
use std::time::Duration;

use netlink_sys::{Socket, SocketAddr};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::time::Timespec;
use thiserror::Error;

use super::clock;
use crate::vrrp::Instant;

/// NETLINK_SOCK_DIAG.
const PROTOCOL: isize = 4;
const SOCK_DIAG_BY_FAMILY: u16 = 20;
const SOCK_DESTROY: u16 = 21;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const REQUEST: u16 = 1;
const ACK: u16 = 4;
const DUMP: u16 = 0x300;
/// Everything but listeners and what has no owner any more.
const STATES: u32 = bits(&[1, 3, 4, 5, 8, 9, 11]);
/// The kernel answers within the system call.
const REPLY_DEADLINE: Duration = Duration::from_millis(500);

/// Who connects after a look is missed by whoever goes by it.
const STALE: Duration = Duration::from_millis(20);
/// Clients that come back at once come back to an address that is still here: they are ended so often.
const LOOKS: usize = 3;

/// struct nlmsghdr.
const HEADER: usize = 16;
/// struct inet_diag_sockid.
const ID: usize = 48;
/// struct inet_diag_req_v2.
const BODY: usize = 8 + ID;
/// struct inet_diag_msg begins with family, state, timer, retransmits; then the id.
const ID_AT: usize = 4;

const fn bits(states: &[u32]) -> u32 {
    let (mut all, mut index) = (0, 0);
    while index < states.len() {
        all |= 1 << states[index];
        index += 1;
    }
    all
}

#[derive(Debug, Error)]
pub enum SocketsError {
    #[error("sock_diag: {operation}: {source}")]
    System { operation: &'static str, source: io::Error },
    #[error("sock_diag: the kernel does not answer within {REPLY_DEADLINE:?}")]
    Silent,
    #[error("sock_diag: there are more sockets than can be looked through in the time there is")]
    TooMany,
    #[error(
        "sock_diag: the kernel refuses to {what}: {source}; it may be built without CONFIG_INET_DIAG_DESTROY"
    )]
    Refused { what: &'static str, source: io::Error },
}

/// Destroys every socket whose own end is one of these addresses and ports; how many there were.
pub fn destroy(addresses: &[Ipv4Addr], ports: &[u16]) -> Result<usize, SocketsError> {
    let Seen { socket, ids, .. } = look(None)?;
    let (mut count, mut failed) = (0, None);
    for (family, id) in ids.iter().filter(|(family, id)| is_wanted(id, *family, addresses, ports)) {
        // One that cannot be ended is no reason to spare the others.
        match end(&socket, *family, id) {
            Ok(is_ended) => count += usize::from(is_ended),
            Err(error @ SocketsError::Refused { .. }) => failed = Some(error),
            Err(error) => return Err(error),
        }
    }
    failed.map_or(Ok(count), Err)
}

/// What ended, and whether it was everybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    pub count: usize,
    pub is_whole: bool,
}

/// The host's sockets as they were a moment ago: the kernel looks through all of them to list any, and many addresses may go at
/// once.
#[derive(Debug, Default)]
pub struct Census {
    seen: Option<Seen>,
}

#[derive(Debug)]
struct Seen {
    at: Instant,
    socket: Socket,
    /// With their families.
    ids: Vec<(u8, [u8; ID])>,
}

impl Census {
    /// As [`destroy`], and also who came in place of those that were ended, up to `until`.
    pub fn destroy_until(
        &mut self,
        addresses: &[Ipv4Addr],
        ports: &[u16],
        until: Instant,
    ) -> Result<Ended, SocketsError> {
        let (mut count, mut failed) = (0, None);
        for _ in 0..LOOKS {
            let seen = match self.seen.take().filter(|seen| clock::now().since(seen.at) < STALE) {
                Some(seen) => seen,
                None if clock::now() >= until => return Ok(Ended { count, is_whole: false }),
                None => look(Some(until))?,
            };
            let wanted = |(family, id): &&(u8, [u8; ID])| is_wanted(id, *family, addresses, ports);
            let mut is_anybody = false;
            for (family, id) in seen.ids.iter().filter(wanted) {
                if clock::now() >= until {
                    return Ok(Ended { count, is_whole: false });
                }
                is_anybody = true;
                // One that cannot be ended is no reason to spare the others.
                match end(&seen.socket, *family, id) {
                    Ok(is_ended) => count += usize::from(is_ended),
                    Err(error @ SocketsError::Refused { .. }) => failed = Some(error),
                    Err(error) => return Err(error),
                }
            }
            if !is_anybody {
                self.seen = Some(seen);
                break;
            }
        }
        failed.map_or(Ok(Ended { count, is_whole: true }), Err)
    }

    /// The next one looks again.
    pub fn forget(&mut self) {
        self.seen = None;
    }
}

fn look(until: Option<Instant>) -> Result<Seen, SocketsError> {
    let socket = open()?;
    let mut ids = Vec::new();
    for family in [libc::AF_INET, libc::AF_INET6] {
        let Ok(family) = u8::try_from(family) else { continue };
        ids.extend(list(&socket, family, until)?.into_iter().map(|id| (family, id)));
    }
    Ok(Seen { at: clock::now(), socket, ids })
}

fn open() -> Result<Socket, SocketsError> {
    let failed = |operation| move |source| SocketsError::System { operation, source };
    let mut socket = Socket::new(PROTOCOL).map_err(failed("open a socket"))?;
    socket.bind_auto().map_err(failed("bind"))?;
    socket.connect(&SocketAddr::new(0, 0)).map_err(failed("connect"))?;
    Ok(socket)
}

fn list(socket: &Socket, family: u8, until: Option<Instant>) -> Result<Vec<[u8; ID]>, SocketsError> {
    send(socket, &request(SOCK_DIAG_BY_FAMILY, REQUEST | DUMP, family, STATES, &[0; ID]))?;
    let mut ids = Vec::new();
    loop {
        if until.is_some_and(|until| clock::now() >= until) {
            return Err(SocketsError::TooMany);
        }
        for (kind, payload) in messages(&receive(socket)?) {
            match kind {
                NLMSG_DONE => return Ok(ids),
                NLMSG_ERROR => {
                    return Err(SocketsError::Refused { what: "list sockets", source: errno(payload) });
                }
                _ => {
                    let id = payload.get(ID_AT..ID_AT + ID).and_then(|id| <[u8; ID]>::try_from(id).ok());
                    ids.extend(id);
                }
            }
        }
    }
}

/// False if it was gone already.
fn end(socket: &Socket, family: u8, id: &[u8; ID]) -> Result<bool, SocketsError> {
    send(socket, &request(SOCK_DESTROY, REQUEST | ACK, family, STATES, id))?;
    let answer = receive(socket)?;
    let source = messages(&answer).find(|(kind, _)| *kind == NLMSG_ERROR).map(|(_, payload)| errno(payload));
    match source {
        None => Ok(false),
        Some(source) if source.raw_os_error() == Some(0) => Ok(true),
        Some(source) if source.raw_os_error() == Some(libc::ENOENT) => Ok(false),
        Some(source) => Err(SocketsError::Refused { what: "destroy a socket", source }),
    }
}

fn request(kind: u16, flags: u16, family: u8, states: u32, id: &[u8; ID]) -> Vec<u8> {
    let length = u32::try_from(HEADER + BODY).unwrap_or(0);
    let mut bytes = Vec::with_capacity(HEADER + BODY);
    bytes.extend(length.to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(flags.to_ne_bytes());
    // Sequence and port: one question at a time on a socket of its own.
    bytes.extend([0; 8]);
    let tcp = u8::try_from(libc::IPPROTO_TCP).unwrap_or(0);
    bytes.extend([family, tcp, 0, 0]);
    bytes.extend(states.to_ne_bytes());
    bytes.extend(id);
    bytes
}

/// The own end: port, 2 octets of the other's, then the address, IPv4 in its first 4 octets.
fn is_wanted(id: &[u8; ID], family: u8, addresses: &[Ipv4Addr], ports: &[u16]) -> bool {
    let [p0, p1, _, _, source @ ..] = id;
    if !ports.contains(&u16::from_be_bytes([*p0, *p1])) {
        return false;
    }
    // A server that listens on both families has IPv4 clients as ::ffff:a.b.c.d.
    let is_mapped = source.starts_with(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff]);
    let octets = match i32::from(family) {
        libc::AF_INET => source.get(..4),
        _ if is_mapped => source.get(12..16),
        _ => None,
    };
    let octets = octets.and_then(|octets| <[u8; 4]>::try_from(octets).ok());
    octets.is_some_and(|octets| addresses.contains(&Ipv4Addr::from(octets)))
}

fn send(socket: &Socket, bytes: &[u8]) -> Result<(), SocketsError> {
    let failed = |source| SocketsError::System { operation: "send", source };
    socket.send(bytes, 0).map(drop).map_err(failed)
}

fn receive(socket: &Socket) -> Result<Vec<u8>, SocketsError> {
    let mut polled = [PollFd::new(socket, PollFlags::IN)];
    let timeout = Timespec::try_from(REPLY_DEADLINE).unwrap_or(Timespec { tv_sec: 0, tv_nsec: 0 });
    match poll(&mut polled, Some(&timeout)) {
        Ok(0) => Err(SocketsError::Silent),
        Ok(_) => {
            let failed = |source| SocketsError::System { operation: "receive", source };
            socket.recv_from_full().map(|(bytes, _)| bytes).map_err(failed)
        }
        Err(errno) => Err(SocketsError::System { operation: "poll", source: errno.into() }),
    }
}

/// Kind and payload of each message in a datagram; what is cut off ends it.
fn messages(bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let length = u32::from_ne_bytes(rest.get(..4)?.try_into().ok()?);
        let length = usize::try_from(length).ok().filter(|length| *length >= HEADER)?;
        let message = rest.get(..length)?;
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        let kind = u16::from_ne_bytes(message.get(4..6)?.try_into().ok()?);
        Some((kind, message.get(HEADER..)?))
    })
}

/// struct nlmsgerr begins with the negated errno; 0 acknowledges.
fn errno(payload: &[u8]) -> io::Error {
    let code = payload
        .get(..4)
        .and_then(|code| <[u8; 4]>::try_from(code).ok())
        .map_or(libc::EPROTO, |code| i32::from_ne_bytes(code).saturating_neg());
    io::Error::from_raw_os_error(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(port: u16, source: [u8; 16]) -> [u8; ID] {
        let mut id = [0xa5; ID];
        id[..2].copy_from_slice(&port.to_be_bytes());
        id[4..20].copy_from_slice(&source);
        id
    }

    #[test]
    fn only_the_own_end_is_looked_at_in_both_families() {
        let vip = Ipv4Addr::new(10, 99, 0, 200);
        let plain = [10, 99, 0, 200, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let mapped = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 99, 0, 200];
        let (v4, v6) = (2, 10);
        for (id, family, expected) in [
            (id(3306, plain), v4, true),
            (id(3307, plain), v4, false),
            (id(3306, mapped), v6, true),
            (id(3306, plain), v6, false),
            (id(3306, [0; 16]), v4, false),
        ] {
            assert_eq!(is_wanted(&id, family, &[vip], &[3306]), expected);
        }
    }

    #[test]
    fn nobody_is_looked_for_when_the_time_is_over_and_nobody_is_said_to_be_left() {
        let vip = [Ipv4Addr::new(192, 0, 2, 200)];
        let ended = |until| Census::default().destroy_until(&vip, &[3306], until).unwrap();
        let now = clock::now();
        assert_eq!(ended(now), Ended { count: 0, is_whole: false });
        assert_eq!(ended(now + Duration::from_secs(60)), Ended { count: 0, is_whole: true });
    }

    #[test]
    fn a_datagram_is_taken_apart_and_what_is_cut_off_ends_it() {
        let mut bytes = Vec::new();
        for (kind, payload) in [(20_u16, [1_u8; 4]), (3, [2; 4])] {
            bytes.extend(20_u32.to_ne_bytes());
            bytes.extend(kind.to_ne_bytes());
            bytes.extend([0; 10]);
            bytes.extend(payload);
        }
        let all: Vec<(u16, &[u8])> = messages(&bytes).collect();
        assert_eq!(all, [(20, &[1; 4][..]), (3, &[2; 4][..])]);
        assert_eq!(messages(&bytes[..30]).count(), 1);
        assert_eq!(messages(&[0; 16]).count(), 0, "a length of nothing must not go round for ever");
    }
}
