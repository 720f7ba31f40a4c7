//! What only both servers together can tell.

use super::{Context, channel};
use crate::doctor::facts::Facts;
use crate::doctor::finding::Findings;
use crate::mysql::Relation;

/// Must be equal, or a failover changes what applications get.
const EQUAL: [&str; 9] = [
    "sql_mode",
    "time_zone",
    "character_set_server",
    "collation_server",
    "default_storage_engine",
    "explicit_defaults_for_timestamp",
    "max_allowed_packet",
    "binlog_format",
    "event_scheduler",
];
/// Should be about equal: the peer must carry the load.
/// MariaDB's thread_pool_size is the number of processors, unless set.
const PARITY: [&str; 5] = [
    "max_connections",
    "innodb_buffer_pool_size",
    "innodb_io_capacity",
    "thread_pool_size",
    "version_compile_machine",
];

pub(super) fn judge(local: &Facts, peer: &Facts, context: &Context, findings: &mut Findings) {
    identities(local, peer, findings);
    roles(local, peer, findings);
    positions(local, peer, findings);
    keys(local, peer, findings);
    channel::from_the_other((local, peer), context.peer_address.as_deref(), findings);
    channel::from_the_other((peer, local), None, findings);
    filters(local, peer, findings);
    versions(local, peer, findings);
    values(local, peer, findings);
}

/// Of a pair's two numbers the one that both lack.
const fn other(number: u64) -> u64 {
    if number == 2 { 1 } else { 2 }
}

fn identities(local: &Facts, peer: &Facts, findings: &mut Findings) {
    if local.state.server_id == peer.state.server_id {
        findings.error(
            "server-id",
            format!("both have server_id {}", local.state.server_id),
            "replication stops with 1593, or drops what it takes for its own",
            format!("my.cnf on one of them: server_id = {}, and restart it", other(local.state.server_id)),
        );
    }
    if local.state.uuid.is_some() && local.state.uuid == peer.state.uuid {
        findings.error(
            "server-uuid",
            "both have the same server_uuid: one is a copy of the other",
            "transactions of both get the same ids, and are skipped",
            "stop one of them, delete auto.cnf in its data folder, start it",
        );
    }
    if local.flavour.is_mariadb() {
        let domain = |facts: &Facts| facts.number(&["gtid_domain_id"]).unwrap_or(0);
        if domain(local) != domain(peer) {
            findings.warn(
                "gtid-domain",
                format!("gtid_domain_id is {} here and {} there", domain(local), domain(peer)),
                "with one writer at a time one domain is a tripwire: two writers then stop replication",
                "SET GLOBAL gtid_domain_id equal on both, and in my.cnf",
            );
        }
    }
}

fn roles(local: &Facts, peer: &Facts, findings: &mut Findings) {
    match (local.state.writability.is_writable(), peer.state.writability.is_writable()) {
        (true, true) => findings.error(
            "one-writer",
            "both servers accept writes",
            "what both change differs from then on, and nobody can merge it",
            "SET GLOBAL read_only = 1 on the one that does not hold the virtual address",
        ),
        (false, false) => findings.warn(
            "one-writer",
            "both servers are read-only",
            "nobody serves writes",
            "start the daemons, or SET GLOBAL read_only = 0 on the one that holds the virtual address",
        ),
        (true, false) | (false, true) => {}
    }
}

fn positions(local: &Facts, peer: &Facts, findings: &mut Findings) {
    let (Ok(ours), Ok(theirs)) = (&local.state.position, &peer.state.position) else {
        findings.warn(
            "positions",
            "the positions of the servers cannot be read",
            "whether the two have the same data is not known",
            "SELECT @@global.gtid_binlog_state (MariaDB) or @@global.gtid_executed on both",
        );
        return;
    };
    let both_writable = local.state.writability.is_writable() && peer.state.writability.is_writable();
    match ours.relate(theirs) {
        Relation::Diverged { ours, theirs } => findings.error(
            "divergence",
            format!("only here: {ours}; only there: {theirs}"),
            "each server has writes that the other lacks: a failover, either way, loses some",
            "decide whose data count; make the other a new replica of it",
        ),
        Relation::Incomparable => findings.error(
            "divergence",
            "one server is MariaDB, the other MySQL",
            "their positions cannot be compared",
            "use the same product on both",
        ),
        Relation::Ahead(what) if !local.state.writability.is_writable() || both_writable => findings.warn(
            "errant",
            format!("only here, on a server that is not the only writable one: {what}"),
            "the peer never gets it, unless it still replicates from here",
            "look at these transactions: SHOW BINLOG EVENTS",
        ),
        Relation::Behind(what) if !peer.state.writability.is_writable() || both_writable => findings.warn(
            "errant",
            format!("only on the peer, which is not the only writable one: {what}"),
            "this server never gets it, unless it still replicates from there",
            "look at these transactions on the peer: SHOW BINLOG EVENTS",
        ),
        // The standby is behind by what is on its way.
        Relation::Equal | Relation::Ahead(_) | Relation::Behind(_) => {}
    }
}

