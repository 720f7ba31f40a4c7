//! Real MariaDB servers, each in a trouble of its own: what is said, and where the address goes.

use std::{fs, sync::mpsc, thread, time::Duration};

use mysql::{Conn, OptsBuilder, prelude::Queryable as _};
use rustix::process::Signal;
use vrrp_lab::{
    Lab, Requirement, clock,
    daemon::{Instance, binary, yaml},
    harness::{Test, count},
    mysql::{APP_PASSWORD, APP_USER, Certificates, Flavour, Server, Setup, Tmpfs},
    tests,
};

use super::site::{LIMIT, PROBE_PASSWORD, Site, VIP, mysql, with_flavour, with_servers};

pub(crate) fn tests() -> Vec<Test> {
    use Requirement::{Daemon, Lab, MariaDb, MySql56};
    let mut all = tests![[Lab, Daemon, MySql56];
        a_killed_mysql_5_6_costs_the_address_and_all_views_understand_it,
    ];
    all.extend(tests![[Lab, Daemon, MariaDb];
        a_killed_server_costs_the_address_within_milliseconds,
        a_frozen_server_is_hung_and_a_port_that_accepts_never_notices,
        a_server_that_shuts_down_is_believed_before_it_is_gone,
        a_wrong_password_moves_no_address_and_is_said_once,
        a_wrong_password_does_not_hide_a_death,
        too_many_connections_is_degraded_and_moves_no_address,
        a_killed_connection_of_a_probe_is_no_death,
        a_full_binlog_disk_is_seen_by_the_write_probe_alone,
        a_disk_that_fills_is_said_on_the_standby_as_on_the_active_node_and_moves_nothing,
        what_a_reload_adds_or_renames_knows_who_is_master,
        a_read_only_server_where_the_address_is_is_degraded,
        secrets_of_a_role_that_cannot_be_read_are_named_before_the_start,
        a_login_over_tls_is_made_and_a_server_without_it_is_our_mistake,
        without_the_witness_a_pidfd_sees_the_death,
        a_closed_connection_alone_tells_of_a_death,
        passwords_are_shown_nowhere,
    ]);
    all
}

fn a_killed_mysql_5_6_costs_the_address_and_all_views_understand_it() {
    let (lab, mut a, b) = with_flavour("five-six", Flavour::MySql56, |setup| setup);
    a.set_read_only(false).unwrap();
    let write = "write: { table: vrrp.heartbeat, interval: 200ms },";
    let site = Site::start(lab, &mysql(&a, write, ""), &mysql(&b, write, ""));
    site.wait_for_line("a", "(mysqld), which serves");
    site.wait_until("the active node writes", || {
        a.ask("SELECT beat FROM vrrp.heartbeat WHERE server_id = 1").unwrap().is_some()
    });
    for host in ["a", "b"] {
        assert!(!site.daemon(host).log().contains("check mysql"), "{}", site.daemon(host).log());
    }
    let killed = clock::now_ns();
    a.kill();
    let until_advert = site.until_advert("b", killed);
    println!("b is master {until_advert:?} after the kill");
    let stalled = site.stalls.within(killed, killed + clock::nanos(until_advert));
    assert!(until_advert < Duration::from_millis(500) + stalled, "{until_advert:?}");
    site.wait_for("b");
}

