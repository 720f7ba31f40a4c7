//! The board: memory that the daemon shares with its guard, so that a dead or frozen daemon can be told apart
//! from a living one without asking it.
//!
//! Owns the layout, the mapping, and who may move an entry from which state to which. Four parties write: the
//! advert thread (when an advert left), the VIP executor (held or not), the guard (fenced), whoever changes a server's
//! role (writable or not). Refuses to know what
//! an address is.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
use thiserror::Error;

use crate::vrrp::time::Instant;

/// First word of the mapping; changes with the layout, so that a guard of another build refuses it.
const MAGIC: u64 = u64::from_le_bytes(*b"vrrpbrd4");

/// The addresses are off, or somebody else's.
const FREE: u32 = 0;
/// The addresses are on, or about to be: the guard takes them off when the adverts stop.
const HELD: u32 = 1;
/// The guard took them off; nobody puts them on again before the core has heard of it.
const FENCED: u32 = 2;

#[repr(C)]
struct Head {
    magic: AtomicU64,
    routers: AtomicU64,
    /// Counts up with each router that the guard fences.
    fences: AtomicU64,
}

#[repr(C)]
struct Entry {
    /// When the last advert of this router left, or it was decided to take its addresses if that was later: ns of
    /// CLOCK_MONOTONIC.
    last_sent: AtomicU64,
    state: AtomicU32,
    /// Number of the last order that the core gave the executor; one with another number has been overtaken.
    ordered: AtomicU32,
    /// Not 0: the server whose role goes with the addresses was allowed writes, and not refused them since.
    writable: AtomicU64,
    /// Until when the addresses may still be on without adverts: clients are seen off before they go. ns of CLOCK_MONOTONIC.
    leaving_until: AtomicU64,
}

/// Why there is no board.
#[derive(Debug, Error)]
pub enum BoardError {
    #[error("shared memory for the guard: {operation}: {source}")]
    Memory { operation: &'static str, source: std::io::Error },
    #[error("shared memory for the guard is not ours: another build of this program wrote it")]
    Layout,
}

/// See the file's head.
#[derive(Debug)]
pub struct Board {
    base: NonNull<u8>,
    length: usize,
    routers: usize,
    file: OwnedFd,
}

// SAFETY: the mapping holds atomics only and lives until drop; every access goes through them.
unsafe impl Send for Board {}
// SAFETY: as above.
unsafe impl Sync for Board {}

impl Board {
    /// A new board with an entry for each of `routers`.
    pub fn create(routers: usize) -> Result<Self, BoardError> {
        let failed = |operation| {
            move |errno: rustix::io::Errno| BoardError::Memory { operation, source: errno.into() }
        };
        let file = memfd_create("vrrp-board", MemfdFlags::CLOEXEC).map_err(failed("memfd_create"))?;
        let length = size_of::<Head>() + routers * size_of::<Entry>();
        ftruncate(&file, length as u64).map_err(failed("ftruncate"))?;
        let board = Self::map(file, length, routers)?;
        board.head().routers.store(routers as u64, Ordering::Relaxed);
        board.head().magic.store(MAGIC, Ordering::Release);
        Ok(board)
    }

    /// The guard's view of the board behind an open file.
    pub fn open(file: File) -> Result<Self, BoardError> {
        let length =
            file.metadata().map_err(|source| BoardError::Memory { operation: "stat", source })?.len();
        let length = usize::try_from(length).unwrap_or(0);
        let routers = length.saturating_sub(size_of::<Head>()) / size_of::<Entry>();
        if length < size_of::<Head>() {
            return Err(BoardError::Layout);
        }
        let board = Self::map(file.into(), length, routers)?;
        let head = board.head();
        if head.magic.load(Ordering::Acquire) != MAGIC
            || head.routers.load(Ordering::Relaxed) != routers as u64
        {
            return Err(BoardError::Layout);
        }
        Ok(board)
    }

    fn map(file: OwnedFd, length: usize, routers: usize) -> Result<Self, BoardError> {
        // SAFETY: a fresh shared mapping of a file that only grows before it is shared; nobody truncates it.
        let base = unsafe {
            mmap(ptr::null_mut(), length, ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED, &file, 0)
        }
        .map_err(|errno| BoardError::Memory { operation: "mmap", source: errno.into() })?;
        let base = NonNull::new(base.cast()).ok_or(BoardError::Layout)?;
        Ok(Self { base, length, routers, file })
    }

    /// The file behind it: a guard opens it through `/proc/PID/fd/N`.
    pub const fn file(&self) -> &OwnedFd {
        &self.file
    }

    /// Number of entries.
    pub const fn routers(&self) -> usize {
        self.routers
    }

    /// An advert of this router left at `at`.
    pub fn note_sent(&self, router: usize, at: Instant) {
        if let Some(entry) = self.entry(router) {
            entry.last_sent.store(at.as_nanos(), Ordering::Release);
        }
    }

