//! Answers of every flavour. MariaDB 10.11's are recorded; MySQL's are written after its manual.

use super::*;

fn row(pairs: &[(&str, &str)]) -> Row {
    pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value != "NULL").then(|| (*value).to_owned())))
        .collect()
}

fn identity(version: &str) -> Identity {
    Identity::parse(version, "").unwrap()
}

#[test]
fn flavour_and_version_are_in_the_text() {
    for (version, comment, flavour, numbers) in [
        ("10.11.19-MariaDB-0+deb12u1-log", "Debian 12", Flavour::MariaDb, (10, 11, 19)),
        ("5.5.5-10.11.4-MariaDB", "", Flavour::MariaDb, (10, 11, 4)),
        ("12.0.1", "MariaDB Server", Flavour::MariaDb, (12, 0, 1)),
        ("5.6.24-log", "MySQL Community Server (GPL)", Flavour::MySql, (5, 6, 24)),
        ("8.0.36", "MySQL Community Server - GPL", Flavour::MySql, (8, 0, 36)),
        ("8.0.35-27", "Percona Server (GPL), Release 27", Flavour::MySql, (8, 0, 35)),
        ("8.4.0", "", Flavour::MySql, (8, 4, 0)),
        ("9.1", "", Flavour::MySql, (9, 1, 0)),
    ] {
        let identity = Identity::parse(version, comment).unwrap();
        assert_eq!((identity.flavour, identity.version), (flavour, numbers), "{version}");
    }
    assert_eq!(Identity::parse("unknown", ""), None);
    assert_eq!(Identity::parse("", ""), None);
}

#[test]
fn no_server_is_asked_in_words_that_it_does_not_know() {
    for (version, replication, super_read_only, executed) in [
        ("10.11.19-MariaDB", "SHOW ALL SLAVES STATUS", false, false),
        ("5.5.62", "SHOW SLAVE STATUS", false, false),
        ("5.6.24-log", "SHOW SLAVE STATUS", false, true),
        ("5.7.44", "SHOW SLAVE STATUS", true, true),
        ("8.0.21", "SHOW SLAVE STATUS", true, true),
        ("8.0.22", "SHOW REPLICA STATUS", true, true),
        ("8.4.0", "SHOW REPLICA STATUS", true, true),
    ] {
        let identity = identity(version);
        assert_eq!(identity.replication(), replication, "{version}");
        let variables = identity.variables();
        assert_eq!(variables.contains("super_read_only"), super_read_only, "{version}");
        assert_eq!(variables.contains("gtid_executed"), executed, "{version}");
        assert_eq!(variables.contains("gtid_binlog_pos"), version.contains("MariaDB"), "{version}");
    }
}

#[test]
fn read_only_is_read_in_every_flavour_s_values() {
    for (value, read_only) in [
        ("0", ReadOnly::Off),
        ("OFF", ReadOnly::Off),
        ("1", ReadOnly::On),
        ("ON", ReadOnly::On),
        ("NO_LOCK", ReadOnly::NoLock),
        ("NO_LOCK_NO_ADMIN", ReadOnly::Everybody),
    ] {
        assert_eq!(ReadOnly::parse(Some(value)), Some(read_only));
    }
    for unknown in [None, Some(""), Some("2"), Some("MAYBE")] {
        assert_eq!(ReadOnly::parse(unknown), None);
    }
}

fn mariadb(replication: &[(&str, &str)]) -> ServerState {
    let variables = row(&[
        ("server_id", "1"),
        ("read_only", "0"),
        ("gtid_binlog", "0-1-42"),
        ("gtid_applied", "0-2-40"),
        ("gtid_mode", "1"),
    ]);
    ServerState::read(identity("10.11.19-MariaDB"), &variables, &[row(replication)], &[])
}

const RUNNING: &[(&str, &str)] = &[
    ("Connection_name", ""),
    ("Master_Host", "10.99.0.2"),
    ("Slave_IO_Running", "Yes"),
    ("Slave_SQL_Running", "Yes"),
    ("Last_IO_Errno", "0"),
    ("Last_IO_Error", ""),
    ("Last_SQL_Errno", "0"),
    ("Last_SQL_Error", ""),
    ("Seconds_Behind_Master", "3"),
    ("Using_Gtid", "Slave_Pos"),
    ("Gtid_IO_Pos", "0-2-41"),
];

fn with(changes: &[(&'static str, &'static str)]) -> Vec<(&'static str, &'static str)> {
    let kept = RUNNING.iter().filter(|(name, _)| changes.iter().all(|(changed, _)| changed != name));
    kept.chain(changes).copied().collect()
}