fn a_killed_server_costs_the_address_within_milliseconds() {
    let (lab, mut a, mut b) = with_servers("killed", |setup| setup);
    let site = Site::start(lab, &mysql(&a, "", ""), &mysql(&b, "", ""));
    for host in ["a", "b"] {
        site.wait_for_line(host, "watching process");
        assert!(site.daemon(host).log().contains("(mariadbd), which serves"), "{}", site.daemon(host).log());
    }
    let mut took = Vec::new();
    for round in 0..count(4, 20) {
        let (victim, heir, server) = if round % 2 == 0 { ("a", "b", &mut a) } else { ("b", "a", &mut b) };
        let watched = || site.daemon(victim).log().matches("watching process").count();
        let before = watched();
        let killed = clock::now_ns();
        server.kill();
        let until_advert = site.until_advert(heir, killed);
        println!("round {round}: {heir} is master {until_advert:?} after the kill");
        took.push(
            until_advert.saturating_sub(site.stalls.within(killed, killed + clock::nanos(until_advert))),
        );
        site.wait_for(heir);
        server.restart(site.lab.host(victim)).unwrap();
        site.wait_until("the new process is watched", || watched() > before);
        site.wait_until("it is well again", || site.daemon(victim).log().ends_with_recovery());
        clock::sleep_ms(1500);
    }
    took.sort();
    let median = took[took.len() / 2];
    println!("median {median:?}, worst {:?}", took.last().unwrap());
    // Sooner than two pings in a row can have failed.
    assert!(median < Duration::from_millis(50), "{took:?}");
}

