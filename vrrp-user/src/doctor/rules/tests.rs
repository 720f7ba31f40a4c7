//! Every rule against a pair that is as it should be, with one thing changed; MySQL 8 by answers as its manual has them.

use super::*;
use crate::doctor::facts::{Answers, Claims, Clock, Disk, HostFacts, StartsAs};
use crate::doctor::finding::Severity;
use crate::mysql::Row;
use crate::mysql::row::tests::recorded;
use crate::wire::MacAddress;

const UUIDS: [&str; 2] = ["3e11fa47-71ca-11e1-9e33-c80aa9429562", "4e11fa47-71ca-11e1-9e33-c80aa9429562"];

mod people;
mod place;
mod replication;

fn context() -> Context {
    Context {
        virtual_addresses: vec!["10.99.0.200".to_owned()],
        places: vec![("eth0".to_owned(), Ipv4Addr::new(10, 99, 0, 200))],
        service_addresses: vec!["10.99.0.200".to_owned()],
        daemon_user: "vrrp".to_owned(),
        role_users: vec!["manager".to_owned()],
        watch_users: vec!["vrrp_probe".to_owned()],
        login_users: vec!["app".to_owned()],
        heartbeats: vec![Heartbeat { table: "vrrp.heartbeat".to_owned(), user: "vrrp".to_owned() }],
        peer_address: Some("10.99.0.9".to_owned()),
    }
}

fn pairs(text: &str) -> Vec<Row> {
    let pair = |line: &str| {
        let (name, value) = line.split_once(": ").unwrap_or_else(|| (line.trim_end_matches(':'), ""));
        let cells = [("Variable_name", name), ("Value", value)];
        cells.into_iter().map(|(key, value)| (key.to_owned(), Some(value.to_owned()))).collect()
    };
    text.lines().filter(|line| !line.is_empty()).map(pair).collect()
}

fn set(rows: &mut Vec<Row>, name: &str, value: &str) {
    rows.retain(|row| row.at(0) != Some(name));
    rows.extend(pairs(&format!("{name}: {value}")));
}

fn rights(user: &str, all: &[&str]) -> Vec<Row> {
    all.iter()
        .map(|right| recorded(&format!("grantee: '{user}'@'localhost'\nprivilege_type: {right}")))
        .collect()
}

fn heartbeat_rights(all: &[&str]) -> Vec<Row> {
    all.iter()
        .map(|right| {
            recorded(&format!(
                "grantee: 'vrrp'@'localhost'\ntable_schema: vrrp\ntable_name: heartbeat\nprivilege_type: {right}"
            ))
        })
        .collect()
}

/// A MySQL 8.0 as the manual shows its answers, number 0 or 1 of a pair, the first writable.
fn mysql8(number: usize) -> Answers {
    let (own, id) = (UUIDS[number], number + 1);
    let read_only = number;
    let uuid = UUIDS[0];
    Answers {
        identity: recorded(&format!(
            "server_id: {id}\nread_only: {read_only}\nsuper_read_only: {read_only}\noffline_mode: 0\nserver_uuid: {own}\n\
             gtid_executed: {uuid}:1-100\nversion: 8.0.36"
        )),
        variables: pairs(&format!(
            "log_bin: ON\nlog_replica_updates: ON\ngtid_mode: ON\nenforce_gtid_consistency: ON\nreplica_parallel_workers: 4\n\
             replica_preserve_commit_order: ON\nbinlog_format: ROW\nbinlog_row_image: FULL\n\
             sync_binlog: 1\ninnodb_flush_log_at_trx_commit: 1\nrelay_log_recovery: ON\nbinlog_expire_logs_seconds: 2592000\n\
             auto_increment_increment: 2\nauto_increment_offset: {id}\nreplica_net_timeout: 4\nskip_networking: OFF\n\
             bind_address: *\nskip_name_resolve: ON\nmax_connect_errors: 1000000\nadmin_address: 127.0.0.1\n\
             replica_exec_mode: STRICT\nreplica_skip_errors: OFF\nlower_case_table_names: 0\nport: 3306\n\
             max_connections: 151\ninnodb_buffer_pool_size: 134217728\nwait_timeout: 28800\ninteractive_timeout: 28800\n\
             sql_mode: STRICT_TRANS_TABLES\ntime_zone: SYSTEM\nevent_scheduler: OFF\n\
             rpl_semi_sync_source_enabled: ON\nrpl_semi_sync_replica_enabled: ON\nrpl_semi_sync_source_timeout: 1000\n\
             rpl_semi_sync_source_wait_point: AFTER_SYNC\nrpl_semi_sync_source_wait_for_replica_count: 1\n\
             rpl_semi_sync_source_wait_no_replica: ON"
        )),
        status: pairs("Rpl_semi_sync_source_status: ON\nRpl_semi_sync_source_clients: 1"),
        replicas: vec![recorded(&format!(
            "Source_Host: 10.99.0.9\nSource_Port: 3306\nConnect_Retry: 1\nReplica_IO_Running: Yes\nReplica_SQL_Running: Yes\n\
             Seconds_Behind_Source: 0\nLast_IO_Errno: 0\nLast_SQL_Errno: 0\nSource_Server_Id: {}\nAuto_Position: 1\n\
             SQL_Delay: 0\nSource_Retry_Count: 86400\nReplicate_Do_DB:",
            2 - number
        ))],
        binlog: Some(vec![recorded("File: binlog.000002\nPosition: 157\nBinlog_Do_DB:\nBinlog_Ignore_DB:")]),
        privileges: [
            rights(
                "vrrp",
                &[
                    "PROCESS",
                    "REPLICATION CLIENT",
                    "SYSTEM_VARIABLES_ADMIN",
                    "CONNECTION_ADMIN",
                    "REPLICATION_SLAVE_ADMIN",
                ],
            ),
            rights("vrrp_probe", &["REPLICATION CLIENT"]),
            rights("app", &["USAGE"]),
        ]
        .concat(),
        narrow_privileges: heartbeat_rights(&["INSERT", "UPDATE"]),
        accounts: ["vrrp", "vrrp_probe", "app"]
            .map(|user| recorded(&format!("user: {user}\nhost: localhost\nplugin: caching_sha2_password")))
            .to_vec(),
        tables: Some(Vec::new()),
        events: Some(0),
        heartbeats: vec![("vrrp.heartbeat".to_owned(), Some(true))],
        sessions: vec![recorded("Id: 8\nCommand: Query\nState: init\nInfo: SHOW FULL PROCESSLIST")],
        programs: vec![recorded("program: mysql")],
        heartbeat_interval: Some("1.000".to_owned()),
        read_only_origin: Some("DYNAMIC".to_owned()),
        clock_offset_ms: Some(3),
        unanswered: Vec::new(),
    }
}

