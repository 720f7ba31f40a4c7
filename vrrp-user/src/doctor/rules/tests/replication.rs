//! Channels, what they leave out, and semi-synchronous replication.

use super::*;

use Severity::{Error, Info, Warning};

fn change(answers: &mut Answers, from: &str, to: &str) {
    answers.replicas[0] = recorded(&show(&answers.replicas[0]).replace(from, to));
}

fn local(from: &str, to: &str) -> Vec<(Severity, Node, &'static str)> {
    judged(|local, _, _| change(local, from, to))
}

/// As on Debian, with the variables given; the rest is not there.
fn mariadb(variables: &str, replica: &str) -> Facts {
    let identity = "server_id: 1\nread_only: 1\ngtid_binlog_state: 0-1-5\nversion: 10.11.19-MariaDB-log";
    let replicas = if replica.is_empty() { Vec::new() } else { vec![recorded(replica)] };
    let answers =
        Answers { identity: recorded(identity), variables: pairs(variables), replicas, ..Answers::default() };
    Facts::read(&answers, None).unwrap()
}

fn found_by(rule: Rule, facts: &Facts) -> Vec<(Severity, String)> {
    let mut findings = Findings::on(Node::Local);
    rule(facts, &context(), &mut findings);
    findings.into_all().into_iter().map(|finding| (finding.severity, finding.mend)).collect()
}

fn mysql56(variables: &str) -> Facts {
    let identity = "server_id: 1\nread_only: 0\nserver_uuid: u\ngtid_executed:\nversion: 5.6.24-log";
    let answers = Answers { identity: recorded(identity), variables: pairs(variables), ..Answers::default() };
    Facts::read(&answers, None).unwrap()
}

#[test]
fn new_settings_of_one_node_are_noticed() {
    for (name, value, severity, check) in [
        ("enforce_gtid_consistency", "WARN", Error, "gtid-consistency"),
        ("enforce_gtid_consistency", "OFF", Error, "gtid-consistency"),
        ("replica_parallel_workers", "0", Info, "parallel-apply"),
        ("replica_preserve_commit_order", "OFF", Info, "commit-order"),
        ("rpl_semi_sync_source_wait_for_replica_count", "2", Warning, "semi-sync-count"),
        ("rpl_semi_sync_source_wait_no_replica", "OFF", Warning, "semi-sync-no-replica"),
    ] {
        assert_eq!(variable(name, value), [(severity, Node::Local, check)], "{name} = {value}");
    }
}

#[test]
fn a_setting_that_a_server_does_not_have_is_no_finding() {
    let bare = mariadb("", "Master_Host: 10.99.0.2\nMaster_Server_Id: 2\nUsing_Gtid: Slave_Pos");
    let old = mysql56("");
    for facts in [&bare, &old] {
        for rule in [
            history::gtid_consistency,
            channel::own_source,
            channel::retries,
            channel::parallel_applying,
            semisync::who_is_waited_for,
            heartbeat::table,
            heartbeat::rights,
            capacity::shared_disk,
            host::clock,
            host::keepalive,
            address::without_daemon,
            work::backups,
            role::starts_super_read_only,
        ] {
            assert_eq!(found_by(rule, facts), [], "{}", facts.flavour);
        }
    }
}

#[test]
fn each_flavour_is_told_in_its_own_words() {
    let maria = mariadb(
        "slave_parallel_threads: 0\nmaster_retry_count: 10\nrpl_semi_sync_master_enabled: ON\n\
         rpl_semi_sync_slave_enabled: ON\nrpl_semi_sync_master_wait_no_slave: OFF",
        "Master_Host: 10.99.0.2\nConnect_Retry: 60",
    );
    let one = |severity, mend: &str| [(severity, mend.to_owned())];
    assert_eq!(
        found_by(channel::parallel_applying, &maria),
        one(Info, "my.cnf: slave_parallel_threads = 4 and slave_parallel_mode = optimistic")
    );
    assert_eq!(found_by(channel::retries, &maria), one(Warning, "my.cnf: master_retry_count = 0 (for ever)"));
    assert_eq!(
        found_by(semisync::who_is_waited_for, &maria),
        one(Warning, "SET GLOBAL rpl_semi_sync_master_wait_no_slave = 1; the same in my.cnf")
    );
    let ordered = mariadb("slave_parallel_threads: 4\nslave_parallel_mode: optimistic", "");
    assert_eq!(found_by(channel::parallel_applying, &ordered), []);
    let old = mysql56("enforce_gtid_consistency: OFF\nslave_parallel_workers: 4");
    assert_eq!(
        found_by(history::gtid_consistency, &old),
        one(Error, "my.cnf: enforce_gtid_consistency = 1, and restart")
    );
    assert_eq!(found_by(channel::parallel_applying, &old), one(Info, "my.cnf: slave_parallel_workers = 0"));
}

