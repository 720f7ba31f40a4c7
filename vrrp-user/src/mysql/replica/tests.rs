//! Recorded answers of real servers, and of MySQL 8 as its manual has them.

use super::*;
use crate::mysql::row::tests::recorded;

/// MariaDB 10.11.19, `SHOW ALL SLAVES STATUS`, healthy.
const MARIADB: &str = "Connection_name: 
Slave_SQL_State: Slave has read all relay log; waiting for more updates
Slave_IO_State: Waiting for master to send event
Master_Host: 10.99.0.2
Master_User: replication
Master_Port: 3306
Connect_Retry: 1
Master_Log_File: binlog.000001
Read_Master_Log_Pos: 884
Relay_Log_File: relay.000002
Relay_Log_Pos: 1183
Relay_Master_Log_File: binlog.000001
Slave_IO_Running: Yes
Slave_SQL_Running: Yes
Replicate_Do_DB: 
Last_Errno: 0
Last_Error: 
Exec_Master_Log_Pos: 884
Seconds_Behind_Master: 0
Last_IO_Errno: 0
Last_IO_Error: 
Last_SQL_Errno: 0
Last_SQL_Error: 
Master_Server_Id: 2
Using_Gtid: Slave_Pos
Gtid_IO_Pos: 0-1-4
SQL_Delay: 0
Slave_received_heartbeats: 17
Gtid_Slave_Pos: 0-1-4";

/// MySQL 8.0 and 8.4, `SHOW REPLICA STATUS` (manual), the source gone while two transactions were still to be applied.
const MYSQL_8: &str = "Replica_IO_State: Reconnecting after a failed source event read
Source_Host: 192.168.1.2
Source_User: replication
Source_Port: 3306
Connect_Retry: 1
Source_Log_File: binlog.000007
Read_Source_Log_Pos: 2114
Relay_Source_Log_File: binlog.000007
Replica_IO_Running: Connecting
Replica_SQL_Running: Yes
Replicate_Ignore_DB: scratch
Exec_Source_Log_Pos: 1500
Seconds_Behind_Source: NULL
Last_IO_Errno: 2003
Last_IO_Error: error reconnecting to source 'replication@192.168.1.2:3306'
Last_SQL_Errno: 0
Last_SQL_Error: 
Source_Server_Id: 2
Source_UUID: 4e11fa47-71ca-11e1-9e33-c80aa9429562
SQL_Delay: 0
Retrieved_Gtid_Set: 4e11fa47-71ca-11e1-9e33-c80aa9429562:1-9
Executed_Gtid_Set: 4e11fa47-71ca-11e1-9e33-c80aa9429562:1-7
Auto_Position: 1
Channel_Name: ";

#[test]
fn a_healthy_mariadb_channel() {
    let status = ReplicaStatus::read(&recorded(MARIADB));
    assert!(status.is_running() && status.has_read_all && status.is_by_gtid && !status.is_broken());
    assert_eq!(
        (status.source_host.as_str(), status.source_port, status.source_server_id),
        ("10.99.0.2", 3306, 2)
    );
    assert_eq!(
        (status.seconds_behind, status.heartbeats, status.connect_retry),
        (Some(0), Some(17), Some(1))
    );
    let position = status.received_position(Flavour::of("10.11.19-MariaDB")).unwrap();
    assert_eq!(position.to_string(), "0-1-4");
    assert!(!status.has_filters && status.receiver_error.is_none());
}

#[test]
fn a_mysql_8_that_lost_its_source_with_work_left() {
    let status = ReplicaStatus::read(&recorded(MYSQL_8));
    assert_eq!((status.receiver, status.applier), (Thread::Connecting, Thread::Running));
    assert!(
        !status.is_running() && !status.is_caught_up(Flavour::of("8.4.0"), None, false) && status.has_filters
    );
    assert_eq!((status.seconds_behind, status.source_server_id), (None, 2));
    assert_eq!(status.receiver_error.as_ref().map(|error| error.code), Some(2003));
    assert!(!status.is_broken(), "an unreachable source does not break a replica");
    let position = status.received_position(Flavour::of("8.4.0")).unwrap();
    assert_eq!(position.to_string(), "4e11fa47-71ca-11e1-9e33-c80aa9429562:1-9");
}

