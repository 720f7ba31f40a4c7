//! Replication in trouble on the standby: said, and no reason to move an address.

use mysql::prelude::Queryable;
use std::time::Duration;

use vrrp_lab::{
    Lab, Requirement, clock,
    harness::Test,
    mysql::{Flavour, Pair},
    tests,
};

use super::site::{LIMIT, Site, mysql};

pub(crate) fn tests() -> Vec<Test> {
    use Requirement::{Daemon, Lab, MariaDb};
    tests![[Lab, Daemon, MariaDb];
        a_standby_that_does_not_apply_is_degraded,
        what_stops_the_sql_thread_next_is_said_and_no_statement_is_shown,
        a_deaf_standby_is_degraded_and_status_shows_why,
        a_dead_peer_is_no_trouble_of_the_standby,
        commits_that_wait_for_nobody_are_said_once,
        a_standby_that_is_late_is_degraded_beyond_its_limit,
        equal_server_ids_are_named,
    ]
}

fn pair(name: &str) -> (Lab, Pair) {
    let lab = Lab::pair(name).unwrap();
    let pair = Pair::start(&lab, Flavour::MariaDb).unwrap();
    pair.wait_replicating(LIMIT).unwrap();
    (lab, pair)
}

fn a_standby_that_does_not_apply_is_degraded() {
    let (lab, pair) = pair("standby");
    let site = Site::start(lab, &mysql(&pair.a, "", ""), &mysql(&pair.b, "", "fall: 1,"));
    let began = clock::now_ns();
    pair.b.sql("STOP SLAVE SQL_THREAD").unwrap();
    site.wait_for_line("b", "check mysql: healthy -> degraded: replication: the SQL thread is stopped");
    pair.b.sql("START SLAVE SQL_THREAD").unwrap();
    site.wait_for_line("b", "degraded -> healthy");
    site.assert_stayed("a", began);
    assert!(!site.a.log().contains("check mysql"), "{}", site.a.log());
}

fn what_stops_the_sql_thread_next_is_said_and_no_statement_is_shown() {
    const SECRET: &str = "not-for-the-log";
    let (lab, pair) = pair("quoted");
    let site = Site::start(lab, &mysql(&pair.a, "", ""), &mysql(&pair.b, "", "fall: 1,"));
    pair.b.sql("STOP SLAVE SQL_THREAD").unwrap();
    site.wait_for_line("b", "check mysql: healthy -> degraded: replication: the SQL thread is stopped");
    // The standby has such a user already.
    pair.b.sql("SET STATEMENT sql_log_bin = 0 FOR CREATE USER 'twice'@'%'").unwrap();
    pair.a.sql(&format!("CREATE USER 'twice'@'%' IDENTIFIED BY '{SECRET}'")).unwrap();
    pair.b.sql("START SLAVE SQL_THREAD").unwrap();
    site.wait_until("the server quotes the statement", || {
        let status = pair.b.rows("SHOW SLAVE STATUS").unwrap();
        status.iter().any(|row| row["Last_SQL_Error"].contains("Query: '"))
    });
    let said = "replication: the SQL thread has error 1396: Error 'Operation CREATE USER failed for 'twice'@'%'' on query.";
    site.wait_for_line("b", said);
    site.wait_until("status shows it", || site.status("b").contains(said));
    for shown in [site.b.log(), site.status("b")] {
        assert!(!shown.contains(SECRET) && !shown.contains("Query: '"), "{shown}");
    }
    clock::sleep_ms(3000);
    assert_eq!(site.b.log().matches(said).count(), 1, "{}", site.b.log());
}

fn a_deaf_standby_is_degraded_and_status_shows_why() {
    let (lab, pair) = pair("deaf");
    let site = Site::start(lab, &mysql(&pair.a, "", ""), &mysql(&pair.b, "", "fall: 1,"));
    let began = clock::now_ns();
    let shows = |host: &str, words: &str| {
        site.wait_until(&format!("status of {host} shows {words:?}"), || site.status(host).contains(words));
    };
    shows("a", "server 1: read_only, follows 10.99.0.2 (0 s behind), semi-sync off, at 0-");
    shows("b", "server 2: read_only, follows 10.99.0.1 (0 s behind), semi-sync off, at 0-");
    pair.b.sql("STOP SLAVE IO_THREAD").unwrap();
    site.wait_for_line("b", "check mysql: healthy -> degraded: replication: the IO thread is stopped");
    shows("b", "check mysql: degraded: replication: the IO thread is stopped");
    shows("b", "follows 10.99.0.1 (IO stopped, SQL running)");
    pair.b.sql("START SLAVE IO_THREAD").unwrap();
    site.wait_for_line("b", "degraded -> healthy");
    site.assert_stayed("a", began);
    assert!(!site.a.log().contains("check mysql"), "{}", site.a.log());
}

