//! Replication in trouble on the standby: said, and no reason to move an address.

use mysql::prelude::Queryable;
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
