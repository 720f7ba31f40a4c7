//! The consumer of the ring `ADVERTS`.
//!
//! Owns decoding a record. Refuses to know how to wait: its descriptor goes into the caller's epoll (edge-triggered:
//! drain to `None`, then wait). Allocates nothing.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

use aya::maps::ring_buf::{RingBuf, RingBufItem};
use aya::maps::{Map, MapData, MapError};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
use vrrp_ebpf::abi::{
    ABI_VERSION, RECORD_CHANGED, RECORD_REASON, RECORD_REJECTED, RECORD_WOKE, RecordHeader,
};

/// One advert that passed the kernel half's checks.
pub struct Record<'a> {
    header: RecordHeader,
    bytes: Bytes<'a>,
}

enum Bytes<'a> {
    /// Header and frame, still in the ring; given back on drop.
    Ring(RingBufItem<'a>),
    Frame(&'a [u8]),
}

impl<'a> Record<'a> {
    pub(super) fn of_frame(header: RecordHeader, frame: &'a [u8]) -> Self {
        Self { header, bytes: Bytes::Frame(frame) }
    }

    pub fn slot(&self) -> u32 {
        self.header.slot
    }

    /// Arrival, ns of CLOCK_MONOTONIC.
    pub fn arrived_ns(&self) -> u64 {
        self.header.arrived_ns
    }

    pub fn ifindex(&self) -> u32 {
        self.header.ifindex
    }

    /// The sender, its priority or its interval is not what was announced before.
    pub fn changed(&self) -> bool {
        self.header.flags & RECORD_CHANGED != 0
    }

    /// It woke the consumer.
    pub fn woke(&self) -> bool {
        self.header.flags & RECORD_WOKE != 0
    }

    /// Not an advert but a sample of what was rejected, for a trace: why, as the index of a `Counter`.
    pub fn rejected(&self) -> Option<u8> {
        let [_, reason, ..] = (self.header.flags >> (RECORD_REASON - 8)).to_le_bytes();
        (self.header.flags & RECORD_REJECTED != 0).then_some(reason)
    }

    /// From the Ethernet destination to the end of the IP packet.
    pub fn frame(&self) -> &[u8] {
        match &self.bytes {
            Bytes::Ring(item) => RecordHeader::split(item).map_or(&[], |(_, frame)| frame),
            Bytes::Frame(frame) => frame,
        }
    }
}

/// How full the ring is, for whoever asks: a view of the two positions that the kernel keeps at its head.
pub struct RingGauge {
    positions: NonNull<u8>,
    page: usize,
    size: u64,
}

// SAFETY: a read-only mapping of two counters that are only ever read atomically; it lives until drop.
unsafe impl Send for RingGauge {}

impl RingGauge {
    /// `ring` is a ring buffer of `size` bytes. Its first page holds the consumer's position, its second the producer's
    /// (kernel/bpf/ringbuf.c).
    pub(super) fn new(ring: impl AsFd, size: u32) -> io::Result<Self> {
        let page = rustix::param::page_size();
        // SAFETY: a fresh mapping at an address of the kernel's choice.
        let address =
            unsafe { mmap(std::ptr::null_mut(), 2 * page, ProtFlags::READ, MapFlags::SHARED, ring, 0)? };
        let positions =
            NonNull::new(address.cast()).ok_or_else(|| io::Error::other("mapped at address 0"))?;
        Ok(Self { positions, page, size: size.into() })
    }

    /// Bytes taken, and bytes there are.
    pub fn fill(&self) -> (u64, u64) {
        let consumed = self.position(0);
        let produced = self.position(self.page);
        (produced.saturating_sub(consumed).min(self.size), self.size)
    }

    fn position(&self, offset: usize) -> u64 {
        // SAFETY: within the two pages mapped, page-aligned, and others write it as one word.
        unsafe { self.positions.add(offset).cast::<AtomicU64>().as_ref() }.load(Ordering::Acquire)
    }
}

impl Drop for RingGauge {
    fn drop(&mut self) {
        // SAFETY: our own mapping, and nobody holds a reference into it.
        let unmapped = unsafe { munmap(self.positions.as_ptr().cast(), 2 * self.page) };
        debug_assert!(unmapped.is_ok(), "a mapping of ours unmaps");
    }
}

/// The consuming end.
pub struct Ring {
    ring: RingBuf<MapData>,
    /// Records of another ABI version or shorter than they claim: cannot happen, and is not passed over in silence.
    pub malformed: u64,
}

impl Ring {
    pub(super) fn new(map: Map) -> Result<Self, MapError> {
        Ok(Self { ring: RingBuf::try_from(map)?, malformed: 0 })
    }

    /// The oldest record not yet taken.
    pub fn next_record(&mut self) -> Option<Record<'_>> {
        let item = self.ring.next()?;
        let header = match RecordHeader::split(&item) {
            Some((header, _)) if header.abi_version == ABI_VERSION => header,
            Some(_) | None => {
                self.malformed += 1;
                // An empty frame, which no parser accepts: the caller goes on to the next record.
                RecordHeader { abi_version: 0, length: 0, slot: 0, arrived_ns: 0, ifindex: 0, flags: 0 }
            }
        };
        Some(Record { header, bytes: Bytes::Ring(item) })
    }
}

impl AsFd for Ring {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.ring.as_fd()
    }
}
