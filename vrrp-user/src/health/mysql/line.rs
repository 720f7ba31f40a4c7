//! One connection to the server, opened when it is needed and dropped after anything doubtful.
//!
//! Owns the client library's options and its one trap: a connection whose command ran out of time must never be used
//! again, or it reads the stale answer and calls a hung server healthy.

use std::time::Duration;

use mysql_async::prelude::Queryable as _;
use mysql_async::{Conn, Opts, OptsBuilder, SslOpts, Value};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::error::Elapsed;
use tokio::time::{Instant, timeout, timeout_at};

use super::error::{finding, silence};
use crate::health::judge::{Finding, Symptom};
use crate::health::secret::{Secret, SecretError};
use crate::health::settings::{Account, Mysql};
use crate::health::tls::{Tls, TlsError, trusting_anybody};
use crate::mysql::Row;

/// The server forgets a connection of ours that is silent for so long; more than any probe's interval.
const WAIT_TIMEOUT: Duration = Duration::from_secs(3600 + 60);
/// Taking leave of the server politely may cost this much and no more.
const LEAVE: Duration = Duration::from_millis(50);
/// Answers are small; with it the client does not ask for the server's limit at each login.
const MAX_PACKET: usize = 1 << 20;

/// Where a connection goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// The local socket where there is one: out of the way of the clients' listener.
    Control,
    /// The clients' listener.
    Clients,
}

/// See the file's head.
pub(super) struct Line {
    settings: Mysql,
    account: Account,
    way: Way,
    opts: Option<Opts>,
    conn: Option<Conn>,
    reading: Option<JoinHandle<Files>>,
    deadline: Duration,
}

/// The password, and TLS with its authorities.
type Files = (Result<Option<Secret>, SecretError>, Result<Option<SslOpts>, TlsError>);

impl Line {
    pub(super) fn new(settings: &Mysql, account: &Account, way: Way, deadline: Duration) -> Self {
        let (settings, account) = (settings.clone(), account.clone());
        Self { settings, account, way, opts: None, conn: None, reading: None, deadline }
    }

    pub(super) const fn is_open(&self) -> bool {
        self.conn.is_some()
    }

    /// The server's number of the open connection, by which another one can kill it.
    pub(super) fn id(&self) -> Option<u32> {
        self.conn.as_ref().map(Conn::id)
    }

    /// Says goodbye, so that the server does not log an aborted connection.
    pub(super) async fn leave(&mut self) {
        if let Some(conn) = self.conn.take() {
            // It is as good as closed: whether the goodbye arrived is of no interest.
            match timeout(LEAVE, conn.disconnect()).await {
                Ok(Ok(()) | Err(_)) | Err(_) => {}
            }
        }
    }

    /// Opens it, if it is not. The clock runs from now.
    pub(super) async fn open(&mut self) -> Result<(), Finding> {
        let until = Instant::now() + self.deadline;
        let conn = self.take(until).await?;
        self.conn = Some(conn);
        Ok(())
    }

    pub(super) async fn ping(&mut self) -> Result<(), Finding> {
        let until = Instant::now() + self.deadline;
        let mut conn = self.take(until).await?;
        let result = timeout_at(until, conn.ping()).await;
        self.settle(conn, result, "ping")
    }

    /// A statement whose result is of no interest.
    pub(super) async fn execute(&mut self, statement: &str, doing: &str) -> Result<(), Finding> {
        let until = Instant::now() + self.deadline;
        let mut conn = self.take(until).await?;
        let result = timeout_at(until, conn.query_drop(statement)).await;
        self.settle(conn, result, doing)
    }

    pub(super) async fn rows(&mut self, statement: &str, doing: &str) -> Result<Vec<Row>, Finding> {
        let until = Instant::now() + self.deadline;
        let mut conn = self.take(until).await?;
        let result = timeout_at(until, conn.query::<mysql_async::Row, _>(statement)).await;
        let rows = self.settle(conn, result, doing)?;
        Ok(rows.into_iter().map(named).collect())
    }

    /// Without a bound, for whoever waits for its end. The connection is gone afterwards.
    pub(super) async fn wait(&mut self, statement: &str, doing: &str) -> Finding {
        let Some(mut conn) = self.conn.take() else {
            return Finding::new(Symptom::Closed, format!("{doing}: not connected"));
        };
        match conn.query_drop(statement).await {
            Ok(()) => Finding::good(),
            Err(error) => finding(&error, doing),
        }
    }

    async fn take(&mut self, until: Instant) -> Result<Conn, Finding> {
        if let Some(conn) = self.conn.take() {
            return Ok(conn);
        }
        let (opts, unreadable) = self.options(until).await;
        let doing = self.doing();
        let outcome = match timeout_at(until, Conn::new(opts)).await {
            Ok(Ok(conn)) => Ok(conn),
            Ok(Err(error)) => {
                // A password that was wrong may have been replaced in its file.
                self.opts = None;
                Err(finding(&error, &doing))
            }
            Err(_elapsed) => Err(silence(self.deadline, &doing)),
        };
        match (outcome, unreadable) {
            (outcome, None) => outcome,
            // Without its files a login tells one thing all the same: that nobody is there. A server that takes its time over
            // such a login is no sign of anything.
            (Err(finding), Some(_))
                if matches!(finding.symptom, Symptom::Gone | Symptom::Closed | Symptom::Leaving) =>
            {
                Err(finding)
            }
            (Ok(_) | Err(_), Some(what)) => Err(Finding::new(Symptom::Wrong, format!("{doing}: {what}"))),
        }
    }

