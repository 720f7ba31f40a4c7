//! A frame that the advert thread saw, on its way to whoever watches.
//!
//! Owns a fixed shape, so that handing one over allocates nothing. Refuses to know who watches (`watching`).

use std::sync::Arc;

use crate::net::mailbox::Mailbox;
use crate::vrrp::Instant;

/// Bytes of a frame that are kept: adverts with up to a hundred addresses.
const KEPT: usize = 512;

/// See the file's head.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sighting {
    pub(super) at: Instant,
    pub(super) router: usize,
    pub(super) way: Way,
    /// Of the whole frame.
    pub(super) length: usize,
    bytes: [u8; KEPT],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Received,
    Sent,
    /// Why, as the index of a `Counter`.
    Rejected(u8),
}

impl Sighting {
    /// Its bytes, as far as they are kept.
    pub(super) fn frame(&self) -> &[u8] {
        &self.bytes[..self.length.min(KEPT)]
    }
}

/// Where sightings go while somebody watches.
pub(super) type Watch = Option<Arc<Mailbox<Sighting>>>;

/// Tells whoever watches. What does not fit is counted by the queue. Neither allocates nor waits.
pub(super) fn sight(watch: &Watch, at: Instant, router: usize, way: Way, frame: &[u8]) {
    let Some(queue) = watch else { return };
    let mut bytes = [0; KEPT];
    for (to, from) in bytes.iter_mut().zip(frame) {
        *to = *from;
    }
    queue.post(Sighting { at, router, way, length: frame.len(), bytes }).unwrap_or_default();
}
