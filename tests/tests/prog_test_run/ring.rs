//! What comes out of the ring and stands in the slots.

use rustix::time::{ClockId, clock_gettime};
use vrrp_ebpf::abi::{
    Counter, FAMILY_IPV4, FAMILY_IPV6, NOBODY_REFRESHES, RULE_CHANGES_ONLY, RULE_CONSUME, Rule,
    SLOT_DELIVER_ALWAYS, SLOT_WAKE_ALWAYS,
};
use vrrp_ebpf::receive::Fate;
use vrrp_ebpf::samples::Sample;

use super::kernel::{IFINDEX, Kernel, SLOT, Taken, key, kinds, v3};

pub(crate) const CASES: &[crate::Case] = &[
    ("record_holds_the_frame_without_padding", record_holds_the_frame_without_padding),
    ("record_holds_every_address", record_holds_every_address),
    ("arrival_is_stamped_with_the_monotonic_clock", arrival_is_stamped_with_the_monotonic_clock),
    ("only_news_wakes", only_news_wakes),
    ("priority_zero_wakes_and_does_not_refresh", priority_zero_wakes_and_does_not_refresh),
    (
        "weaker_than_the_minimum_neither_refreshes_nor_wakes",
        weaker_than_the_minimum_neither_refreshes_nor_wakes,
    ),
    ("changes_only_keeps_repetitions_out", changes_only_keeps_repetitions_out),
    ("slot_flags_hold_for_the_next_packet", slot_flags_hold_for_the_next_packet),
    ("a_trace_gets_a_sample_of_what_is_rejected", a_trace_gets_a_sample_of_what_is_rejected),
    (
        "a_rejected_frame_is_shown_whole_whatever_its_length",
        a_rejected_frame_is_shown_whole_whatever_its_length,
    ),
    ("consumed_adverts_end_at_the_ring", consumed_adverts_end_at_the_ring),
    ("rules_change_without_reattaching", rules_change_without_reattaching),
    ("cleared_slot_forgets", cleared_slot_forgets),
];

fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    u64::try_from(now.tv_sec).unwrap() * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap()
}

fn flags(records: &[Taken]) -> Vec<(bool, bool)> {
    records.iter().map(|record| (record.changed, record.woke)).collect()
}

const NEWS: (bool, bool) = (true, true);
const QUIET: (bool, bool) = (false, false);

fn record_holds_the_frame_without_padding() {
    for (kind, sample, family, rule) in kinds() {
        let mut kernel = Kernel::with_rule(family, rule);
        for run in [Kernel::run, Kernel::run_tcx] {
            let padded = Sample { padding: 23, ..sample.clone() }.frame();
            assert_eq!(run(&mut kernel, &padded), Fate::Pass, "{kind}");
            let record = kernel.take().unwrap();
            assert_eq!(record.frame, sample.frame(), "{kind}");
            assert_eq!((record.slot, record.ifindex), (SLOT, IFINDEX), "{kind}");
            assert!(kernel.take().is_none());
        }
    }
}

fn record_holds_every_address() {
    for (kind, sample, family, rule) in kinds() {
        let mut kernel = Kernel::with_rule(family, rule);
        for count in (1..=31).chain([100, 199, 255]) {
            let frame = sample.clone().with_addresses(count).frame();
            assert_eq!(kernel.run(&frame), Fate::Pass, "{kind}, {count} addresses");
            assert_eq!(kernel.take().unwrap().frame, frame, "{kind}, {count} addresses");
            if Kernel::tcx_takes(&frame) {
                assert_eq!(kernel.run_tcx(&frame), Fate::Pass, "{kind}, {count} addresses");
                assert_eq!(kernel.take().unwrap().frame, frame, "{kind}, {count} addresses");
            }
        }
    }
}

fn arrival_is_stamped_with_the_monotonic_clock() {
    let mut kernel = Kernel::with_rule(FAMILY_IPV4, v3());
    let before = now_ns();
    assert_eq!(kernel.run(&Sample::v3().frame()), Fate::Pass);
    let after = now_ns();
    let record = kernel.take().unwrap();
    assert!((before..=after).contains(&record.arrived_ns));
    let live = kernel.receiver.slots().read(SLOT).unwrap().unwrap();
    assert_eq!(live.arrived_ns, record.arrived_ns);
    assert_eq!(live.sender.octets()[12..], Sample::v3().source);
    assert_eq!((live.priority, live.advert_interval, live.family), (200, 100, FAMILY_IPV4));
}

