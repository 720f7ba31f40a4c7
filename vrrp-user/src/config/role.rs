//! `role` and `mysql` of an instance: whether the daemon changes the server's role, by which accounts and policies.
//!
//! Owns the keys and what they demand of each other. Refuses to know how a role is changed (`role`).

use std::num::NonZeroU16;
use std::time::Duration;

use super::check::mysql::{account, path, table, tls};
use super::check::{LOOPBACK, MYSQL_PORT, address, port, time};
use super::fields::{Fields, Section, Value, duration_within, scalar, word};
use super::problem::Problems;
use super::tree::Node;
use crate::database::Place;
use crate::health::settings::{Account, Check, Kind, Reaction};
use crate::health::tls::Tls;
use crate::role::{Behind, Divergence, SemiSyncPolicy, Settings, Split, Stuck};

pub(super) const MYSQL: Section = Section {
    name: "the instance's `mysql`",
    keys: &[
        "socket",
        "address",
        "port",
        "user",
        "password",
        "password_file",
        "password_env",
        "tls",
        "service_ports",
        "peer",
        "split",
        "behind",
        "diverged",
        "semi_sync",
        "stuck",
        "peer_limit",
        "split_wait",
        "statement_limit",
        "catch_up",
        "stall",
        "write_limit",
        "heartbeat_table",
        "handover_timeout",
    ],
};
pub(super) const PEER: Section = Section {
    name: "`peer`",
    keys: &["address", "port", "user", "password", "password_file", "password_env", "tls"],
};

pub(super) const SPLITS: [(&str, Split); 2] = [("hold", Split::Hold), ("promote", Split::Promote)];
pub(super) const BEHINDS: [(&str, Behind); 3] =
    [("wait", Behind::Wait), ("promote_anyway", Behind::PromoteAnyway), ("refuse", Behind::Refuse)];
pub(super) const DIVERGENCES: [(&str, Divergence); 2] =
    [("serve", Divergence::Serve), ("read_only", Divergence::ReadOnly)];
pub(super) const SEMI_SYNCS: [(&str, SemiSyncPolicy); 2] =
    [("lower", SemiSyncPolicy::Lower), ("keep", SemiSyncPolicy::Keep)];
pub(super) const STUCKS: [(&str, Stuck); 3] =
    [("leave", Stuck::Leave), ("retry", Stuck::Retry), ("kill", Stuck::Kill)];

const ROLES: [(&str, Mode); 2] = [("observe", Mode::Observe), ("manage", Mode::Manage)];
/// For a planned change, unless the file says otherwise.
pub const DEFAULT_HANDOVER: Duration = Duration::from_secs(8);
/// What a server waits for a replica, unless it is told otherwise (rpl_semi_sync_*_timeout).
const SEMI_SYNC_TIMEOUT: Duration = Duration::from_secs(10);
const MILLISECOND: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

/// Who decides whether the server may be written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// Whoever did so before: the daemon changes nothing about the server.
    Observe,
    /// The daemon, together with the address.
    Manage,
}

/// A server whose role goes with the address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Role {
    pub local: Access,
    /// None: the gate cannot ask.
    pub peer: Option<Access>,
    /// Where clients connect, at the virtual addresses.
    pub service_ports: Vec<NonZeroU16>,
    pub settings: Settings,
    /// A planned change may take this long before the address goes all the same.
    pub handover_timeout: Duration,
}

impl Role {
    /// The servers, each by the key in the file.
    pub fn servers(&self) -> impl Iterator<Item = (&'static str, &Access)> {
        let peer = self.peer.iter().map(|peer| ("mysql.peer", peer));
        std::iter::once(("mysql", &self.local)).chain(peer)
    }
}

/// Where a server is, and who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    pub place: Place,
    pub account: Account,
    /// Never for a Unix socket.
    pub tls: Option<Tls>,
}