fn host() -> HostFacts {
    let disk = Disk { what: "data", path: "/var/lib/mysql".to_owned(), device: 1, free: 500, total: 1000 };
    HostFacts {
        disks: vec![disk],
        binlog_shares_disk: Some(false),
        starts_as: Some(StartsAs { read_only: true, super_read_only: true, without_replication: false }),
        has_daemon: true,
        clock: Clock::Kept,
        addresses: Some(["127.0.0.1", "10.99.0.1", "10.99.0.200"].map(str::to_owned).to_vec()),
        allows_nonlocal_bind: Some(false),
        keepalive_seconds: Some(60),
        ..HostFacts::default()
    }
}

fn judged(
    change: impl FnOnce(&mut Answers, &mut Answers, &mut HostFacts),
) -> Vec<(Severity, Node, &'static str)> {
    let (mut local, mut peer, mut here) = (mysql8(0), mysql8(1), host());
    // What a peer's files say cannot be known, unless its variable came from one.
    peer.read_only_origin = Some("GLOBAL".to_owned());
    change(&mut local, &mut peer, &mut here);
    let local = Facts::read(&local, Some(here)).unwrap();
    let peer = Facts::read(&peer, None).unwrap();
    let found = judge(&local, Some(&peer), &context());
    found.iter().map(|finding| (finding.severity, finding.node, finding.check)).collect()
}

fn variable(name: &'static str, value: &'static str) -> Vec<(Severity, Node, &'static str)> {
    judged(|local, _, _| set(&mut local.variables, name, value))
}

#[test]
fn a_mysql_8_pair_as_it_should_be_has_no_findings() {
    assert_eq!(judged(|_, _, _| {}), []);
}

