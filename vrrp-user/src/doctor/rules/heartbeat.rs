//! The tables that the configuration has rows written to: are they there, and may their writers write?

use super::Context;
use crate::doctor::facts::{Account, Facts};
use crate::doctor::finding::Findings;

const NEEDS: [&str; 2] = ["INSERT", "UPDATE"];

pub(super) fn table(facts: &Facts, _context: &Context, findings: &mut Findings) {
    for (table, _) in facts.heartbeats.iter().filter(|(_, is_there)| *is_there == Some(false)) {
        findings.error(
            "heartbeat-table",
            format!("there is no table {table}"),
            "the row that proves that the server takes writes cannot be written: it counts as not writable",
            "run the CREATE TABLE of config/mysql-users-*.sql",
        );
    }
}

/// Nothing where the accounts cannot be read: that is said once.
pub(super) fn rights(facts: &Facts, context: &Context, findings: &mut Findings) {
    for heartbeat in &context.heartbeats {
        for account in facts.accounts_of(&heartbeat.user) {
            let lacks: Vec<&str> =
                NEEDS.into_iter().filter(|right| !may(facts, account, right, &heartbeat.table)).collect();
            if lacks.is_empty() {
                continue;
            }
            let (user, host) = (&account.user, &account.host);
            findings.error(
                "heartbeat-rights",
                format!("'{user}'@'{host}' lacks {} on {}", lacks.join(", "), heartbeat.table),
                "the row that proves that the server takes writes cannot be written: it counts as not writable",
                format!("GRANT SELECT, INSERT, UPDATE ON {} TO '{user}'@'{host}'", heartbeat.table),
            );
        }
    }
}

fn may(facts: &Facts, account: &Account, right: &str, table: &str) -> bool {
    let Some((schema, table)) = table.split_once('.') else { return false };
    let grantee = format!("'{}'@'{}'", account.user, account.host);
    account.rights.iter().any(|has| has == right)
        || facts.narrow_rights.iter().any(|narrow| {
            // Schemas are granted as patterns.
            let is_schema = narrow.schema.replace('\\', "") == schema || narrow.schema == "%";
            let is_table = narrow.table.as_deref().is_none_or(|own| own == table);
            narrow.grantee == grantee && narrow.right == right && is_schema && is_table
        })
}
