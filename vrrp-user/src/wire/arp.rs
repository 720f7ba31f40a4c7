//! ARP, as far as virtual addresses need it: gratuitous, it tells the segment which network card owns an address (RFC 5227 §3,
//! RFC 9568 §6.4); a probe asks for that, and whoever claims the address answers (RFC 5227 §2.1.1).
//!
//! Refuses to know when to send one.

use core::net::Ipv4Addr;

use super::ethernet::{self, MacAddress};

mod field {
    use core::ops::Range;

    pub(super) const FIXED: Range<usize> = 0..6;
    pub(super) const OPERATION: Range<usize> = 6..8;
    pub(super) const SENDER_HARDWARE: Range<usize> = 8..14;
    pub(super) const SENDER_PROTOCOL: Range<usize> = 14..18;
    pub(super) const TARGET_HARDWARE: Range<usize> = 18..24;
    pub(super) const TARGET_PROTOCOL: Range<usize> = 24..28;
}

const BODY_LEN: usize = 28;
/// Hardware type Ethernet, protocol type IPv4, address lengths 6 and 4.
const ETHERNET_IPV4: [u8; 6] = [0, 1, 0x08, 0x00, 6, 4];
const REQUEST: u16 = 1;
const REPLY: u16 = 2;

/// Of a frame, as emitted; the driver pads it to Ethernet's minimum.
pub const LEN: usize = ethernet::HEADER_LEN + BODY_LEN;

/// Why a frame is no gratuitous ARP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("ARP frame of {actual} bytes: at least {LEN} are needed")]
    Truncated { actual: usize },
    #[error("Ethernet type {0:#06x} is not ARP")]
    EtherType(u16),
    #[error("ARP for something else than IPv4 over Ethernet")]
    Kind,
    #[error("ARP operation {0}: only 1, request, and 2, reply, are known")]
    Operation(u16),
    #[error("ARP from {sender} asking for {target}: not gratuitous")]
    NotGratuitous { sender: Ipv4Addr, target: Ipv4Addr },
    #[error("ARP from nobody: it asks whether {target} is taken, and claims nothing")]
    Probe { target: Ipv4Addr },
}

/// "`address` is at `hardware`."
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repr {
    pub hardware: MacAddress,
    pub address: Ipv4Addr,
}

impl Repr {
    /// From an Ethernet frame; requests and replies, since both are in use for this.
    pub fn parse_frame(frame: &[u8]) -> Result<Self, Error> {
        let Body { hardware, sender, target } = Body::parse(frame)?;
        if sender != target {
            return Err(Error::NotGratuitous { sender, target });
        }
        Ok(Self { hardware, address: sender })
    }

    /// From an Ethernet frame: whoever sends ARP in an address's name claims that address, whatever it asks or answers
    /// (RFC 5227 §2.1.1).
    pub fn parse_claim(frame: &[u8]) -> Result<Self, Error> {
        let Body { hardware, sender, target } = Body::parse(frame)?;
        if sender.is_unspecified() {
            return Err(Error::Probe { target });
        }
        Ok(Self { hardware, address: sender })
    }

    pub const fn buffer_len(&self) -> usize {
        LEN
    }

    /// Writes the first [`LEN`] bytes of `frame`, as keepalived 2.2.7 does: a broadcast request, target hardware all ones.
    pub fn emit(&self, frame: &mut [u8]) {
        let body = Body { hardware: self.hardware, sender: self.address, target: self.address };
        body.emit(&MacAddress::BROADCAST, frame);
    }

    /// Writes the first [`LEN`] bytes of `frame`: a probe, which asks who has the address, is answered to `hardware`, and puts
    /// nothing into anybody's cache.
    pub fn emit_probe(&self, frame: &mut [u8]) {
        let body = Body { hardware: self.hardware, sender: Ipv4Addr::UNSPECIFIED, target: self.address };
        body.emit(&MacAddress([0; 6]), frame);
    }
}

/// What differs between all of them.
struct Body {
    hardware: MacAddress,
    sender: Ipv4Addr,
    target: Ipv4Addr,
}

