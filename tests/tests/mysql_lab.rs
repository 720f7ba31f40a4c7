//! The lab's databases, its client and its ledger: what the MySQL tests rely on must be able to find a fault.
#![expect(clippy::unwrap_used, reason = "a test panics when it fails")]

use std::{net::Ipv4Addr, path::Path, process::ExitCode, time::Duration};

use mysql::{Conn, OptsBuilder, prelude::Queryable};
use vrrp_lab::{
    Lab, Requirement, clock,
    clock::MILLISECOND,
    harness,
    mysql::{
        Acknowledged, Failure, Flavour, Ledger, Pair, Record, Server, Setup, Tmpfs, Writer, WriterSetup,
        in_ms,
    },
    tests,
};

const LIMIT: Duration = Duration::from_secs(60);
/// Commits wait 700 ms for a replica that stands still, and then wait no longer, by right.
const STALL: Duration = Duration::from_millis(300);
/// Without a virtual IP the client writes to the first server's own address.
const A: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 1);

fn main() -> ExitCode {
    use Requirement::{Lab, MariaDb, MySql56};
    let mut all = tests![[]; a_record_measures_gaps_and_open_ends];
    all.extend(tests![[Lab, MariaDb];
        a_mariadb_pair_replicates_both_ways_and_its_keys_do_not_meet,
        the_ledger_finds_a_lost_row_a_double_one_and_a_stranger,
        the_client_sees_a_frozen_server_as_an_outage_and_a_killed_one_as_a_reset,
        semi_sync_falls_back_when_the_peer_dies_and_is_told,
        an_errant_transaction_is_seen_in_the_position,
        a_full_binlog_disk_hangs_a_commit_and_frees_it,
        mariadb_users_can_what_they_need_and_no_more,
    ]);
    all.extend(tests![[Lab, MySql56];
        a_mysql_pair_replicates_both_ways_and_its_keys_do_not_meet,
        mysql_users_can_what_they_need_and_no_more,
    ]);
    harness::run(harness::despite_stalls(STALL, all))
}

fn a_record_measures_gaps_and_open_ends() {
    let at = |number: u64, ms: u64| Acknowledged { number, sent_ns: 0, at_ns: ms * MILLISECOND };
    let acknowledged = vec![at(0, 10), at(1, 20), at(2, 70), at(3, 80)];
    let record = Record { acknowledged, failures: Vec::new() };
    let gap = |from: u64, to: u64| record.longest_gap(from * MILLISECOND, to * MILLISECOND).as_millis();
    assert_eq!(gap(15, 100), 50, "from 20 to 70");
    assert_eq!(gap(30, 60), 50, "the gap around the window counts whole");
    assert_eq!(gap(75, 300), 220, "nothing came after 80");
    assert_eq!(gap(300, 400), 320, "nor in this window");
    assert_eq!(record.outage(30 * MILLISECOND, Duration::from_millis(20)).as_millis(), 50);
    assert_eq!(Record::default().longest_gap(5, 9).as_nanos(), 4);
}

fn a_mariadb_pair_replicates_both_ways_and_its_keys_do_not_meet() {
    replicates_both_ways(Flavour::MariaDb);
}

fn a_mysql_pair_replicates_both_ways_and_its_keys_do_not_meet() {
    replicates_both_ways(Flavour::MySql56);
}

fn replicates_both_ways(flavour: Flavour) {
    let lab = Lab::pair("both").unwrap();
    let started = clock::now_ns();
    let pair = Pair::start(&lab, flavour).unwrap();
    println!("a pair of {flavour:?} took {}", in_ms(Duration::from_nanos(clock::now_ns() - started)));
    pair.wait_replicating(LIMIT).unwrap();
    assert!(pair.a.is_read_only().unwrap() && pair.b.is_read_only().unwrap(), "both start read-only");
    for (server, number) in [(&pair.a, 1), (&pair.b, 2), (&pair.a, 3), (&pair.b, 4)] {
        server
            .sql(&format!("INSERT INTO lab.writes (number, server) VALUES ({number}, @@server_id)"))
            .unwrap();
        // One writer at a time: within one domain two at once would be divergence.
        pair.wait_equal(LIMIT).unwrap();
    }
    for server in [&pair.a, &pair.b] {
        let rows = server.rows("SELECT id, number, server FROM lab.writes ORDER BY number").unwrap();
        assert_eq!(rows.len(), 4);
        for row in rows {
            let (id, node): (u64, u64) = (row["id"].parse().unwrap(), row["server"].parse().unwrap());
            assert_eq!(id % 2, node % 2, "keys of server {node}: {row:?}");
        }
    }
}

