//! Asks a server everything that the rules want to know.
//!
//! Owns the questions and their deadlines. A question that a server refuses leaves its answer empty; only the first, who it
//! is, must be answered. Refuses to judge.

use std::time::Duration;

use super::facts::Answers;
use crate::database::{DatabaseError, Login, Session};
use crate::mysql::row::Row;
use crate::mysql::{Flavour, statements};
use crate::net::clock;

const LIMIT: Duration = Duration::from_secs(5);
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
    let mut session = Session::open(login, LIMIT).await?;
    let version = session.row("version", statements::VERSION, LIMIT).await?;
    let flavour = Flavour::of(version.as_ref().and_then(|row| row.at(0)).unwrap_or_default());
    let identity = session.row("identity", &flavour.identity(), LIMIT).await?.unwrap_or_default();
    let mut answers = Answers { identity, ..Answers::default() };
    let session = &mut session;
    answers.variables = rows(session, "variables", "SHOW GLOBAL VARIABLES", LIMIT).await?.unwrap_or_default();
    answers.status = rows(session, "status", "SHOW GLOBAL STATUS", LIMIT).await?.unwrap_or_default();
    answers.replicas =
        rows(session, "replication", flavour.replica_status(), LIMIT).await?.unwrap_or_default();
    answers.accounts = rows(session, "accounts", ACCOUNTS, LIMIT).await?.unwrap_or_default();
    answers.privileges = rows(session, "privileges", PRIVILEGES, LIMIT).await?.unwrap_or_default();
    for (what, sql) in [("table rights", TABLE_PRIVILEGES), ("schema rights", SCHEMA_PRIVILEGES)] {
        answers.narrow_privileges.extend(rows(session, what, sql, LIMIT).await?.unwrap_or_default());
    }
    for table in heartbeats {
        answers.heartbeats.push(((*table).to_owned(), is_there(session, table).await?));
    }
    answers.sessions = rows(session, "sessions", SESSIONS, LIMIT).await?.unwrap_or_default();
    answers.programs = rows(session, "programs", PROGRAMS, LIMIT).await?.unwrap_or_default();
    if flavour.is_mysql_from(5, 7, 0) {
        let periods = rows(session, "heartbeat period", HEARTBEAT_INTERVAL, LIMIT).await?.unwrap_or_default();
        answers.heartbeat_interval = periods.first().and_then(|row| row.get(&["period"])).map(str::to_owned);
    }
    answers.tables = rows(session, "tables", TABLES, LIMIT).await?;
    let events = rows(session, "events", EVENTS, LIMIT).await?;
    answers.events = events.and_then(|rows| rows.first()?.number(&["events"]));
    answers.read_only_origin = origin(session, flavour).await?;
    answers.clock_offset_ms = clock_offset(session).await?;
    // Last: if it hangs, the connection is lost.
    answers.binlog = match session.rows("binary log", flavour.binlog_status(), BINLOG_LIMIT).await {
        Ok(rows) => Some(rows),
        Err(DatabaseError::Refused { .. } | DatabaseError::Silent { .. }) => None,
        Err(error) => return Err(error),
    };
    Ok(answers)
}

/// None when the server refuses to answer.
async fn rows(
    session: &mut Session,
    what: &'static str,
    sql: &str,
    limit: Duration,
) -> Result<Option<Vec<Row>>, DatabaseError> {
    match session.rows(what, sql, limit).await {
        Ok(rows) => Ok(Some(rows)),
        Err(DatabaseError::Refused { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// None: this login may not look.
async fn is_there(session: &mut Session, table: &str) -> Result<Option<bool>, DatabaseError> {
    let sql = format!("SELECT 1 FROM {table} LIMIT 0");
    match session.rows("heartbeat table", &sql, LIMIT).await {
        Ok(_) => Ok(Some(true)),
        Err(DatabaseError::Refused { code, .. }) => Ok(ABSENT.contains(&code).then_some(false)),
        Err(error) => Err(error),
    }
}

async fn origin(session: &mut Session, flavour: Flavour) -> Result<Option<String>, DatabaseError> {
    let sql = if flavour.is_mariadb() {
        "SELECT global_value_origin AS origin FROM information_schema.system_variables WHERE variable_name = 'READ_ONLY'"
    } else if flavour.is_mysql_from(8, 0, 0) {
        "SELECT variable_source AS origin FROM performance_schema.variables_info WHERE variable_name = 'read_only'"
    } else {
        return Ok(None);
    };
    let rows = rows(session, "origin of read_only", sql, LIMIT).await?.unwrap_or_default();
    Ok(rows.first().and_then(|row| row.get(&["origin"])).map(str::to_ascii_uppercase))
}

/// The server's clock less ours, half the way there and back taken off.
async fn clock_offset(session: &mut Session) -> Result<Option<i64>, DatabaseError> {
    let before = clock::realtime_ms();
    let rows = rows(session, "clock", CLOCK, LIMIT).await?.unwrap_or_default();
    let after = clock::realtime_ms();
    let Some(text) = rows.first().and_then(|row| row.get(&["now"])) else { return Ok(None) };
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    let thousandths: String = fraction.chars().chain("000".chars()).take(3).collect();
    let (Ok(seconds), Ok(thousandths)) = (seconds.parse::<i64>(), thousandths.parse::<i64>()) else {
        return Ok(None);
    };
    let middle = before.midpoint(after);
    Ok(Some(seconds.saturating_mul(1000).saturating_add(thousandths).saturating_sub(middle)))
}
