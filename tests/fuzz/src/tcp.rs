//! A stranger's TCP segments, to both of their readers: the daemon's, which answers them, and the kernel half's
//! doorkeeper, which refuses them. What one reads the other reads the same.

use std::net::Ipv4Addr;

use vrrp_ebpf::{
    block::{self, Block, HEAD, TCP},
    samples::checksum,
};
use vrrp_user::wire::reset::{self, Segment};

const ETHERNET: usize = 14;
const FIN: u8 = 1;
const SYN: u8 = 2;
const RST: u8 = 4;
const ACK: u8 = 16;
const UNTIL_NS: u64 = 1_000;

/// A client's segment to a database, with so many words of IPv4 options.
fn segment(flags: u8, options: u8, payload: u8) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 3, 8, 0];
    frame.extend([0x45 + options, 0, 0, 40 + options * 4 + payload, 0, 0, 0x40, 0, 64, 6, 0, 0]);
    frame.extend([10, 0, 0, 3, 10, 0, 0, 200]);
    frame.extend(vec![1; usize::from(options) * 4]);
    frame.extend([0x9c, 0x40, 0x0c, 0xea, 0, 0, 3, 0xe8, 0, 0, 0, 77, 0x50, flags, 0xfa, 0xf0, 0, 0, 0, 0]);
    frame.extend(vec![0x16; usize::from(payload)]);
    frame
}

/// Of either reader.
fn segments() -> Vec<Vec<u8>> {
    let mut segments: Vec<Vec<u8>> =
        [SYN, SYN | ACK, ACK, FIN | ACK, RST, RST | ACK].map(|flags| segment(flags, 0, 0)).to_vec();
    segments.extend([segment(ACK, 0, 60), segment(FIN, 2, 7), segment(SYN, 10, 0)]);
    // The end of the sequence numbers; a first fragment; IPv6; cut within the TCP header.
    let changed = |place: usize, value: &[u8]| {
        let mut frame = segment(SYN, 0, 0);
        frame[place..place + value.len()].copy_from_slice(value);
        frame
    };
    segments.extend([changed(38, &[0xff; 4]), changed(20, &[0x20, 0]), changed(12, &[0x86, 0xdd])]);
    segments.push(segment(SYN, 0, 0)[..48].to_vec());
    segments
}

pub(crate) fn reset_seeds() -> Vec<Vec<u8>> {
    segments()
}

/// RFC 791 §3.1, RFC 9293 §3.1: a whole header, in no fragment.
fn is_whole(frame: &[u8]) -> bool {
    let header = frame.get(ETHERNET).map_or(0, |first| usize::from(first & 0x0f) * 4);
    header >= 20
        && frame.len() >= ETHERNET + header + 20
        && frame[12..15] == [0x08, 0x00, 0x40 | frame[14] & 0x0f]
        && frame[23] == 6
        && u16::from_be_bytes([frame[20], frame[21]]) & 0x3fff == 0
}

/// RFC 9293 §3.5.2, once more and slowly.
pub(crate) fn check_reset(input: &[u8]) -> bool {
    let Some(segment) = Segment::parse(input) else {
        assert!(!is_whole(input), "a whole segment is not read");
        return false;
    };
    assert!(is_whole(input), "{segment:?} is read out of less");
    let tcp = &input[ETHERNET + usize::from(input[ETHERNET] & 0x0f) * 4..];
    let flags = tcp[13];
    assert_eq!(segment.is_opening(), flags & SYN != 0 && flags & (ACK | RST) == 0);
    let Some(answer) = segment.refusal() else {
        assert!(flags & RST != 0, "{segment:?} is not answered");
        return true;
    };
    assert!(flags & RST == 0, "a reset is answered: {segment:?}");
    assert_eq!(answer.len(), reset::LEN);
    assert_eq!((&answer[..6], &answer[6..12]), (&input[6..12], &input[..6]), "to whoever asked");
    let (ip, sent) = (&answer[ETHERNET..ETHERNET + 20], &answer[ETHERNET + 20..]);
    assert_eq!(checksum(ip), 0, "IPv4 header checksum");
    assert_eq!(checksum(&[&ip[12..20], &[0, 6, 0, 20], sent].concat()), 0, "TCP checksum");
    assert_eq!((&sent[..2], &sent[2..4]), (&tcp[2..4], &tcp[..2]), "ports");
    if flags & ACK != 0 {
        assert_eq!((&sent[4..8], sent[13]), (&tcp[8..12], RST), "at what was acknowledged");
    } else {
        assert_eq!((&sent[4..8], sent[13]), (&[0; 4][..], RST | ACK));
    }
    let back = Segment::parse(&answer).unwrap();
    assert_eq!((back.from, back.from_port), (segment.to, segment.to_port));
    assert_eq!((back.to, back.to_port), (segment.from, segment.from_port));
    assert_eq!(back.refusal(), None, "two of us would answer each other for ever");
    true
}

/// Under each of the first bytes: a block of openings, a block of everything.
pub(crate) fn block_seeds() -> Vec<Vec<u8>> {
    let under = |first: u8| segments().into_iter().map(move |frame| [vec![first], frame].concat());
    under(0).chain(under(1)).collect()
}

/// First byte, frame.
pub(crate) fn check_block(input: &[u8]) -> bool {
    let Some((is_whole_block, frame)) = input.split_first() else { return false };
    let Some(head) = frame.first_chunk::<HEAD>() else { return false };
    let segment = Segment::parse(frame);
    let Some(offset) = block::tcp_offset(head) else {
        assert_eq!(segment, None, "the kernel half lets it through unread");
        return false;
    };
    let offset = usize::try_from(offset).unwrap();
    assert!((HEAD..=ETHERNET + 60).contains(&offset), "{offset}");
    let Some(tcp) = frame.get(offset..).and_then(|tcp| tcp.first_chunk::<TCP>()) else { return false };
    let service = block::service(head, tcp);
    let block = Block { until_ns: UNTIL_NS, is_whole: u32::from(*is_whole_block), padding: 0 };
    assert!(!block.refuses(tcp, UNTIL_NS), "a block that is over refuses");
    let is_refused = block.refuses(tcp, UNTIL_NS - 1);
    let Some(segment) = segment else { return false };
    assert_eq!(Ipv4Addr::from(service.address), segment.to);
    assert_eq!((u16::from_be_bytes(service.port), service.padding), (segment.to_port, 0));
    assert_eq!(is_refused, *is_whole_block != 0 || segment.is_opening());
    true
}
