//! Trouble that is no death: a server without room for anybody, a disk without room for anything, a daemon that stands still.

use mysql::{Conn, OptsBuilder, prelude::Queryable as _};
use std::time::Duration;
use vrrp_lab::{
    Lab, Requirement, clock,
    harness::Test,
    mysql::{APP_PASSWORD, APP_USER, Flavour, Ledger, Pair, Server, Setup, Tmpfs, Writer, in_ms},
    tests,
};

use super::duo::{Duo, LIMIT, Plan, VIP};

pub(crate) fn tests() -> Vec<Test> {
    use Requirement::{Daemon, Lab, MariaDb};
    tests![[Lab, Daemon, MariaDb];
        a_server_with_its_connections_used_up_moves_no_address_and_can_be_drained,
        a_server_whose_disk_is_full_is_replaced_and_nobody_else_writes_on_it,
        a_daemon_that_stood_still_comes_back_as_the_second_and_its_server_read_only,
        what_is_written_on_a_standby_is_said_although_it_reaches_the_other,
        a_standby_that_does_not_follow_is_said,
        a_password_that_was_changed_is_read_again_at_the_next_login,
    ]
}

/// The client writes again, and on that server alone.
fn wait_for_writes(duo: &Duo, writer: &Writer, host: &str) {
    duo.wait_for(host);
    duo.wait_until("the client writes again", || writer.wait_for_write(Duration::from_millis(200)).is_ok());
    assert!(!duo.pair.on(host).is_read_only().unwrap(), "{}", duo.logs());
}

/// As an application, over the socket.
fn connect(server: &Server) -> Result<Conn, mysql::Error> {
    let socket = server.socket().to_string_lossy().into_owned();
    Conn::new(OptsBuilder::new().socket(Some(socket)).user(Some(APP_USER)).pass(Some(APP_PASSWORD)))
}

fn a_server_with_its_connections_used_up_moves_no_address_and_can_be_drained() {
    let lab = Lab::pair("usedup").unwrap();
    let few = |node| Setup::new(Flavour::MariaDb, node).with("max_connections = 20");
    let pair = Pair::start_with(&lab, few(1), few(2)).unwrap();
    let duo = Duo::start_on(lab, pair, &Plan::new(Flavour::MariaDb));
    let writer = duo.writer();
    let filled = clock::now_ns();
    let (mut sessions, mut is_full) = (Vec::new(), false);
    // The probe may have had the last place for a moment, which is free again after that.
    duo.wait_until("no more connections are taken, and the probe says it", || {
        match connect(&duo.pair.a) {
            Ok(session) => sessions.push(session),
            Err(error) => is_full |= error.to_string().contains("1040"),
        }
        is_full && duo.a.log().contains("healthy -> degraded")
    });
    clock::sleep_ms(3_000);
    let timeline = duo.watch.timeline(VIP).unwrap();
    assert_eq!(timeline.lost_at("a", filled), None, "{timeline}\n{}", duo.logs());
    assert!(!duo.pair.a.is_read_only().unwrap() && duo.pair.b.is_read_only().unwrap(), "{}", duo.logs());

    duo.drain("a");
    wait_for_writes(&duo, &writer, "b");
    assert!(duo.pair.a.is_read_only().unwrap(), "{}", duo.logs());
    let record = writer.finish().unwrap();
    duo.assert_never_two();
    let compare = || Ledger::read(&duo.pair.b).unwrap().compare(&record);
    clock::wait_until(Duration::from_secs(2), || compare().is_clean());
    assert!(compare().is_clean(), "{}\n{}", compare(), duo.logs());
}

fn a_server_whose_disk_is_full_is_replaced_and_nobody_else_writes_on_it() {
    // Dropped last: its folder holds the mount.
    let mut duo;
    let lab = Lab::pair("fulldisk").unwrap();
    let disk = Tmpfs::mount(&lab.host("a").file("binlog"), 64).unwrap();
    let setup = Setup { binlog_folder: Some(disk.folder().to_owned()), ..Setup::new(Flavour::MariaDb, 1) };
    let pair = Pair::start_with(&lab, setup, Setup::new(Flavour::MariaDb, 2)).unwrap();
    let check = "write: { table: vrrp.heartbeat, interval: 200ms, deadline: 500ms, min_free: 1MiB },";
    duo = Duo::start_on(lab, pair, &Plan { check, ..Plan::new(Flavour::MariaDb) });
    let writer = duo.writer();
    clock::sleep_ms(1_200);
    let filled = clock::now_ns();
    disk.fill().unwrap();
    wait_for_writes(&duo, &writer, "b");
    let record = writer.finish().unwrap();
    println!("outage {}", in_ms(record.longest_gap(filled, record.acknowledged.last().unwrap().at_ns)));
    duo.assert_never_two();
    disk.free().unwrap();
    let pair = &mut duo.pair;
    // A server that could not write its binary log may as well have ended by itself.
    let is_harmless = clock::wait_until(LIMIT, || {
        pair.a.is_read_only().is_ok_and(|is_read_only| is_read_only) || !pair.a.process().is_running()
    });
    assert!(is_harmless, "the server that has room again takes writes\n{}", duo.logs());
    assert!(!duo.pair.b.is_read_only().unwrap(), "{}", duo.logs());
}

