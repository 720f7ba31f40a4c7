//! Programs in namespaces: started with a log of their own, frozen, thawed, ended by pid, never outliving their handle.
//!
//! Owns processes and their trees. Refuses to know what the programs do.

use std::{
    fs::{self, File},
    os::unix::process::{CommandExt, ExitStatusExt},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{OnceLock, mpsc},
    thread,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open, set_parent_process_death_signal},
};

use crate::{clock, namespace::Namespace};

/// A running program. Killed, with all its descendants, when dropped.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
    exited: Option<ExitStatus>,
}

impl Process {
    /// Starts `program` in `namespace` (or in ours), with standard output and error going to `log` (appended).
    ///
    /// In a namespace it starts as under `ip netns exec`: `/sys` shows that namespace, and the pid is the program's own.
    pub fn spawn(
        namespace: Option<&Namespace>,
        name: &str,
        program: &Path,
        arguments: &[&str],
        log: &Path,
    ) -> Result<Self> {
        let output = File::options()
            .create(true)
            .append(true)
            .open(log)
            .with_context(|| format!("open log {}", log.display()))?;
        let mut command = match namespace {
            Some(namespace) => {
                let mut command = Command::new("ip");
                command.args(["netns", "exec", namespace.name()]).arg(program);
                command
            }
            None => Command::new(program),
        };
        command.args(arguments).stdin(Stdio::null());
        command.stdout(output.try_clone().context("duplicate the log's descriptor")?).stderr(output);
        // A group of its own: the terminal's Ctrl-C is for the lab, which then ends its processes itself.
        command.process_group(0);
        // SAFETY: the closure runs between fork and exec and makes one system call (prctl), which is async-signal-safe;
        // it allocates nothing.
        unsafe { command.pre_exec(|| Ok(set_parent_process_death_signal(Some(Signal::KILL))?)) };
        let child = spawn_from_lasting_thread(command)
            .with_context(|| format!("cannot start {name} ({})", program.display()))?;
        Ok(Self { name: name.to_owned(), child, log: log.to_owned(), exited: None })
    }

    /// As given at the start; for messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its pid, which is the program's own also inside a namespace.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its pid and those of its living descendants, children before parents.
    pub fn tree(&self) -> Vec<u32> {
        let mut tree = vec![self.pid()];
        let parents = parents();
        let mut next = 0;
        while let Some(&parent) = tree.get(next) {
            tree.extend(parents.iter().filter(|(_, ppid)| *ppid == parent).map(|(pid, _)| *pid));
            next += 1;
        }
        tree.reverse();
        tree
    }

    /// SIGKILL to the process itself; its children live on.
    pub fn kill(&mut self) {
        self.signal(Signal::KILL);
    }

    /// SIGKILL to the whole tree, children first, as in a power cut.
    pub fn kill_tree(&mut self) {
        self.signal_all(&self.tree(), Signal::KILL);
    }

    /// SIGSTOP to the process itself.
    pub fn freeze(&mut self) {
        self.signal(Signal::STOP);
    }

    /// SIGCONT to the process itself.
    pub fn thaw(&mut self) {
        self.signal(Signal::CONT);
    }

    /// SIGSTOP to the whole tree, as when a virtual machine pauses.
    pub fn freeze_tree(&mut self) {
        self.signal_all(&self.tree(), Signal::STOP);
    }

    /// SIGCONT to the whole tree.
    pub fn thaw_tree(&mut self) {
        self.signal_all(&self.tree(), Signal::CONT);
    }

    /// A signal to each of a [`tree`](Self::tree) looked up before: to walk /proc for it takes milliseconds, which at a moment
    /// that is measured would be counted as the program's.
    pub fn signal_all(&self, tree: &[u32], signal: Signal) {
        for pid in tree {
            self.signal_pid(*pid, signal);
        }
    }

    /// SIGTERM to the process itself.
    pub fn terminate(&mut self) {
        self.signal(Signal::TERM);
    }

    /// Any signal to the process itself; nothing if it has ended.
    pub fn signal(&mut self, signal: Signal) {
        if self.is_running() {
            self.signal_pid(self.pid(), signal);
        }
    }

