//! Which TCP segments are refused while a service leaves this host: the shapes of the maps, and the judgement.
//!
//! The maps are `BLOCKED` ([`Service`] to [`Block`]) and `ARMED` (one u64: the latest end of any block). Refuses to know who
//! blocks, and why. Every block ends by itself: a daemon that is stuck shuts nobody out for ever.

use core::mem::size_of;

/// Ethernet, and IPv4 without options.
pub const HEAD: usize = 14 + 20;
/// Of the TCP header: as far as its flags.
pub const TCP: usize = 14;

const ETHER_TYPE_IPV4: [u8; 2] = [0x08, 0x00];
const PROTOCOL_TCP: u8 = 6;
const SYN: u8 = 2;
const RST: u8 = 4;
const ACK: u8 = 16;

/// What clients connect to, in the order of the wire.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Service {
    pub address: [u8; 4],
    pub port: [u8; 2],
    pub padding: u16,
}

/// How, and for how long.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// CLOCK_MONOTONIC, in ns; not after that.
    pub until_ns: u64,
    /// 0: requests to open a connection. Anything else: every segment.
    pub is_whole: u32,
    pub padding: u32,
}

const _: () = assert!(size_of::<Service>() == 8 && size_of::<Block>() == 16);

impl Block {
    #[inline(always)]
    pub const fn refuses(&self, tcp: &[u8; TCP], now_ns: u64) -> bool {
        let is_opening = tcp[13] & (SYN | ACK | RST) == SYN;
        now_ns < self.until_ns && (self.is_whole != 0 || is_opening)
    }
}

/// Where the TCP header begins; None: this is not the first or only fragment of a TCP segment over IPv4.
#[inline(always)]
pub const fn tcp_offset(head: &[u8; HEAD]) -> Option<u32> {
    let is_ipv4 = head[12] == ETHER_TYPE_IPV4[0] && head[13] == ETHER_TYPE_IPV4[1] && head[14] >> 4 == 4;
    let is_later_fragment = head[20] & 0x1f != 0 || head[21] != 0;
    if !is_ipv4 || head[23] != PROTOCOL_TCP || is_later_fragment {
        return None;
    }
    let words = (head[14] & 15) as u32;
    if words < 5 { None } else { Some(14 + words * 4) }
}

/// Whom the segment is for.
#[inline(always)]
pub const fn service(head: &[u8; HEAD], tcp: &[u8; TCP]) -> Service {
    Service { address: [head[30], head[31], head[32], head[33]], port: [tcp[2], tcp[3]], padding: 0 }
}

#[cfg(feature = "user")]
mod pod {
    use super::{Block, Service};

    // SAFETY: repr(C), integers and arrays of them only, no implicit padding (sizes asserted above).
    unsafe impl aya::Pod for Service {}
    // SAFETY: as above.
    unsafe impl aya::Pod for Block {}
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head() -> [u8; HEAD] {
        let mut head = [0; HEAD];
        head[12..15].copy_from_slice(&[0x08, 0x00, 0x45]);
        head[20] = 0x40;
        head[23] = PROTOCOL_TCP;
        head[30..].copy_from_slice(&[10, 0, 0, 200]);
        head
    }

    fn tcp(flags: u8) -> [u8; TCP] {
        let mut tcp = [0; TCP];
        tcp[2..4].copy_from_slice(&3306_u16.to_be_bytes());
        tcp[13] = flags;
        tcp
    }

    #[test]
    fn the_service_of_a_segment_is_where_it_goes() {
        assert_eq!(tcp_offset(&head()), Some(34));
        let expected = Service { address: [10, 0, 0, 200], port: 3306_u16.to_be_bytes(), padding: 0 };
        assert_eq!(service(&head(), &tcp(SYN)), expected);
    }

    #[test]
    fn the_tcp_header_is_behind_the_options() {
        let mut head = head();
        head[14] = 0x4f;
        assert_eq!(tcp_offset(&head), Some(14 + 60));
    }

    #[test]
    fn what_is_not_the_head_of_a_tcp_segment_over_ipv4_is_nobodys() {
        for (place, value) in [(12, 0x86), (13, 6), (14, 0x65), (14, 0x44), (20, 0x1f), (21, 1), (23, 17)] {
            let mut head = head();
            head[place] = value;
            assert_eq!(tcp_offset(&head), None, "{place}: {value}");
        }
        let mut first_of_several = head();
        first_of_several[20] = 0x20;
        assert_eq!(tcp_offset(&first_of_several), Some(34));
    }

    #[test]
    fn at_first_only_openings_are_refused_and_then_everything_until_the_end() {
        let (new, whole) = (
            Block { until_ns: 100, is_whole: 0, padding: 0 },
            Block { until_ns: 100, is_whole: 1, padding: 0 },
        );
        let refused = |block: Block, now| {
            [SYN, SYN | 0xc0, SYN | ACK, ACK, ACK | 8, RST].map(|flags| block.refuses(&tcp(flags), now))
        };
        // A SYN that asks for explicit congestion notification is one.
        assert_eq!(refused(new, 99), [true, true, false, false, false, false]);
        assert_eq!(refused(whole, 99), [true; 6]);
        assert_eq!(refused(new, 100), [false; 6]);
        assert_eq!(refused(whole, 100), [false; 6]);
    }
}
