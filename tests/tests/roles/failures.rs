//! Changes that nobody wants: a server dies, freezes, or cannot be asked; what may be lost is said, and nobody writes twice.

use std::time::Duration;

use mysql::prelude::Queryable as _;
use vrrp_lab::{
    Requirement, clock,
    harness::{Test, count},
    mysql::{Flavour, Ledger, Record, in_ms},
    tests,
};

use super::duo::{BY_DEFAULT, Duo, LIMIT, Plan};

pub(crate) fn tests() -> Vec<Test> {
    use Requirement::{Daemon, Lab, MariaDb, MySql56};
    let mut all = tests![[Lab, Daemon, MariaDb];
        a_killed_server_is_replaced_and_what_is_missing_is_what_the_log_said,
        a_killed_server_with_semi_sync_loses_nothing_that_was_acknowledged,
        a_frozen_server_is_replaced_and_comes_back_read_only,
        a_server_that_cannot_be_logged_in_to_moves_no_address,
        a_server_made_writable_without_the_address_is_made_read_only_again,
        a_server_made_read_only_under_its_address_is_writable_again,
        a_server_that_its_manager_restarts_costs_the_address_once_and_comes_back_read_only,
    ];
    all.extend(tests![[Lab, Daemon, MySql56];
        a_killed_mysql_is_replaced,
    ]);
    all
}

fn by_default(name: &str, flavour: Flavour) -> Duo {
    Duo::start_with(name, &Plan { limits: BY_DEFAULT, ..Plan::new(flavour) })
}

/// Kills the active server under a client's writes; the outage, and what the client has seen until it wrote again.
fn kill_under_load(duo: &mut Duo) -> (Duration, Record, u64) {
    let is_semi_sync = duo.pair.a.flavour() == Flavour::MariaDb && duo.pair.is_semi_sync("a").unwrap();
    let writer = duo.writer();
    clock::sleep_ms(1_200);
    if is_semi_sync {
        // It falls back for a moment when a disk is slow, and is raised again.
        duo.wait_until("commits wait for the peer under the load", || duo.pair.is_semi_sync("a").unwrap());
    }
    let killed = clock::now_ns();
    duo.pair.a.kill();
    duo.wait_for("b");
    duo.wait_until("the client writes again", || writer.wait_for_write(Duration::from_millis(200)).is_ok());
    clock::sleep_ms(300);
    let record = writer.finish().unwrap();
    duo.assert_never_two();
    (outage(&record, killed), record, killed)
}

/// From the last answer before the event on; the client has written again by its record's end.
fn outage(record: &Record, event: u64) -> Duration {
    record.longest_gap(event, record.acknowledged.last().unwrap().at_ns)
}

fn a_killed_server_is_replaced_and_what_is_missing_is_what_the_log_said() {
    let mut outages = Vec::new();
    for round in 0..count(2, 20) {
        let mut duo = by_default("killed", Flavour::MariaDb);
        let (outage, record, killed) = kill_under_load(&mut duo);
        let verdict = Ledger::read(&duo.pair.b).unwrap().compare(&record);
        println!("round {round}: outage {}, {} lost", in_ms(outage), verdict.lost.len());
        assert!(
            verdict.duplicated.is_empty() && verdict.never_written.is_empty(),
            "{verdict}\n{}",
            duo.logs()
        );
        if !verdict.lost.is_empty() {
            // What the peer was seen to have is named; what it acknowledged after that is younger than the last look.
            let log = duo.b.log();
            assert!(log.contains("it may be lost") || log.contains("ago it was at"), "{log}");
            let is_young = |number: &u64| {
                let write = record.acknowledged.iter().find(|write| write.number == *number).unwrap();
                write.at_ns + clock::nanos(Duration::from_millis(600)) > killed
            };
            assert!(
                log.contains("it may be lost") || verdict.lost.iter().all(is_young),
                "{verdict}\n{}",
                duo.logs()
            );
        }
        outages.push(outage);
        // The dead one comes back read-only, whatever it has.
        duo.pair.a.restart(duo.lab.host("a")).unwrap();
        clock::sleep_ms(600);
        assert!(duo.pair.a.is_read_only().unwrap() && !duo.pair.b.is_read_only().unwrap(), "{}", duo.logs());
    }
    outages.sort();
    println!("median outage {}", in_ms(outages[outages.len() / 2]));
}

