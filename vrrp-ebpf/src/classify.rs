//! What a frame is: [`gate`] for every packet of the host, [`classify`] for those of IP protocol 112.
//!
//! Owns every check that needs nothing but the packet and the rules (RFC 9568 §7.1, RFC 3768 §7.1), cheap ones
//! first. Refuses to know maps, clocks and what becomes of an advert; it never fails: what it cannot understand is
//! [`Verdict::Pass`].
//!
//! Not checked on purpose: the Ethernet addresses. A switch or hypervisor may turn multicast into unicast, and
//! keepalived hears such frames too.

use crate::abi::{
    AUTH_PASS, Counter, FAMILY_IPV4, FAMILY_IPV6, IPPROTO_VRRP, PeerKey, RULE_PEERS_ONLY, Rule, RuleKey,
};
use crate::address::{Address, word};
use crate::frame::Frame;

/// Bytes that [`gate`] looks at: Ethernet and the shortest IP header. No advert is shorter.
pub const GATE_LENGTH: usize = ETHERNET + 20;

const ETHERNET: usize = 14;
const IPV6_HEADER: usize = 40;
const VRRP_HEADER: usize = 8;
/// RFC 3768 §5.3.10.
const AUTHENTICATION_DATA: usize = 8;

/// Of a frame without IPv4 options, to the end of the VRRP header.
pub const IPV4_HEADS: usize = ETHERNET + 20 + VRRP_HEADER;
/// See [`IPV4_HEADS`].
pub const IPV6_HEADS: usize = ETHERNET + IPV6_HEADER + VRRP_HEADER;

const ADVERTISEMENT: u8 = 1;

/// Offsets from the Ethernet destination on.
mod at {
    use super::ETHERNET;

    pub(super) const ETHER_TYPE: usize = 12;

    pub(super) const IPV4_LENGTH: usize = ETHERNET + 2;
    pub(super) const IPV4_FRAGMENT: usize = ETHERNET + 6;
    pub(super) const IPV4_TTL: usize = ETHERNET + 8;
    pub(super) const IPV4_PROTOCOL: usize = ETHERNET + 9;
    pub(super) const IPV4_SOURCE: usize = ETHERNET + 12;
    pub(super) const IPV4_DESTINATION: usize = ETHERNET + 16;

    pub(super) const IPV6_LENGTH: usize = ETHERNET + 4;
    pub(super) const IPV6_NEXT_HEADER: usize = ETHERNET + 6;
    pub(super) const IPV6_HOP_LIMIT: usize = ETHERNET + 7;
    pub(super) const IPV6_SOURCE: usize = ETHERNET + 8;
    pub(super) const IPV6_DESTINATION: usize = ETHERNET + 24;
}

/// Offsets from the VRRP header on (RFC 9568 §5.1, RFC 3768 §5.1).
mod vrrp {
    pub(super) const VERSION_TYPE: usize = 0;
    pub(super) const VIRTUAL_ROUTER_ID: usize = 1;
    pub(super) const PRIORITY: usize = 2;
    pub(super) const ADDRESS_COUNT: usize = 3;
    /// Version 3: four reserved bits, then the interval.
    pub(super) const INTERVAL: usize = 4;
    /// Version 2.
    pub(super) const AUTH_TYPE: usize = 4;
    /// Version 2.
    pub(super) const ADVER_INT: usize = 5;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    Ipv4,
    Ipv6,
}

impl Family {
    /// As in the ABI.
    #[inline(always)]
    pub const fn number(self) -> u8 {
        match self {
            Self::Ipv4 => FAMILY_IPV4,
            Self::Ipv6 => FAMILY_IPV6,
        }
    }
}

/// What the checks are made against.
pub trait Rules {
    fn rule(&self, key: &RuleKey) -> Option<Rule>;
    fn is_peer(&self, key: &PeerKey) -> bool;
}

/// Which of the checksums in use fitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checksum {
    /// Version 2: the message, there is no other form.
    Version2,
    /// Version 3 over IPv4 as RFC 9568 §5.2.8 has it: the message only.
    MessageOnly,
    /// Version 3 with pseudo-header: IPv6, or IPv4 as RFC 5798 was read by keepalived and FRR.
    PseudoHeader,
}

