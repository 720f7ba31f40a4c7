//! The kernel's side of the library's traits: maps, helpers, frames where they lie and in the per-CPU scratch.
//!
//! Owns every map access. Refuses to know what a frame means. `unsafe` here is pointers into maps and packets:
//! valid until the program returns, the former shared with other CPUs.

use core::marker::PhantomData;
use core::mem::size_of;

use aya_ebpf::EbpfContext;
use aya_ebpf::bindings::{BPF_RB_AVAIL_DATA, BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP};
use aya_ebpf::helpers::bpf_ktime_get_ns;
use aya_ebpf::helpers::generated::bpf_csum_diff;
use aya_log_ebpf::error;
use vrrp_ebpf::abi::{
    Bucket, BucketKey, Counter, Counts, MAX_FRAME, PeerKey, RECORD_WOKE, RecordHeader, Rule, RuleKey,
};
use vrrp_ebpf::bucket::Rate;
use vrrp_ebpf::classify::{Family, GATE_LENGTH, Rules, plain_length};
use vrrp_ebpf::frame::{Frame, MAX_OPTIONS};
use vrrp_ebpf::receive::{Backlog, Environment};
use vrrp_ebpf::slot::SlotCell;
use vrrp_ebpf::table;

use crate::maps::{ADVERTS, BUCKETS, COUNTERS, PEERS, RULES, SCRATCH, SLOTS};

/// What differs between XDP and TCX: how bytes of the frame are copied, from its first one on.
pub(crate) trait Hook: EbpfContext {
    /// False if the frame is shorter than `length`.
    fn load(&self, to: *mut u8, length: u32) -> bool;
}

const HEADER: usize = size_of::<RecordHeader>();
/// The helper's limit for one call (before Linux 6.13).
const SUM_AT_ONCE: usize = 512;
/// Of them for the longest advert.
const SUMS: usize = 8;
/// With room behind the longest frame, because the verifier only knows that a sum starts within the headers
/// and goes on for a multiple of `SUM_AT_ONCE`.
const WORDS: usize = (HEADER + LONGEST_HEADERS + (SUMS + 1) * SUM_AT_ONCE).div_ceil(8);
/// Ethernet, and the longest IPv4 header.
const LONGEST_HEADERS: usize = 14 + 60;
const _: () = assert!(SUMS * SUM_AT_ONCE >= MAX_FRAME - 14 - 40);

/// Short records of this CPU from one look at how full the ring is to the next: a look costs as much as half of the checks,
/// and behind the middle of the smallest ring there is room for eight hundred of them. Long ones have a look each.
const LOOK_EVERY: u64 = 8;

/// Of the ring; userspace sets it at load. To ask the ring itself would be a call for each advert.
#[unsafe(no_mangle)]
static RING_BYTES: u64 = 0;

/// Elements of `RULES`, likewise.
#[unsafe(no_mangle)]
static RULE_PLACES: u32 = 0;

/// A record under construction: head, then the frame.
pub(crate) struct ScratchBytes(#[expect(dead_code, reason = "only read through pointers")] [u64; WORDS]);

/// A frame copied into this CPU's scratch as far as somebody asked for it.
pub(crate) struct Scratch<'a, H> {
    hook: &'a H,
    record: *mut u8,
    /// Bytes that are copied at once because they are there: an ordinary advert needs one copy.
    eager: usize,
    fetched: usize,
}

/// Adverts with up to 15 IPv4 addresses.
const EAGER: usize = 128;

impl<'a, H: Hook> Scratch<'a, H> {
    /// `linear`: bytes of the frame that are surely there.
    #[inline(always)]
    pub(crate) fn new(hook: &'a H, linear: usize) -> Option<Self> {
        Some(Self { hook, record: SCRATCH.get_ptr_mut(0)?.cast(), eager: linear.min(EAGER), fetched: 0 })
    }
}

