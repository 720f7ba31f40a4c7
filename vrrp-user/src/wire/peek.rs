//! A VRRP frame as it is, right or wrong, for people who look at a segment.
//!
//! Owns reading without judging: whatever is there is told, of IPv4 and IPv6. Refuses to say whether anybody should
//! believe it (`frame`, `advert`).

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::time::Duration;

use super::MacAddress;
use super::advert::IP_PROTOCOL;
use super::ethernet::{self, TYPE_IPV4};

const TYPE_IPV6: u16 = 0x86dd;
const IPV6_HEADER: usize = 40;
const MESSAGE_HEADER: usize = 8;

/// See the file's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peek<'a> {
    pub source_mac: MacAddress,
    pub source: IpAddr,
    pub destination: IpAddr,
    /// TTL or Hop Limit.
    pub ttl: u8,
    pub version: u8,
    /// 1 is an advertisement; there is no other.
    pub kind: u8,
    pub virtual_router_id: u8,
    pub priority: u8,
    /// As it says, perhaps zero.
    pub interval: Duration,
    /// Version 2 only: 0 none, 1 a password.
    pub auth_type: u8,
    /// As many whole ones as are there, at most as many as it says.
    addresses: &'a [u8],
}

impl<'a> Peek<'a> {
    /// None if there is no VRRP header in an untagged Ethernet frame.
    pub fn parse(frame: &'a [u8]) -> Option<Self> {
        let (ethernet, packet) = ethernet::Repr::parse(frame)?;
        let (source, destination, ttl, message) = match ethernet.ether_type {
            TYPE_IPV4 => ipv4(packet)?,
            TYPE_IPV6 => ipv6(packet)?,
            _ => return None,
        };
        let (head, rest) = message.split_first_chunk::<MESSAGE_HEADER>()?;
        let [version_type, virtual_router_id, priority, count, fourth, fifth, ..] = *head;
        let version = version_type >> 4;
        let (interval, auth_type) = if version == 2 {
            (Duration::from_secs(fifth.into()), fourth)
        } else {
            let centiseconds = u16::from_be_bytes([fourth, fifth]) & 0x0fff;
            (Duration::from_millis(u64::from(centiseconds) * 10), 0)
        };
        let size = if source.is_ipv4() { 4 } else { 16 };
        let wanted = usize::from(count).min(rest.len() / size) * size;
        Some(Self {
            source_mac: ethernet.source,
            source,
            destination,
            ttl,
            version,
            kind: version_type & 0x0f,
            virtual_router_id,
            priority,
            interval,
            auth_type,
            addresses: rest.get(..wanted)?,
        })
    }

    /// The virtual addresses that it names.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> + 'a {
        let size = if self.source.is_ipv4() { 4 } else { 16 };
        self.addresses.chunks_exact(size).filter_map(|octets| match <[u8; 4]>::try_from(octets) {
            Ok(octets) => Some(IpAddr::V4(Ipv4Addr::from(octets))),
            Err(_) => <[u8; 16]>::try_from(octets).ok().map(|octets| IpAddr::V6(Ipv6Addr::from(octets))),
        })
    }
}

type Message<'a> = (IpAddr, IpAddr, u8, &'a [u8]);

fn ipv4(packet: &[u8]) -> Option<Message<'_>> {
    let fixed = packet.first_chunk::<20>()?;
    let header = usize::from(fixed[0] & 0x0f) * 4;
    let total = usize::from(u16::from_be_bytes([fixed[2], fixed[3]]));
    if fixed[0] >> 4 != 4 || header < fixed.len() || fixed[9] != IP_PROTOCOL {
        return None;
    }
    let message = packet.get(header..total.min(packet.len()))?;
    let source = Ipv4Addr::new(fixed[12], fixed[13], fixed[14], fixed[15]);
    let destination = Ipv4Addr::new(fixed[16], fixed[17], fixed[18], fixed[19]);
    Some((source.into(), destination.into(), fixed[8], message))
}

fn ipv6(packet: &[u8]) -> Option<Message<'_>> {
    let (fixed, message) = packet.split_first_chunk::<IPV6_HEADER>()?;
    if fixed[0] >> 4 != 6 || fixed[6] != IP_PROTOCOL {
        return None;
    }
    let length = usize::from(u16::from_be_bytes([fixed[4], fixed[5]]));
    let (_, source) = fixed.split_at(8);
    let (source, destination) = source.split_at(16);
    let source = Ipv6Addr::from(<[u8; 16]>::try_from(source).ok()?);
    let destination = Ipv6Addr::from(<[u8; 16]>::try_from(destination).ok()?);
    Some((source.into(), destination.into(), fixed[7], message.get(..length.min(message.len()))?))
}

#[cfg(test)]
mod tests {
    use vrrp_ebpf::samples::Sample;

    use super::*;

    #[test]
    fn all_kinds_are_told_as_they_are() {
        for (sample, version, size) in [(Sample::v2(), 2, 4), (Sample::v3(), 3, 4), (Sample::v6(), 3, 16)] {
            let frame = Sample { ttl: 7, ..sample.clone() }.frame();
            let peek = Peek::parse(&frame).unwrap();
            assert_eq!((peek.version, peek.kind, peek.ttl), (version, 1, 7));
            assert_eq!((peek.virtual_router_id, peek.priority), (10, sample.priority));
            assert!(peek.addresses().next().is_some());
            assert_eq!(peek.addresses.len() % size, 0);
        }
    }

    #[test]
    fn what_is_cut_short_tells_what_is_left_of_it() {
        let frame = Sample::v3().with_addresses(3).frame();
        let cut = &frame[..frame.len() - 6];
        assert_eq!(Peek::parse(cut).unwrap().addresses().count(), 1);
        for length in 0..42 {
            assert!(Peek::parse(&frame[..length]).is_none(), "{length}");
        }
    }
}
