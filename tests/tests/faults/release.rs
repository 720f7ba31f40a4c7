//! `skew: none`: nobody waits after a planned stop, and nobody but the peer can make believe there was one.

use std::time::Duration;

use vrrp_lab::{
    Instance, Requirement, clock,
    flood::{Injector, Junk},
    frame::{Advert, Mac},
    harness::{self, Test},
    tests,
};

use super::pair::{Pair, STALL, Speed, between, median};

const STRANGER: Mac = [2, 0, 10, 99, 0, 66];
const MASTER: Mac = [2, 0, 10, 99, 0, 1];

pub(crate) fn tests() -> Vec<Test> {
    use Requirement::{Daemon, Lab};
    let all = tests![[Lab, Daemon];
        a_priority_0_of_a_stranger_changes_nothing,
        a_priority_0_followed_by_a_living_advert_changes_nothing,
        a_planned_stop_hands_over_at_once_with_skew_none,
        a_planned_stop_waits_for_the_skew_without_it,
    ];
    harness::despite_stalls(STALL, all)
}

/// Each of the two knows the other as its only peer; an address of one's own in the list would be refused.
fn start(name: &str, speed: Speed) -> Pair {
    let pair = Pair::start_with(name, speed, |instance: Instance| {
        let peer = if instance.priority == 150 { "10.99.0.2" } else { "10.99.0.1" };
        instance.with(&format!("peers: [{peer}]")).with("skew: none")
    });
    assert!(!pair.a.log().contains("WARN") || !pair.a.log().contains("peers"), "{}", pair.a.log());
    pair
}

fn a_priority_0_of_a_stranger_changes_nothing() {
    for speed in [Speed::Fast, Speed::Slow] {
        let pair = start("spoof", speed);
        let injector = Injector::new(pair.lab.host("stranger")).unwrap();
        let since = clock::now_ns();
        for _ in 0..harness::count(20, 200) {
            injector.send(&Junk::Release.forge(&speed.model(150), STRANGER)).unwrap();
            clock::sleep_ms(7);
        }
        std::thread::sleep(speed.skew(100) + Duration::from_millis(100));
        pair.assert_unchanged_since(since);
    }
}

/// Followed at once means: in the same drain, which is sure if the receiver stands still while both come. Between two
/// drains nothing protects from whoever can send in the peer's name: he could as well go on claiming.
fn a_priority_0_followed_by_a_living_advert_changes_nothing() {
    let speed = Speed::Fast;
    let mut pair = start("retract", speed);
    let injector = Injector::new(pair.lab.host("stranger")).unwrap();
    let living = speed.model(150);
    let release = Advert { priority: 0, ..living.clone() };
    let batch = [release.emit(MASTER), living.emit(MASTER)];
    let since = clock::now_ns();
    for _ in 0..harness::count(20, 200) {
        pair.b.freeze();
        pair.wait_until("b stands still", || pair.b.state() == Some('T'));
        injector.send(&batch).unwrap();
        pair.b.thaw();
        clock::sleep_ms(17);
    }
    std::thread::sleep(speed.down_interval(100));
    pair.assert_unchanged_since(since);
    // And the same release without the retraction is believed: the peer's word counts.
    let before = clock::now_ns();
    injector.send(&batch[..1]).unwrap();
    pair.wait_until("b claims", || pair.first_claim_after("b", before).is_some());
}

struct Moves {
    /// How long the heir took to claim after the old master's priority 0 ...
    claims: Vec<Duration>,
    /// ... and how long nobody held the address.
    outages: Vec<Duration>,
    /// What the machine itself took.
    stalled: Duration,
}

fn stop_in_turns(pair: &mut Pair, rounds: usize) -> Moves {
    let (mut claims, mut outages, mut stalled) = (Vec::new(), Vec::new(), Duration::ZERO);
    for round in 0..rounds {
        let (leaver, heir) = if round % 2 == 0 { ("a", "b") } else { ("b", "a") };
        let stopped = clock::now_ns();
        pair.daemon(leaver).stop().unwrap();
        let timeline = pair.wait_for(heir);
        timeline.assert_never_two(Duration::ZERO);
        let release = pair.wait_for_release(leaver, stopped);
        let claim = pair.claim_after(heir, release);
        claims.push(between(release, claim));
        stalled = stalled.max(pair.stalls.within(release, claim));
        let (lost, got) =
            (timeline.lost_at(leaver, stopped).unwrap(), timeline.acquired_at(heir, stopped).unwrap());
        outages.push(between(lost, got));
        pair.bring_back(leaver);
    }
    Moves { claims, outages, stalled }
}

fn a_planned_stop_hands_over_at_once_with_skew_none() {
    for (speed, rounds) in [(Speed::Fast, harness::count(6, 50)), (Speed::Slow, harness::count(1, 10))] {
        let mut pair = start("stop", speed);
        let moves = stop_in_turns(&mut pair, rounds);
        println!(
            "{speed:?}, skew none: claim {:?} after priority 0, nobody holds it for {:?} (medians of {rounds})",
            median(moves.claims.clone()),
            median(moves.outages)
        );
        for claim in moves.claims {
            assert!(claim < Duration::from_millis(30) + moves.stalled, "the heir waited {claim:?}");
        }
    }
}

/// What the test above is worth: by the RFC's skew time the same pair waits.
fn a_planned_stop_waits_for_the_skew_without_it() {
    let mut pair = Pair::start("skew", Speed::Fast);
    let moves = stop_in_turns(&mut pair, 1);
    let (claim, skew) = (moves.claims[0], pair.speed.skew(100));
    // Stamped in one switch, microseconds after they were sent.
    assert!(claim + Duration::from_millis(1) > skew, "{claim:?} for {skew:?}");
    assert!(claim < skew + Duration::from_millis(30) + moves.stalled, "{claim:?} for {skew:?}");
}
