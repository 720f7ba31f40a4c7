//! What runs on the nodes of the lab with servers: the very files that a user copies, with the names of this place in them.
//!
//! Owns what must differ from `config/mysql-pair-*.yaml` (addresses, the server's socket, the folder of the passwords), and
//! keepalived's file with the check of the usual recipe. Refuses to change any setting beside.

use std::{
    fs,
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use vrrp_lab::{Host, Peer, daemon::with_control, mysql::PORT, peers::configuration};

/// The name of the virtual router in the pair of files.
pub(super) const INSTANCE: &str = "VI_1";

/// The passwords of `config/mysql-users-mariadb.sql`, in the files that `config/mysql-pair-*.yaml` names.
const PASSWORDS: [(&str, &str); 3] = [
    ("mysql.password", "change-me-vrrp"),
    ("mysql-peer.password", "change-me-peer"),
    ("mysql-probe.password", "change-me-probe"),
];

/// Writes `mysql-pair-<host>.yaml` of the folder `config` for this host. With `is_managed` false all from `role:` on is left
/// out: who has a peer that no daemon manages must not wait for it to become read-only.
pub(super) fn write_daemon(host: &Host, config: &Path, server: &Path, is_managed: bool) -> Result<PathBuf> {
    let shipped = config.join(format!("mysql-pair-{}.yaml", host.name()));
    let text = fs::read_to_string(&shipped).with_context(|| format!("read {}", shipped.display()))?;
    let secrets = host.file("secrets");
    fs::create_dir_all(&secrets).with_context(|| format!("make {}", secrets.display()))?;
    for (name, password) in PASSWORDS {
        let path = secrets.join(name);
        let file = fs::File::options().create(true).write(true).truncate(true).mode(0o600).open(&path);
        file.and_then(|mut file| file.write_all(password.as_bytes()))
            .with_context(|| format!("write {}", path.display()))?;
    }
    let text = localized(&text, server, &secrets, is_managed);
    let path = host.file("vrrp.yaml");
    fs::write(&path, with_control(host, &text)).with_context(|| format!("write {}", path.display()))?;
    Ok(path)
}

fn localized(text: &str, server: &Path, secrets: &Path, is_managed: bool) -> String {
    let text = match text.split_once("\n    role:") {
        Some((observing, _)) if !is_managed => format!("{observing}\n"),
        Some(_) | None => text.to_owned(),
    };
    text.replace("/run/mysqld/mysqld.sock", &server.to_string_lossy())
        .replace("/etc/vrrp/", &format!("{}/", secrets.display()))
        .replace("192.168.1.11", "10.99.0.1")
        .replace("192.168.1.12", "10.99.0.2")
        .replace("192.168.1.200", "10.99.0.200")
}

/// Writes keepalived's file for this host: the timings of the pair, and the usual check, which asks every 2 s whether the
/// port can be connected to and gives up after the third no.
pub(super) fn write_keepalived(host: &Host, priority: u8) -> Result<PathBuf> {
    let script = host.file("check-mysql.sh");
    let text = format!("#!/bin/bash\nexec 3<>/dev/tcp/127.0.0.1/{PORT}\n");
    let file = fs::File::options().create(true).write(true).truncate(true).mode(0o755).open(&script);
    file.and_then(|mut file| file.write_all(text.as_bytes()))
        .with_context(|| format!("write {}", script.display()))?;
    let mut peer = Peer::v2(priority);
    peer.extra.push("track_script {\n        check_mysql\n    }".to_owned());
    let check = format!(
        "vrrp_script check_mysql {{\n    script \"{}\"\n    interval 2\n    fall 3\n    rise 1\n}}\n",
        script.display()
    );
    let path = host.file("keepalived.conf");
    let text = configuration(&["script_user root"], &[peer]);
    let (globals, instances) = text.split_once("vrrp_instance").context("keepalived.conf has an instance")?;
    fs::write(&path, format!("{globals}{check}vrrp_instance{instances}"))
        .with_context(|| format!("write {}", path.display()))?;
    Ok(path)
}

#[cfg(test)]
mod tests;
