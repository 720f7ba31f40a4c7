//! A connection to a database server whose every step has a deadline.
//!
//! Owns the rules of the client crate: no pool, no prepared statements, and a connection that did not answer in time is
//! dropped, since its next answer would be the late one's. Refuses to know what is asked.

use std::io::{self, ErrorKind};
use std::net::IpAddr;
use std::num::NonZeroU16;
use std::path::PathBuf;
use std::time::Duration;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, OptsBuilder, Value};
use thiserror::Error;
use tokio::time::timeout;

use crate::health::secret::{Secret, SecretError, Source};
use crate::mysql::Row;

/// Where a server is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    Socket(PathBuf),
    /// By number: no name service is on the way.
    Tcp(IpAddr, NonZeroU16),
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Socket(path) => write!(f, "{}", path.display()),
            Self::Tcp(address, port) => write!(f, "{}", std::net::SocketAddr::new(*address, port.get())),
        }
    }
}

/// Where it is and who asks.
#[derive(Clone, Debug)]
pub struct Login {
    pub place: Place,
    pub user: String,
    pub password: Option<Secret>,
}

/// A login, and where its password comes from.
#[derive(Clone, Debug)]
pub struct Credentials {
    pub login: Login,
    pub source: Source,
}

impl Credentials {
    /// Reads the password again, within `limit`; true if it is another one now.
    pub async fn renew(&mut self, limit: Duration) -> bool {
        let source = self.source.clone();
        // On a thread of its own: the file's disk may hang.
        let read = tokio::task::spawn_blocking(move || source.read());
        match timeout(limit, read).await {
            Ok(Ok(Ok(password))) if password != self.login.password => {
                self.login.password = password;
                true
            }
            Ok(Ok(Ok(_) | Err(_)) | Err(_)) | Err(_) => false,
        }
    }
}

impl From<Login> for Credentials {
    fn from(login: Login) -> Self {
        let source = login.password.clone().map_or(Source::Empty, Source::Inline);
        Self { login, source }
    }
}

