//! The end of a MASTER: planned, or by SIGKILL.

use std::time::Duration;

use vrrp_lab::{clock::nanos, harness::Test, tests};

use super::{
    case::{
        Case, Kind, Measured, NEEDS, NEEDS_KEEPALIVED, each, each_alone, keepalived_then_ours, mixed, ours,
        ours_then_keepalived, stalls,
    },
    pair::{Pair, Plan, SLACK, STAMP_ERROR, USUAL, between},
};

/// What the guard promises after `kill -9` of the daemon: addresses off and priority 0 sent. Judged by the median: a thread
/// of the dead that waits in the kernel for the RTNL lock, which every lab of this machine shares, puts off the news of
/// its death.
const GUARD: Duration = Duration::from_millis(50);
const OFF: &str = "from kill to the address off, without stalls";
const SAID: &str = "from kill to priority 0, without stalls";

pub(crate) fn tests() -> Vec<Test> {
    let mut all = tests![NEEDS;
        a_planned_stop_of_a_daemon_hands_over_within_the_skew_time,
        a_planned_stop_without_skew_hands_over_at_once,
        the_guard_of_a_killed_daemon_hands_over,
    ];
    all.extend(tests![NEEDS_KEEPALIVED;
        a_planned_stop_hands_over_between_a_daemon_and_keepalived,
        the_guard_of_a_killed_daemon_hands_over_to_keepalived,
        a_killed_keepalived_is_replaced_within_the_down_interval,
    ]);
    all
}

fn a_planned_stop_of_a_daemon_hands_over_within_the_skew_time() {
    each_alone(&ours(), stop);
}

fn a_planned_stop_hands_over_between_a_daemon_and_keepalived() {
    each_alone(&mixed(), stop);
}

fn a_planned_stop_without_skew_hands_over_at_once() {
    each_alone(&ours(), |case| {
        let mut pair = Pair::elected(case, Plan { skew_none: true, ..USUAL });
        let before = pair.stop("a");
        judge_release(pair, before, Duration::ZERO)
    });
}

fn stop(case: Case) -> Measured {
    let mut pair = Pair::elected(case, USUAL);
    let before = pair.stop("a");
    let skew = case.setting.skew(pair.priority("b"));
    judge_release(pair, before, skew)
}

fn the_guard_of_a_killed_daemon_hands_over() {
    judge_guard(&each(&ours(), kill_ours));
}

fn the_guard_of_a_killed_daemon_hands_over_to_keepalived() {
    judge_guard(&each(&ours_then_keepalived(), kill_ours));
}

fn judge_guard(measured: &Measured) {
    for label in [OFF, SAID] {
        let mut took: Vec<Duration> =
            measured.iter().filter(|(of, _)| *of == label).map(|(_, took)| *took).collect();
        took.sort();
        let median = took[(took.len() - 1) / 2];
        assert!(median <= GUARD + SLACK, "{label}: {took:?}");
    }
}

fn kill_ours(case: Case) -> Measured {
    let mut pair = Pair::elected(case, USUAL);
    let killed = pair.kill("a");
    let released = pair.release_after("a", killed);
    pair.wait_for("b");
    let left = pair.timeline().lost_at("a", killed).unwrap();
    // Without the news of the death the guard acts on the silence.
    let freeze_limit = pair.down_interval("a") - pair.interval();
    let mut took = Measured::new();
    for (label, at) in [(OFF, left), (SAID, released)] {
        let (after, allowed) = (between(killed, at), freeze_limit + pair.slack(&["a"], killed, at));
        assert!(after <= allowed, "{label}: {after:?}, allowed {allowed:?}");
        took.push((label, after.saturating_sub(stalls().within(killed, at))));
    }
    let skew = case.setting.skew(pair.priority("b"));
    took.extend(judge_release(pair, killed, skew));
    took
}

/// What must hold once `a` was made to go at `before`, with `b` waiting for `skew` after priority 0.
fn judge_release(pair: Pair, before: u64, skew: Duration) -> Measured {
    let released = pair.release_after("a", before);
    pair.wait_for("b");
    let claimed = pair.claim_after("b", before);
    let timeline = pair.timeline();
    let (left, taken) = (timeline.lost_at("a", before).unwrap(), timeline.acquired_at("b", before).unwrap());
    if pair.case.a == Kind::Ours {
        pair.assert_never_two();
        // The event's own stamp is late by its reader's scheduling.
        let error = STAMP_ERROR + pair.slack(&[], before, left.max(released));
        assert!(
            left <= released + nanos(error),
            "priority 0 {:?} before the address was off",
            between(released, left)
        );
        assert_eq!(pair.capture.adverts_from("a").last().map(|(_, advert)| advert.priority), Some(0));
    } else {
        timeline.assert_never_two(pair.slack(&["a", "b"], before, taken));
    }
    let waited = between(released, claimed);
    let allowed = skew + pair.slack(&["b"], released, claimed);
    assert!(waited <= allowed, "b claimed {waited:?} after priority 0, allowed {allowed:?}");
    if pair.case.b == Kind::Ours {
        // At 10 ms the down interval (36 ms) may be over before a killed daemon's memory is torn down and the guard hears
        // of it: that is a right of b's own.
        let listened = between(pair.last_advert_before("a", claimed), claimed) + STAMP_ERROR;
        assert!(
            waited + STAMP_ERROR >= skew || listened >= pair.down_interval("b"),
            "b claimed {waited:?} after priority 0, before {skew:?}"
        );
    }
    vec![("from priority 0 to the claim", waited), ("nobody held the address", between(left, taken))]
}

fn a_killed_keepalived_is_replaced_within_the_down_interval() {
    each(&keepalived_then_ours(), |case| {
        let mut pair = Pair::elected(case, USUAL);
        let killed = pair.kill("a");
        pair.wait_for("b");
        let claimed = pair.claim_after("b", 0);
        let waited = judge_takeover(&pair, claimed);
        assert!(pair.timeline().acquired_at("b", killed).is_some());
        vec![("from the last advert to the claim", waited)]
    });
}

/// b's claim, counted from a's last advert that the wire has seen, neither early nor late.
pub(crate) fn judge_takeover(pair: &Pair, claimed: u64) -> Duration {
    let last = pair.last_advert_before("a", claimed);
    let (waited, due) = (between(last, claimed), pair.down_interval("b"));
    let allowed = due + pair.slack(&["b"], last, claimed);
    assert!(waited <= allowed, "b claimed {waited:?} after a's last advert, allowed {allowed:?}");
    if pair.case.b == Kind::Ours {
        assert!(waited + STAMP_ERROR >= due, "b claimed {waited:?} after a's last advert, due {due:?}");
    }
    waited
}
