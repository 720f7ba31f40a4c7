//! What is known of one node: a server's answers, read; and what the host says, where it is ours.
//!
//! Owns reading them. Refuses to ask for them, so that answers recorded from any version can be judged.

use crate::mysql::row::{Row, transpose};
use crate::mysql::{Flavour, ReplicaStatus, SemiSync, ServerState};
use crate::wire::MacAddress;

/// A server's answers as they came; an empty list where it refused.
#[derive(Clone, Debug, Default)]
pub(super) struct Answers {
    pub(super) identity: Row,
    pub(super) variables: Vec<Row>,
    pub(super) status: Vec<Row>,
    pub(super) replicas: Vec<Row>,
    /// `SHOW MASTER STATUS`; none when it did not come in time.
    pub(super) binlog: Option<Vec<Row>>,
    /// grantee, privilege_type.
    pub(super) privileges: Vec<Row>,
    /// grantee, table_schema, privilege_type, and of single tables table_name.
    pub(super) narrow_privileges: Vec<Row>,
    /// user, host, plugin.
    pub(super) accounts: Vec<Row>,
    /// table_schema, table_name, engine, has_key; only the doubtful ones.
    pub(super) tables: Option<Vec<Row>>,
    /// Events that run.
    pub(super) events: Option<u64>,
    /// The tables that the configuration writes heartbeats to, and whether they are there; none: it may not be told.
    pub(super) heartbeats: Vec<(String, Option<bool>)>,
    /// `SHOW FULL PROCESSLIST`.
    pub(super) sessions: Vec<Row>,
    /// Names of programs that are connected, where they say so.
    pub(super) programs: Vec<Row>,
    /// MySQL from 5.7: how often the source says that it lives, in seconds.
    pub(super) heartbeat_interval: Option<String>,
    /// What read_only was set by: COMPILE-TIME, CONFIG, SQL; EXPLICIT, DYNAMIC of MySQL 8.
    pub(super) read_only_origin: Option<String>,
    /// The server's clock less ours, in milliseconds.
    pub(super) clock_offset_ms: Option<i64>,
    /// What was asked, and did not come in time.
    pub(super) unanswered: Vec<&'static str>,
}

/// What only the host itself can tell.
#[derive(Clone, Debug, Default)]
pub(super) struct HostFacts {
    pub(super) disks: Vec<Disk>,
    /// Data and binary log lie on one file system.
    pub(super) binlog_shares_disk: Option<bool>,
    /// By the option files that the server starts with; none: they could not be read.
    pub(super) starts_as: Option<StartsAs>,
    /// Other programs that move addresses.
    pub(super) other_managers: Vec<String>,
    /// `vrrp run` runs here.
    pub(super) has_daemon: bool,
    /// Programs that copy a running server.
    pub(super) backups: Vec<String>,
    pub(super) clock: Clock,
    /// IPv4, without prefixes.
    pub(super) addresses: Option<Vec<String>>,
    /// Who else on the segment says that it has a virtual address; none: it could not be asked.
    pub(super) claims: Option<Claims>,
    pub(super) allows_nonlocal_bind: Option<bool>,
    /// The kernel's own, where the server names none.
    pub(super) keepalive_seconds: Option<u64>,
}

/// What other network cards say that they have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Claims {
    /// The virtual addresses that were asked for.
    pub(super) asked: Vec<String>,
    /// An address and a card that claims it.
    pub(super) found: Vec<(String, MacAddress)>,
    /// The cards that claim the peer's own address.
    pub(super) peer: Vec<MacAddress>,
}

/// What a server is as long as nobody has told it otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct StartsAs {
    pub(super) read_only: bool,
    pub(super) super_read_only: bool,
    /// Its replication waits to be started.
    pub(super) without_replication: bool,
}

impl StartsAs {
    /// The stricter kind includes the other.
    pub(super) fn is_read_only(self) -> bool {
        self.read_only || self.super_read_only
    }
}

/// Whether somebody keeps this host's clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Clock {
    Kept,
    /// Somebody would, and has no time yet.
    Adrift,
    /// Nobody known does.
    #[default]
    Unkept,
}

/// Free room where the server writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Disk {
    pub(super) what: &'static str,
    pub(super) path: String,
    pub(super) device: u64,
    pub(super) free: u64,
    pub(super) total: u64,
}

