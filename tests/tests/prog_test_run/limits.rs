//! Full ring and rates: they limit what userspace hears, never what the slots say.

use vrrp_ebpf::abi::{Counter, FAMILY_IPV4, SLOT_WAKE_ALWAYS};
use vrrp_ebpf::samples::Sample;
use vrrp_user::net::xdp::Sizes;

use super::kernel::{Kernel, SLOT, v3};

pub(crate) const CASES: &[crate::Case] = &[
    ("full_ring_is_counted_and_the_slot_still_refreshed", full_ring_is_counted_and_the_slot_still_refreshed),
    ("half_full_ring_wakes", half_full_ring_wakes),
    ("one_sender_is_limited_at_the_ring_only", one_sender_is_limited_at_the_ring_only),
    ("strangers_are_limited_and_the_master_is_not", strangers_are_limited_and_the_master_is_not),
    ("foreign_flood_is_dropped_above_its_rate", foreign_flood_is_dropped_above_its_rate),
];

fn small_ring() -> Kernel {
    let mut kernel = Kernel::with_sizes(Sizes { ring_bytes: 4096, ..Sizes::default() });
    kernel.insert(FAMILY_IPV4, v3());
    kernel
}

fn count(counts: &[(Counter, u64)], counter: Counter) -> u64 {
    counts.iter().find(|(found, _)| *found == counter).map_or(0, |(_, count)| *count)
}

/// Bytes of a short frame in the ring: 8 of the ring's own head, 24 of the record's, and room for up to 64 bytes.
fn record_bytes(frame: &[u8]) -> usize {
    assert!(frame.len() <= 64);
    8 + 24 + 64
}

fn full_ring_is_counted_and_the_slot_still_refreshed() {
    let mut kernel = small_ring();
    let frame = Sample::v3().frame();
    let counts = kernel.counted(|kernel| {
        kernel.run_xdp(&frame, 100);
    });
    assert_eq!(count(&counts, Counter::Accepted), 100);
    let room = u64::try_from(4095 / record_bytes(&frame)).unwrap();
    assert_eq!(count(&counts, Counter::Delivered), room);
    assert_eq!(count(&counts, Counter::RingFull), 100 - room);
    let records = kernel.drain();
    let live = kernel.control.slots().read(SLOT).unwrap().unwrap();
    assert!(live.arrived_ns > records.last().unwrap().arrived_ns);

    // News that finds no room stays news.
    kernel.run_xdp(&frame, 100);
    let news = Sample { priority: 77, ..Sample::v3() }.frame();
    kernel.hear(&news);
    kernel.drain();
    kernel.hear(&news);
    assert!(kernel.take().unwrap().changed);
}

fn half_full_ring_wakes() {
    let mut kernel = small_ring();
    let frame = Sample::v3().frame();
    kernel.hear(&frame);
    kernel.drain();
    kernel.run_xdp(&frame, 40);
    let woke: Vec<usize> =
        kernel.drain().iter().enumerate().filter(|(_, r)| r.woke).map(|(at, _)| at).collect();
    // The first record before which half of the ring is taken, or one soon after it: each eighth one looks.
    let first = 2048_usize.div_ceil(record_bytes(&frame));
    assert!((first..first + 8).contains(&woke[0]), "{woke:?}");
    assert!(woke.len() <= 3, "{woke:?}");
}

fn one_sender_is_limited_at_the_ring_only() {
    let mut kernel = Kernel::with_rule(FAMILY_IPV4, v3());
    kernel.control.slots().set_flags(SLOT, SLOT_WAKE_ALWAYS);
    let frame = Sample::v3().frame();
    let counts = kernel.counted(|kernel| {
        kernel.run_xdp(&frame, 20_000);
    });
    let (delivered, limited) = (count(&counts, Counter::Delivered), count(&counts, Counter::RateLimited));
    assert_eq!(delivered + limited, 20_000);
    // The burst, and what was earned while it ran: some 10 ms, and the machine may be slow.
    assert!((256..1000).contains(&delivered), "{delivered} delivered");
    let last = kernel.drain().last().unwrap().arrived_ns;
    assert!(kernel.control.slots().read(SLOT).unwrap().unwrap().arrived_ns > last);
}

fn strangers_are_limited_and_the_master_is_not() {
    let mut kernel = Kernel::with_rule(FAMILY_IPV4, v3());
    kernel.control.slots().set_minimum_priority(SLOT, 150);
    let master = Sample::v3().frame();
    kernel.hear(&master);
    let strangers = kernel.counted(|kernel| {
        for number in 0..8_u8 {
            let source = vec![10, 0, 0, number + 1];
            kernel.run_xdp(&Sample { source, priority: 1, ..Sample::v3() }.frame(), 2_000);
            kernel.drain();
        }
    });
    assert!(count(&strangers, Counter::RateLimited) > 10_000, "{strangers:?}");
    let counts = kernel.counted(|kernel| {
        kernel.run_xdp(&master, 100);
    });
    assert_eq!(count(&counts, Counter::Delivered), 100);
    assert_eq!(kernel.control.slots().read(SLOT).unwrap().unwrap().priority, 200);
}

fn foreign_flood_is_dropped_above_its_rate() {
    let mut kernel = Kernel::with_rule(FAMILY_IPV4, v3());
    let foreign = Sample { virtual_router_id: 99, ..Sample::v3() }.frame();
    let counts = kernel.counted(|kernel| {
        kernel.run_xdp(&foreign, 10_000);
    });
    let (passed, dropped) = (count(&counts, Counter::ForeignPassed), count(&counts, Counter::ForeignDropped));
    assert_eq!(passed + dropped, 10_000);
    assert!((100..200).contains(&passed), "{passed} passed");
    assert!(kernel.take().is_none());
}