/// None, and messages, if the two keys will not do; what else they lead to is a warning.
pub(super) fn role(
    fields: &Fields<'_>,
    checks: Option<&[Check]>,
    problems: &mut Problems,
) -> Option<Option<Role>> {
    let mode = fields.optional("role", Mode::Observe, problems, scalar(word(&ROLES)))?;
    let section = fields.find("mysql");
    match (mode, section) {
        (Mode::Observe, None) => {
            let writes = |check: &Check| matches!(&check.kind, Kind::Mysql(mysql) if mysql.write.is_some());
            if checks.is_some_and(|checks| checks.iter().any(writes)) {
                warn_of_write(fields, problems);
            }
            Some(None)
        }
        (Mode::Observe, Some(value)) => {
            let message =
                "is for a server whose role the daemon manages; add `role: manage`, or leave it out";
            problems.key(&value.path, message);
            None
        }
        (Mode::Manage, None) => {
            let message = "`role: manage` needs to know the server and its peer; add `mysql: { socket: ..., user: vrrp, \
                           password_file: ..., peer: { address: ..., user: vrrp_peer, password_file: ... } }`";
            problems.value(fields.path(), message);
            None
        }
        (Mode::Manage, Some(value)) => {
            let role = section_of(&value, problems)?;
            warn(&role, &value, checks, problems);
            Some(Some(role))
        }
    }
}

/// Also where nobody wrote `role`: who asked for nothing does not expect rows.
fn warn_of_write(fields: &Fields<'_>, problems: &mut Problems) {
    if let Some(value) = fields.find("role") {
        let message = "is observe, and a check has a `write` probe, which writes a row into the server; leave one of them out";
        problems.warn(&value.path, message);
    } else if let Some(value) = fields.find("checks") {
        let message = "there is a `write` probe and no `role`, which is observe then: the daemon changes nothing about the \
                       server but writes this row while it is MASTER; leave `write` out, or use `role: manage`";
        problems.warn(&value.path, message);
    }
}

fn section_of(value: &Value<'_>, problems: &mut Problems) -> Option<Role> {
    let fields = Fields::open(value, &MYSQL, problems)?;
    let socket = fields.optional("socket", None, problems, |value, problems| {
        scalar(path("/run/mysqld/mysqld.sock"))(value, problems).map(Some)
    });
    let host = fields.optional("address", LOOPBACK, problems, scalar(address));
    let own_port = fields.optional("port", MYSQL_PORT, problems, scalar(port));
    if let (Some(_), Some(value)) = (fields.find("socket"), fields.find("address")) {
        problems.key(&value.path, "`socket` and `address` are two ways to the same server; keep one of them");
    }
    let local = account(&fields, problems);
    let service_ports = fields.optional("service_ports", own_port.into_iter().collect(), problems, ports);
    let tls = fields.optional("tls", None, problems, tls);
    let peer = fields.optional("peer", None, problems, |value, problems| {
        peer(value, tls.as_ref().and_then(Option::as_ref), problems).map(Some)
    });
    let settings = settings(&fields, problems);
    let handover = duration_within(MILLISECOND * 100, SECOND * 60);
    let handover_timeout = fields.optional("handover_timeout", DEFAULT_HANDOVER, problems, scalar(handover));
    let (place, tls, peer) = match (socket?, tls?, peer?) {
        (Some(socket), tls, peer) => {
            // What the peer took over from here is an effect.
            if tls.is_some()
                && peer.as_ref().is_none_or(|peer: &Access| peer.tls != tls)
                && let Some(value) = fields.find("tls")
            {
                let message = "has no effect: TLS is for connections over TCP, the own server is reached by `socket`, and no peer \
                               takes it over; leave it out, or use `address`";
                problems.warn(&value.path, message);
            }
            (Place::Socket(socket), None, peer)
        }
        (None, tls, peer) => (Place::Tcp(host?, own_port?), tls, peer),
    };
    Some(Role {
        local: Access { place, account: local?, tls },
        peer,
        service_ports: service_ports?,
        settings: settings?,
        handover_timeout: handover_timeout?,
    })
}

fn ports(value: &Value<'_>, problems: &mut Problems) -> Option<Vec<NonZeroU16>> {
    let items = value.list("[3306]", problems)?;
    if items.is_empty() {
        problems.value(&value.path, "has no port in it; write those that clients connect to, as in [3306]");
        return None;
    }
    items.iter().map(|item| scalar(port)(item, problems)).collect()
}

/// `outer`: how our own server is asked over TCP, and this one, unless it says something else.
fn peer(value: &Value<'_>, outer: Option<&Tls>, problems: &mut Problems) -> Option<Access> {
    let fields = Fields::open(value, &PEER, problems)?;
    let address = fields.required("address", "192.168.1.12", problems, scalar(address));
    let port = fields.optional("port", MYSQL_PORT, problems, scalar(port));
    let account = account(&fields, problems);
    let tls = fields.optional("tls", outer.cloned(), problems, tls);
    Some(Access { place: Place::Tcp(address?, port?), account: account?, tls: tls? })
}

