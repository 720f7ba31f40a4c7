//! A whole advert as it crosses the wire: Ethernet, IPv4, VRRP. What the ring delivers and what the socket sends.
//!
//! Owns the IPv4 header. Refuses to know the message inside (`advert`).

use core::net::Ipv4Addr;

use super::ethernet::{self, MacAddress};
use super::{advert, checksum};

mod field {
    use core::ops::Range;

    pub(super) const VERSION_IHL: usize = 0;
    pub(super) const TOS: usize = 1;
    pub(super) const TOTAL_LENGTH: Range<usize> = 2..4;
    pub(super) const IDENTIFICATION: Range<usize> = 4..6;
    pub(super) const FLAGS_FRAGMENT: Range<usize> = 6..8;
    pub(super) const TTL: usize = 8;
    pub(super) const PROTOCOL: usize = 9;
    pub(super) const CHECKSUM: Range<usize> = 10..12;
    pub(super) const SOURCE: Range<usize> = 12..16;
    pub(super) const DESTINATION: Range<usize> = 16..20;
}

/// Of an IPv4 header without options: the only one that we send.
const HEADER_LEN: usize = 20;
/// Internetwork control (RFC 791 §3.1), as keepalived sends it: a congested switch drops these last.
const TOS: u8 = 0xc0;
/// RFC 9568 §5.1.1.3: proves that no router forwarded the packet.
const TTL: u8 = 255;
const DONT_FRAGMENT: u16 = 0x4000;
/// More-fragments flag and offset.
const FRAGMENT_MASK: u16 = 0x3fff;

/// RFC 9568 §5.1.1.2.
pub const MULTICAST: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 18);

/// The longest frame that [`Repr::emit`] writes.
pub const MAX_LEN: usize = ethernet::HEADER_LEN + HEADER_LEN + advert::MAX_LEN;

/// Why a frame is not an advert.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("frame shorter than its Ethernet header")]
    EthernetTruncated,
    #[error("Ethernet type {0:#06x} is not IPv4")]
    EtherType(u16),
    #[error("IPv4 packet of {actual} bytes: its header says {expected}")]
    IpTruncated { expected: usize, actual: usize },
    #[error("IP version {0} in an IPv4 packet")]
    IpVersion(u8),
    #[error("IPv4 header length of {0} bytes is impossible")]
    IpHeaderLength(usize),
    #[error("IPv4 header checksum is wrong")]
    IpChecksum,
    #[error("IPv4 fragment")]
    Fragment,
    #[error("IP protocol {0} is not VRRP")]
    Protocol(u8),
    #[error("TTL {0} is not 255: the packet was forwarded (RFC 9568 section 7.1)")]
    TimeToLive(u8),
    #[error(transparent)]
    Advert(#[from] advert::Error),
}

/// An advert and who sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    pub source: Ipv4Addr,
    pub destination: Ipv4Addr,
    pub advert: advert::Repr<'a>,
}

impl<'a> Packet<'a> {
    /// From an Ethernet frame without a VLAN tag.
    pub fn parse_frame(frame: &'a [u8]) -> Result<Self, Error> {
        let (header, packet) = ethernet::Repr::parse(frame).ok_or(Error::EthernetTruncated)?;
        if header.ether_type != ethernet::TYPE_IPV4 {
            return Err(Error::EtherType(header.ether_type));
        }
        Self::parse(packet)
    }

    /// From an IPv4 packet, options or not; what follows its total length is padding and ignored.
    pub fn parse(packet: &'a [u8]) -> Result<Self, Error> {
        let actual = packet.len();
        let Some(fixed) = packet.first_chunk::<HEADER_LEN>() else {
            return Err(Error::IpTruncated { expected: HEADER_LEN, actual });
        };
        let version = fixed[field::VERSION_IHL] >> 4;
        if version != 4 {
            return Err(Error::IpVersion(version));
        }
        let header_length = usize::from(fixed[field::VERSION_IHL] & 0x0f) * 4;
        let expected = usize::from(u16::from_be_bytes([fixed[2], fixed[3]]));
        if header_length < HEADER_LEN || header_length > expected {
            return Err(Error::IpHeaderLength(header_length));
        }
        let Some(packet) = packet.get(..expected) else {
            return Err(Error::IpTruncated { expected, actual });
        };
        let (header, message) = packet.split_at(header_length);
        if checksum::fold(checksum::sum(header)) != checksum::CORRECT {
            return Err(Error::IpChecksum);
        }
        if u16::from_be_bytes([fixed[6], fixed[7]]) & FRAGMENT_MASK != 0 {
            return Err(Error::Fragment);
        }
        if fixed[field::PROTOCOL] != advert::IP_PROTOCOL {
            return Err(Error::Protocol(fixed[field::PROTOCOL]));
        }
        if fixed[field::TTL] != TTL {
            return Err(Error::TimeToLive(fixed[field::TTL]));
        }
        let source = Ipv4Addr::new(fixed[12], fixed[13], fixed[14], fixed[15]);
        let destination = Ipv4Addr::new(fixed[16], fixed[17], fixed[18], fixed[19]);
        Ok(Self { source, destination, advert: advert::Repr::parse(message, source, destination)? })
    }
}

/// An advert to the multicast group, with everything in front of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repr<'a> {
    pub source_mac: MacAddress,
    /// The primary address of the interface (RFC 9568 §5.1.1.1).
    pub source: Ipv4Addr,
    pub advert: advert::Repr<'a>,
}

impl Repr<'_> {
    pub const fn buffer_len(&self) -> usize {
        ethernet::HEADER_LEN + HEADER_LEN + self.advert.buffer_len()
    }

    /// Writes the first [`Self::buffer_len`] bytes of `frame`.
    pub fn emit(&self, frame: &mut [u8]) {
        let ethernet = ethernet::Repr {
            destination: MacAddress::VRRP_MULTICAST,
            source: self.source_mac,
            ether_type: ethernet::TYPE_IPV4,
        };
        let frame = &mut frame[..self.buffer_len()];
        ethernet.emit(frame);
        let (header, message) = frame[ethernet::HEADER_LEN..].split_at_mut(HEADER_LEN);
        self.advert.emit(self.source, MULTICAST, message);

        let total = u16::try_from(HEADER_LEN + message.len()).unwrap_or(u16::MAX);
        header[field::VERSION_IHL] = 4 << 4 | 5;
        header[field::TOS] = TOS;
        header[field::TOTAL_LENGTH].copy_from_slice(&total.to_be_bytes());
        // A packet that is never fragmented needs no identification (RFC 6864 §4.1).
        header[field::IDENTIFICATION].fill(0);
        header[field::FLAGS_FRAGMENT].copy_from_slice(&DONT_FRAGMENT.to_be_bytes());
        header[field::TTL] = TTL;
        header[field::PROTOCOL] = advert::IP_PROTOCOL;
        header[field::CHECKSUM].fill(0);
        header[field::SOURCE].copy_from_slice(&self.source.octets());
        header[field::DESTINATION].copy_from_slice(&MULTICAST.octets());
        let sum = !checksum::fold(checksum::sum(header));
        header[field::CHECKSUM].copy_from_slice(&sum.to_be_bytes());
    }
}

#[cfg(test)]
mod tests;
