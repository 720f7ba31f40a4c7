//! Somebody else holds netlink's lock all the time: no advert waits for it.

use std::time::Duration;

use vrrp_lab::{
    clock,
    harness::{self, Test},
    load::Load,
    tests,
};

use super::{
    case::{Case, Kind, Measured, NEEDS, V2, V3_10, V3_100, each_once},
    pair::{Pair, USUAL, between},
};

pub(crate) fn tests() -> Vec<Test> {
    tests![NEEDS; holders_of_netlinks_lock_delay_no_advert_by_more_than_an_interval]
}

fn holders_of_netlinks_lock_delay_no_advert_by_more_than_an_interval() {
    // One after the other: two labs would load each other.
    for setting in [V2, V3_100, V3_10] {
        each_once(&[Case { a: Kind::Ours, b: Kind::Ours, setting }], |case: Case| -> Measured {
            let pair = Pair::elected(case, USUAL);
            let quiet = longest_silence(&pair);
            let mut load = Load::link_changers(&pair.lab, 2).unwrap();
            // They are at work, not starting.
            std::thread::sleep(Duration::from_millis(300));
            let from = clock::now_ns();
            let loaded = longest_silence(&pair);
            let until = clock::now_ns();
            for changer in load.processes() {
                assert!(changer.is_running(), "{}", changer.log());
            }
            drop(load);
            // Due one interval after the one before, and never later than by another.
            let allowed = (pair.interval() * 2).max(quiet) + pair.slack(&["a"], from, until);
            assert!(loaded <= allowed, "adverts up to {loaded:?} apart under load ({quiet:?} without)");
            assert_eq!(pair.adverts_after("b", 0), [], "b spoke though its master was alive");
            assert_eq!(pair.timeline().acquisitions("a"), 1, "{}", pair.timeline());
            vec![("longest between adverts, quiet", quiet), ("longest between adverts, loaded", loaded)]
        });
    }
}

/// The longest time between two adverts of the MASTER from now on, for a while.
fn longest_silence(pair: &Pair) -> Duration {
    let seconds = u64::try_from(harness::count(3, 10)).unwrap();
    let from = clock::now_ns();
    std::thread::sleep(Duration::from_secs(seconds));
    pair.wait_for_adverts("a", 2);
    let adverts = pair.adverts_after("a", from);
    adverts.windows(2).map(|pair| between(pair[0].0, pair[1].0)).max().unwrap()
}
