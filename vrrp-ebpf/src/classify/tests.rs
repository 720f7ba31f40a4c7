use std::collections::{HashMap, HashSet};
use std::string::String;
use std::vec::Vec;
use std::{format, vec};

use proptest::prelude::*;

use super::{
    Checksum, Family, IPV4_HEADS, IPV6_HEADS, Rules, Verdict, classify, classify_bytes, gate, is_of_a_vlan,
    plain_length,
};
use crate::abi::{
    AUTH_NONE, AUTH_PASS, Counter, FAMILY_IPV4, FAMILY_IPV6, MAX_FRAME, PeerKey, RULE_PEERS_ONLY, Rule,
    RuleKey,
};
use crate::address::Address;
use crate::frame::{Bytes, Frame};
use crate::samples::{Sample, reseal_ipv4};

const IFINDEX: u32 = 4;
const SLOT: u32 = 7;

#[derive(Default)]
struct Table {
    rules: HashMap<RuleKey, Rule>,
    peers: HashSet<PeerKey>,
}

impl Rules for Table {
    fn rule(&self, key: &RuleKey) -> Option<Rule> {
        self.rules.get(key).copied()
    }

    fn is_peer(&self, key: &PeerKey) -> bool {
        self.peers.contains(key)
    }
}

fn table(family: u8, rule: Rule) -> Table {
    let key = RuleKey { ifindex: IFINDEX, family, virtual_router_id: 10, padding: 0 };
    Table { rules: HashMap::from([(key, rule)]), peers: HashSet::new() }
}

fn v2() -> Rule {
    Rule { slot: SLOT, version: 2, auth_type: AUTH_NONE, flags: 0, v2_interval: 1, password: [0; 8] }
}

fn v2_pass() -> Rule {
    Rule { auth_type: AUTH_PASS, password: *b"1111\0\0\0\0", ..v2() }
}

fn v3() -> Rule {
    Rule { version: 3, v2_interval: 0, ..v2() }
}

/// A sample of each kind, the rules that fit it, and the checksum form to be seen.
fn kinds() -> Vec<(&'static str, Sample, Table, Checksum)> {
    vec![
        ("v2", Sample::v2(), table(FAMILY_IPV4, v2()), Checksum::Version2),
        ("v2 pass", Sample::v2_pass(), table(FAMILY_IPV4, v2_pass()), Checksum::Version2),
        ("v3 pseudo-header", Sample::v3(), table(FAMILY_IPV4, v3()), Checksum::PseudoHeader),
        ("v3 message only", Sample::v3_message_only(), table(FAMILY_IPV4, v3()), Checksum::MessageOnly),
        ("v3 IPv6", Sample::v6(), table(FAMILY_IPV6, v3()), Checksum::PseudoHeader),
    ]
}

fn judge(sample: &Sample, table: &Table) -> Verdict {
    classify_bytes(&sample.frame(), table, IFINDEX)
}

#[track_caller]
fn assert_dropped(sample: &Sample, rule: Rule, reason: Counter) {
    let sender = Address::from_octets([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 192, 0, 2, 251]);
    assert_eq!(judge(sample, &table(FAMILY_IPV4, rule)), Verdict::Drop { reason, slot: SLOT, sender });
}