/// An advert that passed every check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Advert {
    pub key: RuleKey,
    pub rule: Rule,
    pub sender: Address,
    pub priority: u8,
    /// In the unit of the wire: seconds in version 2, centiseconds in version 3.
    pub interval: u16,
    pub checksum: Checksum,
    /// Bytes from the Ethernet destination to the end of the IP packet: no padding.
    pub length: u16,
}

#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// For the stack, uncounted.
    NotVrrp,
    /// For the stack, counted.
    Pass(Counter),
    /// A virtual router that this host does not run: for the stack, within reason.
    Foreign { key: RuleKey, sender: Address },
    /// One of our virtual routers, and wrong.
    Drop { reason: Counter, slot: u32, sender: Address },
    /// One of our virtual routers, and right.
    Deliver(Advert),
}

/// The first test, for every packet: only untagged IPv4 or IPv6 whose next protocol is VRRP goes on.
#[inline(always)]
pub const fn gate(head: &[u8; GATE_LENGTH]) -> Option<Family> {
    match (head[at::ETHER_TYPE], head[at::ETHER_TYPE + 1]) {
        (0x08, 0x00) if head[at::IPV4_PROTOCOL] == IPPROTO_VRRP => Some(Family::Ipv4),
        (0x86, 0xdd) if head[at::IPV6_NEXT_HEADER] == IPPROTO_VRRP => Some(Family::Ipv6),
        (_, _) => None,
    }
}

/// Bytes of a frame without IPv4 options, by what its IP header says: from the Ethernet destination to the end of the IP
/// packet.
#[inline(always)]
pub const fn plain_length(head: &[u8; GATE_LENGTH], family: Family) -> Option<usize> {
    match family {
        Family::Ipv4 if head[ETHERNET] == 0x45 => {
            Some(ETHERNET + u16::from_be_bytes([head[at::IPV4_LENGTH], head[at::IPV4_LENGTH + 1]]) as usize)
        }
        Family::Ipv4 => None,
        Family::Ipv6 => {
            let payload = u16::from_be_bytes([head[at::IPV6_LENGTH], head[at::IPV6_LENGTH + 1]]);
            Some(ETHERNET + IPV6_HEADER + payload as usize)
        }
    }
}

/// Whether a frame whose tag the kernel keeps beside it belongs to a VLAN's own device. VLAN 0 is a priority and no VLAN
/// (IEEE 802.1Q §6.9): such a frame is its interface's, as an untagged one.
#[inline(always)]
pub const fn is_of_a_vlan(has_tag: u32, tag: u32) -> bool {
    const VLAN_ID: u32 = 0xfff;
    has_tag != 0 && tag & VLAN_ID != 0
}

/// [`gate`] and [`classify`] for a frame in memory.
#[cfg(not(target_arch = "bpf"))]
pub fn classify_bytes(bytes: &[u8], rules: &impl Rules, ifindex: u32) -> Verdict {
    match bytes.first_chunk().and_then(gate) {
        Some(family) => classify(&mut crate::frame::Bytes::new(bytes), rules, ifindex, family),
        None => Verdict::NotVrrp,
    }
}

/// Where the message lies, and what its IP header said about it.
struct Packet {
    family: Family,
    /// Offset of the VRRP header.
    message: usize,
    /// Bytes from there to the end of the IP packet.
    length: usize,
    ttl: u8,
    sender: Address,
}

/// Judges a frame that [`gate`] let through.
#[inline(always)]
pub fn classify<F: Frame>(frame: &mut F, rules: &impl Rules, ifindex: u32, family: Family) -> Verdict {
    let packet = match family {
        Family::Ipv4 => ipv4(frame),
        Family::Ipv6 => ipv6(frame),
    };
    let Some(packet) = packet else {
        return Verdict::Pass(Counter::NotUnderstood);
    };
    let key = RuleKey {
        ifindex,
        family: family.number(),
        virtual_router_id: frame.byte(packet.message + vrrp::VIRTUAL_ROUTER_ID),
        padding: 0,
    };
    let Some(rule) = rules.rule(&key) else {
        return Verdict::Foreign { key, sender: packet.sender };
    };
    match judge(frame, rules, &packet, &rule) {
        Ok(judged) => Verdict::Deliver(Advert {
            key,
            rule,
            sender: packet.sender,
            priority: frame.byte(packet.message + vrrp::PRIORITY),
            interval: judged.interval,
            checksum: judged.checksum,
            // At most MAX_FRAME, or it could not have been fetched.
            #[expect(clippy::cast_possible_truncation, reason = "bounded by MAX_FRAME")]
            length: (packet.message + packet.length) as u16,
        }),
        Err(Counter::NotUnderstood) => Verdict::Pass(Counter::NotUnderstood),
        Err(reason) => Verdict::Drop { reason, slot: rule.slot, sender: packet.sender },
    }
}