/// What went wrong. No text shows a password or a statement's values.
#[derive(Debug, Error)]
pub enum DatabaseError {
    #[error("{place} did not answer within {limit:?} ({what}); the server hangs, or its host is gone")]
    Silent { place: Place, what: &'static str, limit: Duration },
    #[error("{place} refuses: {code} {message} ({what})")]
    Refused { place: Place, what: &'static str, code: u16, message: String },
    #[error("{place} cannot be reached: {reason} ({what}); is the server running, and is this its address?")]
    Unreachable { place: Place, what: &'static str, reason: String },
    #[error(
        "the client library gave up on {place} ({what}): how the server wants {user} to log in is not supported"
    )]
    Unsupported { place: Place, what: &'static str, user: String },
    /// Neither an answer nor the sign of a death: descriptors used up here, a server that speaks differently.
    #[error("{place} cannot be asked: {reason} ({what})")]
    Unclear { place: Place, what: &'static str, reason: String },
    #[error(transparent)]
    Secret(#[from] SecretError),
}

impl DatabaseError {
    /// The server's code, if the server spoke.
    pub fn code(&self) -> Option<u16> {
        match self {
            Self::Refused { code, .. } => Some(*code),
            Self::Silent { .. }
            | Self::Unreachable { .. }
            | Self::Unsupported { .. }
            | Self::Unclear { .. }
            | Self::Secret(_) => None,
        }
    }
}

/// An open connection, until something goes wrong with it.
#[derive(Debug)]
pub struct Session {
    login: Login,
    open: Option<Conn>,
}

impl Session {
    /// Connects and logs in within `limit`. A task of its own: a panic inside the client is an answer too.
    pub async fn open(login: &Login, limit: Duration) -> Result<Self, DatabaseError> {
        let what = "log in";
        let attempt = tokio::spawn(timeout(limit, Conn::new(options(login))));
        let abort = attempt.abort_handle();
        let outcome = match timeout(limit, attempt).await {
            Ok(outcome) => outcome,
            Err(_elapsed) => {
                abort.abort();
                return Err(DatabaseError::Silent { place: login.place.clone(), what, limit });
            }
        };
        let place = || login.place.clone();
        match outcome {
            Ok(Ok(Ok(open))) => Ok(Self { login: login.clone(), open: Some(open) }),
            Ok(Ok(Err(error))) => Err(named(error, place(), what, limit)),
            Ok(Err(_elapsed)) => Err(DatabaseError::Silent { place: place(), what, limit }),
            Err(_panic) => Err(DatabaseError::Unsupported { place: place(), what, user: login.user.clone() }),
        }
    }

    /// Where it goes.
    pub fn place(&self) -> &Place {
        &self.login.place
    }

    /// Whether the last answer came in time.
    pub fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Runs a statement; its rows. `what` names it in errors.
    pub async fn rows(
        &mut self,
        what: &'static str,
        sql: &str,
        limit: Duration,
    ) -> Result<Vec<Row>, DatabaseError> {
        let place = self.login.place.clone();
        let Some(mut open) = self.open.take() else {
            let reason = "the connection was given up after an earlier error".to_owned();
            return Err(DatabaseError::Unreachable { place, what, reason });
        };
        // Only an answer that came whole leaves the connection in a known state.
        match timeout(limit, open.query::<mysql_async::Row, _>(sql)).await {
            Ok(Ok(rows)) => {
                self.open = Some(open);
                Ok(rows.iter().map(read).collect())
            }
            Ok(Err(error)) => {
                if matches!(error, mysql_async::Error::Server(_)) {
                    self.open = Some(open);
                }
                Err(named(error, place, what, limit))
            }
            Err(_elapsed) => Err(DatabaseError::Silent { place, what, limit }),
        }
    }

    /// The first row.
    pub async fn row(
        &mut self,
        what: &'static str,
        sql: &str,
        limit: Duration,
    ) -> Result<Option<Row>, DatabaseError> {
        Ok(self.rows(what, sql, limit).await?.into_iter().next())
    }

    /// A statement whose rows do not matter.
    pub async fn run(&mut self, what: &'static str, sql: &str, limit: Duration) -> Result<(), DatabaseError> {
        self.rows(what, sql, limit).await.map(drop)
    }
}

fn options(login: &Login) -> OptsBuilder {
    let base = OptsBuilder::default()
        .user(Some(login.user.clone()))
        .pass(login.password.as_ref().map(|password| password.reveal().to_owned()))
        // Else a connection to loopback is quietly changed for one over the server's socket.
        .prefer_socket(false)
        // Else each login asks for these two.
        .max_allowed_packet(Some(1 << 20))
        .wait_timeout(Some(28_800))
        .stmt_cache_size(0)
        .tcp_nodelay(true);
    match &login.place {
        Place::Socket(path) => base.socket(Some(path.to_string_lossy().into_owned())),
        Place::Tcp(address, port) => base.ip_or_hostname(address.to_string()).tcp_port(port.get()),
    }
}

/// Only what says that nobody is there counts as that: whoever asks may become the second writer by it.
fn named(error: mysql_async::Error, place: Place, what: &'static str, limit: Duration) -> DatabaseError {
    let reason = error.to_string();
    match error {
        mysql_async::Error::Server(error) => {
            DatabaseError::Refused { place, what, code: error.code, message: error.message }
        }
        mysql_async::Error::Io(mysql_async::IoError::Io(error)) if is_nobody(&error) => {
            DatabaseError::Unreachable { place, what, reason }
        }
        // A socket whose queue is full: nobody takes connections out of it.
        mysql_async::Error::Io(mysql_async::IoError::Io(error))
            if matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock) =>
        {
            DatabaseError::Silent { place, what, limit }
        }
        mysql_async::Error::Driver(mysql_async::DriverError::ConnectionClosed) => {
            DatabaseError::Unreachable { place, what, reason }
        }
        mysql_async::Error::Io(_)
        | mysql_async::Error::Driver(_)
        | mysql_async::Error::Other(_)
        | mysql_async::Error::Url(_) => DatabaseError::Unclear { place, what, reason },
    }
}

fn is_nobody(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionRefused
            | ErrorKind::ConnectionReset
            | ErrorKind::ConnectionAborted
            | ErrorKind::NotConnected
            | ErrorKind::NotFound
            | ErrorKind::BrokenPipe
            | ErrorKind::UnexpectedEof
            | ErrorKind::HostUnreachable
            | ErrorKind::NetworkUnreachable
            | ErrorKind::NetworkDown
    )
}

fn read(row: &mysql_async::Row) -> Row {
    let names = row.columns_ref().iter().map(|column| column.name_str().into_owned());
    let values = (0..row.len()).map(|index| row.as_ref(index).and_then(text));
    names.zip(values).collect()
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::NULL => None,
        Value::Bytes(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
        Value::Int(number) => Some(number.to_string()),
        Value::UInt(number) => Some(number.to_string()),
        // The text protocol sends all values as bytes; these come only from prepared statements.
        Value::Float(_) | Value::Double(_) | Value::Date(..) | Value::Time(..) => None,
    }
}
