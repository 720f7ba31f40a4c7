//! A liveness slot shared by several writers and readers: [`SlotCell`].
//!
//! Owns the sequence lock and who writes which line. Refuses to know when an advert deserves a refresh.

use core::cell::UnsafeCell;

use crate::abi::{Bucket, Counter, NOBODY_REFRESHES, Rule, Slot};
use crate::address::Address;
use crate::atomic::{exchange, load_u32, load_u64, publish, store_u8, store_u16, store_u32, store_u64};
#[cfg(not(target_arch = "bpf"))]
use crate::atomic::{load_u8, load_u16};
use crate::bucket::Rate;

/// What the last advert that would re-arm this router said, and when it arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Liveness {
    /// ns of CLOCK_MONOTONIC.
    pub arrived_ns: u64,
    pub sender: Address,
    pub priority: u8,
    /// In the unit of the wire: seconds in version 2, centiseconds in version 3.
    pub advert_interval: u16,
    /// `FAMILY_IPV4` or `FAMILY_IPV6`.
    pub family: u8,
}

/// A writer was inside during every try: an advert is being recorded at this very moment (or its writer's CPU is
/// stalled in the middle of it). It must not be taken for silence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Busy;

/// The last advert for this router that was rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// Index of a [`Counter`].
    pub reason: u8,
    /// The last four bytes of the sender's address.
    pub sender: [u8; 4],
}

/// A [`Slot`] in shared memory. Every access is an atomic load or store of one field.
#[repr(transparent)]
pub struct SlotCell(UnsafeCell<Slot>);

// SAFETY: all access goes through `atomic`, and torn groups of fields are told by the sequence.
unsafe impl Sync for SlotCell {}

/// Tries of a reader. A writer is inside for some ten nanoseconds; this many tries take some microseconds.
#[cfg(not(target_arch = "bpf"))]
const READ_TRIES: u32 = 256;

/// Address of a field; needs an unsafe block, since the compiler does not know that the slot is live.
macro_rules! field {
    ($self:ident . $($name:ident).+) => {
        &raw mut (*$self.0.get()).$($name).+
    };
}

impl SlotCell {
    /// An empty slot of a router that waits for nobody yet: any priority refreshes it.
    pub const fn new() -> Self {
        Self(UnsafeCell::new(Slot {
            sequence: 0,
            advert_interval: 0,
            priority: 0,
            family: 0,
            arrived_ns: 0,
            sender: [0; 16],
            announced: 0,
            last_reject: 0,
            bucket: Bucket { tokens: 0, refilled_ns: 0 },
            minimum_priority: 0,
            flags: 0,
            rule: [0; 4],
            rule_padding: 0,
            password: [0; 8],
            user_padding: [0; 40],
        }))
    }

    /// Records an advert. If another writer is inside it leaves that one's news, which is as fresh.
    #[inline(always)]
    pub fn refresh(&self, news: &Liveness) {
        // SAFETY: all pointers are fields of this live, aligned slot.
        unsafe {
            let sequence = field!(self.sequence);
            let before = load_u32(sequence);
            if before & 1 != 0 || !exchange(sequence, before, before.wrapping_add(1)) {
                return;
            }
            store_u16(field!(self.advert_interval), news.advert_interval);
            store_u8(field!(self.priority), news.priority);
            store_u8(field!(self.family), news.family);
            store_u64(field!(self.arrived_ns), news.arrived_ns);
            store_u64(field!(self.sender).cast(), news.sender.first);
            store_u64(field!(self.sender).cast::<u64>().add(1), news.sender.second);
            publish(sequence, before.wrapping_add(2));
        }
    }

    /// What was recorded last, whole; `None` if nothing ever was.
    #[cfg(not(target_arch = "bpf"))]
    pub fn read(&self) -> Result<Option<Liveness>, Busy> {
        use core::sync::atomic::{Ordering, fence};

        for _ in 0..READ_TRIES {
            // SAFETY: all pointers are fields of this live, aligned slot.
            let (before, news, after) = unsafe {
                let sequence = field!(self.sequence);
                let before = load_u32(sequence);
                fence(Ordering::Acquire);
                let news = Liveness {
                    arrived_ns: load_u64(field!(self.arrived_ns)),
                    sender: self.sender(),
                    priority: load_u8(field!(self.priority)),
                    advert_interval: load_u16(field!(self.advert_interval)),
                    family: load_u8(field!(self.family)),
                };
                fence(Ordering::Acquire);
                (before, news, load_u32(sequence))
            };
            if before & 1 == 0 && before == after {
                return Ok((news.arrived_ns != 0).then_some(news));
            }
            core::hint::spin_loop();
        }
        Err(Busy)
    }

