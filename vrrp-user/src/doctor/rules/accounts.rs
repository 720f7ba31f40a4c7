//! Who may write past read_only, and whether the daemon may do what it must.

use super::Context;
use crate::doctor::facts::{Account, Facts};
use crate::doctor::finding::Findings;
use crate::mysql::Flavour;

/// A right that the daemon needs on MariaDB, under each of its names, and the version from which SUPER is no longer enough for
/// it: for read_only that of MDEV-29596, for the rest the one that took the split rights out of SUPER.
type Need = (&'static [&'static str], Option<(u16, u16, u16)>);
const READ_ONLY: Need = (&["READ_ONLY ADMIN", "READ ONLY ADMIN"], Some((10, 11, 0)));
const NO_MORE_IN_SUPER: Option<(u16, u16, u16)> = Some((11, 0, 1));
const ON_MARIADB: [Need; 7] = [
    READ_ONLY,
    (&["CONNECTION ADMIN"], NO_MORE_IN_SUPER),
    (&["PROCESS"], None),
    (&["SLAVE MONITOR", "REPLICA MONITOR", "REPLICATION CLIENT"], NO_MORE_IN_SUPER),
    (&["REPLICATION SLAVE ADMIN", "REPLICATION REPLICA ADMIN"], NO_MORE_IN_SUPER),
    // To lower semi-synchronous replication: SET GLOBAL rpl_semi_sync_master_enabled.
    (&["REPLICATION MASTER ADMIN"], NO_MORE_IN_SUPER),
    (&["BINLOG MONITOR", "REPLICATION CLIENT"], NO_MORE_IN_SUPER),
];
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

/// The names of a right there, SUPER among them where it includes it.
fn names((names, until): Need, flavour: Flavour) -> Vec<&'static str> {
    let has_super = until.is_some_and(|(major, minor, patch)| !flavour.is_mariadb_from(major, minor, patch));
    names.iter().copied().chain(has_super.then_some("SUPER")).collect()
}

pub(super) fn rights_past_read_only(facts: &Facts, context: &Context, findings: &mut Findings) {
    let is_application = |account: &&Account| {
        let user = account.user.as_str();
        !SYSTEM.contains(&user)
            && user != context.daemon_user
            && !context.role_users.iter().any(|own| own == user)
    };
    let past = match facts.flavour.is_mariadb() {
        true => names(READ_ONLY, facts.flavour),
        false => vec!["SUPER", "CONNECTION_ADMIN"],
    };
    for account in facts.accounts.iter().filter(is_application) {
        let rights: Vec<&str> =
            past.iter().copied().filter(|right| account.rights.iter().any(|has| has == right)).collect();
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
    let (needs, file): (Vec<Vec<&str>>, _) = if flavour.is_mariadb() {
        (ON_MARIADB.map(|need| names(need, flavour)).to_vec(), "mysql-users-mariadb.sql")
    } else if flavour.is_mysql_from(8, 0, 0) {
        let needs = vec![
            vec!["SYSTEM_VARIABLES_ADMIN", "SUPER"],
            vec!["CONNECTION_ADMIN", "SUPER"],
            vec!["REPLICATION_SLAVE_ADMIN", "SUPER"],
            vec!["PROCESS"],
            vec!["REPLICATION CLIENT"],
        ];
        (needs, "mysql-users-8.sql")
    } else {
        (vec![vec!["SUPER"], vec!["PROCESS"], vec!["REPLICATION CLIENT"]], "mysql-users-5.6.sql")
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
    let needs = if facts.flavour.is_mariadb_from(10, 5, 0) {
        names((&["SLAVE MONITOR", "REPLICA MONITOR"], NO_MORE_IN_SUPER), facts.flavour)
    } else {
        vec!["REPLICATION CLIENT", "SUPER"]
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
