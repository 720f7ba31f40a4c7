//! What the kernel half and userspace say to each other: map keys and values, ring records, counters.
//!
//! Owns the shape of every byte that crosses that border: integers only, padding explicit, sizes asserted,
//! a version carried. Refuses to know how a packet is parsed or what a state machine does with it.

use core::mem::{offset_of, size_of};

/// Raised whenever a type in this file changes shape or meaning. The program carries it as a global, each
/// record as a field; userspace refuses to talk to another number.
pub const ABI_VERSION: u16 = 4;

/// The mark by which userspace finds the version in an object before loading it; the version follows in two bytes.
pub const ABI_MARK: [u8; 14] = *b"vrrp-ebpf-abi:";

/// IP protocol number of VRRP (RFC 9568 §5.1.1.4).
pub const IPPROTO_VRRP: u8 = 112;

/// Address family of a virtual router, as in `RuleKey::family`.
pub const FAMILY_IPV4: u8 = 4;
/// See [`FAMILY_IPV4`].
pub const FAMILY_IPV6: u8 = 6;

/// Ethernet header + longest IPv4 header + VRRP header + 255 IPv4 addresses + VRRPv2 authentication data,
/// or Ethernet + IPv6 + VRRP header + 255 IPv6 addresses: the longest advert there is.
pub const MAX_FRAME: usize = 14 + 40 + 8 + 255 * 16;

/// One virtual router on one interface. Which slot it has say the words of the array `RULES` (`table.rs`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RuleKey {
    pub ifindex: u32,
    /// [`FAMILY_IPV4`] or [`FAMILY_IPV6`].
    pub family: u8,
    pub virtual_router_id: u8,
    pub padding: u16,
}

/// What an advert for a virtual router must look like; all but the slot's number lies in the slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Index into `SLOTS`.
    pub slot: u32,
    /// 2 or 3.
    pub version: u8,
    /// `AUTH_NONE` or `AUTH_PASS`; version 2 only.
    pub auth_type: u8,
    /// `RULE_*` bits.
    pub flags: u8,
    /// Version 2: the advert interval in seconds that a neighbour must use too (RFC 3768 §7.1). 0 for version 3.
    pub v2_interval: u8,
    /// Simple text password, zero-filled (RFC 2338 §5.3.10).
    pub password: [u8; 8],
}

/// `Rule::auth_type`: no authentication.
pub const AUTH_NONE: u8 = 0;
/// `Rule::auth_type`: simple text password (RFC 2338 §5.3.6).
pub const AUTH_PASS: u8 = 1;

/// `Rule::flags`: only senders listed in `PEERS` may speak for this virtual router.
pub const RULE_PEERS_ONLY: u8 = 1 << 0;
/// `Rule::flags`: the frame ends at the ring and does not go on to the stack (`consume: true`).
pub const RULE_CONSUME: u8 = 1 << 1;
/// `Rule::flags`: an advert that changes nothing does not enter the ring (`delivery: changes`).
pub const RULE_CHANGES_ONLY: u8 = 1 << 2;

/// Key of the `PEERS` hash map: a sender that may speak for a virtual router. IPv4 sits in the last four bytes
/// of `address`, the rest zero.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PeerKey {
    pub slot: u32,
    pub address: [u8; 16],
}

/// Liveness of one virtual router: an element of the mmap'd array `SLOTS`.
///
/// The first cache line is written by the kernel half under `sequence` (odd while a writer is inside), the second
/// by userspace. A reader copies the line between two equal, even readings of `sequence`.
#[repr(C, align(64))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    pub sequence: u32,
    /// In the unit of the wire: seconds in version 2, centiseconds in version 3.
    pub advert_interval: u16,
    pub priority: u8,
    /// [`FAMILY_IPV4`] or [`FAMILY_IPV6`].
    pub family: u8,
    /// Arrival of the last advert that would re-arm this router as BACKUP: ns of CLOCK_MONOTONIC. 0: none yet.
    pub arrived_ns: u64,
    /// Its sender; IPv4 in the last four bytes.
    pub sender: [u8; 16],
    /// The (priority, interval, sender) last announced through the ring with a wake-up, folded into one word;
    /// the kernel half's own note, written only after the record got in.
    pub announced: u64,
    /// The last rejected advert for this router: reason (a [`Counter`]) in the top byte, the low 32 bits of the
    /// sender's address below. Overwritten without ceremony.
    pub last_reject: u64,
    /// What the recorded sender may still put into the ring, whoever that is: kept here to spare a map lookup.
    pub bucket: Bucket,

    /// Userspace: only adverts of at least this priority refresh the line above. [`NOBODY_REFRESHES`] to switch off.
    pub minimum_priority: u32,
    /// Userspace: `SLOT_*` bits.
    pub flags: u32,
    /// Userspace: [`Rule`]'s `version`, `auth_type`, `flags` and `v2_interval`, written as one word.
    pub rule: [u8; 4],
    pub rule_padding: u32,
    /// Userspace: [`Rule::password`], likewise.
    pub password: [u8; 8],
    pub user_padding: [u8; 40],
}