    fn settle<T>(
        &mut self,
        conn: Conn,
        result: Result<mysql_async::Result<T>, Elapsed>,
        doing: &str,
    ) -> Result<T, Finding> {
        match result {
            Ok(Ok(value)) => {
                self.conn = Some(conn);
                Ok(value)
            }
            Ok(Err(error)) => {
                let finding = finding(&error, doing);
                if matches!(error, mysql_async::Error::Server(_))
                    && !matches!(finding.symptom, Symptom::Leaving | Symptom::Closed)
                {
                    self.conn = Some(conn);
                }
                Err(finding)
            }
            Err(_elapsed) => Err(silence(self.deadline, doing)),
        }
    }

    fn doing(&self) -> String {
        let user = &self.account.user;
        match self.socket() {
            Some(socket) => format!("login as {user} at {}", socket.display()),
            None => format!("login as {user} at {}", self.settings.listener()),
        }
    }

    fn socket(&self) -> Option<&std::path::Path> {
        match self.way {
            Way::Control => self.settings.socket.as_deref(),
            Way::Clients => None,
        }
    }

    /// With what kept the password or the authorities from being read, if anything did: then for a login without them.
    async fn options(&mut self, until: Instant) -> (Opts, Option<String>) {
        if let Some(opts) = &self.opts {
            return (opts.clone(), None);
        }
        let is_tls = self.settings.tls.is_some() && self.socket().is_none();
        match self.files(until).await {
            Ok((password, ssl)) => {
                let opts = self.with(password.as_ref(), ssl);
                self.opts = Some(opts.clone());
                (opts, None)
            }
            Err(what) => (self.with(None, is_tls.then(trusting_anybody)), Some(what)),
        }
    }

    async fn files(&mut self, until: Instant) -> Result<(Option<Secret>, Option<SslOpts>), String> {
        let source = self.account.password.clone();
        let tls = self.settings.tls.clone().filter(|_| self.socket().is_none());
        // On a thread of its own, and one at a time: the files' disk may hang, which says nothing about the server.
        let read = move || (source.read(), tls.as_ref().map(Tls::load).transpose());
        let reading = self.reading.get_or_insert_with(|| spawn_blocking(read));
        // The other half is the server's.
        let limit = self.deadline / 2;
        let Ok(outcome) = timeout_at(until - limit, reading).await else {
            return Err(format!(
                "the files with the password and the CA were not read within {limit:?}; see whether their disk hangs"
            ));
        };
        self.reading = None;
        let (password, ssl) = outcome.map_err(|error| error.to_string())?;
        Ok((password.map_err(|error| error.to_string())?, ssl.map_err(|error| error.to_string())?))
    }

    fn with(&self, password: Option<&Secret>, ssl: Option<SslOpts>) -> Opts {
        let mut builder = OptsBuilder::default()
            .user(Some(self.account.user.as_str()))
            .pass(password.map(Secret::reveal))
            .ip_or_hostname(self.settings.address.to_string())
            .resolved_ips(Some(vec![self.settings.address]))
            .tcp_port(self.settings.port.get())
            .tcp_nodelay(true)
            // A probe of the listener must not end at the socket.
            .prefer_socket(false)
            .stmt_cache_size(0)
            .max_allowed_packet(Some(MAX_PACKET))
            .wait_timeout(Some(usize::try_from(WAIT_TIMEOUT.as_secs()).unwrap_or(usize::MAX)))
            .setup(vec![format!("SET SESSION wait_timeout={}", WAIT_TIMEOUT.as_secs())]);
        if let Some(socket) = self.socket() {
            builder = builder.socket(Some(socket.to_string_lossy()));
        }
        if ssl.is_some() {
            builder = builder.ssl_opts(ssl);
        }
        Opts::from(builder)
    }
}

fn named(row: mysql_async::Row) -> Row {
    let columns = row.columns();
    let values = row.unwrap_raw();
    columns
        .iter()
        .zip(values)
        .map(|(column, value)| (column.name_str().into_owned(), value.and_then(text)))
        .collect()
}

/// Text protocol: everything but NULL is bytes.
fn text(value: Value) -> Option<String> {
    match value {
        Value::NULL => None,
        Value::Bytes(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
        Value::Int(number) => Some(number.to_string()),
        Value::UInt(number) => Some(number.to_string()),
        Value::Float(_) | Value::Double(_) | Value::Date(..) | Value::Time(..) => {
            Some(value.as_sql(true).trim_matches('\'').to_owned())
        }
    }
}