fn keys(local: &Facts, peer: &Facts, findings: &mut Findings) {
    let offset = |facts: &Facts| facts.number(&["auto_increment_offset"]).unwrap_or(1);
    if offset(local) != offset(peer) {
        return;
    }
    let found = format!("auto_increment_offset is {} on both", offset(local));
    const WHY: &str = "should both ever write, their new keys meet (1062) and replication stops";
    let other = other(offset(local));
    let mend = format!(
        "SET GLOBAL auto_increment_offset = {other} on one of them; my.cnf: auto_increment_offset = {other}"
    );
    if local.state.writability.is_writable() && peer.state.writability.is_writable() {
        findings.error("auto-increment", found, WHY, mend);
    } else {
        findings.warn("auto-increment", found, WHY, mend);
    }
}

/// That there are any is said of each node.
fn filters(local: &Facts, peer: &Facts, findings: &mut Findings) {
    let all = |facts: &Facts| {
        let mut all = facts.channel_filters.clone();
        let binlog = facts.binlog_filter.iter().filter(|filter| !filter.is_empty());
        all.extend(binlog.map(|filter| format!("binary log: {filter}")));
        all.sort();
        all
    };
    // What did not come cannot be compared.
    if local.binlog_filter.is_none() || peer.binlog_filter.is_none() || all(local) == all(peer) {
        return;
    }
    let shown = |facts: &Facts| match all(facts).as_slice() {
        [] => "none".to_owned(),
        some => some.join(", "),
    };
    findings.error(
        "filters-differ",
        format!("filters here: {}; there: {}", shown(local), shown(peer)),
        "what one server leaves out the other one has: tables are missing, or stale, after a failover",
        "remove replicate_*, binlog_do_db and binlog_ignore_db from my.cnf, on both",
    );
}

fn versions(local: &Facts, peer: &Facts, findings: &mut Findings) {
    if local.flavour.product != peer.flavour.product {
        // Said by the positions.
        return;
    }
    let series = |facts: &Facts| (facts.flavour.version.0, facts.flavour.version.1);
    if series(local) != series(peer) {
        findings.warn(
            "versions",
            format!("{} here, {} there", local.flavour, peer.flavour),
            "an older server may not understand what a newer one writes: replication works one way only",
            "the same series on both; while upgrading keep the newer one as standby",
        );
    }
    let names = ["lower_case_table_names"];
    if local.variable(&names) != peer.variable(&names) {
        findings.error(
            "case-of-names",
            "lower_case_table_names differs",
            "the same name means another table on the other server",
            "the same value on both; it can be set only with an empty data folder",
        );
    }
    if local.variable(&["port"]) != peer.variable(&["port"]) {
        findings.error(
            "port",
            format!(
                "port {} here, {} there",
                local.variable(&["port"]).unwrap_or("?"),
                peer.variable(&["port"]).unwrap_or("?")
            ),
            "after a failover the virtual address answers on another port",
            "my.cnf: port = 3306 on both",
        );
    }
}

fn values(local: &Facts, peer: &Facts, findings: &mut Findings) {
    for name in EQUAL {
        let (ours, theirs) = (local.variable(&[name]), peer.variable(&[name]));
        if let (Some(ours), Some(theirs)) = (ours, theirs)
            && ours != theirs
        {
            findings.warn(
                "equal-settings",
                format!("{name} is {ours:?} here and {theirs:?} there"),
                "the same statement does something else after a failover",
                format!("the same {name} on both, in my.cnf"),
            );
        }
    }
    for name in PARITY {
        let (ours, theirs) = (local.variable(&[name]), peer.variable(&[name]));
        if ours != theirs {
            findings.info(
                "parity",
                format!("{name} is {} here and {} there", ours.unwrap_or("?"), theirs.unwrap_or("?")),
                "the peer must carry the same load",
                format!("the same {name} on both, in my.cnf"),
            );
        }
    }
    let has_scheduler =
        |facts: &Facts| facts.is_on(&["event_scheduler"]) == Some(true) && facts.events.unwrap_or(0) > 0;
    if has_scheduler(local) && has_scheduler(peer) {
        findings.warn(
            "events",
            "events run on both servers",
            "each does its work twice, and on the standby past read_only",
            "SET GLOBAL event_scheduler = OFF on the standby, or ALTER EVENT ... DISABLE ON SLAVE there",
        );
    }
    if let (Some(ours), Some(theirs)) = (local.clock_offset_ms, peer.clock_offset_ms)
        && ours.abs_diff(theirs) > 1000
    {
        findings.warn(
            "clocks",
            format!("the servers' clocks differ by {} ms", ours.abs_diff(theirs)),
            "time stamps in the data jump at a failover",
            "install chrony on both, or enable systemd-timesyncd",
        );
    }
}
