//! The answer to a TCP segment that reaches an address which is no longer here: a reset (RFC 9293 §3.5.2, group 1).
//!
//! Owns the reading of as much of the segment as the answer needs. Refuses to know who may be answered.

use core::net::Ipv4Addr;

use super::checksum;

/// Of the answer: Ethernet, IPv4 and TCP without options.
pub const LEN: usize = ETHERNET + IPV4 + TCP;

const ETHERNET: usize = 14;
const IPV4: usize = 20;
const TCP: usize = 20;
const PROTOCOL: u8 = 6;
const FIN: u8 = 1;
const SYN: u8 = 2;
const RST: u8 = 4;
const ACK: u8 = 16;

/// A TCP segment in IPv4 in Ethernet, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    from_mac: [u8; 6],
    to_mac: [u8; 6],
    pub from: Ipv4Addr,
    pub to: Ipv4Addr,
    pub from_port: u16,
    pub to_port: u16,
    sequence: u32,
    acknowledged: u32,
    flags: u8,
    payload: u16,
}

impl Segment {
    /// None: not a whole, unfragmented TCP header over IPv4. Checksums are not looked at: a network card may have yet to write
    /// them.
    pub fn parse(frame: &[u8]) -> Option<Self> {
        let (ethernet, packet) = frame.split_first_chunk::<ETHERNET>()?;
        let [d0, d1, d2, d3, d4, d5, s0, s1, s2, s3, s4, s5, 0x08, 0x00] = *ethernet else { return None };
        let head = packet.first_chunk::<IPV4>()?;
        let [first, _, l0, l1, _, _, f0, f1, _, protocol, _, _, a0, a1, a2, a3, b0, b1, b2, b3] = *head;
        let (version, header) = (first >> 4, usize::from(first & 15) * 4);
        let is_fragment = u16::from_be_bytes([f0, f1]) & 0x3fff != 0;
        if version != 4 || header < IPV4 || protocol != PROTOCOL || is_fragment {
            return None;
        }
        let total = u16::from_be_bytes([l0, l1]);
        let tcp = packet.get(header..)?.first_chunk::<TCP>()?;
        let [p0, p1, q0, q1, n0, n1, n2, n3, k0, k1, k2, k3, offset, flags, ..] = *tcp;
        let headers = u16::try_from(header + usize::from(offset >> 4) * 4).ok()?;
        Some(Self {
            from_mac: [s0, s1, s2, s3, s4, s5],
            to_mac: [d0, d1, d2, d3, d4, d5],
            from: Ipv4Addr::new(a0, a1, a2, a3),
            to: Ipv4Addr::new(b0, b1, b2, b3),
            from_port: u16::from_be_bytes([p0, p1]),
            to_port: u16::from_be_bytes([q0, q1]),
            sequence: u32::from_be_bytes([n0, n1, n2, n3]),
            acknowledged: u32::from_be_bytes([k0, k1, k2, k3]),
            flags,
            payload: total.saturating_sub(headers),
        })
    }

    /// Asks for a connection.
    pub const fn is_opening(&self) -> bool {
        self.flags & (SYN | ACK | RST) == SYN
    }

