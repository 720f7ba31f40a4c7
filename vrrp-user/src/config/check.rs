//! The checks of an instance: their keys, and what these demand of each other.

use std::net::{IpAddr, Ipv4Addr};
use std::num::{NonZeroU8, NonZeroU16};
use std::path::PathBuf;
use std::time::Duration;

use super::duration;
use super::fields::{Fields, Section, Value, boolean, duration_within, integer, kind, scalar, text};
use super::instance::identifier;
use super::problem::Problems;
use super::tree::{Node, shown};
use crate::health::settings::{Check, CommandLine, Kind, Reaction, Reactions, Script, Tcp};

pub(super) mod mysql;
pub(super) mod weights;

pub(super) const CHECK: Section = Section {
    name: "an entry of `checks`",
    keys: &[
        "name",
        "tcp",
        "script",
        "mysql",
        "interval",
        "rise",
        "fall",
        "hold_down",
        "on_failure",
        "notify_down",
        "notify_up",
    ],
};
pub(super) const TCP: Section =
    Section { name: "`tcp`", keys: &["address", "port", "connect_timeout", "retries", "retry_delay"] };
pub(super) const SCRIPT: Section =
    Section { name: "`script`", keys: &["command", "timeout", "user", "init_fail"] };
pub(super) const ON_FAILURE: Section =
    Section { name: "`on_failure`", keys: &["weight", "dead", "hung", "leaving", "degraded"] };
const WEIGHT: Section = Section { name: "a reaction", keys: &["weight"] };

const KINDS: [&str; 3] = ["tcp", "script", "mysql"];
/// keepalived's delay_loop and vrrp_script interval are seconds; so is the advert interval.
const DEFAULT_INTERVAL: Duration = Duration::from_secs(2);
const LEAST_INTERVAL: Duration = Duration::from_millis(10);
const HOUR: Duration = Duration::from_secs(3600);
/// More than this changes nothing: priorities are 1 to 254.
const HEAVIEST: i64 = 253;
const MAX_ARGUMENTS: usize = 64;
pub(super) const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
pub(super) const MYSQL_PORT: NonZeroU16 = NonZeroU16::new(3306).expect("3306 is not 0");

/// All of them; None, and messages, if one will not do.
pub(super) fn checks(value: &Value<'_>, problems: &mut Problems) -> Option<Vec<Check>> {
    let example = "`- tcp: { port: 3306 }`";
    let mut checks: Option<Vec<Check>> = Some(Vec::new());
    let mut names: Vec<(String, super::tree::Path)> = Vec::new();
    for item in value.list(example, problems)? {
        let Some((name, check)) = check(&item, problems) else {
            checks = None;
            continue;
        };
        if let Some((_, owner)) = names.iter().find(|(taken, _)| *taken == name) {
            let message =
                format!("`{name}` is already the name of {owner}; give each check a `name` of its own");
            problems.value(&item.path, message);
        }
        names.push((name, item.path));
        checks = checks.zip(check).map(|(mut all, check)| {
            all.push(check);
            all
        });
    }
    checks
}

/// The name, for comparing, and the check if it will do.
fn check(value: &Value<'_>, problems: &mut Problems) -> Option<(String, Option<Check>)> {
    let fields = Fields::open(value, &CHECK, problems)?;
    let mut kinds = KINDS.into_iter().filter_map(|kind| fields.find(kind).map(|value| (kind, value)));
    let Some((kind, settings)) = kinds.next() else {
        problems.value(
            fields.path(),
            "does not say what is checked; add `tcp: {...}`, `script: {...}` or `mysql: {...}`",
        );
        return None;
    };
    if let Some((other, value)) = kinds.next() {
        problems.key(
            &value.path,
            format!("`{kind}` and `{other}` are two checks; write two entries of the list"),
        );
    }
    let name = fields.optional("name", kind.to_owned(), problems, scalar(identifier))?;
    let interval = fields.optional(
        "interval",
        DEFAULT_INTERVAL,
        problems,
        scalar(duration_within(LEAST_INTERVAL, HOUR)),
    );
    let is_mysql = kind == "mysql";
    if is_mysql && let Some(value) = fields.find("interval") {
        problems.key(
            &value.path,
            "each probe of a mysql check has its own; write it there, as in `mysql: { fast: { interval: 50ms } }`",
        );
    }
    let rise = fields.optional("rise", default_count(is_mysql), problems, scalar(times));
    let fall = fields.optional("fall", default_count(is_mysql), problems, scalar(times));
    let hold_down = fields.optional(
        "hold_down",
        default_hold_down(is_mysql),
        problems,
        scalar(duration_within(Duration::ZERO, HOUR)),
    );
    let on_failure =
        fields.optional("on_failure", Reactions::all(Reaction::Release), problems, |value, problems| {
            reactions(value, is_mysql, problems)
        });
    let notify_down = fields.optional("notify_down", None, problems, scalar(some_command));
    let notify_up = fields.optional("notify_up", None, problems, scalar(some_command));
    let kind = match kind {
        "tcp" => interval.and_then(|interval| tcp(&settings, interval, problems)).map(Kind::Tcp),
        "script" => interval.and_then(|interval| script(&settings, interval, problems)).map(Kind::Script),
        _ => mysql::mysql(&settings, problems).map(|mysql| Kind::Mysql(Box::new(mysql))),
    };
    let checked = || {
        Some(Check {
            name: name.clone(),
            kind: kind?,
            rise: rise?,
            fall: fall?,
            hold_down: hold_down?,
            on_failure: on_failure?,
            notify_down: notify_down?,
            notify_up: notify_up?,
        })
    };
    let checked = checked();
    Some((name, checked))
}

