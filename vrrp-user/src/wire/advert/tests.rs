use super::*;
use proptest::prelude::*;

const GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 18);
const SENDER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 251);
const TWO: [[u8; 4]; 2] = [[192, 0, 2, 1], [192, 0, 2, 2]];

fn repr(dialect: Dialect, octets: &[[u8; 4]]) -> Repr<'_> {
    Repr { virtual_router_id: 10, priority: 200, dialect, addresses: Addresses::new(octets).unwrap() }
}

fn v2(authentication: Authentication) -> Dialect {
    Dialect::V2 { interval: Seconds::new(1).unwrap(), authentication }
}

fn v3(centiseconds: u16, checksum: Ipv4Checksum) -> Dialect {
    Dialect::V3 { interval: Centiseconds::new(centiseconds).unwrap(), checksum }
}

fn emit(repr: &Repr<'_>) -> Vec<u8> {
    // Dirty, so a field that is not written shows.
    let mut message = vec![0xa5; repr.buffer_len()];
    repr.emit(SENDER, GROUP, &mut message);
    message
}

/// Puts the right checksum (message only) back after a test has changed other bytes.
fn reseal(message: &mut [u8]) {
    message[6..8].fill(0);
    let sum = !checksum::fold(checksum::sum(message));
    message[6..8].copy_from_slice(&sum.to_be_bytes());
}

#[test]
fn golden_bytes_of_each_dialect() {
    let none = emit(&repr(v2(Authentication::None), &TWO));
    #[rustfmt::skip]
    assert_eq!(none, [
        0x21, 10, 200, 2, 0, 1, 0x92, 0xed,
        192, 0, 2, 1, 192, 0, 2, 2,
        0, 0, 0, 0, 0, 0, 0, 0,
    ]);
    let message_only = emit(&repr(v3(100, Ipv4Checksum::MessageOnly), &TWO));
    assert_eq!(message_only, [0x31, 10, 200, 2, 0, 100, 0x82, 0x8a, 192, 0, 2, 1, 192, 0, 2, 2]);
    let pseudo = emit(&repr(v3(100, Ipv4Checksum::PseudoHeader), &TWO));
    assert_eq!(pseudo, [0x31, 10, 200, 2, 0, 100, 0xde, 0xfb, 192, 0, 2, 1, 192, 0, 2, 2]);
}

#[test]
fn the_captured_advert_of_keepalived_has_our_checksum() {
    let message = emit(&repr(v3(10, Ipv4Checksum::PseudoHeader), &TWO));
    assert_eq!(message[..8], [0x31, 0x0a, 0xc8, 0x02, 0x00, 0x0a, 0xdf, 0x55]);
}

#[test]
fn rfc2338_5_3_10_a_password_travels_zero_filled() {
    let repr = repr(v2(Authentication::Password(*b"1111\0\0\0\0")), &TWO);
    let message = emit(&repr);
    assert_eq!(message[4], 1);
    assert_eq!(&message[16..], b"1111\0\0\0\0");
    assert_eq!(Repr::parse(&message, SENDER, GROUP), Ok(repr));
}

#[test]
fn a_password_is_never_printed() {
    let shown = format!("{:?}", Authentication::Password(*b"sesame\0\0"));
    assert_eq!(shown, "Password(..)");
}

#[test]
fn rfc9568_5_2_8_both_forms_of_the_checksum_are_told_apart() {
    for form in [Ipv4Checksum::MessageOnly, Ipv4Checksum::PseudoHeader] {
        let repr = repr(v3(100, form), &TWO);
        assert_eq!(Repr::parse(&emit(&repr), SENDER, GROUP), Ok(repr));
    }
}

#[test]
fn a_pseudo_header_checksum_binds_the_sender() {
    let message = emit(&repr(v3(100, Ipv4Checksum::PseudoHeader), &TWO));
    let other = Ipv4Addr::new(192, 0, 2, 250);
    assert_eq!(Repr::parse(&message, other, GROUP), Err(Error::Checksum));
}

#[test]
fn rfc9568_5_2_6_reserved_bits_are_ignored_on_receive() {
    let mut message = emit(&repr(v3(100, Ipv4Checksum::MessageOnly), &TWO));
    message[4] |= 0xf0;
    reseal(&mut message);
    let parsed = Repr::parse(&message, SENDER, GROUP).unwrap();
    assert_eq!(parsed.advert_interval(), AdvertInterval::V3(Centiseconds::new(100).unwrap()));
}

