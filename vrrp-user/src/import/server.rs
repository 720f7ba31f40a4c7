//! `virtual_server`: a local server that is checked becomes a check of the instance that has the address.
//!
//! Owns which server is local, and the inheritance of the checkers' settings. Refuses to balance load.

use std::net::{IpAddr, Ipv4Addr};

use super::Import;
use super::check::{Check, Reaction, script_settings};
use super::command::{Effect, effect};
use super::instance::Instance;
use super::report::{Report, shown};
use super::settings::{Setting, identifier, origin, seconds, set};
use super::tree::Statement;
use super::yaml::{Entry, Origin, Value};

/// keepalived's default of `delay_loop`.
const DELAY_LOOP: &str = "60";

const NO_LOAD: &str =
    "is about balancing load, which this daemon does not do; a local server is reached at the address itself";

/// Keywords about the balancing.
const BALANCING: [&str; 32] = [
    "lb_algo",
    "lvs_sched",
    "lb_kind",
    "lvs_method",
    "persistence_timeout",
    "persistence_engine",
    "persistence_granularity",
    "protocol",
    "weight",
    "inhibit_on_failure",
    "uthreshold",
    "lthreshold",
    "virtualhost",
    "snmp_name",
    "quorum",
    "hysteresis",
    "ha_suspend",
    "ops",
    "flag-1",
    "flag-2",
    "flag-3",
    "sh-port",
    "sh-fallback",
    "mh-port",
    "mh-fallback",
    "ip_family",
    "nat_mask",
    "smtp_alert",
    "sorry_server_inhibit",
    "sorry_server_lvs_method",
    "bypass",
    "log_all_failures",
];

/// What a virtual server, a real server and a checker may each set.
#[derive(Clone, Debug, Default)]
struct Timing {
    delay_loop: Option<Setting>,
    connect_timeout: Option<Setting>,
    retry: Option<Setting>,
    delay_before_retry: Option<Setting>,
    alpha: Option<Origin>,
}

impl Timing {
    fn keyword(&mut self, statement: &Statement, report: &mut Report) -> bool {
        match statement.keyword() {
            "delay_loop" => set(&mut self.delay_loop, statement, report),
            "connect_timeout" => set(&mut self.connect_timeout, statement, report),
            "retry" | "nb_get_retry" => set(&mut self.retry, statement, report),
            "delay_before_retry" => set(&mut self.delay_before_retry, statement, report),
            "alpha" => self.alpha = Some(origin(statement)),
            "warmup" => report.ignore(statement.place, "warmup", "checks of one host need not be spread"),
            _ => return false,
        }
        true
    }

    /// With what stands further out where this says nothing.
    fn within(self, outer: &Self) -> Self {
        Self {
            delay_loop: self.delay_loop.or_else(|| outer.delay_loop.clone()),
            connect_timeout: self.connect_timeout.or_else(|| outer.connect_timeout.clone()),
            retry: self.retry.or_else(|| outer.retry.clone()),
            delay_before_retry: self.delay_before_retry.or_else(|| outer.delay_before_retry.clone()),
            alpha: self.alpha.or_else(|| outer.alpha.clone()),
        }
    }
}

/// Scripts that run when the service goes down or comes up.
#[derive(Clone, Debug, Default)]
struct Scripts {
    down: Option<Setting>,
    up: Option<Setting>,
}

