//! What a server says of itself, in every flavour's words: who it is, what it replicates, where it stands.
//!
//! Owns the statements and the reading of their answers. Pure: rows come in, values go out.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use super::super::code::breaks_replication;

#[cfg(test)]
mod tests;

/// One row by column name; None is NULL.
type Row = HashMap<String, Option<String>>;

/// The first question: it is understood everywhere and says what may be asked next.
pub(super) const VERSION: &str = "SELECT @@version AS version, @@version_comment AS comment";

/// Whose dialect it speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flavour {
    MariaDb,
    MySql,
}

/// Flavour and version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub flavour: Flavour,
    /// Major, minor, patch.
    pub version: (u16, u16, u16),
    /// As the server writes it.
    pub written: String,
}

impl Identity {
    /// None if the text is no version.
    pub fn parse(version: &str, comment: &str) -> Option<Self> {
        let text = version.strip_prefix("5.5.5-").unwrap_or(version);
        let maria = [version, comment].iter().any(|text| text.to_ascii_lowercase().contains("mariadb"));
        let mut numbers = text.split(|c: char| !c.is_ascii_digit()).map(str::parse::<u16>);
        let mut next = || numbers.next().and_then(Result::ok);
        let version_numbers = (next()?, next()?, next().unwrap_or(0));
        let flavour = if maria { Flavour::MariaDb } else { Flavour::MySql };
        Some(Self { flavour, version: version_numbers, written: version.to_owned() })
    }

    /// Who it is and what it lets others write. A variable that it does not know would fail the whole statement.
    pub(super) fn variables(&self) -> &'static str {
        match self.flavour {
            Flavour::MariaDb => {
                "SELECT @@global.server_id AS server_id, @@global.read_only AS read_only, @@global.gtid_binlog_pos AS \
                 gtid_binlog, @@global.gtid_slave_pos AS gtid_applied, @@global.gtid_strict_mode AS gtid_mode"
            }
            // super_read_only came with 5.7.8, and so did offline_mode (5.7.5).
            Flavour::MySql if self.version >= (5, 7, 8) => {
                "SELECT @@global.server_id AS server_id, @@global.read_only AS read_only, @@global.super_read_only AS \
                 super_read_only, @@global.offline_mode AS offline_mode, @@global.gtid_executed AS gtid_applied, \
                 @@global.gtid_mode AS gtid_mode"
            }
            Flavour::MySql if self.version >= (5, 6, 5) => {
                "SELECT @@global.server_id AS server_id, @@global.read_only AS read_only, @@global.gtid_executed AS \
                 gtid_applied, @@global.gtid_mode AS gtid_mode"
            }
            Flavour::MySql => "SELECT @@global.server_id AS server_id, @@global.read_only AS read_only",
        }
    }

    /// MySQL 8.4 no longer knows the old words; MariaDB's ALL shows every connection.
    pub(super) fn replication(&self) -> &'static str {
        match self.flavour {
            Flavour::MariaDb => "SHOW ALL SLAVES STATUS",
            Flavour::MySql if self.version >= (8, 0, 22) => "SHOW REPLICA STATUS",
            Flavour::MySql => "SHOW SLAVE STATUS",
        }
    }
}

/// Both words for it in one statement; servers without the plugin answer with nothing.
pub(super) const SEMI_SYNC: &str = "SHOW GLOBAL STATUS WHERE Variable_name IN ('Rpl_semi_sync_master_status', \
     'Rpl_semi_sync_source_status', 'Rpl_semi_sync_master_clients', 'Rpl_semi_sync_source_clients', \
     'Rpl_semi_sync_slave_status', 'Rpl_semi_sync_replica_status')";

/// `@@read_only` in every flavour's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadOnly {
    Off,
    On,
    /// MariaDB 12: without a lock on running transactions.
    NoLock,
    /// MariaDB 12: and not even for administrators; MySQL's super_read_only.
    Everybody,
}

impl ReadOnly {
    /// None for what no flavour says: whoever asks must then not think it writable.
    pub fn parse(value: Option<&str>) -> Option<Self> {
        match value?.to_ascii_uppercase().as_str() {
            "0" | "OFF" => Some(Self::Off),
            "1" | "ON" => Some(Self::On),
            "NO_LOCK" => Some(Self::NoLock),
            "NO_LOCK_NO_ADMIN" => Some(Self::Everybody),
            _ => None,
        }
    }
}

impl fmt::Display for ReadOnly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Off => "off",
            Self::On => "on",
            Self::NoLock => "on (no lock)",
            Self::Everybody => "on, for administrators too",
        })
    }
}

/// One replication connection (channel).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Channel {
    /// Empty for the default one.
    pub name: String,
    pub source: String,
    /// Yes, No, Connecting, Preparing.
    pub io: String,
    pub sql: String,
    pub io_error: (u16, String),
    pub sql_error: (u16, String),
    /// None while the source is not connected.
    pub lag: Option<Duration>,
    /// What has been received: MariaDB's Gtid_IO_Pos, MySQL's Retrieved_Gtid_Set.
    pub received: String,
    pub uses_gtid: bool,
}

