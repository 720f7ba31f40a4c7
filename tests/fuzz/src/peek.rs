//! Any frame as a person sees it: what the strict parser reads is told the same, and what is told goes through a line of
//! the watched stream and back.

use std::net::IpAddr;

use vrrp_ebpf::samples::Sample;
use vrrp_user::{
    control::sight::{Advert, Message, Sight, Way, from_hex, to_hex},
    wire::{advert, frame, peek::Peek},
};

use crate::wire::ipv4_samples;

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let v6 = [Sample::v6(), Sample { ttl: 64, ..Sample::v6() }];
    let mut seeds: Vec<_> = ipv4_samples().into_iter().chain(v6).map(|sample| sample.frame()).collect();
    let cut = Sample::v3().with_addresses(3).frame();
    seeds.push(cut[..cut.len() - 6].to_vec());
    seeds
}

pub(crate) fn check(input: &[u8]) -> bool {
    let strict = frame::Packet::parse_frame(input).ok();
    let Some(peek) = Peek::parse(input) else {
        assert_eq!(strict, None, "a right advert is not told");
        return false;
    };
    let addresses: Vec<IpAddr> = peek.addresses().collect();
    assert!(addresses.iter().all(|address| address.is_ipv4() == peek.source.is_ipv4()));
    assert!(addresses.len() <= 255 && addresses.len() * 4 <= input.len(), "{addresses:?}");
    if let Some(packet) = strict {
        assert_eq!((peek.source, peek.destination), (packet.source.into(), packet.destination.into()));
        let told = (peek.virtual_router_id, peek.priority, peek.kind);
        assert_eq!(told, (packet.advert.virtual_router_id, packet.advert.priority, 1));
        assert_eq!(peek.version == 2, packet.advert.version() == advert::Version::V2);
        assert_eq!(addresses, packet.advert.addresses.iter().map(IpAddr::V4).collect::<Vec<_>>());
    }
    let hex = to_hex(input);
    assert_eq!(from_hex(&hex).as_deref(), Some(input));
    let sight = Sight::Advert(Advert {
        time_unix_ns: 0,
        time_monotonic_ns: 0,
        instance: "VI_1".to_owned(),
        interface: "eth0".to_owned(),
        way: Way::Rejected,
        reason: None,
        why: None,
        message: Some(Message::from(peek)),
        length: 0,
        frame: hex,
    });
    let line = serde_json::to_vec(&sight).unwrap();
    assert!(!line.contains(&b'\n'), "a sight is one line");
    assert_eq!(serde_json::from_slice::<Sight>(&line).unwrap(), sight);
    true
}