/// One `virtual_server` block.
pub(super) fn read(block: &Statement, instances: &mut [Instance], import: &mut Import<'_>) {
    let place = block.place;
    let words: Vec<&str> = block.words.iter().skip(1).map(String::as_str).collect();
    let (address, port) = match words.as_slice() {
        ["group" | "fwmark", ..] => {
            let why =
                "a group or a mark is only about balancing load, which this daemon does not do; left out";
            return import.report.error(place, "virtual_server", why);
        }
        [address, rest @ ..] => (*address, rest.first().copied()),
        [] => return import.report.error(place, "virtual_server", "has no address; left out"),
    };
    let index = match owner(address, instances) {
        Some(index) => index,
        None => {
            let why =
                format!("no instance has the address {}: its checks cannot be carried over", shown(address));
            return import.report.error(place, "virtual_server", why);
        }
    };
    let mut timing = Timing::default();
    let mut scripts = Scripts::default();
    let mut servers = Vec::new();
    for statement in block.inside() {
        match statement.keyword() {
            "real_server" => servers.push(statement),
            "quorum_down" => set(&mut scripts.down, statement, import.report),
            "quorum_up" => set(&mut scripts.up, statement, import.report),
            "sorry_server" => {
                let why = "another server to balance to is not supported; left out";
                import.report.error(statement.place, "sorry_server", why);
            }
            "omega" => import.report.ignore(
                statement.place,
                "omega",
                "a planned stop runs the scripts of `notify: { stop: }`",
            ),
            keyword if BALANCING.contains(&keyword) => {
                import.report.ignore(statement.place, keyword, NO_LOAD)
            }
            keyword => {
                if !timing.keyword(statement, import.report) {
                    let why = "is not a keyword of a virtual_server; left out, as keepalived does";
                    import.report.warn(statement.place, keyword, why);
                }
            }
        }
    }
    let Some(instance) = instances.get_mut(index) else { return };
    let local = locals(address, &servers, import);
    for server in servers {
        if local.iter().any(|known| std::ptr::eq(*known, server)) {
            real_server(server, port, &timing, &scripts, instance, import);
        } else {
            let why = "a server on another host is not supported: no load is balanced. Its checks are left out with it";
            import.report.error(server.place, "real_server", why);
        }
    }
}

/// The instance that has the address; a sole instance has them all.
fn owner(address: &str, instances: &[Instance]) -> Option<usize> {
    let address = address.parse::<Ipv4Addr>().ok();
    let has = |instance: &Instance| instance.addresses.iter().any(|known| Some(known.address) == address);
    instances.iter().position(has).or_else(|| (instances.len() == 1).then_some(0))
}

/// The servers on this host: by its addresses, else the only one there is.
fn locals<'s>(
    virtual_address: &str,
    servers: &[&'s Statement],
    import: &mut Import<'_>,
) -> Vec<&'s Statement> {
    let is_local = |server: &&Statement| {
        let Some(text) = server.value() else { return false };
        let Ok(address) = text.parse::<IpAddr>() else { return false };
        address.is_loopback() || text == virtual_address || import.options.local.contains(&address)
    };
    let local: Vec<&Statement> = servers.iter().copied().filter(|server| is_local(server)).collect();
    if let ([], [only]) = (local.as_slice(), servers) {
        let why = format!(
            "{} is not an address of the host that this runs on; being the only server it is taken for the one on the \
             instance's own host. --local says which addresses that host has",
            shown(only.value().unwrap_or_default())
        );
        import.report.warn(only.place, "real_server", why);
        return vec![only];
    }
    local
}

fn real_server(
    server: &Statement,
    virtual_port: Option<&str>,
    outer: &Timing,
    outer_scripts: &Scripts,
    instance: &mut Instance,
    import: &mut Import<'_>,
) {
    let mut timing = Timing::default();
    let mut scripts = Scripts::default();
    let mut checkers = Vec::new();
    for statement in server.inside() {
        match statement.keyword() {
            "notify_down" => set(&mut scripts.down, statement, import.report),
            "notify_up" => set(&mut scripts.up, statement, import.report),
            "TCP_CHECK" | "MISC_CHECK" => checkers.push(statement),
            keyword if keyword.ends_with("_CHECK") || keyword.ends_with("_GET") => {
                let why = "only TCP_CHECK and MISC_CHECK can be carried over; write a script check, or `mysql` for a server \
                           of that kind";
                import.report.error(statement.place, keyword, why);
            }
            keyword if BALANCING.contains(&keyword) => {
                import.report.ignore(statement.place, keyword, NO_LOAD)
            }
            keyword => {
                if !timing.keyword(statement, import.report) {
                    let why = "is not a keyword of a real_server; left out, as keepalived does";
                    import.report.warn(statement.place, keyword, why);
                }
            }
        }
    }
    let timing = timing.within(outer);
    let scripts = merged(scripts, outer_scripts, import.report);
    if checkers.is_empty() {
        let why = "is checked by nothing that can be carried over: nothing comes of it";
        import.report.ignore(server.place, "real_server", why);
    }
    for checker in checkers {
        let reaction = reaction(server, &scripts, import);
        let port = server.words.get(2).map(String::as_str).or(virtual_port);
        let mut check = if checker.keyword() == "TCP_CHECK" {
            tcp(checker, server, port, &timing, import.report)
        } else {
            let Some(check) = misc(checker, &timing, import) else { continue };
            check
        };
        check.reaction = reaction.0;
        let said = |setting: Setting| (setting.text, setting.origin);
        check.notify_down = reaction.1.map(said);
        check.notify_up = scripts.up.clone().map(said);
        instance.checks.push(check);
    }
}