fn settings(fields: &Fields<'_>, problems: &mut Problems) -> Option<Settings> {
    let default = Settings::default();
    let mut span = |key: &str, default: Duration, least: Duration, most: Duration| {
        fields.optional(key, default, problems, scalar(duration_within(least, most)))
    };
    let peer_limit = span("peer_limit", default.peer_limit, MILLISECOND * 10, SECOND * 5);
    let split_wait = span("split_wait", default.split_wait, Duration::ZERO, SECOND * 60);
    let statement_limit = span("statement_limit", default.statement_limit, MILLISECOND * 50, SECOND * 10);
    let catch_up = span("catch_up", default.catch_up, Duration::ZERO, SECOND * 600);
    let stall = span("stall", default.stall, MILLISECOND * 10, SECOND * 60);
    let write_limit = span("write_limit", default.write_limit, MILLISECOND * 50, SECOND * 60);
    let split = fields.optional("split", default.split, problems, scalar(word(&SPLITS)));
    let behind = fields.optional("behind", default.behind, problems, scalar(word(&BEHINDS)));
    let diverged = fields.optional("diverged", default.diverged, problems, scalar(word(&DIVERGENCES)));
    let semi_sync = fields.optional("semi_sync", default.semi_sync, problems, scalar(word(&SEMI_SYNCS)));
    let stuck = fields.optional("stuck", default.stuck, problems, scalar(word(&STUCKS)));
    let words = |node: &Node| table(node).map(|(schema, table)| format!("{schema}.{table}"));
    let heartbeat_table =
        fields.optional("heartbeat_table", default.heartbeat_table, problems, scalar(words));
    Some(Settings {
        split: split?,
        behind: behind?,
        diverged: diverged?,
        semi_sync: semi_sync?,
        stuck: stuck?,
        peer_limit: peer_limit?,
        split_wait: split_wait?,
        statement_limit: statement_limit?,
        catch_up: catch_up?,
        stall: stall?,
        write_limit: write_limit?,
        heartbeat_table: heartbeat_table?,
    })
}

/// Only ports tell: a server has many addresses.
fn asks_elsewhere(check: &Check, port: NonZeroU16) -> bool {
    match &check.kind {
        Kind::Mysql(mysql) => mysql.port != port && (mysql.socket.is_none() || mysql.login.is_some()),
        Kind::Tcp(_) | Kind::Script(_) => true,
    }
}

/// What will do, and leaves a hole.
fn warn(role: &Role, value: &Value<'_>, checks: Option<&[Check]>, problems: &mut Problems) {
    if let Some(checks) = checks {
        let is_mysql = |check: &Check| matches!(check.kind, Kind::Mysql(_));
        let missing = if !checks.iter().any(is_mysql) {
            Some(("no `mysql` check", "add one to `checks`"))
        } else if checks.iter().all(|check| check.on_failure.dead == Reaction::Report) {
            Some(("no check does more than report a dead server", "use `on_failure: release`"))
        } else if let Place::Tcp(_, port) = role.local.place
            && checks.iter().all(|check| asks_elsewhere(check, port))
        {
            Some(("no `mysql` check has this server's port", "correct `port` in one of them"))
        } else {
            None
        };
        if let Some((what, remedy)) = missing {
            let message = format!(
                "{what}: the role follows the address, but the address does not follow the server, however dead it is; {remedy}"
            );
            problems.warn(&value.path, message);
        }
    }
    if role.settings.longest_lose() > role.handover_timeout {
        let message = format!(
            "`handover_timeout` {} is shorter than all steps of a planned change may take ({}); it is cut off then, which may \
             lose writes. Lengthen it, or shorten `catch_up`",
            time(role.handover_timeout),
            time(role.settings.longest_lose())
        );
        problems.warn(&value.path, message);
    }
    if role.settings.semi_sync == SemiSyncPolicy::Keep && role.settings.write_limit < SEMI_SYNC_TIMEOUT {
        let message = format!(
            "`semi_sync: keep` with `write_limit` {}: with the peer dead the write that proves the server writable waits for \
             the server's own timeout, {} by default, so that no promotion succeeds; use `write_limit` above that timeout, or \
             `semi_sync: lower`",
            time(role.settings.write_limit),
            time(SEMI_SYNC_TIMEOUT)
        );
        problems.warn(&value.path, message);
    }
    if role.peer.is_none() {
        let message = "no `peer`: the gate cannot ask whether the other server still takes writes, and what may be lost in a \
                       change cannot be named; add `peer: { address: ..., user: vrrp_peer, password_file: ... }`";
        problems.warn(&value.path, message);
    }
}