#[test]
fn each_refusal_names_its_reason() {
    let v3 = emit(&repr(v3(100, Ipv4Checksum::MessageOnly), &TWO));
    let v2 = emit(&repr(v2(Authentication::None), &TWO));
    let changed = |from: &[u8], at: usize, byte: u8| {
        let mut message = from.to_vec();
        message[at] = byte;
        reseal(&mut message);
        Repr::parse(&message, SENDER, GROUP).map(|_| ()).unwrap_err()
    };
    assert_eq!(changed(&v3, 0, 0x41), Error::Version(4));
    assert_eq!(changed(&v3, 0, 0x32), Error::Type(2));
    assert_eq!(changed(&v3, 3, 0), Error::NoAddress);
    assert_eq!(changed(&v3, 3, 3), Error::Length { expected: 20, actual: 16 });
    assert_eq!(changed(&v3, 3, 1), Error::Length { expected: 12, actual: 16 });
    assert_eq!(changed(&v3, 5, 0), Error::Interval);
    assert_eq!(changed(&v2, 5, 0), Error::Interval);
    assert_eq!(changed(&v2, 4, 2), Error::AuthenticationType(2));
    for message in [&v2, &v3] {
        let mut message = message.clone();
        message[7] ^= 1;
        assert_eq!(Repr::parse(&message, SENDER, GROUP), Err(Error::Checksum));
    }
    assert_eq!(Repr::parse(&v3[..7], SENDER, GROUP), Err(Error::Truncated { actual: 7 }));
    assert_eq!(Repr::parse(&v2[..16], SENDER, GROUP), Err(Error::Length { expected: 24, actual: 16 }));
}

#[test]
fn a_list_has_1_to_255_addresses() {
    assert!(Addresses::new(&[]).is_none());
    assert!(Addresses::new(&[[10, 0, 0, 1]; 256]).is_none());
    let most = [[10, 0, 0, 1]; 255];
    let repr = repr(v2(Authentication::None), &most);
    assert_eq!(repr.buffer_len(), MAX_LEN);
    let message = emit(&repr);
    let parsed = Repr::parse(&message, SENDER, GROUP).unwrap();
    assert_eq!(parsed.addresses.iter().len(), 255);
    assert_eq!(parsed.addresses.iter().next(), Some(Ipv4Addr::new(10, 0, 0, 1)));
}

fn any_dialect() -> impl Strategy<Value = Dialect> {
    let authentication =
        prop_oneof![Just(Authentication::None), any::<[u8; 8]>().prop_map(Authentication::Password)];
    let form = prop_oneof![Just(Ipv4Checksum::MessageOnly), Just(Ipv4Checksum::PseudoHeader)];
    prop_oneof![
        (1..=255u8, authentication).prop_map(|(seconds, authentication)| Dialect::V2 {
            interval: Seconds::new(seconds).unwrap(),
            authentication
        }),
        (1..=4095u16, form).prop_map(|(number, form)| v3(number, form)),
    ]
}

proptest! {
    #[test]
    fn whatever_is_emitted_parses_back(
        virtual_router_id: u8,
        priority: u8,
        dialect in any_dialect(),
        octets in prop::collection::vec(any::<[u8; 4]>(), 1..=255),
    ) {
        let addresses = Addresses::new(&octets).unwrap();
        let repr = Repr { virtual_router_id, priority, dialect, addresses };
        let message = emit(&repr);
        prop_assert_eq!(Repr::parse(&message, SENDER, GROUP), Ok(repr));
    }

    #[test]
    fn random_bytes_never_panic_and_what_is_accepted_is_whole(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        if let Ok(repr) = Repr::parse(&bytes, SENDER, GROUP) {
            prop_assert_eq!(repr.buffer_len(), bytes.len());
        }
    }

    // Ones' complement sums cannot see a word of all zeros turn into all ones; one flipped bit they always see, and one
    // replaced byte too.
    #[test]
    fn every_changed_byte_is_noticed(at in 0..24usize, byte: u8) {
        let before = repr(v2(Authentication::None), &TWO);
        let mut message = emit(&before);
        prop_assume!(message[at] != byte);
        message[at] = byte;
        prop_assert!(Repr::parse(&message, SENDER, GROUP).is_err());
    }
}