/// One server is the whole quorum: the scripts of both run at the same events.
fn merged(inner: Scripts, outer: &Scripts, report: &mut Report) -> Scripts {
    let mut both = |inner: Option<Setting>, outer: &Option<Setting>| {
        if let (Some(_), Some(outer)) = (&inner, outer) {
            let why =
                "one script runs at each event, and that is the real_server's; call this one from there";
            report.error(outer.origin.place, &outer.origin.what, why);
        }
        inner.or_else(|| outer.clone())
    };
    Scripts { down: both(inner.down, &outer.down), up: both(inner.up, &outer.up) }
}

/// What failing comes to, and the script that still has to run then.
fn reaction(
    server: &Statement,
    scripts: &Scripts,
    import: &mut Import<'_>,
) -> ((Reaction, Origin), Option<Setting>) {
    let bare = Origin { comment: None, ..origin(server) };
    let Some(down) = &scripts.down else {
        let why = "keepalived takes the server out of the balancing and leaves the address where it is, so a failure is only \
                   reported here; write `on_failure: release` to hand the address over";
        import.report.warn(server.place, "real_server", why);
        return ((Reaction::Report, bare), None);
    };
    let Setting { text, origin: from } = down;
    let (place, what) = (from.place, from.what.clone());
    match effect(text, import.folder, import.files) {
        Effect::Kills => {
            let why = "it ends keepalived, so that the other host takes over: that is `on_failure: release`, which also comes \
                       back by itself when the server does";
            import.report.warn(place, &what, why);
            ((Reaction::Release, from.clone()), None)
        }
        Effect::KillsAndMore => {
            let why = "it ends keepalived, so that the other host takes over: that is `on_failure: release`. It does more than \
                       that, so it still runs; take the line that ends keepalived out of it";
            import.report.warn(place, &what, why);
            ((Reaction::Release, bare), Some(down.clone()))
        }
        Effect::Unknown => {
            let why = format!(
                "{} cannot be read here: taken for the usual one, which ends keepalived so that the other host takes over \
                 (`on_failure: release`), and still run. If it only tells somebody, write `on_failure: report`",
                shown(text)
            );
            import.report.warn(place, &what, why);
            ((Reaction::Release, bare), Some(down.clone()))
        }
        Effect::Other => {
            let why = "it does not end keepalived, so the address stays where it is; write `on_failure: release` to hand it over";
            import.report.warn(place, &what, why);
            ((Reaction::Report, bare), Some(down.clone()))
        }
    }
}

/// `interval`, from wherever it was set.
fn interval(timing: &Timing, bare: &Origin) -> (String, Origin) {
    match &timing.delay_loop {
        Some(Setting { text, origin }) => (seconds(text), origin.clone()),
        None => (seconds(DELAY_LOOP), bare.clone()),
    }
}

