//! `global_defs`: what becomes a key of ours, what changes the instances, and what is left out for which reason.
//!
//! Owns the table of global keywords. Instances take their defaults from here.

use super::notify::Mail;
use super::report::{Grade, Report};
use super::settings::{Setting, identifier, origin, set, switch, value};
use super::tree::Statement;
use super::yaml::{Entry, Origin, Value};

/// What the instances need to know of it.
#[derive(Debug, Default)]
pub(super) struct Globals {
    pub(super) router_id: Option<Setting>,
    pub(super) version: Option<Setting>,
    pub(super) realtime_priority: Option<Setting>,
    pub(super) startup_delay: Option<Setting>,
    pub(super) garp_delay: Option<Setting>,
    pub(super) garp_repeat: Option<Setting>,
    pub(super) garp_refresh: Option<Setting>,
    pub(super) min_garp: Option<Origin>,
    pub(super) down_timer_adverts: Option<Setting>,
    pub(super) strict: bool,
    pub(super) script_user: Option<Setting>,
    pub(super) mail: Mail,
    /// `notify_fifo` and `vrrp_notify_fifo`.
    pub(super) fifo: Option<Setting>,
}

const NO_LOAD: &str = "is about balancing load with IPVS, which this daemon does not do";
const NO_CHECKER: &str = "there is no checker process";
const NO_BFD: &str = "there is no BFD";
const SELF_SIZED: &str = "buffers size themselves";
const NO_FIREWALL: &str =
    "no firewall rule is ever set: the MASTER always accepts what comes to its addresses";
const NO_SNMP: &str = "there is no SNMP: `vrrp status` and the metrics tell the same";
const RELOAD: &str = "a reload always checks the whole new file first, and touches only what changed";

