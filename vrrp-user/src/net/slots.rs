//! The liveness slots as userspace sees them: one mapping of the array `SLOTS`, or plain memory in the fallback.
//!
//! Owns the mapping, which the array `RULES` has too, and the bounds. Refuses to know what a slot number stands for. Reading
//! one is a few loads, never a system call. The only `unsafe` of this folder's BPF side is here.

use std::io;
use std::ops::Deref;
use std::os::fd::AsFd;
use std::ptr::NonNull;
use std::sync::atomic::AtomicU64;

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
use thiserror::Error;
use vrrp_ebpf::abi::{Rule, Slot};
use vrrp_ebpf::slot::SlotCell;
pub use vrrp_ebpf::slot::{Busy, Liveness, Rejected};

#[derive(Debug, Error)]
#[error("map the {name} ({bytes} bytes) into memory: {source}; the kernel half needs Linux 5.18 or newer")]
pub struct MappingError {
    name: &'static str,
    bytes: usize,
    source: io::Error,
}

/// The elements of a map in memory, shared with the kernel.
pub(super) struct Mapping<T> {
    first: NonNull<T>,
    count: usize,
}

// SAFETY: the mapping is process-wide, and its elements are Sync.
unsafe impl<T: Sync> Send for Mapping<T> {}
// SAFETY: as above.
unsafe impl<T: Sync> Sync for Mapping<T> {}

impl Mapping<SlotCell> {
    /// Maps the array behind `map`, which must be `SLOTS` with `count` elements.
    fn of_slots(map: impl AsFd, count: u32) -> Result<Self, MappingError> {
        const { assert!(size_of::<SlotCell>() == size_of::<Slot>()) };
        // SAFETY: the map's elements are slots.
        unsafe { Self::new("liveness slots", map, count) }
    }
}

impl Mapping<AtomicU64> {
    /// Maps the array behind `map`, which must be `RULES` with `count` elements.
    pub(super) fn of_words(map: impl AsFd, count: u32) -> Result<Self, MappingError> {
        // SAFETY: the map's elements are u64.
        unsafe { Self::new("rules", map, count) }
    }
}

impl<T> Mapping<T> {
    /// # Safety
    /// The map is an array of `count` elements, each of which is a `T` whatever its bytes and whoever writes them.
    unsafe fn new(name: &'static str, map: impl AsFd, count: u32) -> Result<Self, MappingError> {
        let count = count as usize;
        let bytes = count * size_of::<T>();
        // SAFETY: a fresh mapping at an address of the kernel's choice, of the size that the map was created with.
        let address = unsafe {
            mmap(std::ptr::null_mut(), bytes, ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED, map, 0)
        };
        let address = address.map_err(|errno| MappingError { name, bytes, source: errno.into() })?;
        let first = NonNull::new(address.cast::<T>()).ok_or_else(|| MappingError {
            name,
            bytes,
            source: io::Error::other("mapped at address 0"),
        })?;
        Ok(Self { first, count })
    }
}

impl<T> Deref for Mapping<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // SAFETY: mapped for `count` elements until drop; page-aligned; never accessed as anything else.
        unsafe { std::slice::from_raw_parts(self.first.as_ptr(), self.count) }
    }
}

impl<T> Drop for Mapping<T> {
    fn drop(&mut self) {
        // SAFETY: our own mapping, and nobody holds a reference any more.
        let unmapped = unsafe { munmap(self.first.as_ptr().cast(), self.count * size_of::<T>()) };
        debug_assert!(unmapped.is_ok(), "a mapping of ours unmaps");
    }
}

/// All slots. Shared between threads and, when mapped, with the kernel.
pub struct Slots {
    memory: Memory,
}

enum Memory {
    Mapped(Mapping<SlotCell>),
    Own(Box<[SlotCell]>),
}

impl Slots {
    /// Maps the array behind `map`, which must be `SLOTS` with `count` elements.
    pub(super) fn map(map: impl AsFd, count: u32) -> Result<Self, MappingError> {
        Ok(Self { memory: Memory::Mapped(Mapping::of_slots(map, count)?) })
    }

    /// Slots that only this process knows.
    pub fn own(count: u32) -> Self {
        Self { memory: Memory::Own((0..count).map(|_| SlotCell::new()).collect()) }
    }

    pub(super) fn cells(&self) -> &[SlotCell] {
        match &self.memory {
            Memory::Mapped(cells) => cells,
            Memory::Own(cells) => cells,
        }
    }

    fn cell(&self, slot: u32) -> &SlotCell {
        let cells = self.cells();
        let count = cells.len();
        cells
            .get(slot as usize)
            .unwrap_or_else(|| panic!("slot {slot} of {count}: slots are handed out by us"))
    }

    /// How many there are.
    pub fn count(&self) -> u32 {
        u32::try_from(self.cells().len()).unwrap_or(u32::MAX)
    }

    /// The last advert that would have re-armed this router; `None` if there was none. [`Busy`] means that one is
    /// being recorded right now: it is a sign of life, to be read again a moment later.
    pub fn read(&self, slot: u32) -> Result<Option<Liveness>, Busy> {
        self.cell(slot).read()
    }

    /// Only adverts of at least this priority refresh the slot from now on; `NOBODY_REFRESHES` for none.
    pub fn set_minimum_priority(&self, slot: u32, priority: u32) {
        self.cell(slot).set_minimum_priority(priority);
    }

    /// `SLOT_*` bits.
    pub fn set_flags(&self, slot: u32, flags: u32) {
        self.cell(slot).set_flags(flags);
    }

    /// What adverts for the router of this slot must look like.
    pub(super) fn set_rule(&self, rule: &Rule) {
        self.cell(rule.slot).set_rule(rule);
    }

    /// The last advert for this router that was rejected.
    pub fn last_reject(&self, slot: u32) -> Option<Rejected> {
        self.cell(slot).last_reject()
    }

    /// Forgets what was heard: for a router that starts, before its rule is inserted.
    pub fn clear(&self, slot: u32) {
        self.cell(slot).clear();
    }
}
