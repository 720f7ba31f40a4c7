//! The SQL that the daemon says, per flavour.
//!
//! Owns the texts and the bounds that a server itself keeps. Refuses to know when they are said.

use std::time::Duration;

use super::{Flavour, Position, Product};

/// Its version, in words that [`Flavour::of`] reads.
pub const VERSION: &str = "SELECT VERSION()";
/// This session's number, to spare it.
pub const OWN_SESSION: &str = "SELECT CONNECTION_ID()";
/// Semi-synchronous replication, settings and state, under whichever name the server has them.
pub const SEMI_SYNC_SETTINGS: &str = "SHOW GLOBAL VARIABLES LIKE 'rpl_semi_sync_%'";
/// The state beside the settings.
pub const SEMI_SYNC_STATE: &str = "SHOW GLOBAL STATUS LIKE 'Rpl_semi_sync_%'";
/// How near the server is to its limits.
pub const LOAD: &str = "SHOW GLOBAL STATUS WHERE Variable_name IN ('Threads_connected', 'Threads_running', \
                        'Connection_errors_max_connections')";
/// Every session but replication's and the system's own.
pub const SESSIONS: &str = "SELECT id, user, host, command, time, state FROM information_schema.processlist \
                            WHERE user NOT IN ('system user', 'event_scheduler') AND command NOT LIKE 'Binlog Dump%' \
                            AND command <> 'Daemon'";

impl Flavour {
    /// Who the server is and whether it may be written to: one row, read by [`super::ServerState`].
    pub fn identity(self) -> String {
        let mut columns = vec!["server_id", "read_only"];
        match self.product {
            Product::MariaDb => {
                columns.extend(["log_bin", "gtid_strict_mode", "gtid_slave_pos", "gtid_binlog_state"]);
                columns.push("slave_parallel_threads");
            }
            Product::MySql => {
                columns.extend(["server_uuid", "gtid_mode", "gtid_executed"]);
                // Later ones apply with several by default.
                if !self.is_mysql_from(5, 7, 0) {
                    columns.push("slave_parallel_workers");
                }
                if self.has_super_read_only() {
                    columns.extend(["super_read_only", "offline_mode"]);
                }
            }
        }
        let columns: Vec<String> = columns.iter().map(|name| format!("@@global.{name} AS {name}")).collect();
        format!("SELECT {}, VERSION() AS version", columns.join(", "))
    }

