//! Is an acknowledged write on both servers?

use super::Context;
use crate::doctor::facts::Facts;
use crate::doctor::finding::Findings;

/// A pair has one replica: to wait for more is to wait for nobody.
pub(super) fn who_is_waited_for(facts: &Facts, _context: &Context, findings: &mut Findings) {
    let Some(semi) = facts.semi_sync.as_ref().filter(|semi| semi.is_source_enabled) else { return };
    let (count, no_replica) = match semi.has_new_names {
        true => ("rpl_semi_sync_source_wait_for_replica_count", "rpl_semi_sync_source_wait_no_replica"),
        false => ("rpl_semi_sync_master_wait_for_slave_count", "rpl_semi_sync_master_wait_no_slave"),
    };
    if semi.wait_for > 1 {
        findings.warn(
            "semi-sync-count",
            format!("{count} is {}", semi.wait_for),
            "the other server of a pair is one replica: commits wait for the timeout, then nothing is safe",
            format!("SET GLOBAL {count} = 1; the same in my.cnf"),
        );
    }
    if facts.is_on(&[no_replica]) == Some(false) {
        findings.warn(
            "semi-sync-no-replica",
            format!("{no_replica} is OFF"),
            "when the replica's connection ends, commits at once go on without it, and nobody waits for it to come back",
            format!("SET GLOBAL {no_replica} = 1; the same in my.cnf"),
        );
    }
}

pub(super) fn settings(facts: &Facts, _context: &Context, findings: &mut Findings) {
    let Some(semi) = &facts.semi_sync else {
        findings.warn(
            "semi-sync",
            "there is no plugin for semi-synchronous replication",
            "a failover loses what the peer had not received yet",
            "INSTALL PLUGIN for source and replica, on both servers",
        );
        return;
    };
    let (source, replica) = if semi.has_new_names { ("source", "replica") } else { ("master", "slave") };
    if !semi.is_source_enabled || !semi.is_replica_enabled {
        let off: Vec<String> = [(semi.is_source_enabled, source), (semi.is_replica_enabled, replica)]
            .iter()
            .filter(|(is_on, _)| !is_on)
            .map(|(_, name)| format!("rpl_semi_sync_{name}_enabled"))
            .collect();
        findings.warn(
            "semi-sync",
            format!("{} OFF", off.join(" and ")),
            "replication is asynchronous: a failover loses acknowledged writes that the peer had not received yet",
            off.iter().map(|name| format!("SET GLOBAL {name} = 1; ")).collect::<String>() + "the same in my.cnf",
        );
        return;
    }
    if !semi.is_source_active && facts.state.writability.is_writable() {
        findings.warn(
            "semi-sync-fallback",
            format!("it has fallen back to asynchronous replication ({} replicas connected)", semi.clients),
            "what is acknowledged now is on this server only",
            "look at the channel on the peer; it comes back by itself when the replica has caught up",
        );
    }
    if semi.wait_point.eq_ignore_ascii_case("AFTER_COMMIT") {
        let name = format!("rpl_semi_sync_{source}_wait_point");
        findings.warn(
            "semi-sync-wait-point",
            format!("{name} is AFTER_COMMIT"),
            "others read a write before the peer has it, and a failover takes it back",
            format!("SET GLOBAL {name} = 'AFTER_SYNC'; the same in my.cnf"),
        );
    }
    if semi.timeout_ms > 2000 {
        let name = format!("rpl_semi_sync_{source}_timeout");
        findings.warn(
            "semi-sync-timeout",
            format!("{name} is {} ms", semi.timeout_ms),
            "with the peer gone the first commit waits that long",
            format!("SET GLOBAL {name} = 1000; the same in my.cnf"),
        );
    }
}
