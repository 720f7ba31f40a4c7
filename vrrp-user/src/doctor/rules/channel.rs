//! Where a server replicates from, how long it tries, and how fast it can apply.

use super::Context;
use crate::doctor::facts::Facts;
use crate::doctor::finding::Findings;
use crate::mysql::{Flavour, ReplicaStatus};

/// Connections are tried again for at least so long.
const LEAST_PATIENCE_SECONDS: u64 = 86_400;
const DEFAULT_CONNECT_RETRY: u64 = 60;

/// The statements that change a channel, in the server's own words; `what` without its first word.
pub(super) fn change(flavour: Flavour, what: &str) -> String {
    if flavour.is_mysql_from(8, 0, 23) {
        format!("STOP REPLICA; CHANGE REPLICATION SOURCE TO SOURCE_{what}; START REPLICA")
    } else {
        format!("STOP SLAVE; CHANGE MASTER TO MASTER_{what}; START SLAVE")
    }
}

/// A virtual address among the local ones is said by another rule.
pub(super) fn own_source(facts: &Facts, context: &Context, findings: &mut Findings) {
    let own_port = facts.number(&["port"]).unwrap_or(3306);
    let ours = facts.host.as_ref().and_then(|host| host.addresses.as_deref()).unwrap_or_default();
    for replica in &facts.replicas {
        let host = &replica.source_host;
        let is_loopback = host == "localhost" || host.starts_with("127.") || host == "::1";
        let is_own = is_loopback || (ours.contains(host) && !context.virtual_addresses.contains(host));
        if is_own && u64::from(replica.source_port) == own_port {
            findings.error(
                "channel-source",
                format!("replicates from {host}, which is itself"),
                "what the other server writes never comes here, so this one cannot take over",
                change(facts.flavour, "HOST = the other server's own address"),
            );
        }
    }
}

/// Between the two: each replicates from the other. `asked_at` is where the source was asked, if it is known.
pub(super) fn from_the_other(
    (replica, source): (&Facts, &Facts),
    asked_at: Option<&str>,
    findings: &mut Findings,
) {
    let knows = |one: &&ReplicaStatus| one.source_server_id != 0;
    let hosts: Vec<&str> = replica.replicas.iter().map(|one| one.source_host.as_str()).collect();
    let is_other = |one: &ReplicaStatus| one.source_server_id == source.state.server_id;
    let (id, other) = (replica.state.server_id, source.state.server_id);
    // With equal ids nothing can be told, and that is said.
    if hosts.is_empty() || id == other || replica.replicas.iter().any(is_other) {
        return;
    }
    if let Some(one) = replica.replicas.iter().find(knows) {
        findings.error(
            "channel-peer",
            format!(
                "server {id} replicates from {} (server_id {}), not from server {other}",
                hosts.join(", "),
                one.source_server_id,
            ),
            "what the other server writes never comes here, so this one cannot take over",
            change(replica.flavour, "HOST = the other server's own address"),
        );
    } else if let Some(address) = asked_at.filter(|address| !hosts.contains(address)) {
        findings.warn(
            "channel-peer",
            format!(
                "server {id} is to replicate from {} and never has; the peer is {address}",
                hosts.join(", ")
            ),
            "what the other server writes may never come here",
            change(replica.flavour, &format!("HOST = '{address}'")),
        );
    }
}

pub(super) fn retries(facts: &Facts, _context: &Context, findings: &mut Findings) {
    for (replica, retries) in facts.replicas.iter().zip(&facts.retries) {
        let every = replica.connect_retry.unwrap_or(DEFAULT_CONNECT_RETRY);
        let Some(count) = retries.filter(|count| *count != 0) else { continue };
        let patience = count.saturating_mul(every);
        if patience < LEAST_PATIENCE_SECONDS {
            findings.warn(
                "retry-count",
                format!(
                    "the channel from {} gives up after {count} tries, {patience} s",
                    replica.source_host
                ),
                "a source that was away longer is never followed again until somebody notices",
                if facts.flavour.is_mariadb() {
                    "my.cnf: master_retry_count = 0 (for ever)".to_owned()
                } else {
                    change(facts.flavour, "RETRY_COUNT = 86400")
                },
            );
        }
    }
}

pub(super) fn parallel_applying(facts: &Facts, _context: &Context, findings: &mut Findings) {
    const SLOW: &str = "a takeover waits until what was received is applied, and one thread may take long";
    let threads =
        facts.number(&["replica_parallel_workers", "slave_parallel_workers", "slave_parallel_threads"]);
    // 5.6 applies schemas beside each other at best.
    let can = facts.flavour.is_mariadb() || facts.flavour.is_mysql_from(5, 7, 0);
    if facts.flavour.is_mariadb() {
        let mode = facts.variable(&["slave_parallel_mode"]).unwrap_or("optimistic");
        if threads == Some(0) || mode.eq_ignore_ascii_case("none") {
            let found = "changes are applied by one thread";
            findings.info(
                "parallel-apply",
                found,
                SLOW,
                "my.cnf: slave_parallel_threads = 4 and slave_parallel_mode = optimistic",
            );
        }
        return;
    }
    let has_new_names = facts.variables.has("replica_parallel_workers");
    let name = if has_new_names { "replica" } else { "slave" };
    if can && threads.is_some_and(|threads| threads <= 1) {
        findings.info(
            "parallel-apply",
            "changes are applied by one thread",
            SLOW,
            match has_new_names {
                true => "my.cnf: replica_parallel_workers = 4 and replica_preserve_commit_order = ON",
                false => {
                    "my.cnf: slave_parallel_workers = 4, slave_parallel_type = LOGICAL_CLOCK and \
                     slave_preserve_commit_order = ON"
                }
            },
        );
    }
    let keeps_order = facts.is_on(&["replica_preserve_commit_order", "slave_preserve_commit_order"]);
    if threads.is_some_and(|threads| threads > 1) && keeps_order != Some(true) {
        findings.info(
            "commit-order",
            "changes are applied in parallel and committed in another order than on the source",
            "after a crash or a takeover there are holes in what it has, and readers see states that never were",
            match can {
                true => format!("my.cnf: {name}_preserve_commit_order = ON"),
                false => "my.cnf: slave_parallel_workers = 0".to_owned(),
            },
        );
    }
}