fn the_ledger_finds_a_lost_row_a_double_one_and_a_stranger() {
    let lab = Lab::pair("ledger").unwrap();
    let pair = Pair::start(&lab, Flavour::MariaDb).unwrap();
    pair.a.set_read_only(false).unwrap();
    let writer = Writer::start(lab.host("client"), WriterSetup::new(A)).unwrap();
    writer.wait_for_write(LIMIT).unwrap();
    assert!(clock::wait_until(LIMIT, || writer.count() >= 100));
    let record = writer.finish().unwrap();
    pair.wait_equal(LIMIT).unwrap();
    for server in [&pair.a, &pair.b] {
        let verdict = Ledger::read(server).unwrap().compare(&record);
        verdict.assert_clean();
        assert_eq!(verdict.acknowledged, record.acknowledged.len());
    }
    pair.b.sql("SET GLOBAL gtid_strict_mode = 0").unwrap();
    pair.b.sql("DELETE FROM lab.writes WHERE number = 7").unwrap();
    pair.b.sql("INSERT INTO lab.writes (number, server) VALUES (9, 2), (999999, 2)").unwrap();
    let verdict = Ledger::read(&pair.b).unwrap().compare(&record);
    assert_eq!(
        (&*verdict.lost, &*verdict.duplicated, &*verdict.never_written),
        (&[7][..], &[9][..], &[999_999][..])
    );
    assert!(!verdict.is_clean());
    // A write in doubt may be there, and is then no stranger.
    let mut doubting = record;
    let failure = Failure { at_ns: 0, number: Some(999_999), code: None, text: "reset".to_owned() };
    doubting.failures.push(failure.clone());
    let verdict = Ledger::read(&pair.b).unwrap().compare(&doubting);
    assert_eq!((&*verdict.in_doubt_but_there, verdict.never_written.len()), (&[999_999][..], 0));
    // One that was refused may not.
    doubting.failures.pop();
    doubting.failures.push(Failure { code: Some(1290), ..failure });
    assert_eq!(Ledger::read(&pair.b).unwrap().compare(&doubting).never_written, [999_999]);
}

fn the_client_sees_a_frozen_server_as_an_outage_and_a_killed_one_as_a_reset() {
    let lab = Lab::pair("outage").unwrap();
    let mut pair = Pair::start(&lab, Flavour::MariaDb).unwrap();
    pair.a.set_read_only(false).unwrap();
    let writer = Writer::start(lab.host("client"), WriterSetup::new(A)).unwrap();
    writer.wait_for_write(LIMIT).unwrap();

    let frozen = clock::now_ns();
    pair.a.freeze();
    let address = format!("{A}:3306").parse().unwrap();
    let connected = lab
        .host("client")
        .namespace()
        .enter(move || std::net::TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_ok());
    assert!(connected.unwrap(), "a frozen server accepts connections: the kernel does it");
    clock::sleep_ms(600);
    pair.a.thaw();
    writer.wait_for_write(LIMIT).unwrap();
    let record = writer.record();
    let outage = record.longest_gap(frozen, record.acknowledged.last().unwrap().at_ns);
    assert!((550..3000).contains(&outage.as_millis()), "frozen for 600 ms and out for {}", in_ms(outage));
    assert_eq!(writer.record().failures, [], "a freeze breaks no connection");

    let killed = clock::now_ns();
    pair.a.kill();
    assert!(clock::wait_until(LIMIT, || !writer.record().failures.is_empty()));
    assert!(writer.record().failures[0].at_ns - killed < clock::SECOND, "the client is told at once");
    pair.a.restart(lab.host("a")).unwrap();
    assert!(pair.a.is_read_only().unwrap(), "a server that starts accepts no writes");
    assert!(clock::wait_until(LIMIT, || writer.record().failures_with(1290) > 0));
    pair.a.set_read_only(false).unwrap();
    writer.wait_for_write(LIMIT).unwrap();
    let record = writer.finish().unwrap();
    pair.wait_equal(LIMIT).unwrap();
    Ledger::read(&pair.a).unwrap().compare(&record).assert_clean();
    Ledger::read(&pair.b).unwrap().compare(&record).assert_clean();
}