fn only_news_wakes() {
    let mut kernel = Kernel::with_rule(FAMILY_IPV4, v3());
    let frame = Sample::v3().frame();
    assert!(!kernel.readable());
    kernel.hear(&frame);
    assert!(kernel.readable());
    assert_eq!(flags(&kernel.drain()), [NEWS]);
    assert!(!kernel.readable());

    let louder = Sample { priority: 201, ..Sample::v3() }.frame();
    let slower = Sample { priority: 201, interval: 300, ..Sample::v3() }.frame();
    let stranger =
        Sample { source: vec![192, 0, 2, 8], priority: 201, interval: 300, ..Sample::v3() }.frame();
    for frame in [&frame, &louder, &louder, &slower, &stranger, &stranger] {
        kernel.hear(frame);
    }
    assert_eq!(flags(&kernel.drain()), [QUIET, NEWS, QUIET, NEWS, NEWS, QUIET]);
}

fn priority_zero_wakes_and_does_not_refresh() {
    let mut kernel = Kernel::with_rule(FAMILY_IPV4, v3());
    let farewell = Sample { priority: 0, ..Sample::v3() }.frame();
    kernel.hear(&Sample::v3().frame());
    let recorded = kernel.control.slots().read(SLOT).unwrap().unwrap();
    kernel.hear(&farewell);
    kernel.hear(&farewell);
    assert_eq!(flags(&kernel.drain()), [NEWS, NEWS, (false, true)]);
    assert_eq!(kernel.control.slots().read(SLOT), Ok(Some(recorded)));
}

fn weaker_than_the_minimum_neither_refreshes_nor_wakes() {
    let mut kernel = Kernel::with_rule(FAMILY_IPV4, v3());
    kernel.control.slots().set_minimum_priority(SLOT, 201);
    kernel.hear(&Sample::v3().frame());
    assert_eq!(flags(&kernel.drain()), [QUIET]);
    assert_eq!(kernel.control.slots().read(SLOT), Ok(None));
    kernel.control.slots().set_minimum_priority(SLOT, 200);
    kernel.hear(&Sample::v3().frame());
    assert!(kernel.control.slots().read(SLOT).unwrap().is_some());
    assert_eq!(flags(&kernel.drain()), [NEWS]);
    kernel.control.slots().clear(SLOT);
    kernel.control.slots().set_minimum_priority(SLOT, NOBODY_REFRESHES);
    kernel.hear(&Sample { priority: 255, ..Sample::v3() }.frame());
    assert_eq!(kernel.control.slots().read(SLOT), Ok(None));
}

fn changes_only_keeps_repetitions_out() {
    let mut kernel = Kernel::with_rule(FAMILY_IPV4, Rule { flags: RULE_CHANGES_ONLY, ..v3() });
    let frame = Sample::v3().frame();
    let counts = kernel.counted(|kernel| (0..5).for_each(|_| assert_eq!(kernel.run(&frame), Fate::Pass)));
    let of = |counter| counts.iter().find(|(found, _)| *found == counter).map(|(_, count)| *count);
    assert_eq!(of(Counter::Accepted), Some(5));
    assert_eq!(of(Counter::Delivered), Some(1));
    let first = kernel.take().unwrap();
    assert!(kernel.take().is_none());
    assert!(kernel.control.slots().read(SLOT).unwrap().unwrap().arrived_ns > first.arrived_ns);
}

fn slot_flags_hold_for_the_next_packet() {
    let mut kernel = Kernel::with_rule(FAMILY_IPV4, Rule { flags: RULE_CHANGES_ONLY, ..v3() });
    let frame = Sample::v3().frame();
    for flags in [0, 0, SLOT_DELIVER_ALWAYS, SLOT_WAKE_ALWAYS, 0] {
        kernel.control.slots().set_flags(SLOT, flags);
        kernel.hear(&frame);
    }
    assert_eq!(flags(&kernel.drain()), [NEWS, QUIET, (false, true)]);
}

