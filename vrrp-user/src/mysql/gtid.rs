//! Positions by global transaction id, of both products, and how two of them relate.
//!
//! Owns the arithmetic, which MariaDB's servers cannot do for us. Refuses to know where the positions come from.

use std::collections::BTreeMap;
use std::fmt;

use thiserror::Error;

/// Why there is no position.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PositionError {
    #[error("{text:?} is no GTID position: {why}; was it asked of a server of the other product?")]
    Malformed { text: String, why: &'static str },
    /// An empty position would pass for one that has everything.
    #[error("transaction ids do not tell what the server has: {0}")]
    Off(&'static str),
}

/// Everything up to here was written or applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Position {
    /// `domain-server-sequence`, the last per domain and server (`gtid_binlog_state`) or per domain (`gtid_binlog_pos`).
    /// `is_linear`: by gtid_strict_mode, whoever has one transaction of a domain has all before it.
    MariaDb { last: BTreeMap<(u32, u32), u64>, is_linear: bool },
    /// `uuid:intervals`, complete.
    MySql(BTreeMap<String, Vec<(u64, u64)>>),
}

/// How what one server has relates to what another has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Relation {
    Equal,
    /// The first has these, the second does not.
    Ahead(String),
    /// The second has these, the first does not.
    Behind(String),
    /// Each has something that the other has not.
    Diverged {
        ours: String,
        theirs: String,
    },
    /// One is MariaDB's, the other MySQL's.
    Incomparable,
}

impl Position {
    /// MariaDB: `0-1-100,0-2-98`; empty is the beginning.
    pub fn parse_mariadb(text: &str) -> Result<Self, PositionError> {
        let fail = |why| PositionError::Malformed { text: text.to_owned(), why };
        let mut last: BTreeMap<(u32, u32), u64> = BTreeMap::new();
        for part in parts(text) {
            let mut numbers = part.split('-');
            let mut next = || numbers.next().and_then(|number| number.parse::<u64>().ok());
            let (Some(domain), Some(server), Some(sequence)) = (next(), next(), next()) else {
                return Err(fail("each part is three numbers, domain-server-sequence"));
            };
            let (Ok(domain), Ok(server)) = (u32::try_from(domain), u32::try_from(server)) else {
                return Err(fail("domain and server fit into 32 bits"));
            };
            let known = last.entry((domain, server)).or_default();
            *known = sequence.max(*known);
        }
        Ok(Self::MariaDb { last, is_linear: false })
    }

    /// With what that one says beside it; MariaDB: in strict mode or not.
    #[must_use]
    pub fn joined_with(mut self, other: &Self, is_strict: bool) -> Self {
        match (&mut self, other) {
            (Self::MariaDb { last, is_linear }, Self::MariaDb { last: more, .. }) => {
                for (key, sequence) in more {
                    let known = last.entry(*key).or_default();
                    *known = (*sequence).max(*known);
                }
                *is_linear = is_strict;
            }
            (Self::MySql(sets), Self::MySql(more)) => {
                for (name, intervals) in more {
                    let known = sets.entry(name.clone()).or_default();
                    known.extend(intervals);
                    merge(known);
                }
            }
            (Self::MariaDb { .. }, Self::MySql(_)) | (Self::MySql(_), Self::MariaDb { .. }) => {}
        }
        self
    }

    /// What either has. Of one product, or it is as before.
    #[must_use]
    pub fn united_with(self, other: &Self) -> Self {
        match (self, other) {
            (Self::MySql(mut sets), Self::MySql(more)) => {
                for (name, intervals) in more {
                    let all = sets.entry(name.clone()).or_default();
                    all.extend(intervals);
                    merge(all);
                }
                Self::MySql(sets)
            }
            (this @ Self::MariaDb { is_linear, .. }, other) => this.joined_with(other, is_linear),
            (this @ Self::MySql(_), Self::MariaDb { .. }) => this,
        }
    }

