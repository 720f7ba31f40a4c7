//! What the daemon would find on this host, said by `vrrp check` before it starts: interfaces and addresses, passwords,
//! authorities, programs. Run elsewhere, it says nothing about the file.

use vrrp_user::config::{Config, Instance, Scripts};
use vrrp_user::{daemon, health};

/// One sentence for each obstacle.
pub(crate) fn foreseen(config: &Config) -> Vec<String> {
    let mut found = Vec::new();
    found.extend(daemon::fits(config).err().map(|error| error.to_string()));
    found.extend(obstacles(&config.notify.scripts));
    for instance in &config.instances {
        found.extend(of(instance).into_iter().map(|what| format!("instance {}: {what}", instance.name)));
    }
    found
}

fn of(instance: &Instance) -> Vec<String> {
    let mut found: Vec<String> = instance.checks.iter().flat_map(health::preflight).collect();
    // Accounts of one check may share a file.
    found.dedup();
    for (key, server) in instance.role.iter().flat_map(|role| role.servers()) {
        let password = health::unreadable(&server.account);
        let tls = server.tls.as_ref().and_then(health::unusable);
        found.extend(password.into_iter().chain(tls).map(|what| format!("{key}: {what}")));
    }
    found.extend(instance.notify.iter().flat_map(|notify| obstacles(&notify.scripts)));
    found
}

fn obstacles(scripts: &Scripts) -> Vec<String> {
    scripts
        .each()
        .filter_map(|(key, command)| {
            let why = health::script::obstacle(&command.line, command.user.as_deref())?;
            Some(format!("notify {key}: {why}"))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn what_this_host_does_not_have_is_foreseen_and_said_once() {
        let text = "
notify: { any: /nowhere/any }
instances:
  - name: A
    interface: nonesuch0
    virtual_router_id: 1
    virtual_addresses: [10.0.0.9]
    checks: [{ mysql: { user: a, password_file: /nowhere/p, login: { user: b, password_file: /nowhere/p } } }]
    notify: { master: /nowhere/master, stop: { command: /, user: root } }
";
        let found = foreseen(&Config::parse(text, Path::new("x.yaml")).unwrap().config);
        for words in [
            "instance A: this host has no interface nonesuch0",
            "notify any: /nowhere/any: cannot be looked at",
            "instance A: notify master: /nowhere/master: cannot be looked at",
            "instance A: notify stop: /: is no program",
            "instance A: check mysql: the password file /nowhere/p cannot be read",
        ] {
            assert!(found.iter().any(|found| found.starts_with(words)), "{words:?} is not in {found:?}");
        }
        assert_eq!(found.len(), 5, "{found:?}");
    }
}