#[test]
fn each_setting_of_one_node_is_noticed() {
    use Severity::{Error, Info, Warning};
    for (name, value, severity, check) in [
        ("log_bin", "OFF", Error, "binary-log"),
        ("log_replica_updates", "OFF", Error, "replica-updates-logged"),
        ("gtid_mode", "OFF_PERMISSIVE", Error, "gtid"),
        ("binlog_row_image", "MINIMAL", Warning, "row-image"),
        ("sync_binlog", "0", Warning, "durability"),
        ("innodb_flush_log_at_trx_commit", "2", Warning, "durability"),
        ("relay_log_recovery", "OFF", Warning, "relay-log-recovery"),
        ("binlog_expire_logs_seconds", "0", Warning, "retention"),
        ("binlog_expire_logs_seconds", "3600", Warning, "retention"),
        ("auto_increment_increment", "1", Warning, "auto-increment"),
        ("auto_increment_offset", "3", Warning, "auto-increment"),
        ("replica_net_timeout", "60", Warning, "net-timeout"),
        ("skip_networking", "ON", Error, "listener"),
        ("skip_name_resolve", "OFF", Warning, "name-resolve"),
        ("max_connect_errors", "100", Warning, "connect-errors"),
        ("admin_address", "", Warning, "admin-port"),
        ("replica_exec_mode", "IDEMPOTENT", Warning, "exec-mode"),
        ("replica_skip_errors", "1062", Warning, "skip-errors"),
        ("replicate_same_server_id", "ON", Error, "same-server-id"),
        ("skip_replica_start", "ON", Error, "autostart"),
        ("wait_timeout", "10", Warning, "idle-timeout"),
        ("max_execution_time", "500", Info, "statement-limit"),
        ("rpl_semi_sync_source_enabled", "OFF", Warning, "semi-sync"),
        ("rpl_semi_sync_source_wait_point", "AFTER_COMMIT", Warning, "semi-sync-wait-point"),
        ("rpl_semi_sync_source_timeout", "10000", Warning, "semi-sync-timeout"),
        ("master_info_repository", "FILE", Warning, "crash-safe-replica"),
    ] {
        assert_eq!(variable(name, value), [(severity, Node::Local, check)], "{name} = {value}");
    }
    let statement = variable("binlog_format", "STATEMENT");
    assert!(statement.contains(&(Error, Node::Local, "row-format")), "{statement:?}");
    let mixed = variable("binlog_format", "MIXED");
    assert!(mixed.contains(&(Warning, Node::Local, "row-format")), "{mixed:?}");
    let bound = variable("bind_address", "10.99.0.1");
    assert_eq!(bound, [(Error, Node::Local, "listener")], "the virtual address is not among them");
    let bound = variable("bind_address", "10.99.0.1,10.99.0.200");
    assert_eq!(bound, [(Error, Node::Local, "listener")], "nor can it be bound while the peer holds it");
}

#[test]
fn what_differs_between_the_two_is_noticed() {
    use Severity::{Error, Info, Warning};
    for (name, value, severity, check) in [
        ("lower_case_table_names", "1", Error, "case-of-names"),
        ("port", "3307", Error, "port"),
        ("sql_mode", "", Warning, "equal-settings"),
        ("max_connections", "500", Info, "parity"),
        ("auto_increment_offset", "1", Warning, "auto-increment"),
    ] {
        let found = judged(|_, peer, _| set(&mut peer.variables, name, value));
        assert_eq!(found, [(severity, Node::Pair, check)], "{name} = {value}");
    }
    let same_id = judged(|_, peer, _| {
        peer.identity = recorded(&show(&peer.identity).replace("server_id: 2", "server_id: 1"))
    });
    assert_eq!(same_id, [(Error, Node::Pair, "server-id")]);
    let same_uuid = judged(|_, peer, _| {
        peer.identity = recorded(
            &show(&peer.identity)
                .replace(&format!("server_uuid: {}", UUIDS[1]), &format!("server_uuid: {}", UUIDS[0])),
        );
    });
    assert_eq!(same_uuid, [(Error, Node::Pair, "server-uuid")]);
    let clocks = judged(|_, peer, _| peer.clock_offset_ms = Some(-5000));
    assert_eq!(clocks, [(Warning, Node::Pair, "clocks")]);
}

fn show(row: &Row) -> String {
    row.cells().map(|(name, value)| format!("{name}: {}\n", value.unwrap_or("NULL"))).collect()
}

#[test]
fn roles_and_positions_of_the_two_are_held_against_each_other() {
    use Severity::{Error, Warning};
    let change = |from: &str, to: &str| {
        let (from, to) = (from.to_owned(), to.to_owned());
        move |row: &mut Row| *row = recorded(&show(row).replace(&from, &to))
    };
    let both = judged(|_, peer, _| change("read_only: 1", "read_only: 0")(&mut peer.identity));
    let started = (Error, Node::Peer, "starts-read-only");
    assert_eq!(both, [started, (Error, Node::Pair, "one-writer")], "its files made it writable");
    let none = judged(|local, _, _| change("read_only: 0", "read_only: 1")(&mut local.identity));
    let address = (Warning, Node::Local, "address-and-writer");
    assert_eq!(none, [address, (Warning, Node::Pair, "one-writer")]);
    let weak = judged(|_, peer, _| change("super_read_only: 1", "super_read_only: 0")(&mut peer.identity));
    assert_eq!(weak, [(Warning, Node::Peer, "super-read-only")]);
    let behind = judged(|_, peer, _| change(":1-100", ":1-90")(&mut peer.identity));
    assert_eq!(behind, [], "a standby may be behind by what is on its way");
    let errant = judged(|_, peer, _| change(":1-100", &format!(":1-100,{}:1", UUIDS[1]))(&mut peer.identity));
    assert_eq!(errant, [(Warning, Node::Pair, "errant")]);
    let diverged =
        judged(|_, peer, _| change(":1-100", &format!(":1-90,{}:1", UUIDS[1]))(&mut peer.identity));
    assert_eq!(diverged, [(Error, Node::Pair, "divergence")]);
}

