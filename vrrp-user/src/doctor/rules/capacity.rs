//! Room on the disks, and tables that make a failover slow or wrong.

use super::Context;
use crate::doctor::facts::Facts;
use crate::doctor::finding::Findings;

const SHOWN: usize = 5;

pub(super) fn room_and_tables(facts: &Facts, _context: &Context, findings: &mut Findings) {
    for disk in facts.host.iter().flat_map(|host| &host.disks) {
        let percent = disk.free.saturating_mul(100) / disk.total.max(1);
        let found = format!("{percent} % free for the {} ({})", disk.what, disk.path);
        const WHY: &str = "with the disk full commits hang or the server crashes, and pings do not notice";
        const MEND: &str = "make room, or shorten binlog_expire_logs_seconds";
        if percent < 5 {
            findings.error("disk", found, WHY, MEND);
        } else if percent < 15 {
            findings.warn("disk", found, WHY, MEND);
        }
    }
    if let Some(tables) = facts.keyless.as_deref().filter(|tables| !tables.is_empty()) {
        findings.warn(
            "primary-keys",
            format!("{} tables without a primary key: {}", tables.len(), some(tables)),
            "each changed row is searched for in the whole table on the replica: it falls behind",
            "ALTER TABLE ... ADD PRIMARY KEY",
        );
    }
    if let Some(tables) = facts.not_innodb.as_deref().filter(|tables| !tables.is_empty()) {
        findings.warn(
            "engines",
            format!("{} tables that are not InnoDB: {}", tables.len(), some(tables)),
            "a crash leaves them half changed, and a killed write cannot be taken back",
            "ALTER TABLE ... ENGINE = InnoDB",
        );
    }
}

/// Where logs and data share a disk, the logs fill it for both.
pub(super) fn shared_disk(facts: &Facts, _context: &Context, findings: &mut Findings) {
    let Some(host) = facts.host.as_ref().filter(|host| host.binlog_shares_disk == Some(true)) else { return };
    let percent =
        host.disks.iter().map(|disk| disk.free.saturating_mul(100) / disk.total.max(1)).min().unwrap_or(0);
    const WHY: &str = "logs that pile up fill the data's disk, too, and the server crashes";
    const MEND: &str = "my.cnf: log_bin on a file system of its own, or bounds: binlog_expire_logs_seconds";
    let found = format!("data and binary log are on one file system, {percent} % of it free");
    if percent < 30 {
        findings.warn("shared-disk", found, WHY, MEND);
    } else {
        findings.info("shared-disk", found, WHY, MEND);
    }
}

fn some(tables: &[String]) -> String {
    let shown: Vec<&str> = tables.iter().take(SHOWN).map(String::as_str).collect();
    if tables.len() > SHOWN { format!("{}, ...", shown.join(", ")) } else { shown.join(", ") }
}
