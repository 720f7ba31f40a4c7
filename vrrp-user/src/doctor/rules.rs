//! The rules: from facts to findings, and nothing else.
//!
//! Owns which checks there are. Each rule looks at one node, or at both. Refuses to ask a server anything.

use super::facts::Facts;
use super::finding::{Finding, Findings, Node};

mod accounts;
mod capacity;
mod history;
mod log;
mod pair;
mod reach;
mod role;
mod semisync;

#[cfg(test)]
mod tests;

/// What the rules need to know beside the servers.
#[derive(Clone, Debug)]
pub struct Context {
    /// The virtual addresses, without their prefixes.
    pub virtual_addresses: Vec<String>,
    /// The daemon's own user on the servers.
    pub daemon_user: String,
}

type Rule = fn(&Facts, &Context, &mut Findings);

/// Each looks at one node.
const RULES: [Rule; 22] = [
    history::server_id,
    history::binary_log,
    history::replica_updates_logged,
    history::transaction_ids,
    history::strict_mode,
    history::channel,
    history::channel_timeouts,
    history::filters,
    history::tolerance,
    log::row_format,
    log::durability,
    log::crash_safe_replica,
    log::retention,
    log::autoincrement,
    role::starts_read_only,
    role::strictest_read_only,
    accounts::rights_past_read_only,
    accounts::daemon_user,
    semisync::settings,
    reach::listener,
    reach::limits,
    capacity::room_and_tables,
];

/// Judges this node, and with the peer's facts both and what is between them.
pub(super) fn judge(local: &Facts, peer: Option<&Facts>, context: &Context) -> Vec<Finding> {
    let mut all = on_one(local, context, Node::Local);
    if let Some(peer) = peer {
        all.extend(on_one(peer, context, Node::Peer));
        let mut findings = Findings::on(Node::Pair);
        pair::judge(local, peer, &mut findings);
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
