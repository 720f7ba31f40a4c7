//! `vrrp_instance`: its keywords gathered, and what they come to together.
//!
//! Owns the traps, where keepalived does something else than its file seems to say.

use std::net::Ipv4Addr;

use super::address::{self, Address, Read};
use super::check::{Check, Scripts};
use super::globals::{Globals, STRICT, group};
use super::notify::Notify;
use super::report::{Place, Report, shown};
use super::settings::{Setting, duration, identifier, micros, origin, seconds, set, switch};
use super::tree::Statement;
use super::yaml::{Entry, Item, Origin, Value};

mod left_out;

const LONGEST_PASSWORD: usize = 8;
/// As many as an advert can carry.
const MAX_ADDRESSES: usize = 255;

/// One instance, as far as it has been read.
#[derive(Debug, Default)]
pub(super) struct Instance {
    pub(super) name: String,
    pub(super) from: Origin,
    pub(super) addresses: Vec<Address>,
    pub(super) checks: Vec<Check>,
    pub(super) interface: Option<Setting>,
    pub(super) virtual_router_id: Option<Setting>,
    priority: Option<Setting>,
    version: Option<Setting>,
    advert_int: Option<Setting>,
    state: Option<Setting>,
    nopreempt: Option<Origin>,
    preempt: Option<Origin>,
    preempt_delay: Option<Setting>,
    auth_type: Option<Setting>,
    auth_pass: Option<Setting>,
    garp_delay: Option<Setting>,
    garp_repeat: Option<Setting>,
    garp_refresh: Option<Setting>,
    down_timer_adverts: Option<Setting>,
    strict: Option<bool>,
    /// `track_interface`: name, weight.
    interfaces: Vec<(String, Option<String>, Origin)>,
    peers: Vec<(Ipv4Addr, Origin)>,
    notify: Notify,
    is_v6: bool,
}

impl Instance {
    /// None, and a message, if there is nothing to carry over.
    pub(super) fn read(
        block: &Statement,
        globals: &Globals,
        scripts: &mut Scripts,
        report: &mut Report,
    ) -> Option<Self> {
        let Some(written) = block.value() else {
            report.error(block.place, "vrrp_instance", "has no name; left out");
            return None;
        };
        let name = identifier(written);
        if name != written {
            let why = format!("written as `{name}`: a name has letters, digits and _ . - : @ only");
            report.warn(block.place, "vrrp_instance", why);
        }
        let mut instance = Self { name, from: origin(block), ..Self::default() };
        // The interface first: addresses and tracking are read against it.
        for statement in block.inside().iter().filter(|statement| statement.keyword() == "interface") {
            set(&mut instance.interface, statement, report);
        }
        for statement in block.inside() {
            instance.keyword(statement, globals, scripts, report);
        }
        if instance.is_v6 && instance.addresses.is_empty() {
            let why = "virtual routers are IPv4 only for now: the whole instance is left out";
            report.error(block.place, "vrrp_instance", why);
            return None;
        }
        if instance.interface.is_none() {
            let why = "names no `interface`, and adverts leave by one: the whole instance is left out";
            report.error(block.place, "vrrp_instance", why);
            return None;
        }
        Some(instance)
    }

