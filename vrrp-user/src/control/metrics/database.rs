//! What database servers say of themselves. While one does not answer its samples are not there.

use super::super::snapshot::{Channel, Instance, Server};
use super::text::{Kind, Text, labels, seconds};

pub(super) fn write(out: &mut Text, instances: &[Instance]) {
    let servers: Vec<(&str, &str, &Server)> = instances
        .iter()
        .flat_map(|instance| instance.checks.iter().map(move |check| (instance, check)))
        .filter_map(|(instance, check)| {
            Some((instance.name.as_str(), check.name.as_str(), check.server.as_ref()?))
        })
        .collect();
    if servers.is_empty() {
        return;
    }
    let help = "The database server that a check looks at.";
    let mut family = out.family("vrrp_mysql_server_info", Kind::Gauge, help);
    for (instance, check, server) in &servers {
        let id = server.server_id.to_string();
        let which = [
            ("vrrp_instance", *instance),
            ("check", check),
            ("server_id", &id),
            ("product", &server.product),
        ];
        family.add(&labels(which), 1);
    }
    let help = "1 while the server refuses the writes of ordinary users.";
    let mut family = out.family("vrrp_mysql_read_only", Kind::Gauge, help);
    for (instance, check, server) in &servers {
        let is_read_only = server.writability != "writable";
        family.add(&labels([("vrrp_instance", *instance), ("check", check)]), u64::from(is_read_only));
    }
    channels(out, &servers);
    let semi_sync = || {
        servers.iter().filter_map(|(instance, check, server)| {
            let which = labels([("vrrp_instance", *instance), ("check", check)]);
            server.semi_sync.map(|semi_sync| (which, semi_sync))
        })
    };
    let help = "1 while commits are meant to wait for a replica.";
    let mut family = out.family("vrrp_mysql_semi_sync_enabled", Kind::Gauge, help);
    for (which, semi_sync) in semi_sync() {
        family.add(&which, u64::from(semi_sync.source_enabled));
    }
    let help = "1 while commits wait for a replica; enabled and not active is a fallback.";
    let mut family = out.family("vrrp_mysql_semi_sync_active", Kind::Gauge, help);
    for (which, semi_sync) in semi_sync() {
        family.add(&which, u64::from(semi_sync.source_enabled && semi_sync.source_active));
    }
    let help = "Replicas that are connected semi-synchronously.";
    let mut family = out.family("vrrp_mysql_semi_sync_replicas", Kind::Gauge, help);
    for (which, semi_sync) in semi_sync() {
        family.add(&which, semi_sync.replicas);
    }
}

fn channels(out: &mut Text, servers: &[(&str, &str, &Server)]) {
    let all = || {
        servers.iter().flat_map(|(instance, check, server)| {
            server.channels.iter().map(move |channel| (*instance, *check, channel))
        })
    };
    let help = "1 while the thread runs: io receives, sql applies. An io thread that looks for its source does not run.";
    let mut family = out.family("vrrp_mysql_replication_running", Kind::Gauge, help);
    for (instance, check, channel) in all() {
        for (thread, state) in [("io", &channel.io), ("sql", &channel.sql)] {
            let which = [
                ("vrrp_instance", instance),
                ("check", check),
                ("channel", &channel.name),
                ("thread", thread),
            ];
            family.add(&labels(which), u64::from(state == "running"));
        }
    }
    let help = "How far the server is behind its source, by its own word; not there while it does not know.";
    let mut family = out.family("vrrp_mysql_replication_lag_seconds", Kind::Gauge, help);
    for (instance, check, channel) in all() {
        let Channel { name, behind_ns: Some(behind), .. } = channel else { continue };
        let which = [("vrrp_instance", instance), ("check", check), ("channel", name)];
        family.write(&labels(which), &seconds(*behind));
    }
}