fn a_trace_gets_a_sample_of_what_is_rejected() {
    for run in [Kernel::run, Kernel::run_tcx] {
        let mut kernel = Kernel::with_rule(FAMILY_IPV4, v3());
        let junk = Sample { ttl: 7, ..Sample::v3() }.frame();
        assert_eq!(run(&mut kernel, &junk), Fate::Drop);
        assert!(kernel.take().is_none(), "no trace is running");
        kernel.control.slots().set_flags(SLOT, SLOT_DELIVER_ALWAYS);
        for _ in 0..200 {
            assert_eq!(run(&mut kernel, &junk), Fate::Drop);
        }
        let records = kernel.drain();
        assert!((20..40).contains(&records.len()), "{}", records.len());
        for record in records {
            assert_eq!(record.rejected, Some(Counter::IpTtl as u8));
            assert_eq!((record.slot, record.ifindex), (SLOT, IFINDEX));
            assert_eq!(record.frame, junk[..record.frame.len()]);
            assert!(record.frame.len() >= 42, "up to the VRRP header at least");
        }
        assert!(kernel.receiver.slots().read(SLOT).unwrap().is_none());
    }
}

/// Around the sizes at which the kernel half takes another way.
fn a_rejected_frame_is_shown_whole_whatever_its_length() {
    for run in [Kernel::run, Kernel::run_tcx] {
        // Of either kind as many as there are samples at once.
        for lengths in [4..=20, 65..=80] {
            let mut kernel = Kernel::with_rule(FAMILY_IPV4, v3());
            kernel.control.slots().set_flags(SLOT, SLOT_DELIVER_ALWAYS);
            for trailing in lengths {
                let frame = Sample { trailing, ..Sample::v3() }.frame();
                assert_eq!(run(&mut kernel, &frame), Fate::Drop);
                let record = kernel.take().unwrap();
                assert_eq!(record.rejected, Some(Counter::PacketLength as u8));
                assert_eq!(record.frame, frame[..frame.len().min(128)], "{trailing} bytes too many");
            }
        }
    }
}

fn consumed_adverts_end_at_the_ring() {
    let mut kernel = Kernel::with_rule(FAMILY_IPV4, Rule { flags: RULE_CONSUME, ..v3() });
    for run in [Kernel::run, Kernel::run_tcx] {
        assert_eq!(run(&mut kernel, &Sample::v3().frame()), Fate::Drop);
        assert_eq!(kernel.take().unwrap().frame, Sample::v3().frame());
    }
    // Of foreign routers nothing is consumed.
    assert_eq!(kernel.run(&Sample { virtual_router_id: 11, ..Sample::v3() }.frame()), Fate::Pass);
}

fn rules_change_without_reattaching() {
    let mut kernel = Kernel::new();
    let (v2, v6) = (Sample::v2().frame(), Sample::v6().frame());
    let foreign = kernel.counted(|kernel| assert_eq!(kernel.run(&v2), Fate::Pass));
    assert_eq!(foreign, [(Counter::ForeignPassed, 1)]);
    kernel.insert(FAMILY_IPV4, v3());
    assert_eq!(kernel.run(&v2), Fate::Drop);
    kernel.insert(FAMILY_IPV4, super::kernel::v2());
    assert_eq!(kernel.run(&v2), Fate::Pass);
    kernel.insert(FAMILY_IPV6, Rule { slot: SLOT + 1, ..v3() });
    assert_eq!(kernel.run(&v6), Fate::Pass);
    assert_eq!(kernel.drain().iter().map(|record| record.slot).collect::<Vec<_>>(), [SLOT, SLOT + 1]);
    for _ in 0..2 {
        kernel.control.remove_rule(key(FAMILY_IPV4));
    }
    let gone = kernel.counted(|kernel| assert_eq!(kernel.run(&v2), Fate::Pass));
    assert_eq!(gone, [(Counter::ForeignPassed, 1)]);
}

fn cleared_slot_forgets() {
    let mut kernel = Kernel::with_rule(FAMILY_IPV4, v3());
    kernel.hear(&Sample::v3().frame());
    kernel.control.slots().clear(SLOT);
    assert_eq!(kernel.control.slots().read(SLOT), Ok(None));
    kernel.hear(&Sample::v3().frame());
    assert_eq!(flags(&kernel.drain()), [NEWS, NEWS]);
}
