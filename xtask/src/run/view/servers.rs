//! What the page says of the database servers and of the client that writes to them.
//!
//! Pure: from what was seen to text. Refuses to know how it was asked.

use super::{Line, Style, ms, seconds};
use crate::run::{
    database::ServerNode,
    stage::{Condition, DatabaseSight},
    tally::Writes,
};

/// The state of the writer in one line.
pub(super) fn writer(writes: &Writes, now_ns: u64) -> Line {
    let (style, text) = state(writes, now_ns);
    let (lost_style, lost) = lost(writes);
    let outage = writes.last_outage_ns.map(|gap| format!("   last outage {}", ms(gap))).unwrap_or_default();
    Line::new()
        .with(Style::Plain, " writer   ")
        .with(style, text)
        .with(Style::Plain, format!("   {} acknowledged, ", writes.acknowledged))
        .with(lost_style, lost)
        .with(Style::Dim, outage)
}

/// A row for each server under a head.
pub(super) fn table(database: &DatabaseSight<'_>) -> Vec<Line> {
    let head = format!(
        " {:<5}{:<17}{:<7}{:<11}{:<17}{:<11}{}",
        "", "mysqld", "pid", "role", "replication", "disk", "position"
    );
    let mut rows = vec![Line::new(), Line::new().with(Style::Dim, head)];
    rows.extend(database.servers.iter().map(row));
    rows
}

/// The same in one plain line.
pub(super) fn status_text(database: &DatabaseSight<'_>, now_ns: u64) -> String {
    let servers = database.servers.iter().map(|server| {
        let disk = if server.is_disk_full { ", disk full" } else { "" };
        let (process, role, replication) = (process(server).1, role(server).1, replication(server).1);
        format!("{}'s mysqld {process}, {role}, replication {replication}{disk}", server.name)
    });
    let writes = database.writes;
    format!(
        "{}; writer: {}, {} acknowledged, {}",
        servers.collect::<Vec<_>>().join("; "),
        state(writes, now_ns).1,
        writes.acknowledged,
        lost(writes).1
    )
}

fn state(writes: &Writes, now_ns: u64) -> (Style, String) {
    match (writes.out_for(now_ns), writes.last_acknowledged_ns) {
        (Some(gap), _) => (Style::Bad, format!("cannot write, for {}", seconds(gap))),
        (None, Some(_)) => (Style::Good, "writes".to_owned()),
        (None, None) => (Style::Warning, "has not written yet".to_owned()),
    }
}

fn lost(writes: &Writes) -> (Style, String) {
    match writes.lost {
        Some(0) => (Style::Good, "0 lost".to_owned()),
        Some(lost) => (Style::Bad, format!("{lost} LOST")),
        // Nothing can be missing on the server that acknowledged it.
        None => (Style::Dim, "no switch yet".to_owned()),
    }
}

fn row(server: &ServerNode) -> Line {
    let ((process_style, process), (role_style, role)) = (process(server), role(server));
    let (replication_style, replication) = replication(server);
    let (disk_style, disk) =
        if server.is_disk_full { (Style::Bad, "full") } else { (Style::Dim, "has room") };
    let position = server.seen.as_ref().map_or("", |seen| seen.position.as_str());
    Line::new()
        .with(Style::Bold, format!(" {:<5}", server.name))
        .with(process_style, format!("{process:<16} "))
        .with(Style::Dim, format!("{:<7}", server.pid))
        .with(role_style, format!("{role:<11}"))
        .with(replication_style, format!("{replication:<16} "))
        .with(disk_style, format!("{disk:<11}"))
        .with(Style::Dim, position)
}

fn process(server: &ServerNode) -> (Style, String) {
    match (&server.condition, &server.seen) {
        (Condition::Running, Some(_)) => (Style::Good, "runs".to_owned()),
        (Condition::Running, None) => (Style::Warning, "does not answer".to_owned()),
        (Condition::Frozen, _) => (Style::Warning, "frozen".to_owned()),
        (Condition::Ended(how), _) => (Style::Bad, format!("dead: {how}")),
    }
}

fn role(server: &ServerNode) -> (Style, &'static str) {
    match &server.seen {
        Some(seen) if seen.is_read_only => (Style::Plain, "read-only"),
        Some(_) => (Style::Good, "writable"),
        None => (Style::Dim, "?"),
    }
}

fn replication(server: &ServerNode) -> (Style, String) {
    match server.seen.as_ref().map(|seen| &seen.replica) {
        None => (Style::Dim, "?".to_owned()),
        Some(None) => (Style::Warning, "none".to_owned()),
        Some(Some(replica)) if replica.is_connecting => (Style::Warning, "connecting".to_owned()),
        Some(Some(replica)) if !replica.error.is_empty() => (Style::Bad, "ERROR".to_owned()),
        Some(Some(replica)) if !replica.is_running => (Style::Warning, "stopped".to_owned()),
        Some(Some(replica)) => {
            let lag = replica.lag_seconds.map_or_else(|| "?".to_owned(), |lag| format!("{lag} s"));
            (Style::Good, format!("runs, lag {lag}"))
        }
    }
}