fn semi_sync_falls_back_when_the_peer_dies_and_is_told() {
    let lab = Lab::pair("semi").unwrap();
    let mut pair = Pair::start(&lab, Flavour::MariaDb).unwrap();
    pair.set_semi_sync(true, Duration::from_millis(700)).unwrap();
    pair.a.set_read_only(false).unwrap();
    pair.a.sql("INSERT INTO lab.writes (number, server) VALUES (1, 1)").unwrap();
    assert!(pair.is_semi_sync("a").unwrap());
    pair.b.kill();
    let started = clock::now_ns();
    pair.a.sql("INSERT INTO lab.writes (number, server) VALUES (2, 1)").unwrap();
    let took = Duration::from_nanos(clock::now_ns() - started);
    assert!(took >= Duration::from_millis(650), "the commit waited {} for nobody", in_ms(took));
    assert!(!pair.is_semi_sync("a").unwrap(), "the fallback must be seen");
    pair.b.restart(lab.host("b")).unwrap();
    pair.wait_equal(LIMIT).unwrap();
    pair.set_semi_sync(false, Duration::from_secs(1)).unwrap();
    assert!(!pair.is_semi_sync("b").unwrap());
}

fn an_errant_transaction_is_seen_in_the_position() {
    let lab = Lab::pair("errant").unwrap();
    let pair = Pair::start(&lab, Flavour::MariaDb).unwrap();
    let before = pair.b.position().unwrap();
    pair.a.sql("STOP SLAVE").unwrap();
    pair.b.write_errant().unwrap();
    assert_ne!(pair.b.position().unwrap(), before);
    assert_eq!(pair.a.position().unwrap(), before);
    assert!(pair.wait_equal(Duration::from_millis(200)).is_err(), "the difference is found");
    assert!(pair.wait_replicating(Duration::from_millis(200)).is_err(), "and so is a stopped channel");
}

fn a_full_binlog_disk_hangs_a_commit_and_frees_it() {
    let lab = Lab::pair("full").unwrap();
    let disk = Tmpfs::mount(&lab.host("a").file("binlog"), 8).unwrap();
    let setup = Setup { binlog_folder: Some(disk.folder().to_owned()), ..Setup::new(Flavour::MariaDb, 1) };
    let pair = Pair::start_with(&lab, setup, Setup::new(Flavour::MariaDb, 2)).unwrap();
    pair.a.set_read_only(false).unwrap();
    let writer = Writer::start(lab.host("client"), WriterSetup::new(A)).unwrap();
    writer.wait_for_write(LIMIT).unwrap();
    disk.fill().unwrap();
    // The last page of the log has room for some more.
    let is_stuck = || writer.wait_for_write(Duration::from_secs(3)).is_err();
    assert!(clock::wait_until(LIMIT, is_stuck), "nothing can be committed");
    assert_eq!(pair.a.ask("SELECT 1").unwrap().as_deref(), Some("1"), "and a ping notices nothing");
    disk.free().unwrap();
    let folder = disk.folder().to_owned();
    drop((writer, pair, disk));
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
    assert!(!mounts.contains(&*folder.to_string_lossy()), "the file system is gone");
    assert!(!Path::new(&folder).join("binlog.000001").exists());
}

/// Who may do what: the users of `config/` against a server that is read-only.
fn mariadb_users_can_what_they_need_and_no_more() {
    let lab = Lab::pair("users").unwrap();
    let pair = Pair::start(&lab, Flavour::MariaDb).unwrap();
    let mut daemon = log_in(&pair.a, "vrrp", "change-me-vrrp");
    for statement in [
        "SET STATEMENT max_statement_time = 1 FOR SET GLOBAL read_only = 0",
        "SHOW ALL SLAVES STATUS",
        "SHOW MASTER STATUS",
        "SHOW FULL PROCESSLIST",
        "STOP SLAVE IO_THREAD",
        "SELECT MASTER_GTID_WAIT(@@global.gtid_slave_pos, 1)",
        "START SLAVE IO_THREAD",
        "SET GLOBAL rpl_semi_sync_master_enabled = 0",
        "SET GLOBAL rpl_semi_sync_master_timeout = 1000",
        "SET GLOBAL rpl_semi_sync_slave_enabled = 0",
        "INSERT INTO vrrp.heartbeat (server_id, beat) VALUES (1, 1) ON DUPLICATE KEY UPDATE beat = beat + 1",
        "SET GLOBAL read_only = 1",
    ] {
        daemon.query_drop(statement).unwrap_or_else(|error| panic!("vrrp: {statement}: {error}"));
    }
    let mut victim = pair.a.connect().unwrap();
    let id: u64 = victim.query_first("SELECT CONNECTION_ID()").unwrap().unwrap();
    daemon.query_drop(format!("KILL CONNECTION {id}")).unwrap();
    assert!(victim.query_drop("SELECT 1").is_err(), "the session was ended");
    refused(
        &mut daemon,
        &["SELECT * FROM mysql.global_priv", "INSERT INTO lab.writes (number) VALUES (1)", "SHUTDOWN"],
    );

    let mut probe = log_in(&pair.a, "vrrp_probe", "change-me-probe");
    probe.query_drop("SHOW SLAVE STATUS").unwrap();
    probe.query_drop("SELECT @@global.read_only, @@global.gtid_slave_pos").unwrap();
    refused(
        &mut probe,
        &[
            "INSERT INTO vrrp.heartbeat (server_id, beat) VALUES (1, 1) ON DUPLICATE KEY UPDATE beat = beat + 1",
            "SET GLOBAL read_only = 0",
            "STOP SLAVE",
        ],
    );
    pair.a.set_read_only(false).unwrap();
    probe
        .query_drop("INSERT INTO vrrp.heartbeat (server_id, beat) VALUES (1, 1) ON DUPLICATE KEY UPDATE beat = beat + 1")
        .unwrap();

    let mut peer = log_in_from(&lab, "b", A, "vrrp_peer", "change-me-peer");
    peer.query_drop("SHOW SLAVE STATUS").unwrap();
    peer.query_drop("SELECT @@global.read_only, @@global.gtid_binlog_pos").unwrap();
    refused(&mut peer, &["SET GLOBAL read_only = 1", "STOP SLAVE", "SELECT * FROM vrrp.heartbeat"]);
}