/// What one look at the server showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerState {
    pub identity: Identity,
    pub server_id: Option<u32>,
    /// None where the value is not understood.
    pub read_only: Option<ReadOnly>,
    pub offline: bool,
    /// Everything in its binary log (MariaDB).
    pub gtid_binlog: String,
    /// gtid_slave_pos, or gtid_executed.
    pub gtid_applied: String,
    pub channels: Vec<Channel>,
    /// As the source of others: whether it waits for them, and how many there are. None without the plugin.
    pub semi_sync_source: Option<(bool, u32)>,
    pub semi_sync_replica: Option<bool>,
}

impl ServerState {
    pub(super) fn read(identity: Identity, variables: &Row, replication: &[Row], semi_sync: &[Row]) -> Self {
        let variable = |name: &str| text(variables, &[name]);
        let read_only = ReadOnly::parse(variables.get("read_only").cloned().flatten().as_deref());
        let everybody = is_on(&variable("super_read_only"));
        let status = |names: &[&str]| {
            semi_sync
                .iter()
                .find(|row| names.contains(&text(row, &["Variable_name"]).as_str()))
                .map(|row| text(row, &["Value"]))
        };
        let clients = status(&["Rpl_semi_sync_source_clients", "Rpl_semi_sync_master_clients"]);
        Self {
            identity,
            server_id: variable("server_id").parse().ok(),
            read_only: if everybody { Some(ReadOnly::Everybody) } else { read_only },
            offline: is_on(&variable("offline_mode")),
            gtid_binlog: variable("gtid_binlog"),
            gtid_applied: variable("gtid_applied"),
            channels: replication.iter().map(channel).collect(),
            semi_sync_source: status(&["Rpl_semi_sync_source_status", "Rpl_semi_sync_master_status"])
                .map(|on| (is_on(&on), clients.and_then(|count| count.parse().ok()).unwrap_or(0))),
            semi_sync_replica: status(&["Rpl_semi_sync_replica_status", "Rpl_semi_sync_slave_status"])
                .map(|on| is_on(&on)),
        }
    }

    /// Whether ordinary users can write.
    pub fn is_writable(&self) -> bool {
        self.read_only == Some(ReadOnly::Off) && !self.offline
    }

    /// What keeps this server from taking over well, as far as replication says.
    pub fn trouble(&self, max_lag: Option<Duration>) -> Option<String> {
        self.channels.iter().find_map(|channel| channel.trouble(max_lag))
    }
}

impl Channel {
    fn trouble(&self, max_lag: Option<Duration>) -> Option<String> {
        let from = if self.name.is_empty() { String::new() } else { format!(" \"{}\"", self.name) };
        for (thread, (code, message)) in [("SQL", &self.sql_error), ("IO", &self.io_error)] {
            if breaks_replication(*code) {
                return Some(format!(
                    "replication{from}: the {thread} thread stopped with error {code}: {message}"
                ));
            }
        }
        if self.sql == "No" && self.io != "No" {
            return Some(format!(
                "replication{from}: the SQL thread is stopped, so what arrives is not applied"
            ));
        }
        let (lag, max) = (self.lag?, max_lag?);
        (lag > max).then(|| format!("replication{from} is {lag:?} behind, more than {max:?}"))
    }
}

fn channel(row: &Row) -> Channel {
    let number = |names: &[&str]| text(row, names).parse::<u16>().unwrap_or(0);
    let seconds = text(row, &["Seconds_Behind_Source", "Seconds_Behind_Master"]).parse().ok();
    Channel {
        name: text(row, &["Connection_name", "Channel_Name"]),
        source: text(row, &["Source_Host", "Master_Host"]),
        io: text(row, &["Replica_IO_Running", "Slave_IO_Running"]),
        sql: text(row, &["Replica_SQL_Running", "Slave_SQL_Running"]),
        io_error: (number(&["Last_IO_Errno"]), text(row, &["Last_IO_Error"])),
        sql_error: (number(&["Last_SQL_Errno"]), text(row, &["Last_SQL_Error"])),
        lag: seconds.map(Duration::from_secs),
        received: text(row, &["Gtid_IO_Pos", "Retrieved_Gtid_Set"]).replace('\n', ""),
        uses_gtid: text(row, &["Auto_Position"]) == "1"
            || ["slave_pos", "current_pos"]
                .contains(&text(row, &["Using_Gtid"]).to_ascii_lowercase().as_str()),
    }
}

/// The first of these columns that is there and not NULL; their order differs from version to version.
fn text(row: &Row, names: &[&str]) -> String {
    names.iter().find_map(|name| row.get(*name).cloned().flatten()).unwrap_or_default()
}

fn is_on(value: &str) -> bool {
    value == "1" || value.eq_ignore_ascii_case("on")
}
