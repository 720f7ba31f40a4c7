//! VRRP adverts over IPv4 and ARP, bytes to values and back, for observers and forgers.
//!
//! Written apart from the daemon's own `wire` on purpose: an observer that shares the code under test shares its
//! mistakes. Owns the shape of these frames. Refuses to know who sends them.

use std::{net::Ipv4Addr, time::Duration};

/// 224.0.0.18 (RFC 9568 §5.1.1.2).
pub const GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 18);
const GROUP_MAC: [u8; 6] = [0x01, 0, 0x5e, 0, 0, 0x12];
const ETHERNET: usize = 14;
const IP: usize = 20;

/// A hardware address.
pub type Mac = [u8; 6];

/// A VRRP advert over IPv4. [`Advert::emit`] writes a correct one; spoil the bytes to get another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advert {
    pub source: Ipv4Addr,
    pub destination: Ipv4Addr,
    pub ttl: u8,
    pub version: u8,
    pub vrid: u8,
    pub priority: u8,
    /// In the unit of the wire: seconds in version 2, centiseconds in version 3.
    pub interval: u16,
    /// Version 2: authentication type and data.
    pub auth: Option<(u8, [u8; 8])>,
    pub addresses: Vec<Ipv4Addr>,
}

/// An ARP packet for IPv4 over Ethernet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arp {
    /// 1 request, 2 reply.
    pub operation: u16,
    pub sender_mac: Mac,
    pub sender: Ipv4Addr,
    pub target: Ipv4Addr,
}

impl Arp {
    /// Announces an address rather than asking for one.
    pub fn is_gratuitous(&self) -> bool {
        self.sender == self.target
    }
}

/// What a captured frame holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    Advert(Advert),
    Arp(Arp),
    /// Protocol 112 or ARP by its header, but not decodable.
    Broken,
}

impl Frame {
    /// Decodes an Ethernet frame that a capture let through.
    pub fn parse(bytes: &[u8]) -> Self {
        let parsed = match bytes.get(12..14) {
            Some([0x08, 0x06]) => parse_arp(bytes).map(Self::Arp),
            _ => Advert::parse(bytes).map(Self::Advert),
        };
        parsed.unwrap_or(Self::Broken)
    }
}

impl Advert {
    /// A version 2 advert with a password, as the pairs of the lab send them.
    pub fn v2(source: Ipv4Addr, vrid: u8, priority: u8, password: &str, addresses: &[Ipv4Addr]) -> Self {
        let mut data = [0; 8];
        for (to, from) in data.iter_mut().zip(password.bytes()) {
            *to = from;
        }
        let auth = Some(if password.is_empty() { (0, data) } else { (1, data) });
        let addresses = addresses.to_vec();
        Self {
            source,
            destination: GROUP,
            ttl: 255,
            version: 2,
            vrid,
            priority,
            interval: 1,
            auth,
            addresses,
        }
    }

    /// A version 3 advert.
    pub fn v3(source: Ipv4Addr, vrid: u8, priority: u8, centiseconds: u16, addresses: &[Ipv4Addr]) -> Self {
        let addresses = addresses.to_vec();
        let (destination, interval) = (GROUP, centiseconds);
        Self { source, destination, ttl: 255, version: 3, vrid, priority, interval, auth: None, addresses }
    }

    /// The advert interval it carries.
    pub fn interval(&self) -> Duration {
        let unit = if self.version == 2 { 1000 } else { 10 };
        Duration::from_millis(u64::from(self.interval) * unit)
    }

    /// Whether it gives up the address.
    pub fn is_release(&self) -> bool {
        self.priority == 0
    }