    /// Waits for its end, at most `limit`.
    pub fn wait(&mut self, limit: Duration) -> Option<ExitStatus> {
        let deadline = clock::now_ns() + clock::nanos(limit);
        while self.poll_exit().is_none() {
            let left = deadline.checked_sub(clock::now_ns())?;
            let Some(pid) = raw_pid(self.pid()) else { return self.exited };
            if let Ok(pidfd) = pidfd_open(pid, PidfdFlags::empty()) {
                let timeout = Timespec::try_from(Duration::from_nanos(left)).ok()?;
                // Interrupted or timed out: the loop looks again.
                poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&timeout)).ok();
            } else {
                thread::sleep(Duration::from_millis(2));
            }
        }
        self.exited
    }

    /// Whether it has not ended yet; a frozen one runs.
    pub fn is_running(&mut self) -> bool {
        self.poll_exit().is_none()
    }

    /// How it ended, in words; `None` while it runs.
    pub fn ending(&mut self) -> Option<String> {
        self.poll_exit().map(|status| match (status.code(), status.signal()) {
            (Some(code), _) => format!("exit code {code}"),
            (None, Some(signal)) => format!("signal {signal}"),
            (None, None) => status.to_string(),
        })
    }

    /// One letter as in `ps`: R, S, D, T (stopped), Z; `None` when gone.
    pub fn state(&self) -> Option<char> {
        process_state(self.pid())
    }

    /// The file that both its outputs go to.
    pub fn log_file(&self) -> PathBuf {
        self.log.clone()
    }

    /// Everything it has written.
    pub fn log(&self) -> String {
        fs::read(&self.log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// How many bytes it has written.
    pub fn log_len(&self) -> u64 {
        fs::metadata(&self.log).map_or(0, |data| data.len())
    }

    /// Its CPU time so far, user and system, in nanoseconds; 0 when gone.
    pub fn cpu_ns(&self) -> u64 {
        cpu_ns(self.pid()).unwrap_or(0)
    }

    fn signal_pid(&self, pid: u32, signal: Signal) {
        let Some(raw) = raw_pid(pid) else { return };
        match kill_process(raw, signal) {
            Ok(()) | Err(Errno::SRCH) => {}
            Err(error) => eprintln!("lab: cannot signal {} (pid {pid}): {error}", self.name),
        }
    }

    fn poll_exit(&mut self) -> Option<ExitStatus> {
        if self.exited.is_none() {
            self.exited = self.child.try_wait().unwrap_or_default();
        }
        self.exited
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.is_running() {
            self.kill_tree();
            self.wait(Duration::from_secs(5));
        }
        if thread::panicking() {
            let log = self.log();
            let lines: Vec<_> = log.lines().collect();
            let tail = lines.get(lines.len().saturating_sub(40)..).unwrap_or_default();
            eprintln!("--- last lines of {}:\n{}", self.name, tail.join("\n"));
        }
    }
}

/// The state letter of any process.
pub fn process_state(pid: u32) -> Option<char> {
    stat_fields(pid)?.first()?.chars().next()
}

/// What the kernel calls any process: the first 15 bytes of its program's name; `None` when gone.
pub fn process_name(pid: u32) -> Option<String> {
    Some(fs::read_to_string(format!("/proc/{pid}/comm")).ok()?.trim_end().to_owned())
}

/// The CPU time of any process so far, in nanoseconds, also of its threads that have ended; `None` when gone.
pub fn cpu_ns(pid: u32) -> Option<u64> {
    let pid = libc::pid_t::try_from(pid).ok()?;
    let mut clock = 0;
    // SAFETY: the call writes one clock id to where it may, and nothing else; any number is a valid pid to ask for.
    let failed = unsafe { libc::clock_getcpuclockid(pid, &raw mut clock) };
    if failed != 0 {
        return None;
    }
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the call writes one timespec to where it may; a clock whose process has ended meanwhile is an error.
    let failed = unsafe { libc::clock_gettime(clock, &raw mut time) };
    if failed != 0 {
        return None;
    }
    Some(u64::try_from(time.tv_sec).ok()? * clock::SECOND + u64::try_from(time.tv_nsec).ok()?)
}

type Job = (Command, mpsc::Sender<std::io::Result<Child>>);

/// The kernel sends the parent-death signal when the *thread* that forked ends, so one that never does forks them all.
fn spawn_from_lasting_thread(command: Command) -> Result<Child> {
    static SPAWNER: OnceLock<mpsc::Sender<Job>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (sender, jobs) = mpsc::channel::<Job>();
        thread::spawn(move || {
            for (mut command, reply) in jobs {
                if let Err(mpsc::SendError(Ok(mut orphan))) = reply.send(command.spawn()) {
                    drop(orphan.kill());
                }
            }
        });
        sender
    });
    let (reply, answer) = mpsc::channel();
    if spawner.send((command, reply)).is_err() {
        bail!("the thread that starts programs has died");
    }
    Ok(answer.recv().context("the thread that starts programs has died")??)
}

fn raw_pid(pid: u32) -> Option<Pid> {
    i32::try_from(pid).ok().and_then(Pid::from_raw)
}

fn parents() -> Vec<(u32, u32)> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries
        .flatten()
        .filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            Some((pid, stat_fields(pid)?.get(1)?.parse().ok()?))
        })
        .collect()
}

/// The fields of /proc/PID/stat from the state on; the name before them may hold spaces and brackets.
fn stat_fields(pid: u32) -> Option<Vec<String>> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    Some(stat.rsplit_once(") ")?.1.split_whitespace().map(str::to_owned).collect())
}