    /// When the last advert of this router left, or it was decided to take its addresses if that was later.
    pub fn last_sent(&self, router: usize) -> Instant {
        Instant::from_nanos(self.entry(router).map_or(0, |entry| entry.last_sent.load(Ordering::Acquire)))
    }

    /// The core wants the addresses off, and says nothing more in their name; that may take so long. Not for one that was silent
    /// by then: whoever took over has spoken, and the guard need not wait.
    pub fn note_leaving(&self, router: usize, now: Instant, span: Duration, limit: Duration) {
        if let Some(entry) = self.entry(router)
            && self.silent_at(router, limit) > now
        {
            entry.leaving_until.store((now + span).as_nanos(), Ordering::Release);
        }
    }

    /// From when on the silence of a router means that nobody is at work there: so long after its last advert, or after the
    /// time that it had to leave. A host that is as late with its leaving as it may be with an advert is not frozen.
    pub fn silent_at(&self, router: usize, limit: Duration) -> Instant {
        let leaving = self.entry(router).map_or(0, |entry| entry.leaving_until.load(Ordering::Acquire));
        self.last_sent(router).max(Instant::from_nanos(leaving)) + limit
    }

    /// The core has given the executor an order for this router; those before it are history.
    pub fn order(&self, router: usize, number: u32) {
        if let Some(entry) = self.entry(router) {
            entry.ordered.store(number, Ordering::Release);
        }
    }

    /// Whether this is still the last order.
    pub fn is_latest(&self, router: usize, number: u32) -> bool {
        self.entry(router).is_some_and(|entry| entry.ordered.load(Ordering::Acquire) == number)
    }

    /// The core has decided that the addresses are ours. Unless they are on, silence counts from here: the first advert may find
    /// the queue full, and the one before it is of another time, as is a time to leave. It does not count from when they come on:
    /// by then the decision may be history.
    pub fn note_taking(&self, router: usize, now: Instant) {
        if let Some(entry) = self.entry(router) {
            let was_leaving = entry.leaving_until.load(Ordering::Acquire) != 0;
            if was_leaving || entry.state.load(Ordering::Acquire) != HELD {
                entry.last_sent.fetch_max(now.as_nanos(), Ordering::AcqRel);
            }
            entry.leaving_until.store(0, Ordering::Release);
        }
    }

    /// The executor is about to put addresses on: from now on the guard answers for them. False if the router is
    /// fenced: then it must not.
    pub fn hold(&self, router: usize) -> bool {
        self.entry(router).is_some_and(|entry| {
            match entry.state.compare_exchange(FREE, HELD, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => true,
                Err(state) => state == HELD,
            }
        })
    }

    /// The executor took the addresses off; a fence has served its turn, and so has the time to leave.
    pub fn free(&self, router: usize) {
        if let Some(entry) = self.entry(router) {
            entry.leaving_until.store(0, Ordering::Release);
            entry.state.store(FREE, Ordering::Release);
        }
    }

    /// Whether the addresses are on, by the board.
    pub fn is_held(&self, router: usize) -> bool {
        self.entry(router).is_some_and(|entry| entry.state.load(Ordering::Acquire) == HELD)
    }

    /// Whether the guard took them off.
    pub fn is_fenced(&self, router: usize) -> bool {
        self.entry(router).is_some_and(|entry| entry.state.load(Ordering::Acquire) == FENCED)
    }

    /// The guard claims the right to take the addresses off. False if they are not held.
    pub fn fence(&self, router: usize) -> bool {
        let fenced = self.entry(router).is_some_and(|entry| {
            entry.state.compare_exchange(HELD, FENCED, Ordering::AcqRel, Ordering::Acquire).is_ok()
        });
        if fenced {
            self.head().fences.fetch_add(1, Ordering::AcqRel);
        }
        fenced
    }

    /// Whether this router's server may take writes, with or without the addresses: told before it can.
    pub fn note_writable(&self, router: usize, may_be_writable: bool) {
        if let Some(entry) = self.entry(router) {
            entry.writable.store(may_be_writable.into(), Ordering::Release);
        }
    }

    /// The same, for the guard.
    pub fn may_be_writable(&self, router: usize) -> bool {
        self.entry(router).is_some_and(|entry| entry.writable.load(Ordering::Acquire) != 0)
    }

    /// How many times the guard fenced a router, ever: the daemon looks for a change with one load.
    pub fn fences(&self) -> u64 {
        self.head().fences.load(Ordering::Acquire)
    }

    fn head(&self) -> &Head {
        // SAFETY: the mapping is at least a Head long (checked in create and open), page-aligned, and holds atomics.
        unsafe { self.base.cast::<Head>().as_ref() }
    }

