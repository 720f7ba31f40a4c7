//! Who a server is and whether it may be written to: the answer to [`Flavour::identity`].

use std::fmt;

use super::{Flavour, Position, PositionError, Product, Row};

/// Who is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writability {
    Writable,
    /// Ordinary users are refused; those with administrative rights write on.
    ReadOnly,
    /// All are refused.
    SuperReadOnly,
}

impl Writability {
    /// Reads `read_only` in every flavour's values; what is not known to mean "writable" is taken as read-only.
    pub fn read(row: &Row) -> Option<Self> {
        let value = row.get(&["read_only"])?;
        if row.flag(&["super_read_only"]) == Some(true) || value.eq_ignore_ascii_case("NO_LOCK_NO_ADMIN") {
            return Some(Self::SuperReadOnly);
        }
        Some(if value == "0" || value.eq_ignore_ascii_case("OFF") { Self::Writable } else { Self::ReadOnly })
    }

    /// Whether anybody without special rights can write.
    pub fn is_writable(self) -> bool {
        self == Self::Writable
    }
}

impl fmt::Display for Writability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Writable => "writable",
            Self::ReadOnly => "read_only",
            Self::SuperReadOnly => "super_read_only",
        })
    }
}

/// A server's word for itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerState {
    pub flavour: Flavour,
    pub server_id: u64,
    /// MySQL only.
    pub uuid: Option<String>,
    pub writability: Writability,
    /// MySQL: nobody without special rights may connect.
    pub is_offline: bool,
    /// One thread applies all that is received; with several, the one that hands out may have read all too early.
    pub is_applied_in_turn: bool,
    /// All it has, written and applied, server by server: MariaDB's gtid_binlog_state with gtid_slave_pos, MySQL's
    /// gtid_executed.
    pub position: Result<Position, PositionError>,
}

