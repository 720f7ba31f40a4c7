//! An ear on one interface for a while: every VRRP frame that comes or goes, right or wrong.
//!
//! Owns a socket and a membership of its own, beside whatever a daemon has. What an XDP program of this host drops, it
//! does not hear. Refuses to know what a frame says.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use thiserror::Error;
use vrrp_ebpf::abi::MAX_FRAME;

use super::soft::SocketError;
use super::soft::socket::Socket;
use super::{Interface, clock, receiver};
use crate::vrrp::Instant;

#[derive(Debug, Error)]
pub enum EarError {
    #[error(transparent)]
    Socket(#[from] SocketError),
    #[error("join the VRRP group on interface {interface}: {source}")]
    Join { interface: String, source: io::Error },
    #[error("listen on interface {interface}: {source}")]
    Listen { interface: String, source: io::Error },
}

/// See the file's head.
pub struct Ear {
    socket: Socket,
    interface: Interface,
    buffer: Vec<u8>,
    _membership: OwnedFd,
}

impl Ear {
    pub fn open(interface: &Interface) -> Result<Self, EarError> {
        let socket = Socket::open()?;
        socket.hear_own()?;
        let membership = receiver::join(interface)
            .map_err(|source| EarError::Join { interface: interface.name.clone(), source })?;
        let buffer = vec![0; MAX_FRAME];
        Ok(Self { socket, interface: interface.clone(), buffer, _membership: membership })
    }

    /// The next frame and its arrival; None when that instant has come.
    pub fn next(&mut self, until: Instant) -> Result<Option<(Instant, &[u8])>, EarError> {
        loop {
            while let Some(received) = self.socket.receive(&mut self.buffer) {
                if received.ifindex == self.interface.index {
                    let frame = self.buffer.get(..received.length).unwrap_or_default();
                    return Ok(Some((Instant::from_nanos(received.arrived_ns), frame)));
                }
                if clock::now() >= until {
                    return Ok(None);
                }
            }
            let left = until.since(clock::now());
            if left == Duration::ZERO {
                return Ok(None);
            }
            self.wait(left)?;
        }
    }

    fn wait(&self, left: Duration) -> Result<(), EarError> {
        let mut descriptors = [PollFd::from_borrowed_fd(self.socket.as_fd(), PollFlags::IN)];
        let timeout = Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: left.subsec_nanos().into(),
        };
        match poll(&mut descriptors, Some(&timeout)) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(errno) => {
                Err(EarError::Listen { interface: self.interface.name.clone(), source: errno.into() })
            }
        }
    }
}