/// Its guard takes the address off and has the server made read-only; what the daemon does when it thaws is for nobody's harm.
fn a_daemon_that_stood_still_comes_back_as_the_second_and_its_server_read_only() {
    let mut duo = Duo::start("stoodstill", Flavour::MariaDb);
    let writer = duo.writer();
    clock::sleep_ms(1_200);
    let frozen = clock::now_ns();
    duo.a.freeze();
    wait_for_writes(&duo, &writer, "b");
    duo.a.thaw();
    for _ in 0..60 {
        assert!(duo.pair.a.is_read_only().unwrap() && !duo.pair.b.is_read_only().unwrap(), "{}", duo.logs());
        clock::sleep_ms(50);
    }
    let record = writer.finish().unwrap();
    println!("outage {}", in_ms(record.longest_gap(frozen, record.acknowledged.last().unwrap().at_ns)));
    duo.assert_never_two();
    let timeline = duo.watch.timeline(VIP).unwrap();
    assert_eq!(timeline.acquisitions("a"), 1, "{timeline}\n{}", duo.logs());
    duo.wait_until("the pair is whole again", || duo.status("b").contains("the peer follows"));
    duo.pair.wait_equal(LIMIT).unwrap();
    let verdict = Ledger::read(&duo.pair.b).unwrap().compare(&record);
    assert!(verdict.is_clean(), "{verdict}\n{}", duo.logs());
}

/// By root, whom read_only does not stop; both directions run, and nothing else would show it.
fn what_is_written_on_a_standby_is_said_although_it_reaches_the_other() {
    let duo = Duo::start("errant", Flavour::MariaDb);
    // A few looks at the server as a standby.
    clock::sleep_ms(1_500);
    duo.pair.b.sql("INSERT INTO lab.writes (number, server) VALUES (1, 2)").unwrap();
    duo.wait_for_line("b", "was written on this standby");
    duo.pair.wait_equal(LIMIT).unwrap();
    // Not for a moment only: whoever looks later sees it, too.
    clock::sleep_ms(1_500);
    duo.wait_until("status says it, too", || duo.status("b").contains("was written on this standby"));
    assert!(!duo.pair.a.is_read_only().unwrap() && duo.pair.b.is_read_only().unwrap(), "{}", duo.logs());
    assert!(!duo.a.log().contains("was written on this standby"), "{}", duo.logs());
}

fn a_standby_that_does_not_follow_is_said() {
    let duo = Duo::start("deaf", Flavour::MariaDb);
    let writer = duo.writer();
    duo.pair.b.sql("STOP SLAVE").unwrap();
    duo.wait_for_line("b", "a failover now would lose it");
    duo.pair.b.sql("START SLAVE").unwrap();
    duo.wait_until("it follows again", || !duo.status("b").contains("would lose it"));
    drop(writer);
}

/// Kept connections hide it until the server is restarted.
fn a_password_that_was_changed_is_read_again_at_the_next_login() {
    let lab = Lab::pair("rotated").unwrap();
    let pair = Pair::start(&lab, Flavour::MariaDb).unwrap();
    let file = lab.host("b").file("vrrp.password");
    let write = |password: &str| {
        std::fs::write(&file, password).unwrap();
        std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    };
    write("change-me-vrrp");
    let plan = Plan { password_file: Some(file.clone()), ..Plan::new(Flavour::MariaDb) };
    let mut duo = Duo::start_on(lab, pair, &plan);
    let mut root = duo.pair.b.connect().unwrap();
    root.query_drop("SET SESSION sql_log_bin = 0").unwrap();
    root.query_drop("SET PASSWORD FOR 'vrrp'@'localhost' = PASSWORD('another')").unwrap();
    write("another");
    for row in duo.pair.b.rows("SELECT id FROM information_schema.processlist WHERE user = 'vrrp'").unwrap() {
        // It may have ended by itself meanwhile.
        drop(duo.pair.b.sql(&format!("KILL CONNECTION {}", row["id"])));
    }
    duo.pair.a.kill();
    duo.wait_for("b");
    assert!(!duo.pair.b.is_read_only().unwrap(), "{}", duo.logs());
}