impl<H: Hook> Frame for Scratch<'_, H> {
    #[inline(always)]
    fn fetch(&mut self, length: usize) -> bool {
        if length <= self.fetched {
            return true;
        }
        let length = opaque(length.max(self.eager));
        if length == 0 || length > MAX_FRAME {
            return false;
        }
        #[expect(
            clippy::cast_possible_truncation,
            reason = "at most MAX_FRAME; a checked cast is a branch more"
        )]
        let bytes = length as u32;
        // SAFETY: the scratch holds the head and MAX_FRAME bytes.
        let there = self.hook.load(unsafe { self.record.add(HEADER) }, bytes);
        if there {
            self.fetched = length;
        }
        there
    }

    #[inline(always)]
    fn at_hand(&self) -> usize {
        self.fetched
    }

    #[inline(always)]
    fn byte(&self, offset: usize) -> u8 {
        if offset >= MAX_FRAME {
            return 0;
        }
        // SAFETY: within the scratch, which is initialised memory of the map.
        unsafe { *self.record.add(HEADER + offset) }
    }

    #[inline(always)]
    fn half(&self, offset: usize) -> u16 {
        if offset > MAX_FRAME - 2 {
            return 0;
        }
        // SAFETY: as above, and aligned: the scratch is, its head is a multiple of 8, the offset is even.
        unsafe { *self.record.add(HEADER + offset).cast() }
    }

    #[inline(always)]
    fn sum(&self, offset: usize, length: usize) -> u64 {
        if offset > LONGEST_HEADERS {
            return 0;
        }
        let mut sum = 0;
        let mut done = 0;
        while done < SUMS * SUM_AT_ONCE {
            let length = opaque(length.saturating_sub(done)).min(SUM_AT_ONCE);
            #[expect(
                clippy::cast_possible_truncation,
                reason = "at most SUM_AT_ONCE; a checked cast is a branch more"
            )]
            let bytes = length as u32;
            // SAFETY: the scratch has room for it behind every offset that gets here.
            let part = unsafe {
                let from = self.record.add(HEADER + offset + done);
                bpf_csum_diff(core::ptr::null_mut(), 0, from.cast(), bytes, 0)
            };
            sum += part as u64 & 0xffff_ffff;
            if length < SUM_AT_ONCE {
                break;
            }
            done += SUM_AT_ONCE;
        }
        sum
    }

    /// Without the loop, which the verifier would walk through once for each length of a header.
    #[inline(always)]
    fn sum_options(&self, offset: usize, length: usize) -> u64 {
        if offset > LONGEST_HEADERS {
            return 0;
        }
        #[expect(clippy::cast_possible_truncation, reason = "at most MAX_OPTIONS")]
        let bytes = opaque(length).min(MAX_OPTIONS) as u32;
        // SAFETY: the scratch has room for it behind every offset that gets here.
        let sum = unsafe {
            let from = self.record.add(HEADER + offset);
            bpf_csum_diff(core::ptr::null_mut(), 0, from.cast(), bytes, 0)
        };
        sum as u64 & 0xffff_ffff
    }
}

/// A short frame where it lies, all of it directly readable and without IPv4 options: most adverts there are. Its first
/// `HEADS` bytes hold everything at a known place.
pub(crate) struct Direct<const HEADS: usize> {
    data: usize,
    end: usize,
    length: usize,
}

/// A longer one is summed faster by the helper.
const LONGEST_DIRECT: usize = 128;
/// Most adverts: up to five IPv4 addresses. A record has room for this, or for the longest.
const SHORT: usize = 64;

impl<const HEADS: usize> Direct<HEADS> {
    /// None: as [`Scratch`], whatever it is.
    #[inline(always)]
    pub(crate) fn new(data: usize, end: usize, family: Family) -> Option<Self> {
        const { assert!(HEADS >= GATE_LENGTH) };
        if data + HEADS > end {
            return None;
        }
        // SAFETY: just checked, and the verifier checks it again.
        let length = plain_length(unsafe { &*(data as *const [u8; GATE_LENGTH]) }, family)?;
        let is_here = (HEADS..=LONGEST_DIRECT).contains(&length) && length <= end - data;
        is_here.then_some(Self { data, end, length })
    }
}

impl<const HEADS: usize> Frame for Direct<HEADS> {
    const PLAIN: bool = true;

    #[inline(always)]
    fn fetch(&mut self, length: usize) -> bool {
        length <= self.length
    }

    #[inline(always)]
    fn at_hand(&self) -> usize {
        self.length
    }

    #[inline(always)]
    fn byte(&self, offset: usize) -> u8 {
        if offset >= HEADS {
            return 0;
        }
        // SAFETY: within the heads, which are directly readable.
        unsafe { *((self.data + offset) as *const u8) }
    }