/// `Slot::minimum_priority` of a router that waits for no master.
pub const NOBODY_REFRESHES: u32 = 256;
/// `Slot::flags`: every advert wakes the consumer (a MASTER must answer or yield; a trace is running).
pub const SLOT_WAKE_ALWAYS: u32 = 1 << 0;
/// `Slot::flags`: every advert enters the ring, changed or not, whatever the rule says, and of those that are rejected a
/// sample (a trace is running).
pub const SLOT_DELIVER_ALWAYS: u32 = 1 << 1;

/// Head of each record in the ring `ADVERTS`; the frame follows, from its Ethernet header on, `length` bytes. What the
/// record has behind them means nothing.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordHeader {
    pub abi_version: u16,
    /// Bytes of the frame that follow: from the Ethernet destination to the end of the IP packet, no padding.
    pub length: u16,
    /// Index into `SLOTS`.
    pub slot: u32,
    /// ns of CLOCK_MONOTONIC at arrival.
    pub arrived_ns: u64,
    pub ifindex: u32,
    /// `RECORD_*` bits.
    pub flags: u32,
}

impl RecordHeader {
    /// Head and frame of a record; `None` if it is too short for its own claims.
    pub fn split(record: &[u8]) -> Option<(Self, &[u8])> {
        let (head, frame) = record.split_first_chunk::<{ size_of::<Self>() }>()?;
        let [v0, v1, l0, l1, s0, s1, s2, s3, a0, a1, a2, a3, a4, a5, a6, a7, ..] = *head;
        let [.., i0, i1, i2, i3, f0, f1, f2, f3] = *head;
        let header = Self {
            abi_version: u16::from_ne_bytes([v0, v1]),
            length: u16::from_ne_bytes([l0, l1]),
            slot: u32::from_ne_bytes([s0, s1, s2, s3]),
            arrived_ns: u64::from_ne_bytes([a0, a1, a2, a3, a4, a5, a6, a7]),
            ifindex: u32::from_ne_bytes([i0, i1, i2, i3]),
            flags: u32::from_ne_bytes([f0, f1, f2, f3]),
        };
        Some((header, frame.get(..usize::from(header.length))?))
    }
}

/// `RecordHeader::flags`: the sender, its priority or its interval is not what was announced before.
pub const RECORD_CHANGED: u32 = 1 << 0;
/// `RecordHeader::flags`: this record woke the consumer.
pub const RECORD_WOKE: u32 = 1 << 1;
/// `RecordHeader::flags`: a sample of what was rejected, as far as it was looked at; nobody may act on it. Why is the
/// [`Counter`] at [`RECORD_REASON`].
pub const RECORD_REJECTED: u32 = 1 << 2;
/// `RecordHeader::flags`: the bit at which the reason of a rejected record begins; it takes eight of them.
pub const RECORD_REASON: u32 = 8;

/// Key of the `BUCKETS` LRU map of token buckets. `sender` of [`EVERYBODY`] is the bucket of the whole virtual router.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BucketKey {
    pub ifindex: u32,
    pub family: u8,
    pub virtual_router_id: u8,
    pub padding: u16,
    pub sender: [u8; 16],
}

/// `BucketKey::sender` of the bucket that all senders of one virtual router share.
pub const EVERYBODY: [u8; 16] = [0; 16];

/// A token bucket. Two CPUs may race on it: a lost token is harmless.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bucket {
    pub tokens: u64,
    pub refilled_ns: u64,
}

