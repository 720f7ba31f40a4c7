//! A send-only AF_PACKET socket for one interface.
//!
//! Owns the socket and the batching of frames into `sendmmsg`. Protocol 0 means that it receives nothing, ever:
//! adverts come in through the receiver alone. Knows nothing of what the frames say.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::mem::size_of;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::{array, io, mem, thread};

use rustix::net::{AddressFamily, SocketFlags, SocketType};
use thiserror::Error;

const AF_PACKET: libc::sa_family_t = 17;
const SOCKADDR_LL_LENGTH: libc::socklen_t = 20;
const _: () = assert!(libc::AF_PACKET == 17 && size_of::<libc::sockaddr_ll>() == 20);

/// Frames that leave in one system call at most: the arrays for them live on the stack.
const BATCH: usize = 32;

/// Sockets that are closed side by side, each by a thread for this one call.
const CLOSED_AT_ONCE: usize = 64;
const CLOSING_STACK: usize = 64 * 1024;

/// Why an interface has no send socket.
#[derive(Debug, Error)]
#[error("no packet socket on interface {ifindex}: {operation}: {source}; the daemon needs CAP_NET_RAW")]
pub struct PacketSocketError {
    ifindex: u32,
    operation: &'static str,
    source: io::Error,
}

/// What became of a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// Frames that the kernel took.
    pub frames: u32,
    /// Frames that it refused: queue full, link down.
    pub refused: u32,
}

/// A socket bound to one interface that can only send.
#[derive(Debug)]
pub struct PacketSocket {
    socket: OwnedFd,
}

impl PacketSocket {
    /// Opens the socket and binds it to the interface.
    pub fn open(ifindex: u32) -> Result<Self, PacketSocketError> {
        let error = |operation| move |source: io::Error| PacketSocketError { ifindex, operation, source };
        let socket = rustix::net::socket_with(
            AddressFamily::PACKET,
            SocketType::RAW,
            SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
            None,
        )
        .map_err(|errno| error("socket")(errno.into()))?;
        bind(&socket, ifindex, 0).map_err(error("bind"))?;
        Ok(Self { socket })
    }

    /// Sends the frames in order, in batches. Never blocks: what the queue does not take is refused and counted,
    /// since a late advert is worth less than the next one. `left` is told of each that left, by its place among them.
    pub fn send<'a>(&self, mut frames: impl Iterator<Item = &'a [u8]>, mut left: impl FnMut(usize)) -> Sent {
        let mut total = Sent::default();
        let mut from = 0;
        loop {
            let mut batch: [&[u8]; BATCH] = [&[]; BATCH];
            let mut count = 0;
            for (place, frame) in batch.iter_mut().zip(&mut frames) {
                *place = frame;
                count += 1;
            }
            self.send_batch(&batch[..count], &mut total, |place| left(from + place));
            if count < BATCH {
                return total;
            }
            from += count;
        }
    }

    fn send_batch(&self, frames: &[&[u8]], total: &mut Sent, mut left: impl FnMut(usize)) {
        let mut slices: [libc::iovec; BATCH] = array::from_fn(|index| {
            let frame = frames.get(index).copied().unwrap_or(&[]);
            libc::iovec { iov_base: frame.as_ptr().cast_mut().cast(), iov_len: frame.len() }
        });
        let mut messages: [libc::mmsghdr; BATCH] = array::from_fn(|index| {
            // SAFETY: a msghdr is pointers and integers; all zero means "none of it".
            let mut header: libc::msghdr = unsafe { mem::zeroed() };
            header.msg_iov = &raw mut slices[index];
            header.msg_iovlen = 1;
            libc::mmsghdr { msg_hdr: header, msg_len: 0 }
        });
        let mut next = 0;
        while next < frames.len() {
            let rest = &mut messages[next..frames.len()];
            // SAFETY: `rest` points at initialised headers, each at one iovec, each at a frame; slices and frames
            // outlive the call, and sendmmsg reads the frames only. `rest.len()` is at most BATCH.
            let sent = unsafe {
                libc::sendmmsg(
                    self.socket.as_raw_fd(),
                    rest.as_mut_ptr(),
                    libc::c_uint::try_from(rest.len()).unwrap_or(0),
                    libc::MSG_DONTWAIT,
                )
            };
            if let Ok(sent @ 1..) = usize::try_from(sent) {
                total.frames += u32::try_from(sent).unwrap_or(0);
                (next..next + sent).for_each(&mut left);
                next += sent;
            } else if io::Error::last_os_error().kind() != io::ErrorKind::Interrupted {
                // The first frame of the rest was refused: the others may still go.
                total.refused += 1;
                next += 1;
            }
        }
    }
}

