//! Bytes on the wire to typed values and back.
//!
//! Owns every offset, length and checksum of the packets that this daemon sends or reads: VRRP adverts in IPv4 in
//! Ethernet, and gratuitous ARP. Refuses to know what an advert means to a virtual router, and any socket, clock or
//! configuration.
//!
//! The contract of every `Repr` here:
//! - whatever can be constructed can be emitted, and what was emitted parses back to the same value;
//! - `parse` never panics, whatever the bytes, never allocates, and says by a typed error why it refused;
//! - `emit` writes every byte of the first `buffer_len()` bytes and panics only if the buffer is shorter.

#![forbid(unsafe_code)]

pub mod advert;
pub mod arp;
pub mod ethernet;
pub mod frame;
pub mod interval;
pub mod peek;

mod checksum;

pub use advert::{Addresses, Authentication, Dialect, Ipv4Checksum, Version};
pub use ethernet::MacAddress;
pub use interval::{AdvertInterval, Centiseconds, Seconds};