#[test]
fn a_server_replicates_from_the_other_and_not_from_itself() {
    let itself = (Error, Node::Local, "channel-source");
    assert_eq!(local("10.99.0.9", "10.99.0.1"), [itself], "its own address");
    assert_eq!(local("10.99.0.9", "127.0.0.1"), [itself]);
    let own_id = local("Source_Server_Id: 2", "Source_Server_Id: 1");
    assert_eq!(own_id, [(Error, Node::Pair, "channel-peer")], "by another address");
    assert_eq!(local("10.99.0.9\nSource_Port: 3306", "127.0.0.1\nSource_Port: 3307"), [], "a second server");
    assert_eq!(local("10.99.0.9", "10.98.0.9"), [], "the same server over a network of its own");
    let third = local("Source_Server_Id: 2", "Source_Server_Id: 3");
    assert_eq!(third, [(Error, Node::Pair, "channel-peer")]);
    let third = judged(|_, peer, _| change(peer, "Source_Server_Id: 1", "Source_Server_Id: 3"));
    assert_eq!(third, [(Error, Node::Pair, "channel-peer")]);
    let never = |host: &'static str| {
        judged(move |local, _, _| {
            change(local, "Source_Server_Id: 2", "Source_Server_Id: 0");
            change(local, "10.99.0.9", host);
        })
    };
    assert_eq!(never("10.99.0.7"), [(Warning, Node::Pair, "channel-peer")]);
    assert_eq!(never("10.99.0.9"), []);
}

#[test]
fn a_channel_that_gives_up_or_is_not_told_that_its_source_lives_is_noticed() {
    assert_eq!(local("Retry_Count: 86400", "Retry_Count: 10"), [(Warning, Node::Local, "retry-count")]);
    assert_eq!(local("Retry_Count: 86400", "Retry_Count: 0"), [], "for ever");
    let period = judged(|local, _, _| local.heartbeat_interval = Some("30.000".to_owned()));
    assert_eq!(period, [(Warning, Node::Local, "heartbeat-period")]);
    let counter = judged(|local, _, _| set(&mut local.status, "Slave_heartbeat_period", "1800.000"));
    assert_eq!(counter, [(Warning, Node::Local, "heartbeat-period")], "as 5.6 says it");
}

#[test]
fn filters_that_differ_are_an_error() {
    let differ = (Error, Node::Pair, "filters-differ");
    let one = local("Replicate_Do_DB: ", "Replicate_Do_DB: shop");
    assert_eq!(one, [differ, (Warning, Node::Local, "filters")]);
    let log = judged(|_, peer, _| peer.binlog = Some(vec![recorded("Binlog_Ignore_DB: shop")]));
    assert_eq!(log, [differ, (Warning, Node::Peer, "filters")]);
    let same = judged(|local, peer, _| {
        change(local, "Replicate_Do_DB: ", "Replicate_Do_DB: shop");
        change(peer, "Replicate_Do_DB: ", "Replicate_Do_DB: shop");
    });
    assert_eq!(same, [(Warning, Node::Local, "filters"), (Warning, Node::Peer, "filters")]);
}

/// The mends of one rule for the local server of a MySQL 8 pair, with one thing changed.
fn mends(rule: Rule, has_daemon: bool, change: impl FnOnce(&mut Answers)) -> Vec<String> {
    let mut local = mysql8(0);
    change(&mut local);
    let facts = Facts::read(&local, Some(HostFacts { has_daemon, ..host() })).unwrap();
    found_by(rule, &facts).into_iter().map(|(_, mend)| mend).collect()
}