impl Body {
    fn parse(frame: &[u8]) -> Result<Self, Error> {
        let truncated = Error::Truncated { actual: frame.len() };
        let (ethernet, body) = ethernet::Repr::parse(frame).ok_or(truncated)?;
        if ethernet.ether_type != ethernet::TYPE_ARP {
            return Err(Error::EtherType(ethernet.ether_type));
        }
        let body = body.first_chunk::<BODY_LEN>().ok_or(truncated)?;
        if body[field::FIXED] != ETHERNET_IPV4 {
            return Err(Error::Kind);
        }
        match u16::from_be_bytes([body[6], body[7]]) {
            REQUEST | REPLY => (),
            other => return Err(Error::Operation(other)),
        }
        let mut hardware = [0; 6];
        hardware.copy_from_slice(&body[field::SENDER_HARDWARE]);
        Ok(Self {
            hardware: MacAddress(hardware),
            sender: Ipv4Addr::new(body[14], body[15], body[16], body[17]),
            target: Ipv4Addr::new(body[24], body[25], body[26], body[27]),
        })
    }

    /// A request to everybody.
    fn emit(&self, target_hardware: &MacAddress, frame: &mut [u8]) {
        let ethernet = ethernet::Repr {
            destination: MacAddress::BROADCAST,
            source: self.hardware,
            ether_type: ethernet::TYPE_ARP,
        };
        ethernet.emit(frame);
        let body = &mut frame[ethernet::HEADER_LEN..LEN];
        body[field::FIXED].copy_from_slice(&ETHERNET_IPV4);
        body[field::OPERATION].copy_from_slice(&REQUEST.to_be_bytes());
        body[field::SENDER_HARDWARE].copy_from_slice(&self.hardware.0);
        body[field::SENDER_PROTOCOL].copy_from_slice(&self.sender.octets());
        body[field::TARGET_HARDWARE].copy_from_slice(&target_hardware.0);
        body[field::TARGET_PROTOCOL].copy_from_slice(&self.target.octets());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPR: Repr =
        Repr { hardware: MacAddress([2, 0, 0, 0, 0, 1]), address: Ipv4Addr::new(192, 0, 2, 200) };

    #[rustfmt::skip]
    const BYTES: [u8; LEN] = [
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 1, 0x08, 0x06,
        0, 1, 0x08, 0x00, 6, 4, 0, 1,
        2, 0, 0, 0, 0, 1, 192, 0, 2, 200,
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 192, 0, 2, 200,
    ];

    #[test]
    fn emit_fills_a_dirty_buffer_as_keepalived_does() {
        let mut frame = [0xa5; LEN + 1];
        REPR.emit(&mut frame);
        assert_eq!(frame[..LEN], BYTES);
        assert_eq!(frame[LEN], 0xa5, "nothing behind the frame is touched");
        assert_eq!(REPR.buffer_len(), LEN);
    }

    #[test]
    fn a_padded_request_and_a_reply_parse() {
        let mut padded = [0; 60];
        padded[..LEN].copy_from_slice(&BYTES);
        assert_eq!(Repr::parse_frame(&padded), Ok(REPR));
        padded[21] = 2;
        assert_eq!(Repr::parse_frame(&padded), Ok(REPR));
    }

    #[test]
    fn a_probe_claims_nothing_and_its_answer_does() {
        let mut probe = [0xa5; LEN];
        REPR.emit_probe(&mut probe);
        let mut expected = BYTES;
        expected[28..32].fill(0);
        expected[32..38].fill(0);
        assert_eq!(probe, expected, "RFC 5227 §2.1.1: from no address, to no card");
        assert_eq!(Repr::parse_claim(&probe), Err(Error::Probe { target: REPR.address }));
        let mut answer = BYTES;
        answer[21] = 2;
        answer[38..42].fill(0);
        assert_eq!(Repr::parse_claim(&answer), Ok(REPR));
        assert_eq!(Repr::parse_claim(&BYTES), Ok(REPR), "a gratuitous one is a claim as well");
    }

    #[test]
    fn each_refusal_names_its_reason() {
        let changed = |at: usize, byte: u8| {
            let mut frame = BYTES;
            frame[at] = byte;
            Repr::parse_frame(&frame)
        };
        assert_eq!(changed(13, 0x00), Err(Error::EtherType(0x0800)));
        assert_eq!(changed(18, 8), Err(Error::Kind));
        assert_eq!(changed(21, 3), Err(Error::Operation(3)));
        let target = Ipv4Addr::new(192, 0, 2, 201);
        assert_eq!(changed(41, 201), Err(Error::NotGratuitous { sender: REPR.address, target }));
        for actual in 0..LEN {
            assert_eq!(Repr::parse_frame(&BYTES[..actual]), Err(Error::Truncated { actual }));
        }
    }
}