#[test]
fn golden_checksums_of_independent_origin_are_accepted() {
    let sum = |sample: &Sample| sample.message()[6..8].to_vec();
    assert_eq!(sum(&Sample::v2()), [0x92, 0xed]);
    assert_eq!(sum(&Sample::v3_message_only()), [0x82, 0x8a]);
    assert_eq!(sum(&Sample::v3()), [0xde, 0xfb]);
    assert_eq!(sum(&Sample::v6()), [0x3f, 0x5d]);
    // A live keepalived 2.2.7: 31 0a c8 02 00 0a df 55.
    let keepalived = Sample { interval: 10, ..Sample::v3() };
    assert_eq!(keepalived.message()[..8], [0x31, 0x0a, 0xc8, 0x02, 0x00, 0x0a, 0xdf, 0x55]);

    for (kind, sample, table, checksum) in kinds() {
        let Verdict::Deliver(advert) = judge(&sample, &table) else {
            panic!("{kind}: {:?}", judge(&sample, &table));
        };
        assert_eq!(advert.checksum, checksum, "{kind}");
        assert_eq!(advert.rule.slot, SLOT, "{kind}");
        assert_eq!(advert.priority, sample.priority, "{kind}");
        assert_eq!(advert.interval, sample.interval, "{kind}");
        assert_eq!(usize::from(advert.length), sample.frame().len(), "{kind}");
        assert_eq!(advert.sender.octets()[16 - sample.source.len()..], sample.source[..], "{kind}");
    }
}

#[test]
fn every_changed_byte_that_matters_costs_the_advert_its_delivery() {
    for (kind, sample, table, _) in kinds() {
        let frame = sample.frame();
        let valid = classify_bytes(&frame, &table, IFINDEX);
        let ipv6 = sample.source.len() == 16;
        for at in 0..frame.len() {
            for value in 0..=255 {
                let mut changed = frame.clone();
                changed[at] = value;
                let verdict = classify_bytes(&changed, &table, IFINDEX);
                // Ethernet addresses, and IPv6's traffic class and flow label, which no checksum covers.
                let free = at < 12 || ipv6 && (15..18).contains(&at) || ipv6 && at == 14 && value >> 4 == 6;
                if free || value == frame[at] {
                    assert_eq!(verdict, valid, "{kind}: byte {at} = {value:#04x}");
                } else {
                    let delivered = matches!(verdict, Verdict::Deliver(_));
                    assert!(!delivered, "{kind}: byte {at} = {value:#04x} is delivered");
                }
            }
        }
    }
}

#[test]
fn every_cut_is_seen_and_never_read_beyond() {
    for (kind, sample, table, _) in kinds() {
        let frame = sample.frame();
        for length in 0..frame.len() {
            let verdict = classify_bytes(&frame[..length], &table, IFINDEX);
            let delivered = matches!(verdict, Verdict::Deliver(_));
            assert!(!delivered, "{kind}: cut to {length} bytes");
        }
    }
}

#[test]
fn ethernet_padding_is_tolerated_and_not_part_of_the_advert() {
    for (kind, sample, table, _) in kinds() {
        let padded = Sample { padding: 46, ..sample.clone() };
        assert_eq!(judge(&padded, &table), judge(&sample, &table), "{kind}");
    }
}

#[test]
fn ipv4_options_are_stepped_over() {
    for options in (4..=40).step_by(4) {
        let sample = Sample { options, ..Sample::v3() };
        let Verdict::Deliver(advert) = judge(&sample, &table(FAMILY_IPV4, v3())) else {
            panic!("{options} bytes of options: {:?}", judge(&sample, &table(FAMILY_IPV4, v3())));
        };
        assert_eq!(usize::from(advert.length), 14 + 20 + options + 16);
        let mut corrupt = sample.frame();
        corrupt[14 + 20 + options - 1] ^= 1;
        let verdict = classify_bytes(&corrupt, &table(FAMILY_IPV4, v3()), IFINDEX);
        assert_eq!(verdict, Verdict::Pass(Counter::NotUnderstood));
    }
}

#[test]
fn as_many_addresses_as_the_protocol_has() {
    for (kind, sample, table, _) in kinds() {
        for count in [1, 3, 20, 60, 128, 255] {
            let sample = sample.clone().with_addresses(count);
            let Verdict::Deliver(advert) = judge(&sample, &table) else {
                panic!("{kind}, {count} addresses: {:?}", judge(&sample, &table));
            };
            assert_eq!(usize::from(advert.length), sample.frame().len());
        }
    }
    assert_eq!(Sample::v6().with_addresses(255).frame().len(), 14 + 40 + 8 + 255 * 16);
    assert!(Sample::v6().with_addresses(255).frame().len() <= MAX_FRAME);
}

