//! Which slot a virtual router has: the words of the array `RULES`, read by the kernel half, written by userspace.
//!
//! Owns the shape of a word, where it lies, and why a reader never misses a router while others come and go. A hash map
//! of the kernel would cost each advert several times as much. Refuses to know what a rule says: that is in the slot.
//!
//! A word is written as a whole, and one that is taken away leaves a mark that readers walk over, so that a router's word
//! stays where it is for as long as it is there.

use crate::abi::{FAMILY_IPV6, RuleKey};

/// Of a word: the slot's number and one; above it 32 bits of interface, one of family, eight of virtual router.
const SLOT_BITS: u32 = 23;
const SLOT: u64 = (1 << SLOT_BITS) - 1;

/// Nothing was ever here, or behind it.
const EMPTY: u64 = 0;
/// Something was, and what is looked for may lie behind it. No interface has this index (they are positive `int`s).
#[cfg(not(target_arch = "bpf"))]
const GONE: u64 = !SLOT;

/// How far from its home a word can lie. The table is at most an eighth full: by the theory of linear probing one in
/// 10^16 would have to lie farther.
const PROBES: u32 = 32;

/// Words for so many rules: a power of two.
pub const fn places(rules: u32) -> u32 {
    const MOST: u32 = 1 << 28;
    let places = rules.saturating_mul(8);
    if places > MOST { MOST } else { places.next_power_of_two() }
}

#[inline(always)]
const fn bits(key: &RuleKey) -> u64 {
    let family = (key.family == FAMILY_IPV6) as u64;
    (key.ifindex as u64) << 9 | family << 8 | key.virtual_router_id as u64
}

/// Two rounds of a multiplicative hash (2^64 over the golden ratio, and a prime of xxHash): interfaces and virtual routers
/// are numbered in rows, which one round would leave in rows.
#[inline(always)]
const fn home(bits: u64) -> u32 {
    let mixed = bits.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    ((mixed ^ mixed >> 32).wrapping_mul(0xc2b2_ae3d_27d4_eb4f) >> 32) as u32
}

/// The slot of a virtual router, by the words of a table of `places`.
#[inline(always)]
pub fn find(key: &RuleKey, places: u32, word: impl Fn(u32) -> u64) -> Option<u32> {
    let wanted = bits(key);
    let (mut place, mut probe) = (home(wanted), 0);
    while probe < PROBES {
        let found = word(place & (places - 1));
        if found >> SLOT_BITS == wanted {
            let slot = (found & SLOT) as u32;
            return slot.checked_sub(1);
        }
        if found == EMPTY {
            return None;
        }
        place = place.wrapping_add(1);
        probe += 1;
    }
    None
}

#[cfg(not(target_arch = "bpf"))]
pub use writer::{Full, Table};

#[cfg(not(target_arch = "bpf"))]
mod writer {
    use core::sync::atomic::{AtomicU64, Ordering};

    use super::{EMPTY, GONE, PROBES, SLOT, SLOT_BITS, bits, home};
    use crate::abi::RuleKey;

    /// No room near the router's home, or a slot's number that does not fit into a word.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Full;

    /// The words, for their only writer.
    pub struct Table<'a>(&'a [AtomicU64]);

    impl<'a> Table<'a> {
        /// As many as [`super::places`] says.
        pub fn new(words: &'a [AtomicU64]) -> Self {
            debug_assert!(words.len().is_power_of_two());
            Self(words)
        }

        /// Adds a router, or moves it to another slot. What the slot says must have been written before.
        pub fn insert(&self, key: &RuleKey, slot: u32) -> Result<(), Full> {
            let slot = u64::from(slot) + 1;
            if slot > SLOT {
                return Err(Full);
            }
            let there = self.place(key);
            let is_free = |place: &usize| [EMPTY, GONE].contains(&self.word(*place));
            let place = there.or_else(|| self.places(key).find(is_free)).ok_or(Full)?;
            // A reader that sees it sees what the slot says.
            self.0[place].store(bits(key) << SLOT_BITS | slot, Ordering::Release);
            Ok(())
        }

        /// Takes a router away; one that is not there is no error.
        pub fn remove(&self, key: &RuleKey) {
            let Some(mut place) = self.place(key) else { return };
            self.0[place].store(GONE, Ordering::Relaxed);
            // A reader that would stop one place later may stop here.
            while self.word(place) == GONE && self.word(self.wrapped(place + 1)) == EMPTY {
                self.0[place].store(EMPTY, Ordering::Relaxed);
                place = self.wrapped(place.wrapping_sub(1));
            }
        }

        /// As the kernel half finds it.
        #[cfg(test)]
        pub(crate) fn find(&self, key: &RuleKey) -> Option<u32> {
            let count = u32::try_from(self.0.len()).unwrap_or(1);
            super::find(key, count, |place| self.0[place as usize].load(Ordering::Acquire))
        }

        fn place(&self, key: &RuleKey) -> Option<usize> {
            let is_it = |place: &usize| {
                let word = self.word(*place);
                word >> SLOT_BITS == bits(key) && word & SLOT != 0
            };
            self.places(key).find(is_it)
        }

        fn places(&self, key: &RuleKey) -> impl Iterator<Item = usize> {
            let home = home(bits(key)) as usize;
            (home..home + PROBES as usize).map(|place| self.wrapped(place))
        }

        fn wrapped(&self, place: usize) -> usize {
            place & (self.0.len() - 1)
        }

        fn word(&self, place: usize) -> u64 {
            self.0[place].load(Ordering::Relaxed)
        }
    }
}

#[cfg(test)]
mod tests;