/// A daemon that may not load BPF programs, as in many a container.
fn without_the_witness_a_pidfd_sees_the_death() {
    let (lab, mut a, b) = with_servers("pidfd", |setup| setup);
    let wrapper = lab.host("a").file("vrrp-without-bpf");
    let drop_capabilities = "setpriv --bounding-set=-bpf,-perfmon,-sys_admin";
    fs::write(
        &wrapper,
        format!("#!/bin/sh\nexec {drop_capabilities} {} \"$@\"\n", binary().unwrap().display()),
    )
    .unwrap();
    fs::set_permissions(&wrapper, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let site = Site::start_as(lab, &wrapper, &mysql(&a, "", ""), &mysql(&b, "", ""));
    site.wait_for_line("a", "the end of a server with much memory is seen late");
    site.wait_for_line("a", "watching process");
    let killed = clock::now_ns();
    a.kill();
    let until_advert = site.until_advert("b", killed);
    println!("b is master {until_advert:?} after the kill");
    let stalled = site.stalls.within(killed, killed + clock::nanos(until_advert));
    assert!(until_advert < Duration::from_millis(500) + stalled, "{until_advert:?}");
    site.wait_for("b");
}

/// Nobody watches the process, and the next ping is most of a minute away.
fn a_closed_connection_alone_tells_of_a_death() {
    let (lab, mut a, b) = with_servers("sentinel", |setup| setup);
    let alone = format!(
        "{{ name: alone, mysql: {{ socket: {}, user: vrrp_probe, password: {PROBE_PASSWORD}, process: false, state: false, \
         fast: {{ interval: 50s, deadline: 2s }} }} }}",
        a.socket().display()
    );
    let site = Site::start(lab, &alone, &mysql(&b, "", ""));
    site.wait_until("the sentinel waits for the server's end", || {
        let waiting = "SELECT id FROM information_schema.processlist WHERE info LIKE 'DO SLEEP%'";
        a.rows(waiting).is_ok_and(|rows| !rows.is_empty())
    });
    let killed = clock::now_ns();
    a.kill();
    let until_advert = site.until_advert("b", killed);
    println!("b is master {until_advert:?} after the kill");
    site.wait_for("b");
    assert!(site.a.log().contains("check alone: healthy -> dead"), "{}", site.a.log());
    assert!(!site.a.log().contains("watching process"), "{}", site.a.log());
    let stalled = site.stalls.within(killed, killed + clock::nanos(until_advert));
    assert!(until_advert < Duration::from_secs(10) + stalled, "{until_advert:?}\n{}", site.a.log());
}

trait Recovery {
    fn ends_with_recovery(&self) -> bool;
}

impl Recovery for String {
    /// The last verdict in it is a good one, and the router listens.
    fn ends_with_recovery(&self) -> bool {
        let last = |words: &str| self.rfind(words);
        last("-> healthy") > last("-> dead") && last("-> BACKUP") > last("-> dead")
    }
}

fn a_frozen_server_is_hung_and_a_port_that_accepts_never_notices() {
    let (lab, mut a, b) = with_servers("frozen", |setup| setup);
    // The recipe's own check, at a faster pace, beside ours.
    let port = "{ name: port, tcp: { port: 3306, connect_timeout: 10s, retries: 3, retry_delay: 100ms }, interval: 200ms, \
                on_failure: report }";
    let checks = format!("{}, {port}", mysql(&a, "", ""));
    let site = Site::start(lab, &checks, &mysql(&b, "", ""));
    let patient = wait_for_an_answer(&site);
    site.wait_until("the patient client has asked", || {
        let asked = "SELECT id FROM information_schema.processlist WHERE info LIKE 'SELECT SLEEP(%'";
        a.rows(asked).is_ok_and(|rows| !rows.is_empty())
    });
    let frozen = clock::now_ns();
    a.freeze();
    let until_advert = site.until_advert("b", frozen);
    println!("b is master {until_advert:?} after the freeze");
    let stalled = site.stalls.within(frozen, frozen + clock::nanos(until_advert));
    // 750 ms by the limits of pings and resets, and far less than the 15 s that keepalived's check would take.
    assert!(until_advert < Duration::from_secs(2) + stalled, "{until_advert:?} with {stalled:?} of stalls");
    site.wait_for("b");
    site.wait_for_line("a", "check mysql: healthy -> hung");
    let answer = patient.recv_timeout(LIMIT);
    let answer = answer.unwrap_or_else(|_| panic!("a client that waits is not told:\n{}", site.a.log()));
    assert!(answer.contains("reset by peer"), "{answer}\n{}", site.a.log());
    site.wait_for_line("a", "1 client's connection was reset");
    clock::sleep_ms(3000);
    assert!(!site.a.log().contains("check port"), "a frozen server's port accepts:\n{}", site.a.log());
    a.thaw();
    site.wait_for_line("a", "-> healthy");
    site.wait_until("a listens again", || {
        let log = site.a.log();
        log.rfind("-> BACKUP") > log.rfind("-> hung")
    });
    clock::sleep_ms(500);
    assert_eq!(site.watch.holders(VIP).unwrap(), ["b"], "without preemption nothing comes back");
}

/// A client that only listens: it sends nothing that somebody else could refuse. What it hears at last.
fn wait_for_an_answer(site: &Site) -> mpsc::Receiver<String> {
    let join = site.lab.host("client").namespace().joiner().unwrap();
    let (told, answer) = mpsc::channel();
    thread::spawn(move || {
        join().unwrap();
        let client = OptsBuilder::new().ip_or_hostname(Some(VIP.to_string())).prefer_socket(false);
        let mut client = Conn::new(client.user(Some(APP_USER)).pass(Some(APP_PASSWORD))).unwrap();
        let slept = client.query_drop("SELECT SLEEP(600)");
        // Nobody listens any more when the test has failed already.
        told.send(format!("{slept:?}")).unwrap_or_default();
    });
    answer
}

fn a_server_that_shuts_down_is_believed_before_it_is_gone() {
    let (lab, mut a, b) = with_servers("leaving", |setup| setup);
    let site = Site::start(lab, &mysql(&a, "", ""), &mysql(&b, "", ""));
    site.wait_for_line("a", "watching process");
    let told = clock::now_ns();
    a.terminate();
    let until_advert = site.until_advert("b", told);
    println!("b is master {until_advert:?} after SIGTERM");
    let stalled = site.stalls.within(told, told + clock::nanos(until_advert));
    assert!(until_advert < Duration::from_secs(1) + stalled, "{until_advert:?}\n{}", site.a.log());
    site.wait_for("b");
    site.wait_until("it is said", || {
        let log = site.a.log();
        log.contains("healthy -> leaving") || log.contains("healthy -> dead")
    });
}

fn a_wrong_password_moves_no_address_and_is_said_once() {
    let (lab, a, b) = with_servers("wrong", |setup| setup);
    let checks =
        mysql(&a, "", "").replace(PROBE_PASSWORD, "not-this-one").replace("app-password", "nor-this-one");
    let started = clock::now_ns();
    let site = Site::start(lab, &checks, &mysql(&b, "", ""));
    site.wait_for_line("a", "check mysql: healthy -> misconfigured");
    clock::sleep_ms(6000);
    site.assert_stayed("a", started);
    let log = site.a.log();
    assert_eq!(log.matches("check mysql").count(), 1, "{log}");
    assert!(log.contains("error 1045: Access denied for user"), "{log}");
    assert!(log.contains("correct `user` and the password of this check; this moves no address"), "{log}");
}

fn a_wrong_password_does_not_hide_a_death() {
    let (lab, mut a, b) = with_servers("blind", |setup| setup);
    let checks = mysql(&a, "", "").replace(PROBE_PASSWORD, "not-this-one");
    let site = Site::start(lab, &checks, &mysql(&b, "", ""));
    site.wait_for_line("a", "-> misconfigured");
    site.wait_for_line("a", "watching process");
    let killed = clock::now_ns();
    a.kill();
    let until_advert = site.until_advert("b", killed);
    println!("b is master {until_advert:?} after the kill");
    let stalled = site.stalls.within(killed, killed + clock::nanos(until_advert));
    assert!(until_advert < Duration::from_secs(1) + stalled, "{until_advert:?}");
    site.wait_for("b");
    site.wait_for_line("a", "misconfigured -> dead");
}

fn too_many_connections_is_degraded_and_moves_no_address() {
    let (lab, a, b) = with_servers("full", |setup| setup.with("max_connections = 15"));
    let site = Site::start(lab, &mysql(&a, "", "fall: 2,"), &mysql(&b, "", ""));
    clock::sleep_ms(1000);
    let filled = clock::now_ns();
    let mut sessions = Vec::new();
    let (mut is_full, degraded) = (false, "check mysql: healthy -> degraded");
    // On and on: a probe may hold the last place for a moment, which is free again then.
    site.wait_until("no more connections are taken, and the probe says it", || {
        match connect(&a) {
            Ok(session) => sessions.push(session),
            Err(error) => is_full |= error.to_string().contains("1040"),
        }
        is_full && site.a.log().contains(degraded)
    });
    assert!(site.a.log().contains("error 1040: Too many connections"), "{}", site.a.log());
    assert!(site.a.log().contains("; only reported"), "{}", site.a.log());
    clock::sleep_ms(3000);
    site.assert_stayed("a", filled);
    drop(sessions);
    site.wait_for_line("a", "degraded -> healthy");
    site.assert_stayed("a", filled);
}

/// As an application, over the socket.
fn connect(server: &Server) -> Result<Conn, mysql::Error> {
    let socket = server.socket().to_string_lossy().into_owned();
    Conn::new(OptsBuilder::new().socket(Some(socket)).user(Some(APP_USER)).pass(Some(APP_PASSWORD)))
}

fn a_killed_connection_of_a_probe_is_no_death() {
    let (lab, a, b) = with_servers("spared", |setup| setup);
    let site = Site::start(lab, &mysql(&a, "", ""), &mysql(&b, "", ""));
    let began = clock::now_ns();
    for _ in 0..5 {
        let mut sessions = Vec::new();
        site.wait_until("ping and sentinel are connected", || {
            let query = "SELECT id FROM information_schema.processlist WHERE user = 'vrrp_probe'";
            sessions = a.rows(query).unwrap();
            sessions.len() >= 2
        });
        for session in sessions {
            // It may have ended by itself meanwhile.
            drop(a.sql(&format!("KILL CONNECTION {}", session["id"])));
        }
        clock::sleep_ms(800);
    }
    site.assert_stayed("a", began);
    assert!(!site.a.log().contains("check mysql"), "{}", site.a.log());
}

fn a_full_binlog_disk_is_seen_by_the_write_probe_alone() {
    // Dropped last: its folder holds the mount.
    let site;
    let lab = Lab::pair("disk").unwrap();
    let disk = Tmpfs::mount(&lab.host("a").file("binlog"), 16).unwrap();
    let setup = Setup { binlog_folder: Some(disk.folder().to_owned()), ..Setup::new(Flavour::MariaDb, 1) };
    let a = Server::start(lab.host("a"), setup).unwrap();
    let b = Server::start(lab.host("b"), Setup::new(Flavour::MariaDb, 2)).unwrap();
    a.set_read_only(false).unwrap();
    let write = "write: { table: vrrp.heartbeat, interval: 200ms, deadline: 500ms, min_free: 1MiB },";
    site = Site::start(lab, &mysql(&a, write, "fall: 2,"), &mysql(&b, write, ""));
    let beats = || {
        let beat = a.ask("SELECT beat FROM vrrp.heartbeat WHERE server_id = 1").unwrap();
        beat.and_then(|beat| beat.parse::<u64>().ok()).unwrap_or(0)
    };
    site.wait_until("the active node writes", || beats() >= 3);
    let written = b.ask("SELECT COUNT(*) FROM vrrp.heartbeat").unwrap();
    assert_eq!(written.as_deref(), Some("0"), "the standby's server is not written to");
    disk.fill().unwrap();
    let filled = clock::now_ns();
    let until_advert = site.until_advert("b", filled);
    println!("b is master {until_advert:?} after the disk was full");
    site.wait_for_line("a", "-> hung");
    site.wait_for_line("a", "write to vrrp.heartbeat: no answer within 500ms");
    // Whoever is not active does not write: no session of ours is left behind.
    clock::sleep_ms(2000);
    let stuck = a.rows(
        "SELECT id FROM information_schema.processlist WHERE user = 'vrrp_probe' AND info LIKE 'INSERT%'",
    );
    assert!(stuck.unwrap().len() <= 1);
    disk.free().unwrap();
    site.wait_for_line("a", "-> healthy");
}

fn a_disk_that_fills_is_said_on_the_standby_as_on_the_active_node_and_moves_nothing() {
    // Dropped last: its folders hold the mounts.
    let site;
    let lab = Lab::pair("filling").unwrap();
    let start = |host: &str, node| {
        let disk = Tmpfs::mount(&lab.host(host).file("binlog"), 32).unwrap();
        let setup =
            Setup { binlog_folder: Some(disk.folder().to_owned()), ..Setup::new(Flavour::MariaDb, node) };
        (disk, Server::start(lab.host(host), setup).unwrap())
    };
    let ((disk_a, a), (disk_b, b)) = (start("a", 1), start("b", 2));
    a.set_read_only(false).unwrap();
    b.set_read_only(true).unwrap();
    let write = "write: { table: vrrp.heartbeat, interval: 200ms, deadline: 2s, min_free: 8MiB },";
    site = Site::start(lab, &mysql(&a, write, ""), &mysql(&b, write, ""));
    let beat = || a.ask("SELECT beat FROM vrrp.heartbeat WHERE server_id = 1").unwrap();
    site.wait_until("the active node writes", || beat().is_some());
    let began = clock::now_ns();
    for (host, disk) in [("b", &disk_b), ("a", &disk_a)] {
        assert!(!site.daemon(host).log().contains("degraded"), "{}", site.daemon(host).log());
        disk.fill_but(4).unwrap();
        site.wait_for_line(host, &format!("healthy -> degraded: {} has ", disk.folder().display()));
        site.wait_for_line(host, " MiB free of 32 MiB; free space, or lower `min_free`; only reported");
        site.wait_until("status says it", || site.status(host).contains("MiB free of 32 MiB"));
    }
    let before = beat();
    site.wait_until("the active node writes on", || beat() != before);
    let written = b.ask("SELECT COUNT(*) FROM vrrp.heartbeat").unwrap();
    assert_eq!(written.as_deref(), Some("0"), "the standby's server is not written to");
    for (host, disk) in [("b", &disk_b), ("a", &disk_a)] {
        disk.free().unwrap();
        site.wait_for_line(host, "degraded -> healthy");
    }
    site.assert_stayed("a", began);
}

fn what_a_reload_adds_or_renames_knows_who_is_master() {
    let (lab, a, b) = with_servers("reloaded", |setup| setup);
    a.set_read_only(false).unwrap();
    let mut site = Site::start(lab, "", "");
    let beat = || a.ask("SELECT MAX(beat) FROM vrrp.heartbeat WHERE server_id = 1").unwrap();
    assert_eq!(beat(), None, "nobody writes yet");
    let file = site.a.config().to_owned();
    let text = fs::read_to_string(&file).unwrap();
    let write = "write: { table: vrrp.heartbeat, interval: 200ms },";
    let with_check = text.replace("checks: []", &format!("checks: [{}]", mysql(&a, write, "")));
    assert_ne!(with_check, text);
    for (done, text) in [with_check.clone(), with_check.replace("VI_1", "renamed")].into_iter().enumerate() {
        fs::write(&file, text).unwrap();
        site.a.signal(Signal::HUP);
        site.wait_until("it is in effect", || site.a.log().matches("is in effect").count() > done);
        // Whatever the former check had still under way.
        clock::sleep_ms(500);
        a.sql("DELETE FROM vrrp.heartbeat").unwrap();
        site.wait_until("the active host writes", || beat().is_some());
    }
    assert!(site.status("a").contains("renamed"), "{}", site.a.log());
    drop(b);
}

fn a_read_only_server_where_the_address_is_is_degraded() {
    let (lab, a, b) = with_servers("refuses", |setup| setup);
    let write = "write: { table: vrrp.heartbeat, interval: 200ms, deadline: 500ms, min_free: 1MiB },";
    let site = Site::start(lab, &mysql(&a, write, ""), &mysql(&b, write, ""));
    let began = clock::now_ns();
    let words =
        "check mysql: healthy -> degraded: this host is MASTER, and its server refuses writes (read_only)";
    site.wait_for_line("a", words);
    a.set_read_only(false).unwrap();
    site.wait_for_line("a", "degraded -> healthy");
    site.assert_stayed("a", began);
    assert!(!site.b.log().contains("check mysql"), "a standby may be read-only:\n{}", site.b.log());
}

fn secrets_of_a_role_that_cannot_be_read_are_named_before_the_start() {
    let lab = Lab::pair("passwords").unwrap();
    let role = "mysql: { user: vrrp, password_file: /nowhere/own, tls: { ca: /nowhere/own-ca }, peer: { address: 10.99.0.2, \
                user: vrrp_peer, password_file: /nowhere/peer, tls: { ca: /nowhere/peer-ca } } }";
    let text = yaml("passwords", &[Instance::v2(100).with("role: manage").with(role)]);
    let config = lab.host("a").file("passwords.yaml");
    fs::write(&config, text).unwrap();
    let mut command = std::process::Command::new(binary().unwrap());
    let output = command.arg("check").arg("--config").arg(&config).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    for words in [
        "instance VI_1: mysql: the password file /nowhere/own ",
        "instance VI_1: mysql: the CA file /nowhere/own-ca ",
        "instance VI_1: mysql.peer: the password file /nowhere/peer ",
        "instance VI_1: mysql.peer: the CA file /nowhere/peer-ca ",
    ] {
        assert!(said.contains(words), "{words:?} is not in\n{said}");
    }
}

fn a_login_over_tls_is_made_and_a_server_without_it_is_our_mistake() {
    let lab = Lab::pair("tls").unwrap();
    let certificates = Certificates::make(&lab, "certificates").unwrap();
    let with_tls = certificates.equip(Setup::new(Flavour::MariaDb, 1));
    let mut a = Server::start(lab.host("a"), with_tls).unwrap();
    let b = Server::start(lab.host("b"), Setup::new(Flavour::MariaDb, 2)).unwrap();
    a.sql(&format!("ALTER USER '{APP_USER}'@'%' REQUIRE SSL")).unwrap();
    let tls = format!("tls: {{ ca: {}, server_name: db.example }},", certificates.authority().display());
    // The public authorities do not know ours.
    let untrusted = mysql(&a, "tls: true,", "name: untrusted,");
    let unreadable = mysql(&a, "tls: { ca: /nowhere/ca.pem },", "name: unreadable,");
    let checks = format!("{}, {untrusted}, {unreadable}", mysql(&a, &tls, ""));
    let site = Site::start(lab, &checks, &mysql(&b, &tls, ""));
    site.wait_for_line("a", "check untrusted: healthy -> misconfigured");
    // A file that is not there is no server that is not there.
    site.wait_for_line("a", "check unreadable: healthy -> misconfigured");
    site.wait_for_line("a", "the CA file /nowhere/ca.pem cannot be read");
    site.wait_for_line("b", "-> misconfigured");
    assert!(site.b.log().contains("the server offers no TLS"), "{}", site.b.log());
    clock::sleep_ms(1500);
    assert!(!site.a.log().contains("check mysql"), "{}", site.a.log());
    // A server that is not there is found so all the same, and for longer than any hold-down.
    a.kill();
    site.wait_for_line("a", "check unreadable: misconfigured -> dead");
    clock::sleep_ms(8_000);
    assert!(!site.a.log().contains("check unreadable: dead ->"), "{}", site.a.log());
}

/// Log, status of the process, its children's environment, `vrrp check` and what an error says.
fn passwords_are_shown_nowhere() {
    const SECRETS: [&str; 3] = [PROBE_PASSWORD, APP_PASSWORD, "wrong-but-secret"];
    let (lab, a, b) = with_servers("secrets", |setup| setup);
    let (seen, wrong) = (lab.host("a").file("environment"), lab.host("a").file("secret"));
    fs::write(&wrong, "wrong-but-secret\n").unwrap();
    let script = lab.host("a").file("notify");
    fs::write(
        &script,
        format!("#!/bin/sh\nenv > {0}.new; ps axww >> {0}.new; mv {0}.new {0}; exit 0\n", seen.display()),
    )
    .unwrap();
    for (path, mode) in [(&wrong, 0o600), (&script, 0o755)] {
        fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
    }
    let refused = format!(
        "{{ name: refused, mysql: {{ socket: {}, user: vrrp_probe, password_file: {} }} }}",
        a.socket().display(),
        wrong.display()
    );
    let notify = format!(
        "{{ name: env, script: {{ command: {}, timeout: 5s, user: root }}, interval: 100ms }}",
        script.display()
    );
    let checks = format!("{}, {refused}, {notify}", mysql(&a, "", ""));
    let text = yaml("secrets", &[Instance::v2(100).with(&format!("checks: [{checks}]"))])
        + "log: { level: trace }\n";
    let daemon = vrrp_lab::Daemon::start_with_yaml(lab.host("a"), &text).unwrap();
    assert!(
        clock::wait_until(LIMIT, || daemon.log().contains("check refused: healthy -> misconfigured")),
        "{}",
        daemon.log()
    );
    assert!(clock::wait_until(LIMIT, || fs::read_to_string(&seen).is_ok_and(|text| text.contains("PID"))));
    let config = daemon.config().to_string_lossy().into_owned();
    let binary = binary().unwrap().to_string_lossy().into_owned();
    let checked = lab.host("a").namespace().run(&binary, &["check", "--config", &config]).unwrap();
    for (what, shown) in [
        ("log", daemon.log()),
        ("children", fs::read_to_string(&seen).unwrap()),
        ("check", checked),
        ("command line", fs::read_to_string(format!("/proc/{}/cmdline", daemon.pid())).unwrap()),
    ] {
        assert!(!shown.is_empty(), "{what}");
        for secret in SECRETS {
            assert!(!shown.contains(secret), "{what} shows {secret}:\n{shown}");
        }
    }
    drop(b);
}