    fn keyword(
        &mut self,
        statement: &Statement,
        globals: &Globals,
        scripts: &mut Scripts,
        report: &mut Report,
    ) {
        let place = statement.place;
        match statement.keyword() {
            "interface" => {}
            "state" => set(&mut self.state, statement, report),
            "virtual_router_id" => set(&mut self.virtual_router_id, statement, report),
            "priority" => set(&mut self.priority, statement, report),
            "version" => set(&mut self.version, statement, report),
            "advert_int" => set(&mut self.advert_int, statement, report),
            "nopreempt" => self.nopreempt = Some(origin(statement)),
            "preempt" => self.preempt = Some(origin(statement)),
            "preempt_delay" => set(&mut self.preempt_delay, statement, report),
            "authentication" => {
                for line in statement.inside() {
                    self.authentication(line, report);
                }
            }
            "auth_type" | "auth_pass" => self.authentication(statement, report),
            "garp_master_delay" => set(&mut self.garp_delay, statement, report),
            "garp_master_repeat" => set(&mut self.garp_repeat, statement, report),
            "garp_master_refresh" => set(&mut self.garp_refresh, statement, report),
            "down_timer_adverts" => set(&mut self.down_timer_adverts, statement, report),
            "strict_mode" => {
                self.strict = switch(statement, report);
                if self.strict == Some(true) {
                    report.warn(place, "strict_mode", STRICT);
                }
            }
            "virtual_ipaddress" => self.addresses(statement, report),
            "virtual_ipaddress_excluded" => self.excluded(statement, report),
            "track_interface" => self.track_interfaces(statement, report),
            "track_script" => {
                for line in statement.inside() {
                    self.checks.extend(scripts.track(line, globals.script_user.as_ref(), report));
                }
            }
            "unicast_peer" => self.unicast(statement, report),
            "mcast_dst_ip" => group(statement, report),
            keyword => {
                if !self.notify.keyword(statement, report) {
                    left_out::report(keyword, statement, report);
                }
            }
        }
    }

    fn authentication(&mut self, statement: &Statement, report: &mut Report) {
        match statement.keyword() {
            "auth_type" => set(&mut self.auth_type, statement, report),
            "auth_pass" => {
                set(&mut self.auth_pass, statement, report);
                if statement.is_cut {
                    let why = "is cut short by a comment, in keepalived too: only what stands before the `#` or `!` counts. \
                               Put it in double quotes on all hosts if more was meant";
                    report.warn(statement.place, "auth_pass", why);
                }
            }
            keyword => left_out::report(keyword, statement, report),
        }
    }

    fn addresses(&mut self, block: &Statement, report: &mut Report) {
        let interface = self.interface.as_ref().map(|setting| setting.text.clone());
        for line in block.inside() {
            match address::read(line, interface.as_deref(), report) {
                Read::Ours(address) => self.addresses.push(address),
                Read::Six => {
                    self.is_v6 = true;
                    let why = format!("{} is IPv6, which is not there yet; left out", shown(line.keyword()));
                    report.error(line.place, block.keyword(), why);
                }
                Read::Nothing => {}
            }
        }
    }

    fn excluded(&mut self, block: &Statement, report: &mut Report) {
        let before = self.addresses.len();
        self.addresses(block, report);
        if self.addresses.len() > before {
            let why = "the addresses stand in `virtual_addresses`, so adverts name them: keepalived before 2.3.3 discards an \
                       advert whose addresses are not its own. Bring both hosts over at one time";
            report.error(block.place, block.keyword(), why);
        }
    }

    fn track_interfaces(&mut self, block: &Statement, report: &mut Report) {
        for line in block.inside() {
            let name = line.keyword();
            let words: Vec<&str> = line.words.iter().skip(1).map(String::as_str).collect();
            let weight = match words.as_slice() {
                [] => None,
                ["weight", weight] => Some((*weight).to_owned()).filter(|weight| weight != "0"),
                [..] => {
                    let why = "only `weight N` can be carried over here; the interface is not tracked";
                    report.error(line.place, "track_interface", why);
                    continue;
                }
            };
            if weight.is_none() && self.interface.as_ref().is_some_and(|own| own.text == name) {
                let why = "no carrier on the instance's own interface means FAULT as it is";
                report.ignore(line.place, "track_interface", why);
                continue;
            }
            let from = Origin { what: "track_interface".to_owned(), ..origin(line) };
            self.interfaces.push((name.to_owned(), weight, from));
        }
    }

