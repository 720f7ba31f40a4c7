//! Ids, binary log and channel: can this server follow the other, and be followed?

use super::Context;
use super::channel::change;
use crate::doctor::facts::Facts;
use crate::doctor::finding::Findings;
use crate::mysql::{ReplicaStatus, Thread};

pub(super) fn server_id(facts: &Facts, _context: &Context, findings: &mut Findings) {
    if facts.state.server_id == 0 {
        findings.error(
            "server-id",
            "server_id is 0",
            "a server without an id neither replicates nor is replicated from",
            "my.cnf: server_id = 1 on one node, 2 on the other",
        );
    }
}

pub(super) fn binary_log(facts: &Facts, _context: &Context, findings: &mut Findings) {
    if facts.is_on(&["log_bin"]) == Some(false) {
        findings.error(
            "binary-log",
            "log_bin is OFF",
            "after a failover to this node the other cannot follow it: there is no way back",
            "my.cnf: log_bin = binlog",
        );
    }
}

pub(super) fn replica_updates_logged(facts: &Facts, _context: &Context, findings: &mut Findings) {
    if facts.is_on(&["log_replica_updates", "log_slave_updates"]) == Some(false) {
        let name = facts.name_of(["log_replica_updates", "log_slave_updates"]);
        findings.error(
            "replica-updates-logged",
            format!("{name} is OFF"),
            "its binary log lacks what it received, so its position cannot be compared with the peer's",
            format!("my.cnf: {name} = ON"),
        );
    }
}

pub(super) fn transaction_ids(facts: &Facts, _context: &Context, findings: &mut Findings) {
    if !facts.flavour.is_mariadb() {
        let mode = facts.variable(&["gtid_mode"]).unwrap_or("OFF");
        if !mode.eq_ignore_ascii_case("ON") {
            findings.error(
                "gtid",
                format!("gtid_mode is {mode}"),
                "without transaction ids nobody can tell what a failover would lose",
                "my.cnf: gtid_mode = ON and enforce_gtid_consistency = ON",
            );
        }
    }
    for replica in &facts.replicas {
        if !replica.is_by_gtid {
            let change = if facts.flavour.is_mariadb() {
                "STOP SLAVE; CHANGE MASTER TO MASTER_USE_GTID = slave_pos; START SLAVE"
            } else if facts.flavour.is_mysql_from(8, 0, 23) {
                "STOP REPLICA; CHANGE REPLICATION SOURCE TO SOURCE_AUTO_POSITION = 1; START REPLICA"
            } else {
                "STOP SLAVE; CHANGE MASTER TO MASTER_AUTO_POSITION = 1; START SLAVE"
            };
            findings.error(
                "gtid-channel",
                format!("the channel from {} follows file and offset", replica.source_host),
                "after a crash or a failover it may apply twice or skip; a position by transaction id cannot",
                change,
            );
        } else if replica.gtid_mode.eq_ignore_ascii_case("Current_Pos") {
            findings.warn(
                "gtid-channel",
                "Using_Gtid is Current_Pos",
                "one errant write of this server and it cannot connect; Current_Pos is deprecated",
                "STOP SLAVE; CHANGE MASTER TO MASTER_USE_GTID = slave_pos; START SLAVE",
            );
        }
    }
}

/// MySQL: gtid_mode cannot be ON without it, but may be on its way there.
pub(super) fn gtid_consistency(facts: &Facts, _context: &Context, findings: &mut Findings) {
    let name = "enforce_gtid_consistency";
    let Some(value) = facts.variable(&[name]).filter(|_| !facts.flavour.is_mariadb()) else { return };
    if facts.is_on(&[name]) != Some(true) {
        findings.error(
            "gtid-consistency",
            format!("{name} is {value}"),
            "statements that no transaction id can be given to are let through, and break the replica",
            match facts.flavour.is_mysql_from(5, 7, 6) {
                true => format!("SET GLOBAL {name} = ON; my.cnf: {name} = ON"),
                false => format!("my.cnf: {name} = 1, and restart"),
            },
        );
    }
}

pub(super) fn strict_mode(facts: &Facts, _context: &Context, findings: &mut Findings) {
    if facts.flavour.is_mariadb() && facts.is_on(&["gtid_strict_mode"]) == Some(false) {
        findings.error(
            "gtid-strict",
            "gtid_strict_mode is OFF",
            "after two writers both histories are mixed silently; strict, the replica stops with 1950 instead",
            "SET GLOBAL gtid_strict_mode = 1; my.cnf: gtid_strict_mode = 1",
        );
    }
}