/// The same replica in its good days: 8.4, a named channel.
fn healthy_mysql_8_4() -> String {
    [
        ("Reconnecting after a failed source event read", "Waiting for source to send event"),
        ("Replica_IO_Running: Connecting", "Replica_IO_Running: Yes"),
        ("Replicate_Ignore_DB: scratch", "Replicate_Ignore_DB: "),
        ("Exec_Source_Log_Pos: 1500", "Exec_Source_Log_Pos: 2114"),
        ("Seconds_Behind_Source: NULL", "Seconds_Behind_Source: 0"),
        ("Last_IO_Errno: 2003", "Last_IO_Errno: 0"),
        ("Last_IO_Error: error reconnecting to source 'replication@192.168.1.2:3306'", "Last_IO_Error: "),
        ("9562:1-7", "9562:1-9"),
        ("Channel_Name: ", "Channel_Name: pair"),
    ]
    .into_iter()
    .fold(MYSQL_8.to_owned(), |text, (before, after)| {
        assert!(text.contains(before), "{before}");
        text.replace(before, after)
    })
}

#[test]
fn a_healthy_mysql_8_4_channel() {
    let status = ReplicaStatus::read(&recorded(&healthy_mysql_8_4()));
    assert!(status.is_running() && status.is_by_gtid && !status.is_broken() && !status.has_filters);
    assert!(status.receiver_error.is_none());
    assert_eq!((status.seconds_behind, status.source_host.as_str()), (Some(0), "192.168.1.2"));
    assert!(status.is_caught_up(Flavour::of("8.4.3"), None, false), "by place");
}

#[test]
fn a_mysql_8_that_met_a_key_that_is_there_already_is_broken() {
    let text = healthy_mysql_8_4()
        .replace("Replica_SQL_Running: Yes", "Replica_SQL_Running: No")
        .replace("Last_SQL_Errno: 0", "Last_SQL_Errno: 1062");
    let status = ReplicaStatus::read(&recorded(&text));
    assert!(status.is_broken() && !status.is_running());
    assert_eq!((status.receiver, status.applier), (Thread::Running, Thread::Stopped));
}

#[test]
fn errors_of_divergence_break_a_replica() {
    for (code, is_broken) in
        [(1062, true), (1032, true), (1950, true), (1593, false), (2003, false), (0, false)]
    {
        let text = MARIADB.replace("Last_SQL_Errno: 0", &format!("Last_SQL_Errno: {code}"));
        let status =
            ReplicaStatus::read(&recorded(&text.replace("Slave_SQL_Running: Yes", "Slave_SQL_Running: No")));
        assert_eq!(status.is_broken(), is_broken, "{code}");
        assert_eq!(status.applier, Thread::Stopped);
    }
}

#[test]
fn a_channel_by_file_and_offset_is_not_by_gtid() {
    assert!(!ReplicaStatus::read(&recorded(&MARIADB.replace("Slave_Pos", "No"))).is_by_gtid);
    assert!(
        !ReplicaStatus::read(&recorded(&MYSQL_8.replace("Auto_Position: 1", "Auto_Position: 0"))).is_by_gtid
    );
}