    fn unicast(&mut self, block: &Statement, report: &mut Report) {
        let why = "adverts go to the multicast group, not to the peers one by one: this works only where both hosts share a \
                   segment that carries multicast, and with a peer that does the same. The peers are written as `peers`, \
                   the only senders that count";
        report.error(block.place, "unicast_peer", why);
        for line in block.inside() {
            match line.keyword().parse::<Ipv4Addr>() {
                Ok(address) => {
                    let from = Origin { what: "unicast_peer".to_owned(), ..origin(line) };
                    if !self.peers.iter().any(|(known, _)| *known == address) {
                        self.peers.push((address, from));
                    }
                }
                Err(_not_ipv4) => {
                    let why = format!("`{}` is no IPv4 address; left out", shown(line.keyword()));
                    report.error(line.place, "unicast_peer", why);
                }
            }
        }
    }

    /// The instance as an entry of `instances`.
    pub(super) fn item(&mut self, globals: &Globals, report: &mut Report) -> Item {
        let from = self.from.clone();
        let bare = Origin { comment: None, ..from.clone() };
        let mut entries = vec![Entry::new("name", Value::text(&self.name), &from)];
        if let Some(Setting { text, origin }) = &self.interface {
            entries.push(Entry::new("interface", Value::text(text), origin));
        }
        for (key, setting) in [("virtual_router_id", &self.virtual_router_id), ("priority", &self.priority)] {
            if let Some(Setting { text, origin }) = setting {
                entries.push(Entry::new(key, Value::number(text), origin));
            }
        }
        let version = self.version.as_ref().or(globals.version.as_ref());
        let is_v3 = version.is_some_and(|version| version.text == "3");
        if let Some(Setting { text, origin }) = version {
            entries.push(Entry::new("version", Value::number(text), origin));
        }
        entries.extend(self.interval(is_v3, report));
        entries.extend(self.preemption(report));
        if let Some(Setting { text, origin }) = &globals.startup_delay {
            let origin = Origin { comment: None, ..origin.clone() };
            entries.push(Entry::new("startup_delay", Value::text(&seconds(text)), &origin));
        }
        let is_strict = self.strict.unwrap_or(globals.strict);
        entries.extend(self.auth(is_v3, is_strict, report));
        if self.addresses.len() > MAX_ADDRESSES {
            let why = format!("{} addresses, but an advert carries {MAX_ADDRESSES}", self.addresses.len());
            report.error(from.place, "virtual_ipaddress", why);
        }
        let addresses = self.addresses.iter().map(|address| address.item.clone()).collect();
        entries.push(Entry::new("virtual_addresses", Value::List(addresses), &bare));
        if !self.peers.is_empty() {
            let peer = |(address, origin): &(Ipv4Addr, Origin)| Item {
                value: Value::text(&address.to_string()),
                origin: origin.clone(),
            };
            let from = self.peers.first().map_or(&bare, |(_, origin)| origin);
            let from = Origin { comment: None, ..from.clone() };
            entries.push(Entry::new("peers", Value::List(self.peers.iter().map(peer).collect()), &from));
        }
        entries.extend(self.garp(globals));
        self.down_timer(globals, report);
        entries.extend(self.checks(report));
        entries.extend(self.interfaces());
        entries.extend(self.notify.entry(&globals.mail, globals.script_user.as_ref(), &from));
        Item { value: Value::Map(entries), origin: bare }
    }

    /// keepalived rounds to whole seconds in version 2 and to hundredths in version 3.
    fn interval(&self, is_v3: bool, report: &mut Report) -> Option<Entry> {
        let Setting { text, origin } = self.advert_int.as_ref()?;
        let Some(written) = micros(text) else {
            return Some(Entry::new("advert_interval", Value::text(text), origin));
        };
        let unit = if is_v3 { 10_000 } else { 1_000_000 };
        let rounded = (written.saturating_add(unit / 2) / unit).max(1) * unit;
        if rounded != written {
            let (version, counts) = if is_v3 { (3, "hundredths of a second") } else { (2, "whole seconds") };
            let why = format!(
                "version {version} counts {counts}: keepalived rounds {text} to {}, and so does this",
                duration(rounded)
            );
            report.warn(origin.place, "advert_int", why);
        }
        Some(Entry::new("advert_interval", Value::text(&duration(rounded)), origin))
    }

