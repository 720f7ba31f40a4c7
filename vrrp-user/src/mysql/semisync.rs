//! Semi-synchronous replication, under its old names and its new ones.
//!
//! Owns both sets of names. Refuses to know what a fallback means for the pair.

use super::row::{Row, transpose};

/// Settings and state of one server; absent where the server has no such plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SemiSync {
    /// `master` and `slave` (all of MariaDB, MySQL's old plugins) or `source` and `replica`.
    pub has_new_names: bool,
    pub is_source_enabled: bool,
    pub is_replica_enabled: bool,
    /// Commits wait for a replica now: off after a fallback.
    pub is_source_active: bool,
    pub is_replica_active: bool,
    /// Replicas connected in this mode.
    pub clients: u64,
    /// Sessions whose commit waits now.
    pub waiting: u64,
    /// Commits that a replica has acknowledged, ever; MariaDB: answers of replicas.
    pub acknowledged: u64,
    pub timeout_ms: u64,
    pub wait_point: String,
    /// MySQL: how many replicas must answer.
    pub wait_for: u64,
    /// Commits wait for the timeout even with no replica connected.
    pub waits_for_nobody: bool,
}

impl SemiSync {
    /// From the rows of [`super::statements::SEMI_SYNC_SETTINGS`] and [`super::statements::SEMI_SYNC_STATE`].
    pub fn read(settings: &[Row], state: &[Row]) -> Option<Self> {
        let (settings, state) = (transpose(settings), transpose(state));
        let has_new_names =
            settings.has("rpl_semi_sync_source_enabled") || settings.has("rpl_semi_sync_replica_enabled");
        if !has_new_names
            && !settings.has("rpl_semi_sync_master_enabled")
            && !settings.has("rpl_semi_sync_slave_enabled")
        {
            return None;
        }
        let set =
            |name: &str, older: &str| [format!("rpl_semi_sync_{name}"), format!("rpl_semi_sync_{older}")];
        let flag = |row: &Row, [new, old]: [String; 2]| row.flag(&[&new, &old]).unwrap_or(false);
        let number = |row: &Row, [new, old]: [String; 2]| row.number(&[&new, &old]);
        let [new, old] = set("source_wait_point", "master_wait_point");
        let clients = number(&state, set("source_clients", "master_clients")).unwrap_or(0);
        Some(Self {
            has_new_names,
            is_source_enabled: flag(&settings, set("source_enabled", "master_enabled")),
            is_replica_enabled: flag(&settings, set("replica_enabled", "slave_enabled")),
            is_source_active: flag(&state, set("source_status", "master_status")),
            is_replica_active: flag(&state, set("replica_status", "slave_status")),
            clients,
            waiting: number(&state, set("source_wait_sessions", "master_wait_sessions")).unwrap_or(0),
            // MariaDB also says yes to a commit whose session was ended while it waited.
            acknowledged: state
                .number(&["rpl_semi_sync_master_get_ack"])
                .or_else(|| number(&state, set("source_yes_tx", "master_yes_tx")))
                .unwrap_or(0),
            timeout_ms: number(&settings, set("source_timeout", "master_timeout")).unwrap_or(0),
            wait_point: settings.get(&[&new, &old]).unwrap_or_default().to_owned(),
            wait_for: number(&settings, set("source_wait_for_replica_count", "master_wait_for_slave_count"))
                .unwrap_or(1),
            waits_for_nobody: flag(&settings, set("source_wait_no_replica", "master_wait_no_slave")),
        })
    }

    /// Whether a commit made now would wait for the whole timeout: waiting is on and too few replicas are there.
    pub fn would_stall(&self) -> bool {
        self.would_stall_without(0)
    }

    /// The same with so many of the replicas gone: a source counts a dead one until it next sends to it.
    pub fn would_stall_without(&self, gone: u64) -> bool {
        self.is_source_enabled && self.is_source_active && self.clients.saturating_sub(gone) < self.wait_for
    }

    /// Whether commits wait now, and no replica has acknowledged any since `before`.
    pub fn has_waited_in_vain_since(&self, before: &Self) -> bool {
        self.is_source_active
            && self.waiting > 0
            && (self.would_stall() || self.acknowledged == before.acknowledged)
    }

    /// MariaDB's, switched on and with so many replicas; for tests.
    #[cfg(test)]
    pub fn of_source(clients: u64) -> Self {
        Self {
            has_new_names: false,
            is_source_enabled: true,
            is_replica_enabled: true,
            is_source_active: true,
            is_replica_active: false,
            clients,
            waiting: 0,
            acknowledged: 0,
            timeout_ms: 10_000,
            wait_point: "AFTER_SYNC".to_owned(),
            wait_for: 1,
            waits_for_nobody: true,
        }
    }