    /// Empties the kernel's line: the next reader finds nothing, the next advert is news. For a router that
    /// starts, before its rule is inserted.
    #[cfg(not(target_arch = "bpf"))]
    pub fn clear(&self) {
        self.refresh(&Liveness {
            arrived_ns: 0,
            sender: Address::default(),
            priority: 0,
            advert_interval: 0,
            family: 0,
        });
        self.set_announced(0);
        // SAFETY: fields of this live, aligned slot.
        unsafe {
            store_u64(field!(self.last_reject), 0);
            store_u64(field!(self.bucket.tokens), 0);
            store_u64(field!(self.bucket.refilled_ns), 0);
        }
    }

    /// Whether `sender` is the one recorded. Unlocked: a torn answer only misplaces one advert between two rates.
    #[inline(always)]
    pub fn is_recorded(&self, sender: Address) -> bool {
        self.sender() == sender
    }

    #[inline(always)]
    fn sender(&self) -> Address {
        // SAFETY: both halves of a 16-byte field at a multiple of 8 in this live slot.
        unsafe {
            Address {
                first: load_u64(field!(self.sender).cast()),
                second: load_u64(field!(self.sender).cast::<u64>().add(1)),
            }
        }
    }

    /// Takes a token of the recorded sender. An empty slot's bucket is as full as one that was last refilled when
    /// the clock began.
    #[inline(always)]
    #[must_use]
    pub fn within(&self, rate: &Rate, now_ns: u64) -> bool {
        // SAFETY: fields of this live, aligned slot.
        unsafe {
            let (tokens, refilled_ns) = (field!(self.bucket.tokens), field!(self.bucket.refilled_ns));
            let mut bucket = Bucket { tokens: load_u64(tokens), refilled_ns: load_u64(refilled_ns) };
            let enough = bucket.take(rate, now_ns);
            store_u64(tokens, bucket.tokens);
            store_u64(refilled_ns, bucket.refilled_ns);
            enough
        }
    }

    #[inline(always)]
    pub fn announced(&self) -> u64 {
        // SAFETY: a field of this live, aligned slot.
        unsafe { load_u64(field!(self.announced)) }
    }

    #[inline(always)]
    pub fn set_announced(&self, word: u64) {
        // SAFETY: a field of this live, aligned slot.
        unsafe { store_u64(field!(self.announced), word) };
    }

    #[inline(always)]
    pub fn reject(&self, reason: Counter, sender: u32) {
        // SAFETY: a field of this live, aligned slot.
        unsafe { store_u64(field!(self.last_reject), (reason as u64) << 56 | u64::from(sender)) };
    }

    /// The last rejected advert; `None` if there was none since the slot was cleared.
    pub fn last_reject(&self) -> Option<Rejected> {
        // SAFETY: a field of this live, aligned slot.
        let word = unsafe { load_u64(field!(self.last_reject)) }.to_be_bytes();
        let [reason, _, _, _, a, b, c, d] = word;
        (reason != 0).then_some(Rejected { reason, sender: [a, b, c, d] })
    }

    #[inline(always)]
    pub fn minimum_priority(&self) -> u32 {
        // SAFETY: a field of this live, aligned slot.
        unsafe { load_u32(field!(self.minimum_priority)) }
    }

    /// Only adverts of at least this priority refresh the slot from now on; [`NOBODY_REFRESHES`] at most.
    pub fn set_minimum_priority(&self, priority: u32) {
        // SAFETY: a field of this live, aligned slot.
        unsafe { store_u32(field!(self.minimum_priority), priority.min(NOBODY_REFRESHES)) };
    }

    #[inline(always)]
    pub fn flags(&self) -> u32 {
        // SAFETY: a field of this live, aligned slot.
        unsafe { load_u32(field!(self.flags)) }
    }

    pub fn set_flags(&self, flags: u32) {
        // SAFETY: a field of this live, aligned slot.
        unsafe { store_u32(field!(self.flags), flags) };
    }

    /// What adverts for the router of this slot, which is number `slot`, must look like.
    #[inline(always)]
    pub fn rule(&self, slot: u32) -> Rule {
        // SAFETY: fields of this live slot, at multiples of 4 and 8.
        let (rule, password) =
            unsafe { (load_u32(field!(self.rule).cast()), load_u64(field!(self.password).cast())) };
        let [version, auth_type, flags, v2_interval] = rule.to_ne_bytes();
        Rule { slot, version, auth_type, flags, v2_interval, password: password.to_ne_bytes() }
    }

    /// A change may come between the two: one advert is judged by the old rule and the new password.
    pub fn set_rule(&self, rule: &Rule) {
        let word = [rule.version, rule.auth_type, rule.flags, rule.v2_interval];
        // SAFETY: fields of this live slot, at multiples of 4 and 8.
        unsafe {
            store_u64(field!(self.password).cast(), u64::from_ne_bytes(rule.password));
            store_u32(field!(self.rule).cast(), u32::from_ne_bytes(word));
        }
    }
}

impl Default for SlotCell {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests;
