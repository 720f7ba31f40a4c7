//! Is a server that is not the active one kept from being written to?

use super::Context;
use crate::doctor::facts::{Facts, StartsAs};
use crate::doctor::finding::Findings;
use crate::mysql::Writability;

pub(super) fn starts_read_only(facts: &Facts, _context: &Context, findings: &mut Findings) {
    const WHY: &str =
        "a host that comes back accepts writes before the daemon has decided who is active: two writers";
    let mend = if facts.flavour.has_super_read_only() {
        "my.cnf: read_only = ON and super_read_only = ON"
    } else {
        "my.cnf: read_only = 1"
    };
    let is_set_by_file = facts.read_only_origin.as_deref().is_some_and(|origin| {
        ["CONFIG", "GLOBAL", "EXPLICIT", "SERVER", "EXTRA", "PERSISTED", "COMMAND_LINE"].contains(&origin)
    });
    let from_file = facts.host.as_ref().and_then(|host| host.starts_as).map(StartsAs::is_read_only);
    match (from_file, is_set_by_file) {
        // What a file says beats what is in force: the daemon changes the latter.
        (Some(true), _) => {}
        (Some(false), _) => {
            findings.error("starts-read-only", "my.cnf does not make it start read-only", WHY, mend)
        }
        (None, true) if facts.state.writability.is_writable() => {
            findings.error("starts-read-only", "it started writable", WHY, mend);
        }
        (None, true) => {}
        (None, false) => findings.info(
            "starts-read-only",
            "whether it starts read-only cannot be told from here",
            WHY,
            format!("run this on that host; {mend}"),
        ),
    }
}

/// MySQL from 5.7.8. Only where the files can be read; not read-only at all is said by the other rule.
pub(super) fn starts_super_read_only(facts: &Facts, _context: &Context, findings: &mut Findings) {
    let Some(starts_as) = facts.host.as_ref().and_then(|host| host.starts_as) else { return };
    if facts.flavour.has_super_read_only() && starts_as.read_only && !starts_as.super_read_only {
        findings.error(
            "starts-super-read-only",
            "my.cnf makes it start with read_only, and without super_read_only",
            "users with administrative rights write to a host that comes back before the daemon has decided",
            "my.cnf: super_read_only = ON",
        );
    }
}

pub(super) fn strictest_read_only(facts: &Facts, _context: &Context, findings: &mut Findings) {
    if facts.state.writability != Writability::ReadOnly {
        return;
    }
    const WHY: &str =
        "users with administrative rights write past read_only, and such a write is on no other server";
    if facts.flavour.has_super_read_only() {
        findings.warn(
            "super-read-only",
            "read_only without super_read_only",
            WHY,
            "SET GLOBAL super_read_only = 1; my.cnf: super_read_only = ON",
        );
    } else if facts.flavour.has_read_only_levels() {
        findings.warn(
            "super-read-only",
            "read_only lets administrators write",
            WHY,
            "SET GLOBAL read_only = 'NO_LOCK_NO_ADMIN'",
        );
    }
}
