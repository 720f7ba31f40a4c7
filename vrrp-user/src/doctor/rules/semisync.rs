//! Is an acknowledged write on both servers?

use super::Context;
use crate::doctor::facts::Facts;
use crate::doctor::finding::Findings;

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
