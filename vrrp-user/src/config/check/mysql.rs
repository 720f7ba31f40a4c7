//! The mysql check: where the server is, who asks it, and the four probes.

use std::path::PathBuf;
use std::time::Duration;

use super::{LOOPBACK, MYSQL_PORT, address, port, time, times};
use crate::config::fields::{Fields, Section, Value, boolean, duration_within, kind, scalar, text};
use crate::config::problem::Problems;
use crate::config::tree::{Node, shown};
use crate::health::secret::{HIDDEN, Secret, Source};
use crate::health::settings::{Account, Fast, Login, MinFree, Mysql, State, Write};
use crate::health::tls::{Tls, is_server_name};

pub(in crate::config) const MYSQL: Section = Section {
    name: "`mysql`",
    keys: &[
        "address",
        "port",
        "socket",
        "user",
        "password",
        "password_file",
        "password_env",
        "tls",
        "fast",
        "login",
        "state",
        "write",
        "process",
    ],
};
pub(in crate::config) const TLS: Section = Section { name: "`tls`", keys: &["ca", "server_name", "verify"] };
pub(in crate::config) const FAST: Section =
    Section { name: "`fast`", keys: &["interval", "deadline", "fall"] };
pub(in crate::config) const LOGIN: Section = Section {
    name: "`login`",
    keys: &["user", "password", "password_file", "password_env", "interval", "deadline"],
};
pub(in crate::config) const STATE: Section =
    Section { name: "`state`", keys: &["interval", "deadline", "max_lag"] };
pub(in crate::config) const WRITE: Section =
    Section { name: "`write`", keys: &["interval", "deadline", "table", "min_free"] };

const SECOND: Duration = Duration::from_secs(1);
const MILLISECOND: Duration = Duration::from_millis(1);
const DEFAULT_SOCKET: &str = "/run/mysqld/mysqld.sock";
/// A frozen server is found within 50 + 3 * 200 ms.
pub(in crate::config) const DEFAULT_FAST: Fast = Fast {
    interval: Duration::from_millis(50),
    deadline: Duration::from_millis(200),
    fall: std::num::NonZeroU8::new(3).expect("3 is not 0"),
};
pub(in crate::config) const DEFAULT_STATE: State =
    State { interval: SECOND, deadline: SECOND, max_lag: None };
const DEFAULT_MIN_FREE: MinFree = MinFree::Percent(2);

pub(super) fn mysql(value: &Value<'_>, problems: &mut Problems) -> Option<Mysql> {
    let fields = Fields::open(value, &MYSQL, problems)?;
    let address = fields.optional("address", LOOPBACK, problems, scalar(address));
    let port = fields.optional("port", MYSQL_PORT, problems, scalar(port));
    let socket = fields.optional("socket", None, problems, |value, problems| {
        scalar(path(DEFAULT_SOCKET))(value, problems).map(Some)
    });
    let account = account(&fields, problems);
    let tls = fields.optional("tls", None, problems, tls);
    let fast = fields.optional("fast", DEFAULT_FAST, problems, fast);
    let login = fields.optional("login", None, problems, |value, problems| login(value, problems).map(Some));
    let state = fields.optional("state", Some(DEFAULT_STATE), problems, state);
    let write = fields.optional("write", None, problems, |value, problems| write(value, problems).map(Some));
    let process = fields.optional("process", true, problems, scalar(boolean));
    if let (Some(None), Some(place)) = (&login, fields.find("user")) {
        let message = "no `login` probe: a server that turns clients away with \"Too many connections\" goes unseen, since one \
             more connection is kept for users with privileges; add `login: { user: ..., password_file: ... }` with an \
             ordinary account";
        problems.warn(&place.path, message);
    }
    Some(Mysql {
        address: address?,
        port: port?,
        socket: socket?,
        account: account?,
        tls: tls?,
        fast: fast?,
        login: login?,
        state: state?,
        write: write?,
        process: process?,
    })
}