#[test]
fn a_stopped_channel_is_started_in_its_servers_own_words_or_by_the_daemon() {
    let stopped =
        |answers: &mut Answers| change(answers, "Replica_SQL_Running: Yes", "Replica_SQL_Running: No");
    assert_eq!(mends(history::channel, false, stopped), ["START REPLICA"]);
    let by_daemon = mends(history::channel, true, stopped);
    assert!(
        by_daemon[0].starts_with("see vrrp status"),
        "the daemon of the active host has its reasons: {by_daemon:?}"
    );
    let standby = mends(history::channel, true, |answers| {
        stopped(answers);
        answers.identity = recorded(&show(&answers.identity).replace("read_only: 0", "read_only: 1"));
    });
    assert_eq!(standby, ["START REPLICA"]);
    let named = mariadb(
        "",
        "Connection_name: other\nMaster_Host: 10.99.0.2\nUsing_Gtid: Slave_Pos\nLast_SQL_Errno: 1062",
    );
    let mends = found_by(history::channel, &named);
    assert_eq!(mends[1].1, "mend the error it names, then START SLAVE 'other'");
}

/// MySQL 8.0.22 to 8.0.25 have the new statements and the old variables.
#[test]
fn a_setting_is_called_as_its_server_calls_it() {
    let old_names = |answers: &mut Answers| {
        answers.identity = recorded(&show(&answers.identity).replace("8.0.36", "8.0.23"));
        for (new, old) in [
            ("replica_net_timeout", "slave_net_timeout: 60"),
            ("replica_exec_mode", "slave_exec_mode: IDEMPOTENT"),
            ("log_replica_updates", "log_slave_updates: OFF"),
            ("replica_parallel_workers", "slave_parallel_workers: 0"),
        ] {
            answers.variables.retain(|row| row.at(0) != Some(new));
            answers.variables.extend(pairs(old));
        }
    };
    for (rule, mend) in [
        (
            history::channel_timeouts as Rule,
            "SET GLOBAL slave_net_timeout = 4; my.cnf: slave_net_timeout = 4",
        ),
        (history::tolerance, "SET GLOBAL slave_exec_mode = 'STRICT'"),
        (history::replica_updates_logged, "my.cnf: log_slave_updates = ON"),
    ] {
        assert_eq!(mends(rule, false, old_names), [mend]);
    }
    assert!(mends(channel::parallel_applying, false, old_names)[0].contains("slave_parallel_workers = 4"));
    let new =
        mends(history::tolerance, false, |answers| set(&mut answers.variables, "replica_exec_mode", "x"));
    assert_eq!(new, ["SET GLOBAL replica_exec_mode = 'STRICT'"]);
}

#[test]
fn replication_that_waits_to_be_started_is_no_variable_before_mysql_8() {
    let waits = |starts_as: StartsAs| {
        let mut facts = mariadb(
            "",
            "Master_Host: 10.99.0.2\nUsing_Gtid: Slave_Pos\nSlave_IO_Running: Yes\nSlave_SQL_Running: Yes",
        );
        facts.host = Some(HostFacts { starts_as: Some(starts_as), ..host() });
        !found_by(history::channel, &facts).is_empty()
    };
    assert!(!waits(StartsAs::default()));
    assert!(waits(StartsAs { without_replication: true, ..StartsAs::default() }));
}

#[test]
fn a_number_that_both_have_is_left_to_one_of_them() {
    for (own, other) in [("1", "2"), ("2", "1")] {
        let (mut local, mut peer) = (mysql8(0), mysql8(1));
        for answers in [&mut local, &mut peer] {
            set(&mut answers.variables, "auto_increment_offset", own);
            let identity = show(&answers.identity);
            let is_first = identity.contains("server_id: 1");
            let id = if is_first { "server_id: 1" } else { "server_id: 2" };
            answers.identity = recorded(&identity.replace(id, &format!("server_id: {own}")));
        }
        let (local, peer) = (Facts::read(&local, None).unwrap(), Facts::read(&peer, None).unwrap());
        let mut findings = Findings::on(Node::Pair);
        pair::judge(&local, &peer, &context(), &mut findings);
        let mends: Vec<String> = findings.into_all().into_iter().map(|finding| finding.mend).collect();
        assert!(
            mends.iter().any(|mend| mend.contains(&format!("auto_increment_offset = {other} on one"))),
            "{mends:?}"
        );
        assert!(mends.iter().any(|mend| mend.contains(&format!("server_id = {other},"))), "{mends:?}");
    }
}
