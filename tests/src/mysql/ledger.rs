//! The reckoning: what the client was told it has written against what a server holds.
//!
//! Owns the comparison. Refuses to excuse a difference.

use std::{collections::BTreeMap, fmt, ops::RangeInclusive, path::Path, time::Duration};

use anyhow::{Context, Result};
use mysql::prelude::Queryable;

use super::{Record, Server, server::connect_as_root};

/// The numbers in a server's table, each with how often it is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    rows: BTreeMap<u64, u64>,
}

/// What the comparison found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    pub acknowledged: usize,
    /// Acknowledged and not there.
    pub lost: Vec<u64>,
    /// There more than once.
    pub duplicated: Vec<u64>,
    /// Never acknowledged, in doubt, and there: allowed.
    pub in_doubt_but_there: Vec<u64>,
    /// Refused by the server, or never sent, and there all the same.
    pub never_written: Vec<u64>,
}

impl Ledger {
    /// Reads the table of a server.
    pub fn read(server: &Server) -> Result<Self> {
        let mut connection = server.connect()?;
        let rows: Vec<(u64, u64)> = connection
            .query("SELECT number, COUNT(*) FROM lab.writes GROUP BY number")
            .with_context(|| format!("read the writes on {}", server.host()))?;
        Ok(Self { rows: rows.into_iter().collect() })
    }

    /// Reads the numbers of that range alone, by the server's Unix socket, and waits no longer than `limit` for the answer.
    pub fn read_range(socket: &Path, numbers: RangeInclusive<u64>, limit: Duration) -> Result<Self> {
        let mut connection = connect_as_root(socket, limit)
            .with_context(|| format!("log in at {} as root", socket.display()))?;
        let query = format!(
            "SELECT number, COUNT(*) FROM lab.writes WHERE number BETWEEN {} AND {} GROUP BY number",
            numbers.start(),
            numbers.end()
        );
        let rows: Vec<(u64, u64)> =
            connection.query(query).with_context(|| format!("read the writes at {}", socket.display()))?;
        Ok(Self { rows: rows.into_iter().collect() })
    }

    /// How many different numbers it holds.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The numbers that are here and not there.
    pub fn beyond(&self, other: &Self) -> Vec<u64> {
        self.rows.keys().filter(|number| !other.rows.contains_key(number)).copied().collect()
    }

    /// Compares it with what the client was told.
    pub fn compare(&self, record: &Record) -> Verdict {
        let acknowledged: Vec<u64> = record.acknowledged.iter().map(|write| write.number).collect();
        let mut unexplained = self.rows.clone();
        let lost =
            acknowledged.iter().copied().filter(|number| unexplained.remove(number).is_none()).collect();
        let in_doubt = record.failures.iter().filter(|failure| failure.is_in_doubt());
        let in_doubt = in_doubt.filter_map(|failure| failure.number);
        let in_doubt_but_there = in_doubt.filter(|number| unexplained.remove(number).is_some()).collect();
        let duplicated =
            self.rows.iter().filter(|(_, count)| **count > 1).map(|(number, _)| *number).collect();
        Verdict {
            acknowledged: acknowledged.len(),
            lost,
            duplicated,
            in_doubt_but_there,
            never_written: unexplained.into_keys().collect(),
        }
    }
}

impl Verdict {
    /// Nothing acknowledged is missing, nothing is there twice or out of nowhere.
    pub fn is_clean(&self) -> bool {
        self.lost.is_empty() && self.duplicated.is_empty() && self.never_written.is_empty()
    }

    /// Panics with the numbers unless it is clean.
    pub fn assert_clean(&self) {
        assert!(self.is_clean(), "{self}");
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} acknowledged, {} lost {:?}, {} twice {:?}, {} in doubt but there, {} out of nowhere {:?}",
            self.acknowledged,
            self.lost.len(),
            self.lost,
            self.duplicated.len(),
            self.duplicated,
            self.in_doubt_but_there.len(),
            self.never_written.len(),
            self.never_written
        )
    }
}