    #[inline(always)]
    fn half(&self, offset: usize) -> u16 {
        if offset > HEADS - 2 {
            return 0;
        }
        // SAFETY: as above, and at an even address, as frames are; the verifier knows where that matters.
        unsafe { *((self.data + offset) as *const u16) }
    }

    #[inline(always)]
    fn halves(&self, offset: usize) -> [u16; 4] {
        let at = self.data + (opaque(offset) & 0xff);
        if at + 8 > self.end {
            return [0; 4];
        }
        let half = |index: usize| {
            // SAFETY: just checked, and at an even address.
            unsafe { *(at as *const u16).add(index) }
        };
        [half(0), half(1), half(2), half(3)]
    }

    #[inline(always)]
    fn sum(&self, offset: usize, length: usize) -> u64 {
        let (mut at, mut left, mut sum) = (self.data + offset, opaque(length), 0);
        let mut words = 0;
        while words < LONGEST_DIRECT / 4 && left >= 4 && at + 4 <= self.end {
            // SAFETY: just checked, and at an even address.
            sum += unsafe { u64::from(*(at as *const u16)) + u64::from(*((at + 2) as *const u16)) };
            at += 4;
            left -= 4;
            words += 1;
        }
        sum
    }
}

/// A frame of which a record can be made.
pub(crate) trait Recorded: Frame {
    /// Puts header and frame into the ring; false if there is no room.
    fn deliver(&mut self, header: &RecordHeader, wake: u64) -> bool;
}

impl<H: Hook> Recorded for Scratch<'_, H> {
    #[inline(always)]
    fn deliver(&mut self, header: &RecordHeader, wake: u64) -> bool {
        let length = opaque(HEADER + usize::from(header.length));
        if length > HEADER + MAX_FRAME {
            return false;
        }
        // SAFETY: the scratch begins with room for an aligned head, and holds `length` bytes.
        let record = unsafe {
            self.record.cast::<RecordHeader>().write(*header);
            core::slice::from_raw_parts(self.record, length)
        };
        ADVERTS.output::<[u8]>(record, wake).is_ok()
    }
}

impl<const HEADS: usize> Recorded for Direct<HEADS> {
    #[inline(always)]
    fn deliver(&mut self, header: &RecordHeader, wake: u64) -> bool {
        // The ring reserves what is known at compile time.
        if usize::from(header.length) <= SHORT {
            self.put::<{ SHORT / 2 }>(header, wake)
        } else {
            self.put::<{ LONGEST_DIRECT / 2 }>(header, wake)
        }
    }
}

/// An element of the ring with room for so many halves of a frame.
#[repr(C)]
struct Record<const HALVES: usize> {
    header: RecordHeader,
    frame: [u16; HALVES],
}

impl<const HEADS: usize> Direct<HEADS> {
    /// Straight into the ring: what the helper copies in its place costs more.
    #[inline(always)]
    fn put<const HALVES: usize>(&self, header: &RecordHeader, wake: u64) -> bool {
        let Some(mut entry) = ADVERTS.reserve::<Record<HALVES>>(0) else { return false };
        let record = entry.as_mut_ptr();
        // Read again: kept since the checks, the whole frame would have to be put aside in each of them.
        let (data, length) = (opaque(self.data), opaque(usize::from(header.length)));
        let half = |index: usize| (data + 2 * index) as *const u16;
        // SAFETY: within the element, which is ours until it is submitted, and within the frame: its heads are directly
        // readable, of the rest it is checked here.
        unsafe {
            (&raw mut (*record).header).write(*header);
            let to = (&raw mut (*record).frame).cast::<u16>();
            let mut at = 0;
            while at < HEADS / 2 {
                to.add(at).write(*half(at));
                at += 1;
            }
            // By fours, as an advert's length goes; a rejected one may have any.
            while at + 2 <= HALVES && 2 * at + 4 <= length && data + 2 * at + 4 <= self.end {
                to.add(at).write(*half(at));
                to.add(at + 1).write(*half(at + 1));
                at += 2;
            }
            if at < HALVES && 2 * at + 2 <= length && data + 2 * at + 2 <= self.end {
                to.add(at).write(*half(at));
                at += 1;
            }
            if at < HALVES && 2 * at < length && data + 2 * at < self.end {
                to.add(at).cast::<u8>().write(*half(at).cast());
            }
        }
        entry.submit(wake);
        true
    }
}