    /// All channels' state: one row each, read by [`super::ReplicaStatus`].
    pub fn replica_status(self) -> &'static str {
        match self.product {
            // All connections, and the counters of heartbeats with them.
            Product::MariaDb => "SHOW ALL SLAVES STATUS",
            Product::MySql if self.says_replica() => "SHOW REPLICA STATUS",
            Product::MySql => "SHOW SLAVE STATUS",
        }
    }

    /// The binary log's file and position. It hangs while the binary log's disk is full: never on the way of a probe.
    pub fn binlog_status(self) -> &'static str {
        if self.is_mysql_from(8, 2, 0) { "SHOW BINARY LOG STATUS" } else { "SHOW MASTER STATUS" }
    }

    /// Stops taking in what the source writes; what was taken in is still applied. `channel` as [`Flavour::channel`] has it.
    pub fn stop_receiver(self, channel: &str) -> String {
        format!("STOP {}{channel} IO_THREAD", self.replica())
    }

    /// Of the two threads the one that takes in; the applier, which may have been stopped by somebody, is as it was.
    pub fn start_receiver(self, channel: &str) -> String {
        format!("START {}{channel} IO_THREAD", self.replica())
    }

    /// Both threads.
    pub fn start_replication(self, channel: &str) -> String {
        format!("START {}{channel}", self.replica())
    }

    /// Both threads: what was taken in and not applied waits.
    pub fn stop_replication(self, channel: &str) -> String {
        format!("STOP {}{channel}", self.replica())
    }

    /// Drops what was taken in and not applied, and asks the source from here on for what this server has not; of a channel
    /// that goes by transaction id, with both threads stopped. MySQL keeps it over a stop and a start; MariaDB does not.
    pub fn forget_received(self, channel: &str) -> String {
        let words = if self.is_mysql_from(8, 0, 23) {
            "CHANGE REPLICATION SOURCE TO SOURCE_AUTO_POSITION = 1"
        } else {
            "CHANGE MASTER TO MASTER_AUTO_POSITION = 1"
        };
        // Before 5.7 there are no named ones.
        let of =
            if channel.is_empty() { String::new() } else { format!(" FOR CHANNEL {}", literal(channel)) };
        format!("{words}{of}")
    }

    /// One of MariaDB's connections in the words above: their names are no part of MySQL's, which mean all channels at once.
    pub fn channel(self, name: &str) -> String {
        match self.product {
            Product::MariaDb if !name.is_empty() => {
                format!(" '{}'", name.replace('\\', "\\\\").replace('\'', "\\'"))
            }
            Product::MariaDb | Product::MySql => String::new(),
        }
    }

    /// Refuses writes, by the strictest means there is; in order, on one connection.
    ///
    /// The server gives up after `limit` (MySQL knows whole seconds only), and then nothing is left blocked: unbounded it
    /// waits behind a long write, and all other writers behind it.
    pub fn refuse_writes(self, limit: Duration) -> Vec<String> {
        match self.product {
            Product::MariaDb => {
                let value = if self.has_read_only_levels() { "'NO_LOCK_NO_ADMIN'" } else { "1" };
                // 0 would be no bound at all.
                let limit = limit.max(Duration::from_millis(1));
                let bound = format!("{}.{:03}", limit.as_secs(), limit.subsec_millis());
                vec![format!("SET STATEMENT max_statement_time = {bound} FOR SET GLOBAL read_only = {value}")]
            }
            Product::MySql => {
                let name = if self.has_super_read_only() { "super_read_only" } else { "read_only" };
                let bound = limit.as_secs().max(1);
                vec![format!("SET SESSION lock_wait_timeout = {bound}"), format!("SET GLOBAL {name} = 1")]
            }
        }
    }

    /// Allows writes. On MySQL it clears super_read_only as well.
    pub fn allow_writes(self) -> &'static str {
        if self.has_read_only_levels() { "SET GLOBAL read_only = 'OFF'" } else { "SET GLOBAL read_only = 0" }
    }

    /// Waits until that position is applied; [`is_reached`] reads the answer. Whole seconds on MySQL before 5.7.5.
    pub fn wait_applied(self, position: &Position, limit: Duration) -> String {
        let seconds = limit.as_secs().max(1);
        let position = literal(&position.to_string());
        match self.product {
            Product::MariaDb => {
                let bound = format!("{}.{:03}", limit.as_secs(), limit.subsec_millis());
                format!("SELECT MASTER_GTID_WAIT({position}, {bound})")
            }
            Product::MySql if self.is_mysql_from(5, 7, 5) => {
                format!("SELECT WAIT_FOR_EXECUTED_GTID_SET({position}, {seconds})")
            }
            // Since 5.6.5; it answers NULL when the thread does not run.
            Product::MySql => format!("SELECT WAIT_UNTIL_SQL_THREAD_AFTER_GTIDS({position}, {seconds})"),
        }
    }

    /// Ends a session; its client gets an error or a closed connection.
    pub fn end_session(self, id: u64) -> String {
        format!("KILL CONNECTION {id}")
    }

    /// The row that proves that this server can be written to.
    pub fn beat(self, table: &str, server_id: u64, beat: u64) -> String {
        format!(
            "INSERT INTO {table} (server_id, beat) VALUES ({server_id}, {beat}) ON DUPLICATE KEY UPDATE beat = {beat}"
        )
    }

    /// A bound that the server keeps for this session's reads; none before 5.7.8, where there is no such variable.
    pub fn bound_reads(self, limit: Duration) -> Option<String> {
        match self.product {
            Product::MariaDb => {
                let bound = format!("{}.{:03}", limit.as_secs(), limit.subsec_millis());
                Some(format!("SET SESSION max_statement_time = {bound}"))
            }
            Product::MySql if self.is_mysql_from(5, 7, 8) => {
                Some(format!("SET SESSION max_execution_time = {}", limit.as_millis()))
            }
            Product::MySql => None,
        }
    }

    fn replica(self) -> &'static str {
        if self.says_replica() { "REPLICA" } else { "SLAVE" }
    }
}

/// A text as a value, whoever wrote it: a position is the other server's word.
fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\\', r"\\").replace('\'', "''"))
}

