//! The liveness slots as userspace sees them: one mapping of the array `SLOTS`, or plain memory in the fallback.
//!
//! Owns the mapping and the bounds. Refuses to know what a slot number stands for. Reading one is a few loads, never
//! a system call. The only `unsafe` of this folder's BPF side is here.

use std::io;
use std::os::fd::AsFd;
use std::ptr::NonNull;

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
use thiserror::Error;
use vrrp_ebpf::abi::Slot;
use vrrp_ebpf::slot::SlotCell;
pub use vrrp_ebpf::slot::{Busy, Liveness, Rejected};

#[derive(Debug, Error)]
#[error(
    "map the liveness slots ({bytes} bytes) into memory: {source}; the kernel half needs Linux 5.18 or newer"
)]
pub struct SlotsError {
    bytes: usize,
    source: io::Error,
}

/// All slots. Shared between threads and, when mapped, with the kernel.
pub struct Slots {
    memory: Memory,
}

enum Memory {
    Mapped { first: NonNull<SlotCell>, count: usize },
    Own(Box<[SlotCell]>),
}

// SAFETY: the mapping is process-wide, and SlotCell is Sync.
unsafe impl Send for Memory {}
// SAFETY: as above.
unsafe impl Sync for Memory {}

impl Slots {
    /// Maps the array behind `map`, which must be `SLOTS` with `count` elements.
    pub(super) fn map(map: impl AsFd, count: u32) -> Result<Self, SlotsError> {
        let count = count as usize;
        let bytes = count * size_of::<Slot>();
        // SAFETY: a fresh mapping at an address of the kernel's choice, of the size that the map was created with.
        let address = unsafe {
            mmap(std::ptr::null_mut(), bytes, ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED, map, 0)
        };
        let address = address.map_err(|errno| SlotsError { bytes, source: errno.into() })?;
        let first = NonNull::new(address.cast::<SlotCell>())
            .ok_or_else(|| SlotsError { bytes, source: io::Error::other("mapped at address 0") })?;
        Ok(Self { memory: Memory::Mapped { first, count } })
    }

    /// Slots that only this process knows.
    pub fn own(count: u32) -> Self {
        Self { memory: Memory::Own((0..count).map(|_| SlotCell::new()).collect()) }
    }

    pub(super) fn cells(&self) -> &[SlotCell] {
        match &self.memory {
            // SAFETY: mapped for `count` slots until drop; page-aligned; only ever accessed as SlotCell.
            Memory::Mapped { first, count } => unsafe { std::slice::from_raw_parts(first.as_ptr(), *count) },
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

    /// The last advert for this router that was rejected.
    pub fn last_reject(&self, slot: u32) -> Option<Rejected> {
        self.cell(slot).last_reject()
    }

    /// Forgets what was heard: for a router that starts, before its rule is inserted.
    pub fn clear(&self, slot: u32) {
        self.cell(slot).clear();
    }
}

impl Drop for Slots {
    fn drop(&mut self) {
        if let Memory::Mapped { first, count } = &self.memory {
            // SAFETY: our own mapping, and nobody holds a reference any more.
            let unmapped = unsafe { munmap(first.as_ptr().cast(), count * size_of::<Slot>()) };
            debug_assert!(unmapped.is_ok(), "a mapping of ours unmaps");
        }
    }
}