/// A name, or its beginning followed by `*`; the first that fits counts.
const LEFT_OUT: &[(&str, Grade, &str)] = &[
    (
        "vrrp_skip_check_adv_addr",
        Grade::Ignored,
        "a neighbour whose list of addresses differs is never ignored",
    ),
    ("vrrp_check_unicast_src", Grade::Ignored, "`peers` always limits the senders"),
    ("vrrp_no_swap", Grade::Ignored, "memory is always locked"),
    ("vrrp_priority", Grade::Ignored, "adverts are sent by a thread with real-time priority"),
    ("vrrp_rlimit_rttime", Grade::Ignored, "the advert thread never runs for long"),
    (
        "max_auto_priority",
        Grade::Ignored,
        "adverts are sent by a thread with real-time priority from the start",
    ),
    ("min_auto_priority_delay", Grade::Ignored, "adverts are sent by a thread with real-time priority"),
    ("vrrp_cpu_affinity", Grade::Warning, "is not there; use CPUAffinity= of systemd if it must be"),
    ("vrrp_netlink_*", Grade::Ignored, SELF_SIZED),
    ("vrrp_rx_bufs_*", Grade::Ignored, SELF_SIZED),
    ("process_monitor_rcv_bufs*", Grade::Ignored, SELF_SIZED),
    (
        "vrrp_garp_lower_prio_*",
        Grade::Ignored,
        "a losing advert is answered, with a burst of gratuitous ARP at most once a second",
    ),
    ("vrrp_garp_master_refresh_repeat", Grade::Ignored, "one frame for each address in each period"),
    ("vrrp_garp_interval", Grade::Warning, "is not there: a burst goes out at once"),
    ("vrrp_gna_interval", Grade::Ignored, "is for IPv6"),
    ("vrrp_garp_extra_if", Grade::Ignored, "addresses are announced on the interface that they are on"),
    (
        "vrrp_lower_prio_no_advert",
        Grade::Warning,
        "a MASTER always answers a weaker one (RFC 9568, section 6.4.3)",
    ),
    ("vrrp_higher_prio_send_advert", Grade::Ignored, "the winner announces its addresses again by itself"),
    ("vrrp_mcast_group6", Grade::Ignored, "is for IPv6"),
    ("vrrp_iptables", Grade::Ignored, NO_FIREWALL),
    ("vrrp_ipsets", Grade::Ignored, NO_FIREWALL),
    ("nftables*", Grade::Ignored, NO_FIREWALL),
    ("namespace_with_ipsets", Grade::Ignored, NO_FIREWALL),
    ("disable_local_igmp", Grade::Warning, "is a setting of the kernel's that stays as it is"),
    ("vrrp_process_name", Grade::Ignored, "the processes are called vrrp"),
    ("process_name*", Grade::Ignored, "the processes are called vrrp"),
    ("*_process_name", Grade::Ignored, "the processes are called vrrp"),
    ("vrrp_notify_priority_changes", Grade::Warning, "changes of priority are not told to the FIFO"),
    ("fifo_write_vrrp_states_on_reload", Grade::Warning, "a reload that changes no state tells nobody"),
    ("enable_script_security", Grade::Ignored, "a script that others can write is never run as root"),
    (
        "dynamic_interfaces",
        Grade::Warning,
        "an interface must be there at the start; one that is replaced is noticed",
    ),
    ("default_interface", Grade::Ignored, "is for static addresses"),
    ("net_namespace_ipvs", Grade::Ignored, NO_LOAD),
    (
        "net_namespace",
        Grade::Error,
        "is not there: start the daemon inside the namespace, with `ip netns exec` or systemd's NetworkNamespacePath=",
    ),
    ("instance", Grade::Ignored, "one daemon a host, or one a network namespace"),
    ("use_pid_dir", Grade::Ignored, "there are no pid files"),
    ("child_wait_time", Grade::Ignored, "leaving takes at most a second"),
    (
        "linkbeat_use_polling",
        Grade::Warning,
        "carrier is what the kernel tells; a driver that tells nothing is not polled",
    ),
    ("log_unknown_vrids", Grade::Ignored, "adverts of other virtual routers are counted"),
    ("vmac_*", Grade::Ignored, "there is no virtual MAC address yet"),
    ("snmp_*", Grade::Warning, NO_SNMP),
    ("enable_snmp_*", Grade::Warning, NO_SNMP),
    ("enable_traps", Grade::Warning, NO_SNMP),
    (
        "enable_dbus",
        Grade::Warning,
        "there is no D-Bus: the control socket /run/vrrp/vrrp.sock tells the same",
    ),
    ("dbus_*", Grade::Ignored, "there is no D-Bus"),
    ("startup_script*", Grade::Error, "is not there: use ExecStartPre= of systemd"),
    ("shutdown_script*", Grade::Error, "is not there: use ExecStopPost= of systemd"),
    ("lvs_*", Grade::Ignored, NO_LOAD),
    ("ipvs_*", Grade::Ignored, NO_LOAD),
    ("checker_*", Grade::Ignored, NO_CHECKER),
    ("rs_init_notifies", Grade::Ignored, NO_LOAD),
    ("bfd_*", Grade::Ignored, NO_BFD),
    ("reload_*", Grade::Ignored, RELOAD),
    ("include_check", Grade::Ignored, "this import reports every file that it cannot read"),
    ("config_save_dir", Grade::Ignored, "is for debugging keepalived"),
    ("tmp_config_directory", Grade::Ignored, "is for debugging keepalived"),
    ("data_use_instance", Grade::Ignored, "is for debugging keepalived"),
    ("random_seed", Grade::Ignored, "nothing is random"),
    ("umask", Grade::Ignored, "no files are made"),
];

impl Globals {
    /// One block; another one adds to it.
    pub(super) fn read(&mut self, block: &Statement, report: &mut Report) {
        for statement in block.inside() {
            self.keyword(statement, report);
        }
    }

