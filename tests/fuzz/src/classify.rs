//! The kernel half's classifier on the host, and the records it makes. What it delivers is judged again from the RFCs,
//! sharing no code with it, and must mean the same to the daemon's own parser.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use vrrp_ebpf::{
    abi::{AUTH_NONE, AUTH_PASS, PeerKey, RULE_PEERS_ONLY, RecordHeader, Rule, RuleKey},
    classify::{Advert, Checksum, Rules, Verdict, classify_bytes},
    samples::{Sample, checksum},
};
use vrrp_user::wire::{AdvertInterval, advert, frame};

use crate::wire::{ipv4_samples, reseal_frame};

const IFINDEX: u32 = 3;
const SLOT: u32 = 7;
const ETHERNET: usize = 14;

/// Bits of the first byte of an input.
const VERSION_3: u8 = 1 << 0;
const PASSWORD: u8 = 1 << 1;
const PEERS_ONLY: u8 = 1 << 2;
/// Checksums are put right first: see `wire`.
const RESEAL: u8 = 1 << 3;
const PSEUDO_HEADER: u8 = 1 << 4;

/// One virtual router of this host, in both families, and one peer.
struct OneRule {
    virtual_router_id: u8,
    rule: Rule,
    peer: [u8; 16],
}

impl OneRule {
    fn new(first: u8, virtual_router_id: u8, v2_interval: u8) -> Self {
        let is_v3 = first & VERSION_3 != 0;
        let rule = Rule {
            slot: SLOT,
            version: if is_v3 { 3 } else { 2 },
            auth_type: if !is_v3 && first & PASSWORD != 0 { AUTH_PASS } else { AUTH_NONE },
            flags: if first & PEERS_ONLY != 0 { RULE_PEERS_ONLY } else { 0 },
            v2_interval: if is_v3 { 0 } else { v2_interval.max(1) },
            password: *b"1111\0\0\0\0",
        };
        let mut peer = [0; 16];
        peer[12..].copy_from_slice(&[192, 0, 2, 251]);
        Self { virtual_router_id, rule, peer }
    }
}

impl Rules for OneRule {
    fn rule(&self, key: &RuleKey) -> Option<Rule> {
        let ours = key.ifindex == IFINDEX && key.virtual_router_id == self.virtual_router_id;
        ours.then_some(self.rule)
    }

    fn is_peer(&self, key: &PeerKey) -> bool {
        key.slot == SLOT && key.address == self.peer
    }
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    let v6 = [Sample::v6(), Sample { ttl: 64, ..Sample::v6() }];
    for sample in ipv4_samples().into_iter().chain(v6) {
        let mut first = if sample.version == 3 { VERSION_3 } else { 0 };
        if sample.auth_type == 1 {
            first |= PASSWORD;
        }
        let head = [sample.virtual_router_id, 1];
        for more in [0, PEERS_ONLY, RESEAL, RESEAL | PSEUDO_HEADER] {
            seeds.push([vec![first | more], head.to_vec(), sample.frame()].concat());
        }
    }
    seeds
}

/// First byte, virtual router, version 2 interval, frame.
pub(crate) fn check(input: &[u8]) -> bool {
    let Some((head, bytes)) = input.split_first_chunk::<3>() else { return false };
    let [first, virtual_router_id, v2_interval] = *head;
    let rules = OneRule::new(first, virtual_router_id, v2_interval);
    let mut bytes = bytes.to_vec();
    if first & RESEAL != 0 {
        reseal_frame(&mut bytes, first & PSEUDO_HEADER != 0);
    }
    let verdict = classify_bytes(&bytes, &rules, IFINDEX);
    match verdict {
        Verdict::NotVrrp => assert!(!is_vrrp(&bytes), "VRRP taken for something else"),
        Verdict::Pass(_) => assert!(is_vrrp(&bytes)),
        Verdict::Foreign { key, .. } => assert_ne!(key.virtual_router_id, virtual_router_id),
        Verdict::Drop { slot, .. } => {
            assert_eq!(slot, SLOT);
            assert!(is_vrrp(&bytes));
        }
        Verdict::Deliver(advert) => judge(&bytes, &rules, &advert),
    }
    matches!(verdict, Verdict::Deliver(_))
}

fn is_vrrp(bytes: &[u8]) -> bool {
    // Ethernet and the shortest IP header: RFC 791 §3.1, protocol at 9; RFC 8200 §3, next header at 6.
    bytes.len() >= 34
        && (bytes[12..14] == [0x08, 0x00] && bytes[23] == 112
            || bytes[12..14] == [0x86, 0xdd] && bytes[20] == 112)
}