#[test]
fn mariadb_10_11_is_read() {
    let state = mariadb(RUNNING);
    assert_eq!((state.server_id, state.read_only, state.is_writable()), (Some(1), Some(ReadOnly::Off), true));
    assert_eq!((state.gtid_binlog.as_str(), state.gtid_applied.as_str()), ("0-1-42", "0-2-40"));
    let [channel] = state.channels.as_slice() else { panic!("{state:?}") };
    assert_eq!(
        (channel.io.as_str(), channel.sql.as_str(), channel.lag),
        ("Yes", "Yes", Some(Duration::from_secs(3)))
    );
    assert_eq!((channel.received.as_str(), channel.uses_gtid), ("0-2-41", true));
    assert_eq!((state.semi_sync_source, state.semi_sync_replica), (None, None));
}

#[test]
fn mysql_8_4_is_read_in_its_own_words() {
    let variables = row(&[
        ("server_id", "2"),
        ("read_only", "1"),
        ("super_read_only", "1"),
        ("offline_mode", "0"),
        ("gtid_applied", "3e11fa47-71ca-11e1-9e33-c80aa9429562:1-77"),
        ("gtid_mode", "ON"),
    ]);
    let replication = row(&[
        ("Channel_Name", "x"),
        ("Source_Host", "db1"),
        ("Replica_IO_Running", "Connecting"),
        ("Replica_SQL_Running", "Yes"),
        ("Last_IO_Errno", "2003"),
        ("Last_IO_Error", "error connecting to master"),
        ("Seconds_Behind_Source", "NULL"),
        ("Retrieved_Gtid_Set", "a:1-5,\nb:1-7"),
        ("Auto_Position", "1"),
    ]);
    let status = [
        ("Rpl_semi_sync_source_status", "ON"),
        ("Rpl_semi_sync_source_clients", "2"),
        ("Rpl_semi_sync_replica_status", "OFF"),
    ]
    .map(|(name, value)| row(&[("Variable_name", name), ("Value", value)]));
    let state = ServerState::read(identity("8.4.0"), &variables, &[replication], &status);
    assert_eq!((state.read_only, state.is_writable()), (Some(ReadOnly::Everybody), false));
    let [channel] = state.channels.as_slice() else { panic!("{state:?}") };
    assert_eq!((channel.name.as_str(), channel.source.as_str(), channel.lag), ("x", "db1", None));
    assert_eq!((channel.received.as_str(), channel.uses_gtid), ("a:1-5,b:1-7", true));
    assert_eq!((state.semi_sync_source, state.semi_sync_replica), (Some((true, 2)), Some(false)));
    // The peer is not there: that is no trouble of this server.
    assert_eq!(state.trouble(Some(Duration::from_secs(1))), None);
}

#[test]
fn what_is_not_understood_is_not_writable() {
    let variables = row(&[("server_id", "1"), ("read_only", "SOMETHING_NEW")]);
    assert!(!ServerState::read(identity("13.0.0-MariaDB"), &variables, &[], &[]).is_writable());
    let variables = row(&[("server_id", "1"), ("read_only", "0"), ("offline_mode", "1")]);
    assert!(!ServerState::read(identity("8.0.36"), &variables, &[], &[]).is_writable());
}

#[test]
fn trouble_with_replication_is_named() {
    for (changes, words) in [
        (
            &[("Slave_SQL_Running", "No"), ("Last_SQL_Errno", "1062"), ("Last_SQL_Error", "Duplicate entry")]
                [..],
            "the SQL thread stopped with error 1062: Duplicate entry",
        ),
        (
            &[
                ("Slave_IO_Running", "No"),
                ("Last_IO_Errno", "1593"),
                ("Last_IO_Error", "equal MySQL server ids"),
            ],
            "the IO thread stopped with error 1593",
        ),
        (&[("Slave_SQL_Running", "No")], "the SQL thread is stopped"),
        (&[("Seconds_Behind_Master", "31")], "is 31s behind, more than 30s"),
        (&[("Connection_name", "dc2"), ("Seconds_Behind_Master", "31")], "replication \"dc2\" is 31s behind"),
    ] {
        let trouble = mariadb(&with(changes)).trouble(Some(Duration::from_secs(30))).unwrap();
        assert!(trouble.contains(words), "{trouble}");
    }
    for changes in [
        &[][..],
        &[("Seconds_Behind_Master", "30")],
        &[("Slave_IO_Running", "Connecting"), ("Last_IO_Errno", "2003"), ("Seconds_Behind_Master", "NULL")],
        // Stopped as a whole: somebody's will, or a role that does so.
        &[("Slave_IO_Running", "No"), ("Slave_SQL_Running", "No"), ("Seconds_Behind_Master", "NULL")],
    ] {
        assert_eq!(mariadb(&with(changes)).trouble(Some(Duration::from_secs(30))), None, "{changes:?}");
    }
    assert_eq!(mariadb(&with(&[("Seconds_Behind_Master", "9999")])).trouble(None), None);
}
