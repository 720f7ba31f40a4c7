//! What the binary log holds, whether it survives a crash, and keys that do not meet.

use super::Context;
use crate::doctor::facts::Facts;
use crate::doctor::finding::Findings;

pub(super) fn row_format(facts: &Facts, _context: &Context, findings: &mut Findings) {
    const WHY: &str = "statements can give another result on the other server: the two drift apart";
    const MEND: &str = "SET GLOBAL binlog_format = 'ROW'; my.cnf: binlog_format = ROW";
    let format = facts.variable(&["binlog_format"]).unwrap_or("ROW");
    if format.eq_ignore_ascii_case("STATEMENT") {
        findings.error("row-format", "binlog_format is STATEMENT", WHY, MEND);
        if facts.number(&["innodb_autoinc_lock_mode"]) == Some(2) {
            findings.warn(
                "autoinc-lock-mode",
                "innodb_autoinc_lock_mode is 2 with statements in the log",
                "the other server gives the rows other keys",
                MEND,
            );
        }
    } else if !format.eq_ignore_ascii_case("ROW") {
        findings.warn("row-format", format!("binlog_format is {format}"), WHY, MEND);
    }
    if let Some(image) =
        facts.variable(&["binlog_row_image"]).filter(|image| !image.eq_ignore_ascii_case("FULL"))
    {
        findings.warn(
            "row-image",
            format!("binlog_row_image is {image}"),
            "a replica that differs is noticed later, and repair tools lack the old values",
            "SET GLOBAL binlog_row_image = 'FULL'; my.cnf: binlog_row_image = FULL",
        );
    }
}

pub(super) fn durability(facts: &Facts, _context: &Context, findings: &mut Findings) {
    const WHY: &str =
        "after a power cut it comes back without writes that it had acknowledged, and the peer may have them";
    for name in ["sync_binlog", "innodb_flush_log_at_trx_commit"] {
        if let Some(value) = facts.number(&[name]).filter(|value| *value != 1) {
            findings.warn(
                "durability",
                format!("{name} is {value}"),
                WHY,
                format!("SET GLOBAL {name} = 1; my.cnf: {name} = 1"),
            );
        }
    }
}

pub(super) fn crash_safe_replica(facts: &Facts, _context: &Context, findings: &mut Findings) {
    if facts.is_on(&["relay_log_recovery"]) == Some(false) {
        findings.warn(
            "relay-log-recovery",
            "relay_log_recovery is OFF",
            "after a crash a torn relay log stops replication",
            "my.cnf: relay_log_recovery = 1",
        );
    }
    for name in ["relay_log_info_repository", "master_info_repository"] {
        if facts.variable(&[name]).is_some_and(|value| value.eq_ignore_ascii_case("FILE")) {
            findings.warn(
                "crash-safe-replica",
                format!("{name} is FILE"),
                "after a crash the file says another position than the data",
                format!("my.cnf: {name} = TABLE"),
            );
        }
    }
}

pub(super) fn retention(facts: &Facts, _context: &Context, findings: &mut Findings) {
    let seconds = facts.number(&["binlog_expire_logs_seconds"]).unwrap_or(0);
    let days =
        facts.variable(&["expire_logs_days"]).and_then(|days| days.split('.').next()?.parse::<u64>().ok());
    let (name, value) = match facts.variables.has("binlog_expire_logs_seconds") {
        true => ("binlog_expire_logs_seconds", "604800"),
        false => ("expire_logs_days", "7"),
    };
    if seconds == 0 && days.unwrap_or(0) == 0 && facts.is_on(&["log_bin"]) == Some(true) {
        findings.warn(
            "retention",
            "binary logs are kept for ever",
            "they fill the disk, and with the disk full every commit hangs",
            format!("SET GLOBAL {name} = {value}; my.cnf: {name} = {value}"),
        );
    } else if (1..86_400).contains(&seconds) {
        findings.warn(
            "retention",
            format!("binary logs are deleted after {seconds} s"),
            "a peer that was away longer cannot follow (error 1236)",
            "SET GLOBAL binlog_expire_logs_seconds = 604800; my.cnf: binlog_expire_logs_seconds = 604800",
        );
    }
}

/// The recipe's own rule: increment 2 on both, offsets 1 and 2.
pub(super) fn autoincrement(facts: &Facts, _context: &Context, findings: &mut Findings) {
    const WHY: &str = "should both servers ever write, their new keys meet (1062) and replication stops";
    let increment = facts.number(&["auto_increment_increment"]).unwrap_or(1);
    let offset = facts.number(&["auto_increment_offset"]).unwrap_or(1);
    if increment != 2 {
        findings.warn(
            "auto-increment",
            format!("auto_increment_increment is {increment}"),
            WHY,
            "SET GLOBAL auto_increment_increment = 2; my.cnf: auto_increment_increment = 2",
        );
    }
    if !(1..=2).contains(&offset) {
        findings.warn(
            "auto-increment",
            format!("auto_increment_offset is {offset}"),
            WHY,
            "SET GLOBAL auto_increment_offset = 1 on one node, 2 on the other; the same in my.cnf",
        );
    }
}
