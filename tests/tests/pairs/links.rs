//! Links cut, healed, pulled and plugged in again.

use std::time::Duration;

use vrrp_lab::{clock, harness::Test, tests};

use super::{
    case::{Case, Kind, Measured, NEEDS, NEEDS_KEEPALIVED, each, mixed, ours, ours_then_keepalived},
    handover::judge_takeover,
    pair::{LIMIT, Pair, USUAL, VIP, between, sleep_until},
};

pub(crate) fn tests() -> Vec<Test> {
    let mut all = tests![NEEDS;
        a_cut_link_is_noticed_within_the_down_interval_and_two_masters_become_one,
        a_master_without_carrier_lets_go_and_returns_as_backup,
        a_lone_daemon_listens_for_a_full_down_interval_after_its_carrier_is_back,
    ];
    all.extend(tests![NEEDS_KEEPALIVED;
        a_cut_link_to_keepalived_makes_two_masters_that_become_one,
        a_master_without_carrier_lets_go_to_keepalived,
    ]);
    all
}

fn a_cut_link_is_noticed_within_the_down_interval_and_two_masters_become_one() {
    each(&ours(), cut_and_heal);
}

fn a_cut_link_to_keepalived_makes_two_masters_that_become_one() {
    each(&mixed(), cut_and_heal);
}

fn cut_and_heal(case: Case) -> Measured {
    let pair = Pair::elected(case, USUAL);
    // b's side is cut: what a sent until then has passed the switch.
    pair.lab.host("b").cut().unwrap();
    let cut = clock::now_ns();
    let claimed = pair.claim_after("b", 0);
    pair.watch.wait_for_holders(VIP, &["a", "b"], LIMIT).unwrap();
    // The last advert that b can have heard left before the cut was done.
    let last = pair.last_advert_before("a", cut);
    let (waited, due) = (between(last, claimed), pair.down_interval("b"));
    let allowed = due + pair.slack(&["b"], last, claimed);
    assert!(waited <= allowed, "b claimed {waited:?} after the last advert, allowed {allowed:?}");
    pair.wait_for_adverts("b", 1);
    let healed = clock::now_ns();
    pair.lab.host("b").heal().unwrap();
    let open = clock::now_ns();
    pair.wait_for("a");
    pair.wait_for_adverts("a", 1);
    let timeline = pair.timeline();
    // Preemption off binds a BACKUP only: of two masters the one with the lower priority yields, to the other's next
    // advert, which is an interval away at most.
    let left = timeline.lost_at("b", healed).unwrap();
    let took = between(open, left);
    let allowed = pair.interval() + pair.slack(&["a", "b"], open, left);
    assert!(took <= allowed, "two masters for {took:?} after the heal, allowed {allowed:?}");
    assert_eq!(timeline.lost_at("a", 0), None, "the better one let go:\n{timeline}");
    vec![("from the last advert to the claim", waited), ("two masters after the heal", took)]
}

fn a_master_without_carrier_lets_go_and_returns_as_backup() {
    each(&ours(), lose_carrier);
}

fn a_master_without_carrier_lets_go_to_keepalived() {
    each(&ours_then_keepalived(), lose_carrier);
}

fn lose_carrier(case: Case) -> Measured {
    let pair = Pair::elected(case, USUAL);
    let pulled = clock::now_ns();
    pair.lab.host("a").lose_carrier().unwrap();
    let gone = clock::now_ns();
    pair.wait_for("b");
    let claimed = pair.claim_after("b", 0);
    let waited = judge_takeover(&pair, claimed);
    pair.assert_never_two();
    let left = pair.timeline().lost_at("a", pulled).unwrap();
    let took = between(gone, left);
    // The kernel reports a carrier lost at once; one gained it may delay by a second.
    let allowed = Duration::from_millis(100) + pair.slack(&["a"], pulled, left);
    assert!(took <= allowed, "the address was off {took:?} after the carrier, allowed {allowed:?}");
    let plugged = clock::now_ns();
    pair.lab.host("a").restore_carrier().unwrap();
    pair.wait_until("a listens again", || pair.log("a").contains("FAULT -> BACKUP"));
    sleep_until(clock::now_ns(), pair.down_interval("a") + pair.interval());
    assert_eq!(pair.adverts_after("a", plugged), [], "a spoke though b is the MASTER now");
    assert_eq!(pair.timeline().holders(), ["b"], "{}", pair.timeline());
    vec![("from carrier lost to the address off", took), ("from the last advert to the claim", waited)]
}

fn a_lone_daemon_listens_for_a_full_down_interval_after_its_carrier_is_back() {
    each(&ours(), |case| {
        assert_eq!(case.a, Kind::Ours);
        let mut pair = Pair::new(case, USUAL);
        pair.start("a");
        pair.wait_for("a");
        pair.wait_for_adverts("a", 2);
        pair.lab.host("a").lose_carrier().unwrap();
        pair.watch.wait_for_holders(VIP, &[], LIMIT).unwrap();
        let pulled = clock::now_ns();
        std::thread::sleep(pair.interval() * 4);
        assert_eq!(pair.adverts_after("a", pulled), [], "adverts without a carrier");
        let plugged = clock::now_ns();
        pair.lab.host("a").restore_carrier().unwrap();
        let claimed = pair.claim_after("a", plugged);
        let (listened, due) = (between(plugged, claimed), pair.down_interval("a"));
        assert!(listened >= due, "a claimed {listened:?} after its carrier was back, before {due:?}");
        // linkwatch may sit on the news for a second (net/core/link_watch.c).
        let allowed = due + Duration::from_millis(1100) + pair.slack(&["a"], plugged, claimed);
        assert!(listened <= allowed, "a claimed only {listened:?} after its carrier was back");
        vec![("from carrier back to the claim", listened)]
    });
}
