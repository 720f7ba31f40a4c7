//! Restart after restart, now of this node and now of that.

use vrrp_lab::{
    clock,
    harness::{self, Test},
    tests,
};

use super::{
    case::{Case, Kind, Measured, NEEDS, NEEDS_KEEPALIVED, each_once, mixed, ours},
    pair::{Pair, USUAL, between},
};

pub(crate) fn tests() -> Vec<Test> {
    let mut all = tests![NEEDS; restarts_in_a_row_never_make_two_owners];
    all.extend(tests![NEEDS_KEEPALIVED; restarts_beside_keepalived_never_make_two_owners]);
    all
}

fn restarts_in_a_row_never_make_two_owners() {
    each_once(&ours(), restart);
}

fn restarts_beside_keepalived_never_make_two_owners() {
    each_once(&mixed(), restart);
}

/// Whoever holds the address is restarted; the other one takes over and is the next. Ours are stopped and killed in
/// turns, keepalived is stopped: killed it leaves its address behind, by design.
fn restart(case: Case) -> Measured {
    let mut pair = Pair::elected(case, USUAL);
    let mut measured = Measured::new();
    let (mut holder, mut other) = ("a", "b");
    for round in 0..harness::count(5, 100) {
        let before = clock::now_ns();
        if pair.kind(holder) == Kind::Ours && round % 4 >= 2 {
            pair.kill(holder);
        } else {
            pair.stop(holder);
        }
        pair.wait_for(other);
        let timeline = pair.timeline();
        let (left, taken) =
            (timeline.lost_at(holder, before).unwrap(), timeline.acquired_at(other, before).unwrap());
        measured.push(("nobody held the address", between(left, taken)));
        if pair.kind(holder) == Kind::Ours {
            // Address off, then priority 0, then the other's claim: not one instant, whatever the stamps say.
            let span = timeline.overlaps().into_iter().find(|span| span.until_ns > before);
            assert!(span.is_none(), "two owners in round {round}: {span:?}\n{timeline}");
        } else {
            timeline.assert_never_two(pair.slack(&["a", "b"], before, clock::now_ns()));
        }
        pair.start(holder);
        pair.wait_for_adverts(other, 2);
        (holder, other) = (other, holder);
    }
    let timeline = pair.timeline();
    let rounds = harness::count(5, 100);
    let moves = timeline.acquisitions("a") + timeline.acquisitions("b");
    assert_eq!(moves, rounds + 1, "the address moved only when its holder went:\n{timeline}");
    measured
}
