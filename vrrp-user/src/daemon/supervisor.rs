//! What a service manager is told: ready, reloading, stopping, alive (sd_notify(3)).
//!
//! Owns the datagrams and the rhythm of the watchdog. Without `NOTIFY_SOCKET` in the environment nobody is told
//! anything, and nothing else changes. A message that cannot be delivered is not worth waiting for.

use std::env;
use std::ffi::OsString;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::Arc;
use std::time::Duration;

use crate::net::clock;
use crate::vrrp::Instant;

const SOCKET: &str = "NOTIFY_SOCKET";
const WATCHDOG: &str = "WATCHDOG_USEC";
const WATCHDOG_PROCESS: &str = "WATCHDOG_PID";

/// See the file's head. A clone tells the same one.
#[derive(Clone, Debug, Default)]
pub(super) struct Supervisor {
    line: Option<Arc<Line>>,
    /// A sign of life is due after this.
    every: Option<Duration>,
    last: Option<Instant>,
}

#[derive(Debug)]
struct Line {
    socket: UnixDatagram,
    to: SocketAddr,
}

impl Supervisor {
    /// By the environment.
    pub(super) fn find() -> Self {
        let Some(name) = env::var_os(SOCKET) else { return Self::default() };
        let line = match open(&name) {
            Ok(line) => line,
            Err(error) => {
                tracing::warn!("{SOCKET} {}: {error}; the service manager is told nothing", name.display());
                return Self::default();
            }
        };
        let number = |variable| env::var(variable).ok()?.parse::<u64>().ok();
        // Set for another process: not for this one.
        let is_ours = number(WATCHDOG_PROCESS).is_none_or(|id| id == u64::from(std::process::id()));
        let limit = number(WATCHDOG).filter(|limit| is_ours && *limit > 0).map(Duration::from_micros);
        // Half of it is what sd_watchdog_enabled(3) asks for; a third leaves room for a stall.
        Self { line: Some(Arc::new(line)), every: limit.map(|limit| limit / 3), last: None }
    }

    /// It runs, and goes by its configuration.
    pub(super) fn ready(&self, status: &str) {
        self.tell(&format!("READY=1\nSTATUS={}", one_line(status)));
    }

    /// What `systemctl status` shows.
    pub(super) fn status(&self, status: &str) {
        self.tell(&format!("STATUS={}", one_line(status)));
    }

    pub(super) fn reloading(&self) {
        let now = clock::now().as_nanos() / 1_000;
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={now}"));
    }

    /// It ends, which may take `longest`. The manager waits so long even if its own limit is shorter, and never less than
    /// that limit.
    pub(super) fn stopping(&self, longest: Duration) {
        let longest = longest.as_micros();
        self.tell(&format!("STOPPING=1\nEXTEND_TIMEOUT_USEC={longest}\nSTATUS=releasing the addresses"));
    }

    /// Whether a sign of life is due: then see whether there is life.
    pub(super) fn is_due(&self) -> bool {
        let now = clock::now();
        self.every.is_some_and(|every| self.last.is_none_or(|last| now.since(last) >= every))
    }

    /// There is.
    pub(super) fn alive(&mut self) {
        if self.is_due() {
            self.last = Some(clock::now());
            self.tell("WATCHDOG=1");
        }
    }

    fn tell(&self, message: &str) {
        let Some(line) = &self.line else { return };
        if let Err(error) = line.socket.send_to_addr(message.as_bytes(), &line.to) {
            tracing::debug!("the service manager does not hear {message:?}: {error}");
        }
    }
}

fn open(name: &OsString) -> std::io::Result<Line> {
    let to = match name.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(name)?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    Ok(Line { socket, to })
}

fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
