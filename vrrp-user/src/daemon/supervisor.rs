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
/// So often it is asked whether a sign of life is due.
pub(super) const TICK: Duration = Duration::from_secs(1);

/// See the file's head. A clone tells the same one.
#[derive(Clone, Debug, Default)]
pub(super) struct Supervisor {
    line: Option<Arc<Line>>,
    /// A sign of life is due after this.
    every: Option<Duration>,
    /// When the last one that was given had been asked for.
    last: Option<Instant>,
    /// One is asked for, and not given yet.
    asked: Option<Instant>,
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
        Self { line: Some(Arc::new(line)), every: limit.map(|limit| limit / 3), last: None, asked: None }
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

    /// Asked at each tick: whether a sign of life is due. Then see whether there is life.
    ///
    /// By the time of asking, not of the answer: as much later as that comes, the next tick would be too early for the next
    /// sign. And to half a tick, for no tick comes at the very moment.
    pub(super) fn ask(&mut self, now: Instant) -> bool {
        let is_due = |every| self.last.is_none_or(|last| now.since(last) + TICK / 2 >= every);
        let is_due = self.every.is_some_and(is_due);
        if is_due {
            self.asked = Some(now);
        }
        is_due
    }

    /// There is. Nothing is said that was not asked for.
    pub(super) fn alive(&mut self) {
        if let Some(asked) = self.asked.take() {
            self.last = Some(asked);
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

#[cfg(test)]
mod tests {
    use super::*;

    /// At which of these ticks, in milliseconds, a sign is given whose answer comes before the next tick.
    fn given(every: Duration, ticks: &[u64]) -> Vec<u64> {
        let mut supervisor = Supervisor { every: Some(every), ..Supervisor::default() };
        let mut given = Vec::new();
        for tick in ticks {
            if supervisor.ask(Instant::from_nanos(tick * 1_000_000)) {
                supervisor.alive();
                given.push(*tick);
            }
        }
        given
    }

    #[test]
    fn a_third_of_the_watchdogs_time_is_kept_however_late_the_answers_and_early_the_ticks() {
        let ticks = [1_000, 2_030, 3_029, 4_000, 5_000];
        assert_eq!(given(Duration::from_secs(1), &ticks), ticks);
        let ticks: Vec<u64> = (1..=30).map(|tick| tick * 999).collect();
        assert_eq!(given(Duration::from_secs(10), &ticks), [999, 10_989, 20_979]);
    }

    #[test]
    fn an_answer_that_is_late_puts_off_no_other_and_one_that_never_came_is_asked_for_again() {
        let mut supervisor = Supervisor { every: Some(Duration::from_secs(3)), ..Supervisor::default() };
        let at = |seconds: u64| Instant::from_nanos(seconds * 1_000_000_000);
        assert!(supervisor.ask(at(1)));
        assert!(supervisor.ask(at(2)), "it is not given");
        supervisor.alive();
        supervisor.alive();
        assert_eq!([3, 4, 5].map(|now| supervisor.ask(at(now))), [false, false, true]);
        let mut nobody = Supervisor::default();
        assert!(!nobody.ask(at(1)));
    }
}
