//! A connection to a database server whose every step has a deadline.
//!
//! Owns the rules of the client crate: no pool, no prepared statements, and a connection that did not answer in time is
//! dropped, since its next answer would be the late one's. Refuses to know what is asked.

use std::io::{self, ErrorKind};
use std::net::IpAddr;
use std::num::NonZeroU16;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, OptsBuilder, SslOpts, Value};
use thiserror::Error;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Instant, timeout};

use crate::health::code::symptom;
use crate::health::judge::Symptom;
use crate::health::secret::{Secret, SecretError, Source};
use crate::health::tls::{self, Tls, TlsError};
use crate::mysql::Row;

#[cfg(test)]
mod tests;

const LOG_IN: &str = "log in";
/// The server's codes: access denied, and a connection without TLS where it demands one.
const DENIED: u16 = 1045;
const TLS_WANTED: u16 = 3159;

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
    /// Over TCP; None: in the clear.
    pub tls: Option<Trust>,
}

impl Login {
    /// A socket of this host needs none, and the client library knows none there.
    fn tls(&self) -> Option<&Trust> {
        match self.place {
            Place::Socket(_) => None,
            Place::Tcp(..) => self.tls.as_ref(),
        }
    }
}

/// TLS ready for use, so that no login waits for a disk; or why it is not: a dead server is found dead all the same.
pub type Trust = Result<SslOpts, Arc<TlsError>>;

/// A login, and where its password and its authorities come from.
#[derive(Debug)]
pub struct Credentials {
    pub login: Login,
    source: Source,
    tls: Option<Tls>,
    reading: Option<JoinHandle<Renewal>>,
}

type Renewal = (Result<Option<Secret>, SecretError>, Option<Trust>);

impl Credentials {
    /// Reads both, which may block. A password that cannot be read is left out, and the error comes with it.
    pub fn read(place: Place, user: &str, source: Source, tls: Option<Tls>) -> (Self, Option<SecretError>) {
        let (password, error) = match source.read() {
            Ok(password) => (password, None),
            Err(error) => (None, Some(error)),
        };
        let login = Login { place, user: user.to_owned(), password, tls: tls.as_ref().map(trust) };
        (Self { login, source, tls, reading: None }, error)
    }

    /// Reads both again, within `limit`; true if one is another now.
    pub async fn renew(&mut self, limit: Duration) -> bool {
        let (source, tls) = (self.source.clone(), self.tls.clone());
        // On a thread of its own, and one at a time: the files' disk may hang.
        let read = move || (source.read(), tls.as_ref().map(trust));
        let reading = self.reading.get_or_insert_with(|| spawn_blocking(read));
        let Ok(outcome) = timeout(limit, reading).await else { return false };
        self.reading = None;
        let Ok((password, trust)) = outcome else { return false };
        let mut is_new = false;
        if let Ok(password) = password
            && password != self.login.password
        {
            (self.login.password, is_new) = (password, true);
        }
        match (trust, &self.login.tls) {
            (Some(Ok(options)), before) if !matches!(before, Some(Ok(before)) if *before == options) => {
                (self.login.tls, is_new) = (Some(Ok(options)), true);
            }
            // Why it is not ready may have changed; what was ready stays so.
            (Some(Err(unusable)), Some(Err(_))) => self.login.tls = Some(Err(unusable)),
            (Some(Ok(_) | Err(_)) | None, _) => {}
        }
        is_new
    }
}

impl From<Login> for Credentials {
    fn from(login: Login) -> Self {
        let source = login.password.clone().map_or(Source::Empty, Source::Inline);
        Self { login, source, tls: None, reading: None }
    }
}

