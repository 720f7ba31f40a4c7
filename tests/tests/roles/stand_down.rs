//! What becomes of a server whose daemon is killed under its address, whatever its file says by then.

use std::{fs, process::Command};

use mysql::{Conn, OptsBuilder, prelude::Queryable as _};
use vrrp_lab::{
    Instance, Requirement, clock, daemon, flood::Injector, frame::Advert, harness::Test, mysql::Flavour,
    tests,
};

use super::duo::{Duo, Plan, VIP};

pub(crate) fn tests() -> Vec<Test> {
    use Requirement::{Daemon, Lab, MariaDb};
    tests![[Lab, Daemon, MariaDb];
        a_file_broken_under_a_killed_daemon_keeps_no_server_writable,
        the_session_of_the_peers_daemon_outlives_the_daemon,
        a_server_that_the_configuration_does_not_know_is_named,
        a_master_that_yields_is_not_taken_for_frozen,
        a_reload_gives_a_managed_server_no_other_virtual_router,
    ]
}

/// The guard alone is left, and `b` takes over by its own gate.
fn kill_a(duo: &mut Duo) {
    duo.a.kill();
    duo.wait_for("b");
    duo.wait_until("the server of the dead daemon is read-only", || duo.pair.a.is_read_only().unwrap());
    duo.wait_until("b takes writes", || !duo.pair.b.is_read_only().unwrap());
    duo.assert_never_two();
}

fn a_file_broken_under_a_killed_daemon_keeps_no_server_writable() {
    for (round, break_it) in
        [(|text: &str| text[..text.len() / 2].to_owned()) as fn(&str) -> String, |text: &str| {
            text.replace("name: VI_1", "name: VI_9")
        }]
        .into_iter()
        .enumerate()
    {
        let mut duo = Duo::start("broken", Flavour::MariaDb);
        let file = duo.a.config().to_owned();
        let text = fs::read_to_string(&file).unwrap();
        let second = Instance { vrid: 52, name: "VI_2".to_owned(), ..Instance::v2(100) };
        let second = Instance { virtual_addresses: vec!["10.99.0.201/24".to_owned()], ..second };
        let second = daemon::yaml("", &[second]);
        let (_, second) = second.split_once("instances:\n").unwrap();
        // What is in effect is no longer what the daemon was started with.
        let text = text.replacen("instances:\n", &format!("instances:\n{second}"), 1);
        fs::write(&file, &text).unwrap();
        duo.order("a", &["reload"]);
        fs::write(&file, break_it(&text)).unwrap();
        let refused = duo.command("a", &["reload"]);
        assert!(!refused.status.success(), "round {round}\n{}", duo.logs());
        kill_a(&mut duo);
        assert!(!duo.lab.host("a").holds(VIP).unwrap());
    }
}

/// It may be about to ask whether this server is read-only yet.
fn the_session_of_the_peers_daemon_outlives_the_daemon() {
    let mut duo = Duo::start("spared", Flavour::MariaDb);
    let address = duo.lab.host("a").address();
    let as_peers = OptsBuilder::new()
        .ip_or_hostname(Some(address.to_string()))
        .tcp_port(3306)
        .user(Some("vrrp_peer"))
        .pass(Some("change-me-peer"))
        .prefer_socket(false);
    let open = || Conn::new(as_peers).unwrap();
    let mut session = duo.lab.host("b").namespace().enter(open).unwrap();
    let mut client = duo.pair.a.connect().unwrap();
    client.query_drop("SELECT 1").unwrap();
    kill_a(&mut duo);
    // The last thing that the process does, and nothing says that it is done.
    duo.wait_until("other sessions are ended", || client.query_drop("SELECT 1").is_err());
    clock::sleep_ms(500);
    let answer: Option<u8> = session.query_first("SELECT 1").unwrap();
    assert_eq!(answer, Some(1), "{}", duo.logs());
}

fn a_server_that_the_configuration_does_not_know_is_named() {
    let duo = Duo::start("unknown", Flavour::MariaDb);
    let mut command = Command::new(daemon::binary().unwrap());
    let config = duo.b.config().to_string_lossy().into_owned();
    let output = command.args(["stand-down", "--config", &config, "VI_9", "VI_1"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    let lines = |words: &str| said.lines().filter(|line| line.contains(words)).count();
    assert_eq!(lines("the configuration has no such instance"), 1, "{said}");
    assert!(said.contains("VI_9") && said.contains("VI_1: the role is given up"), "{said}");
}

/// It says nothing more, and keeps the address until its server is read-only: longer than its guard waits for adverts, and
/// longer than the kernel would keep the address after the last of them.
fn a_master_that_yields_is_not_taken_for_frozen() {
    let plan = Plan { limits: "peer_limit: 2s, statement_limit: 6s,", ..Plan::new(Flavour::MariaDb) };
    let mut duo = Duo::start_with("yields", &plan);
    // It does not hear adverts from its own address, and would run for master itself.
    duo.b.kill();
    let mut lock = duo.pair.a.connect().unwrap();
    lock.query_drop("LOCK TABLES lab.writes WRITE").unwrap();
    let peer = duo.lab.host("b");
    let stronger = Advert::v2(peer.address(), 51, 200, "1111", &[VIP]).emit(peer.mac());
    let injector = Injector::new(peer).unwrap();
    let from = clock::now_ns();
    let mut next = from;
    duo.wait_until("a lets go", || {
        if clock::now_ns() >= next {
            injector.send(std::slice::from_ref(&stronger)).unwrap();
            next += clock::SECOND;
        }
        duo.watch.timeline(VIP).unwrap().lost_at("a", from).is_some()
    });
    let log = duo.a.log();
    assert!(log.contains("MASTER -> BACKUP") && !log.contains("frozen"), "{}", duo.logs());
    assert!(!log.contains("before it could be renewed"), "{}", duo.logs());
    let held = duo.watch.timeline(VIP).unwrap().lost_at("a", from).unwrap() - from;
    assert!(held > 5 * clock::SECOND, "nothing held it up: {held} ns\n{}", duo.logs());
}

/// Its task would never hear of another router, which would win and never have its address.
fn a_reload_gives_a_managed_server_no_other_virtual_router() {
    let duo = Duo::start("another", Flavour::MariaDb);
    let file = duo.a.config().to_owned();
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("virtual_router_id: 51", "virtual_router_id: 52")).unwrap();
    let refused = duo.command("a", &["reload"]);
    let error = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && error.contains("virtual_router_id"), "{error}\n{}", duo.logs());
    assert!(duo.lab.host("a").holds(VIP).unwrap(), "{}", duo.logs());
    // And its orders still reach its server.
    fs::write(&file, text).unwrap();
    duo.order("a", &["reload"]);
    duo.drain("a");
    duo.wait_for("b");
    duo.wait_until("b takes writes", || !duo.pair.b.is_read_only().unwrap());
    assert!(duo.pair.a.is_read_only().unwrap(), "{}", duo.logs());
}
