//! Programs of the operator's: run with a bound, as somebody, in a process group that does not outlive its time.
//!
//! Owns starting and ending them. No shell, and nothing of the daemon's environment, which may hold a password.

use std::fmt::Display;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, geteuid, kill_process_group};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep_until, timeout};

use super::judge::{Finding, Symptom, View};
use super::settings::{CommandLine, Script};
use super::watch::Desk;

#[cfg(test)]
mod tests;

const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const ACCOUNTS: &str = "/etc/passwd";

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Exit code 0.
    Good,
    /// Any other, or a signal.
    Failed(String),
    TimedOut(String),
    /// It could not or must not be started.
    NotRun(String),
}

/// The check. Ends only with its task.
pub(super) async fn run((settings, desk): (Script, Desk)) {
    loop {
        let began = Instant::now();
        let outcome = execute(&settings.command, settings.user.as_deref(), &[], settings.timeout).await;
        let program = settings.command.program.display();
        let finding = match outcome {
            Outcome::Good => Finding::good(),
            Outcome::Failed(why) | Outcome::TimedOut(why) => {
                Finding::new(Symptom::Gone, format!("{program}: {why}"))
            }
            Outcome::NotRun(why) => Finding::new(Symptom::Wrong, format!("{program}: {why}")),
        };
        desk.tell_since(began, View::Plain, finding).await;
        sleep_until((began + settings.interval).max(Instant::now() + Duration::from_millis(1))).await;
    }
}

/// Runs it to its end, or to that of its time.
pub async fn execute(
    line: &CommandLine,
    user: Option<&str>,
    environment: &[(&str, String)],
    limit: Duration,
) -> Outcome {
    let mut command = Command::new(&line.program);
    command
        .args(&line.arguments)
        .env_clear()
        .env("PATH", PATH)
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0);
    match user.map(account) {
        Some(Ok((uid, gid))) => {
            command.uid(uid).gid(gid);
        }
        Some(Err(why)) => return Outcome::NotRun(why),
        None => {
            if geteuid().is_root()
                && let Err(why) = is_roots_alone(&line.program)
            {
                return Outcome::NotRun(why);
            }
        }
    }
    match command.spawn() {
        Ok(child) => Group(child).wait(limit).await,
        Err(error) => Outcome::NotRun(format!("cannot be started: {error}; correct its path or permissions")),
    }
}

/// Why it could not be run now, if so.
pub fn obstacle(line: &CommandLine, user: Option<&str>) -> Option<String> {
    let program = line.program.display();
    let why = match user.map(account) {
        Some(Err(why)) => Err(why),
        None if geteuid().is_root() => is_roots_alone(&line.program).and_then(|()| is_program(&line.program)),
        Some(Ok(_)) | None => is_program(&line.program),
    };
    why.err().map(|why| format!("{program}: {why}"))
}

fn is_program(program: &Path) -> Result<(), String> {
    let metadata =
        fs::metadata(program).map_err(|error| format!("cannot be looked at: {error}; correct its path"))?;
    let mode = metadata.mode() & 0o7777;
    if !metadata.is_file() {
        return Err("is no program; correct its path".into());
    }
    if mode & 0o111 == 0 {
        return Err(format!("nobody may execute it (mode {mode:04o}); `chmod 755` it"));
    }
    Ok(())
}

/// A child that leads a process group; dropped before its end, the group is killed.
struct Group(Child);

impl Group {
    async fn wait(mut self, limit: Duration) -> Outcome {
        let Ok(ended) = timeout(limit, self.0.wait()).await else {
            self.kill();
            // Killed, it ends; reaping it is all that is left.
            return match self.0.wait().await {
                Ok(_) | Err(_) => {
                    Outcome::TimedOut(format!("no end within {limit:?}; its process group was killed"))
                }
            };
        };
        match ended {
            Ok(status) if status.success() => Outcome::Good,
            Ok(status) => Outcome::Failed(status.to_string()),
            Err(error) => Outcome::Failed(format!("waiting for it: {error}")),
        }
    }

    /// While it is not reaped, its number is nobody else's.
    fn kill(&self) {
        let group = self.0.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        if let Some(group) = group
            && let Err(error) = kill_process_group(group, Signal::KILL)
        {
            tracing::debug!("kill process group {group:?}: {error}");
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The user's numbers. Only the local accounts: asking a directory takes as long as it likes.
fn account(name: &str) -> Result<(u32, u32), String> {
    let accounts =
        fs::read_to_string(ACCOUNTS).map_err(|error| format!("{ACCOUNTS} cannot be read: {error}"))?;
    find_account(&accounts, name).ok_or_else(|| {
        format!(
            "there is no user {name} in {ACCOUNTS}; correct `user`, or create it (`useradd --system {name}`)"
        )
    })
}

fn find_account(accounts: &str, name: &str) -> Option<(u32, u32)> {
    let mut fields = accounts
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?
        .split(':')
        .skip(1)
        .map(str::parse);
    Some((fields.next()?.ok()?, fields.next()?.ok()?))
}

/// What others can change, root does not run: neither the file nor a directory on the way to it.
fn is_roots_alone(program: &Path) -> Result<(), String> {
    let fault = |error: io::Error| format!("cannot be looked at: {error}; correct its path");
    let real = fs::canonicalize(program).map_err(fault)?;
    let changeable = |place: &Path, how: &dyn Display| {
        format!(
            "root does not run it, because {} {how}; `chown root` and `chmod go-w` it, or set `user`",
            place.display()
        )
    };
    for place in real.ancestors().map(PathBuf::from) {
        let metadata = fs::metadata(&place).map_err(fault)?;
        let mode = metadata.mode();
        // In a sticky directory nobody replaces another's file.
        let writable = mode & 0o022 != 0 && !(metadata.is_dir() && mode & 0o1000 != 0);
        if metadata.uid() != 0 {
            return Err(changeable(&place, &format_args!("belongs to user {}", metadata.uid())));
        }
        if writable {
            return Err(changeable(
                &place,
                &format_args!("can be written by others (mode {:04o})", mode & 0o7777),
            ));
        }
    }
    Ok(())
}