fn tcp(
    checker: &Statement,
    server: &Statement,
    port: Option<&str>,
    outer: &Timing,
    report: &mut Report,
) -> Check {
    let bare = Origin { comment: None, ..origin(checker) };
    let mut timing = Timing::default();
    let (mut ip, mut connect_port) = (None, None);
    for statement in checker.inside() {
        match statement.keyword() {
            "connect_ip" => set(&mut ip, statement, report),
            "connect_port" => set(&mut connect_port, statement, report),
            "bindto" | "bind_if" | "bind_port" | "fwmark" => {
                let why = "is not there: the kernel chooses where the connection comes from";
                report.warn(statement.place, statement.keyword(), why);
            }
            "log_all_failures" => {
                report.ignore(statement.place, statement.keyword(), "changes of a check are in the log")
            }
            keyword => {
                if !timing.keyword(statement, report) {
                    report.warn(
                        statement.place,
                        keyword,
                        "is not a keyword of a TCP_CHECK; left out, as keepalived does",
                    );
                }
            }
        }
    }
    let timing = timing.within(outer);
    if let Some(alpha) = &timing.alpha {
        report.warn(alpha.place, "alpha", "a TCP check counts as passed until it has failed");
    }
    let address = ip.unwrap_or_else(|| Setting {
        text: server.value().unwrap_or_default().to_owned(),
        origin: origin(server),
    });
    let number = connect_port.map(|setting| (setting.text, setting.origin));
    let number =
        number.or_else(|| port.map(|port| (port.to_owned(), Origin { comment: None, ..origin(server) })));
    let or = |setting: &Option<Setting>, default: &str| {
        setting.clone().unwrap_or_else(|| Setting { text: default.to_owned(), origin: bare.clone() })
    };
    let mut settings = vec![Entry::new("address", Value::text(&address.text), &address.origin)];
    let mut name = "tcp".to_owned();
    if let Some((port, origin)) = number {
        name = format!("tcp-{port}");
        settings.push(Entry::new("port", Value::number(&port), &origin));
    }
    // keepalived's defaults where nothing is written: 5 s, one retry after 1 s.
    let timeout = or(&timing.connect_timeout, "5");
    settings.push(Entry::new("connect_timeout", Value::text(&seconds(&timeout.text)), &timeout.origin));
    let retry = or(&timing.retry, "1");
    settings.push(Entry::new("retries", Value::number(&retry.text), &retry.origin));
    if retry.text != "0" {
        let delay = or(&timing.delay_before_retry, "1");
        settings.push(Entry::new("retry_delay", Value::text(&seconds(&delay.text)), &delay.origin));
    }
    check(identifier(&name), "tcp", settings, interval(&timing, &bare), bare)
}

fn misc(checker: &Statement, outer: &Timing, import: &mut Import<'_>) -> Option<Check> {
    let report = &mut *import.report;
    let bare = Origin { comment: None, ..origin(checker) };
    let mut timing = Timing::default();
    let (mut path, mut timeout, mut user) = (None, None, None);
    for statement in checker.inside() {
        match statement.keyword() {
            "misc_path" => set(&mut path, statement, report),
            "misc_timeout" => set(&mut timeout, statement, report),
            "user" => set(&mut user, statement, report),
            "misc_dynamic" => {
                let why = "an exit code of 2 and more says a weight of the balancing, which is not there: here it is a failure";
                report.error(statement.place, "misc_dynamic", why);
            }
            keyword => {
                if !timing.keyword(statement, report) {
                    report.warn(
                        statement.place,
                        keyword,
                        "is not a keyword of a MISC_CHECK; left out, as keepalived does",
                    );
                }
            }
        }
    }
    let timing = Timing { retry: timing.retry.clone(), ..timing.within(outer) };
    let Some(Setting { text, origin: from }) = path else {
        report.error(checker.place, "MISC_CHECK", "has no misc_path; left out");
        return None;
    };
    let user = user.or_else(|| import.globals.script_user.clone());
    let mut settings = script_settings(&text, &from, timeout.as_ref(), user.as_ref(), report);
    if let Some(alpha) = &timing.alpha {
        settings.push(Entry::new("init_fail", Value::word(true), &Origin { comment: None, ..alpha.clone() }));
    }
    let interval = interval(&timing, &bare);
    // The first failure and then the retries, which is 0 of them unless written.
    let mut fall = None;
    if let Some(Setting { text, origin }) = &timing.retry
        && let Ok(retries) = text.parse::<u32>()
        && retries > 0
    {
        let delay = timing.delay_before_retry.as_ref().map_or("1", |delay| delay.text.as_str());
        if seconds(delay) != interval.0 {
            let why = format!(
                "a failing script is tried again every {} (`interval`), not after {}: {} failures in a row count as down",
                interval.0,
                seconds(delay),
                retries.saturating_add(1)
            );
            report.warn(origin.place, "retry", why);
        }
        fall = Some((retries.saturating_add(1).to_string(), origin.clone()));
    }
    let name = super::command::split(&text)
        .first()
        .and_then(|program| program.rsplit('/').next())
        .map_or_else(|| "script".to_owned(), identifier);
    Some(Check { fall, ..check(name, "script", settings, interval, bare) })
}

fn check(
    name: String,
    kind: &'static str,
    settings: Vec<Entry>,
    interval: (String, Origin),
    bare: Origin,
) -> Check {
    Check {
        name,
        kind,
        settings,
        interval: Some(interval),
        rise: None,
        fall: None,
        reaction: (Reaction::Report, bare.clone()),
        notify_down: None,
        notify_up: None,
        from: bare,
    }
}