/// An account and what it may do everywhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) user: String,
    pub(super) host: String,
    pub(super) plugin: String,
    pub(super) rights: Vec<String>,
}

/// What somebody may do in one schema, or to one table in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NarrowRight {
    pub(super) grantee: String,
    pub(super) schema: String,
    pub(super) table: Option<String>,
    pub(super) right: String,
}

/// One node, read.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    pub(super) flavour: Flavour,
    pub(super) state: ServerState,
    pub(super) variables: Row,
    pub(super) replicas: Vec<ReplicaStatus>,
    /// How often each channel tries again before it gives up for ever; 0: it never does.
    pub(super) retries: Vec<Option<u64>>,
    pub(super) heartbeat_period_ms: Option<u64>,
    /// What the channels leave out or rename, as `setting = value`.
    pub(super) channel_filters: Vec<String>,
    pub(super) semi_sync: Option<SemiSync>,
    /// Databases that the binary log leaves out or keeps to; none when it could not be asked.
    pub(super) binlog_filter: Option<String>,
    /// Empty: this login may not read them.
    pub(super) accounts: Vec<Account>,
    pub(super) narrow_rights: Vec<NarrowRight>,
    /// Whether the heartbeat tables are there.
    pub(super) heartbeats: Vec<(String, Option<bool>)>,
    pub(super) sessions: Vec<Session>,
    /// Names of connected programs.
    pub(super) programs: Vec<String>,
    pub(super) keyless: Option<Vec<String>>,
    pub(super) not_innodb: Option<Vec<String>>,
    pub(super) events: Option<u64>,
    pub(super) read_only_origin: Option<String>,
    pub(super) clock_offset_ms: Option<i64>,
    /// Of this host; none of the peer's.
    pub(super) host: Option<HostFacts>,
}

/// What a session does. Its statement may hold secrets: it is compared and never shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Session {
    pub(super) state: String,
    pub(super) statement: String,
}

impl Facts {
    /// None: the identity lacks what every server has.
    pub(super) fn read(answers: &Answers, host: Option<HostFacts>) -> Option<Self> {
        let state = ServerState::read(&answers.identity)?;
        let named = |start: &str, rows: &[Row]| -> Vec<Row> {
            let is_one =
                |row: &&Row| row.at(0).is_some_and(|name| name.to_ascii_lowercase().starts_with(start));
            rows.iter().filter(is_one).cloned().collect()
        };
        let semi = "rpl_semi_sync_";
        let binlog_filter = answers.binlog.as_ref().map(|rows| {
            let texts =
                rows.iter().flat_map(|row| [row.get(&["Binlog_Do_DB"]), row.get(&["Binlog_Ignore_DB"])]);
            texts.flatten().filter(|text| !text.is_empty()).collect::<Vec<_>>().join(", ")
        });
        let variables = transpose(&answers.variables);
        let text = |row: &Row, name: &str| row.get(&[name]).unwrap_or_default().to_owned();
        Some(Self {
            flavour: state.flavour,
            state,
            replicas: answers.replicas.iter().map(ReplicaStatus::read).collect(),
            retries: answers.replicas.iter().map(|row| retries(row, &variables)).collect(),
            variables,
            heartbeat_period_ms: heartbeat_period(answers),
            channel_filters: answers.replicas.iter().flat_map(channel_filters).collect(),
            semi_sync: SemiSync::read(&named(semi, &answers.variables), &named(semi, &answers.status)),
            binlog_filter,
            accounts: accounts(&answers.accounts, &answers.privileges),
            narrow_rights: answers
                .narrow_privileges
                .iter()
                .map(|row| NarrowRight {
                    grantee: text(row, "grantee"),
                    schema: text(row, "table_schema"),
                    table: row.get(&["table_name"]).map(str::to_owned),
                    right: text(row, "privilege_type").to_ascii_uppercase(),
                })
                .collect(),
            heartbeats: answers.heartbeats.clone(),
            sessions: answers
                .sessions
                .iter()
                .map(|row| Session { state: text(row, "State"), statement: text(row, "Info") })
                .collect(),
            programs: answers.programs.iter().map(|row| text(row, "program")).collect(),
            keyless: answers
                .tables
                .as_ref()
                .map(|rows| tables(rows, |row| row.flag(&["has_key"]) != Some(true))),
            not_innodb: answers.tables.as_ref().map(|rows| {
                tables(rows, |row| {
                    row.get(&["engine"]).is_none_or(|engine| !engine.eq_ignore_ascii_case("InnoDB"))
                })
            }),
            events: answers.events,
            read_only_origin: answers.read_only_origin.clone(),
            clock_offset_ms: answers.clock_offset_ms,
            host,
        })
    }

