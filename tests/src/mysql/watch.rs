//! Somebody who asks a server for its state again and again, on a thread of its own.
//!
//! Owns the asking thread and its short patience: whoever looks at what was seen never waits for a server. Refuses to judge.

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use anyhow::{Context, Result};
use mysql::{Conn, prelude::Queryable};

use super::{
    Flavour, Server,
    server::{connect_as_root, named},
};
use crate::clock;

const PERIOD: Duration = Duration::from_millis(250);
/// For one answer.
const PATIENCE: Duration = Duration::from_millis(500);

/// What a server said of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerSeen {
    /// When: CLOCK_MONOTONIC, nanoseconds.
    pub at_ns: u64,
    pub is_read_only: bool,
    /// Its last own position.
    pub position: String,
    /// Nothing: it receives from nobody.
    pub replica: Option<Replica>,
}

/// The receiving side of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replica {
    /// Both threads run.
    pub is_running: bool,
    /// The receiving one looks for the other server.
    pub is_connecting: bool,
    pub lag_seconds: Option<u64>,
    /// The last error of either thread; empty when there is none.
    pub error: String,
}

/// The asking thread; ends after this was dropped.
#[derive(Debug)]
pub struct ServerWatch {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    seen: Mutex<Option<ServerSeen>>,
    is_paused: AtomicBool,
    is_over: AtomicBool,
}

impl ServerWatch {
    /// Asks that server, also after it was killed and started again.
    pub fn start(server: &Server) -> Result<Self> {
        let shared = Arc::new(Shared::default());
        let asker = Asker { socket: server.socket(), flavour: server.flavour(), connection: None };
        let its = Arc::clone(&shared);
        thread::Builder::new()
            .name(format!("watch-{}", server.host()))
            .spawn(move || asker.run(&its))
            .context("start the thread that watches a server")?;
        Ok(Self { shared })
    }

    /// The last answer; nothing while the server does not answer.
    pub fn seen(&self) -> Option<ServerSeen> {
        lock(&self.shared.seen).clone()
    }

    /// Leaves a server alone that is known to be frozen: each try would stay in its queue, which is for others, too.
    pub fn pause(&self, is_paused: bool) {
        self.shared.is_paused.store(is_paused, Ordering::Release);
    }
}

impl Drop for ServerWatch {
    fn drop(&mut self) {
        // Not joined: a connect to a frozen server whose queue is full has no timeout; it ends with the server.
        self.shared.is_over.store(true, Ordering::Release);
    }
}

struct Asker {
    socket: PathBuf,
    flavour: Flavour,
    connection: Option<Conn>,
}

impl Asker {
    fn run(mut self, shared: &Shared) {
        while !shared.is_over.load(Ordering::Acquire) {
            let is_paused = shared.is_paused.load(Ordering::Acquire);
            let answer = if is_paused { None } else { self.ask().ok() };
            *lock(&shared.seen) = answer;
            thread::sleep(PERIOD);
        }
    }

    /// A connection that failed once is not used again.
    fn ask(&mut self) -> Result<ServerSeen, mysql::Error> {
        let mut connection = match self.connection.take() {
            Some(open) => open,
            None => connect_as_root(&self.socket, PATIENCE)?,
        };
        let position = match self.flavour {
            Flavour::MariaDb => "@@global.gtid_binlog_pos",
            Flavour::MySql56 => "@@global.gtid_executed",
        };
        let own: Option<(u64, Option<String>)> =
            connection.query_first(format!("SELECT @@global.read_only, {position}"))?;
        let (read_only, position) = own.unwrap_or_default();
        let status: Option<mysql::Row> = connection.query_first("SHOW SLAVE STATUS")?;
        self.connection = Some(connection);
        let replica = status.map(|row| {
            let row = named(&row);
            let value = |key: &str| row.get(key).cloned().unwrap_or_default();
            let errors = [value("Last_IO_Error"), value("Last_SQL_Error")];
            Replica {
                is_running: value("Slave_IO_Running") == "Yes" && value("Slave_SQL_Running") == "Yes",
                is_connecting: value("Slave_IO_Running") == "Connecting",
                lag_seconds: value("Seconds_Behind_Master").parse().ok(),
                error: errors.into_iter().find(|error| !error.is_empty()).unwrap_or_default(),
            }
        });
        let position = position.unwrap_or_default();
        Ok(ServerSeen { at_ns: clock::now_ns(), is_read_only: read_only != 0, position, replica })
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