#[test]
fn not_vrrp_is_let_through_uncounted() {
    let table = table(FAMILY_IPV4, v3());
    let mut tcp = Sample::v3().frame();
    tcp[23] = 6;
    let mut arp = Sample::v3().frame();
    arp[12..14].copy_from_slice(&[0x08, 0x06]);
    let mut tagged = Sample::v3().frame();
    tagged.splice(12..12, [0x81, 0x00, 0x00, 0x05]);
    let mut double_tagged = tagged.clone();
    double_tagged[12..14].copy_from_slice(&[0x88, 0xa8]);
    let mut extension_header = Sample::v6().frame();
    extension_header[20] = 0;
    for frame in [tcp, arp, tagged, double_tagged, extension_header, vec![], vec![0; 33]] {
        assert_eq!(classify_bytes(&frame, &table, IFINDEX), Verdict::NotVrrp);
    }
}

#[test]
fn not_understood_is_let_through() {
    let change = |at: usize, bytes: &[u8]| {
        let mut frame = Sample::v3().frame();
        frame[at..at + bytes.len()].copy_from_slice(bytes);
        reseal_ipv4(&mut frame);
        frame
    };
    let mut short_header = Sample::v3().frame();
    short_header[14] = 0x44;
    let mut options_beyond_the_frame = Sample::v3().frame();
    options_beyond_the_frame[14] = 0x4f;
    let other_group = Sample { destination: vec![224, 0, 0, 5], ..Sample::v3() };
    let unicast = Sample { destination: vec![192, 0, 2, 1], ..Sample::v3() };
    let other_group_v6 = Sample { destination: vec![0xff; 16], ..Sample::v6() };
    let mut bad_header_sum = Sample::v3().frame();
    bad_header_sum[24] ^= 1;
    for (what, frame) in [
        ("more fragments", change(20, &[0x20, 0x00])),
        ("a later fragment", change(20, &[0x00, 0x08])),
        ("IP version 5", change(14, &[0x55])),
        ("IPv4 header of 16 bytes", short_header),
        ("options beyond the frame", options_beyond_the_frame),
        ("total length without a VRRP header", change(16, &[0, 27])),
        ("total length below the header's", change(16, &[0, 10])),
        ("another group", other_group.frame()),
        ("unicast", unicast.frame()),
        ("another IPv6 group", other_group_v6.frame()),
        ("wrong IPv4 header checksum", bad_header_sum),
        ("IPv4 frame cut in the VRRP header", Sample::v3().frame()[..41].to_vec()),
        ("IPv6 frame cut in the VRRP header", Sample::v6().frame()[..61].to_vec()),
    ] {
        let mut table = table(FAMILY_IPV4, v3());
        table.rules.extend(self::table(FAMILY_IPV6, v3()).rules);
        let verdict = classify_bytes(&frame, &table, IFINDEX);
        assert_eq!(verdict, Verdict::Pass(Counter::NotUnderstood), "{what}");
    }
}

#[test]
fn another_router_interface_or_family_is_foreign() {
    let table = table(FAMILY_IPV4, v3());
    let foreign = |verdict: Verdict| matches!(verdict, Verdict::Foreign { .. });
    assert!(foreign(judge(&Sample { virtual_router_id: 11, ..Sample::v3() }, &table)));
    assert!(foreign(judge(&Sample::v6(), &table)));
    assert!(foreign(classify_bytes(&Sample::v3().frame(), &table, IFINDEX + 1)));
    // Whatever else is wrong with it: it is not ours to judge.
    assert!(foreign(judge(&Sample { virtual_router_id: 11, ttl: 1, ..Sample::v2() }, &table)));
}