/// RFC 9568 §7.1, RFC 3768 §7.1, once more and slowly.
fn judge(bytes: &[u8], rules: &OneRule, verdict: &Advert) {
    assert!(is_vrrp(bytes));
    let frame = &bytes[..usize::from(verdict.length)];
    let ip = &frame[ETHERNET..];
    let (message, ends, ttl, sender) = if ip[0] >> 4 == 4 {
        assert_eq!(bytes[12..14], [0x08, 0x00]);
        let header = usize::from(ip[0] & 0x0f) * 4;
        assert!(header >= 20);
        assert_eq!(checksum(&ip[..header]), 0, "IPv4 header checksum");
        assert_eq!(usize::from(u16::from_be_bytes([ip[2], ip[3]])), ip.len(), "total length");
        assert_eq!(u16::from_be_bytes([ip[6], ip[7]]) & 0x3fff, 0, "a fragment");
        assert_eq!(ip[16..20], [224, 0, 0, 18]);
        let sender = Ipv4Addr::new(ip[12], ip[13], ip[14], ip[15]);
        assert!(!sender.is_loopback() && !sender.is_multicast() && sender.octets()[0] != 0);
        (&ip[header..], ip[12..20].to_vec(), ip[8], IpAddr::V4(sender))
    } else {
        assert_eq!(bytes[12..14], [0x86, 0xdd]);
        assert_eq!(ip[0] >> 4, 6);
        assert_eq!(usize::from(u16::from_be_bytes([ip[4], ip[5]])), ip.len() - 40, "payload length");
        assert_eq!(ip[24..40], "ff02::12".parse::<Ipv6Addr>().unwrap().octets());
        let source: [u8; 16] = ip[8..24].try_into().unwrap();
        let sender = Ipv6Addr::from(source);
        assert!(sender.is_unicast_link_local());
        (&ip[40..], ip[8..40].to_vec(), ip[7], IpAddr::V6(sender))
    };
    assert_eq!(ttl, 255);
    assert_eq!(verdict.sender.ip(verdict.key.family), sender);
    assert_eq!(message[0], rules.rule.version << 4 | 1, "version and type");
    assert_eq!((message[1], message[2]), (rules.virtual_router_id, verdict.priority));
    let (count, address) = (usize::from(message[3]), if sender.is_ipv4() { 4 } else { 16 });
    assert!(count > 0);
    let mut summed = message.to_vec();
    summed.extend(&ends);
    summed.extend([0, 112]);
    summed.extend(u16::try_from(message.len()).unwrap().to_be_bytes());
    if rules.rule.version == 2 {
        assert_eq!(message.len(), 8 + count * address + 8);
        assert_eq!((message[4], message[5]), (rules.rule.auth_type, rules.rule.v2_interval));
        assert_eq!(verdict.interval, u16::from(message[5]));
        if rules.rule.auth_type == AUTH_PASS {
            assert!(message.ends_with(&rules.rule.password), "another password");
        }
        assert_eq!((checksum(message), verdict.checksum), (0, Checksum::Version2));
    } else {
        assert_eq!(message.len(), 8 + count * address);
        assert_eq!(verdict.interval, u16::from_be_bytes([message[4] & 0x0f, message[5]]));
        assert!(verdict.interval > 0);
        if checksum(message) == 0 && sender.is_ipv4() {
            assert_eq!(verdict.checksum, Checksum::MessageOnly);
        } else {
            assert_eq!((checksum(&summed), verdict.checksum), (0, Checksum::PseudoHeader));
        }
    }
    if rules.rule.flags & RULE_PEERS_ONLY != 0 {
        assert_eq!(sender, IpAddr::V4(Ipv4Addr::new(192, 0, 2, 251)));
    }
    if sender.is_ipv4() {
        agree(frame, verdict, sender);
    }
}

/// What the kernel half delivers the daemon understands, and in the same sense.
fn agree(bytes: &[u8], verdict: &Advert, sender: IpAddr) {
    let packet = frame::Packet::parse_frame(bytes).unwrap();
    assert_eq!(IpAddr::V4(packet.source), sender);
    assert_eq!(packet.advert.virtual_router_id, verdict.key.virtual_router_id);
    assert_eq!(packet.advert.priority, verdict.priority);
    let interval = match packet.advert.advert_interval() {
        AdvertInterval::V2(seconds) => u16::from(seconds.get()),
        AdvertInterval::V3(centiseconds) => centiseconds.get(),
    };
    assert_eq!(interval, verdict.interval);
    let form = match packet.advert.dialect {
        advert::Dialect::V2 { .. } => Checksum::Version2,
        advert::Dialect::V3 { checksum: advert::Ipv4Checksum::MessageOnly, .. } => Checksum::MessageOnly,
        advert::Dialect::V3 { checksum: advert::Ipv4Checksum::PseudoHeader, .. } => Checksum::PseudoHeader,
    };
    assert_eq!(form, verdict.checksum);
}

pub(crate) fn record_seeds() -> Vec<Vec<u8>> {
    let frame = Sample::v3().frame();
    let mut record = Vec::new();
    record.extend(vrrp_ebpf::abi::ABI_VERSION.to_ne_bytes());
    record.extend(u16::try_from(frame.len()).unwrap().to_ne_bytes());
    record.extend(SLOT.to_ne_bytes());
    record.extend(123_456_789_u64.to_ne_bytes());
    record.extend(IFINDEX.to_ne_bytes());
    record.extend(1_u32.to_ne_bytes());
    record.extend(&frame);
    vec![record.clone(), record[..40].to_vec(), [record, vec![0; 9]].concat()]
}

pub(crate) fn check_record(input: &[u8]) -> bool {
    let claimed = input.get(2..4).map(|bytes| usize::from(u16::from_ne_bytes([bytes[0], bytes[1]])));
    let is_whole = claimed.is_some_and(|length| input.len() >= 24 + length);
    match RecordHeader::split(input) {
        None => {
            assert!(!is_whole, "a whole record is refused");
            false
        }
        Some((header, frame)) => {
            assert!(is_whole);
            assert_eq!(frame, &input[24..24 + usize::from(header.length)]);
            assert_eq!(header.slot.to_ne_bytes(), input[4..8]);
            assert_eq!(header.arrived_ns.to_ne_bytes(), input[8..16]);
            assert_eq!(header.ifindex.to_ne_bytes(), input[16..20]);
            assert_eq!(header.flags.to_ne_bytes(), input[20..24]);
            crate::wire::check_frame(&[&[0], frame].concat())
        }
    }
}
