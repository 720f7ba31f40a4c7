//! Changes that somebody wants: nothing acknowledged is lost, and no key is there twice.

use std::time::Duration;

use mysql::prelude::Queryable as _;
use vrrp_lab::{
    Requirement, clock,
    harness::{Test, count},
    mysql::{Flavour, Ledger, in_ms},
    tests,
};

use super::duo::{Duo, LIMIT};

pub(crate) fn tests() -> Vec<Test> {
    use Requirement::{Daemon, Lab, MariaDb, MySql56};
    let mut all = tests![[Lab, Daemon, MariaDb];
        a_drained_mariadb_hands_over_under_load,
        a_daemon_that_is_told_to_end_hands_over_first,
        each_step_of_a_drain_has_a_line_with_what_it_took,
        a_drain_that_would_leave_nobody_in_charge_is_refused_unless_it_is_forced,
        a_drain_to_a_server_that_does_not_apply_changes_nothing,
        an_idle_session_with_a_table_lock_keeps_no_drain_and_no_end_of_the_daemon,
    ];
    all.extend(tests![[Lab, Daemon, MySql56];
        a_drained_mysql_hands_over_under_load,
    ]);
    all
}

fn a_drained_mariadb_hands_over_under_load() {
    switches(Flavour::MariaDb, count(5, 50));
}

fn a_drained_mysql_hands_over_under_load() {
    switches(Flavour::MySql56, count(2, 10));
}

fn switches(flavour: Flavour, rounds: usize) {
    let duo = Duo::start("switches", flavour);
    let writer = duo.writer();
    let (mut began, mut refused) = (Vec::new(), 0);
    for round in 0..rounds {
        let (from, to) = if round % 2 == 0 { ("a", "b") } else { ("b", "a") };
        // Time for the other one to know its master: only then it need not wait after the goodbye.
        clock::sleep_ms(1_200);
        began.push(clock::now_ns());
        refused += usize::from(duo.drain(from) > 0);
        duo.wait_for(to);
        duo.wait_until("the client writes again", || {
            writer.wait_for_write(Duration::from_millis(200)).is_ok()
        });
        assert!(duo.pair.on(from).is_read_only().unwrap(), "round {round}\n{}", duo.logs());
        duo.order(from, &["resume", "VI_1"]);
        duo.wait_until_followed(to);
    }
    // A peer's answer that is late has a drain refused by right.
    assert!(refused < rounds, "{refused} of {rounds} drains were refused\n{}", duo.logs());
    let record = writer.finish().unwrap();
    duo.assert_never_two();
    duo.pair.wait_equal(LIMIT).unwrap();
    for server in [&duo.pair.a, &duo.pair.b] {
        // What a binary log has is seen by readers a moment later.
        let compare = || Ledger::read(server).unwrap().compare(&record);
        clock::wait_until(Duration::from_secs(2), || compare().is_clean());
        let verdict = compare();
        assert!(verdict.is_clean(), "{}: {verdict}\n{}", server.host(), duo.logs());
    }
    assert_eq!(record.failures_with(1062), 0, "a key was there twice");
    // Up to the next one: a client that hung for long is seen for long.
    let ends = began.iter().skip(1).copied().chain([record.acknowledged.last().unwrap().at_ns]);
    let mut outages: Vec<Duration> =
        began.iter().zip(ends).map(|(began, end)| record.longest_gap(*began, end)).collect();
    for (began, outage) in began.iter().zip(&outages) {
        if *outage > Duration::from_millis(500) {
            let end = began + 2 * clock::nanos(*outage);
            let failures = record.failures.iter().filter(|failure| (*began..end).contains(&failure.at_ns));
            println!("from {began} on {}: {:#?}", in_ms(*outage), failures.collect::<Vec<_>>());
        }
    }
    println!("outages {:?}", outages.iter().map(|outage| in_ms(*outage)).collect::<Vec<_>>());
    outages.sort();
    let median = outages[outages.len() / 2];
    if std::env::var_os("VRRP_TEST_LOGS").is_some() {
        println!("{}", duo.logs());
    }
    println!("median outage {}, worst {}", in_ms(median), in_ms(*outages.last().unwrap()));
}

fn a_daemon_that_is_told_to_end_hands_over_first() {
    let mut duo = Duo::start("told", Flavour::MariaDb);
    let writer = duo.writer();
    duo.a.terminate();
    let ending = duo.a.wait(LIMIT);
    assert!(ending.is_some_and(|status| status.success()), "{ending:?}\n{}", duo.logs());
    assert!(duo.pair.a.is_read_only().unwrap(), "{}", duo.logs());
    duo.wait_for("b");
    duo.wait_until("the client writes again", || writer.wait_for_write(Duration::from_millis(200)).is_ok());
    assert!(duo.a.log().contains("the peer has everything: true"), "{}", duo.logs());
    let record = writer.finish().unwrap();
    let verdict = Ledger::read(&duo.pair.b).unwrap().compare(&record);
    assert!(verdict.is_clean(), "{verdict}\n{}", duo.logs());
}

