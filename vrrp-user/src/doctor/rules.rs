//! The rules: from facts to findings, and nothing else.
//!
//! Owns which checks there are. Each rule looks at one node, or at both. Refuses to ask a server anything.

use std::net::Ipv4Addr;

use super::facts::Facts;
use super::finding::{Finding, Findings, Node};

mod accounts;
mod address;
mod capacity;
mod channel;
mod heartbeat;
mod history;
mod host;
mod log;
mod pair;
mod reach;
mod role;
mod semisync;
mod work;

#[cfg(test)]
mod tests;

/// What the rules need to know beside the servers.
#[derive(Clone, Debug, Default)]
pub struct Context {
    /// The virtual addresses, without their prefixes.
    pub virtual_addresses: Vec<String>,
    /// The interfaces that they go to.
    pub places: Vec<(String, Ipv4Addr)>,
    /// Those of them at which clients reach the server.
    pub service_addresses: Vec<String>,
    /// The daemon's own user on this server, whose rights are judged.
    pub daemon_user: String,
    /// All that the configuration names as such, on whatever server.
    pub role_users: Vec<String>,
    /// Users that ask for role and replication: probes, and the other host's daemon.
    pub watch_users: Vec<String>,
    /// Users that only log in.
    pub login_users: Vec<String>,
    pub heartbeats: Vec<Heartbeat>,
    /// Where the peer was asked.
    pub peer_address: Option<String>,
}

/// A table that the configuration has rows written to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heartbeat {
    /// `schema.table`, plain words.
    pub table: String,
    /// Who writes.
    pub user: String,
}

impl Context {
    /// Each table once.
    pub(super) fn heartbeat_tables(&self) -> Vec<&str> {
        let mut tables: Vec<&str> = self.heartbeats.iter().map(|one| one.table.as_str()).collect();
        tables.sort_unstable();
        tables.dedup();
        tables
    }
}

type Rule = fn(&Facts, &Context, &mut Findings);

/// Each looks at one node.
const RULES: [Rule; 38] = [
    history::server_id,
    history::binary_log,
    history::replica_updates_logged,
    history::transaction_ids,
    history::gtid_consistency,
    history::strict_mode,
    history::channel,
    history::channel_timeouts,
    history::filters,
    history::tolerance,
    channel::own_source,
    channel::retries,
    channel::parallel_applying,
    log::row_format,
    log::durability,
    log::crash_safe_replica,
    log::retention,
    log::autoincrement,
    role::starts_read_only,
    role::starts_super_read_only,
    role::strictest_read_only,
    accounts::rights_past_read_only,
    accounts::daemon_user,
    accounts::watch_users,
    accounts::ways_to_log_in,
    heartbeat::table,
    heartbeat::rights,
    semisync::settings,
    semisync::who_is_waited_for,
    reach::listener,
    reach::limits,
    capacity::room_and_tables,
    capacity::shared_disk,
    host::clock,
    host::keepalive,
    address::without_daemon,
    address::claimed_elsewhere,
    work::backups,
];

/// Judges this node, and with the peer's facts both and what is between them.
pub(super) fn judge(local: &Facts, peer: Option<&Facts>, context: &Context) -> Vec<Finding> {
    let mut all = on_one(local, context, Node::Local);
    let mut findings = Findings::on(Node::Local);
    address::goes_with_the_writer(local, peer, context, &mut findings);
    all.extend(findings.into_all());
    if let Some(peer) = peer {
        all.extend(on_one(peer, context, Node::Peer));
        let mut findings = Findings::on(Node::Pair);
        pair::judge(local, peer, context, &mut findings);
        all.extend(findings.into_all());
    }
    all.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    all
}

fn on_one(facts: &Facts, context: &Context, node: Node) -> Vec<Finding> {
    let mut findings = Findings::on(node);
    for rule in RULES {
        rule(facts, context, &mut findings);
    }
    findings.into_all()
}
