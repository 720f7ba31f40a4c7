//! The effective values, for `vrrp check`: YAML that reads back as the same configuration, with what follows from
//! it in comments. The password alone is not in it.

mod check;
mod notify;
mod role;

use std::fmt;
use std::time::Duration;

use super::address::SCOPES;
use super::document::{DELIVERIES, FORMATS, LEVELS, RX};
use super::duration;
use super::instance::{CHECKSUMS, LIFETIMES, OWNER, SKEWS};
use super::password::HIDDEN;
use super::{
    AddressLifetime, Config, Delivery, Instance, MAX_TIMED_ADDRESSES, Metrics, Protocol, Scope,
    VirtualAddress,
};

/// The whole text, ending in a newline.
pub fn explain(config: &Config) -> String {
    Effective(config).to_string()
}

struct Effective<'c>(&'c Config);

impl fmt::Display for Effective<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(config) = self;
        match &config.router_id {
            Some(id) => writeln!(f, "router_id: {}", quoted(id))?,
            None => writeln!(f, "# router_id: the host name")?,
        }
        writeln!(f, "rx: {}", word(&RX, config.rx))?;
        write!(f, "delivery: {}", word(&DELIVERIES, config.delivery))?;
        if config.delivery == Delivery::Auto {
            write!(f, " # {}", if config.delivers_changes_only() { "changes" } else { "all" })?;
        }
        writeln!(f, "\nconsume: {}\nguard: {}", config.consume, config.guard)?;
        writeln!(f, "realtime_priority: {}", config.realtime_priority)?;
        let log = (word(&FORMATS, config.log.format), word(&LEVELS, config.log.level));
        writeln!(f, "log: {{ format: {}, level: {} }}", log.0, log.1)?;
        let (socket, state) = (config.control.socket.display(), config.control.state_dir.display());
        let (socket, state) = (quoted(&socket.to_string()), quoted(&state.to_string()));
        writeln!(f, "control: {{ socket: {socket}, state_dir: {state} }}")?;
        let Metrics { socket, listen } = &config.metrics;
        let socket = socket.as_ref().map(|path| format!("socket: {}", quoted(&path.display().to_string())));
        let listen = listen.map(|place| format!("listen: \"{place}\""));
        let places: Vec<String> = socket.into_iter().chain(listen).collect();
        if !places.is_empty() {
            writeln!(f, "metrics: {{ {} }}", places.join(", "))?;
        }
        if let Some(place) = config.status_page {
            writeln!(f, "status_page: {{ listen: \"{place}\" }}")?;
        }
        if let Some(mail) = &config.mail {
            notify::explain_mail(f, mail)?;
        }
        notify::explain_notify(f, &config.notify)?;
        writeln!(f, "instances:")?;
        for instance in &config.instances {
            explain_instance(f, config, instance)?;
        }
        Ok(())
    }
}

fn explain_instance(f: &mut fmt::Formatter<'_>, config: &Config, instance: &Instance) -> fmt::Result {
    let time = duration::format;
    writeln!(f, "  - name: {}", quoted(&instance.name))?;
    writeln!(f, "    interface: {}", quoted(&instance.interface))?;
    writeln!(f, "    virtual_router_id: {}", instance.virtual_router_id)?;
    let owner = instance.priority.get() == OWNER;
    writeln!(f, "    priority: {}{}", instance.priority, if owner { " # address owner" } else { "" })?;
    writeln!(f, "    version: {}", instance.version())?;
    writeln!(f, "    advert_interval: {}", time(instance.advert_interval().duration()))?;
    writeln!(f, "    preempt: {}", instance.preempt)?;
    writeln!(f, "    startup_delay: {}", time(instance.startup_delay))?;
    match &instance.protocol {
        Protocol::V2 { password: None, .. } => {}
        Protocol::V2 { password: Some(_), .. } => {
            writeln!(f, "    auth: {{ type: pass, password: \"{HIDDEN}\" }} # not shown")?;
        }
        Protocol::V3 { checksum, .. } => writeln!(f, "    checksum: {}", word(&CHECKSUMS, *checksum))?,
    }
    writeln!(f, "    virtual_addresses:")?;
    for address in &instance.virtual_addresses {
        writeln!(f, "      - {}", entry(address))?;
    }
    if !instance.peers.is_empty() {
        let peers = instance.peers.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        writeln!(f, "    peers: [{peers}]")?;
    }
    writeln!(f, "    skew: {}", word(&SKEWS, instance.skew))?;
    let garp = instance.garp;
    writeln!(
        f,
        "    garp: {{ burst: {}, repeat_after: {}, refresh: {} }}",
        garp.burst,
        time(garp.repeat_after),
        time(garp.refresh)
    )?;
    writeln!(f, "    vip_deadline: {}", time(instance.vip_deadline))?;
    write!(f, "    address_lifetime: {}", word(&LIFETIMES, instance.address_lifetime))?;
    match (instance.address_lifetime, config.address_lifetime(instance)) {
        (AddressLifetime::Off, _) => writeln!(f)?,
        (AddressLifetime::Auto, Some(lifetime)) => writeln!(f, " # valid_lft {}", time(lifetime))?,
        (AddressLifetime::Auto, None) => writeln!(f, " # none: more than {MAX_TIMED_ADDRESSES} addresses")?,
    }
    explain_times(f, instance)?;
    check::explain_checks(f, instance)?;
    role::explain_role(f, instance)?;
    instance.notify.as_ref().map_or(Ok(()), |notify| notify::explain_instance(f, notify))
}

/// What the RFC makes of the settings.
fn explain_times(f: &mut fmt::Formatter<'_>, instance: &Instance) -> fmt::Result {
    let time = duration::format;
    let (interval, down) = (instance.advert_interval().duration(), instance.master_down_interval());
    writeln!(f, "    # skew_time {}, master_down_interval {}", time(instance.skew_time()), time(down))?;
    writeln!(
        f,
        "    # as BACKUP takes over {} to {} after its master died,",
        time(down - interval),
        time(down)
    )?;
    match instance.wait_after_release() {
        Duration::ZERO => writeln!(f, "    # and at once when its master stopped as planned"),
        wait => writeln!(f, "    # and {} after its master stopped as planned", time(wait)),
    }
}

fn entry(vip: &VirtualAddress) -> String {
    let mut text = format!("{{ address: {}/{}, dev: {}", vip.address, vip.prefix, quoted(&vip.device));
    let extra = vip.label.as_ref().map(|label| format!(", label: {}", quoted(label)));
    text.push_str(&extra.unwrap_or_default());
    if vip.scope != Scope::Global {
        text.push_str(", scope: ");
        text.push_str(word(&SCOPES, vip.scope));
    }
    text.push_str(" }");
    text
}

/// The word that reads back as `value`.
fn word<T: PartialEq>(words: &[(&'static str, T)], value: T) -> &'static str {
    words.iter().find(|(_, known)| *known == value).map_or("", |(name, _)| name)
}

/// Plain where YAML cannot take it for anything but text, else in double quotes.
fn quoted(text: &str) -> String {
    const WORDS: [&str; 9] = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    let plain = text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
        && !WORDS.contains(&text.to_ascii_lowercase().as_str());
    if plain {
        return text.to_owned();
    }
    let mut quoted = String::from("\"");
    for c in text.chars() {
        if c == '"' || c == '\\' {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted.push('"');
    quoted
}