    /// Decodes an Ethernet frame; `None` when it holds no complete advert. Checksums are not looked at.
    pub fn parse(frame: &[u8]) -> Option<Self> {
        if frame.get(12..14)? != [0x08, 0x00] {
            return None;
        }
        let header = usize::from(frame.get(ETHERNET)? & 0x0f) * 4;
        let total = usize::from(u16::from_be_bytes([*frame.get(16)?, *frame.get(17)?]));
        let ip = frame.get(ETHERNET..ETHERNET + total)?;
        let vrrp = ip.get(header..)?;
        if header < IP || *ip.get(9)? != 112 || vrrp.len() < 8 {
            return None;
        }
        let version = vrrp[0] >> 4;
        let count = usize::from(vrrp[3]);
        let interval =
            if version == 2 { u16::from(vrrp[5]) } else { u16::from_be_bytes([vrrp[4], vrrp[5]]) & 0x0fff };
        let addresses = vrrp.get(8..8 + 4 * count)?.chunks_exact(4).map(address).collect();
        let auth = match vrrp.get(8 + 4 * count..16 + 4 * count) {
            Some(data) if version == 2 => Some((vrrp[4], data.try_into().ok()?)),
            _ => None,
        };
        Some(Self {
            source: address(ip.get(12..16)?),
            destination: address(ip.get(16..20)?),
            ttl: *ip.get(8)?,
            version,
            vrid: vrrp[1],
            priority: vrrp[2],
            interval,
            auth,
            addresses,
        })
    }

    /// The whole Ethernet frame, checksums right (version 3: with pseudo-header, as keepalived wants it).
    pub fn emit(&self, source_mac: Mac) -> Vec<u8> {
        let mut vrrp = vec![self.version << 4 | 1, self.vrid, self.priority];
        vrrp.push(u8::try_from(self.addresses.len()).unwrap_or(u8::MAX));
        let [high, low] = self.interval.to_be_bytes();
        if self.version == 2 {
            vrrp.extend([self.auth.map_or(0, |(kind, _)| kind), low, 0, 0]);
        } else {
            vrrp.extend([high & 0x0f, low, 0, 0]);
        }
        vrrp.extend(self.addresses.iter().flat_map(Ipv4Addr::octets));
        if self.version == 2 {
            vrrp.extend(self.auth.map_or([0; 8], |(_, data)| data));
        }
        let length = u16::try_from(vrrp.len()).unwrap_or(u16::MAX);
        let mut summed = vrrp.clone();
        if self.version == 3 {
            summed.extend(self.source.octets());
            summed.extend(self.destination.octets());
            summed.extend([0, 112]);
            summed.extend(length.to_be_bytes());
        }
        vrrp[6..8].copy_from_slice(&checksum(&summed).to_be_bytes());

        let mut frame = Vec::with_capacity(ETHERNET + IP + vrrp.len());
        frame.extend(GROUP_MAC);
        frame.extend(source_mac);
        frame.extend([0x08, 0x00]);
        frame.extend([0x45, 0xc0]);
        frame.extend((length + 20).to_be_bytes());
        frame.extend([0, 1, 0, 0, self.ttl, 112, 0, 0]);
        frame.extend(self.source.octets());
        frame.extend(self.destination.octets());
        let sum = checksum(&frame[ETHERNET..ETHERNET + IP]);
        frame[ETHERNET + 10..ETHERNET + 12].copy_from_slice(&sum.to_be_bytes());
        frame.extend(vrrp);
        frame
    }
}

/// An ARP request as a whole Ethernet frame, to everybody.
pub fn arp_request(sender_mac: Mac, sender: Ipv4Addr, target: Ipv4Addr) -> Vec<u8> {
    let mut frame = vec![0xff; 6];
    frame.extend(sender_mac);
    frame.extend([0x08, 0x06, 0, 1, 0x08, 0, 6, 4, 0, 1]);
    frame.extend(sender_mac);
    frame.extend(sender.octets());
    frame.extend([0; 6]);
    frame.extend(target.octets());
    frame
}

/// The Internet checksum (RFC 1071) of `bytes`.
pub fn checksum(bytes: &[u8]) -> u16 {
    let mut sum: u32 = 0;
    for pair in bytes.chunks(2) {
        sum += u32::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]));
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or(0)
}

fn parse_arp(frame: &[u8]) -> Option<Arp> {
    let arp = frame.get(ETHERNET..ETHERNET + 28)?;
    Some(Arp {
        operation: u16::from_be_bytes([arp[6], arp[7]]),
        sender_mac: arp[8..14].try_into().ok()?,
        sender: address(&arp[14..18]),
        target: address(&arp[24..28]),
    })
}

fn address(bytes: &[u8]) -> Ipv4Addr {
    let mut octets = [0; 4];
    octets.copy_from_slice(bytes);
    octets.into()
}