    fn keyword(&mut self, statement: &Statement, report: &mut Report) {
        let place = statement.place;
        match statement.keyword() {
            "router_id" => set(&mut self.router_id, statement, report),
            "vrrp_version" => set(&mut self.version, statement, report),
            "vrrp_rt_priority" => set(&mut self.realtime_priority, statement, report),
            "vrrp_startup_delay" => set(&mut self.startup_delay, statement, report),
            "vrrp_garp_master_delay" => set(&mut self.garp_delay, statement, report),
            "vrrp_garp_master_repeat" => set(&mut self.garp_repeat, statement, report),
            "vrrp_garp_master_refresh" => set(&mut self.garp_refresh, statement, report),
            "vrrp_min_garp" => {
                let is_on = switch(statement, report).unwrap_or(false);
                self.min_garp = is_on.then(|| origin(statement));
            }
            "vrrp_down_timer_adverts" => set(&mut self.down_timer_adverts, statement, report),
            "vrrp_strict" => {
                self.strict = true;
                report.warn(place, "vrrp_strict", STRICT);
            }
            "vrrp_mcast_group4" => group(statement, report),
            "script_user" => set(&mut self.script_user, statement, report),
            "notify_fifo" | "vrrp_notify_fifo" => set(&mut self.fifo, statement, report),
            "notify_fifo_script" | "vrrp_notify_fifo_script" => {
                let why = "is not started: let systemd run what reads the FIFO";
                report.error(place, statement.keyword(), why);
            }
            keyword => {
                if !self.mail.keyword(statement, report) {
                    left_out(LEFT_OUT, keyword, statement, report);
                }
            }
        }
    }

    /// The global keys of ours that come of it.
    pub(super) fn entries(&self, report: &mut Report) -> Vec<Entry> {
        let mut entries = Vec::new();
        if let Some(Setting { text, origin }) = &self.router_id {
            let name = identifier(text);
            if name != *text {
                let why = format!("written as `{name}`: a name has letters, digits and _ . - : @ only");
                report.warn(origin.place, "router_id", why);
            }
            entries.push(Entry::new("router_id", Value::text(&name), origin));
        }
        if let Some(Setting { text, origin }) = &self.realtime_priority {
            entries.push(Entry::new("realtime_priority", Value::number(text), origin));
        }
        entries
    }
}

impl Globals {
    /// `notify:` of all instances.
    pub(super) fn fifo_entry(&self) -> Option<Entry> {
        let Setting { text, origin } = self.fifo.as_ref()?;
        let bare = Origin { comment: None, ..origin.clone() };
        let fifo = Entry::new("fifo", Value::text(text), origin);
        Some(Entry::new("notify", Value::Map(vec![fifo]), &bare))
    }
}

pub(super) const STRICT: &str = "is not there. keepalived drops packets to the address then, unless the priority is 255 or `accept` stands there; \
     here the MASTER always accepts them. It forbids authentication: none is written";

/// The group to which adverts go.
pub(super) fn group(statement: &Statement, report: &mut Report) {
    if let Some(Setting { text, .. }) = value(statement, report)
        && text != "224.0.0.18"
    {
        let why = "adverts go to 224.0.0.18 and nowhere else: the other routers must use it too";
        report.error(statement.place, statement.keyword(), why);
    }
}

/// Reports a keyword that is not carried over, by a table of them.
pub(super) fn left_out(
    table: &[(&str, Grade, &str)],
    keyword: &str,
    statement: &Statement,
    report: &mut Report,
) {
    let fits = |name: &str| match (name.strip_prefix('*'), name.strip_suffix('*')) {
        (Some(end), _) => keyword.ends_with(end),
        (None, Some(start)) => keyword.starts_with(start),
        (None, None) => keyword == name,
    };
    match table.iter().find(|(name, _, _)| fits(name)) {
        Some((_, grade, why)) => report.add(*grade, statement.place, keyword, *why),
        None => {
            let why = "is not a keyword of keepalived 2.2 at this place; it is left out, as keepalived does";
            report.warn(statement.place, keyword, why);
        }
    }
}
