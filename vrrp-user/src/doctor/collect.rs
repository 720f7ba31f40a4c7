//! Asks a server everything that the rules want to know.
//!
//! Owns the questions and their deadlines. A question that a server refuses, or does not answer in time, leaves its answer
//! empty; only the first, who it is, must be answered. Refuses to judge.

use std::time::Duration;

use super::facts::Answers;
use crate::database::{DatabaseError, Login, Session};
use crate::mysql::row::Row;
use crate::mysql::{Flavour, statements};
use crate::net::clock;

const LIMIT: Duration = Duration::from_secs(5);
/// The server's own bound: it gives up before we do, and leaves nothing behind.
const SERVERS_LIMIT: Duration = Duration::from_millis(4500);
/// It hangs with the binary log's disk full, and that is a finding.
const BINLOG_LIMIT: Duration = Duration::from_secs(2);

const ACCOUNTS: &str = "SELECT user AS user, host AS host, plugin AS plugin FROM mysql.user";
const PRIVILEGES: &str =
    "SELECT grantee AS grantee, privilege_type AS privilege_type FROM information_schema.user_privileges";
/// Only what a heartbeat needs.
const TABLE_PRIVILEGES: &str = "SELECT grantee AS grantee, table_schema AS table_schema, table_name AS table_name, \
    privilege_type AS privilege_type FROM information_schema.table_privileges \
    WHERE privilege_type IN ('INSERT', 'UPDATE')";
const SCHEMA_PRIVILEGES: &str = "SELECT grantee AS grantee, table_schema AS table_schema, \
    privilege_type AS privilege_type FROM information_schema.schema_privileges \
    WHERE privilege_type IN ('INSERT', 'UPDATE')";
const SESSIONS: &str = "SHOW FULL PROCESSLIST";
const PROGRAMS: &str = "SELECT attr_value AS program FROM performance_schema.session_connect_attrs \
    WHERE attr_name IN ('program_name', '_program_name')";
/// MySQL from 5.7.
const HEARTBEAT_INTERVAL: &str =
    "SELECT heartbeat_interval AS period FROM performance_schema.replication_connection_configuration";
/// No such database, no such table.
const ABSENT: [u16; 2] = [1049, 1146];
/// The server's own bound on a statement: MariaDB's, MySQL's.
const BOUND_FIRED: [u16; 2] = [1969, 3024];
const EVENTS: &str = "SELECT COUNT(*) AS events FROM information_schema.events WHERE status = 'ENABLED'";
/// Tables that are no InnoDB tables, or have no primary key. By columns: constraints are shown only to who may write.
const TABLES: &str = "SELECT t.table_schema AS table_schema, t.table_name AS table_name, t.engine AS engine, \
    MAX(c.column_key = 'PRI') AS has_key \
    FROM information_schema.tables t LEFT JOIN information_schema.columns c \
    ON c.table_schema = t.table_schema AND c.table_name = t.table_name \
    WHERE t.table_type = 'BASE TABLE' \
    AND t.table_schema NOT IN ('mysql', 'information_schema', 'performance_schema', 'sys') \
    GROUP BY t.table_schema, t.table_name, t.engine \
    HAVING engine <> 'InnoDB' OR has_key IS NULL OR has_key = 0 LIMIT 1000";
const CLOCK: &str = "SELECT UNIX_TIMESTAMP(NOW(6)) AS now";

/// Logs in and asks; `heartbeats` are tables, as `schema.table` of plain words.
pub(super) async fn ask(login: &Login, heartbeats: &[&str]) -> Result<Answers, DatabaseError> {
    let (mut session, flavour, identity) = meet(login).await?;
    bound(&mut session, flavour).await?;
    let mut asker = Asker { login, session, flavour, unanswered: Vec::new() };
    let mut answers = Answers { identity, ..Answers::default() };
    answers.variables = asker.list("its settings", "SHOW GLOBAL VARIABLES").await?;
    answers.status = asker.list("its counters", "SHOW GLOBAL STATUS").await?;
    answers.replicas = asker.list("its replication", flavour.replica_status()).await?;
    answers.accounts = asker.list("its accounts", ACCOUNTS).await?;
    answers.privileges = asker.list("rights", PRIVILEGES).await?;
    for (what, sql) in [("rights to tables", TABLE_PRIVILEGES), ("rights to schemas", SCHEMA_PRIVILEGES)] {
        answers.narrow_privileges.extend(asker.list(what, sql).await?);
    }
    for table in heartbeats {
        answers.heartbeats.push(((*table).to_owned(), asker.is_there(table).await?));
    }
    answers.sessions = asker.list("its sessions", SESSIONS).await?;
    answers.programs = asker.list("connected programs", PROGRAMS).await?;
    if flavour.is_mysql_from(5, 7, 0) {
        let periods = asker.list("the heartbeat period", HEARTBEAT_INTERVAL).await?;
        answers.heartbeat_interval = periods.first().and_then(|row| row.get(&["period"])).map(str::to_owned);
    }
    answers.tables = asker.rows("its tables", TABLES).await?;
    let events = asker.list("its events", EVENTS).await?;
    answers.events = events.first().and_then(|row| row.number(&["events"]));
    answers.read_only_origin = asker.origin().await?;
    answers.clock_offset_ms = asker.clock_offset().await?;
    let Asker { mut session, unanswered, .. } = asker;
    answers.unanswered = unanswered;
    // Last: if it hangs, the connection is lost.
    answers.binlog = match session.rows("binary log", flavour.binlog_status(), BINLOG_LIMIT).await {
        Ok(rows) => Some(rows),
        Err(DatabaseError::Refused { .. } | DatabaseError::Silent { .. }) => None,
        Err(error) => return Err(error),
    };
    Ok(answers)
}