fn trust(tls: &Tls) -> Trust {
    tls.load().map_err(Arc::new)
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
    /// It answered, and TLS with it cannot be had. No sign of a death either.
    #[error("no TLS with {place}: {reason} ({what})")]
    Tls { place: Place, what: &'static str, reason: String, has_hung_up: bool },
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
            | Self::Tls { .. }
            | Self::Secret(_) => None,
        }
    }

    /// Whether it may be about this connection alone (somebody killed it, its server was restarted, it is out of step): the next
    /// one shows.
    pub fn is_about_connection(&self) -> bool {
        match self {
            Self::Refused { code, .. } => symptom(*code) == Symptom::Closed,
            Self::Unreachable { .. } | Self::Unclear { .. } => true,
            Self::Silent { .. } | Self::Unsupported { .. } | Self::Tls { .. } | Self::Secret(_) => false,
        }
    }

    /// Whether another password or other authorities may help.
    pub fn is_about_credentials(&self) -> bool {
        matches!(self, Self::Refused { code: DENIED, .. } | Self::Tls { .. })
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
        let began = Instant::now();
        let mut outcome = log_in(login, limit).await?;
        // A server that ends at this moment hangs up like one that dislikes our TLS: only one of them does it again.
        if outcome.as_ref().is_err_and(|error| login.tls().is_some() && hung_up(error).is_some()) {
            let rest = limit.saturating_sub(began.elapsed());
            match log_in(login, rest).await {
                Ok(second) => outcome = second,
                // With little time left silence is no sign of death, and the first answer was one of life.
                Err(_silent) if rest < limit / 2 => {}
                Err(silent) => return Err(silent),
            }
        }
        match outcome {
            Ok(open) => Ok(Self { login: login.clone(), open: Some(open) }),
            Err(error) => Err(turned_away(error, login, limit)),
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

async fn log_in(login: &Login, limit: Duration) -> Result<mysql_async::Result<Conn>, DatabaseError> {
    let attempt = tokio::spawn(timeout(limit, Conn::new(options(login))));
    let abort = attempt.abort_handle();
    let outcome = match timeout(limit, attempt).await {
        Ok(outcome) => outcome,
        Err(_elapsed) => {
            abort.abort();
            return Err(DatabaseError::Silent { place: login.place.clone(), what: LOG_IN, limit });
        }
    };
    let place = || login.place.clone();
    match outcome {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(_elapsed)) => Err(DatabaseError::Silent { place: place(), what: LOG_IN, limit }),
        Err(_panic) => {
            Err(DatabaseError::Unsupported { place: place(), what: LOG_IN, user: login.user.clone() })
        }
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
        Place::Tcp(address, port) => {
            let tls = login.tls();
            base.ip_or_hostname(address.to_string())
                .tcp_port(port.get())
                .ssl_opts(tls.map(|trust| trust.clone().unwrap_or_else(|_unusable| tls::trusting_nobody())))
        }
    }
}

/// While logging in: here the server may want TLS, or we, and the other side has none.
fn turned_away(error: mysql_async::Error, login: &Login, limit: Duration) -> DatabaseError {
    let (place, what) = (login.place.clone(), LOG_IN);
    let Some(trust) = login.tls() else {
        let remedy = match &error {
            mysql_async::Error::Server(error) => remedy(error.code, &place),
            mysql_async::Error::Driver(_)
            | mysql_async::Error::Io(_)
            | mysql_async::Error::Other(_)
            | mysql_async::Error::Url(_) => None,
        };
        return match (named(error, place, what, limit), remedy) {
            (DatabaseError::Refused { place, what, code, message }, Some(remedy)) => {
                DatabaseError::Refused { place, what, code, message: format!("{message}; {remedy}") }
            }
            (other, _) => other,
        };
    };
    let how = hung_up(&error)
        .map(|how| format!("it hung up: {how}; see its log, and whether it speaks TLS 1.2 or later"));
    let has_hung_up = how.is_some();
    match (how.or_else(|| tls::complaint(&error)), trust) {
        (None, _) => named(error, place, what, limit),
        (Some(reason), Ok(_)) => DatabaseError::Tls { place, what, reason, has_hung_up },
        // It was there, which is all that can be told without.
        (Some(_), Err(unusable)) => {
            DatabaseError::Tls { place, what, reason: unusable.to_string(), has_hung_up }
        }
    }
}

/// For a login without TLS.
fn remedy(code: u16, place: &Place) -> Option<&'static str> {
    match (code, place) {
        (TLS_WANTED, _) => Some("set `tls` for this server (`vrrp doctor`: --tls)"),
        // What MariaDB says to require_secure_transport, too.
        (DENIED, Place::Tcp(..)) => Some(
            "correct user and password, or set `tls` (`vrrp doctor`: --tls): the account may have REQUIRE SSL, or the server \
             require_secure_transport",
        ),
        (DENIED, Place::Socket(_)) => Some(
            "correct user and password; an account with REQUIRE SSL cannot log in by the socket: use `address` and `tls`",
        ),
        _ => None,
    }
}

/// Only what says that nobody is there counts as that: whoever asks may become the second writer by it.
fn named(error: mysql_async::Error, place: Place, what: &'static str, limit: Duration) -> DatabaseError {
    let reason = match &error {
        // The library's own two names for it would stand before it.
        mysql_async::Error::Io(mysql_async::IoError::Io(error)) => error.to_string(),
        mysql_async::Error::Io(mysql_async::IoError::Tls(_))
        | mysql_async::Error::Driver(_)
        | mysql_async::Error::Server(_)
        | mysql_async::Error::Other(_)
        | mysql_async::Error::Url(_) => error.to_string(),
    };
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

/// It took the connection and broke it off.
fn hung_up(error: &mysql_async::Error) -> Option<&io::Error> {
    match error {
        mysql_async::Error::Io(mysql_async::IoError::Io(error)) => matches!(
            error.kind(),
            ErrorKind::ConnectionReset
                | ErrorKind::ConnectionAborted
                | ErrorKind::BrokenPipe
                | ErrorKind::UnexpectedEof
        )
        .then_some(error),
        mysql_async::Error::Io(_)
        | mysql_async::Error::Driver(_)
        | mysql_async::Error::Server(_)
        | mysql_async::Error::Other(_)
        | mysql_async::Error::Url(_) => None,
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