#[test]
fn rfc9568_7_1_ttl_must_be_255() {
    for ttl in [0, 1, 64, 254] {
        assert_dropped(&Sample { ttl, ..Sample::v3() }, v3(), Counter::IpTtl);
        let verdict = judge(&Sample { ttl, ..Sample::v6() }, &table(FAMILY_IPV6, v3()));
        assert!(matches!(verdict, Verdict::Drop { reason: Counter::IpTtl, .. }), "{verdict:?}");
    }
}

#[test]
fn rfc9568_7_1_version_must_be_the_configured_one() {
    assert_dropped(&Sample::v2(), v3(), Counter::Version);
    assert_dropped(&Sample::v3(), v2(), Counter::Version);
    assert_dropped(&Sample { version: 0, ..Sample::v3() }, v3(), Counter::Version);
    assert_dropped(&Sample { version: 4, ..Sample::v3() }, v3(), Counter::Version);
}

#[test]
fn rfc9568_5_2_2_type_must_be_advertisement() {
    for kind in [0, 2, 15] {
        assert_dropped(&Sample { kind, ..Sample::v3() }, v3(), Counter::InvalidType);
    }
}

#[test]
fn rfc9568_7_1_the_packet_must_be_complete_and_end_where_it_says() {
    assert_dropped(&Sample { count: 3, ..Sample::v3() }, v3(), Counter::PacketLength);
    assert_dropped(&Sample { count: 1, ..Sample::v3() }, v3(), Counter::PacketLength);
    assert_dropped(&Sample { trailing: 4, ..Sample::v3() }, v3(), Counter::PacketLength);
    // Version 2 without its authentication data.
    assert_dropped(&Sample { authentication: None, ..Sample::v2() }, v2(), Counter::PacketLength);
    // The IP header promises more than the frame holds.
    let frame = Sample::v3().frame();
    let cut = classify_bytes(&frame[..frame.len() - 1], &table(FAMILY_IPV4, v3()), IFINDEX);
    assert!(matches!(cut, Verdict::Drop { reason: Counter::PacketLength, .. }), "{cut:?}");
}

#[test]
fn rfc9568_5_2_8_checksum_must_fit() {
    for (kind, sample, table, _) in kinds() {
        let mut frame = sample.frame();
        let last = frame.len() - 1;
        frame[last] ^= 0x40;
        let verdict = classify_bytes(&frame, &table, IFINDEX);
        assert!(matches!(verdict, Verdict::Drop { reason: Counter::Checksum, .. }), "{kind}: {verdict:?}");
    }
    // A version 2 checksum has no pseudo-header, an IPv6 one always has.
    assert_dropped(&Sample { pseudo_header: true, ..Sample::v2() }, v2(), Counter::Checksum);
    let v6 = judge(&Sample { pseudo_header: false, ..Sample::v6() }, &table(FAMILY_IPV6, v3()));
    assert!(matches!(v6, Verdict::Drop { reason: Counter::Checksum, .. }), "{v6:?}");
}

#[test]
fn rfc3768_7_1_authentication_type_must_be_the_configured_one() {
    assert_dropped(&Sample::v2_pass(), v2(), Counter::AuthTypeMismatch);
    assert_dropped(&Sample::v2(), v2_pass(), Counter::AuthTypeMismatch);
    assert_dropped(&Sample { auth_type: 2, ..Sample::v2() }, v2_pass(), Counter::AuthTypeMismatch);
}

#[test]
fn rfc2338_5_3_10_password_must_match_in_all_eight_bytes() {
    for password in [*b"2222\0\0\0\0", *b"1111\0\0\0x", *b"\x001111\0\0\0", [0; 8]] {
        let sample = Sample { authentication: Some(password), ..Sample::v2_pass() };
        assert_dropped(&sample, v2_pass(), Counter::AuthFailure);
    }
}

#[test]
fn rfc3768_5_3_6_authentication_data_is_ignored_without_authentication() {
    let sample = Sample { authentication: Some(*b"anything"), ..Sample::v2() };
    assert!(matches!(judge(&sample, &table(FAMILY_IPV4, v2())), Verdict::Deliver(_)));
}

