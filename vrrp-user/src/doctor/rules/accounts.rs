//! Who may write past read_only, and whether the daemon may do what it must.

use super::Context;
use crate::doctor::facts::{Account, Facts};
use crate::doctor::finding::Findings;

/// Rights that make read_only no obstacle, in every flavour's words.
const PAST_READ_ONLY: [&str; 4] = ["SUPER", "READ_ONLY ADMIN", "READ ONLY ADMIN", "CONNECTION_ADMIN"];
/// The servers' own.
const SYSTEM: [&str; 6] = ["root", "mysql.sys", "mysql.session", "mysql.infoschema", "mariadb.sys", "mysql"];
/// What this program can log in with.
const PLUGINS: [&str; 8] = [
    "",
    "mysql_native_password",
    "caching_sha2_password",
    "ed25519",
    "client_ed25519",
    "parsec",
    "unix_socket",
    "auth_socket",
];

pub(super) fn rights_past_read_only(facts: &Facts, context: &Context, findings: &mut Findings) {
    let is_application =
        |account: &&Account| !SYSTEM.contains(&account.user.as_str()) && account.user != context.daemon_user;
    for account in facts.accounts.iter().filter(is_application) {
        let rights: Vec<&str> = PAST_READ_ONLY
            .iter()
            .copied()
            .filter(|right| account.rights.iter().any(|has| has == right))
            .collect();
        if !rights.is_empty() {
            findings.warn(
                "rights-past-read-only",
                format!("'{}'@'{}' has {}", account.user, account.host, rights.join(", ")),
                "it writes to a read-only server, also while the address moves",
                format!("REVOKE {} ON *.* FROM '{}'@'{}'", rights.join(", "), account.user, account.host),
            );
        }
    }
}

pub(super) fn daemon_user(facts: &Facts, context: &Context, findings: &mut Findings) {
    let user = &context.daemon_user;
    if facts.accounts.is_empty() {
        findings.info(
            "daemon-user",
            "the accounts cannot be read with this login",
            "whether the daemon has the rights it needs is not known",
            "run this as root of the server",
        );
        return;
    }
    let flavour = facts.flavour;
    let (needs, file) = if flavour.is_mariadb() {
        let needs: &[&[&str]] = &[
            &["READ_ONLY ADMIN", "READ ONLY ADMIN", "SUPER"],
            &["CONNECTION ADMIN", "SUPER"],
            &["PROCESS"],
            &["SLAVE MONITOR", "REPLICA MONITOR", "REPLICATION CLIENT", "SUPER"],
            &["REPLICATION SLAVE ADMIN", "REPLICATION REPLICA ADMIN", "SUPER"],
            &["BINLOG MONITOR", "REPLICATION CLIENT"],
        ];
        (needs, "mysql-users-mariadb.sql")
    } else if flavour.is_mysql_from(8, 0, 0) {
        let needs: &[&[&str]] = &[
            &["SYSTEM_VARIABLES_ADMIN", "SUPER"],
            &["CONNECTION_ADMIN", "SUPER"],
            &["REPLICATION_SLAVE_ADMIN", "SUPER"],
            &["PROCESS"],
            &["REPLICATION CLIENT"],
        ];
        (needs, "mysql-users-8.sql")
    } else {
        let needs: &[&[&str]] = &[&["SUPER"], &["PROCESS"], &["REPLICATION CLIENT"]];
        (needs, "mysql-users-5.6.sql")
    };
    let mut is_there = false;
    for account in facts.accounts_of(user) {
        is_there = true;
        let lacks: Vec<&str> = needs
            .iter()
            .filter(|any| !any.iter().any(|right| account.rights.iter().any(|has| has == right)))
            .filter_map(|any| any.first().copied())
            .collect();
        if !lacks.is_empty() {
            findings.error(
                "daemon-rights",
                format!("'{}'@'{}' lacks {}", account.user, account.host, lacks.join(", ")),
                "a role change would stop half way",
                format!("GRANT {} ON *.* TO '{}'@'{}'", lacks.join(", "), account.user, account.host),
            );
        }
    }
    if !is_there {
        findings.warn(
            "daemon-user",
            format!("there is no user {user:?}"),
            "the daemon has nobody to log in as",
            format!("run config/{file}, or name the user with --daemon-user"),
        );
    }
}

/// Probes, and the other host's daemon: both read who the server is and how it replicates.
pub(super) fn watch_users(facts: &Facts, context: &Context, findings: &mut Findings) {
    // That they cannot be read is said of the daemon's user.
    if facts.accounts.is_empty() {
        return;
    }
    let needs: &[&str] = if facts.flavour.is_mariadb_from(10, 5, 0) {
        &["SLAVE MONITOR", "REPLICA MONITOR", "SUPER"]
    } else {
        &["REPLICATION CLIENT", "SUPER"]
    };
    for user in &context.watch_users {
        let mut is_there = false;
        for account in facts.accounts_of(user) {
            is_there = true;
            if !needs.iter().any(|right| account.rights.iter().any(|has| has == right)) {
                let lacks = needs.first().copied().unwrap_or_default();
                findings.error(
                    "watch-rights",
                    format!("'{}'@'{}' lacks {lacks}", account.user, account.host),
                    "role and replication cannot be read with it: the check is misconfigured, the gate blind",
                    format!("GRANT {lacks} ON *.* TO '{}'@'{}'", account.user, account.host),
                );
            }
        }
        if !is_there {
            findings.warn(
                "watch-user",
                format!("there is no user {user:?}, whom the configuration names"),
                "a check or the other host's daemon has nobody to log in as",
                "run config/mysql-users-*.sql on both servers, or name another user",
            );
        }
    }
}

/// Every user that the configuration names.
pub(super) fn ways_to_log_in(facts: &Facts, context: &Context, findings: &mut Findings) {
    let mut users: Vec<&str> = vec![&context.daemon_user];
    users.extend(context.watch_users.iter().chain(&context.login_users).map(String::as_str));
    users.sort_unstable();
    users.dedup();
    for account in users.into_iter().flat_map(|user| facts.accounts_of(user)) {
        if !PLUGINS.contains(&account.plugin.as_str()) {
            findings.error(
                if account.user == context.daemon_user { "daemon-login" } else { "user-login" },
                format!("'{}'@'{}' logs in by {}", account.user, account.host, account.plugin),
                "this program does not know that way of logging in",
                "give it one of caching_sha2_password, ed25519, mysql_native_password",
            );
        }
    }
}
