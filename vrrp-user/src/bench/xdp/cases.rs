//! The kinds of packet that are measured, each with the rule it meets and what must become of it.
//!
//! Refuses to know how a cost is measured.

use vrrp_ebpf::abi::{
    AUTH_NONE, AUTH_PASS, Counter, FAMILY_IPV4, FAMILY_IPV6, RULE_CHANGES_ONLY, RULE_PEERS_ONLY, Rule,
};
use vrrp_ebpf::samples::Sample;

use super::Group;

/// How many packets of a kind can be run one after the other before they become another kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Supply {
    Endless,
    /// Only so far as the recorded sender's tokens go.
    Tokens,
    /// Only so far as a foreign sender's tokens go, which are refilled slowly: a new sender each time.
    ForeignTokens,
}

pub(super) struct Case {
    pub(super) name: &'static str,
    pub(super) group: Group,
    pub(super) supply: Supply,
    pub(super) family: u8,
    /// Of virtual router and slot that carry the case's number.
    pub(super) rule: Option<Rule>,
    /// Whether each advert wakes the consumer.
    pub(super) wakes: bool,
    pub(super) sample: Sample,
    pub(super) change: fn(&mut [u8]),
    /// Each packet is counted here; `None` if packets of this kind are not counted.
    pub(super) counter: Option<Counter>,
    /// Of an endless run so many may be of another kind: those for which there were tokens, the first ones and a few
    /// that were earned meanwhile.
    pub(super) exceptions: u64,
}

impl Case {
    fn new(name: &'static str, group: Group, counter: Counter) -> Self {
        Self {
            name,
            group,
            supply: Supply::Endless,
            family: FAMILY_IPV4,
            rule: Some(V3),
            wakes: false,
            sample: Sample::v3(),
            change: |_| {},
            counter: Some(counter),
            exceptions: 0,
        }
    }

    fn pass(name: &'static str, counter: Counter) -> Self {
        Self::new(name, Group::Pass, counter)
    }

    fn drop(name: &'static str, counter: Counter) -> Self {
        Self::new(name, Group::Drop, counter)
    }

    fn deliver(name: &'static str) -> Self {
        Self { supply: Supply::Tokens, ..Self::new(name, Group::Deliver, Counter::Delivered) }
    }

    /// The frame of the case with this number, from the sender with that one.
    pub(super) fn frame(&self, number: u8, sender: u16) -> Vec<u8> {
        let mut sample = Sample { virtual_router_id: number, ..self.sample.clone() };
        if self.supply == Supply::ForeignTokens {
            sample.source[2..4].copy_from_slice(&sender.to_be_bytes());
        }
        let mut frame = sample.frame();
        (self.change)(&mut frame);
        frame
    }
}

const V3: Rule =
    Rule { slot: 0, version: 3, auth_type: AUTH_NONE, flags: 0, v2_interval: 0, password: [0; 8] };
const V2: Rule = Rule { version: 2, v2_interval: 1, ..V3 };
const V2_PASS: Rule = Rule { auth_type: AUTH_PASS, password: *b"1111\0\0\0\0", ..V2 };

/// Of a frame without IPv4 options.
const IPV4_PROTOCOL: usize = 14 + 9;
const IPV4_CHECKSUM: usize = 14 + 10;
const VRRP_CHECKSUM: usize = 14 + 20 + 6;
const TCP: u8 = 6;

pub(super) fn cases() -> Vec<Case> {
    let v3 = Sample::v3;
    let mut cases = vec![
        Case {
            change: |frame| frame[IPV4_PROTOCOL] = TCP,
            counter: None,
            ..Case::pass("not VRRP", Counter::NotUnderstood)
        },
        Case {
            sample: Sample { destination: [192, 0, 2, 1].to_vec(), ..v3() },
            ..Case::pass("not understood: unicast", Counter::NotUnderstood)
        },
        Case { rule: None, supply: Supply::ForeignTokens, ..Case::pass("foreign", Counter::ForeignPassed) },
        Case {
            rule: None,
            exceptions: 300,
            ..Case::drop("foreign, above its rate", Counter::ForeignDropped)
        },
        Case { sample: Sample { ttl: 1, ..v3() }, ..Case::drop("TTL", Counter::IpTtl) },
        Case { sample: Sample::v2(), ..Case::drop("version", Counter::Version) },
        Case { sample: Sample { kind: 2, ..v3() }, ..Case::drop("type", Counter::InvalidType) },
        Case { sample: Sample { count: 0, ..v3() }, ..Case::drop("address count", Counter::AddressCount) },
        Case {
            rule: Some(V2),
            sample: Sample::v2_pass(),
            ..Case::drop("authentication type", Counter::AuthTypeMismatch)
        },
        Case { sample: Sample { interval: 0, ..v3() }, ..Case::drop("interval", Counter::AdvertInterval) },
        Case { sample: Sample { count: 3, ..v3() }, ..Case::drop("length", Counter::PacketLength) },
        Case {
            rule: Some(Rule { flags: RULE_PEERS_ONLY, ..V3 }),
            ..Case::drop("sender is no peer", Counter::Sender)
        },
        Case {
            change: |frame| frame[IPV4_CHECKSUM] ^= 1,
            ..Case::pass("IPv4 header checksum", Counter::NotUnderstood)
        },
        Case { change: |frame| frame[VRRP_CHECKSUM] ^= 1, ..Case::drop("checksum", Counter::Checksum) },
        Case {
            rule: Some(V2_PASS),
            sample: Sample { authentication: Some(*b"2222\0\0\0\0"), ..Sample::v2_pass() },
            ..Case::drop("password", Counter::AuthFailure)
        },
        Case {
            rule: Some(Rule { flags: RULE_CHANGES_ONLY, ..V3 }),
            ..Case::new("accepted, slot only", Group::Accept, Counter::Accepted)
        },
        Case {
            exceptions: 600,
            ..Case::new("accepted, above the ring's rate", Group::Accept, Counter::RateLimited)
        },
    ];
    cases.extend([
        Case::deliver("delivered, v3"),
        Case { sample: Sample::v3_message_only(), ..Case::deliver("delivered, v3 RFC 9568") },
        Case { rule: Some(V2), sample: Sample::v2(), ..Case::deliver("delivered, v2") },
        Case {
            rule: Some(V2_PASS),
            sample: Sample::v2_pass(),
            ..Case::deliver("delivered, v2 with password")
        },
        Case { family: FAMILY_IPV6, sample: Sample::v6(), ..Case::deliver("delivered, v3 over IPv6") },
        Case { sample: v3().with_addresses(255), ..Case::deliver("delivered, v3, 255 addresses") },
        Case { wakes: true, ..Case::deliver("delivered, v3, and woke") },
    ]);
    cases
}
