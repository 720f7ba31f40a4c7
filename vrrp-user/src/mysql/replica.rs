//! One channel's row of `SHOW REPLICA STATUS`, `SHOW SLAVE STATUS` or `SHOW ALL SLAVES STATUS`.
//!
//! Owns both sets of column names. Refuses to know what a stopped thread means for the pair.

use super::{Flavour, Position, Product, Row};

/// What a replication thread says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Thread {
    Running,
    /// The receiver tries to reach its source.
    Connecting,
    Stopped,
}

/// An error that stopped a thread, or keeps it from connecting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ThreadError {
    pub code: u16,
    pub text: String,
}

/// A place in a source's binary log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogPlace {
    pub file: String,
    pub offset: u64,
}

/// One replication channel, as seen on the replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaStatus {
    /// Empty for the unnamed one.
    pub channel: String,
    pub source_host: String,
    pub source_port: u16,
    /// 0 until it has connected once.
    pub source_server_id: u64,
    pub receiver: Thread,
    pub applier: Thread,
    pub receiver_error: Option<ThreadError>,
    pub applier_error: Option<ThreadError>,
    /// Unknown while the receiver is not connected; may say 0 where the source hangs.
    pub seconds_behind: Option<u64>,
    /// The end of what was taken in, and of what was applied, in the source's binary log.
    pub received: LogPlace,
    pub applied: LogPlace,
    /// The same by transaction id: MariaDB's Gtid_IO_Pos, MySQL's Retrieved_Gtid_Set. None: not by transaction id.
    pub received_gtid: Option<String>,
    /// Whether it asks its source by transaction id.
    pub is_by_gtid: bool,
    /// MariaDB: `Slave_Pos`, `Current_Pos`, `No`.
    pub gtid_mode: String,
    pub has_filters: bool,
    /// The applier waits for more: with the receiver stopped there is none, not even of half a transaction.
    pub has_read_all: bool,
    pub delay: u64,
    pub connect_retry: Option<u64>,
    /// Heartbeats and position together tell whether the source lives.
    pub heartbeats: Option<u64>,
}

/// The server quotes the statement that it failed at, which may hold a password or a customer's data.
fn without_statement(error: &str) -> &str {
    // MariaDB and MySQL 5.6: "... on query. Default database: 'shop'. Query: 'INSERT ...'"; MySQL 8 the same, behind "Error
    // '...'". What stands between is the database's name, which may hold anything.
    let quotes = ["Default database: ", "Query: '"];
    let start = quotes.iter().filter_map(|quote| error.find(quote)).min().unwrap_or(error.len());
    error.get(..start).unwrap_or_default().trim_end()
}