fn a_dead_peer_is_no_trouble_of_the_standby() {
    let (lab, mut pair) = pair("bereft");
    let site = Site::start(lab, &mysql(&pair.a, "", ""), &mysql(&pair.b, "", "fall: 1,"));
    pair.a.kill();
    site.wait_for("b");
    site.wait_until("b's receiver looks for its source", || {
        site.status("b").contains("(IO connecting, SQL running; error 20")
    });
    clock::sleep_ms(2500);
    assert!(!site.b.log().contains("check mysql"), "{}", site.b.log());
}

/// A frozen replica stays connected, and a commit that has waited for it in vain is the last that waits.
fn commits_that_wait_for_nobody_are_said_once() {
    const SAID: &str = "has fallen back to asynchronous";
    let (lab, mut pair) = pair("fallback");
    pair.set_semi_sync(true, Duration::from_millis(700)).unwrap();
    pair.a.set_read_only(false).unwrap();
    let site = Site::start(lab, &mysql(&pair.a, "", "fall: 1,"), &mysql(&pair.b, "", ""));
    let began = clock::now_ns();
    site.wait_until("status shows it", || site.status("a").contains("semi-sync on"));
    let write = |number: u8| {
        pair.a.sql(&format!("INSERT INTO lab.writes (number, server) VALUES ({number}, 1)")).unwrap();
    };
    write(1);
    assert!(!site.a.log().contains("check mysql"), "{}", site.a.log());
    pair.b.freeze();
    // A busy kernel freezes it a moment later: until then it answers.
    site.wait_until("a commit waited in vain", || {
        write(2);
        site.a.log().contains(SAID)
    });
    site.wait_for_line("a", "check mysql: healthy -> degraded: semi-synchronous replication has fallen back");
    clock::sleep_ms(2500);
    assert_eq!(site.a.log().matches(SAID).count(), 1, "{}", site.a.log());
    site.wait_until("status shows it", || site.status("a").contains("semi-sync FALLEN BACK"));
    pair.b.thaw();
    write(3);
    site.wait_for_line("a", "degraded -> healthy");
    assert_eq!(site.a.log().matches(SAID).count(), 1, "{}", site.a.log());
    site.assert_stayed("a", began);
}

fn a_standby_that_is_late_is_degraded_beyond_its_limit() {
    let (lab, pair) = pair("late");
    let checks = mysql(&pair.b, "state: { interval: 200ms, max_lag: 2s },", "fall: 1,");
    let site = Site::start(lab, &mysql(&pair.a, "", ""), &checks);
    let began = clock::now_ns();
    // The applier waits for this lock while the receiver goes on.
    let mut lock = pair.b.connect().unwrap();
    lock.query_drop("LOCK TABLES lab.writes READ").unwrap();
    pair.a.sql("INSERT INTO lab.writes (number, server) VALUES (1, 1)").unwrap();
    site.wait_for_line("b", "check mysql: healthy -> degraded: replication");
    assert!(site.b.log().contains("behind, more than 2s"), "{}", site.b.log());
    drop(lock);
    site.wait_for_line("b", "degraded -> healthy");
    site.assert_stayed("a", began);
    assert!(!site.a.log().contains("check mysql"), "{}", site.a.log());
}

fn equal_server_ids_are_named() {
    let (lab, pair) = pair("equal");
    let site = Site::start(lab, &mysql(&pair.a, "", ""), &mysql(&pair.b, "", "fall: 1,"));
    let began = clock::now_ns();
    pair.b.sql("STOP SLAVE").unwrap();
    pair.b.sql("SET GLOBAL server_id = 1").unwrap();
    pair.b.sql("START SLAVE").unwrap();
    site.wait_for_line("b", "error 1593");
    site.assert_stayed("a", began);
}