/// As MySQL shows a channel whose login to its source never worked.
#[test]
fn a_channel_that_never_reached_its_source_has_nothing_to_apply() {
    let text = "Replica_IO_Running: Connecting\nReplica_SQL_Running: Yes\nSource_Log_File:\nRead_Source_Log_Pos: 4\n\
                Relay_Source_Log_File:\nExec_Source_Log_Pos: 0\nRetrieved_Gtid_Set:\nAuto_Position: 1";
    let status = ReplicaStatus::read(&recorded(text));
    assert_ne!(status.received, status.applied);
    assert!(status.is_caught_up(Flavour::of("8.4.3"), None, false));
    let reached =
        ReplicaStatus::read(&recorded(&text.replace("Source_Log_File:\n", "Source_Log_File: b.1\n")));
    assert!(!reached.is_caught_up(Flavour::of("8.4.3"), None, false));
}

#[test]
fn each_sign_of_having_caught_up_counts() {
    let flavour = Flavour::of("10.11.19-MariaDB");
    let own = |text| Position::parse_mariadb(text).unwrap();
    let apart = MARIADB.replace("Exec_Master_Log_Pos: 884", "Exec_Master_Log_Pos: 4");
    let status = ReplicaStatus::read(&recorded(&apart));
    assert!(!status.is_caught_up(flavour, None, true), "the applier may be about to get more");
    assert!(!status.is_caught_up(flavour, Some(&own("0-1-3")), true));
    assert!(status.is_caught_up(flavour, Some(&own("0-1-4")), true));
    let stopped = apart.replace("Slave_IO_Running: Yes", "Slave_IO_Running: No");
    let cut = ReplicaStatus::read(&recorded(&stopped));
    assert!(cut.is_caught_up(flavour, Some(&own("0-1-3")), true));
    assert!(!cut.is_caught_up(flavour, Some(&own("0-1-3")), false), "others may be at work");
    assert!(ReplicaStatus::read(&recorded(MARIADB)).is_caught_up(flavour, None, true), "by place");
}

#[test]
fn an_errors_text_ends_before_the_statement_that_it_quotes() {
    for (said, kept) in [
        (
            "Error 'Operation CREATE USER failed for 'x'@'%'' on query. Default database: 'shop'. Query: 'CREATE USER x \
             IDENTIFIED BY 'secret''",
            "Error 'Operation CREATE USER failed for 'x'@'%'' on query.",
        ),
        (
            "Query partially completed on the master. Query: 'SET PASSWORD = 'secret''",
            "Query partially completed on the master.",
        ),
        ("Could not execute Write_rows_v1 event on table shop.t; Duplicate entry", ""),
    ] {
        let text = MARIADB.replace("Last_SQL_Errno: 0", "Last_SQL_Errno: 1396");
        let text = text.replace("Last_SQL_Error: ", &format!("Last_SQL_Error: {said}"));
        let error = ReplicaStatus::read(&recorded(&text)).applier_error.unwrap();
        assert_eq!(error.text, if kept.is_empty() { said } else { kept });
    }
}

/// With several appliers a domain may be further than another, and the place is that of the furthest.
#[test]
fn with_several_appliers_a_place_speaks_for_one_domain_of_mariadb_only() {
    let maria = Flavour::of("10.11.19-MariaDB");
    let (lacking, whole) =
        ["0-1-3,2-1-1", "0-1-3,1-1-1,2-1-1"].map(|text| Position::parse_mariadb(text).unwrap()).into();
    let text = MARIADB
        .replace("Gtid_IO_Pos: 0-1-4", "Gtid_IO_Pos: 0-1-3,1-1-1,2-1-1")
        .replace("Slave_IO_Running: Yes", "Slave_IO_Running: No");
    let status = ReplicaStatus::read(&recorded(&text));
    assert_eq!(status.received, status.applied);
    assert!(!status.is_caught_up(maria, Some(&lacking), false) && !status.is_caught_up(maria, None, false));
    assert!(status.is_caught_up(maria, Some(&whole), false));
    assert!(status.is_caught_up(maria, Some(&lacking), true), "one applier comes to the end of all");
    // By place all domains are one.
    let by_place = ReplicaStatus::read(&recorded(&text.replace("Using_Gtid: Slave_Pos", "Using_Gtid: No")));
    assert!(by_place.is_caught_up(maria, None, false));
}
