//! The parsers of `vrrp_user::wire`: what parses is emitted, over a dirty buffer, to bytes that parse to the same.
//!
//! A fuzzer does not guess checksums: the first byte of an input for `advert` and `frame` says whether to put them right.

use std::net::Ipv4Addr;

use vrrp_ebpf::samples::{Sample, checksum, reseal_ipv4};
use vrrp_user::wire::{MacAddress, advert, arp, frame};

use crate::refused;

const ETHERNET: usize = 14;
const DIRT: u8 = 0xa5;

/// First byte of an input: nothing put right, the checksum of the message alone, or the one with pseudo-header.
const RAW: u8 = 0;
const MESSAGE_ONLY: u8 = 1;
const PSEUDO_HEADER: u8 = 2;

/// The samples, under each of the first bytes.
fn under_each_first_byte(bytes: impl Fn(&Sample) -> Vec<u8>) -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for sample in ipv4_samples() {
        for first in [RAW, MESSAGE_ONLY, PSEUDO_HEADER] {
            seeds.push([vec![first], bytes(&sample)].concat());
        }
    }
    seeds
}

pub(crate) fn ipv4_samples() -> Vec<Sample> {
    let samples = [Sample::v2(), Sample::v2_pass(), Sample::v3(), Sample::v3_message_only()];
    let changed = [
        Sample { priority: 0, ..Sample::v3() },
        Sample { options: 8, ..Sample::v2_pass() },
        Sample { padding: 10, ..Sample::v3() },
        Sample { trailing: 4, ..Sample::v2() },
        Sample::v3().with_addresses(40),
    ];
    samples.into_iter().chain(changed).collect()
}

/// Puts the checksum of a message right, if there is room for one.
pub(crate) fn reseal_message(message: &mut [u8], pseudo_header: Option<(Ipv4Addr, Ipv4Addr)>) {
    let Ok(length) = u16::try_from(message.len()) else { return };
    if message.len() < 8 {
        return;
    }
    message[6..8].fill(0);
    let mut summed = message.to_vec();
    if let Some((source, destination)) = pseudo_header {
        if summed.len() % 2 == 1 {
            summed.push(0);
        }
        summed.extend(source.octets());
        summed.extend(destination.octets());
        summed.extend([0, 112]);
        summed.extend(length.to_be_bytes());
    }
    let sum = checksum(&summed);
    message[6..8].copy_from_slice(&sum.to_be_bytes());
}

/// Puts the checksums of an IPv4 frame right, as far as its own lengths make sense.
pub(crate) fn reseal_frame(frame: &mut [u8], pseudo_header: bool) {
    let Some(first) = frame.get(ETHERNET) else { return };
    let header = usize::from(first & 0x0f) * 4;
    if header < 20 || frame.len() < ETHERNET + header {
        return;
    }
    let octets = |at: usize| Ipv4Addr::new(frame[at], frame[at + 1], frame[at + 2], frame[at + 3]);
    let ends = (octets(ETHERNET + 12), octets(ETHERNET + 16));
    let total = usize::from(u16::from_be_bytes([frame[ETHERNET + 2], frame[ETHERNET + 3]]));
    reseal_ipv4(frame);
    if let Some(message) = frame.get_mut(ETHERNET + header..ETHERNET + total) {
        reseal_message(message, pseudo_header.then_some(ends));
    }
}

pub(crate) fn advert_seeds() -> Vec<Vec<u8>> {
    under_each_first_byte(|sample| {
        [sample.source.clone(), sample.destination.clone(), sample.message()].concat()
    })
}

/// First byte, source, destination, message.
pub(crate) fn check_advert(input: &[u8]) -> bool {
    let Some((head, message)) = input.split_first_chunk::<9>() else { return false };
    let [first, s0, s1, s2, s3, d0, d1, d2, d3] = *head;
    let (source, destination) = (Ipv4Addr::new(s0, s1, s2, s3), Ipv4Addr::new(d0, d1, d2, d3));
    let mut message = message.to_vec();
    match first {
        MESSAGE_ONLY => reseal_message(&mut message, None),
        PSEUDO_HEADER => reseal_message(&mut message, Some((source, destination))),
        RAW | 3.. => {}
    }
    let repr = match advert::Repr::parse(&message, source, destination) {
        Ok(repr) => repr,
        Err(error) => return refused(&error),
    };
    assert_eq!(repr.buffer_len(), message.len(), "{repr:?}");
    let mut emitted = vec![DIRT; repr.buffer_len() + 1];
    repr.emit(source, destination, &mut emitted);
    assert_eq!(emitted.pop(), Some(DIRT), "emit wrote behind its message: {repr:?}");
    assert_eq!(advert::Repr::parse(&emitted, source, destination), Ok(repr));
    true
}

pub(crate) fn frame_seeds() -> Vec<Vec<u8>> {
    under_each_first_byte(Sample::frame)
}

/// First byte, frame.
pub(crate) fn check_frame(input: &[u8]) -> bool {
    let Some((first, frame)) = input.split_first() else { return false };
    let mut bytes = frame.to_vec();
    match *first {
        MESSAGE_ONLY => reseal_frame(&mut bytes, false),
        PSEUDO_HEADER => reseal_frame(&mut bytes, true),
        RAW | 3.. => {}
    }
    let packet = match frame::Packet::parse_frame(&bytes) {
        Ok(packet) => packet,
        Err(error) => return refused(&error),
    };
    let repr = frame::Repr { source_mac: MacAddress([2; 6]), source: packet.source, advert: packet.advert };
    let mut emitted = vec![DIRT; repr.buffer_len() + 1];
    repr.emit(&mut emitted);
    assert_eq!(emitted.pop(), Some(DIRT), "emit wrote behind its frame: {repr:?}");
    // What we send goes to the group, whatever the other one came to.
    let expected = frame::Packet { destination: frame::MULTICAST, ..packet };
    assert_eq!(frame::Packet::parse_frame(&emitted), Ok(expected));
    true
}

pub(crate) fn arp_seeds() -> Vec<Vec<u8>> {
    let mut request = vec![DIRT; arp::LEN];
    arp::Repr { hardware: MacAddress([2, 0, 0, 0, 0, 1]), address: Ipv4Addr::new(192, 0, 2, 200) }
        .emit(&mut request);
    let mut reply = request.clone();
    reply[21] = 2;
    reply.resize(60, 0);
    vec![request, reply]
}

pub(crate) fn check_arp(input: &[u8]) -> bool {
    if let Ok(claim) = arp::Repr::parse_claim(input) {
        let mut probe = vec![DIRT; claim.buffer_len()];
        claim.emit_probe(&mut probe);
        assert_eq!(arp::Repr::parse_claim(&probe), Err(arp::Error::Probe { target: claim.address }));
    }
    let repr = match arp::Repr::parse_frame(input) {
        Ok(repr) => repr,
        Err(error) => return refused(&error),
    };
    let mut emitted = vec![DIRT; repr.buffer_len() + 1];
    repr.emit(&mut emitted);
    assert_eq!(emitted.pop(), Some(DIRT), "emit wrote behind its frame: {repr:?}");
    assert_eq!(arp::Repr::parse_frame(&emitted), Ok(repr));
    true
}