fn a_killed_server_with_semi_sync_loses_nothing_that_was_acknowledged() {
    for round in 0..count(2, 20) {
        let plan = Plan { semi_sync: true, limits: BY_DEFAULT, ..Plan::new(Flavour::MariaDb) };
        let mut duo = Duo::start_with("semisync", &plan);
        duo.wait_until("commits wait for the peer", || duo.pair.is_semi_sync("a").unwrap());
        let (outage, record, _) = kill_under_load(&mut duo);
        let verdict = Ledger::read(&duo.pair.b).unwrap().compare(&record);
        println!("round {round}: outage {}, {verdict}", in_ms(outage));
        assert!(verdict.is_clean(), "{verdict}\n{}", duo.logs());
        duo.wait_for_line("b", "semi-synchronous replication is lowered");
        if round == 0 {
            // Whoever was told to lower it is no more; the next one knows.
            duo.b.terminate();
            assert!(duo.b.wait(LIMIT).is_some(), "{}", duo.logs());
            duo.b.restart(duo.lab.host("b")).unwrap();
            duo.wait_until("b serves again", || {
                duo.lab.host("b").holds(super::duo::VIP).unwrap() && !duo.pair.b.is_read_only().unwrap()
            });
            // A commit that was never acknowledged may be on the dead one alone: it is rebuilt from its peer's data.
            duo.pair.a.restart(duo.lab.host("a")).unwrap();
            duo.rebuild_a();
            duo.wait_for_line("b", "commits wait for it again");
            duo.wait_until("they do", || duo.pair.is_semi_sync("b").unwrap());
        }
    }
}

fn a_killed_mysql_is_replaced() {
    let mut duo = by_default("killed56", Flavour::MySql56);
    let (outage, record, _) = kill_under_load(&mut duo);
    let verdict = Ledger::read(&duo.pair.b).unwrap().compare(&record);
    println!("outage {}, {} lost", in_ms(outage), verdict.lost.len());
    assert!(verdict.duplicated.is_empty() && verdict.never_written.is_empty(), "{verdict}\n{}", duo.logs());
    assert!(!duo.pair.b.is_read_only().unwrap());
}

fn a_frozen_server_is_replaced_and_comes_back_read_only() {
    let mut duo = by_default("frozen", Flavour::MariaDb);
    let writer = duo.writer();
    clock::sleep_ms(1_200);
    let frozen = clock::now_ns();
    duo.pair.a.freeze();
    duo.wait_for("b");
    duo.wait_until("the client writes again", || writer.wait_for_write(Duration::from_millis(200)).is_ok());
    let record = writer.finish().unwrap();
    let outage = outage(&record, frozen);
    let stalled = duo.stalls.within(frozen, frozen + clock::nanos(outage));
    println!("outage {}, of which the machine stalled {}", in_ms(outage), in_ms(stalled));
    duo.pair.a.thaw();
    duo.wait_until("the thawed server is read-only", || duo.pair.a.is_read_only().unwrap());
    assert!(!duo.pair.b.is_read_only().unwrap(), "{}", duo.logs());
    // The client's second SYN that gets lost is sent again 3 s after the first.
    assert!(outage < Duration::from_secs(5) + stalled, "{}", duo.logs());
}

