//! A bounded queue with a bell: how threads hand each other edges.
//!
//! Owns the queue and an eventfd that a poller can wait on. Posting never blocks and never allocates; what does not
//! fit is refused and counted, and the caller says what that means.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_queue::ArrayQueue;
use rustix::event::{EventfdFlags, eventfd};
use rustix::io::Errno;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// The queue was full; the item comes back.
#[derive(Debug)]
pub struct Full<T>(pub T);

/// See the file's head.
#[derive(Debug)]
pub struct Mailbox<T> {
    queue: ArrayQueue<T>,
    bell: OwnedFd,
    refused: AtomicU64,
}

impl<T> Mailbox<T> {
    /// A mailbox for at most `depth` items.
    pub fn new(depth: usize) -> Result<Self, Errno> {
        let bell = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self { queue: ArrayQueue::new(depth), bell, refused: AtomicU64::new(0) })
    }

    /// Puts an item in and rings.
    pub fn post(&self, item: T) -> Result<(), Full<T>> {
        match self.queue.push(item) {
            Ok(()) => {
                self.ring();
                Ok(())
            }
            Err(item) => {
                self.refused.fetch_add(1, Ordering::Relaxed);
                Err(Full(item))
            }
        }
    }

    /// Wakes the poller without an item.
    pub fn ring(&self) {
        // EAGAIN is a counter at its limit: the bell is ringing already. Nothing else can fail here.
        match rustix::io::write(&self.bell, &1u64.to_ne_bytes()) {
            Ok(_) | Err(_) => {}
        }
    }

    /// Silences the bell. Call it before taking, so that a post in between rings again.
    pub fn hush(&self) {
        // EAGAIN: it was silent.
        match rustix::io::read(&self.bell, &mut [0u8; 8]) {
            Ok(_) | Err(_) => {}
        }
    }

    /// Whether there is nothing to take.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// The oldest item.
    pub fn take(&self) -> Option<T> {
        self.queue.pop()
    }

    /// The bell for a runtime that waits by awaiting. Must be called inside one.
    pub fn listen(&self) -> io::Result<AsyncFd<OwnedFd>> {
        let bell = self.bell.try_clone()?;
        // SAFETY: an OwnedFd is open until it is dropped and always says the same number, and the AsyncFd owns it.
        unsafe { AsyncFd::register_with_interest(bell, Interest::READABLE) }.map_err(io::Error::from)
    }

    /// Items refused since the start.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }
}

impl<T> AsFd for Mailbox<T> {
    /// The bell: readable while it rings.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_comes_back_and_is_counted() {
        let mailbox = Mailbox::new(1).unwrap();
        mailbox.post(1).unwrap();
        assert!(matches!(mailbox.post(2), Err(Full(2))));
        assert_eq!((mailbox.refused(), mailbox.take(), mailbox.take()), (1, Some(1), None));
    }

    #[test]
    fn a_post_after_the_hush_rings_again() {
        let mailbox = Mailbox::new(4).unwrap();
        let rings = |mailbox: &Mailbox<u8>| {
            let mut polled = [rustix::event::PollFd::new(mailbox, rustix::event::PollFlags::IN)];
            rustix::event::poll(&mut polled, Some(&rustix::time::Timespec { tv_sec: 0, tv_nsec: 0 })).unwrap()
                == 1
        };
        assert!(!rings(&mailbox));
        mailbox.post(1).unwrap();
        assert!(rings(&mailbox));
        mailbox.hush();
        assert!(!rings(&mailbox));
        mailbox.post(2).unwrap();
        assert!(rings(&mailbox));
    }
}
