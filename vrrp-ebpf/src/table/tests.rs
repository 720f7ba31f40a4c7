use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::collections::HashMap;
use std::thread;
use std::vec::Vec;

use proptest::prelude::*;

use super::{Full, PROBES, Table, places};
use crate::abi::{FAMILY_IPV4, FAMILY_IPV6, RuleKey};

fn words(count: u32) -> Vec<AtomicU64> {
    (0..count).map(|_| AtomicU64::new(0)).collect()
}

fn key(ifindex: u32, family: u8, virtual_router_id: u8) -> RuleKey {
    RuleKey { ifindex, family, virtual_router_id, padding: 0 }
}

#[test]
fn a_router_is_told_by_interface_family_and_number() {
    let words = words(places(8));
    let table = Table::new(&words);
    let ours = key(3, FAMILY_IPV4, 10);
    table.insert(&ours, 7).unwrap();
    assert_eq!(table.find(&ours), Some(7));
    for other in [
        key(4, FAMILY_IPV4, 10),
        key(3, FAMILY_IPV6, 10),
        key(3, FAMILY_IPV4, 11),
        key(0, FAMILY_IPV4, 0),
        key(u32::MAX, FAMILY_IPV6, 255),
    ] {
        assert_eq!(table.find(&other), None, "{other:?}");
    }
    table.insert(&ours, 0).unwrap();
    assert_eq!(table.find(&ours), Some(0));
    table.remove(&ours);
    table.remove(&ours);
    assert_eq!(table.find(&ours), None);
    assert!(words.iter().all(|word| word.load(Ordering::Relaxed) == 0), "a mark is left that nobody needs");
}

/// Routers in rows, in columns, and one on each interface; indices as a host has after much coming and going, too.
#[test]
fn thousands_of_routers_fit_wherever_they_are() {
    for (interfaces, first, step) in [(8, 2, 1), (40, 2, 1), (40, 70_000, 512), (4000, 1, 1), (4000, 5, 4096)]
    {
        let words = words(places(4000));
        let table = Table::new(&words);
        let keys: Vec<RuleKey> = (0..4000_u32)
            .map(|number| {
                let place = number / interfaces;
                let family = if place < 256 { FAMILY_IPV4 } else { FAMILY_IPV6 };
                let id = place.to_le_bytes()[0];
                key(first + number % interfaces * step, family, id)
            })
            .collect();
        for (key, slot) in keys.iter().zip(0..) {
            assert_eq!(table.insert(key, slot), Ok(()), "{key:?} of {interfaces} interfaces");
        }
        for (key, slot) in keys.iter().zip(0..) {
            assert_eq!(table.find(key), Some(slot));
        }
    }
}

#[test]
fn what_does_not_fit_is_said() {
    let words = words(PROBES);
    let table = Table::new(&words);
    for index in 1..=PROBES {
        assert_eq!(table.insert(&key(index, FAMILY_IPV4, 1), index), Ok(()));
    }
    assert_eq!(table.insert(&key(100, FAMILY_IPV4, 1), 100), Err(Full));
    assert_eq!(table.insert(&key(1, FAMILY_IPV4, 1), 200), Ok(()));
    table.remove(&key(2, FAMILY_IPV4, 1));
    assert_eq!(table.insert(&key(100, FAMILY_IPV4, 1), 1 << 23), Err(Full));
    assert_eq!(table.insert(&key(100, FAMILY_IPV4, 1), (1 << 23) - 2), Ok(()));
    assert_eq!(table.find(&key(100, FAMILY_IPV4, 1)), Some((1 << 23) - 2));
}

/// A reload takes neighbours away and brings others while adverts arrive.
#[test]
fn a_router_that_stays_is_found_all_the_time() {
    let words = words(2 * PROBES);
    let done = AtomicBool::new(false);
    let staying: Vec<RuleKey> = (1..=10).map(|index| key(index, FAMILY_IPV4, 1)).collect();
    let passing: Vec<RuleKey> = (20..40).map(|index| key(index, FAMILY_IPV6, 2)).collect();
    let table = Table::new(&words);
    // In between, so that marks lie before and behind those that stay.
    for at in 0..20 {
        table.insert(&passing[at], 100).unwrap();
        if at % 2 == 0 {
            table.insert(&staying[at / 2], 1).unwrap();
        }
    }
    thread::scope(|scope| {
        scope.spawn(|| {
            for round in 0..20_000 {
                table.remove(&passing[round % passing.len()]);
                table.insert(&passing[(round * 7) % passing.len()], 100).unwrap();
            }
            done.store(true, Ordering::Relaxed);
        });
        while !done.load(Ordering::Relaxed) {
            for key in &staying {
                assert_eq!(table.find(key), Some(1));
            }
        }
    });
}

proptest! {
    /// A table so small that most words lie away from home.
    #[test]
    fn finds_what_is_there_and_nothing_else(
        steps in prop::collection::vec((any::<bool>(), 1..5_u32, any::<bool>(), 0..4_u8, 0..9_u32), 0..200),
    ) {
        let words = words(PROBES);
        let table = Table::new(&words);
        let mut model = HashMap::new();
        for (adds, ifindex, six, id, slot) in steps {
            let key = key(ifindex, if six { FAMILY_IPV6 } else { FAMILY_IPV4 }, id);
            if adds {
                prop_assert_eq!(table.insert(&key, slot), Ok(()));
                model.insert(key, slot);
            } else {
                table.remove(&key);
                model.remove(&key);
            }
        }
        for ifindex in 1..5 {
            for (family, id) in [FAMILY_IPV4, FAMILY_IPV6].into_iter().zip([0..4, 0..4]).flat_map(|(f, ids)| ids.map(move |id| (f, id))) {
                let key = key(ifindex, family, id);
                prop_assert_eq!(table.find(&key), model.get(&key).copied());
            }
        }
    }
}
