//! Maintenance and planned switches: `vrrp drain` and `vrrp resume`.

use std::time::Duration;

use vrrp_lab::{
    clock::{self, now_ns},
    harness::Test,
    tests,
};
use vrrp_user::control::snapshot::State;

use super::wire::{INTERVAL, LIMIT, NEEDS, Pair, VIP};

pub(crate) fn tests() -> Vec<Test> {
    tests![NEEDS;
        a_drained_master_hands_over_in_order_and_without_preemption_stays_backup_once_resumed,
        a_drained_backup_does_not_replace_a_dead_master,
        a_drained_instance_stays_out_over_a_restart_and_over_reloads,
        a_disk_that_hangs_keeps_no_drain_and_no_resume_from_taking_effect,
        what_is_unknown_is_refused_by_name,
    ]
}

fn a_drained_master_hands_over_in_order_and_without_preemption_stays_backup_once_resumed() {
    let pair = Pair::start("drain");
    // There and back again: a planned switch by two commands, with `preempt: false` on both.
    for (from, to) in [("a", "b"), ("b", "a")] {
        let before = now_ns();
        let said = pair.succeed(from, &["drain", "VI_1"]);
        assert!(said.contains("VI_1 is drained, its addresses are off here"), "{said}");
        assert!(!pair.lab.host(from).holds(VIP).unwrap(), "when the command has returned the address is off");
        let timeline = pair.watch.wait_for_holder(VIP, to, LIMIT).unwrap();
        timeline.assert_never_two(Duration::ZERO);
        let released = pair.capture.wait_for(LIMIT, |record| {
            record.host == from && record.time_ns > before && record.advert().is_some_and(|a| a.is_release())
        });
        let released = released.unwrap().time_ns;
        // Off first, then priority 0; the address event is stamped when its reader wakes.
        let lost = timeline.lost_at(from, before).unwrap();
        let stalled = pair.stalls.within(before, lost.max(released));
        assert!(lost <= released + clock::nanos(Duration::from_millis(5) + stalled), "{timeline}");
        let after = pair.capture.adverts_from(from).iter().filter(|(at, _)| *at > released).count();
        assert_eq!(after, 0, "a drained router is silent");
        let (_, instance) = pair.status(from);
        assert_eq!(instance.state, State::Fault);
        assert_eq!(instance.held_out[0].by, "operator");
        clock::sleep_ms(1_000);
        let said = pair.succeed(from, &["resume", "VI_1"]);
        assert!(said.contains("takes part again"), "{said}");
        pair.wait_for_log(from, "FAULT -> BACKUP: told to take part again", 1);
        clock::sleep_ms(1_000);
        assert_eq!(pair.watch.holders(VIP).unwrap(), [to]);
        assert_eq!(pair.status(from).1.state, State::Backup);
    }
    assert!(pair.succeed("a", &["resume", "--all"]).contains("VI_1 was not drained"));
}

fn a_drained_backup_does_not_replace_a_dead_master() {
    let mut pair = Pair::start("drained");
    let claims = pair.capture.adverts_from("b").len();
    pair.succeed("b", &["drain", "--all"]);
    pair.a.kill_tree();
    clock::sleep_ms(2_000);
    assert_eq!(pair.capture.adverts_from("b").len(), claims, "{}", pair.b.log());
    assert!(!pair.lab.host("b").holds(VIP).unwrap());
    pair.succeed("b", &["resume", "VI_1"]);
    // What the dead one left on its interface is another story: it was killed together with its guard.
    assert!(clock::wait_until(LIMIT, || pair.lab.host("b").holds(VIP).unwrap()), "{}", pair.b.log());
}

