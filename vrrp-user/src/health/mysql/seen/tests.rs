//! A healthy MariaDB 10.11 and MySQL 8 (by its manual), and what may befall them.

use super::*;
use crate::mysql::Row;
use crate::mysql::row::tests::recorded;

/// `SHOW ALL SLAVES STATUS`, shortened.
const MARIADB: &str = "Connection_name: 
Master_Host: 10.99.0.2
Slave_IO_Running: Yes
Slave_SQL_Running: Yes
Last_IO_Errno: 0
Last_SQL_Errno: 0
Seconds_Behind_Master: 3
Using_Gtid: Slave_Pos";

/// `SHOW REPLICA STATUS`, shortened.
const MYSQL_8: &str = "Replica_IO_State: Waiting for source to send event
Source_Host: 192.168.1.2
Replica_IO_Running: Yes
Replica_SQL_Running: Yes
Seconds_Behind_Source: 3
Last_IO_Errno: 0
Last_IO_Error: 
Last_SQL_Errno: 0
Last_SQL_Error: 
Auto_Position: 1
Channel_Name: ";

const MARIADB_SERVER: &str =
    "server_id: 1\nread_only: 0\ngtid_binlog_state: 0-1-7\nversion: 10.11.19-MariaDB";
const MYSQL_8_SERVER: &str = "server_id: 2\nread_only: 0\nserver_uuid: 3e11fa47-71ca-11e1-9e33-c80aa9429562\n\
     gtid_executed: 3e11fa47-71ca-11e1-9e33-c80aa9429562:1-7\nsuper_read_only: 0\noffline_mode: 0\nversion: 8.4.3";

/// MySQL 8's names for MariaDB's columns.
const NAMES: [(&str, &str); 4] = [
    ("Slave_IO_Running", "Replica_IO_Running"),
    ("Slave_SQL_Running", "Replica_SQL_Running"),
    ("Seconds_Behind_Master", "Seconds_Behind_Source"),
    ("Connection_name", "Channel_Name"),
];

const STANDBY: Part = Part { is_active: false, is_managed: false, max_lag: Some(Duration::from_secs(30)) };
const ACTIVE: Part = Part { is_active: true, ..STANDBY };

/// A recorded answer, some of it otherwise.
fn replica(row: &str, changes: &[(&str, &str)]) -> ReplicaStatus {
    let mut lines: Vec<String> = row.lines().map(str::to_owned).collect();
    for (name, value) in changes {
        let renamed =
            NAMES.iter().find(|(old, new)| old == name && row.contains(new)).map_or(*name, |(_, new)| new);
        lines.retain(|line| !line.starts_with(&format!("{renamed}:")));
        lines.push(format!("{renamed}: {value}"));
    }
    ReplicaStatus::read(&recorded(&lines.join("\n")))
}

fn seen(server: &str, replica: ReplicaStatus) -> Seen {
    Seen { server: ServerState::read(&recorded(server)).unwrap(), replicas: vec![replica], semi_sync: None }
}

/// Of each flavour: what of it a writable active server says, and a read-only one.
fn troubles(changes: &[(&str, &str)]) -> Vec<(Option<String>, Option<String>)> {
    [(MARIADB_SERVER, MARIADB), (MYSQL_8_SERVER, MYSQL_8)]
        .into_iter()
        .map(|(server, row)| {
            let writable = seen(server, replica(row, changes)).trouble(ACTIVE);
            let server = server.replace("read_only: 0", "read_only: 1");
            let read_only = seen(&server, replica(row, changes)).trouble(ACTIVE);
            assert_eq!(read_only, seen(&server, replica(row, changes)).trouble(STANDBY));
            (writable, read_only)
        })
        .collect()
}

