use super::*;
use crate::wire::{Addresses, Authentication, Centiseconds, Dialect, Ipv4Checksum, Seconds};
use proptest::prelude::*;

const VIPS: [[u8; 4]; 2] = [[192, 0, 2, 1], [192, 0, 2, 2]];

fn repr() -> Repr<'static> {
    Repr {
        source_mac: MacAddress([2, 0, 0, 0, 0, 1]),
        source: Ipv4Addr::new(192, 0, 2, 251),
        advert: advert::Repr {
            virtual_router_id: 10,
            priority: 200,
            dialect: Dialect::V3 {
                interval: Centiseconds::new(10).unwrap(),
                checksum: Ipv4Checksum::PseudoHeader,
            },
            addresses: Addresses::new(&VIPS).unwrap(),
        },
    }
}

#[rustfmt::skip]
const BYTES: [u8; 50] = [
    0x01, 0x00, 0x5e, 0x00, 0x00, 0x12, 2, 0, 0, 0, 0, 1, 0x08, 0x00,
    0x45, 0xc0, 0, 36, 0, 0, 0x40, 0x00, 255, 112, 0xd7, 0x9b, 192, 0, 2, 251, 224, 0, 0, 18,
    0x31, 10, 200, 2, 0, 10, 0xdf, 0x55, 192, 0, 2, 1, 192, 0, 2, 2,
];

/// Puts the right header checksum back after a test has changed other bytes.
fn reseal(frame: &mut [u8]) {
    frame[24..26].fill(0);
    let sum = !checksum::fold(checksum::sum(&frame[14..34]));
    frame[24..26].copy_from_slice(&sum.to_be_bytes());
}

#[test]
fn emit_fills_a_dirty_buffer_with_the_golden_frame() {
    let repr = repr();
    let mut frame = vec![0xa5; repr.buffer_len() + 1];
    repr.emit(&mut frame);
    assert_eq!(frame[..50], BYTES);
    assert_eq!(frame[50], 0xa5, "nothing behind the frame is touched");
    // As the router that checks it computes it: RFC 791's sum over the header is all ones.
    let words = BYTES[14..34].chunks(2).map(|w| u32::from(w[0]) << 8 | u32::from(w[1])).sum::<u32>();
    assert_eq!((words & 0xffff) + (words >> 16), 0xffff);
}

#[test]
fn what_was_emitted_parses_back() {
    let repr = repr();
    let parsed = Packet::parse_frame(&BYTES).unwrap();
    assert_eq!(parsed, Packet { source: repr.source, destination: MULTICAST, advert: repr.advert });
    assert_eq!(Packet::parse(&BYTES[14..]), Ok(parsed));
}

#[test]
fn the_longest_frame_fits_the_stated_maximum() {
    let most = [[10, 0, 0, 1]; 255];
    let dialect = Dialect::V2 { interval: Seconds::new(1).unwrap(), authentication: Authentication::None };
    let mut repr = repr();
    repr.advert.dialect = dialect;
    repr.advert.addresses = Addresses::new(&most).unwrap();
    assert_eq!(repr.buffer_len(), MAX_LEN);
    let mut frame = [0xa5; MAX_LEN];
    repr.emit(&mut frame);
    assert_eq!(Packet::parse_frame(&frame).unwrap().advert, repr.advert);
}

#[test]
fn ethernet_padding_is_not_part_of_the_advert() {
    let mut padded = BYTES.to_vec();
    padded.resize(60, 0);
    assert_eq!(Packet::parse_frame(&padded), Packet::parse_frame(&BYTES));
}

#[test]
fn ip_options_are_stepped_over() {
    let mut frame = BYTES.to_vec();
    // Router alert (RFC 2113), 4 bytes.
    frame.splice(34..34, [0x94, 0x04, 0, 0]);
    frame[14] = 0x46;
    frame[17] = 40;
    frame[24..26].fill(0);
    let sum = !checksum::fold(checksum::sum(&frame[14..38]));
    frame[24..26].copy_from_slice(&sum.to_be_bytes());
    assert_eq!(Packet::parse_frame(&frame), Packet::parse_frame(&BYTES));
}

#[test]
fn each_refusal_names_its_reason() {
    let changed = |at: usize, byte: u8| {
        let mut frame = BYTES;
        frame[at] = byte;
        reseal(&mut frame);
        Packet::parse_frame(&frame).map(|_| ()).unwrap_err()
    };
    assert_eq!(changed(12, 0x81), Error::EtherType(0x8100));
    assert_eq!(changed(14, 0x65), Error::IpVersion(6));
    assert_eq!(changed(14, 0x44), Error::IpHeaderLength(16));
    assert_eq!(changed(17, 19), Error::IpHeaderLength(20));
    assert_eq!(changed(17, 37), Error::IpTruncated { expected: 37, actual: 36 });
    assert_eq!(changed(17, 35), Error::Advert(advert::Error::Length { expected: 16, actual: 15 }));
    assert_eq!(changed(20, 0x20), Error::Fragment);
    assert_eq!(changed(21, 0x01), Error::Fragment);
    assert_eq!(changed(22, 254), Error::TimeToLive(254));
    assert_eq!(changed(23, 17), Error::Protocol(17));

    let mut frame = BYTES;
    frame[25] ^= 1;
    assert_eq!(Packet::parse_frame(&frame), Err(Error::IpChecksum));
    assert_eq!(Packet::parse_frame(&BYTES[..13]), Err(Error::EthernetTruncated));
    assert_eq!(Packet::parse_frame(&BYTES[..33]), Err(Error::IpTruncated { expected: 20, actual: 19 }));
    assert_eq!(Packet::parse_frame(&BYTES[..49]), Err(Error::IpTruncated { expected: 36, actual: 35 }));
}

proptest! {
    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        prop_assert!(Packet::parse_frame(&bytes).is_err());
    }

    // One byte of a good frame replaced: parsed or refused, and never taken for another sender's word unnoticed.
    #[test]
    fn a_changed_byte_never_changes_sender_or_content(at in 14..50usize, byte: u8) {
        let mut frame = BYTES;
        prop_assume!(frame[at] != byte);
        frame[at] = byte;
        prop_assert!(Packet::parse_frame(&frame).is_err());
    }
}
