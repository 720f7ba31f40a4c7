//! The Ethernet II header: two addresses and a type. Refuses to know what follows it.

use core::fmt;

mod field {
    use core::ops::Range;

    pub(super) const DESTINATION: Range<usize> = 0..6;
    pub(super) const SOURCE: Range<usize> = 6..12;
    pub(super) const TYPE: Range<usize> = 12..14;
}

/// Bytes of the header; no VLAN tag.
pub const HEADER_LEN: usize = 14;

pub const TYPE_IPV4: u16 = 0x0800;
pub const TYPE_ARP: u16 = 0x0806;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MacAddress(pub [u8; 6]);

impl MacAddress {
    pub const BROADCAST: Self = Self([0xff; 6]);
    /// Where 224.0.0.18 goes (RFC 1112 §6.4).
    pub const VRRP_MULTICAST: Self = Self([0x01, 0x00, 0x5e, 0x00, 0x00, 0x12]);
}

impl fmt::Display for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repr {
    pub destination: MacAddress,
    pub source: MacAddress,
    pub ether_type: u16,
}

impl Repr {
    /// The header and what follows it; None if the frame is shorter than a header.
    pub fn parse(frame: &[u8]) -> Option<(Self, &[u8])> {
        let (header, payload) = frame.split_first_chunk::<HEADER_LEN>()?;
        let mut destination = [0; 6];
        let mut source = [0; 6];
        let mut ether_type = [0; 2];
        destination.copy_from_slice(&header[field::DESTINATION]);
        source.copy_from_slice(&header[field::SOURCE]);
        ether_type.copy_from_slice(&header[field::TYPE]);
        let repr = Self {
            destination: MacAddress(destination),
            source: MacAddress(source),
            ether_type: u16::from_be_bytes(ether_type),
        };
        Some((repr, payload))
    }

    pub const fn buffer_len(&self) -> usize {
        HEADER_LEN
    }

    /// Writes the first [`HEADER_LEN`] bytes of `frame`.
    pub fn emit(&self, frame: &mut [u8]) {
        frame[field::DESTINATION].copy_from_slice(&self.destination.0);
        frame[field::SOURCE].copy_from_slice(&self.source.0);
        frame[field::TYPE].copy_from_slice(&self.ether_type.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn emit_fills_a_dirty_buffer_and_parses_back() {
        let repr = Repr {
            destination: MacAddress::VRRP_MULTICAST,
            source: MacAddress([2, 0, 0, 0, 0, 7]),
            ether_type: TYPE_IPV4,
        };
        let mut frame = [0xa5; HEADER_LEN];
        repr.emit(&mut frame);
        assert_eq!(frame, [0x01, 0x00, 0x5e, 0x00, 0x00, 0x12, 2, 0, 0, 0, 0, 7, 0x08, 0x00]);
        assert_eq!(Repr::parse(&frame), Some((repr, &[][..])));
        assert_eq!(Repr::parse(&frame[..HEADER_LEN - 1]), None);
    }

    #[test]
    fn an_address_prints_as_ip_link_prints_it() {
        assert_eq!(MacAddress::VRRP_MULTICAST.to_string(), "01:00:5e:00:00:12");
    }
}