fn mysql_users_can_what_they_need_and_no_more() {
    let lab = Lab::pair("users56").unwrap();
    let pair = Pair::start(&lab, Flavour::MySql56).unwrap();
    let mut daemon = log_in(&pair.a, "vrrp", "change-me-vrrp");
    for statement in [
        "SET GLOBAL read_only = 0",
        "SHOW SLAVE STATUS",
        "SHOW MASTER STATUS",
        "SHOW FULL PROCESSLIST",
        "STOP SLAVE IO_THREAD",
        "SELECT WAIT_UNTIL_SQL_THREAD_AFTER_GTIDS(@@global.gtid_executed, 1)",
        "START SLAVE IO_THREAD",
        "INSERT INTO vrrp.heartbeat (server_id, beat) VALUES (1, 1) ON DUPLICATE KEY UPDATE beat = beat + 1",
        "SET GLOBAL read_only = 1",
    ] {
        daemon.query_drop(statement).unwrap_or_else(|error| panic!("vrrp: {statement}: {error}"));
    }
    refused(&mut daemon, &["SELECT * FROM mysql.user", "INSERT INTO lab.writes (number) VALUES (1)"]);
    let mut probe = log_in(&pair.a, "vrrp_probe", "change-me-probe");
    probe.query_drop("SHOW SLAVE STATUS").unwrap();
    refused(
        &mut probe,
        &[
            "INSERT INTO vrrp.heartbeat (server_id, beat) VALUES (1, 1) ON DUPLICATE KEY UPDATE beat = beat + 1",
            "SET GLOBAL read_only = 0",
        ],
    );
    let mut peer = log_in_from(&lab, "b", A, "vrrp_peer", "change-me-peer");
    peer.query_drop("SHOW SLAVE STATUS").unwrap();
    peer.query_drop("SELECT @@global.read_only, @@global.gtid_executed").unwrap();
    refused(&mut peer, &["SET GLOBAL read_only = 1", "STOP SLAVE", "SELECT * FROM vrrp.heartbeat"]);
}

fn refused(connection: &mut Conn, statements: &[&str]) {
    for statement in statements {
        let outcome = connection.query_drop(statement);
        assert!(matches!(outcome, Err(mysql::Error::MySqlError(_))), "{statement}: {outcome:?}");
    }
}

/// Over the Unix socket, as the daemon does.
fn log_in(server: &Server, user: &str, password: &str) -> Conn {
    let socket = server.socket().to_string_lossy().into_owned();
    Conn::new(OptsBuilder::new().socket(Some(socket)).user(Some(user)).pass(Some(password))).unwrap()
}

/// Over the network, from another host.
fn log_in_from(lab: &Lab, host: &str, to: Ipv4Addr, user: &str, password: &str) -> Conn {
    let options =
        OptsBuilder::new().ip_or_hostname(Some(to.to_string())).user(Some(user)).pass(Some(password));
    lab.host(host).namespace().enter(|| Conn::new(options.prefer_socket(false)).unwrap()).unwrap()
}
