//! What goes on now that looks like a hang: backups that stop writes.

use super::Context;
use crate::doctor::facts::Facts;
use crate::doctor::finding::Findings;

/// States of sessions that a backup keeps waiting, in every flavour's words.
const WAITING: [&str; 3] =
    ["Waiting for global read lock", "Waiting for backup lock", "Waiting for commit lock"];
/// Statements that take such a lock.
const LOCKING: [&str; 3] = ["FLUSH TABLES WITH READ LOCK", "BACKUP STAGE", "LOCK INSTANCE FOR BACKUP"];
const BACKUPS: [&str; 6] =
    ["mysqldump", "mariadb-dump", "mysqlpump", "mydumper", "xtrabackup", "mariadb-backup"];

/// Only on the active server: on a standby it is where it should be.
pub(super) fn backups(facts: &Facts, _context: &Context, findings: &mut Findings) {
    if !facts.state.writability.is_writable() {
        return;
    }
    const MEND: &str = "take backups from the standby; mysqldump with --single-transaction";
    let waiting = facts.sessions.iter().filter(|session| {
        WAITING
            .iter()
            .any(|state| session.state.to_ascii_lowercase().starts_with(&state.to_ascii_lowercase()))
    });
    let count = waiting.count();
    if count > 0 {
        findings.warn(
            "backup-lock",
            format!("{count} sessions wait for the lock of a backup"),
            "writes stand still, which looks like a hang and may cause a failover",
            MEND,
        );
    }
    let takes_lock = |text: &str| {
        let words = text.split_whitespace().collect::<Vec<_>>().join(" ").to_ascii_uppercase();
        LOCKING.iter().any(|lock| words.starts_with(lock))
    };
    let mut found: Vec<&str> =
        facts.programs.iter().map(String::as_str).filter(|name| BACKUPS.contains(name)).collect();
    found.extend(facts.host.iter().flat_map(|host| &host.backups).map(String::as_str));
    if facts.sessions.iter().any(|session| takes_lock(&session.statement)) {
        found.push("a session that locks all tables");
    }
    found.sort_unstable();
    found.dedup();
    if !found.is_empty() {
        findings.info(
            "backup",
            format!("a backup runs on the active server: {}", found.join(", ")),
            "it may stop writes for a while, which looks like a hang",
            MEND,
        );
    }
}
