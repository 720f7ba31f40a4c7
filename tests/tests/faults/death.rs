//! Sudden death: what the guard does at once, what the kernel does when the guard has died too, what a restart cleans.

use std::time::Duration;

use vrrp_lab::{
    Requirement, clock,
    harness::{self, Test},
    tests,
};

use super::{
    kills::AT_ONCE,
    pair::{Pair, STALL, STALL_AT_1_S, Speed, VIP, between, median},
};

/// `valid_lft` is max(1, floor(down interval) - 1) s, and IPv4 ends a lifetime up to 1 s late.
const KERNEL_LATENESS: Duration = Duration::from_secs(1);

pub(crate) fn tests() -> Vec<Test> {
    use Requirement::{Daemon, Lab};
    let fast = tests![[Lab, Daemon];
        a_killed_daemon_is_off_and_has_said_so_within_50_ms,
        a_killed_daemon_and_guard_lose_the_address_by_its_lifetime,
        a_killed_guard_is_replaced,
    ];
    let slow = tests![[Lab, Daemon]; a_restart_cleans_what_the_killed_left_and_says_priority_0];
    [harness::despite_stalls(STALL, fast), harness::despite_stalls(STALL_AT_1_S, slow)].concat()
}

/// No overlap at all: off before priority 0. Half of the kills are judged by the promise, each by what the guard does
/// without the news of the death.
fn a_killed_daemon_is_off_and_has_said_so_within_50_ms() {
    let rounds = harness::count(6, 50);
    let mut pair = Pair::start("kill", Speed::Fast);
    let (mut off, mut said, mut moved) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..rounds {
        let (victim, heir) = if round % 2 == 0 { ("a", "b") } else { ("b", "a") };
        let killed = clock::now_ns();
        pair.daemon(victim).kill();
        let timeline = pair.wait_for(heir);
        let lost = timeline.lost_at(victim, killed).unwrap();
        let release = pair.wait_for_release(victim, killed);
        for (what, at, all) in [("off", lost, &mut off), ("priority 0", release, &mut said)] {
            let (took, stalled) = (between(killed, at), pair.stalls.within(killed, at));
            let bound = pair.speed.freeze_limit(100) + pair.slack(killed, at);
            assert!(took < bound, "{what} {took:?} after the kill");
            all.push(took.saturating_sub(stalled));
        }
        moved.push(between(killed, timeline.acquired_at(heir, killed).unwrap()));
        timeline.assert_never_two(Duration::ZERO);
        pair.bring_back(victim);
    }
    let (off, said) = (median(off), median(said));
    println!(
        "kill -9: address off {off:?}, priority 0 {said:?}, heir holds it {:?} after (medians of {rounds})",
        median(moved)
    );
    assert!(off < AT_ONCE && said < AT_ONCE, "off after {off:?}, priority 0 after {said:?} (medians)");
}

fn a_killed_daemon_and_guard_lose_the_address_by_its_lifetime() {
    for (speed, lifetime) in [(Speed::Fast, 1), (Speed::Slow, 2)] {
        let mut pair = Pair::start("both", speed);
        let killed = clock::now_ns();
        // Children first: the guard before the daemon.
        pair.a.kill_tree();
        pair.wait_until("the lifetime ends", || !pair.lab.host("a").holds(VIP).unwrap());
        let timeline = pair.wait_for("b");
        let lost = timeline.lost_at("a", killed).unwrap();
        let bound = Duration::from_secs(lifetime) + KERNEL_LATENESS + pair.slack(killed, lost);
        println!("{speed:?}: off by its lifetime {:?} after the kill", between(killed, lost));
        assert!(
            between(killed, lost) < bound,
            "{:?}: more than {bound:?}\n{timeline}",
            between(killed, lost)
        );
        assert_eq!(pair.release_after("a", killed), None, "nobody was left to say priority 0");
        // From the peer's down timer to the end of the lifetime both may hold it.
        timeline.assert_never_two(bound.saturating_sub(speed.freeze_limit(100)));
    }
}

fn a_restart_cleans_what_the_killed_left_and_says_priority_0() {
    let mut pair = Pair::start("left", Speed::Slow);
    let killed = clock::now_ns();
    pair.a.kill_tree();
    pair.a.restart(pair.lab.host("a")).unwrap();
    let timeline = pair.wait_for("b");
    let lost = timeline.lost_at("a", killed).unwrap();
    let release = pair.wait_for_release("a", killed);
    println!(
        "left over: off {:?}, priority 0 {:?} after the kill",
        between(killed, lost),
        between(killed, release)
    );
    // Well before the lifetime of at least a second: it was the restart.
    assert!(between(killed, lost) < Duration::from_secs(1) + pair.stalls.within(killed, lost), "{timeline}");
    assert!(release + clock::nanos(pair.slack(release, lost)) > lost, "off first, then priority 0");
    let claim = pair.claim_after("b", release);
    let limit = pair.speed.skew(100) + pair.slack(release, claim);
    assert!(between(release, claim) < limit, "b waited {:?} after priority 0", between(release, claim));
    timeline.assert_never_two(Duration::ZERO);
    assert_eq!(timeline.acquisitions("a"), 1, "{timeline}");
}

fn a_killed_guard_is_replaced() {
    let mut pair = Pair::start("guard", Speed::Fast);
    let daemon = pair.a.pid();
    let guard = || pair.a.tree().into_iter().find(|pid| *pid != daemon);
    let first = guard().expect("a guard runs");
    let since = clock::now_ns();
    let pid = rustix::process::Pid::from_raw(i32::try_from(first).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    pair.wait_until("there is another guard", || guard().is_some_and(|pid| pid != first));
    pair.wait_until("it watches", || pair.a.log().contains("the guard is back"));
    pair.assert_unchanged_since(since);
    let killed = clock::now_ns();
    pair.a.kill();
    let timeline = pair.wait_for("b");
    let lost = timeline.lost_at("a", killed).unwrap();
    // Well before the lifetime ends: it was the new guard.
    assert!(between(killed, lost) < pair.speed.freeze_limit(150) + pair.slack(killed, lost), "{timeline}");
}
