//! Daemons that do not get to run: a late BACKUP takes nothing from a living master, a late MASTER no longer is one.

use std::{thread, time::Duration};

use vrrp_lab::{
    Requirement, clock,
    harness::{self, Test},
    load::Load,
    tests,
};

use super::pair::{LIMIT, Pair, STALL, STALL_AT_1_S, Speed, VIP, between, median};

pub(crate) fn tests() -> Vec<Test> {
    use Requirement::{Daemon, Lab};
    let fast = tests![[Lab, Daemon];
        a_stopped_backup_takes_nothing_from_a_living_master_at_100_ms,
        a_stopped_backup_takes_over_from_a_dead_master_once_it_runs_at_100_ms,
        busy_loops_make_no_second_master_at_100_ms,
        a_stopped_master_is_fenced_in_time_and_stays_backup_at_100_ms,
        a_daemon_frozen_twice_learns_twice_that_it_was_fenced,
        a_paused_machine_loses_the_address_by_its_lifetime,
    ];
    let slow = tests![[Lab, Daemon];
        a_stopped_backup_takes_nothing_from_a_living_master_at_1_s,
        a_stopped_backup_takes_over_from_a_dead_master_once_it_runs_at_1_s,
        busy_loops_make_no_second_master_at_1_s,
        a_stopped_master_is_fenced_in_time_and_stays_backup_at_1_s,
    ];
    [harness::despite_stalls(STALL, fast), harness::despite_stalls(STALL_AT_1_S, slow)].concat()
}

fn a_stopped_backup_takes_nothing(name: &str, speed: Speed, rounds: usize) {
    let mut pair = Pair::start(name, speed);
    let down = speed.down_interval(100);
    for round in 0..u32::try_from(rounds).unwrap() {
        for stopped_for in [down * 9 / 10, down * 3] {
            let since = clock::now_ns();
            pair.b.freeze();
            // Out of step with the adverts, differently each time.
            thread::sleep(stopped_for + speed.interval() * (round % 7) / 7);
            pair.b.thaw();
            thread::sleep(down + speed.interval());
            pair.assert_unchanged_since(since);
        }
    }
}

fn a_stopped_backup_takes_nothing_from_a_living_master_at_100_ms() {
    a_stopped_backup_takes_nothing("stop100ms", Speed::Fast, harness::count(4, 50));
}

fn a_stopped_backup_takes_nothing_from_a_living_master_at_1_s() {
    a_stopped_backup_takes_nothing("stop1s", Speed::Slow, harness::count(1, 10));
}

fn a_stopped_backup_takes_over_once_it_runs(name: &str, speed: Speed, rounds: usize) {
    let mut took = Vec::new();
    for _ in 0..rounds {
        let mut pair = Pair::start(name, speed);
        pair.b.freeze();
        thread::sleep(speed.interval() * 3 / 2);
        pair.a.kill_tree();
        thread::sleep(speed.down_interval(100) + speed.interval());
        let thawed = clock::now_ns();
        assert_eq!(pair.adverts_after("b", 0), [], "a stopped process speaks");
        pair.b.thaw();
        let claimed = || pair.first_claim_after("b", thawed);
        assert!(clock::wait_until(LIMIT, || claimed().is_some()), "b never took over");
        let claim = claimed().unwrap();
        let slack = pair.slack(thawed, claim);
        assert!(
            between(thawed, claim) < speed.interval() * 2 + slack,
            "took over {:?} after it ran again",
            between(thawed, claim)
        );
        took.push(between(thawed, claim));
        pair.wait_until("b holds the address", || pair.lab.host("b").holds(VIP).unwrap());
    }
    println!("taken over {:?} after the backup ran again (median of {rounds})", median(took));
}

fn a_stopped_backup_takes_over_from_a_dead_master_once_it_runs_at_100_ms() {
    a_stopped_backup_takes_over_once_it_runs("late100ms", Speed::Fast, harness::count(2, 20));
}

fn a_stopped_backup_takes_over_from_a_dead_master_once_it_runs_at_1_s() {
    a_stopped_backup_takes_over_once_it_runs("late1s", Speed::Slow, harness::count(1, 3));
}

fn busy_loops_make_no_second_master(name: &str, speed: Speed) {
    let pair = Pair::start(name, speed);
    let since = clock::now_ns();
    let load = Load::busy_loops(&pair.lab, 8).unwrap();
    clock::sleep_ms(harness::count(4, 30) as u64 * 1000);
    drop(load);
    pair.assert_unchanged_since(since);
}

fn busy_loops_make_no_second_master_at_100_ms() {
    busy_loops_make_no_second_master("busy100ms", Speed::Fast);
}

fn busy_loops_make_no_second_master_at_1_s() {
    busy_loops_make_no_second_master("busy1s", Speed::Slow);
}