/// `user`, and at most one of the three ways to a password.
pub(in crate::config) fn account(fields: &Fields<'_>, problems: &mut Problems) -> Option<Account> {
    let user = fields.required("user", "vrrp", problems, scalar(user));
    let given = ["password", "password_file", "password_env"]
        .into_iter()
        .filter_map(|key| fields.find(key).map(|value| (key, value)))
        .collect::<Vec<_>>();
    if let [(first, _), (second, value), ..] = given.as_slice() {
        problems.key(&value.path, format!("`{first}` and `{second}` are two passwords; keep one of them"));
        return None;
    }
    let password = match given.first() {
        None => Some(Source::Empty),
        Some(("password", value)) => scalar(inline)(value, problems).map(Source::Inline),
        Some(("password_file", value)) => {
            scalar(path("/etc/vrrp/mysql.password"))(value, problems).map(Source::File)
        }
        Some((_, value)) => scalar(variable)(value, problems).map(Source::Environment),
    };
    Some(Account { user: user?, password: password? })
}

fn user(node: &Node) -> Result<String, String> {
    let name = text(node)?;
    if name.is_empty() || name.chars().count() > 128 || name.chars().any(char::is_control) {
        return Err("is not the name of an account; use 1 to 128 characters, as in vrrp".into());
    }
    if name.contains('@') {
        return Err(format!("`{}` has a host in it; write the user alone, as in vrrp", shown(name)));
    }
    Ok(name.to_owned())
}

/// No message shows what was written: it may be a password in the wrong form.
fn inline(node: &Node) -> Result<Secret, String> {
    let Node::Text(password) = node else {
        return Err(format!("is {} to YAML, but text is wanted; put it in quotes", kind(node)));
    };
    if password.is_empty() {
        return Err("is empty; leave it out for an account without a password".into());
    }
    if password == HIDDEN {
        return Err(format!(
            "`{HIDDEN}` is what `vrrp check` prints in its place; write the password itself"
        ));
    }
    if password.chars().any(|c| c == '\n' || c == '\r' || c == '\0') {
        return Err("has a line break in it; use printable characters".into());
    }
    Ok(Secret::new(password))
}

fn variable(node: &Node) -> Result<String, String> {
    // Somebody may have written the password itself.
    let name = text(node)?;
    let sane = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if name.is_empty()
        || name.len() > 64
        || !name.chars().all(sane)
        || name.starts_with(|c: char| c.is_ascii_digit())
    {
        return Err("is not the name of an environment variable; use one such as VRRP_MYSQL_PASSWORD".into());
    }
    Ok(name.to_owned())
}

pub(in crate::config) fn path(example: &'static str) -> impl FnOnce(&Node) -> Result<PathBuf, String> {
    move |node| {
        let path = PathBuf::from(text(node)?);
        if !path.is_absolute() {
            return Err(format!("is not an absolute path; write one such as {example}"));
        }
        Ok(path)
    }
}

/// None inside: off.
pub(in crate::config) fn tls(value: &Value<'_>, problems: &mut Problems) -> Option<Option<Tls>> {
    if let Node::Bool(on) = value.node {
        return Some(on.then_some(Tls::public()));
    }
    let fields = Fields::open(value, &TLS, problems)?;
    let ca = fields.optional("ca", None, problems, |value, problems| {
        scalar(path("/etc/mysql/ca.pem"))(value, problems).map(Some)
    });
    let server_name = fields.optional("server_name", None, problems, |value, problems| {
        scalar(server_name)(value, problems).map(Some)
    });
    let verify = fields.optional("verify", true, problems, scalar(boolean));
    if verify == Some(false)
        && let Some(value) = fields.find("ca").or_else(|| fields.find("server_name"))
    {
        problems.warn(&value.path, "has no effect with `verify: false`; leave one of them out");
    }
    Some(Some(Tls { ca: ca?, server_name: server_name?, verify: verify? }))
}

fn server_name(node: &Node) -> Result<String, String> {
    let name = text(node)?;
    if !is_server_name(name) {
        return Err(format!(
            "`{}` is no name that a certificate bears; write one without a port, as in db1.example",
            shown(name)
        ));
    }
    Ok(name.to_owned())
}

fn fast(value: &Value<'_>, problems: &mut Problems) -> Option<Fast> {
    let fields = Fields::open(value, &FAST, problems)?;
    let interval = duration_within(MILLISECOND * 5, SECOND * 60);
    let interval = fields.optional("interval", DEFAULT_FAST.interval, problems, scalar(interval));
    let deadline = duration_within(MILLISECOND * 5, SECOND * 60);
    let deadline = fields.optional("deadline", DEFAULT_FAST.deadline, problems, scalar(deadline));
    let fall = fields.optional("fall", DEFAULT_FAST.fall, problems, scalar(times));
    Some(Fast { interval: interval?, deadline: deadline?, fall: fall? })
}