/// What the answer to [`Flavour::wait_applied`] means: 0 or more is reached, but 1 of WAIT_FOR_EXECUTED_GTID_SET and -1 of
/// the others is a timeout, and NULL an applier that does not run.
pub fn is_reached(flavour: Flavour, answer: Option<&str>) -> bool {
    match answer.and_then(|answer| answer.trim().parse::<i64>().ok()) {
        Some(value) if flavour.is_mysql_from(5, 7, 5) => value == 0,
        Some(value) => value >= 0,
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(version: &str) -> Flavour {
        Flavour::of(version)
    }

    #[test]
    fn each_flavour_is_spoken_to_in_its_own_words() {
        let (m10, m12) = (of("10.11.19-MariaDB"), of("12.0.2-MariaDB"));
        let (v56, v80, v84) = (of("5.6.24-log"), of("8.0.36"), of("8.4.0"));
        assert_eq!(m10.replica_status(), "SHOW ALL SLAVES STATUS");
        assert_eq!(v56.replica_status(), "SHOW SLAVE STATUS");
        assert_eq!(v80.replica_status(), "SHOW REPLICA STATUS");
        assert_eq!(
            (v80.binlog_status(), v84.binlog_status()),
            ("SHOW MASTER STATUS", "SHOW BINARY LOG STATUS")
        );
        assert_eq!(
            (m10.stop_receiver(&m10.channel("")), v84.stop_receiver(&v84.channel("other"))),
            ("STOP SLAVE IO_THREAD".into(), "STOP REPLICA IO_THREAD".into())
        );
        assert_eq!(v56.forget_received(""), "CHANGE MASTER TO MASTER_AUTO_POSITION = 1");
        assert_eq!(
            v84.forget_received("it's"),
            "CHANGE REPLICATION SOURCE TO SOURCE_AUTO_POSITION = 1 FOR CHANNEL 'it''s'"
        );
        assert_eq!(m10.start_receiver(&m10.channel("c")), "START SLAVE 'c' IO_THREAD");
        assert_eq!(m10.start_replication(&m10.channel("it's")), r"START SLAVE 'it\'s'");
        let limit = Duration::from_millis(300);
        assert_eq!(
            m10.refuse_writes(limit),
            ["SET STATEMENT max_statement_time = 0.300 FOR SET GLOBAL read_only = 1"]
        );
        assert_eq!(
            m12.refuse_writes(limit),
            ["SET STATEMENT max_statement_time = 0.300 FOR SET GLOBAL read_only = 'NO_LOCK_NO_ADMIN'"]
        );
        assert_eq!(
            v56.refuse_writes(limit),
            ["SET SESSION lock_wait_timeout = 1", "SET GLOBAL read_only = 1"]
        );
        assert_eq!(
            v80.refuse_writes(limit),
            ["SET SESSION lock_wait_timeout = 1", "SET GLOBAL super_read_only = 1"]
        );
        assert_eq!(
            (m10.allow_writes(), m12.allow_writes()),
            ("SET GLOBAL read_only = 0", "SET GLOBAL read_only = 'OFF'")
        );
        assert!(v80.identity().contains("super_read_only") && !v56.identity().contains("super_read_only"));
        assert!(!m12.identity().contains("offline_mode"), "1193 on MariaDB");
    }

    #[test]
    fn a_position_is_one_value_whatever_a_server_calls_its_transactions() {
        let name = r"3e11fa47-71ca-11e1-9e33-c80aa9429562:x' OR \'1".to_owned();
        let position = Position::MySql([(name, vec![(1, 1)])].into());
        let statement = of("8.4.0").wait_applied(&position, Duration::from_secs(2));
        let inner = statement.strip_prefix("SELECT WAIT_FOR_EXECUTED_GTID_SET('").unwrap();
        let inner = inner.strip_suffix("', 2)").unwrap();
        assert_eq!(inner, r"3e11fa47-71ca-11e1-9e33-c80aa9429562:x'' OR \\''1:1");
    }

    #[test]
    fn waiting_for_a_position_is_read_as_each_server_means_it() {
        let (maria, old, new) = (of("10.11.19-MariaDB"), of("5.6.24"), of("8.0.36"));
        assert!(is_reached(maria, Some("0")) && !is_reached(maria, Some("-1")));
        assert!(is_reached(old, Some("3")) && !is_reached(old, Some("-1")) && !is_reached(old, None));
        assert!(is_reached(new, Some("0")) && !is_reached(new, Some("1")) && !is_reached(new, None));
    }
}