/// One slow login is no hang, and a server that comes back warms up first; of a plain check one result counts.
const fn default_count(is_mysql: bool) -> NonZeroU8 {
    if is_mysql { NonZeroU8::new(3).expect("3 is not 0") } else { NonZeroU8::MIN }
}

const fn default_hold_down(is_mysql: bool) -> Duration {
    if is_mysql { Duration::from_secs(5) } else { Duration::ZERO }
}

pub(super) fn times(node: &Node) -> Result<NonZeroU8, String> {
    let value = integer("a number of results", 1, 255)(node)?;
    u8::try_from(value).ok().and_then(NonZeroU8::new).ok_or_else(|| "use 1 to 255".to_owned())
}

fn tcp(value: &Value<'_>, interval: Duration, problems: &mut Problems) -> Option<Tcp> {
    let fields = Fields::open(value, &TCP, problems)?;
    let address = fields.optional("address", LOOPBACK, problems, scalar(address));
    let port = fields.required("port", "3306", problems, scalar(port));
    let second = Duration::from_secs(1);
    let timeout = duration_within(Duration::from_millis(1), second * 60);
    let connect_timeout = fields.optional("connect_timeout", second * 5, problems, scalar(timeout));
    let retries = |node: &Node| {
        let retries = integer("a number of retries", 0, 100)(node)?;
        u8::try_from(retries).map_err(|_range| "use 0 to 100".to_owned())
    };
    let retries = fields.optional("retries", 0, problems, scalar(retries));
    let delay = duration_within(Duration::ZERO, second * 60);
    let retry_delay = fields.optional("retry_delay", second, problems, scalar(delay));
    if let (Some(0), Some(value)) = (retries, fields.find("retry_delay")) {
        problems.warn(&value.path, "has no effect without `retries`; add `retries: 3`, or leave it out");
    }
    Some(Tcp {
        address: address?,
        port: port?,
        interval,
        connect_timeout: connect_timeout?,
        retries: retries?,
        retry_delay: retry_delay?,
    })
}

fn script(value: &Value<'_>, interval: Duration, problems: &mut Problems) -> Option<Script> {
    let fields = Fields::open(value, &SCRIPT, problems)?;
    let command = fields.required("command", "\"/usr/local/bin/check\"", problems, scalar(command));
    let within = duration_within(Duration::from_millis(1), HOUR);
    let timeout = fields.optional("timeout", interval, problems, scalar(within));
    let user = fields
        .optional("user", None, problems, |value, problems| scalar(user_name)(value, problems).map(Some));
    let init_fail = fields.optional("init_fail", false, problems, scalar(boolean));
    Some(Script { command: command?, interval, timeout: timeout?, user: user?, init_fail: init_fail? })
}

pub(super) fn user_name(node: &Node) -> Result<String, String> {
    let name = text(node)?;
    let sane = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    if name.is_empty() || name.len() > 32 || !name.chars().all(sane) {
        return Err(format!(
            "`{}` is not the name of a user; write one as in /etc/passwd, as in nobody",
            shown(name)
        ));
    }
    Ok(name.to_owned())
}

/// A numeric address: asking a name service takes as long as it likes. An IPv4 address in IPv6's clothes (::ffff:a.b.c.d) is
/// that address, and is compared as it.
pub(super) fn address(node: &Node) -> Result<IpAddr, String> {
    let written = text(node)?;
    let address = written.parse::<IpAddr>().map_err(|_error| {
        format!("`{}` is not an IP address; use one such as 127.0.0.1, not a name", shown(written))
    })?;
    let address = address.to_canonical();
    if address.is_unspecified() || address.is_multicast() {
        return Err(format!("{address} is not the address of a server; use one such as 127.0.0.1"));
    }
    Ok(address)
}

pub(super) fn port(node: &Node) -> Result<NonZeroU16, String> {
    let value = integer("a port", 1, 65_535)(node)?;
    u16::try_from(value).ok().and_then(NonZeroU16::new).ok_or_else(|| "use 1 to 65535".to_owned())
}