/// Index into [`Counts`]: what became of a packet of IP protocol 112, or of its record.
///
/// Names are those of keepalived's statistics where it has one.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Counter {
    /// Passed every check and is for a virtual router of ours.
    Accepted = 0,
    /// Accepted, version 3 over IPv4, checksum in the form of RFC 9568 (message only).
    ChecksumMessageOnly,
    /// Accepted, version 3, checksum with pseudo-header (RFC 5798).
    ChecksumPseudoHeader,
    /// Passed on untouched: a virtual router that this host does not run.
    ForeignPassed,
    /// As before, but above the rate that foreign adverts may have.
    ForeignDropped,
    /// Passed on untouched: cannot be understood (first fragment missing, header cut short, unicast, own echo).
    NotUnderstood,
    /// Dropped: TTL or Hop Limit is not 255 (RFC 9568 §7.1).
    IpTtl,
    /// Dropped: version differs from the configured one.
    Version,
    /// Dropped: type is not ADVERTISEMENT.
    InvalidType,
    /// Dropped: shorter than its own address count says, or longer than keepalived would allow.
    PacketLength,
    /// Dropped: neither form of the checksum fits.
    Checksum,
    /// Dropped: version 2, authentication type differs.
    AuthTypeMismatch,
    /// Dropped: version 2, wrong password.
    AuthFailure,
    /// Dropped: version 2 interval differs from ours, or version 3 interval is zero (RFC 3768 §7.1, erratum 8301).
    AdvertInterval,
    /// Dropped: no address in it (erratum 8299).
    AddressCount,
    /// Dropped: the sender is not one of the configured peers.
    Sender,
    /// Accepted, refreshed its slot, but above the rate for the ring.
    RateLimited,
    /// Accepted, refreshed its slot, but the ring had no room.
    RingFull,
    /// Entered the ring.
    Delivered,
    /// Entered the ring and woke the consumer.
    Woke,
}

impl Counter {
    /// All of them, in the order of their indices.
    pub const ALL: [Self; 20] = [
        Self::Accepted,
        Self::ChecksumMessageOnly,
        Self::ChecksumPseudoHeader,
        Self::ForeignPassed,
        Self::ForeignDropped,
        Self::NotUnderstood,
        Self::IpTtl,
        Self::Version,
        Self::InvalidType,
        Self::PacketLength,
        Self::Checksum,
        Self::AuthTypeMismatch,
        Self::AuthFailure,
        Self::AdvertInterval,
        Self::AddressCount,
        Self::Sender,
        Self::RateLimited,
        Self::RingFull,
        Self::Delivered,
        Self::Woke,
    ];

    /// The name in status and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::ChecksumMessageOnly => "checksum_message_only",
            Self::ChecksumPseudoHeader => "checksum_pseudo_header",
            Self::ForeignPassed => "foreign_passed",
            Self::ForeignDropped => "foreign_dropped",
            Self::NotUnderstood => "not_understood",
            Self::IpTtl => "ip_ttl",
            Self::Version => "version",
            Self::InvalidType => "invalid_type",
            Self::PacketLength => "packet_length",
            Self::Checksum => "checksum",
            Self::AuthTypeMismatch => "auth_type_mismatch",
            Self::AuthFailure => "auth_failure",
            Self::AdvertInterval => "advert_interval",
            Self::AddressCount => "address_count",
            Self::Sender => "sender",
            Self::RateLimited => "rate_limited",
            Self::RingFull => "ring_full",
            Self::Delivered => "delivered",
            Self::Woke => "woke",
        }
    }
}

/// How many of them.
pub const COUNTERS: u32 = 20;

/// The one value of the per-CPU array `COUNTERS`, indexed by [`Counter`]: together, so that a packet looks them up once.
pub type Counts = [u64; COUNTERS as usize];

const _: () = {
    assert!(Counter::ALL.len() == COUNTERS as usize);
    assert!(Counter::Woke as u32 + 1 == COUNTERS);
    assert!(size_of::<PeerKey>() == 20);
    assert!(size_of::<Slot>() == 128);
    assert!(offset_of!(Slot, arrived_ns) == 8);
    assert!(offset_of!(Slot, sender) == 16);
    assert!(offset_of!(Slot, announced) == 32);
    assert!(offset_of!(Slot, bucket) == 48);
    assert!(offset_of!(Slot, minimum_priority) == 64);
    assert!(offset_of!(Slot, rule) == 72);
    assert!(offset_of!(Slot, password) == 80);
    assert!(size_of::<RecordHeader>() == 24);
    assert!(offset_of!(RecordHeader, slot) == 4);
    assert!(offset_of!(RecordHeader, arrived_ns) == 8);
    assert!(offset_of!(RecordHeader, ifindex) == 16);
    assert!(offset_of!(RecordHeader, flags) == 20);
    assert!(size_of::<BucketKey>() == 24);
    assert!(size_of::<Bucket>() == 16);
};

#[cfg(feature = "user")]
mod pod {
    use super::{Bucket, BucketKey, PeerKey, Slot};

    // SAFETY: repr(C), integers and arrays of them only, no implicit padding (sizes asserted above), so every bit
    // pattern is a value and every byte is initialised.
    unsafe impl aya::Pod for PeerKey {}
    // SAFETY: as above.
    unsafe impl aya::Pod for Slot {}
    // SAFETY: as above.
    unsafe impl aya::Pod for BucketKey {}
    // SAFETY: as above.
    unsafe impl aya::Pod for Bucket {}
}