#[test]
fn trouble_of_a_standby_is_named_and_an_active_server_has_less_of_it() {
    for (changes, words, is_of_active) in [
        (
            &[("Slave_SQL_Running", "No"), ("Last_SQL_Errno", "1062"), ("Last_SQL_Error", "Duplicate entry")]
                [..],
            "the SQL thread has error 1062: Duplicate entry",
            true,
        ),
        (
            &[("Slave_SQL_Running", "No"), ("Last_SQL_Errno", "1032"), ("Last_SQL_Error", "no row")],
            "the SQL thread has error 1032: no row",
            true,
        ),
        (
            &[("Slave_SQL_Running", "No"), ("Last_SQL_Errno", "1950"), ("Last_SQL_Error", "out of order")],
            "the SQL thread has error 1950: out of order",
            true,
        ),
        (
            &[("Slave_SQL_Running", "No"), ("Last_SQL_Errno", "1872"), ("Last_SQL_Error", "relay log")],
            "the SQL thread has error 1872: relay log",
            true,
        ),
        (
            &[("Slave_IO_Running", "No"), ("Last_IO_Errno", "1593"), ("Last_IO_Error", "equal server ids")],
            "the IO thread has error 1593: equal server ids",
            true,
        ),
        (
            &[("Slave_IO_Running", "No"), ("Last_IO_Errno", "1236"), ("Last_IO_Error", "purged")],
            "the IO thread has error 1236: purged",
            false,
        ),
        (&[("Slave_SQL_Running", "No")], "replication: the SQL thread is stopped", false),
        (&[("Slave_IO_Running", "No")], "replication: the IO thread is stopped", false),
        (
            &[("Slave_IO_Running", "No"), ("Slave_SQL_Running", "No"), ("Seconds_Behind_Master", "NULL")],
            "replication: both threads are stopped",
            false,
        ),
        (&[("Seconds_Behind_Master", "31")], "is 31s behind, more than 30s", false),
        (
            &[("Connection_name", "dc2"), ("Seconds_Behind_Master", "31")],
            "replication \"dc2\" is 31s behind",
            false,
        ),
    ] {
        for (writable, read_only) in troubles(changes) {
            assert!(
                read_only.as_ref().is_some_and(|said| said.contains(words)),
                "{changes:?}: {read_only:?}"
            );
            assert_eq!(writable, read_only.filter(|_| is_of_active), "{changes:?}");
        }
    }
}

#[test]
fn a_peer_that_is_gone_is_no_trouble_of_this_server() {
    for changes in [
        &[][..],
        &[("Seconds_Behind_Master", "30")],
        &[("Slave_IO_Running", "Connecting"), ("Last_IO_Errno", "2003"), ("Seconds_Behind_Master", "NULL")],
    ] {
        for found in troubles(changes) {
            assert_eq!(found, (None, None), "{changes:?}");
        }
    }
    let late = seen(MARIADB_SERVER, replica(MARIADB, &[("Seconds_Behind_Master", "9999")]));
    assert_eq!(late.trouble(Part { max_lag: None, ..STANDBY }), None);
}

/// The old recipe leaves both servers writable: who has no address is the standby all the same.
#[test]
fn a_writable_server_without_the_address_is_a_standby() {
    let deaf = seen(MARIADB_SERVER, replica(MARIADB, &[("Slave_IO_Running", "No")]));
    assert_eq!(deaf.trouble(ACTIVE), None);
    assert!(deaf.trouble(STANDBY).is_some_and(|said| said.contains("the IO thread is stopped")));
}

/// Else a long promotion would be given up by the check that it is made for.
#[test]
fn a_promotion_under_way_is_no_trouble() {
    let read_only = MARIADB_SERVER.replace("read_only: 0", "read_only: 1");
    let promoted = seen(&read_only, replica(MARIADB, &[("Slave_IO_Running", "No")]));
    assert_eq!(promoted.trouble(Part { is_managed: true, ..ACTIVE }), None);
    assert!(promoted.trouble(Part { is_managed: true, ..STANDBY }).is_some());
    assert!(promoted.trouble(ACTIVE).is_some());
}

#[test]
fn a_fallback_is_trouble_where_a_replica_could_be_waited_for() {
    let rows = |pairs: &[(&str, &str)]| -> Vec<Row> {
        pairs
            .iter()
            .map(|(name, value)| recorded(&format!("Variable_name: {name}\nValue: {value}")))
            .collect()
    };
    let with = |server: &str, enabled, status, clients| {
        let settings = rows(&[("rpl_semi_sync_master_enabled", enabled)]);
        let state =
            rows(&[("Rpl_semi_sync_master_status", status), ("Rpl_semi_sync_master_clients", clients)]);
        let mut seen = seen(server, replica(MARIADB, &[]));
        seen.semi_sync = SemiSync::read(&settings, &state);
        seen
    };
    let fallen = with(MARIADB_SERVER, "ON", "OFF", "1");
    assert!(fallen.trouble(ACTIVE).is_some_and(|said| said.contains("has fallen back")));
    assert_eq!(fallen.trouble(STANDBY), None, "nobody writes here");
    let read_only = MARIADB_SERVER.replace("read_only: 0", "read_only: 1");
    assert_eq!(with(&read_only, "ON", "OFF", "1").trouble(ACTIVE), None);
    for (enabled, status, clients, is_fallen) in [
        ("ON", "ON", "0", false),
        ("ON", "ON", "1", false),
        ("OFF", "OFF", "1", false),
        ("ON", "OFF", "0", true),
    ] {
        let seen = with(MARIADB_SERVER, enabled, status, clients);
        assert_eq!(
            (seen.trouble(ACTIVE), seen.has_fallen_back()),
            (None, is_fallen),
            "{enabled} {status} {clients}"
        );
    }
}