/// Interval and deadline of a slower probe.
fn times_of(fields: &Fields<'_>, problems: &mut Problems) -> (Option<Duration>, Option<Duration>) {
    let interval = duration_within(MILLISECOND * 100, SECOND * 3600);
    let interval = fields.optional("interval", SECOND, problems, scalar(interval));
    let deadline = duration_within(MILLISECOND * 10, SECOND * 60);
    let deadline = fields.optional("deadline", SECOND, problems, scalar(deadline));
    (interval, deadline)
}

fn login(value: &Value<'_>, problems: &mut Problems) -> Option<Login> {
    let fields = Fields::open(value, &LOGIN, problems)?;
    let account = account(&fields, problems);
    let (interval, deadline) = times_of(&fields, problems);
    Some(Login { account: account?, interval: interval?, deadline: deadline? })
}

fn state(value: &Value<'_>, problems: &mut Problems) -> Option<Option<State>> {
    if let Node::Bool(on) = value.node {
        return Some(on.then_some(DEFAULT_STATE));
    }
    let fields = Fields::open(value, &STATE, problems)?;
    let (interval, deadline) = times_of(&fields, problems);
    let lag = duration_within(SECOND, SECOND * 86_400);
    let max_lag =
        fields.optional("max_lag", None, problems, |value, problems| scalar(lag)(value, problems).map(Some));
    Some(Some(State { interval: interval?, deadline: deadline?, max_lag: max_lag? }))
}

fn write(value: &Value<'_>, problems: &mut Problems) -> Option<Write> {
    let fields = Fields::open(value, &WRITE, problems)?;
    let (interval, deadline) = times_of(&fields, problems);
    let table = fields.required("table", "vrrp.heartbeat", problems, scalar(table));
    let min_free = fields.optional("min_free", DEFAULT_MIN_FREE, problems, scalar(min_free));
    let (interval, deadline) = (interval?, deadline?);
    if deadline < DEFAULT_FAST.deadline {
        let message = format!(
            "{} is less than a commit may take on a busy disk; use at least {}",
            time(deadline),
            time(DEFAULT_FAST.deadline)
        );
        problems.warn(
            &fields.find("deadline").map_or_else(|| fields.path().clone(), |value| value.path),
            message,
        );
    }
    Some(Write { interval, deadline, table: table?, min_free: min_free? })
}

/// Plain words only: the name goes into statements.
pub(in crate::config) fn table(node: &Node) -> Result<(String, String), String> {
    let name = text(node)?;
    let plain = |part: &str| {
        (1..=64).contains(&part.len()) && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    match name.split_once('.') {
        Some((schema, table)) if plain(schema) && plain(table) => Ok((schema.to_owned(), table.to_owned())),
        Some(_) | None => Err(format!(
            "`{}` is not a table; write schema and table of letters, digits and _, as in vrrp.heartbeat",
            shown(name)
        )),
    }
}

fn min_free(node: &Node) -> Result<MinFree, String> {
    const UNITS: [(&str, u64); 3] = [("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40)];
    let wrong = || "is not a size; use a share or a size, as in 2%, 500MiB or 10GiB".to_owned();
    let written = text(node)?;
    if let Some(percent) = written.strip_suffix('%') {
        let percent = percent.parse::<u8>().map_err(|_error| wrong())?;
        return if percent < 100 { Ok(MinFree::Percent(percent)) } else { Err("use 0% to 99%".into()) };
    }
    let (number, unit) =
        UNITS.iter().find_map(|(name, unit)| Some((written.strip_suffix(name)?, *unit))).ok_or_else(wrong)?;
    let bytes = number.parse::<u64>().ok().and_then(|number| number.checked_mul(unit));
    bytes.map(MinFree::Bytes).ok_or_else(wrong)
}

/// The shortest way to write it, which [`min_free`] reads back as the same.
pub(in crate::config) fn shown_min_free(min_free: MinFree) -> String {
    match min_free {
        MinFree::Percent(percent) => format!("{percent}%"),
        MinFree::Bytes(bytes) => format!("{}MiB", bytes >> 20),
    }
}