/// One send socket for each interface in use. A clone shares them.
#[derive(Clone, Debug, Default)]
pub struct PacketSockets {
    by_interface: BTreeMap<u32, Arc<PacketSocket>>,
}

impl PacketSockets {
    /// Sockets for these interfaces; one named twice gets one.
    pub fn open(interfaces: impl IntoIterator<Item = u32>) -> Result<Self, PacketSocketError> {
        Self::default().with(interfaces)
    }

    /// Sockets for these interfaces: those that are open already, and new ones.
    pub fn with(&self, interfaces: impl IntoIterator<Item = u32>) -> Result<Self, PacketSocketError> {
        let mut sockets = Self::default();
        for ifindex in interfaces {
            if let Entry::Vacant(place) = sockets.by_interface.entry(ifindex) {
                place.insert(match self.by_interface.get(&ifindex) {
                    Some(open) => Arc::clone(open),
                    None => Arc::new(PacketSocket::open(ifindex)?),
                });
            }
        }
        Ok(sockets)
    }

    /// As [`Self::with`], leaving out interfaces that cannot be had.
    #[must_use]
    pub fn with_those_there(&self, interfaces: impl IntoIterator<Item = u32>) -> Self {
        let mut sockets = Self::default();
        for ifindex in interfaces {
            if let Entry::Vacant(place) = sockets.by_interface.entry(ifindex) {
                let open = self.by_interface.get(&ifindex).map(Arc::clone);
                if let Some(socket) = open.or_else(|| PacketSocket::open(ifindex).ok().map(Arc::new)) {
                    place.insert(socket);
                }
            }
        }
        sockets
    }

    /// Sends on one interface, as [`PacketSocket::send`]; without a socket for it, every frame is refused.
    pub fn send<'a>(
        &self,
        ifindex: u32,
        frames: impl Iterator<Item = &'a [u8]>,
        left: impl FnMut(usize),
    ) -> Sent {
        match self.by_interface.get(&ifindex) {
            Some(socket) => socket.send(frames, left),
            None => Sent { frames: 0, refused: u32::try_from(frames.count()).unwrap_or(u32::MAX) },
        }
    }
}

/// The kernel has whoever closes a packet socket wait until no processor can be using it any more, tens of milliseconds each
/// time; who closes several side by side waits once.
impl Drop for PacketSockets {
    fn drop(&mut self) {
        let mut ours: Vec<PacketSocket> =
            mem::take(&mut self.by_interface).into_values().filter_map(Arc::into_inner).collect();
        while !ours.is_empty() {
            let mut some = ours.split_off(ours.len().saturating_sub(CLOSED_AT_ONCE)).into_iter();
            thread::scope(|scope| {
                let first = some.next();
                for socket in some {
                    let closing = thread::Builder::new().name("closing".to_owned()).stack_size(CLOSING_STACK);
                    // Without a thread it is closed here: what was to be done goes with what it was to be done with.
                    if let Err(error) = closing.spawn_scoped(scope, move || drop(socket)) {
                        tracing::debug!("no thread to close a packet socket: {error}");
                    }
                }
                drop(first);
            });
        }
    }
}

/// `protocol` is what it is to receive, an EtherType; 0: nothing.
pub(super) fn bind(socket: &OwnedFd, ifindex: u32, protocol: u16) -> io::Result<()> {
    let address = libc::sockaddr_ll {
        sll_family: AF_PACKET,
        sll_protocol: protocol.to_be(),
        sll_ifindex: i32::try_from(ifindex).map_err(io::Error::other)?,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 0,
        sll_addr: [0; 8],
    };
    // SAFETY: `address` is a sockaddr_ll that outlives the call, and the length given is its own.
    let result = unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), SOCKADDR_LL_LENGTH) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