    /// MySQL: `uuid:1-5:7,uuid:1`; empty is the beginning. Tagged ids (8.3 and later) keep their tag in the name.
    pub fn parse_mysql(text: &str) -> Result<Self, PositionError> {
        let fail = |why| PositionError::Malformed { text: text.to_owned(), why };
        let mut sets: BTreeMap<String, Vec<(u64, u64)>> = BTreeMap::new();
        for part in parts(text) {
            let mut pieces = part.split(':').map(str::trim);
            let uuid = pieces.next().unwrap_or_default().to_ascii_lowercase();
            if uuid.len() != 36 || !uuid.chars().all(|c| c.is_ascii_hexdigit() || c == '-') {
                return Err(fail("each part starts with a UUID"));
            }
            let mut name = uuid.clone();
            let mut has_interval = false;
            for piece in pieces {
                if piece.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
                    if !piece.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
                        return Err(fail("a tag is letters, digits and underscores"));
                    }
                    name = format!("{uuid}:{piece}");
                    continue;
                }
                let (first, last) = piece.split_once('-').unwrap_or((piece, piece));
                let (Ok(first), Ok(last)) = (first.parse::<u64>(), last.parse::<u64>()) else {
                    return Err(fail("what follows the UUID are numbers or ranges of them"));
                };
                if first == 0 || last < first {
                    return Err(fail("a range counts upwards, from 1"));
                }
                // GNO_END of the server is its limit.
                if last >= i64::MAX.unsigned_abs() {
                    return Err(fail("a number is beyond what servers count to"));
                }
                sets.entry(name.clone()).or_default().push((first, last));
                has_interval = true;
            }
            if !has_interval {
                return Err(fail("nothing follows the UUID"));
            }
        }
        sets.values_mut().for_each(merge);
        Ok(Self::MySql(sets))
    }

    /// What of it was written by that server itself: by its id on MariaDB, by its UUID on MySQL.
    #[must_use]
    pub fn of_server(&self, server_id: u64, uuid: Option<&str>) -> Self {
        match self {
            Self::MariaDb { last, is_linear } => {
                let own = last.iter().filter(|((_, server), _)| u64::from(*server) == server_id);
                Self::MariaDb { last: own.map(|(key, last)| (*key, *last)).collect(), is_linear: *is_linear }
            }
            Self::MySql(sets) => {
                let uuid = uuid.unwrap_or_default().to_ascii_lowercase();
                // With or without a tag.
                let own = sets.iter().filter(|(name, _)| name.split(':').next() == Some(uuid.as_str()));
                Self::MySql(own.map(|(name, intervals)| (name.clone(), intervals.clone())).collect())
            }
        }
    }

    /// Whether it is the beginning.
    pub fn is_empty(&self) -> bool {
        match self {
            Self::MariaDb { last, .. } => last.is_empty(),
            Self::MySql(sets) => sets.is_empty(),
        }
    }

    /// What `self` has and `other` has not, as text for people; empty for nothing.
    ///
    /// MariaDB counts one sequence per domain over all servers, so per (domain, server) it is known how far each came, not
    /// how many: the range is what may be missing at most.
    pub fn beyond(&self, other: &Self) -> Option<String> {
        let lacks = match (self, other) {
            (
                Self::MariaDb { last: ours, is_linear: is_ours },
                Self::MariaDb { last: theirs, is_linear: is_theirs },
            ) => {
                let is_linear = *is_ours && *is_theirs;
                let is_news = |(key, sequence): &(&(u32, u32), &u64)| match theirs.get(key) {
                    Some(known) => *sequence > known,
                    // Restored from a backup it knows of no server that wrote before: what both have lies behind that.
                    None => !is_linear || **sequence >= shared(ours, theirs, key.0),
                };
                let show = |(key, sequence): (&(u32, u32), &u64)| {
                    range(*key, shared(ours, theirs, key.0).saturating_add(1), *sequence)
                };
                ours.iter().filter(is_news).map(show).collect::<Vec<_>>()
            }
            (Self::MySql(ours), Self::MySql(theirs)) => {
                let left = ours.iter().map(|(uuid, intervals)| {
                    let known = theirs.get(uuid).map_or(&[][..], Vec::as_slice);
                    (uuid.clone(), subtract(intervals, known))
                });
                let left: BTreeMap<_, _> = left.filter(|(_, intervals)| !intervals.is_empty()).collect();
                if left.is_empty() { Vec::new() } else { vec![Self::MySql(left).to_string()] }
            }
            (Self::MariaDb { .. }, Self::MySql(_)) | (Self::MySql(_), Self::MariaDb { .. }) => return None,
        };
        Some(lacks.join(","))
    }

    /// How what `self` has relates to what `other` has. MariaDB: of `gtid_binlog_state`, which tells the servers apart.
    pub fn relate(&self, other: &Self) -> Relation {
        match (self.beyond(other), other.beyond(self)) {
            (Some(ours), Some(theirs)) => match (ours.is_empty(), theirs.is_empty()) {
                (true, true) => Relation::Equal,
                (false, true) => Relation::Ahead(ours),
                (true, false) => Relation::Behind(theirs),
                (false, false) => Relation::Diverged { ours, theirs },
            },
            (None, _) | (_, None) => Relation::Incomparable,
        }
    }
}

