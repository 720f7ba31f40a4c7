//! The two frames that a virtual router ever sends: its advert and its release.
//!
//! Owns their bytes, built when what they say changes and not each time one leaves. Rebuilding writes over the same
//! bytes: an advert's length depends on nothing that changes while the daemon runs.

use std::net::Ipv4Addr;
use std::num::NonZeroU8;

use crate::wire::{Addresses, Dialect, MacAddress, advert, ethernet, frame};

/// See the file's head.
#[derive(Clone, Debug)]
pub(super) struct Frames {
    template: Template,
    advert: Vec<u8>,
    release: Vec<u8>,
    /// Without one there is nothing to send.
    source: Option<Ipv4Addr>,
}

/// All that the frames say but the source address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Template {
    pub(super) mac: MacAddress,
    pub(super) virtual_router_id: u8,
    pub(super) priority: NonZeroU8,
    pub(super) dialect: Dialect,
    /// 1 to 255.
    pub(super) addresses: Vec<[u8; 4]>,
}

impl Frames {
    /// Frames from that source. None if the template has no address, or more than an advert can carry.
    pub(super) fn new(template: Template, source: Option<Ipv4Addr>) -> Option<Self> {
        Addresses::new(&template.addresses)?;
        let mut frames = Self { template, advert: Vec::new(), release: Vec::new(), source: None };
        let length = frames.repr(Ipv4Addr::UNSPECIFIED, 0)?.buffer_len();
        frames.advert = vec![0; length];
        frames.release = vec![0; length];
        frames.set_source(source);
        Some(frames)
    }

    /// The interface's primary address is another one now. Does not allocate.
    pub(super) fn set_source(&mut self, source: Option<Ipv4Addr>) {
        self.source = source;
        self.rebuild();
    }

    /// The advert carries this priority from now on. Does not allocate.
    pub(super) fn set_priority(&mut self, priority: NonZeroU8) {
        if self.template.priority != priority {
            self.template.priority = priority;
            self.rebuild();
        }
    }

    /// Whether both say the same, from wherever.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        self.template == other.template
    }

    fn rebuild(&mut self) {
        let Some(source) = self.source else { return };
        let priority = self.template.priority.get();
        let (mut advert, mut release) = (std::mem::take(&mut self.advert), std::mem::take(&mut self.release));
        if let (Some(living), Some(leaving)) = (self.repr(source, priority), self.repr(source, 0)) {
            living.emit(&mut advert);
            leaving.emit(&mut release);
        }
        (self.advert, self.release) = (advert, release);
    }

    /// The bytes of one, from its IP header on.
    pub(super) fn packet_length(&self) -> usize {
        self.advert.len().saturating_sub(ethernet::HEADER_LEN)
    }

    /// The advert; empty without a source address.
    pub(super) fn advert(&self) -> &[u8] {
        if self.source.is_some() { &self.advert } else { &[] }
    }

    /// The advert with priority 0; empty without a source address.
    pub(super) fn release(&self) -> &[u8] {
        if self.source.is_some() { &self.release } else { &[] }
    }

    fn repr(&self, source: Ipv4Addr, priority: u8) -> Option<frame::Repr<'_>> {
        Some(frame::Repr {
            source_mac: self.template.mac,
            source,
            advert: advert::Repr {
                virtual_router_id: self.template.virtual_router_id,
                priority,
                dialect: self.template.dialect,
                addresses: Addresses::new(&self.template.addresses)?,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::advert::Ipv4Checksum;
    use crate::wire::frame::Packet;
    use crate::wire::interval::Centiseconds;

    fn frames(source: Option<Ipv4Addr>) -> Frames {
        let interval = Centiseconds::new(10).unwrap();
        let template = Template {
            mac: MacAddress([2; 6]),
            virtual_router_id: 51,
            priority: NonZeroU8::new(100).unwrap(),
            dialect: Dialect::V3 { interval, checksum: Ipv4Checksum::PseudoHeader },
            addresses: vec![[10, 0, 0, 200]],
        };
        Frames::new(template, source).unwrap()
    }

    #[test]
    fn without_a_source_address_there_is_nothing_to_send() {
        let frames = frames(None);
        assert!(frames.advert().is_empty() && frames.release().is_empty());
    }

    #[test]
    fn a_new_source_address_is_in_both_frames_and_their_checksums() {
        let mut frames = frames(Some(Ipv4Addr::new(10, 0, 0, 1)));
        let source = Ipv4Addr::new(10, 0, 0, 9);
        frames.set_source(Some(source));
        let advert = Packet::parse_frame(frames.advert()).unwrap();
        let release = Packet::parse_frame(frames.release()).unwrap();
        assert_eq!((advert.source, advert.advert.priority), (source, 100));
        assert_eq!((release.source, release.advert.priority), (source, 0));
    }
}