/// Who it is, asked anew.
pub(super) async fn identity(login: &Login) -> Result<Row, DatabaseError> {
    meet(login).await.map(|(_, _, identity)| identity)
}

async fn meet(login: &Login) -> Result<(Session, Flavour, Row), DatabaseError> {
    let mut session = Session::open(login, LIMIT).await?;
    let version = session.row("version", statements::VERSION, LIMIT).await?;
    let flavour = Flavour::of(version.as_ref().and_then(|row| row.at(0)).unwrap_or_default());
    let identity = session.row("identity", &flavour.identity(), LIMIT).await?.unwrap_or_default();
    Ok((session, flavour, identity))
}

async fn bound(session: &mut Session, flavour: Flavour) -> Result<(), DatabaseError> {
    let Some(statement) = flavour.bound_reads(SERVERS_LIMIT) else { return Ok(()) };
    match session.run("a bound for what is asked", &statement, LIMIT).await {
        Ok(()) | Err(DatabaseError::Refused { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

/// A server that has said who it is.
struct Asker<'l> {
    login: &'l Login,
    session: Session,
    flavour: Flavour,
    /// What did not come in time.
    unanswered: Vec<&'static str>,
}

impl Asker<'_> {
    /// None when the server refuses to answer, or takes too long.
    async fn rows(&mut self, what: &'static str, sql: &str) -> Result<Option<Vec<Row>>, DatabaseError> {
        match self.session.rows(what, sql, LIMIT).await {
            Ok(rows) => Ok(Some(rows)),
            Err(error) => self.without(what, error).await.map(|()| None),
        }
    }

    async fn list(&mut self, what: &'static str, sql: &str) -> Result<Vec<Row>, DatabaseError> {
        Ok(self.rows(what, sql).await?.unwrap_or_default())
    }

    /// Goes on, if the server lives and it was this question alone.
    async fn without(&mut self, what: &'static str, error: DatabaseError) -> Result<(), DatabaseError> {
        match error {
            DatabaseError::Refused { code, .. } => {
                if BOUND_FIRED.contains(&code) {
                    self.unanswered.push(what);
                }
                Ok(())
            }
            DatabaseError::Silent { .. } => {
                self.unanswered.push(what);
                // What comes on the old one now is the late answer.
                self.session = Session::open(self.login, LIMIT).await?;
                bound(&mut self.session, self.flavour).await
            }
            DatabaseError::Unreachable { .. }
            | DatabaseError::Unsupported { .. }
            | DatabaseError::Unclear { .. }
            | DatabaseError::Tls { .. }
            | DatabaseError::Secret(_) => Err(error),
        }
    }

    /// None: this login may not look.
    async fn is_there(&mut self, table: &str) -> Result<Option<bool>, DatabaseError> {
        const WHAT: &str = "the heartbeat table";
        let sql = format!("SELECT 1 FROM {table} LIMIT 0");
        match self.session.rows(WHAT, &sql, LIMIT).await {
            Ok(_) => Ok(Some(true)),
            Err(DatabaseError::Refused { code, .. }) if ABSENT.contains(&code) => Ok(Some(false)),
            Err(error) => self.without(WHAT, error).await.map(|()| None),
        }
    }

    async fn origin(&mut self) -> Result<Option<String>, DatabaseError> {
        let sql = if self.flavour.is_mariadb() {
            "SELECT global_value_origin AS origin FROM information_schema.system_variables WHERE variable_name = 'READ_ONLY'"
        } else if self.flavour.is_mysql_from(8, 0, 0) {
            "SELECT variable_source AS origin FROM performance_schema.variables_info WHERE variable_name = 'read_only'"
        } else {
            return Ok(None);
        };
        let rows = self.list("the origin of read_only", sql).await?;
        Ok(rows.first().and_then(|row| row.get(&["origin"])).map(str::to_ascii_uppercase))
    }

    /// The server's clock less ours, half the way there and back taken off.
    async fn clock_offset(&mut self) -> Result<Option<i64>, DatabaseError> {
        let before = clock::realtime_ms();
        let rows = self.list("its clock", CLOCK).await?;
        let after = clock::realtime_ms();
        Ok(rows.first().and_then(|row| offset(row.get(&["now"])?, before.midpoint(after))))
    }
}

/// Seconds with a fraction, less `middle`.
fn offset(text: &str, middle: i64) -> Option<i64> {
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    let thousandths: String = fraction.chars().chain("000".chars()).take(3).collect();
    let (seconds, thousandths) = (seconds.parse::<i64>().ok()?, thousandths.parse::<i64>().ok()?);
    Some(seconds.saturating_mul(1000).saturating_add(thousandths).saturating_sub(middle))
}