    /// A variable under whichever of its names the server has.
    pub(super) fn variable(&self, names: &[&str]) -> Option<&str> {
        self.variables.get(names)
    }

    /// What the server calls a variable: the first of these names that it has, else the last.
    pub(super) fn name_of(&self, names: [&'static str; 2]) -> &'static str {
        if self.variables.has(names[0]) { names[0] } else { names[1] }
    }

    pub(super) fn number(&self, names: &[&str]) -> Option<u64> {
        self.variables.number(names)
    }

    pub(super) fn is_on(&self, names: &[&str]) -> Option<bool> {
        self.variables.flag(names)
    }

    /// The accounts of that user.
    pub(super) fn accounts_of(&self, user: &str) -> impl Iterator<Item = &Account> {
        self.accounts.iter().filter(move |account| account.user == user)
    }
}

fn accounts(accounts: &[Row], privileges: &[Row]) -> Vec<Account> {
    let text = |row: &Row, name: &str| row.get(&[name]).unwrap_or_default().to_owned();
    let mut all: Vec<Account> = accounts
        .iter()
        .map(|row| Account {
            user: text(row, "user"),
            host: text(row, "host"),
            plugin: text(row, "plugin"),
            rights: Vec::new(),
        })
        .collect();
    for account in &mut all {
        let grantee = format!("'{}'@'{}'", account.user, account.host);
        let own = privileges.iter().filter(|row| row.get(&["grantee"]) == Some(&grantee));
        account.rights = own.map(|row| text(row, "privilege_type").to_ascii_uppercase()).collect();
    }
    all
}

fn retries(channel: &Row, variables: &Row) -> Option<u64> {
    let names = ["Source_Retry_Count", "Master_Retry_Count"];
    channel.number(&names).or_else(|| variables.number(&["master_retry_count"]))
}

/// MariaDB says it of the channel, MySQL 5.6 among its counters, later ones in a table.
fn heartbeat_period(answers: &Answers) -> Option<u64> {
    let name = ["Slave_heartbeat_period"];
    let of_channel = answers.replicas.first().and_then(|row| row.get(&name));
    let counters = transpose(&answers.status);
    milliseconds(of_channel.or_else(|| counters.get(&name)).or(answers.heartbeat_interval.as_deref())?)
}

fn channel_filters(channel: &Row) -> Vec<String> {
    let is_filter =
        |name: &str| name.to_ascii_lowercase().starts_with("replicate_") && !name.contains("Server_Id");
    let set = channel.cells().filter(|(name, value)| is_filter(name) && value.is_some_and(|v| !v.is_empty()));
    set.map(|(name, value)| format!("{name} = {}", value.unwrap_or_default())).collect()
}

fn tables(rows: &[Row], is_one: impl Fn(&Row) -> bool) -> Vec<String> {
    let named = |row: &Row| Some(format!("{}.{}", row.get(&["table_schema"])?, row.get(&["table_name"])?));
    rows.iter().filter(|row| is_one(row)).filter_map(named).collect()
}

/// `1.500` seconds.
fn milliseconds(text: &str) -> Option<u64> {
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    let thousandths: String = fraction.chars().chain("000".chars()).take(3).collect();
    Some(seconds.parse::<u64>().ok()? * 1000 + thousandths.parse::<u64>().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channels_filters_are_its_columns_that_are_not_empty() {
        let row: Row = [
            ("Replicate_Do_DB", Some("shop")),
            ("Replicate_Ignore_DB", Some("")),
            ("Replicate_Rewrite_DB", None),
            ("Replicate_Ignore_Server_Ids", Some("3")),
            ("Source_Host", Some("10.99.0.2")),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.map(str::to_owned)))
        .collect();
        assert_eq!(channel_filters(&row), ["Replicate_Do_DB = shop"]);
    }

    #[test]
    fn seconds_with_a_fraction_are_read_without_floats() {
        for (text, expected) in [("1.000", Some(1000)), ("0.5", Some(500)), ("30", Some(30_000)), ("x", None)]
        {
            assert_eq!(milliseconds(text), expected, "{text}");
        }
    }
}