    fn preemption(&self, report: &mut Report) -> Option<Entry> {
        let is_master = self.state.as_ref().is_some_and(|state| state.text == "MASTER");
        if let Some(Setting { text, origin }) = &self.state {
            match (text.as_str(), &self.nopreempt) {
                ("BACKUP", _) => {}
                ("MASTER", Some(_)) => report.warn(origin.place, "state", MASTER_NOPREEMPT),
                ("MASTER", None) => {
                    let why = "every router starts as BACKUP, and the election decides within one down interval: the higher \
                               priority wins";
                    report.ignore(origin.place, "state", why);
                }
                _ => {
                    let why = format!(
                        "`{}` is neither MASTER nor BACKUP; every router starts as BACKUP",
                        shown(text)
                    );
                    report.warn(origin.place, "state", why);
                }
            }
        }
        if let Some(Setting { text, origin }) = &self.preempt_delay
            && micros(text) != Some(0)
        {
            if self.nopreempt.is_some() {
                report.ignore(origin.place, "preempt_delay", "means nothing with nopreempt");
            } else if is_master {
                report.warn(
                    origin.place,
                    "preempt_delay",
                    "keepalived ignores it with `state MASTER`, and so does this",
                );
            } else {
                let why = "is not there: a stronger router takes over after its down interval. `startup_delay` delays the \
                           first claim after a start";
                report.error(origin.place, "preempt_delay", why);
            }
        }
        match (&self.nopreempt, &self.preempt) {
            (Some(origin), _) => Some(Entry::new("preempt", Value::word(false), origin)),
            (None, Some(origin)) => Some(Entry::new("preempt", Value::word(true), origin)),
            (None, None) => None,
        }
    }

    fn auth(&self, is_v3: bool, is_strict: bool, report: &mut Report) -> Option<Entry> {
        let Some(Setting { text: kind, origin: kind_from }) = &self.auth_type else {
            if let Some(password) = &self.auth_pass {
                let why = "without an `auth_type` keepalived sends no password, and so does this";
                report.warn(password.origin.place, "auth_pass", why);
            }
            return None;
        };
        let place = kind_from.place;
        match kind.as_str() {
            "PASS" | "SIMPLE" => {}
            "AH" => {
                let why = "AH is not there: the RFC took it back, and keepalived advises against it. No authentication is \
                           written; a peer that uses AH hears nothing of this router";
                report.error(place, "auth_type", why);
                return None;
            }
            _ => {
                let why =
                    format!("`{}` is no authentication that keepalived knows: none is written", shown(kind));
                report.warn(place, "auth_type", why);
                return None;
            }
        }
        if is_v3 {
            report.warn(
                place,
                "authentication",
                "version 3 has none: keepalived ignores it, and so does this",
            );
            return None;
        }
        if is_strict {
            report.warn(place, "authentication", "in strict mode keepalived ignores it, and so does this");
            return None;
        }
        let Some(Setting { text, origin }) = &self.auth_pass else {
            report.warn(place, "auth_type", "no `auth_pass` stands with it: no authentication is written");
            return None;
        };
        let mut password = text.as_str();
        if text.len() > LONGEST_PASSWORD {
            let mut end = LONGEST_PASSWORD;
            while !text.is_char_boundary(end) {
                end -= 1;
            }
            if end == LONGEST_PASSWORD {
                let why = format!(
                    "has {} bytes, and the protocol carries {LONGEST_PASSWORD}: keepalived cuts it off there, and so does this",
                    text.len()
                );
                report.warn(origin.place, "auth_pass", why);
            } else {
                let why = "has more than 8 bytes, and keepalived cuts it in the middle of a character, which cannot be written \
                           here; use an ASCII password on all hosts";
                report.error(origin.place, "auth_pass", why);
            }
            password = &text[..end];
        }
        let bare = Origin { comment: None, ..kind_from.clone() };
        let comment = origin.comment.clone().or_else(|| kind_from.comment.clone());
        let entries = vec![
            Entry::new("type", Value::word("pass"), &bare),
            Entry::new("password", Value::quoted(password), &Origin { comment: None, ..origin.clone() }),
        ];
        Some(Entry::new("auth", Value::Map(entries), &Origin { comment, ..bare }))
    }