fn a_drained_instance_stays_out_over_a_restart_and_over_reloads() {
    let mut pair = Pair::start("restart");
    pair.succeed("a", &["drain", "VI_1"]);
    pair.watch.wait_for_holder(VIP, "b", LIMIT).unwrap();
    let host = pair.lab.host("a");
    pair.a.restart(host).unwrap();
    pair.wait_for_log("a", "INITIALIZE -> FAULT: told to stay out (drained by the operator)", 1);
    let other = vrrp_lab::daemon::yaml("a", &[super::wire::instance(200).preempting()]);
    pair.write("a", &other);
    pair.succeed("a", &["reload"]);
    let renamed = other.replace("name: VI_1", "name: VI_new");
    pair.write("a", &renamed);
    pair.succeed("a", &["reload"]);
    clock::sleep_ms(1_500);
    assert_eq!(pair.watch.holders(VIP).unwrap(), ["b"], "stronger and preempting, and drained all the same");
    let (_, instance) = pair.status("a");
    assert_eq!((instance.name.as_str(), instance.state), ("VI_new", State::Fault));
    pair.succeed("a", &["resume", "VI_new"]);
    pair.watch.wait_for_holder(VIP, "a", LIMIT).unwrap();
    // And that survives a restart, too.
    let host = pair.lab.host("a");
    pair.a.restart(host).unwrap();
    pair.watch.wait_for_holder(VIP, "a", LIMIT).unwrap();
}

/// A pipe that nobody reads, where the list of the drained is written: whoever opens it hangs.
fn a_disk_that_hangs_keeps_no_drain_and_no_resume_from_taking_effect() {
    // What the daemon waits for the disk at most.
    const DISK: Duration = Duration::from_secs(1);
    let pair = Pair::start("slowdisk");
    let state = pair.lab.host("a").file("state");
    std::fs::create_dir_all(&state).unwrap();
    let pipe = state.join("drained.json.new");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let before = now_ns();
    let (code, said, error) = pair.command("a", &["drain", "VI_1"]);
    assert_eq!(code, Some(0), "{error}\n{}", pair.a.log());
    assert!(said.contains("VI_1 is drained, its addresses are off here"), "{said}");
    assert!(format!("{said}{error}").contains("does its disk hang?"), "{said}{error}");
    let timeline = pair.watch.wait_for_holder(VIP, "b", LIMIT).unwrap();
    let lost = timeline.lost_at("a", before).unwrap();
    let took = Duration::from_nanos(lost - before).saturating_sub(pair.stalls.within(before, lost));
    assert!(took < DISK, "the address waited for the disk: {took:?}");
    let (code, said, error) = pair.command("a", &["resume", "VI_1"]);
    assert_eq!(code, Some(0), "{error}\n{}", pair.a.log());
    assert!(said.contains("takes part again"), "{said}");
    assert!(format!("{said}{error}").contains("does its disk hang?"), "{said}{error}");
    pair.wait_for_log("a", "FAULT -> BACKUP: told to take part again", 1);
    // The disk is well again, and so is everything.
    drop(std::fs::read(&pipe).unwrap());
    std::fs::remove_file(&pipe).unwrap();
    let (_, said, error) = pair.command("a", &["drain", "VI_1"]);
    assert!(!format!("{said}{error}").contains("does its disk hang?"), "{said}{error}");
    assert!(std::fs::read_to_string(state.join("drained.json")).unwrap().contains("VI_1"));
}

fn what_is_unknown_is_refused_by_name() {
    let mut pair = Pair::start("unknown");
    let from = now_ns();
    let (code, out, error) = pair.command("a", &["drain", "VI_1", "VI_7"]);
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert!(error.contains("there is no instance VI_7; there is VI_1"), "{error}");
    let (code, _, error) = pair.command("a", &["drain"]);
    assert_eq!(code, Some(2), "{error}");
    clock::sleep_ms(500);
    pair.assert_undisturbed("a", from);
    assert!(pair.longest_silence("a", from, now_ns()) < INTERVAL * 2);
    pair.a.stop().unwrap();
    let (code, _, error) = pair.command("a", &["status"]);
    assert_eq!(code, Some(3), "{error}");
    assert!(error.contains("no daemon answers") && error.contains("systemctl start vrrp"), "{error}");
}
