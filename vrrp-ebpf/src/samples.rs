//! Adverts to order, for tests and benchmarks: a correct one, or one with exactly one thing wrong.
//!
//! Builds frames independently of the classifier: it shares no offset and no checksum code with it.

use std::vec::Vec;

/// An advert to be built. Fields are public: a test changes the one it is about.
#[derive(Clone, Debug)]
pub struct Sample {
    /// 4 or 16 bytes.
    pub source: Vec<u8>,
    pub destination: Vec<u8>,
    pub ttl: u8,
    /// Bytes of IPv4 options, a multiple of 4.
    pub options: usize,
    pub version: u8,
    pub kind: u8,
    pub virtual_router_id: u8,
    pub priority: u8,
    /// What the header says; the addresses are `addresses`.
    pub count: u8,
    pub addresses: Vec<Vec<u8>>,
    /// Seconds or centiseconds.
    pub interval: u16,
    pub auth_type: u8,
    /// The eight bytes behind the addresses of version 2.
    pub authentication: Option<[u8; 8]>,
    pub pseudo_header: bool,
    /// Bytes inside the IP packet behind the advert.
    pub trailing: usize,
    /// Bytes behind the IP packet.
    pub padding: usize,
}

impl Sample {
    /// Version 2 of RFC 3768, no authentication: VRID 10, priority 200, two addresses, 1 s.
    pub fn v2() -> Self {
        Self { version: 2, interval: 1, authentication: Some([0; 8]), pseudo_header: false, ..Self::v3() }
    }

    /// Version 2 with password "1111", as in keepalived's examples.
    pub fn v2_pass() -> Self {
        Self { auth_type: 1, authentication: Some(*b"1111\0\0\0\0"), ..Self::v2() }
    }

    /// Version 3 over IPv4 with pseudo-header, 1 s, as keepalived sends it.
    pub fn v3() -> Self {
        Self {
            source: [192, 0, 2, 251].to_vec(),
            destination: [224, 0, 0, 18].to_vec(),
            ttl: 255,
            options: 0,
            version: 3,
            kind: 1,
            virtual_router_id: 10,
            priority: 200,
            count: 2,
            addresses: [[192, 0, 2, 1].to_vec(), [192, 0, 2, 2].to_vec()].to_vec(),
            interval: 100,
            auth_type: 0,
            authentication: None,
            pseudo_header: true,
            trailing: 0,
            padding: 0,
        }
    }

    /// Version 3 over IPv4, checksum of RFC 9568.
    pub fn v3_message_only() -> Self {
        Self { pseudo_header: false, ..Self::v3() }
    }

    /// Version 3 over IPv6: priority 100, two addresses.
    pub fn v6() -> Self {
        let address = |text: &str| text.parse::<core::net::Ipv6Addr>().unwrap().octets().to_vec();
        Self {
            source: address("fe80::c8"),
            destination: address("ff02::12"),
            priority: 100,
            addresses: [address("fe80::1"), address("2001:db8::1")].to_vec(),
            ..Self::v3()
        }
    }

    /// The same with this many addresses.
    pub fn with_addresses(mut self, count: u8) -> Self {
        self.addresses.resize(usize::from(count), self.addresses[0].clone());
        self.count = count;
        self
    }

    /// The VRRP message.
    pub fn message(&self) -> Vec<u8> {
        let mut message = Vec::new();
        message.extend([self.version << 4 | self.kind, self.virtual_router_id, self.priority, self.count]);
        if self.version == 2 {
            message.extend([self.auth_type, self.interval.to_be_bytes()[1]]);
        } else {
            message.extend(self.interval.to_be_bytes());
        }
        message.extend([0, 0]);
        message.extend(self.addresses.iter().flatten());
        message.extend(self.authentication.iter().flatten());
        let mut summed = message.clone();
        if self.pseudo_header {
            summed.extend(self.source.iter().chain(&self.destination));
            summed.extend([0, 112]);
            summed.extend(u16::try_from(message.len()).unwrap().to_be_bytes());
        }
        message[6..8].copy_from_slice(&checksum(&summed).to_be_bytes());
        message.resize(message.len() + self.trailing, 0);
        message
    }

    /// The frame on the wire.
    pub fn frame(&self) -> Vec<u8> {
        let message = self.message();
        let length = u16::try_from(message.len()).unwrap();
        let mut frame = Vec::new();
        if self.source.len() == 4 {
            let header = u16::try_from(20 + self.options).unwrap();
            frame.extend([0x01, 0x00, 0x5e, 0x00, 0x00, 0x12, 0x02, 0, 0, 0, 0, 0xfb, 0x08, 0x00]);
            let mut ip = Vec::new();
            ip.extend([0x40 | u8::try_from(header / 4).unwrap(), 0xc0]);
            ip.extend((header + length).to_be_bytes());
            ip.extend([0x12, 0x34, 0x40, 0, self.ttl, 112, 0, 0]);
            ip.extend(self.source.iter().chain(&self.destination));
            ip.resize(usize::from(header), 1);
            let sum = checksum(&ip);
            ip[10..12].copy_from_slice(&sum.to_be_bytes());
            frame.extend(ip);
        } else {
            frame.extend([0x33, 0x33, 0x00, 0x00, 0x00, 0x12, 0x02, 0, 0, 0, 0, 0xc8, 0x86, 0xdd]);
            frame.extend([0x6c, 0, 0, 0]);
            frame.extend(length.to_be_bytes());
            frame.extend([112, self.ttl]);
            frame.extend(self.source.iter().chain(&self.destination));
        }
        frame.extend(message);
        frame.resize(frame.len() + self.padding, 0);
        frame
    }
}

/// RFC 1071.
pub fn checksum(bytes: &[u8]) -> u16 {
    let words =
        bytes.chunks(2).map(|word| u64::from(word[0]) << 8 | u64::from(word.get(1).copied().unwrap_or(0)));
    let mut sum: u64 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap()
}

/// A frame with its IPv4 header checksum made right again after a change.
pub fn reseal_ipv4(frame: &mut [u8]) {
    let header = usize::from(frame[14] & 0x0f) * 4;
    frame[24..26].fill(0);
    let sum = checksum(&frame[14..14 + header]);
    frame[24..26].copy_from_slice(&sum.to_be_bytes());
}