fn reactions(value: &Value<'_>, is_mysql: bool, problems: &mut Problems) -> Option<Reactions> {
    let Node::Map(entries) = value.node else {
        return scalar(word_reaction)(value, problems).map(Reactions::all);
    };
    if let Some(index) = entries.iter().position(|(key, _)| key == "misconfigured") {
        let message = "a wrong password or a missing grant says nothing about the server, so it never moves an address; \
                       leave it out. It is reported";
        problems.key(&value.path.entry(index, "misconfigured"), message);
        return None;
    }
    let fields = Fields::open(value, &ON_FAILURE, problems)?;
    if let Some(weight) = fields.find("weight") {
        let verdicts = ["dead", "hung", "leaving", "degraded"];
        if let Some(other) = verdicts.into_iter().find_map(|key| fields.find(key)) {
            problems.key(&other.path, "use either one `weight` for all, or one reaction for each verdict");
        }
        return scalar(self::weight)(&weight, problems)
            .map(|weight| Reactions::all(Reaction::Weight(weight)));
    }
    if !is_mysql {
        let message = "only a mysql check tells dead from hung, leaving or degraded; use `release`, `report` or \
                       `{ weight: -20 }`";
        problems.value(&value.path, message);
        return None;
    }
    let defaults = Reactions::all(Reaction::Release);
    let dead = fields.optional("dead", defaults.dead, problems, reaction);
    let hung = fields.optional("hung", defaults.hung, problems, reaction);
    let leaving = fields.optional("leaving", defaults.leaving, problems, reaction);
    let degraded = fields.optional("degraded", defaults.degraded, problems, reaction);
    Some(Reactions { dead: dead?, hung: hung?, leaving: leaving?, degraded: degraded? })
}

/// One verdict's.
fn reaction(value: &Value<'_>, problems: &mut Problems) -> Option<Reaction> {
    if !matches!(value.node, Node::Map(_)) {
        return scalar(word_reaction)(value, problems);
    }
    let fields = Fields::open(value, &WEIGHT, problems)?;
    let weight = |node: &Node| {
        let weight = weight(node)?;
        if weight > 0 {
            return Err(format!("a weight for one verdict is a loss: use {} to -1", -HEAVIEST));
        }
        Ok(weight)
    };
    fields.required("weight", "-20", problems, scalar(weight)).map(Reaction::Weight)
}

fn word_reaction(node: &Node) -> Result<Reaction, String> {
    match node {
        Node::Text(text) if text == "release" => Ok(Reaction::Release),
        Node::Text(text) if text == "report" => Ok(Reaction::Report),
        Node::Text(text) => {
            Err(format!("`{}` is not known here; use release, report or {{ weight: -20 }}", shown(text)))
        }
        Node::Integer(weight) => Err(format!("write {{ weight: {weight} }}")),
        Node::Empty | Node::Bool(_) | Node::Fraction(_) | Node::List(_) | Node::Map(_) => {
            Err(format!("is {}; use release, report or {{ weight: -20 }}", kind(node)))
        }
    }
}

fn weight(node: &Node) -> Result<i16, String> {
    if *node == Node::Integer(0) {
        return Err("0 changes nothing; use a negative weight to lose priority, `report` to only say it, or `release` to \
                    give the addresses up (which is what keepalived does for weight 0)"
            .into());
    }
    let value = integer("a weight", -HEAVIEST, HEAVIEST)(node)?;
    i16::try_from(value).map_err(|_range| format!("use -{HEAVIEST} to {HEAVIEST}"))
}

fn some_command(node: &Node) -> Result<Option<CommandLine>, String> {
    command(node).map(Some)
}

/// Words as a shell would split them, and nothing else of a shell.
pub(super) fn command(node: &Node) -> Result<CommandLine, String> {
    let written = text(node)?;
    let mut words = split(written)?;
    if words.is_empty() {
        return Err("is empty; write a program with its path, as in \"/usr/local/bin/check arg\"".into());
    }
    if words.len() > MAX_ARGUMENTS {
        return Err(format!("has {} words; use at most {MAX_ARGUMENTS}", words.len()));
    }
    let program = PathBuf::from(words.remove(0));
    if !program.is_absolute() {
        return Err(format!(
            "`{}` has no path; write the whole of it, as in /usr/bin/{0}",
            shown(&program.to_string_lossy())
        ));
    }
    Ok(CommandLine { program, arguments: words })
}

fn split(text: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (c, quote) {
            ('\\', None | Some('"')) => {
                let next = chars.next().ok_or("ends with a backslash; write it twice, or leave it out")?;
                word.get_or_insert_default().push(next);
            }
            ('"' | '\'', None) => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (c, Some(open)) if c == open => quote = None,
            (c, None) if c.is_whitespace() => words.extend(word.take()),
            ('|' | '&' | ';' | '<' | '>' | '$' | '`', None) => {
                return Err(format!(
                    "no shell reads this, so `{c}` would mean nothing; put it into a script of its own"
                ));
            }
            (c, _) => word.get_or_insert_default().push(c),
        }
    }
    if quote.is_some() {
        return Err("has a quote that is not closed; add the other one".into());
    }
    words.extend(word);
    Ok(words)
}

/// For a message.
pub(super) fn time(duration: Duration) -> String {
    duration::format(duration)
}