#[inline(always)]
fn ipv4<F: Frame>(frame: &mut F) -> Option<Packet> {
    if !frame.fetch(IPV4_HEADS) {
        return None;
    }
    let version_length = frame.byte(ETHERNET);
    let header = if F::PLAIN { 20 } else { usize::from(version_length & 0x0f) * 4 };
    if version_length >> 4 != 4 || header < 20 {
        return None;
    }
    // More fragments, or not the first one. "Don't fragment" may be set.
    if frame.half_be(at::IPV4_FRAGMENT) & 0x3fff != 0 {
        return None;
    }
    // RFC 9568 §5.1.1.2: 224.0.0.18.
    if frame.half_be(at::IPV4_DESTINATION) != 0xe000 || frame.half_be(at::IPV4_DESTINATION + 2) != 0x0012 {
        return None;
    }
    let length = usize::from(frame.half_be(at::IPV4_LENGTH)).checked_sub(header)?;
    if length < VRRP_HEADER {
        return None;
    }
    let message = ETHERNET + header;
    if header > 20 && !frame.fetch(message + VRRP_HEADER) {
        return None;
    }
    let (high, low) = (frame.half(at::IPV4_SOURCE), frame.half(at::IPV4_SOURCE + 2));
    let sender = Address::from_halves([0, 0, 0, 0, 0, 0, high, low]);
    Some(Packet { family: Family::Ipv4, message, length, ttl: frame.byte(at::IPV4_TTL), sender })
}

#[inline(always)]
fn ipv6<F: Frame>(frame: &mut F) -> Option<Packet> {
    if !frame.fetch(IPV6_HEADS) || frame.byte(ETHERNET) >> 4 != 6 {
        return None;
    }
    // RFC 9568 §5.1.2.2: ff02::12.
    let mut other = frame.half_be(at::IPV6_DESTINATION) ^ 0xff02;
    let mut offset = 2;
    while offset < 14 {
        other |= frame.half(at::IPV6_DESTINATION + offset);
        offset += 2;
    }
    other |= frame.half_be(at::IPV6_DESTINATION + 14) ^ 0x0012;
    let length = usize::from(frame.half_be(at::IPV6_LENGTH));
    if other != 0 || length < VRRP_HEADER {
        return None;
    }
    let half = |word: usize| frame.half(at::IPV6_SOURCE + 2 * word);
    let sender =
        Address::from_halves([half(0), half(1), half(2), half(3), half(4), half(5), half(6), half(7)]);
    let message = ETHERNET + IPV6_HEADER;
    Some(Packet { family: Family::Ipv6, message, length, ttl: frame.byte(at::IPV6_HOP_LIMIT), sender })
}

struct Judged {
    interval: u16,
    checksum: Checksum,
}