#[test]
fn rfc3768_7_1_interval_must_be_ours_in_version_2_and_not_zero_in_version_3() {
    assert_dropped(&Sample { interval: 2, ..Sample::v2() }, v2(), Counter::AdvertInterval);
    assert_dropped(&Sample { interval: 0, ..Sample::v3() }, v3(), Counter::AdvertInterval);
    // Reserved bits are ignored, also when they are all that is set.
    assert_dropped(&Sample { interval: 0xf000, ..Sample::v3() }, v3(), Counter::AdvertInterval);
    let reserved = judge(&Sample { interval: 0xf001, ..Sample::v3() }, &table(FAMILY_IPV4, v3()));
    assert!(matches!(reserved, Verdict::Deliver(advert) if advert.interval == 1), "{reserved:?}");
}

#[test]
fn erratum_8299_an_advert_has_an_address() {
    let sample = Sample { count: 0, addresses: vec![], ..Sample::v3() };
    assert_dropped(&sample, v3(), Counter::AddressCount);
}

#[test]
fn only_peers_speak_where_peers_are_named() {
    let rule = Rule { flags: RULE_PEERS_ONLY, ..v3() };
    assert_dropped(&Sample::v3(), rule, Counter::Sender);
    let mut table = table(FAMILY_IPV4, rule);
    let mut address = [0; 16];
    address[12..].copy_from_slice(&[192, 0, 2, 251]);
    table.peers.insert(PeerKey { slot: SLOT + 1, address });
    assert!(matches!(judge(&Sample::v3(), &table), Verdict::Drop { reason: Counter::Sender, .. }));
    table.peers.insert(PeerKey { slot: SLOT, address });
    assert!(matches!(judge(&Sample::v3(), &table), Verdict::Deliver(_)));
}

#[test]
fn a_source_that_is_no_hosts_address_cannot_speak() {
    for source in [[0, 0, 0, 0], [127, 0, 0, 1], [224, 0, 0, 18], [255, 255, 255, 255]] {
        let sample = Sample { source: source.to_vec(), ..Sample::v3() };
        let verdict = judge(&sample, &table(FAMILY_IPV4, v3()));
        assert!(matches!(verdict, Verdict::Drop { reason: Counter::Sender, .. }), "{source:?}: {verdict:?}");
    }
    for first in [0x20, 0xff, 0x00] {
        let mut source = Sample::v6().source;
        source[0] = first;
        let verdict = judge(&Sample { source, ..Sample::v6() }, &table(FAMILY_IPV6, v3()));
        assert!(matches!(verdict, Verdict::Drop { reason: Counter::Sender, .. }), "{first:#x}: {verdict:?}");
    }
}

/// What makes a frame an advert, restated from the RFCs without the classifier.
fn is_valid(frame: &[u8], table: &Table) -> Result<(), String> {
    let vrid_of = |message: &[u8]| message[1];
    let (family, ip, ttl) = match (frame[12], frame[13]) {
        (8, 0) => (FAMILY_IPV4, usize::from(frame[14] & 15) * 4, frame[22]),
        _ => (FAMILY_IPV6, 40, frame[21]),
    };
    let end = if family == FAMILY_IPV4 {
        14 + usize::from(u16::from_be_bytes([frame[16], frame[17]]))
    } else {
        54 + usize::from(u16::from_be_bytes([frame[18], frame[19]]))
    };
    let message = &frame[14 + ip..end];
    let key = RuleKey { ifindex: IFINDEX, family, virtual_router_id: vrid_of(message), padding: 0 };
    let rule = table.rules.get(&key).ok_or("no rule")?;
    let addresses = usize::from(message[3]) * if family == FAMILY_IPV4 { 4 } else { 16 };
    let trailer = if rule.version == 2 { 8 } else { 0 };
    let conditions = [
        ttl == 255,
        message[0] == rule.version << 4 | 1,
        addresses != 0,
        message.len() == 8 + addresses + trailer,
        rule.version != 2 || message[4..6] == [rule.auth_type, rule.v2_interval],
        rule.auth_type != AUTH_PASS || message[message.len() - 8..] == rule.password,
    ];
    if conditions.contains(&false) { Err(format!("{conditions:?}")) } else { Ok(()) }
}