/// The same value, of which the compiler knows nothing: otherwise it proves the bounds check behind it
/// superfluous and drops it, and the verifier, which cannot follow the proof, refuses the program.
#[inline(always)]
fn opaque(value: usize) -> usize {
    // SAFETY: a local variable.
    unsafe { (&raw const value).read_volatile() }
}

/// The maps.
pub(crate) struct Kernel<'a, H, F> {
    hook: &'a H,
    /// This CPU's own.
    counts: *mut Counts,
    frames: PhantomData<F>,
}

impl<'a, H, F> Kernel<'a, H, F> {
    #[inline(always)]
    pub(crate) fn new(hook: &'a H) -> Option<Self> {
        Some(Self { hook, counts: COUNTERS.get_ptr_mut(0)?, frames: PhantomData })
    }
}

#[inline(always)]
fn slot_cell<'a>(index: u32) -> Option<&'a SlotCell> {
    // SAFETY: SlotCell is a transparent wrapper of Slot, and the map outlives the program's run.
    SLOTS.get_ptr(index).map(|slot| unsafe { &*slot.cast::<SlotCell>() })
}

impl<H, F> Rules for Kernel<'_, H, F> {
    #[inline(always)]
    fn rule(&self, key: &RuleKey) -> Option<Rule> {
        // SAFETY: a static. Volatile: its value is set at load, behind the compiler's back.
        let places = unsafe { (&raw const RULE_PLACES).read_volatile() };
        let slot = table::find(key, places, |place| match RULES.get_ptr(place) {
            // SAFETY: an aligned element of the map, which outlives the program's run. Volatile: userspace writes it.
            Some(word) => unsafe { word.read_volatile() },
            None => 0,
        })?;
        Some(slot_cell(slot)?.rule(slot))
    }

    #[inline(always)]
    fn is_peer(&self, key: &PeerKey) -> bool {
        // SAFETY: the value is not looked at.
        unsafe { PEERS.get(key) }.is_some()
    }
}

impl<H: Hook, F: Recorded> Environment for Kernel<'_, H, F> {
    type Frame = F;

    #[inline(always)]
    fn arrived_ns(&mut self) -> u64 {
        // SAFETY: no arguments.
        unsafe { bpf_ktime_get_ns() }
    }

    #[inline(always)]
    fn slot(&self, index: u32) -> Option<&SlotCell> {
        slot_cell(index)
    }

    #[inline(always)]
    fn within(&mut self, rate: &Rate, key: &BucketKey, now_ns: u64) -> bool {
        if let Some(bucket) = BUCKETS.get_ptr_mut(key) {
            // SAFETY: valid until the program returns. Another CPU may be inside: a token is lost or won, no more.
            return unsafe { &mut *bucket }.take(rate, now_ns);
        }
        // No room for a new bucket: what it would have limited goes through, as a first packet does.
        match BUCKETS.insert(key, Bucket::first(rate, now_ns), 0) {
            Ok(()) | Err(_) => true,
        }
    }

    #[inline(always)]
    fn backlog(&self) -> Option<Backlog> {
        // SAFETY: this CPU's own element of the map.
        let delivered = unsafe { (*self.counts)[Counter::Delivered as usize] };
        if F::PLAIN && delivered % LOOK_EVERY != 0 {
            return None;
        }
        Some(Backlog {
            used: ADVERTS.query(u64::from(BPF_RB_AVAIL_DATA)),
            // SAFETY: a static. Volatile: its value is set at load, behind the compiler's back.
            size: unsafe { (&raw const RING_BYTES).read_volatile() },
        })
    }

    #[inline(always)]
    fn deliver(&mut self, header: &RecordHeader, frame: &mut Self::Frame) -> bool {
        let wake = if header.flags & RECORD_WOKE == 0 { BPF_RB_NO_WAKEUP } else { BPF_RB_FORCE_WAKEUP };
        frame.deliver(header, u64::from(wake))
    }

    #[inline(always)]
    fn count(&mut self, counter: Counter) {
        // SAFETY: this CPU's own element of the map, and each counter is an index into it.
        unsafe { (*self.counts)[counter as usize] += 1 };
    }

    #[inline(never)]
    fn report_missing_slot(&mut self, index: u32) {
        error!(self.hook, "a rule points to slot {}, which does not exist", index);
    }
}