/// The checks of an advert for one of our virtual routers, cheapest first.
#[inline(always)]
fn judge<F: Frame>(
    frame: &mut F,
    rules: &impl Rules,
    packet: &Packet,
    rule: &Rule,
) -> Result<Judged, Counter> {
    let message = packet.message;
    // RFC 9568 §5.1.1.3: nobody beyond this link can have sent it.
    if packet.ttl != 255 {
        return Err(Counter::IpTtl);
    }
    let version_type = frame.byte(message + vrrp::VERSION_TYPE);
    if version_type >> 4 != rule.version {
        return Err(Counter::Version);
    }
    if version_type & 0x0f != ADVERTISEMENT {
        return Err(Counter::InvalidType);
    }
    let count = usize::from(frame.byte(message + vrrp::ADDRESS_COUNT));
    if count == 0 {
        return Err(Counter::AddressCount);
    }
    let interval = if rule.version == 2 {
        if frame.byte(message + vrrp::AUTH_TYPE) != rule.auth_type {
            return Err(Counter::AuthTypeMismatch);
        }
        let seconds = frame.byte(message + vrrp::ADVER_INT);
        if seconds != rule.v2_interval {
            return Err(Counter::AdvertInterval);
        }
        u16::from(seconds)
    } else {
        let centiseconds = frame.half_be(message + vrrp::INTERVAL) & 0x0fff;
        if centiseconds == 0 {
            return Err(Counter::AdvertInterval);
        }
        centiseconds
    };
    let address = match packet.family {
        Family::Ipv4 => 4,
        Family::Ipv6 => 16,
    };
    let trailer = if rule.version == 2 { AUTHENTICATION_DATA } else { 0 };
    // Neither cut short nor with anything behind it; Ethernet padding lies outside of the IP packet.
    if packet.length != VRRP_HEADER + count * address + trailer || !frame.fetch(message + packet.length) {
        return Err(Counter::PacketLength);
    }
    if !can_send(packet) {
        return Err(Counter::Sender);
    }
    if rule.flags & RULE_PEERS_ONLY != 0
        && !rules.is_peer(&PeerKey { slot: rule.slot, address: packet.sender.octets() })
    {
        return Err(Counter::Sender);
    }
    // The stack checks this only after us, and a version 2 checksum does not cover the sender.
    if let Family::Ipv4 = packet.family
        && fold(ipv4_header_sum(frame, message)) != 0xffff
    {
        return Err(Counter::NotUnderstood);
    }
    let checksum = checksum(frame, packet, rule.version).ok_or(Counter::Checksum)?;
    if rule.version == 2 && rule.auth_type == AUTH_PASS {
        let data = message + packet.length - AUTHENTICATION_DATA;
        let [a, b, c, d] = frame.halves(data);
        if word(a, b, c, d) != u64::from_ne_bytes(rule.password) {
            return Err(Counter::AuthFailure);
        }
    }
    Ok(Judged { interval, checksum })
}

/// Whether the source can be a host's address at all; the stack, which asks the same, only comes after us.
#[inline(always)]
const fn can_send(packet: &Packet) -> bool {
    match packet.family {
        // This network, loopback, multicast and above (RFC 1122 §3.2.1.3).
        Family::Ipv4 => {
            let first = packet.sender.low() >> 24;
            first != 0 && first != 127 && first < 224
        }
        // RFC 9568 §5.1.2.1: the link-local address of the sending interface.
        Family::Ipv6 => u64::from_be(packet.sender.first) >> 54 == 0xfe80 >> 6,
    }
}

#[inline(always)]
fn checksum<F: Frame>(frame: &F, packet: &Packet, version: u8) -> Option<Checksum> {
    let message = frame.sum(packet.message, packet.length);
    let fits = fold(message) == 0xffff;
    if version == 2 {
        return fits.then_some(Checksum::Version2);
    }
    let addresses = match packet.family {
        Family::Ipv4 if fits => return Some(Checksum::MessageOnly),
        Family::Ipv4 => words(frame, at::IPV4_SOURCE, 4),
        Family::Ipv6 => words(frame, at::IPV6_SOURCE, 16),
    };
    // RFC 8200 §8.1, and RFC 768 for IPv4: both addresses, protocol, length; the order of the rest is free.
    #[expect(clippy::cast_possible_truncation, reason = "came out of 16 bits")]
    let length = (packet.length as u16).to_be();
    let with_header = message + addresses + u64::from(length) + u64::from(u16::from(IPPROTO_VRRP).to_be());
    (fold(with_header) == 0xffff).then_some(Checksum::PseudoHeader)
}

#[inline(always)]
fn ipv4_header_sum<F: Frame>(frame: &F, message: usize) -> u64 {
    let options = message - ETHERNET - 20;
    let sum = words(frame, ETHERNET, 10);
    if options == 0 { sum } else { sum + frame.sum_options(ETHERNET + 20, options) }
}

/// Sum of a few 16-bit words: cheaper one by one than by `Frame::sum`.
#[inline(always)]
fn words<F: Frame>(frame: &F, offset: usize, count: usize) -> u64 {
    let mut sum = 0;
    let mut word = 0;
    while word < count {
        sum += u64::from(frame.half(offset + 2 * word));
        word += 1;
    }
    sum
}

#[inline(always)]
const fn fold(sum: u64) -> u64 {
    // A few 32-bit partial sums at most: the first round leaves 19 bits, the second 16 and a carry.
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = (sum & 0xffff) + (sum >> 16);
    (sum & 0xffff) + (sum >> 16)
}

#[cfg(test)]
mod tests;