fn a_server_that_cannot_be_logged_in_to_moves_no_address() {
    let duo = by_default("password", Flavour::MariaDb);
    let began = clock::now_ns();
    let mut root = duo.pair.a.connect().unwrap();
    root.query_drop("SET SESSION sql_log_bin = 0").unwrap();
    root.query_drop("SET PASSWORD FOR 'vrrp'@'localhost' = PASSWORD('other')").unwrap();
    for row in duo.pair.a.rows("SELECT id FROM information_schema.processlist WHERE user = 'vrrp'").unwrap() {
        // It may have ended by itself meanwhile.
        drop(duo.pair.a.sql(&format!("KILL CONNECTION {}", row["id"])));
    }
    duo.wait_until("it is shown", || duo.status("a").contains("does not answer"));
    clock::sleep_ms(3_000);
    let timeline = duo.watch.timeline(super::duo::VIP).unwrap();
    assert_eq!(timeline.lost_at("a", began), None, "{timeline}\n{}", duo.logs());
    assert!(!duo.pair.a.is_read_only().unwrap() && duo.pair.b.is_read_only().unwrap(), "{}", duo.logs());
}

fn a_server_made_writable_without_the_address_is_made_read_only_again() {
    let duo = Duo::start("meddled", Flavour::MariaDb);
    duo.pair.b.set_read_only(false).unwrap();
    duo.wait_until("it is read-only again", || duo.pair.b.is_read_only().unwrap());
    duo.wait_for_line("b", "somebody else made it so");
    // If that took longer than `split_wait`, it has passed the gate again, read-only meanwhile.
    duo.wait_until("the active one takes writes", || !duo.pair.a.is_read_only().unwrap());
}

fn a_server_made_read_only_under_its_address_is_writable_again() {
    let duo = Duo::start("made-ro", Flavour::MariaDb);
    duo.pair.a.set_read_only(true).unwrap();
    duo.wait_until("it is writable again", || !duo.pair.a.is_read_only().unwrap());
    assert!(duo.pair.b.is_read_only().unwrap(), "{}", duo.logs());
    duo.wait_until("the pair is whole again", || duo.status("a").contains("the peer follows"));
    duo.pair.wait_equal(LIMIT).unwrap();
}

/// `systemctl restart mariadb`, well within the hold-down of its check.
fn a_server_that_its_manager_restarts_costs_the_address_once_and_comes_back_read_only() {
    let mut duo = Duo::start("restarted", Flavour::MariaDb);
    let writer = duo.writer();
    clock::sleep_ms(1_200);
    let told = clock::now_ns();
    duo.pair.a.terminate();
    duo.pair.a.process().wait(LIMIT);
    duo.pair.a.restart(duo.lab.host("a")).unwrap();
    duo.wait_for("b");
    duo.wait_until("the client writes again", || writer.wait_for_write(Duration::from_millis(200)).is_ok());
    clock::sleep_ms(3_000);
    let record = writer.finish().unwrap();
    println!("outage {}", in_ms(outage(&record, told)));
    duo.assert_never_two();
    let timeline = duo.watch.timeline(super::duo::VIP).unwrap();
    assert_eq!(
        (timeline.acquisitions("a"), timeline.acquisitions("b")),
        (1, 1),
        "{timeline}\n{}",
        duo.logs()
    );
    assert!(duo.pair.a.is_read_only().unwrap() && !duo.pair.b.is_read_only().unwrap(), "{}", duo.logs());
    let verdict = Ledger::read(&duo.pair.b).unwrap().compare(&record);
    println!("{} lost", verdict.lost.len());
    assert!(verdict.duplicated.is_empty() && verdict.never_written.is_empty(), "{verdict}\n{}", duo.logs());
    // As the guide says: what is missing is on the old server, and the log has a name for it.
    let only_there = Ledger::read(&duo.pair.a).unwrap().beyond(&Ledger::read(&duo.pair.b).unwrap());
    assert!(verdict.lost.iter().all(|number| only_there.contains(number)), "{verdict}\n{}", duo.logs());
    if !verdict.lost.is_empty() {
        duo.wait_for_line("b", "which this one never received");
    }
}