    fn garp(&self, globals: &Globals) -> Option<Entry> {
        let minimal = |text: &str| {
            let origin = globals.min_garp.clone()?;
            Some(Setting { text: text.to_owned(), origin })
        };
        let repeat =
            self.garp_repeat.clone().or_else(|| globals.garp_repeat.clone()).or_else(|| minimal("1"));
        let delay = self.garp_delay.clone().or_else(|| globals.garp_delay.clone()).or_else(|| minimal("0"));
        let refresh = self.garp_refresh.clone().or_else(|| globals.garp_refresh.clone());
        let mut entries = Vec::new();
        if let Some(Setting { text, origin }) = &repeat {
            entries.push(Entry::new("burst", Value::number(text), origin));
        }
        for (key, setting) in [("repeat_after", &delay), ("refresh", &refresh)] {
            if let Some(Setting { text, origin }) = setting {
                entries.push(Entry::new(key, Value::text(&seconds(text)), origin));
            }
        }
        let from = Origin { comment: None, ..entries.first()?.origin.clone() };
        Some(Entry::new("garp", Value::Map(entries), &from))
    }

    fn down_timer(&self, globals: &Globals, report: &mut Report) {
        if let Some(Setting { text, origin }) =
            self.down_timer_adverts.as_ref().or(globals.down_timer_adverts.as_ref())
            && text != "3"
        {
            let why =
                "is not there: three adverts are missed before a BACKUP takes over (RFC 9568, section 6.1)";
            report.error(origin.place, "down_timer_adverts", why);
        }
    }

    fn checks(&mut self, report: &mut Report) -> Option<Entry> {
        let first = self.checks.first()?.from.clone();
        if self.nopreempt.is_some() {
            for check in &self.checks {
                if let (super::check::Reaction::Weight(weight), origin) = &check.reaction {
                    let why = format!(
                        "weight {weight} never moves the address together with nopreempt: the other router waits for as long \
                         as this one lives, whatever its priority, in keepalived too. Use `on_failure: release`, or \
                         `preempt: true` on both"
                    );
                    report.warn(origin.place, "weight", why);
                }
            }
        }
        let mut names: Vec<String> = Vec::new();
        for check in &mut self.checks {
            let base = check.name.clone();
            for number in 2.. {
                if !names.contains(&check.name) {
                    break;
                }
                check.name = format!("{}-{number}", base.chars().take(58).collect::<String>());
            }
            names.push(check.name.clone());
        }
        let items = self.checks.iter().map(Check::item).collect();
        Some(Entry::new("checks", Value::List(items), &Origin { comment: None, ..first }))
    }

    fn interfaces(&self) -> Option<Entry> {
        let (_, _, first) = self.interfaces.first()?;
        let item = |(name, weight, origin): &(String, Option<String>, Origin)| {
            let bare = Origin { comment: None, ..origin.clone() };
            let mut entries = vec![Entry::new("interface", Value::text(name), origin)];
            if let Some(weight) = weight {
                entries.push(Entry::new("weight", Value::number(weight), &bare));
            }
            Item { value: Value::Map(entries), origin: bare }
        };
        let items = self.interfaces.iter().map(item).collect();
        Some(Entry::new("track_interfaces", Value::List(items), &Origin { comment: None, ..first.clone() }))
    }

    /// Where it begins.
    pub(super) fn place(&self) -> Place {
        self.from.place
    }

    /// The device that an address goes on.
    pub(super) fn device<'a>(&'a self, address: &'a Address) -> &'a str {
        let own = self.interface.as_ref().map_or("", |setting| setting.text.as_str());
        address.device.as_deref().unwrap_or(own)
    }
}

const MASTER_NOPREEMPT: &str = "with `state MASTER` keepalived switches `nopreempt` off, and takes the address back when it returns. The file asks for \
     nopreempt, so `preempt: false` is written; write `preempt: true` if you relied on the return";
