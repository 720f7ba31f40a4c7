//! The guard, as the daemon sees it: a second process of the same binary that takes the addresses off when the
//! daemon dies or freezes without a word.
//!
//! Owns the plan that the guard acts by and the starting of it; `guard/watch.rs` is the process itself. The plan
//! says everything in advance, down to the bytes of the release advert: when it is needed, nobody is left to ask.

mod testament;
pub mod watch;

use std::io;
use std::os::fd::AsRawFd;
use std::process::Stdio;
use std::time::Duration;

use rustix::io::fcntl_dupfd_cloexec;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::unix::pipe;
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use crate::net::board::Board;
use crate::net::netlink::Vip;

pub use testament::{Testament, TestamentError};

/// The guard says that it watches within this time, or it does not count as started.
const READY_DEADLINE: Duration = Duration::from_secs(1);
/// A guard that is told to end gets so long.
pub const DISMISSAL: Duration = Duration::from_millis(300);
/// The guard's plan is written through a descriptor of at least this number, below the usual limit of 1024.
const FIRST_TO_CLOSE: i32 = 1000;
/// What it says then, and again for each plan that it goes by.
const READY: &str = "watching";

/// Everything the guard needs to know of one router. The default is nobody's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ward {
    pub name: String,
    pub vips: Vec<Vip>,
    /// Interface of the adverts.
    pub ifindex: u32,
    /// The release advert (priority 0), a whole Ethernet frame; empty while there is no address to send it from.
    pub release: Vec<u8>,
    /// A last advert older than this means that the daemon is frozen: ns.
    pub freeze_limit_ns: u64,
    /// A server's role goes with the addresses.
    pub is_managed: bool,
}

impl Ward {
    /// Guards what the same router had before, too.
    pub fn add(&mut self, former: Self) {
        let more = former.vips.into_iter().filter(|vip| !self.vips.contains(vip)).collect::<Vec<_>>();
        self.vips.extend(more);
        self.freeze_limit_ns = self.freeze_limit_ns.max(former.freeze_limit_ns);
    }
}

/// One line of JSON on the guard's standard input; a later line replaces an earlier one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    pub daemon_pid: u32,
    /// File descriptor of the board in the daemon.
    pub board_fd: i32,
    pub realtime_priority: Option<u8>,
    /// In the order of the board's entries; a place that nobody has may have a ward that says nothing.
    pub wards: Vec<Ward>,
    /// File descriptor in the daemon of the configuration in effect, for the process that makes servers read-only after their
    /// addresses were taken off.
    pub testament_fd: i32,
}

impl Plan {
    /// A plan for the calling process and its board.
    pub fn new(
        board: &Board,
        realtime_priority: Option<u8>,
        wards: Vec<Ward>,
        testament: &Testament,
    ) -> Self {
        Self {
            daemon_pid: std::process::id(),
            board_fd: board.file().as_raw_fd(),
            realtime_priority,
            wards,
            testament_fd: testament.fd(),
        }
    }
}

/// Why there is no guard.
#[derive(Debug, Error)]
pub enum GuardError {
    #[error("the guard did not start: {0}")]
    Spawn(io::Error),
    #[error("the guard did not say that it watches within {} s; its own message stands above", READY_DEADLINE.as_secs())]
    NotReady,
    #[error("the guard does not take its plan: {0}")]
    Plan(io::Error),
}

/// A running guard. Dropping it closes its standard input, upon which it looks for addresses left over and ends.
#[derive(Debug)]
pub struct Guard {
    child: Child,
    plan: pipe::Sender,
    answers: BufReader<ChildStdout>,
}

impl Guard {
    /// Starts the guard and waits until it watches.
    pub async fn start(plan: &Plan) -> Result<Self, GuardError> {
        let mut child = Command::new("/proc/self/exe")
            .arg("guard")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Out of the terminal's group: a Ctrl-C is for the daemon, which then takes leave in order.
            .process_group(0)
            .spawn()
            .map_err(GuardError::Spawn)?;
        let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(GuardError::NotReady);
        };
        let plan_in = first_to_close(stdin).map_err(GuardError::Spawn)?;
        let mut guard = Self { child, plan: plan_in, answers: BufReader::new(stdout) };
        match timeout(READY_DEADLINE, guard.update(plan)).await {
            Ok(Ok(())) => Ok(guard),
            Ok(Err(error)) => {
                guard.abandon();
                Err(error)
            }
            Err(_elapsed) => {
                guard.abandon();
                Err(GuardError::NotReady)
            }
        }
    }

    /// Ends one that does not answer, while we live: let go in another way it would take our death for granted, and the
    /// addresses off.
    pub fn abandon(mut self) {
        // Before its standard input closes: a killed process reads no more.
        if let Err(error) = self.child.start_kill() {
            tracing::debug!("the guard has ended already: {error}");
        }
    }

    /// Hands it a new plan and waits until it goes by it. Not to be called again after it was given up half way.
    pub async fn update(&mut self, plan: &Plan) -> Result<(), GuardError> {
        let mut line = serde_json::to_vec(plan).map_err(|error| GuardError::Plan(error.into()))?;
        line.push(b'\n');
        self.plan.write_all(&line).await.map_err(GuardError::Plan)?;
        self.plan.flush().await.map_err(GuardError::Plan)?;
        let mut answer = String::new();
        match self.answers.read_line(&mut answer).await {
            Ok(_) if answer.trim_end() == READY => Ok(()),
            Ok(_) | Err(_) => Err(GuardError::NotReady),
        }
    }

    /// Waits for its end, which should not come before ours.
    pub async fn ended(&mut self) -> io::Result<std::process::ExitStatus> {
        self.child.wait().await
    }

    /// Lets it go: it ends by itself as soon as its standard input closes.
    pub async fn dismiss(mut self) {
        drop(self.plan);
        // A guard that does not end in time looks after itself: it holds nothing but its own memory.
        if timeout(DISMISSAL, self.child.wait()).await.is_err() {
            tracing::warn!("the guard takes long to end");
        }
    }
}

/// The kernel closes a dead process's descriptors from the highest number down, and only then says that it is dead.
/// Packet sockets and BPF links take tens of milliseconds each to close, so the guard is told by this pipe, before them.
fn first_to_close(stdin: ChildStdin) -> io::Result<pipe::Sender> {
    let low = stdin.into_owned_fd()?;
    // Refused under a limit of less: the guard hears of our death all the same, only later.
    pipe::Sender::from_owned_fd(fcntl_dupfd_cloexec(&low, FIRST_TO_CLOSE).unwrap_or(low))
}
