//! The consumer of the ring `ADVERTS`.
//!
//! Owns decoding a record. Refuses to know how to wait: its descriptor goes into the caller's epoll (edge-triggered:
//! drain to `None`, then wait). Allocates nothing.

use std::os::fd::{AsFd, BorrowedFd};

use aya::maps::ring_buf::{RingBuf, RingBufItem};
use aya::maps::{Map, MapData, MapError};
use vrrp_ebpf::abi::{ABI_VERSION, RECORD_CHANGED, RECORD_WOKE, RecordHeader};

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

    /// From the Ethernet destination to the end of the IP packet.
    pub fn frame(&self) -> &[u8] {
        match &self.bytes {
            Bytes::Ring(item) => RecordHeader::split(item).map_or(&[], |(_, frame)| frame),
            Bytes::Frame(frame) => frame,
        }
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