#[test]
fn channels_are_looked_at() {
    use Severity::{Error, Warning};
    let local = |from: &'static str, to: &'static str| {
        judged(move |local, _, _| local.replicas[0] = recorded(&show(&local.replicas[0]).replace(from, to)))
    };
    assert_eq!(local("Auto_Position: 1", "Auto_Position: 0"), [(Error, Node::Local, "gtid-channel")]);
    assert_eq!(local("10.99.0.9", "10.99.0.200"), [(Error, Node::Local, "channel-source")]);
    assert_eq!(
        local("Replica_SQL_Running: Yes", "Replica_SQL_Running: No"),
        [(Error, Node::Local, "channel-running")]
    );
    assert_eq!(local("IO_Running: Yes", "IO_Running: Connecting"), [(Error, Node::Local, "channel-running")]);
    assert_eq!(local("Behind_Source: 0", "Behind_Source: 60"), [(Warning, Node::Local, "lag")]);
    assert_eq!(local("Connect_Retry: 1", "Connect_Retry: 60"), [(Warning, Node::Local, "connect-retry")]);
    assert_eq!(local("SQL_Delay: 0", "SQL_Delay: 3600"), [(Error, Node::Local, "delay")]);
    assert_eq!(judged(|local, _, _| local.replicas.clear()), [(Error, Node::Local, "channel")]);
    assert_eq!(judged(|local, _, _| local.binlog = None), [(Error, Node::Local, "binary-log-answers")]);
    let both = |local: &mut Answers, peer: &mut Answers| {
        local.binlog = Some(vec![recorded("Binlog_Do_DB: shop")]);
        peer.binlog = local.binlog.clone();
    };
    let filtered = judged(|local, peer, _| both(local, peer));
    assert_eq!(filtered, [(Warning, Node::Local, "filters"), (Warning, Node::Peer, "filters")]);
}

#[test]
fn accounts_host_and_tables_are_looked_at() {
    use Severity::{Error, Info, Warning};
    let app = judged(|local, _, _| {
        local.accounts.push(recorded("user: shop\nhost: localhost\nplugin: mysql_native_password"));
        local.privileges.extend(rights("shop", &["SUPER"]));
    });
    assert_eq!(app, [(Warning, Node::Local, "rights-past-read-only")]);
    let poor =
        judged(|local, _, _| local.privileges.retain(|row| row.get(&["privilege_type"]) != Some("PROCESS")));
    assert_eq!(poor, [(Error, Node::Local, "daemon-rights")]);
    assert_eq!(judged(|local, _, _| local.accounts.clear()), [(Info, Node::Local, "daemon-user")]);
    let other = judged(|local, _, _| {
        local.accounts[0] = recorded("user: root\nhost: localhost\nplugin: auth_socket")
    });
    assert_eq!(other, [(Warning, Node::Local, "daemon-user")]);
    let kerberos = judged(|local, _, _| {
        local.accounts[0] = recorded("user: vrrp\nhost: localhost\nplugin: authentication_kerberos")
    });
    assert_eq!(kerberos, [(Error, Node::Local, "daemon-login")]);
    assert_eq!(
        judged(|_, _, host| host.starts_as = Some(StartsAs::default())),
        [(Error, Node::Local, "starts-read-only")]
    );
    assert_eq!(judged(|_, peer, _| peer.read_only_origin = None), [(Info, Node::Peer, "starts-read-only")]);
    assert_eq!(judged(|_, _, host| host.disks[0].free = 100), [(Warning, Node::Local, "disk")]);
    assert_eq!(judged(|_, _, host| host.disks[0].free = 49), [(Error, Node::Local, "disk")]);
    assert_eq!(
        judged(|_, _, host| host.other_managers = vec!["keepalived".into()]),
        [(Warning, Node::Local, "other-manager")]
    );
    let tables = judged(|local, _, _| {
        local.tables = Some(vec![
            recorded("table_schema: shop\ntable_name: log\nengine: MyISAM\nhas_key: 1"),
            recorded("table_schema: shop\ntable_name: raw\nengine: InnoDB\nhas_key: NULL"),
        ]);
    });
    let both = [(Warning, Node::Local, "primary-keys"), (Warning, Node::Local, "engines")];
    assert_eq!(tables, both, "NULL for has_key is no key");
}