/// How far both came in a domain: its servers share one sequence, so up to here both have the same.
fn shared(ours: &BTreeMap<(u32, u32), u64>, theirs: &BTreeMap<(u32, u32), u64>, domain: u32) -> u64 {
    let common = ours.iter().filter_map(|(key, sequence)| {
        let other = theirs.get(key).filter(|_| key.0 == domain)?;
        Some(*sequence.min(other))
    });
    common.max().unwrap_or(0)
}

fn range((domain, server): (u32, u32), first: u64, last: u64) -> String {
    if first >= last {
        format!("{domain}-{server}-{last}")
    } else {
        format!("{domain}-{server}-{first}..{last}")
    }
}

fn parts(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|part| !part.is_empty())
}

fn merge(intervals: &mut Vec<(u64, u64)>) {
    intervals.sort_unstable();
    let mut merged: Vec<(u64, u64)> = Vec::with_capacity(intervals.len());
    for &(first, last) in intervals.iter() {
        match merged.last_mut() {
            Some(before) if first <= before.1.saturating_add(1) => before.1 = before.1.max(last),
            Some(_) | None => merged.push((first, last)),
        }
    }
    *intervals = merged;
}

/// Both merged and sorted.
fn subtract(from: &[(u64, u64)], what: &[(u64, u64)]) -> Vec<(u64, u64)> {
    let mut left = Vec::new();
    for &(first, last) in from {
        let mut next = first;
        for &(gone_first, gone_last) in what.iter().filter(|gone| gone.1 >= first && gone.0 <= last) {
            if gone_first > next {
                left.push((next, gone_first - 1));
            }
            next = next.max(gone_last.saturating_add(1));
        }
        if next <= last {
            left.push((next, last));
        }
    }
    left
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<String> = match self {
            Self::MariaDb { last, .. } => last
                .iter()
                .map(|((domain, server), sequence)| format!("{domain}-{server}-{sequence}"))
                .collect(),
            Self::MySql(sets) => sets
                .iter()
                .map(|(uuid, intervals)| {
                    let show = |&(first, last): &(u64, u64)| {
                        if first == last { first.to_string() } else { format!("{first}-{last}") }
                    };
                    format!("{uuid}:{}", intervals.iter().map(show).collect::<Vec<_>>().join(":"))
                })
                .collect(),
        };
        f.write_str(&parts.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";
    const B: &str = "4e11fa47-71ca-11e1-9e33-c80aa9429562";

    fn maria(text: &str) -> Position {
        Position::parse_mariadb(text).unwrap()
    }

    fn mysql(text: &str) -> Position {
        Position::parse_mysql(text).unwrap()
    }

    #[test]
    fn positions_survive_parse_and_show() {
        for text in ["", "0-1-100", "0-1-100,0-2-98,7-3-1"] {
            assert_eq!(maria(text).to_string(), text);
        }
        assert_eq!(mysql(&format!("{A}:1-5:7,\n{B}:1")).to_string(), format!("{A}:1-5:7,{B}:1"));
        assert_eq!(mysql(&format!("{A}:3-4:1-2:6")).to_string(), format!("{A}:1-4:6"), "merged");
        assert_eq!(mysql(&format!("{A}:tag:1-2:3")).to_string(), format!("{A}:tag:1-3"));
    }

    #[test]
    fn what_is_no_position_is_refused() {
        for text in ["0-1", "x", "0-1-", "5000000000-1-1"] {
            assert!(Position::parse_mariadb(text).is_err(), "{text}");
        }
        for text in
            ["0-1-5", A, &format!("{A}:0-3"), &format!("{A}:5-3"), &format!("{A}:x-y"), &format!("{A}:x'y:1")]
        {
            assert!(Position::parse_mysql(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_standby_that_lags_lacks_the_end() {
        assert_eq!(maria("0-1-100").relate(&maria("0-1-95")), Relation::Ahead("0-1-96..100".into()));
        assert_eq!(maria("0-1-95").relate(&maria("0-1-96")), Relation::Behind("0-1-96".into()));
        assert_eq!(maria("0-1-95").relate(&maria("0-1-95")), Relation::Equal);
        let (ours, theirs) = (mysql(&format!("{A}:1-100,{B}:1-3")), mysql(&format!("{A}:1-90:95,{B}:1-3")));
        assert_eq!(ours.relate(&theirs), Relation::Ahead(format!("{A}:91-94:96-100")));
        assert_eq!(theirs.relate(&ours), Relation::Behind(format!("{A}:91-94:96-100")));
    }

    #[test]
    fn after_a_switch_the_range_starts_where_the_other_writer_ended() {
        // 1 wrote to 90, 2 took over and wrote 91 to 98, which the other lacks.
        let (ours, theirs) = (maria("0-1-90,0-2-98"), maria("0-1-90"));
        assert_eq!(ours.relate(&theirs), Relation::Ahead("0-2-91..98".into()));
    }

    #[test]
    fn both_written_to_is_divergence() {
        let (ours, theirs) = (maria("0-1-100,0-2-90"), maria("0-1-95,0-2-98"));
        assert_eq!(
            ours.relate(&theirs),
            Relation::Diverged { ours: "0-1-96..100".into(), theirs: "0-2-96..98".into() }
        );
        let (ours, theirs) = (mysql(&format!("{A}:1-100")), mysql(&format!("{A}:1-99,{B}:1")));
        assert_eq!(
            ours.relate(&theirs),
            Relation::Diverged { ours: format!("{A}:100"), theirs: format!("{B}:1") }
        );
    }

    #[test]
    fn the_same_sequence_of_different_servers_is_divergence() {
        let relation = maria("0-1-100").relate(&maria("0-2-100,0-1-99"));
        assert!(matches!(relation, Relation::Diverged { .. }), "{relation:?}");
    }

    #[test]
    fn what_either_has_is_all_that_both_have() {
        let both = mysql(&format!("{A}:1-5:9")).united_with(&mysql(&format!("{A}:4-8,{B}:1")));
        assert_eq!(both, mysql(&format!("{A}:1-9,{B}:1")));
        let both = maria("0-1-9,0-2-3").united_with(&maria("0-1-5,0-2-8,1-2-1"));
        assert_eq!(both, maria("0-1-9,0-2-8,1-2-1"));
        assert_eq!(maria("0-1-9").united_with(&mysql(&format!("{A}:1"))), maria("0-1-9"));
    }

    #[test]
    fn a_servers_own_part_is_what_it_wrote_itself() {
        assert_eq!(maria("0-1-100,0-2-98,7-2-3").of_server(2, None), maria("0-2-98,7-2-3"));
        let both = mysql(&format!("{A}:1-5:tag:1-2,{B}:1"));
        assert_eq!(both.of_server(1, Some(&A.to_uppercase())), mysql(&format!("{A}:1-5:tag:1-2")));
        assert!(both.of_server(1, None).is_empty());
    }

    /// mariabackup brings gtid_slave_pos and an empty binary log.
    #[test]
    fn a_server_restored_from_a_backup_has_what_the_backup_had() {
        let strict = |state: &str, replicated: &str| maria(state).joined_with(&maria(replicated), true);
        let survivor = strict("0-1-5000,0-2-6000", "0-1-5000");
        assert_eq!(survivor.relate(&strict("", "0-2-6000")), Relation::Equal);
        let survivor = strict("0-1-5000,0-2-6010", "0-1-5000");
        assert_eq!(
            survivor.relate(&strict("0-2-6005", "0-2-6005")),
            Relation::Ahead("0-2-6006..6010".into())
        );
        assert_eq!(survivor.relate(&strict("0-2-6010", "0-2-6010")), Relation::Equal);
        // Without strict mode nothing says that a domain's history is one line.
        let loose = maria("0-1-5000,0-2-6000").relate(&maria("").joined_with(&maria("0-2-6000"), false));
        assert!(matches!(loose, Relation::Ahead(_)), "{loose:?}");
    }

    #[test]
    fn strict_mode_hides_no_divergence() {
        let strict = |state: &str| maria(state).joined_with(&maria(""), true);
        // The first writes of server 1 ever, in a partition: 2 went on without them.
        let relation = strict("0-1-97,0-2-95").relate(&strict("0-2-98"));
        assert_eq!(relation, Relation::Diverged { ours: "0-1-96..97".into(), theirs: "0-2-96..98".into() });
        assert!(matches!(strict("0-1-5").relate(&strict("0-2-9")), Relation::Diverged { .. }));
        assert!(matches!(strict("0-1-96").relate(&strict("0-2-96")), Relation::Diverged { .. }));
    }

    #[test]
    fn positions_of_different_products_are_not_compared() {
        assert_eq!(maria("0-1-1").relate(&mysql(&format!("{A}:1"))), Relation::Incomparable);
    }
}