    /// Makes commits wait for a replica, or not.
    pub fn set_source(&self, is_on: bool) -> String {
        let name = if self.has_new_names { "source" } else { "master" };
        format!("SET GLOBAL rpl_semi_sync_{name}_enabled = {}", u8::from(is_on))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(pairs: &[(&str, &str)]) -> Vec<Row> {
        let row = |(name, value): &(&str, &str)| {
            [("Variable_name", *name), ("Value", *value)]
                .map(|(k, v)| (k.to_owned(), Some(v.to_owned())))
                .into_iter()
                .collect()
        };
        pairs.iter().map(row).collect()
    }

    #[test]
    fn old_and_new_names_mean_the_same() {
        let old = SemiSync::read(
            &rows(&[
                ("rpl_semi_sync_master_enabled", "ON"),
                ("rpl_semi_sync_slave_enabled", "ON"),
                ("rpl_semi_sync_master_timeout", "10000"),
                ("rpl_semi_sync_master_wait_point", "AFTER_COMMIT"),
                ("rpl_semi_sync_master_wait_no_slave", "ON"),
            ]),
            &rows(&[
                ("Rpl_semi_sync_master_status", "ON"),
                ("Rpl_semi_sync_master_clients", "0"),
                ("Rpl_semi_sync_master_yes_tx", "7"),
            ]),
        );
        let new = SemiSync::read(
            &rows(&[
                ("rpl_semi_sync_source_enabled", "ON"),
                ("rpl_semi_sync_replica_enabled", "ON"),
                ("rpl_semi_sync_source_timeout", "10000"),
                ("rpl_semi_sync_source_wait_point", "AFTER_COMMIT"),
                ("rpl_semi_sync_source_wait_no_replica", "ON"),
            ]),
            &rows(&[
                ("Rpl_semi_sync_source_status", "ON"),
                ("Rpl_semi_sync_source_clients", "0"),
                ("Rpl_semi_sync_source_yes_tx", "7"),
            ]),
        );
        let (old, new) = (old.unwrap(), new.unwrap());
        assert_eq!(SemiSync { has_new_names: true, ..old.clone() }, new);
        assert!(old.would_stall() && old.timeout_ms == 10_000 && old.acknowledged == 7);
        assert_eq!(old.set_source(false), "SET GLOBAL rpl_semi_sync_master_enabled = 0");
        assert_eq!(new.set_source(true), "SET GLOBAL rpl_semi_sync_source_enabled = 1");
        let with_one = SemiSync { clients: 1, ..new.clone() };
        assert!(!with_one.would_stall() && with_one.would_stall_without(1));
        assert!(!SemiSync { is_source_active: false, ..new }.would_stall(), "it has fallen back already");
    }

    #[test]
    fn a_source_that_waits_for_two_stalls_with_one() {
        let state = |clients| {
            SemiSync::read(
                &rows(&[
                    ("rpl_semi_sync_source_enabled", "ON"),
                    ("rpl_semi_sync_source_timeout", "10000"),
                    ("rpl_semi_sync_source_wait_for_replica_count", "2"),
                ]),
                &rows(&[("Rpl_semi_sync_source_status", "ON"), ("Rpl_semi_sync_source_clients", clients)]),
            )
            .unwrap()
        };
        assert!(state("1").would_stall() && !state("2").would_stall());
        assert!(state("2").would_stall_without(1));
    }

    #[test]
    fn commits_wait_in_vain_while_nobody_acknowledges_any() {
        let semi = |clients: &str, waiting: &str, acknowledged: &str| {
            let settings =
                rows(&[("rpl_semi_sync_master_enabled", "ON"), ("rpl_semi_sync_master_timeout", "10000")]);
            let state = rows(&[
                ("Rpl_semi_sync_master_status", "ON"),
                ("Rpl_semi_sync_master_clients", clients),
                ("Rpl_semi_sync_master_wait_sessions", waiting),
                ("Rpl_semi_sync_master_yes_tx", acknowledged),
            ]);
            SemiSync::read(&settings, &state).unwrap()
        };
        let before = semi("1", "3", "7");
        assert!(semi("1", "3", "7").has_waited_in_vain_since(&before));
        // MariaDB counts one as acknowledged whose session was ended.
        assert!(semi("0", "1", "8").has_waited_in_vain_since(&before));
        assert!(!semi("1", "3", "8").has_waited_in_vain_since(&before), "what hangs hangs elsewhere");
        assert!(!semi("1", "0", "7").has_waited_in_vain_since(&before), "nobody waits for a replica");
        let state = rows(&[("Rpl_semi_sync_master_yes_tx", "8"), ("Rpl_semi_sync_master_get_ack", "7")]);
        let ended = SemiSync::read(&rows(&[("rpl_semi_sync_master_enabled", "ON")]), &state).unwrap();
        assert_eq!(ended.acknowledged, 7, "a session that was ended is no answer of a replica");
        let off = SemiSync { is_source_active: false, ..semi("0", "3", "7") };
        assert!(!off.has_waited_in_vain_since(&before));
    }

    #[test]
    fn a_server_without_the_plugin_has_none() {
        assert_eq!(SemiSync::read(&[], &[]), None);
    }
}