impl ServerState {
    /// Reads the row; `None` when a column that every server has is missing.
    pub fn read(row: &Row) -> Option<Self> {
        let flavour = Flavour::of(row.get(&["version"])?);
        let text = |name| row.get(&[name]).unwrap_or_default();
        let position = match flavour.product {
            Product::MariaDb if row.flag(&["log_bin"]) == Some(false) => {
                Err(PositionError::Off("log_bin is off"))
            }
            Product::MariaDb => {
                let is_strict = row.flag(&["gtid_strict_mode"]).unwrap_or(false);
                // What was replicated before the binary log begins, as in a restored backup, is in the latter alone.
                let replicated = Position::parse_mariadb(text("gtid_slave_pos"));
                Position::parse_mariadb(text("gtid_binlog_state"))
                    .and_then(|state| Ok(state.joined_with(&replicated?, is_strict)))
            }
            Product::MySql
                if row.get(&["gtid_mode"]).is_some_and(|mode| !mode.eq_ignore_ascii_case("ON")) =>
            {
                Err(PositionError::Off("gtid_mode is not ON"))
            }
            Product::MySql => Position::parse_mysql(text("gtid_executed")),
        };
        Some(Self {
            flavour,
            server_id: row.number(&["server_id"])?,
            uuid: row.get(&["server_uuid"]).map(str::to_owned),
            writability: Writability::read(row)?,
            is_applied_in_turn: row.number(&["slave_parallel_threads", "slave_parallel_workers"]) == Some(0),
            is_offline: row.flag(&["offline_mode"]).unwrap_or(false),
            position,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mysql::row::tests::recorded;

    #[test]
    fn read_only_is_read_in_every_flavours_values() {
        for (text, expected) in [
            ("read_only: 0", Some(Writability::Writable)),
            ("read_only: OFF", Some(Writability::Writable)),
            ("read_only: 1", Some(Writability::ReadOnly)),
            ("read_only: ON", Some(Writability::ReadOnly)),
            ("read_only: NO_LOCK", Some(Writability::ReadOnly)),
            ("read_only: NO_LOCK_NO_ADMIN", Some(Writability::SuperReadOnly)),
            ("read_only: 1\nsuper_read_only: 1", Some(Writability::SuperReadOnly)),
            ("read_only: 1\nsuper_read_only: 0", Some(Writability::ReadOnly)),
            ("read_only: whatever comes next", Some(Writability::ReadOnly)),
            ("server_id: 1", None),
        ] {
            assert_eq!(Writability::read(&recorded(text)), expected, "{text}");
        }
    }

    #[test]
    fn mysql_8_0_as_its_manual_has_it_is_understood() {
        let state = ServerState::read(&recorded(
            "server_id: 2\nread_only: 1\nserver_uuid: 3e11fa47-71ca-11e1-9e33-c80aa9429562\n\
             gtid_executed: 3e11fa47-71ca-11e1-9e33-c80aa9429562:1-7\nsuper_read_only: 1\noffline_mode: 0\nversion: 8.0.36",
        ))
        .unwrap();
        assert_eq!(
            (state.server_id, state.writability, state.is_offline),
            (2, Writability::SuperReadOnly, false)
        );
        assert_eq!(state.position.unwrap().to_string(), "3e11fa47-71ca-11e1-9e33-c80aa9429562:1-7");
    }

    #[test]
    fn without_transaction_ids_there_is_no_position_rather_than_an_empty_one() {
        for text in [
            "server_id: 1\nread_only: 0\nversion: 10.11.19-MariaDB\nlog_bin: 0\ngtid_binlog_state: \ngtid_slave_pos: 0-2-7",
            "server_id: 1\nread_only: 0\nversion: 8.0.36\ngtid_mode: OFF\ngtid_executed: ",
            "server_id: 1\nread_only: 0\nversion: 8.0.36\ngtid_mode: ON_PERMISSIVE\ngtid_executed: ",
            "server_id: 1\nread_only: 0\nversion: 5.6.24-log\ngtid_mode: UPGRADE_STEP_1\ngtid_executed: ",
        ] {
            let state = ServerState::read(&recorded(text)).unwrap();
            assert!(matches!(state.position, Err(PositionError::Off(_))), "{text}: {:?}", state.position);
        }
        let text = "server_id: 1\nread_only: 0\nversion: 10.11.19-MariaDB\nlog_bin: 1\ngtid_strict_mode: 1\n\
                    gtid_binlog_state: 0-1-5\ngtid_slave_pos: 0-2-3";
        let state = ServerState::read(&recorded(text)).unwrap();
        assert_eq!(state.position.unwrap().to_string(), "0-1-5,0-2-3");
    }

    /// As after several failovers: more than one server wrote, and one transaction was skipped. Lines are broken by the server.
    #[test]
    fn mysql_8_4_as_its_manual_has_it_with_several_writers_is_understood() {
        let state = ServerState::read(&recorded(
            "server_id: 1\nread_only: 0\nserver_uuid: 3e11fa47-71ca-11e1-9e33-c80aa9429562\n\
             gtid_executed: 3e11fa47-71ca-11e1-9e33-c80aa9429562:1-7:9-12, 4e11fa47-71ca-11e1-9e33-c80aa9429562:1-3\n\
             super_read_only: 0\noffline_mode: 0\nversion: 8.4.3",
        ))
        .unwrap();
        assert_eq!((state.server_id, state.writability), (1, Writability::Writable));
        let position = state.position.unwrap();
        let peer = "3e11fa47-71ca-11e1-9e33-c80aa9429562:1-12,4e11fa47-71ca-11e1-9e33-c80aa9429562:1-3";
        let peer = Position::parse_mysql(peer).unwrap();
        assert_eq!(peer.beyond(&position).as_deref(), Some("3e11fa47-71ca-11e1-9e33-c80aa9429562:8"));
        assert_eq!(position.beyond(&peer).as_deref(), Some(""));
    }
}
