//! The guard process: waits for the daemon's death or silence, takes the addresses off, then says priority 0.
//!
//! Owns its own netlink socket, packet sockets and locked memory, all made while things are well. Refuses to think:
//! it has a plan and a board, and it acts when the plan says that nobody else does.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, getppid, pidfd_open};
use rustix::time::Timespec;
use thiserror::Error;

use super::{Plan, READY, Ward};
use crate::net::board::{Board, BoardError};
use crate::net::clock;
use crate::net::netlink::{Netlink, NetlinkError};
use crate::net::packet::{PacketSocketError, PacketSockets};
use crate::net::realtime;
use crate::vrrp::time::Instant;

/// With nothing to watch more closely, it looks this often.
const IDLE: Duration = Duration::from_millis(500);
/// Waking this much too late is not the scheduler's ordinary doing.
const LATE: Duration = Duration::from_millis(1);

/// Why the guard could not begin.
#[derive(Debug, Error)]
pub enum WatchError {
    #[error("guard: no plan on standard input ({0}); the daemon starts this command, it is not for people")]
    Plan(String),
    #[error("guard: {0}")]
    Board(#[from] BoardError),
    #[error("guard: {0}")]
    Netlink(#[from] NetlinkError),
    #[error("guard: {0}")]
    Packet(#[from] PacketSocketError),
    #[error("guard: {operation}: {source}")]
    System { operation: &'static str, source: std::io::Error },
}

/// What made the guard act.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    DaemonGone,
    DaemonSilent,
}

/// Runs until the daemon is gone. Reads its plan from standard input; has all it needs when it calls `settled`.
pub fn run(settled: impl FnOnce()) -> Result<(), WatchError> {
    let mut input = BufReader::new(std::io::stdin());
    let plan = read_plan(&mut input)?.ok_or_else(|| WatchError::Plan("it is closed".to_owned()))?;
    let daemon = open_daemon(&plan)?;
    let board = File::options()
        .read(true)
        .write(true)
        .open(of_daemon(&plan, plan.board_fd))
        .map_err(|source| WatchError::System { operation: "open the board", source })?;
    let testament = open_testament(&plan)
        .map_err(|source| WatchError::System { operation: "open the configuration in effect", source })?;
    let mut watch = Watch {
        standing_down: Vec::new(),
        oversleep: None,
        board: Board::open(board)?,
        testament,
        netlink: Netlink::open()?,
        sockets: PacketSockets::open(interfaces(&plan))?,
        plan,
    };
    let priority = watch.plan.realtime_priority.map_or(Ok(()), realtime::raise_priority);
    settled();
    if let Err(error) = priority {
        tracing::debug!("guard: {error}");
    }
    say_ready().map_err(|source| WatchError::System { operation: "say that it watches", source })?;
    watch.watch(&daemon, &mut input)
}

fn say_ready() -> std::io::Result<()> {
    let mut output = std::io::stdout();
    writeln!(output, "{READY}")?;
    output.flush()
}

fn read_plan(input: &mut impl BufRead) -> Result<Option<Plan>, WatchError> {
    let mut line = String::new();
    let length = input.read_line(&mut line).map_err(|error| WatchError::Plan(error.to_string()))?;
    if length == 0 {
        return Ok(None);
    }
    serde_json::from_str(&line).map(Some).map_err(|error| WatchError::Plan(error.to_string()))
}

/// The daemon's pidfd; None if it is gone already.
fn open_daemon(plan: &Plan) -> Result<Option<OwnedFd>, WatchError> {
    let pid = i32::try_from(plan.daemon_pid).ok().and_then(Pid::from_raw);
    let Some(pid) = pid else { return Err(WatchError::Plan(format!("no process {}", plan.daemon_pid))) };
    match pidfd_open(pid, PidfdFlags::empty()) {
        // The parent's number may have been given to another process by now: only our parent is the daemon.
        Ok(fd) if getppid() == Some(pid) => Ok(Some(fd)),
        Ok(_) | Err(Errno::SRCH) => Ok(None),
        Err(errno) => Err(WatchError::System { operation: "pidfd_open", source: errno.into() }),
    }
}

/// What the daemon has open, as long as it lives.
fn of_daemon(plan: &Plan, fd: i32) -> PathBuf {
    format!("/proc/{}/fd/{fd}", plan.daemon_pid).into()
}

fn open_testament(plan: &Plan) -> std::io::Result<File> {
    File::open(of_daemon(plan, plan.testament_fd))
}

/// A wake of the guard that came late.
#[derive(Clone, Copy)]
struct Oversleep {
    woke: Instant,
    by: Duration,
}

struct Watch {
    /// Processes that make servers read-only.
    standing_down: Vec<Child>,
    /// The last one.
    oversleep: Option<Oversleep>,
    board: Board,
    /// Of the plan, or of the one before if the daemon was gone already.
    testament: File,
    netlink: Netlink,
    sockets: PacketSockets,
    plan: Plan,
}

impl Watch {
    fn watch(
        &mut self,
        daemon: &Option<OwnedFd>,
        input: &mut BufReader<std::io::Stdin>,
    ) -> Result<(), WatchError> {
        let Some(daemon) = daemon else {
            self.fence_all(Cause::DaemonGone);
            return Ok(());
        };
        let mut wake_at = clock::now();
        loop {
            let longest = wake_at.since(clock::now());
            let timeout = Timespec {
                tv_sec: i64::try_from(longest.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: longest.subsec_nanos().into(),
            };
            let stdin = std::io::stdin();
            let mut polled =
                [PollFd::new(daemon, PollFlags::IN), PollFd::from_borrowed_fd(stdin.as_fd(), PollFlags::IN)];
            match poll(&mut polled, Some(&timeout)) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(errno) => {
                    return Err(WatchError::System { operation: "poll", source: errno.into() });
                }
            }
            let (gone, news) = (!polled[0].revents().is_empty(), !polled[1].revents().is_empty());
            if gone {
                self.fence_all(Cause::DaemonGone);
                return Ok(());
            }
            if news {
                match read_plan(input) {
                    Ok(Some(plan)) => {
                        // An interface that is gone needs no release; the others keep their guard.
                        let sockets = self.sockets.with_those_there(interfaces(&plan));
                        let former = std::mem::replace(&mut self.sockets, sockets);
                        match open_testament(&plan) {
                            Ok(testament) => self.testament = testament,
                            Err(error) => {
                                tracing::warn!("guard: the configuration is the one before: {error}")
                            }
                        }
                        self.plan = plan;
                        // Nobody there to hear it: the daemon is dying, which the next look shows.
                        if let Err(error) = say_ready() {
                            tracing::debug!("guard: {error}");
                        }
                        // Closing takes its time, and the daemon waits for the answer.
                        drop(former);
                    }
                    // The daemon has let go of us: in order if it holds nothing any more, else it is dying.
                    Ok(None) | Err(_) => {
                        self.fence_all(Cause::DaemonGone);
                        return Ok(());
                    }
                }
            }
            let now = clock::now();
            let by = now.since(wake_at);
            if by > LATE {
                self.oversleep = Some(Oversleep { woke: now, by });
            }
            wake_at = now + self.fence_silent(now);
        }
    }

    /// Fences every router whose adverts have stopped; returns how long nothing needs a look.
    ///
    /// A guard that overslept was stalled together with the daemon (a paused virtual machine): from its wake on the daemon
    /// gets as much longer to speak, at most its limit again, in which it has read what arrived meanwhile and left or
    /// resumed.
    fn fence_silent(&mut self, now: Instant) -> Duration {
        let mut longest = IDLE;
        let mut silent = Vec::new();
        for (router, ward) in self.plan.wards.iter().enumerate() {
            if ward.vips.is_empty() {
                continue;
            }
            let limit = Duration::from_nanos(ward.freeze_limit_ns);
            // A router that becomes held right after this look must be found in time, too.
            longest = longest.min(limit / 2);
            if !self.board.is_held(router) {
                continue;
            }
            let grace = self.oversleep.map(|late| late.woke + late.by.min(limit));
            let silent_at = self.board.silent_at(router, limit);
            let expires = grace.map_or(silent_at, |grace| silent_at.max(grace));
            if expires <= now {
                silent.push(router);
            } else {
                longest = longest.min(expires.since(now));
            }
        }
        if !silent.is_empty() {
            self.fence(&silent, Cause::DaemonSilent);
        }
        longest
    }

    fn fence_all(&mut self, cause: Cause) {
        let all: Vec<usize> = (0..self.plan.wards.len()).collect();
        self.fence(&all, cause);
    }

    fn fence(&mut self, routers: &[usize], cause: Cause) {
        let began = clock::now();
        let (mut fenced, mut left_writable) = (Vec::new(), Vec::new());
        for router in routers.iter().copied() {
            let Some(ward) = self.plan.wards.get(router) else { continue };
            if self.board.fence(router) {
                let failure = take_off(&mut self.netlink, ward);
                // Only after its addresses are off: never two holders.
                if failure.is_none() && !ward.release.is_empty() {
                    self.sockets.send(ward.ifindex, std::iter::once(ward.release.as_slice()), |_| ());
                }
                fenced.push((ward, failure));
            } else if cause == Cause::DaemonGone && ward.is_managed && self.board.may_be_writable(router) {
                // Its daemon died on the way to the addresses, or from them.
                left_writable.push(ward);
            }
        }
        let took = clock::now().since(began);
        let managed = fenced.iter().filter(|(ward, _)| ward.is_managed);
        let managed = managed.map(|(ward, _)| *ward).chain(left_writable.iter().copied());
        let managed: Vec<&str> = managed.map(|ward| ward.name.as_str()).collect();
        stand_down(&managed, &self.testament, &mut self.standing_down);
        // Words last: whoever reads them may be slow.
        let what = match cause {
            Cause::DaemonGone => "the daemon is gone",
            Cause::DaemonSilent => "the daemon is frozen: it sends no adverts",
        };
        for ward in left_writable {
            tracing::warn!(
                instance = ward.name,
                "guard: {what}, and its server may be writable without the address: it is made read-only, if it lives"
            );
        }
        for (ward, failure) in fenced {
            match failure {
                None => tracing::warn!(
                    instance = ward.name,
                    "guard: {what}; {} address(es) taken off and priority 0 sent within {took:?}",
                    ward.vips.len(),
                ),
                Some(error) => tracing::error!(instance = ward.name, "guard: {what}; {error}"),
            }
        }
    }
}

/// A server that takes writes without its address keeps the other host's gate shut. By a process of its own: a database can be
/// slow, and whoever watches must not be. It goes by what the daemon went by: the file may be another by now, or half of one.
fn stand_down(names: &[&str], testament: &File, under_way: &mut Vec<Child>) {
    under_way.retain_mut(|child| matches!(child.try_wait(), Ok(None)));
    if names.is_empty() {
        return;
    }
    let started = testament.try_clone().and_then(|testament| {
        let mut command = Command::new("/proc/self/exe");
        // Opened by its name it is read from the beginning, each time.
        command.args(["stand-down", "--config", "/proc/self/fd/0"]).args(names);
        command.stdin(testament).stdout(Stdio::null()).spawn()
    });
    match started {
        Ok(child) => under_way.push(child),
        Err(error) => tracing::error!("guard: servers stay as they are: start `vrrp stand-down`: {error}"),
    }
}

/// Those that a release may have to leave on; a place that nobody has names none.
fn interfaces(plan: &Plan) -> impl Iterator<Item = u32> {
    plan.wards.iter().filter(|ward| !ward.vips.is_empty()).map(|ward| ward.ifindex)
}

fn take_off(netlink: &mut Netlink, ward: &Ward) -> Option<NetlinkError> {
    let mut failure = None;
    for vip in &ward.vips {
        if let Err(error) = netlink.remove_address(vip) {
            failure = Some(error);
        }
    }
    failure
}