fn each_step_of_a_drain_has_a_line_with_what_it_took() {
    let duo = Duo::start("steps", Flavour::MariaDb);
    let before = duo.a.log().lines().count();
    duo.drain("a");
    duo.wait_for("b");
    duo.wait_for_line("a", "the role is given up after ");
    let log = duo.a.log();
    let mut lines = log.lines().skip(before);
    // Asked whether it can be, and then done; in their order.
    let offer = ["block new connections", "make the server read-only", "ask our server for its state"];
    let steps = offer.into_iter().chain(["ask the peer's server"]).map(|step| format!("VI_1: {step} took "));
    let (offered, done) = ("VI_1: the role was offered after ", "VI_1: the role is given up after ");
    let rest = ["end the clients' sessions", "ask our server for its state"];
    let rest = rest.map(|step| format!("VI_1: {step} took "));
    let expected =
        (steps.clone().chain([offered.to_owned()])).chain(steps).chain(rest).chain([done.to_owned()]);
    for step in expected {
        let line = lines.find(|line| line.contains(&step));
        let line = line.unwrap_or_else(|| panic!("no `{step}` in its turn:\n{log}"));
        let took = line.split(&step).nth(1).unwrap_or_default();
        assert!(took.starts_with(|digit: char| digit.is_ascii_digit()), "{line}");
    }
}

fn a_drain_that_would_leave_nobody_in_charge_is_refused_unless_it_is_forced() {
    let duo = Duo::start("obstacle", Flavour::MariaDb);
    // A write of b's own that does not reach a: by root, whom read_only does not stop.
    duo.pair.a.sql("STOP SLAVE IO_THREAD").unwrap();
    duo.pair.b.sql("INSERT INTO lab.writes (number, server) VALUES (1, 2)").unwrap();
    duo.wait_for_line("b", "decide about it");
    duo.wait_until("a knows it, too", || duo.status("a").contains("DIVERGED"));
    let began = clock::now_ns();
    let refused = duo.command("a", &["drain", "VI_1"]);
    let error = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        !refused.status.success() && error.contains("nobody could take over VI_1"),
        "{error}\n{}",
        duo.logs()
    );
    clock::sleep_ms(500);
    let timeline = duo.watch.timeline(super::duo::VIP).unwrap();
    assert_eq!(timeline.lost_at("a", began), None, "{timeline}\n{}", duo.logs());
    assert!(!duo.pair.a.is_read_only().unwrap(), "{}", duo.logs());

    duo.order("a", &["drain", "VI_1", "--force"]);
    assert!(!duo.lab.host("a").holds(super::duo::VIP).unwrap(), "{}", duo.logs());
    assert!(duo.pair.a.is_read_only().unwrap(), "{}", duo.logs());
}

/// What the peer lacks would be lost by a change that somebody merely wants.
fn a_drain_to_a_server_that_does_not_apply_changes_nothing() {
    let duo = Duo::start("lacking", Flavour::MariaDb);
    let writer = duo.writer();
    duo.pair.b.sql("STOP SLAVE SQL_THREAD").unwrap();
    let began = clock::now_ns();
    // At once, before any look could know; and again, when it is known.
    for known in ["comes no nearer", "does it receive and apply"] {
        let refused = duo.command("a", &["drain", "VI_1"]);
        let error = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(!refused.status.success() && error.contains(known), "{error}\n{}", duo.logs());
        duo.wait_until("the client writes on", || writer.wait_for_write(Duration::from_millis(200)).is_ok());
        clock::sleep_ms(3_000);
        let timeline = duo.watch.timeline(super::duo::VIP).unwrap();
        assert_eq!(timeline.lost_at("a", began), None, "{timeline}\n{}", duo.logs());
        assert!(!duo.pair.a.is_read_only().unwrap(), "{}", duo.logs());
    }
    duo.pair.b.sql("START SLAVE SQL_THREAD").unwrap();
    duo.wait_until("the drain is taken", || duo.command("a", &["drain", "VI_1"]).status.success());
    duo.wait_for("b");
    duo.wait_until("the client writes again", || writer.wait_for_write(Duration::from_millis(200)).is_ok());
    let record = writer.finish().unwrap();
    duo.assert_never_two();
    let compare = || Ledger::read(&duo.pair.b).unwrap().compare(&record);
    clock::wait_until(Duration::from_secs(2), || compare().is_clean());
    assert!(compare().is_clean(), "{}\n{}", compare(), duo.logs());
}

/// It is ended as all are, only earlier, and named.
fn an_idle_session_with_a_table_lock_keeps_no_drain_and_no_end_of_the_daemon() {
    let mut duo = Duo::start("locked", Flavour::MariaDb);
    let hold = |host: &str| {
        let mut holder = duo.pair.on(host).connect().unwrap();
        holder.query_drop("LOCK TABLES lab.writes WRITE").unwrap();
        let id: u64 = holder.query_first("SELECT CONNECTION_ID()").unwrap().unwrap();
        (holder, id)
    };
    let (_holder, id) = hold("a");
    duo.drain("a");
    duo.wait_for("b");
    duo.wait_for_line("a", "the peer has everything: true");
    let named = format!("{id} of root@");
    let is_named = duo.a.log().lines().any(|line| line.contains("sessions ended:") && line.contains(&named));
    assert!(is_named, "{named}\n{}", duo.logs());
    duo.order("a", &["resume", "VI_1"]);
    duo.wait_until_followed("b");

    let (_holder, _) = hold("b");
    duo.b.terminate();
    let ending = duo.b.wait(Duration::from_secs(30));
    assert!(ending.is_some_and(|status| status.success()), "{ending:?}\n{}", duo.logs());
    assert!(duo.pair.b.is_read_only().unwrap(), "{}", duo.logs());
    assert!(duo.b.log().contains("the peer has everything: true"), "{}", duo.logs());
    duo.wait_for("a");
    duo.wait_until("a takes writes", || !duo.pair.a.is_read_only().unwrap());
    duo.assert_never_two();
}
