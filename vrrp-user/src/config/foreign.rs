//! Keys that an operator brings along from keepalived and that are not ours: each refused by name, with what to
//! write instead. Ignoring one would be a different router from the one that was asked for.

/// A name, or its beginning followed by `*`; the first that fits counts.
const ADVICE: &[(&str, &str)] = &[
    (
        "state",
        "is not needed: every router starts as BACKUP, and the election decides within one down interval. Leave it \
         out, and give the router that should win the higher `priority`",
    ),
    ("nopreempt", "write `preempt: false` instead"),
    ("preempt_delay", "is not there yet; `startup_delay` delays the first claim after a start"),
    ("advert_int", "write `advert_interval` instead, with a unit, as in `advert_interval: 1s`"),
    ("auth_hmac*", "is not there yet; version 2 has `auth: { type: pass, password: \"...\" }`"),
    ("auth_*", "write `auth: { type: pass, password: \"...\" }` instead"),
    ("authentication", "write `auth: { type: pass, password: \"...\" }` instead"),
    (
        "virtual_ipaddress_excluded",
        "is not there yet; list the addresses in `virtual_addresses`: an advert carries up to 255",
    ),
    (
        "virtual_ipaddress",
        "write `virtual_addresses` instead, a list, as in `virtual_addresses: [192.168.1.200/24]`",
    ),
    ("virtual_address", "write `virtual_addresses`, a list, as in `virtual_addresses: [192.168.1.200/24]`"),
    ("unicast_*", "is not there yet: adverts go to the multicast group; `peers` limits who may send them"),
    (
        "check_unicast_src",
        "is not there yet: adverts go to the multicast group; `peers` limits who may send them",
    ),
    ("mcast_*", "is not there yet: adverts leave from the interface's primary address to 224.0.0.18"),
    ("track_src_ip", "is not there yet; an interface without any address means FAULT as it is"),
    ("sync_group*", "is not there yet: instances move one by one; leave it out"),
    ("vrrp_sync_group*", "is not there yet: instances move one by one; leave it out"),
    ("vrrp_instance*", "write an entry of the list `instances` instead, with its `name`"),
    ("instance", "write `instances`, a list"),
    ("global_defs", "is not needed: global keys stand at the top level of this file"),
    (
        "use_vmac*",
        "is not there yet: the virtual addresses use the interface's own MAC, as keepalived's do by default",
    ),
    (
        "virtual_mac",
        "is not there yet: the virtual addresses use the interface's own MAC, as keepalived's do by default",
    ),
    (
        "vmac_*",
        "is not there yet: the virtual addresses use the interface's own MAC, as keepalived's do by default",
    ),
    ("use_ipvlan", "is not there yet: the virtual addresses go on the interface itself"),
    ("native_ipv6", "is not there yet: virtual routers are IPv4 only"),
    ("virtual_routes", "is not there yet: only addresses follow the MASTER; leave it out"),
    ("virtual_rules", "is not there yet: only addresses follow the MASTER; leave it out"),
    ("static_*", "is not there yet: configure it where the host's network is configured"),
    (
        "virtual_server*",
        "is not there: this daemon balances no load; use IPVS or a proxy behind the virtual address",
    ),
    (
        "real_server*",
        "is not there: this daemon balances no load; use IPVS or a proxy behind the virtual address",
    ),
    ("lvs_*", "is not there: this daemon balances no load; use IPVS or a proxy behind the virtual address"),
    ("ipvs_*", "is not there: this daemon balances no load; use IPVS or a proxy behind the virtual address"),
    (
        "track_interface",
        "is not needed for `interface`: no carrier there means FAULT. Others cannot be tracked yet",
    ),
    (
        "track_script*",
        "write the script itself as an entry of `checks`, as in `- script: { command: \"/usr/local/bin/check\" }`",
    ),
    ("track_*", "is not there yet; `checks` has what decides besides the state of `interface`"),
    (
        "vrrp_script*",
        "write the script as an entry of the instance's `checks`, as in `- script: { command: \"/usr/local/bin/check\" }`",
    ),
    ("vrrp_track_*", "is not there yet: only the state of `interface` itself decides; leave it out"),
    ("bfd_instance*", "is not there yet: only the state of `interface` itself decides; leave it out"),
    ("health*", "write `checks`, a list, in the instance"),
    ("mysql*", "write it as an entry of the instance's `checks`, as in `- mysql: { user: vrrp }`"),
    ("tcp_check*", "write it as an entry of the instance's `checks`, as in `- tcp: { port: 3306 }`"),
    (
        "misc_check*",
        "write it as an entry of the instance's `checks`, as in `- script: { command: \"/...\" }`",
    ),
    ("delay_loop", "write `interval` in the check, with a unit, as in `interval: 2s`"),
    ("nb_get_retry", "write `retries` in `tcp` instead"),
    ("retry", "write `retries` in `tcp` instead"),
    ("delay_before_retry", "write `retry_delay` in `tcp` instead, with a unit, as in `retry_delay: 3s`"),
    ("connect_port", "write `port` in `tcp` instead"),
    ("connect_ip", "write `address` in `tcp` instead"),
    (
        "notify_fifo*",
        "write `notify: { fifo: /run/vrrp/fifo }` at the top level; let systemd run what reads it",
    ),
    (
        "vrrp_notify_fifo*",
        "write `notify: { fifo: /run/vrrp/fifo }` at the top level; let systemd run what reads it",
    ),
    ("vrrp_notify_priority_changes", "is not there: changes of priority are in the log and the metrics"),
    ("notify_priority_changes", "is not there: changes of priority are in the log and the metrics"),
    ("notify_deleted", "is not there: an instance that a reload removes ends with `notify: { stop: ... }`"),
    ("notify_master_rx_lower_pri", "is not there: a weaker MASTER is answered, and nothing is run"),
    (
        "notify_*",
        "write `notify: { master: \"/...\", backup: ..., fault: ..., stop: ..., any: ... }` instead",
    ),
    ("notify", "write `notify` in the instance, or at the top level for all of them"),
    ("mail", "write `mail` at the top level; an instance has `notify: { mail: [master, fault] }`"),
    (
        "smtp_alert*",
        "write `mail: { to: [...], on: [master, backup, fault, stop, health] }` at the top level",
    ),
    (
        "smtp_*",
        "write `mail: { to: [...], server: ..., port: 25, connect_timeout: 30s, helo: ... }` at the top level",
    ),
    ("notification_email_from", "write `mail: { from: ... }` at the top level instead"),
    ("notification_email", "write `mail: { to: [...] }` at the top level instead"),
    ("garp_master_delay", "write `garp: { repeat_after: 5s }` instead"),
    ("garp_master_refresh", "write `garp: { refresh: 60s }` instead"),
    ("garp_master_repeat", "write `garp: { burst: 5 }` instead"),
    ("vrrp_garp_master_delay", "write `garp: { repeat_after: 5s }` in each instance instead"),
    ("vrrp_garp_master_refresh", "write `garp: { refresh: 60s }` in each instance instead"),
    ("vrrp_garp_master_repeat", "write `garp: { burst: 5 }` in each instance instead"),
    ("garp_*", "is not there; `garp: { burst: 5, repeat_after: 5s, refresh: 60s }` is all that can be set"),
    (
        "vrrp_garp_*",
        "is not there; `garp: { burst: 5, repeat_after: 5s, refresh: 60s }` is all that can be set",
    ),
    ("vrrp_startup_delay", "write `startup_delay` in each instance instead"),
    ("vrrp_version", "write `version` in each instance instead"),
    ("vrrp_rt_priority", "write `realtime_priority` instead"),
    ("vrrp_priority", "write `realtime_priority` instead; this one was keepalived's nice level"),
    ("vrrp_no_swap", "is not needed: memory is always locked"),
    (
        "vrrp_skip_check_adv_addr",
        "is not needed: a neighbour whose address list differs is reported, never ignored",
    ),
    ("v3_checksum_as_v2", "write `checksum: rfc9568` instead"),
    ("accept", "is not needed: the MASTER always accepts packets to its virtual addresses"),
    ("no_accept", "is not there: the MASTER always accepts packets to its virtual addresses"),
    ("strict_mode", "is not there: leave it out"),
    ("vrrp_strict", "is not there: leave it out"),
    (
        "down_timer_adverts",
        "is not there: three adverts are missed before a BACKUP takes over (RFC 9568, section 6.1)",
    ),
    ("lower_prio_no_advert", "is not there: a MASTER always answers a weaker one (RFC 9568, section 6.4.3)"),
    (
        "vrrp_lower_prio_no_advert",
        "is not there: a MASTER always answers a weaker one (RFC 9568, section 6.4.3)",
    ),
    ("higher_prio_send_advert", "is not there: leave it out"),
    ("vrrp_higher_prio_send_advert", "is not there: leave it out"),
    ("dont_track_primary", "is not there: without carrier on `interface` the virtual addresses come off"),
    ("net_namespace", "is not there: start the daemon inside the namespace, with `ip netns exec`"),
    ("include", "is not there: write everything into one file"),
    (
        "script_user",
        "write `user` in the script check instead, as in `script: { command: \"/...\", user: nobody }`",
    ),
    ("enable_script_security", "is not needed: a script that others can write is never run as root"),
    ("debug", "write `log: { level: debug }` instead"),
    ("<<", "is YAML's merge key, which is not read here; write the keys out"),
];

/// What to write instead of `key`, if it is known to us as somebody else's.
pub(super) fn advice(key: &str) -> Option<&'static str> {
    ADVICE
        .iter()
        .find(|(name, _)| match name.strip_suffix('*') {
            Some(start) => key.starts_with(start),
            None => key == *name,
        })
        .map(|(_, advice)| *advice)
}

#[cfg(test)]
mod tests {
    use super::{ADVICE, advice};

    #[test]
    fn every_entry_can_be_reached() {
        for (name, text) in ADVICE {
            assert_eq!(advice(&name.replace('*', "x")), Some(*text), "{name} is hidden by an earlier entry");
        }
    }

    #[test]
    fn a_name_without_a_star_fits_only_itself() {
        assert_eq!(advice("states"), None);
        assert_eq!(advice("track"), None);
    }
}
