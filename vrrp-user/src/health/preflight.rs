//! What can be said of a check before it runs: its password, its authorities, its programs. For `vrrp check`, on the host itself.

use super::script;
use super::settings::{Account, Check, Kind};
use super::tls::Tls;

/// One sentence for each thing that would make it misconfigured.
pub fn preflight(check: &Check) -> Vec<String> {
    let mut found = Vec::new();
    match &check.kind {
        Kind::Tcp(_) => {}
        Kind::Script(settings) => {
            found.extend(script::obstacle(&settings.command, settings.user.as_deref()));
        }
        Kind::Mysql(mysql) => {
            let login = mysql.login.as_ref().map(|login| &login.account);
            for account in std::iter::once(&mysql.account).chain(login) {
                found.extend(unreadable(account));
            }
            found.extend(mysql.tls.as_ref().and_then(unusable));
        }
    }
    for command in check.notify_down.iter().chain(&check.notify_up) {
        found.extend(script::obstacle(command, None));
    }
    found.into_iter().map(|what| format!("check {}: {what}", check.name)).collect()
}

/// Why an account's password cannot be read here, if it cannot.
pub fn unreadable(account: &Account) -> Option<String> {
    account.password.read().err().map(|error| error.to_string())
}

/// Why TLS cannot be had with what is on this host, if it cannot.
pub fn unusable(tls: &Tls) -> Option<String> {
    tls.load().err().map(|error| error.to_string())
}