pub(super) fn channel(facts: &Facts, context: &Context, findings: &mut Findings) {
    if facts.replicas.is_empty() {
        findings.error(
            "channel",
            "replicates from nobody",
            "what the other server writes never comes here, so this one cannot take over",
            change(facts.flavour, "HOST = the other server's own address, with user and password"),
        );
    }
    for replica in &facts.replicas {
        let source = &replica.source_host;
        if context.virtual_addresses.contains(source) {
            findings.error(
                "channel-source",
                format!("replicates from {source}, the virtual address"),
                "after a failover a server would replicate from itself",
                change(facts.flavour, "HOST = the other server's own address"),
            );
        }
        for (name, thread, error) in [
            ("receiver", replica.receiver, &replica.receiver_error),
            ("applier", replica.applier, &replica.applier_error),
        ] {
            if thread == Thread::Running && error.is_none() {
                continue;
            }
            let state = match thread {
                Thread::Running => "runs",
                Thread::Connecting => "cannot connect",
                Thread::Stopped => "does not run",
            };
            let detail =
                error.as_ref().map_or(String::new(), |error| format!(": {} {}", error.code, error.text));
            let why = if replica.is_broken() {
                "its data or its history differ from the source's: it must not take over"
            } else {
                "this server falls behind; what it lacks is lost by a failover"
            };
            let found = format!("the {name} of the channel from {source} {state}{detail}");
            findings.error("channel-running", found, why, start(facts, replica, error.is_some()));
        }
        if replica.seconds_behind.is_some_and(|seconds| seconds > 10) {
            findings.warn(
                "lag",
                format!("{} s behind {source}", replica.seconds_behind.unwrap_or(0)),
                "a takeover waits for what was received to be applied",
                "look for long transactions and for tables without a primary key",
            );
        }
        if replica.delay > 0 {
            findings.error(
                "delay",
                format!("applies {} s late on purpose", replica.delay),
                "a takeover would wait that long, or lose it",
                change(facts.flavour, "DELAY = 0"),
            );
        }
    }
    // A variable of MySQL 8 alone.
    let by_files = facts
        .host
        .as_ref()
        .and_then(|host| host.starts_as)
        .is_some_and(|starts_as| starts_as.without_replication);
    if facts.is_on(&["skip_replica_start", "skip_slave_start"]).unwrap_or(by_files) {
        findings.error(
            "autostart",
            "replication does not start with the server",
            "a restarted server stays behind until somebody notices",
            "my.cnf: remove skip_slave_start (skip_replica_start)",
        );
    }
}

/// The daemon of a server that is written to keeps it from receiving on purpose, until the other one is seen to be harmless.
fn start(facts: &Facts, replica: &ReplicaStatus, has_error: bool) -> String {
    let has_daemon = facts.host.as_ref().is_some_and(|host| host.has_daemon);
    let then = match has_daemon && facts.state.writability.is_writable() {
        true => "see vrrp status: the daemon starts the replication of a server that it manages".to_owned(),
        false => facts.flavour.start_replication(&facts.flavour.channel(&replica.channel)),
    };
    if has_error { format!("mend the error it names, then {then}") } else { then }
}

pub(super) fn channel_timeouts(facts: &Facts, _context: &Context, findings: &mut Findings) {
    const WHY: &str = "a dead source is noticed, and a living one found again, only after that time";
    let names = ["replica_net_timeout", "slave_net_timeout"];
    if let Some(seconds) = facts.number(&names).filter(|seconds| *seconds > 10) {
        let name = facts.name_of(names);
        findings.warn(
            "net-timeout",
            format!("{name} is {seconds} s"),
            WHY,
            format!("SET GLOBAL {name} = 4; my.cnf: {name} = 4"),
        );
    }
    for replica in &facts.replicas {
        if let Some(seconds) = replica.connect_retry.filter(|seconds| *seconds > 5) {
            findings.warn(
                "connect-retry",
                format!("the channel from {} retries every {seconds} s", replica.source_host),
                WHY,
                change(facts.flavour, "CONNECT_RETRY = 1"),
            );
        }
    }
    if let Some(period) = facts.heartbeat_period_ms.filter(|period| *period == 0 || *period > 2000) {
        findings.warn(
            "heartbeat-period",
            format!("the source says that it lives every {period} ms (0: never)"),
            WHY,
            change(facts.flavour, "HEARTBEAT_PERIOD = 1"),
        );
    }
}

pub(super) fn filters(facts: &Facts, _context: &Context, findings: &mut Findings) {
    const WHY: &str = "after a failover what was left out is missing";
    for replica in facts.replicas.iter().filter(|replica| replica.has_filters) {
        findings.warn(
            "filters",
            format!("the channel from {} leaves things out", replica.source_host),
            WHY,
            "remove the replicate_* settings from my.cnf",
        );
    }
    match &facts.binlog_filter {
        Some(filter) if !filter.is_empty() => findings.warn(
            "filters",
            format!("the binary log is restricted: {filter}"),
            WHY,
            "remove binlog_do_db and binlog_ignore_db from my.cnf",
        ),
        Some(_) => {}
        None => findings.error(
            "binary-log-answers",
            "the binary log's position does not come",
            "commits hang: its disk may be full, or this login lacks the right to ask",
            "df on the binary log's folder; GRANT BINLOG MONITOR (MariaDB) or REPLICATION CLIENT",
        ),
    }
}

pub(super) fn tolerance(facts: &Facts, _context: &Context, findings: &mut Findings) {
    const WHY: &str = "it hides that the servers differ";
    let names = ["replica_exec_mode", "slave_exec_mode"];
    let (name, mode) = (facts.name_of(names), facts.variable(&names).unwrap_or("STRICT"));
    if !mode.eq_ignore_ascii_case("STRICT") {
        findings.warn("exec-mode", format!("{name} is {mode}"), WHY, format!("SET GLOBAL {name} = 'STRICT'"));
    }
    let skipped = facts.variable(&["replica_skip_errors", "slave_skip_errors"]).unwrap_or("OFF");
    if !skipped.is_empty() && !skipped.eq_ignore_ascii_case("OFF") {
        findings.warn(
            "skip-errors",
            format!("replication errors are skipped: {skipped}"),
            WHY,
            "my.cnf: remove slave_skip_errors (replica_skip_errors)",
        );
    }
    if facts.is_on(&["replicate_same_server_id"]) == Some(true) {
        findings.error(
            "same-server-id",
            "replicate_same_server_id is ON",
            "in a pair each change comes back and is applied again, for ever",
            "my.cnf: replicate_same_server_id = 0",
        );
    }
}