    fn entry(&self, router: usize) -> Option<&Entry> {
        if router >= self.routers {
            return None;
        }
        let offset = size_of::<Head>() + router * size_of::<Entry>();
        // SAFETY: `router` is below the number of entries that the mapping was sized for; Head and Entry are both
        // multiples of 8 bytes, so the entry is aligned; it holds atomics.
        Some(unsafe { self.base.add(offset).cast::<Entry>().as_ref() })
    }
}

impl Drop for Board {
    fn drop(&mut self) {
        // SAFETY: the mapping made in `map`, unmapped once; no reference to it outlives self.
        let unmapped = unsafe { munmap(self.base.as_ptr().cast(), self.length) };
        debug_assert!(unmapped.is_ok());
    }
}

const _: () = {
    assert!(size_of::<Head>() == 24);
    assert!(size_of::<Entry>() == 32);
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fenced_router_cannot_be_held_before_it_was_freed() {
        let board = Board::create(2).unwrap();
        assert!(!board.fence(0), "nothing held, nothing to fence");
        assert!(board.hold(0));
        assert!(board.hold(0), "holding twice is holding once");
        assert!(board.fence(0));
        assert_eq!(board.fences(), 1);
        assert!(!board.hold(0));
        board.free(0);
        assert!(board.hold(0));
        assert!(!board.is_held(1) && !board.hold(2), "no entry, no hold");
    }

    #[test]
    fn silence_counts_from_the_decision_to_take_until_an_advert_has_left() {
        let board = Board::create(1).unwrap();
        let at = Instant::from_nanos;
        board.note_sent(0, at(5));
        board.note_taking(0, at(1_000));
        assert_eq!(board.last_sent(0), at(1_000), "the advert before it is of another mastership");
        assert!(board.hold(0));
        assert_eq!(board.last_sent(0), at(1_000), "whenever that is: only adverts count");
        board.note_taking(0, at(2_000));
        assert_eq!(board.last_sent(0), at(1_000), "held already: the same");
        board.note_sent(0, at(3_000));
        board.free(0);
        board.note_taking(0, at(2_500));
        assert_eq!(board.last_sent(0), at(3_000), "an advert that left since is newer");
    }

    #[test]
    fn whoever_takes_back_what_it_was_leaving_is_as_fresh_as_anybody_and_has_no_time_to_leave() {
        let board = Board::create(1).unwrap();
        let (at, limit) = (Instant::from_nanos, Duration::from_nanos(10));
        board.note_sent(0, at(100));
        assert!(board.hold(0));
        board.note_leaving(0, at(105), Duration::from_nanos(395), limit);
        board.note_taking(0, at(200));
        assert_eq!(board.silent_at(0, limit), at(210));
    }

    #[test]
    fn whoever_leaves_is_given_its_time_and_no_more() {
        let board = Board::create(1).unwrap();
        let (at, limit) = (Instant::from_nanos, Duration::from_nanos(10));
        board.note_sent(0, at(100));
        assert_eq!(board.silent_at(0, limit), at(110));
        board.note_leaving(0, at(109), Duration::from_nanos(41), limit);
        assert_eq!(board.silent_at(0, limit), at(160));
        board.note_sent(0, at(200));
        assert_eq!(board.silent_at(0, limit), at(210), "it speaks again: that time is over");
        board.note_leaving(0, at(205), Duration::from_nanos(95), limit);
        board.free(0);
        assert_eq!(board.silent_at(0, limit), at(210), "it has left: the next time it is as any other");
        board.note_leaving(0, at(210), Duration::from_nanos(90), limit);
        assert_eq!(board.silent_at(0, limit), at(210), "it was silent before: another is master");
    }

    #[test]
    fn the_guard_sees_what_the_daemon_writes() {
        let board = Board::create(3).unwrap();
        board.note_sent(2, Instant::from_nanos(7));
        assert!(board.hold(1));
        let view = Board::open(board.file().try_clone().unwrap().into()).unwrap();
        assert_eq!((view.routers(), view.last_sent(2), view.is_held(1)), (3, Instant::from_nanos(7), true));
        assert!(view.fence(1));
        assert!(board.is_fenced(1));
    }

    #[test]
    fn a_server_may_be_writable_before_and_after_its_addresses_are_held() {
        let board = Board::create(2).unwrap();
        board.note_writable(1, true);
        let view = Board::open(board.file().try_clone().unwrap().into()).unwrap();
        assert!(view.may_be_writable(1) && !view.is_held(1) && !view.may_be_writable(0));
        assert!(board.hold(1) && view.fence(1) && view.may_be_writable(1), "a fence makes nobody read-only");
        board.note_writable(1, false);
        assert!(!view.may_be_writable(1) && !view.may_be_writable(2), "no entry, no server");
    }

    #[test]
    fn memory_that_another_build_wrote_is_refused() {
        let file = memfd_create("other", MemfdFlags::CLOEXEC).unwrap();
        ftruncate(&file, 256).unwrap();
        assert!(matches!(Board::open(file.into()), Err(BoardError::Layout)));
    }
}