/// A frame as the kernel half reads it where it lies: everything but the end of the message at a known place.
struct Plain<'a>(Bytes<'a>);

impl Frame for Plain<'_> {
    const PLAIN: bool = true;

    fn fetch(&mut self, length: usize) -> bool {
        self.0.fetch(length)
    }

    fn at_hand(&self) -> usize {
        self.0.at_hand()
    }

    fn byte(&self, offset: usize) -> u8 {
        self.0.byte(offset)
    }

    fn half(&self, offset: usize) -> u16 {
        self.0.half(offset)
    }

    fn sum(&self, offset: usize, length: usize) -> u64 {
        self.0.sum(offset, length)
    }
}

/// Its verdict, if this is a frame for it.
fn classify_plainly(bytes: &[u8], rules: &impl Rules) -> Option<Verdict> {
    let head = bytes.first_chunk()?;
    let family = gate(head)?;
    let length = plain_length(head, family)?;
    let heads = if family == Family::Ipv4 { IPV4_HEADS } else { IPV6_HEADS };
    let is_here = (heads..=bytes.len()).contains(&length);
    is_here.then(|| classify(&mut Plain(Bytes::new(bytes)), rules, IFINDEX, family))
}

#[test]
fn a_frame_with_options_or_cut_short_is_not_read_where_it_lies() {
    for (name, sample, table, _) in kinds() {
        let frame = sample.frame();
        assert!(classify_plainly(&frame, &table).is_some(), "{name}");
        assert_eq!(classify_plainly(&frame[..frame.len() - 1], &table), None, "{name}");
        if sample.source.len() == 4 {
            let options = Sample { options: 4, ..sample }.frame();
            assert_eq!(classify_plainly(&options, &table), None, "{name}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn random_bytes_never_panic_and_are_never_delivered(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for (_, _, table, _) in kinds() {
            let delivered = matches!(classify_bytes(&bytes, &table, IFINDEX), Verdict::Deliver(_));
            prop_assert!(!delivered);
        }
    }

    #[test]
    fn damaged_adverts_are_delivered_only_if_valid(
        kind in 0..5_usize,
        damage in prop::collection::vec((12..120_usize, any::<u8>()), 0..4),
        length in 34..140_usize,
        reseal in any::<bool>(),
    ) {
        let (_, sample, table, _) = kinds().swap_remove(kind);
        let mut frame = Sample { padding: 60, ..sample }.frame();
        for (at, value) in damage {
            if let Some(byte) = frame.get_mut(at) {
                *byte = value;
            }
        }
        if reseal && frame[12..14] == [8, 0] && frame[14] == 0x45 {
            reseal_ipv4(&mut frame);
        }
        frame.truncate(length);
        let verdict = classify_bytes(&frame, &table, IFINDEX);
        if let Some(plain) = classify_plainly(&frame, &table) {
            prop_assert_eq!(plain, verdict);
        }
        if let Verdict::Deliver(advert) = verdict {
            prop_assert!(usize::from(advert.length) <= frame.len());
            prop_assert_eq!(is_valid(&frame, &table), Ok(()));
        }
    }
}

#[test]
fn a_priority_tag_is_no_vlan() {
    let (priority_6, vlan_20) = (6 << 13, 20);
    for (has_tag, tag, expected) in [
        (0, 0, false),
        (1, 0, false),
        (1, priority_6, false),
        (1, vlan_20, true),
        (1, priority_6 | vlan_20, true),
    ] {
        assert_eq!(is_of_a_vlan(has_tag, tag), expected, "{has_tag} {tag:#x}");
    }
}