    /// The reset; None for a reset, which is answered by nobody.
    pub fn refusal(&self) -> Option<[u8; LEN]> {
        if self.flags & RST != 0 {
            return None;
        }
        let (sequence, acknowledged, flags) = if self.flags & ACK != 0 {
            (self.acknowledged, 0, RST)
        } else {
            let counted = u32::from(self.flags & SYN != 0) + u32::from(self.flags & FIN != 0);
            (0, self.sequence.wrapping_add(u32::from(self.payload)).wrapping_add(counted), RST | ACK)
        };
        let mut ip = [0; IPV4];
        #[expect(clippy::cast_possible_truncation, reason = "40")]
        let total = (IPV4 + TCP) as u16;
        // Version and header length; don't fragment; TTL 64.
        (ip[0], ip[6], ip[8], ip[9]) = (0x45, 0x40, 64, PROTOCOL);
        ip[2..4].copy_from_slice(&total.to_be_bytes());
        ip[12..16].copy_from_slice(&self.to.octets());
        ip[16..20].copy_from_slice(&self.from.octets());
        let sum = !checksum::fold(checksum::sum(&ip));
        ip[10..12].copy_from_slice(&sum.to_be_bytes());

        let mut tcp = [0; TCP];
        tcp[0..2].copy_from_slice(&self.to_port.to_be_bytes());
        tcp[2..4].copy_from_slice(&self.from_port.to_be_bytes());
        tcp[4..8].copy_from_slice(&sequence.to_be_bytes());
        tcp[8..12].copy_from_slice(&acknowledged.to_be_bytes());
        (tcp[12], tcp[13]) = (5 << 4, flags);
        // The pseudo-header: both addresses, the protocol, the length.
        let pseudo = checksum::sum(&ip[12..20]) + u32::from(PROTOCOL) + u32::from(total - 20);
        let sum = !checksum::fold(pseudo + checksum::sum(&tcp));
        tcp[16..18].copy_from_slice(&sum.to_be_bytes());

        let mut frame = [0; LEN];
        frame[..6].copy_from_slice(&self.from_mac);
        frame[6..12].copy_from_slice(&self.to_mac);
        frame[12..14].copy_from_slice(&[0x08, 0x00]);
        frame[ETHERNET..ETHERNET + IPV4].copy_from_slice(&ip);
        frame[ETHERNET + IPV4..].copy_from_slice(&tcp);
        Some(frame)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From 10.0.0.3:40000 to 10.0.0.200:3306, sequence 1000, acknowledging 77.
    fn segment(flags: u8, payload: usize) -> Vec<u8> {
        let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 3, 8, 0];
        let total = u16::try_from(40 + payload).unwrap().to_be_bytes();
        frame.extend([0x45, 0, total[0], total[1], 0, 0, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 3, 10, 0, 0, 200]);
        frame.extend([0x9c, 0x40, 0x0c, 0xea, 0, 0, 3, 0xe8, 0, 0, 0, 77, 0x50, flags, 0, 0, 0, 0, 0, 0]);
        frame.extend(vec![0; payload]);
        frame
    }

    fn answer(flags: u8, payload: usize) -> Option<(u32, u32, u8)> {
        let frame = Segment::parse(&segment(flags, payload)).unwrap().refusal()?;
        let back = Segment::parse(&frame).unwrap();
        assert_eq!((back.from, back.from_port), (Ipv4Addr::new(10, 0, 0, 200), 3306));
        assert_eq!((back.to, back.to_port), (Ipv4Addr::new(10, 0, 0, 3), 40_000));
        assert_eq!(frame[..12], [2, 0, 0, 0, 0, 3, 2, 0, 0, 0, 0, 1]);
        assert_eq!(checksum::fold(checksum::sum(&frame[14..34])), checksum::CORRECT);
        let pseudo = checksum::sum(&frame[26..34]) + 6 + 20;
        assert_eq!(checksum::fold(pseudo + checksum::sum(&frame[34..])), checksum::CORRECT);
        Some((back.sequence, back.acknowledged, back.flags))
    }

    #[test]
    fn rfc9293_3_5_2_what_has_an_acknowledgement_is_reset_at_it_and_what_has_none_is_acknowledged() {
        assert_eq!(answer(SYN, 0), Some((0, 1001, RST | ACK)));
        assert_eq!(answer(ACK, 0), Some((77, 0, RST)));
        assert_eq!(answer(ACK, 500), Some((77, 0, RST)));
        assert_eq!(answer(FIN, 10), Some((0, 1011, RST | ACK)));
        assert_eq!(answer(RST, 0), None);
        assert_eq!(answer(RST | ACK, 0), None);
    }

    #[test]
    fn only_a_first_segment_opens() {
        let is_opening = |flags| Segment::parse(&segment(flags, 0)).unwrap().is_opening();
        assert_eq!([SYN, SYN | ACK, ACK, SYN | RST].map(is_opening), [true, false, false, false]);
    }

    #[test]
    fn what_is_no_whole_tcp_header_is_not_answered() {
        let whole = segment(SYN, 0);
        for length in 0..whole.len() {
            assert_eq!(Segment::parse(&whole[..length]), None, "{length}");
        }
        for (place, value) in [(12, 0x86), (14, 0x65), (14, 0x44), (20, 0x20), (21, 1), (23, 17)] {
            let mut other = whole.clone();
            other[place] = value;
            assert_eq!(Segment::parse(&other), None, "{place}: {value}");
        }
    }
}