/// Every time, not only the first: a daemon that does not hear of its second fence goes on as a MASTER without addresses.
fn a_daemon_frozen_twice_learns_twice_that_it_was_fenced() {
    let mut pair = Pair::start("twice", Speed::Fast);
    let down = Speed::Fast.down_interval(100);
    for (round, host) in ["a", "b", "a", "b"].into_iter().enumerate() {
        let heir = if host == "a" { "b" } else { "a" };
        pair.wait_until("the address is where it should be", || pair.lab.host(host).holds(VIP).unwrap());
        pair.daemon(host).freeze();
        thread::sleep(down * 3);
        pair.wait_until("the heir holds the address", || pair.lab.host(heir).holds(VIP).unwrap());
        pair.daemon(host).thaw();
        let told = || pair.lab.host(host).file("vrrp.log");
        let fences = || std::fs::read_to_string(told()).unwrap().matches("the guard acted").count();
        assert!(
            clock::wait_until(LIMIT, || fences() == round / 2 + 1),
            "{host} knows of {} fences",
            fences()
        );
        assert!(!pair.lab.host(host).holds(VIP).unwrap());
    }
}

/// The daemon of the MASTER alone stands still; its guard does not. No overlap is allowed at all: the guard takes the
/// address off before it says priority 0, and before the peer's down timer ends.
fn a_stopped_master_is_fenced(name: &str, speed: Speed, rounds: usize) {
    let mut early = Vec::new();
    for _ in 0..rounds {
        let mut pair = Pair::start(name, speed);
        let down = speed.down_interval(100);
        let frozen = clock::now_ns();
        pair.a.freeze();
        thread::sleep(down * 3);
        let timeline = pair.timeline();
        let last = pair.last_advert_before("a", frozen + clock::nanos(speed.interval()));
        let Some(lost) = timeline.lost_at("a", frozen) else { panic!("a keeps the address:\n{timeline}") };
        let slack = pair.slack(last, lost);
        assert!(between(last, lost) < down + slack, "lost {:?} after its last advert", between(last, lost));
        early.push(between(last, lost));
        assert!(pair.release_after("a", frozen).is_some(), "the guard said priority 0");
        assert_eq!(timeline.holders(), ["b"], "the peer has taken over:\n{timeline}");
        let thawed = clock::now_ns();
        pair.a.thaw();
        thread::sleep(down * 2);
        assert_eq!(pair.first_claim_after("a", thawed), None, "a claims what it has lost");
        let timeline = pair.timeline();
        timeline.assert_never_two(Duration::ZERO);
        assert_eq!(timeline.acquisitions("a"), 1, "a took the address back:\n{timeline}");
        assert_eq!(timeline.holders(), ["b"], "{timeline}");
        assert_eq!(timeline.acquisitions("b"), 1, "b let go of it:\n{timeline}");
        assert!(pair.a.is_running(), "a goes on as BACKUP");
        // As BACKUP it is worth something: the survivor's planned stop brings the address back.
        pair.b.stop().unwrap();
        pair.wait_for("a");
    }
    println!(
        "a stopped master lost the address {:?} after its last advert (median of {rounds})",
        median(early)
    );
}

fn a_stopped_master_is_fenced_in_time_and_stays_backup_at_100_ms() {
    a_stopped_master_is_fenced("fence100ms", Speed::Fast, harness::count(2, 20));
}

fn a_stopped_master_is_fenced_in_time_and_stays_backup_at_1_s() {
    a_stopped_master_is_fenced("fence1s", Speed::Slow, harness::count(1, 5));
}

/// Guard and daemon stand still: the peer takes over by its timer, and until the kernel's lifetime of the address ends
/// both hold it. At 100 ms that is 1 s, which IPv4 ends up to 1 s late; nothing stronger runs on such a machine.
fn a_paused_machine_loses_the_address_by_its_lifetime() {
    const LIFETIME: Duration = Duration::from_secs(1);
    const KERNEL_LATENESS: Duration = Duration::from_secs(1);
    let mut pair = Pair::start("pause", Speed::Fast);
    let frozen = clock::now_ns();
    pair.a.freeze_tree();
    clock::sleep_ms(3500);
    let timeline = pair.timeline();
    let Some(lost) = timeline.lost_at("a", frozen) else { panic!("the lifetime did not end:\n{timeline}") };
    let slack = pair.slack(frozen, lost);
    println!("the kernel took the address off {:?} after the pause began", between(frozen, lost));
    assert!(between(frozen, lost) < LIFETIME + KERNEL_LATENESS + slack, "{timeline}");
    assert_eq!(timeline.holders(), ["b"], "{timeline}");
    timeline.assert_never_two(LIFETIME + KERNEL_LATENESS + slack);
    let thawed = clock::now_ns();
    pair.a.thaw_tree();
    thread::sleep(pair.speed.down_interval(100) * 4);
    let timeline = pair.timeline();
    assert_eq!(timeline.acquisitions("a"), 1, "a took the address back:\n{timeline}");
    assert_eq!(
        (timeline.acquisitions("b"), timeline.holders()),
        (1, ["b".to_owned()].as_slice()),
        "{timeline}"
    );
    assert_eq!(pair.first_claim_after("a", thawed), None, "a claims what it has lost");
    pair.wait_until("a is BACKUP again", || {
        pair.a.log().lines().any(|line| line.contains("MASTER -> BACKUP"))
    });
    pair.b.stop().unwrap();
    pair.wait_for("a");
}
