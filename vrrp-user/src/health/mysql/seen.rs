//! One look at a server, and what of it is trouble: a standby that could not take over well.

use std::time::Duration;

use crate::health::code::breaks_replication;
use crate::mysql::{ReplicaStatus, SemiSync, ServerState, Thread};

/// What the server said of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub server: ServerState,
    /// One for each channel that it replicates from.
    pub replicas: Vec<ReplicaStatus>,
    /// None without the plugin.
    pub semi_sync: Option<SemiSync>,
}

impl Seen {
    /// The first trouble with replication, in words. An absent peer is none: it says nothing about this server.
    pub(super) fn trouble(&self, max_lag: Option<Duration>) -> Option<String> {
        self.replicas.iter().find_map(|replica| trouble(replica, max_lag))
    }
}

fn trouble(replica: &ReplicaStatus, max_lag: Option<Duration>) -> Option<String> {
    let channel = &replica.channel;
    let from = if channel.is_empty() { String::new() } else { format!(" \"{channel}\"") };
    for (thread, error) in [("SQL", &replica.applier_error), ("IO", &replica.receiver_error)] {
        if let Some(error) = error.as_ref().filter(|error| breaks_replication(error.code)) {
            return Some(format!(
                "replication{from}: the {thread} thread has error {}: {}",
                error.code, error.text
            ));
        }
    }
    // Both stopped is somebody's will, or a role's.
    if replica.applier == Thread::Stopped && replica.receiver != Thread::Stopped {
        return Some(format!(
            "replication{from}: the SQL thread is stopped, so what arrives is not applied; start it"
        ));
    }
    let (lag, max) = (Duration::from_secs(replica.seconds_behind?), max_lag?);
    (lag > max).then(|| format!("replication{from} is {lag:?} behind, more than {max:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mysql::Row;

    const RUNNING: &[(&str, &str)] = &[
        ("Connection_name", ""),
        ("Master_Host", "10.99.0.2"),
        ("Slave_IO_Running", "Yes"),
        ("Slave_SQL_Running", "Yes"),
        ("Last_IO_Errno", "0"),
        ("Last_SQL_Errno", "0"),
        ("Seconds_Behind_Master", "3"),
    ];

    fn replica(changes: &[(&str, &str)]) -> ReplicaStatus {
        let cells = RUNNING
            .iter()
            .filter(|(name, _)| changes.iter().all(|(changed, _)| changed != name))
            .chain(changes);
        let row: Row = cells
            .map(|(name, value)| ((*name).to_owned(), (*value != "NULL").then(|| (*value).to_owned())))
            .collect();
        ReplicaStatus::read(&row)
    }

    #[test]
    fn trouble_with_replication_is_named() {
        let max = Some(Duration::from_secs(30));
        for (changes, words) in [
            (
                &[
                    ("Slave_SQL_Running", "No"),
                    ("Last_SQL_Errno", "1062"),
                    ("Last_SQL_Error", "Duplicate entry"),
                ][..],
                "the SQL thread has error 1062: Duplicate entry",
            ),
            (
                &[
                    ("Slave_IO_Running", "No"),
                    ("Last_IO_Errno", "1593"),
                    ("Last_IO_Error", "equal server ids"),
                ],
                "the IO thread has error 1593: equal server ids",
            ),
            (&[("Slave_SQL_Running", "No")], "the SQL thread is stopped"),
            (&[("Seconds_Behind_Master", "31")], "is 31s behind, more than 30s"),
            (
                &[("Connection_name", "dc2"), ("Seconds_Behind_Master", "31")],
                "replication \"dc2\" is 31s behind",
            ),
        ] {
            let trouble = trouble(&replica(changes), max).unwrap();
            assert!(trouble.contains(words), "{trouble}");
        }
    }

    #[test]
    fn a_peer_that_is_gone_and_a_replication_that_is_off_are_no_trouble_of_this_server() {
        for changes in [
            &[][..],
            &[("Seconds_Behind_Master", "30")],
            &[
                ("Slave_IO_Running", "Connecting"),
                ("Last_IO_Errno", "2003"),
                ("Seconds_Behind_Master", "NULL"),
            ],
            &[("Slave_IO_Running", "No"), ("Slave_SQL_Running", "No"), ("Seconds_Behind_Master", "NULL")],
        ] {
            assert_eq!(trouble(&replica(changes), Some(Duration::from_secs(30))), None, "{changes:?}");
        }
        assert_eq!(trouble(&replica(&[("Seconds_Behind_Master", "9999")]), None), None);
    }
}
