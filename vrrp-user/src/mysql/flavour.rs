//! Which server this is, from its own word for its version.
//!
//! Owns the lines between versions at which a statement or a variable changed. Refuses to know the statements.

use std::fmt;

/// Who made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Product {
    MySql,
    MariaDb,
}

/// Product and version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flavour {
    pub product: Product,
    /// Major, minor, patch.
    pub version: (u16, u16, u16),
}

impl Flavour {
    /// From the greeting's version or from `SELECT VERSION()`: `8.0.36`, `5.6.24-log`, `10.11.19-MariaDB-0+deb12u1`.
    ///
    /// A version that cannot be read counts as 0.0.0: the oldest statements, which every server once knew.
    pub fn of(version: &str) -> Self {
        let product =
            if version.to_ascii_lowercase().contains("mariadb") { Product::MariaDb } else { Product::MySql };
        // MariaDB before 11 greets as "5.5.5-10.11.19-MariaDB", for replicas that expect a 5 at the front.
        let plain = match (product, version.strip_prefix("5.5.5-")) {
            (Product::MariaDb, Some(rest)) => rest,
            (Product::MariaDb | Product::MySql, _) => version,
        };
        let mut numbers = plain.split(['.', '-', '+']).map_while(|part| part.parse::<u16>().ok());
        let mut next = || numbers.next().unwrap_or(0);
        let version = (next(), next(), next());
        Self { product, version }
    }

    /// Whether it is MariaDB.
    pub fn is_mariadb(self) -> bool {
        self.product == Product::MariaDb
    }

    /// MySQL of at least this version.
    pub fn is_mysql_from(self, major: u16, minor: u16, patch: u16) -> bool {
        self.product == Product::MySql && self.version >= (major, minor, patch)
    }

    /// MariaDB of at least this version.
    pub fn is_mariadb_from(self, major: u16, minor: u16, patch: u16) -> bool {
        self.product == Product::MariaDb && self.version >= (major, minor, patch)
    }

    /// `super_read_only`: also those with administrative rights are refused.
    pub fn has_super_read_only(self) -> bool {
        self.is_mysql_from(5, 7, 8)
    }

    /// `read_only` is an enumeration whose strictest value is MySQL's super_read_only (MDEV-36425).
    pub fn has_read_only_levels(self) -> bool {
        self.is_mariadb_from(12, 0, 1)
    }

    /// `SHOW REPLICA STATUS`, `STOP REPLICA`, with columns named after source and replica.
    pub fn says_replica(self) -> bool {
        self.is_mysql_from(8, 0, 22)
    }
}

impl fmt::Display for Flavour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let product = match self.product {
            Product::MySql => "MySQL",
            Product::MariaDb => "MariaDB",
        };
        let (major, minor, patch) = self.version;
        write!(f, "{product} {major}.{minor}.{patch}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_real_servers_are_read() {
        for (text, shown) in [
            ("5.6.24-log", "MySQL 5.6.24"),
            ("8.0.36-0ubuntu0.22.04.1", "MySQL 8.0.36"),
            ("8.4.0", "MySQL 8.4.0"),
            ("10.11.19-MariaDB-0+deb12u1-log", "MariaDB 10.11.19"),
            ("5.5.5-10.11.19-MariaDB-0+deb12u1", "MariaDB 10.11.19"),
            ("12.0.1-MariaDB", "MariaDB 12.0.1"),
            ("8.0.35-27 Percona", "MySQL 8.0.35"),
            ("what", "MySQL 0.0.0"),
            ("", "MySQL 0.0.0"),
        ] {
            assert_eq!(Flavour::of(text).to_string(), shown, "{text}");
        }
    }

    #[test]
    fn a_mysql_that_calls_itself_5_5_5_is_taken_at_its_word() {
        assert_eq!(Flavour::of("5.5.5-log").version, (5, 5, 5));
    }

    #[test]
    fn what_changed_changes_at_its_version() {
        assert!(!Flavour::of("8.0.21").says_replica() && Flavour::of("8.0.22").says_replica());
        assert!(!Flavour::of("5.7.7").has_super_read_only() && Flavour::of("5.7.8").has_super_read_only());
        assert!(!Flavour::of("10.11.19-MariaDB").has_super_read_only());
        assert!(!Flavour::of("11.8.2-MariaDB").has_read_only_levels());
        assert!(Flavour::of("12.0.1-MariaDB").has_read_only_levels());
        assert!(!Flavour::of("10.11.19-MariaDB").says_replica(), "MariaDB keeps its column names");
    }
}
