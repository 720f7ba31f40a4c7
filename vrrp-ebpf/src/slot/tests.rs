use std::sync::atomic::{AtomicBool, Ordering};
use std::vec::Vec;
use std::{assert_eq, thread};

use super::{Busy, Liveness, Rejected, SlotCell};
use crate::abi::{Counter, NOBODY_REFRESHES, Rule};
use crate::address::Address;
use crate::atomic::exchange;

fn news(stamp: u64) -> Liveness {
    let byte = stamp.to_ne_bytes()[0];
    Liveness {
        arrived_ns: stamp,
        sender: Address::from_octets([byte; 16]),
        priority: byte,
        advert_interval: u16::from(byte),
        family: byte,
    }
}

#[test]
fn empty_until_refreshed_and_empty_again_when_cleared() {
    let slot = SlotCell::new();
    assert_eq!(slot.read(), Ok(None));
    assert_eq!(slot.last_reject(), None);
    slot.refresh(&news(5));
    slot.set_announced(9);
    slot.reject(Counter::Checksum, 0xc000_02fb);
    assert_eq!(slot.read(), Ok(Some(news(5))));
    assert!(slot.is_recorded(news(5).sender));
    let rejected = Rejected { reason: Counter::Checksum as u8, sender: [192, 0, 2, 251] };
    assert_eq!(slot.last_reject(), Some(rejected));
    slot.clear();
    assert_eq!((slot.read(), slot.announced(), slot.last_reject()), (Ok(None), 0, None));
}

#[test]
fn userspace_line_keeps_what_it_is_told() {
    let slot = SlotCell::new();
    slot.set_minimum_priority(1000);
    slot.set_flags(3);
    slot.refresh(&news(1));
    slot.clear();
    assert_eq!((slot.minimum_priority(), slot.flags()), (NOBODY_REFRESHES, 3));
}

#[test]
fn a_writer_inside_makes_readers_busy_and_other_writers_leave() {
    let slot = SlotCell::new();
    slot.refresh(&news(1));
    // SAFETY: a field of a live slot.
    assert!(unsafe { exchange(&raw mut (*slot.0.get()).sequence, 2, 3) });
    assert_eq!(slot.read(), Err(Busy));
    slot.refresh(&news(2));
    // SAFETY: a field of a live slot.
    unsafe { crate::atomic::publish(&raw mut (*slot.0.get()).sequence, 4) };
    assert_eq!(slot.read(), Ok(Some(news(1))));
}

#[test]
fn no_reader_sees_a_torn_slot() {
    // How often each writer writes: so often at least, and until the scheduler has given the reader its turn.
    const LEAST: u64 = 200_000;
    const MOST: u64 = 1000 * LEAST;
    let slot = SlotCell::new();
    let (enough, over) = (AtomicBool::new(false), AtomicBool::new(false));
    let (reads, torn) = thread::scope(|scope| {
        let writers: Vec<_> = (0..2)
            .map(|offset| {
                let (slot, enough) = (&slot, &enough);
                let is_needed =
                    |stamp: &u64| *stamp < LEAST || *stamp < MOST && !enough.load(Ordering::Relaxed);
                let stamps = (1..).take_while(is_needed);
                scope.spawn(move || stamps.for_each(|stamp| slot.refresh(&news(stamp * 2 + offset))))
            })
            .collect();
        let reader = scope.spawn(|| {
            let (mut reads, mut torn) = (0, None);
            while !over.load(Ordering::Relaxed) {
                if let Ok(Some(read)) = slot.read() {
                    if read != news(read.arrived_ns) {
                        torn = Some(read);
                    }
                    reads += 1;
                }
                if reads >= 1000 || torn.is_some() {
                    enough.store(true, Ordering::Relaxed);
                }
            }
            (reads, torn)
        });
        for writer in writers {
            writer.join().unwrap();
        }
        over.store(true, Ordering::Relaxed);
        reader.join().unwrap()
    });
    assert_eq!(torn, None);
    assert!(reads >= 1000, "{reads} reads came to an end");
}

#[test]
fn a_rule_is_read_as_it_was_written() {
    let slot = SlotCell::new();
    let rule = Rule { slot: 9, version: 2, auth_type: 1, flags: 3, v2_interval: 7, password: *b"12345678" };
    slot.set_rule(&rule);
    assert_eq!(slot.rule(9), rule);
    slot.clear();
    slot.refresh(&news(5));
    assert_eq!(slot.rule(9), rule);
}
