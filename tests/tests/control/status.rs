//! `vrrp status` against what is true.

use vrrp_lab::{
    clock::{self, now_ns},
    harness::Test,
    tests,
};
use vrrp_user::control::snapshot::{Guard, SCHEMA, State};

use super::wire::{LIMIT, NEEDS, Pair, VIP};

pub(crate) fn tests() -> Vec<Test> {
    tests![NEEDS;
        status_tells_the_truth_of_master_backup_and_fault,
        status_sees_what_others_did_to_an_address,
    ]
}

fn status_tells_the_truth_of_master_backup_and_fault() {
    let pair = Pair::start("status");
    let (snapshot, master) = pair.status("a");
    let asked = now_ns();
    assert_eq!((snapshot.schema, snapshot.guard), (SCHEMA, Guard::Watching));
    assert_eq!(snapshot.pid, pair.a.pid());
    assert_eq!((master.state, master.priority.effective, master.version), (State::Master, 150, 3));
    assert!(master.why.contains("no master heard"), "{}", master.why);
    assert!(master.state_age_ns.unwrap() > 500_000_000);
    assert_eq!(master.master, Some(pair.lab.host("a").address()));
    assert_eq!((master.addresses[0].held, master.addresses[0].present), (true, true));
    assert!(master.last_advert_age_ns.unwrap() < 1_000_000_000);
    assert!(snapshot.advert_thread.adverts_sent >= 5 && snapshot.advert_thread.sent_lateness.count >= 5);
    // The thread that captures may be behind: with a later one all those before are there.
    let later = pair.capture.wait_for(LIMIT, |record| record.time_ns > asked && record.advert().is_some());
    assert!(later.is_some());
    let counted = pair.capture.adverts_from("a").iter().filter(|(at, _)| *at <= asked).count() as u64;
    let sent = snapshot.advert_thread.adverts_sent;
    assert!(sent <= counted + 1, "{sent} were sent, {counted} were on the wire");

    let (snapshot, backup) = pair.status("b");
    assert_eq!(backup.state, State::Backup);
    assert_eq!((backup.master, backup.master_priority), (Some(pair.lab.host("a").address()), Some(150)));
    assert_eq!((backup.addresses[0].held, backup.addresses[0].present), (false, false));
    assert_eq!(backup.timers.advert_interval_ns, 100_000_000);
    assert_eq!(backup.timers.master_down_interval_ns, 360_937_500);
    assert!(backup.timers.next_ns.unwrap() <= 360_937_500);
    assert!(snapshot.counters["accepted"] >= 5, "{:?}", snapshot.counters);

    pair.lab.host("a").lose_carrier().unwrap();
    pair.wait_for_log("a", "MASTER -> FAULT", 1);
    let (_, fault) = pair.status("a");
    assert_eq!((fault.state, fault.held_out.len()), (State::Fault, 0));
    assert!(fault.why.contains("no carrier"), "{}", fault.why);
    assert!(clock::wait_until(LIMIT, || !pair.status("a").1.addresses[0].present));
    let table = pair.succeed("a", &["status"]);
    assert!(table.contains("FAULT") && table.contains("the interface has no carrier"), "{table}");
    pair.watch.wait_for_holder(VIP, "b", LIMIT).unwrap();
    let table = pair.succeed("b", &["status", "VI_1"]);
    assert!(table.contains("MASTER") && table.contains("10.99.0.200/24 on eth0: held"), "{table}");
}

fn status_sees_what_others_did_to_an_address() {
    let pair = Pair::start("stray");
    let from = now_ns();
    let address = format!("{VIP}/24");
    pair.lab.host("b").namespace().ip(&["address", "add", &address, "dev", "eth0"]).unwrap();
    let seen = || {
        let (_, instance) = pair.status("b");
        (instance.addresses[0].held, instance.addresses[0].present) == (false, true)
    };
    assert!(clock::wait_until(LIMIT, seen));
    assert!(pair.succeed("b", &["status"]).contains("THERE, and not ours"));
    pair.lab.host("b").namespace().ip(&["address", "del", &address, "dev", "eth0"]).unwrap();
    assert!(clock::wait_until(LIMIT, || !pair.status("b").1.addresses[0].present));
    assert_eq!(pair.watch.timeline(VIP).unwrap().lost_at("a", from), None);
}