impl ReplicaStatus {
    /// Reads a row; a column that is missing counts as empty, since versions differ.
    pub fn read(row: &Row) -> Self {
        let text = |names: &[&str]| row.get(names).unwrap_or_default().to_owned();
        let thread = |names: &[&str]| match row.get(names) {
            Some("Yes") => Thread::Running,
            // "Preparing" is MariaDB's word for the moment before.
            Some("Connecting" | "Preparing") => Thread::Connecting,
            Some(_) | None => Thread::Stopped,
        };
        let error = |codes: &[&str], texts: &[&str]| {
            let code =
                row.number(codes).and_then(|code| u16::try_from(code).ok()).filter(|code| *code != 0)?;
            Some(ThreadError { code, text: without_statement(row.get(texts).unwrap_or_default()).to_owned() })
        };
        let place = |files: &[&str], offsets: &[&str]| LogPlace {
            file: text(files),
            offset: row.number(offsets).unwrap_or(0),
        };
        let filters = [
            "Replicate_Do_DB",
            "Replicate_Ignore_DB",
            "Replicate_Do_Table",
            "Replicate_Ignore_Table",
            "Replicate_Wild_Do_Table",
            "Replicate_Wild_Ignore_Table",
            "Replicate_Do_Domain_Ids",
            "Replicate_Ignore_Domain_Ids",
            "Replicate_Rewrite_DB",
        ];
        let gtid_mode = text(&["Using_Gtid"]);
        let is_by_gtid = match row.has("Using_Gtid") {
            true => !gtid_mode.is_empty() && !gtid_mode.eq_ignore_ascii_case("no"),
            false => row.flag(&["Auto_Position"]).unwrap_or(false),
        };
        Self {
            channel: text(&["Channel_Name", "Connection_name"]),
            source_host: text(&["Source_Host", "Master_Host"]),
            source_port: row
                .number(&["Source_Port", "Master_Port"])
                .and_then(|port| u16::try_from(port).ok())
                .unwrap_or(0),
            source_server_id: row.number(&["Source_Server_Id", "Master_Server_Id"]).unwrap_or(0),
            receiver: thread(&["Replica_IO_Running", "Slave_IO_Running"]),
            applier: thread(&["Replica_SQL_Running", "Slave_SQL_Running"]),
            receiver_error: error(&["Last_IO_Errno"], &["Last_IO_Error"]),
            applier_error: error(&["Last_SQL_Errno"], &["Last_SQL_Error"]),
            seconds_behind: row.number(&["Seconds_Behind_Source", "Seconds_Behind_Master"]),
            received: place(
                &["Source_Log_File", "Master_Log_File"],
                &["Read_Source_Log_Pos", "Read_Master_Log_Pos"],
            ),
            applied: place(
                &["Relay_Source_Log_File", "Relay_Master_Log_File"],
                &["Exec_Source_Log_Pos", "Exec_Master_Log_Pos"],
            ),
            received_gtid: row.get(&["Retrieved_Gtid_Set", "Gtid_IO_Pos"]).map(str::to_owned),
            is_by_gtid,
            gtid_mode,
            has_filters: filters.iter().any(|name| row.get(&[name]).is_some_and(|value| !value.is_empty())),
            has_read_all: row
                .get(&["Replica_SQL_Running_State", "Slave_SQL_Running_State", "Slave_SQL_State"])
                .is_some_and(|state| state.contains("has read all relay log")),
            delay: row.number(&["SQL_Delay"]).unwrap_or(0),
            connect_retry: row.number(&["Connect_Retry"]),
            heartbeats: row.number(&["Slave_received_heartbeats"]),
        }
    }

    /// Both threads run.
    pub fn is_running(&self) -> bool {
        self.receiver == Thread::Running && self.applier == Thread::Running
    }

    /// Whether all that was taken in has been applied, `own` being all that this server has. Only with the receiver stopped
    /// does it stay true.
    ///
    /// Three signs, since each fails somewhere: places in the source's log are not kept in step by MariaDB over a reconnect
    /// by transaction id; a transaction cut in half by the source's death is received and can never be applied.
    ///
    /// `is_applied_in_turn`: one thread applies all. With several the one that hands out has read all while others are still
    /// at work, and MariaDB's place is that of whichever domain came furthest, where it tells domains apart: by transaction id.
    /// MySQL's is the one before which nothing is left.
    pub fn is_caught_up(&self, flavour: Flavour, own: Option<&Position>, is_applied_in_turn: bool) -> bool {
        let has_all = || {
            let lacks = self.received_position(flavour)?.beyond(own?)?;
            Some(lacks.is_empty())
        };
        let has_one_place = is_applied_in_turn || !self.is_by_gtid || flavour.product == Product::MySql;
        // A channel that never reached its source has nothing to apply.
        let has_nothing =
            self.received.file.is_empty() && self.received_gtid.as_deref().is_none_or(str::is_empty);
        has_nothing
            || (self.received == self.applied && has_one_place)
            || has_all() == Some(true)
            || (self.receiver == Thread::Stopped
                && self.applier == Thread::Running
                && self.has_read_all
                && is_applied_in_turn)
    }

    /// What was taken in, by transaction id, where the flavour says it so.
    pub fn received_position(&self, flavour: Flavour) -> Option<Position> {
        let text = self.received_gtid.as_deref().filter(|text| !text.is_empty())?;
        match flavour.product {
            Product::MariaDb => Position::parse_mariadb(text).ok(),
            Product::MySql => Position::parse_mysql(text).ok(),
        }
    }

    /// Errors after which this replica must not become the source: its data differ (1062, 1032), its history does (1950,
    /// 1236), or its relay log is broken (1872, 13121).
    pub fn is_broken(&self) -> bool {
        let is_one = |error: &Option<ThreadError>| {
            error.as_ref().is_some_and(|error| matches!(error.code, 1032 | 1062 | 1236 | 1872 | 1950 | 13121))
        };
        is_one(&self.applier_error) || is_one(&self.receiver_error)
    }
}

#[cfg(test)]
mod tests;
