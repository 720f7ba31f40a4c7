//! Running other programs: cargo above all, from the top of the workspace, with cargo's own programs in PATH.
//!
//! Owns how they are started and how their failure is told. Refuses to know why they run.

use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// The top of the workspace.
pub(crate) fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or_else(|| Path::new("."))
}

/// A program, started from the top of the workspace.
pub(crate) fn program(name: &str) -> Command {
    let mut command = Command::new(name);
    command.current_dir(workspace()).env("PATH", path());
    command
}

/// cargo, free of what `cargo run` has set for this process: build scripts that watch it would run again, and all that
/// depends on them would be compiled anew.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let mut command = program(&env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned()));
    let package = ["CARGO_MANIFEST_", "CARGO_PKG_"];
    for (variable, _) in env::vars_os() {
        if variable.to_str().is_some_and(|name| package.iter().any(|begin| name.starts_with(begin))) {
            command.env_remove(variable);
        }
    }
    command.args(arguments);
    command
}

/// Runs to the end, output to ours; a failure names the line.
pub(crate) fn succeed(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot run `{}`", line(command)))?;
    if !status.success() {
        bail!("`{}` failed ({status})", line(command));
    }
    Ok(())
}

/// Runs to the end; what it printed, or `None` if it failed or is not there.
pub(crate) fn answer(command: &mut Command) -> Option<String> {
    let output = command.output().ok().filter(|output| output.status.success())?;
    String::from_utf8(output.stdout).ok()
}

/// Runs to the end, but not for longer than that; what it printed, and how it ended.
pub(crate) fn output_within(command: &mut Command, limit: Duration) -> Result<Output> {
    let line = line(command);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().with_context(|| format!("cannot run `{line}`"))?;
    // Its number may be another's once it is waited for; this is its own.
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).context("a child without a pid")?;
    let handle = pidfd_open(pid, PidfdFlags::empty()).with_context(|| format!("watch `{line}`"))?;
    let (sender, ended) = mpsc::channel();
    thread::spawn(move || sender.send(child.wait_with_output()));
    match ended.recv_timeout(limit) {
        Ok(output) => output.with_context(|| format!("wait for `{line}`")),
        Err(_) => {
            // It may have ended this very moment.
            pidfd_send_signal(handle, Signal::KILL).unwrap_or_default();
            bail!("`{line}` did not end within {limit:?}")
        }
    }
}

/// The command as one would type it.
pub(crate) fn line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// Where a program is, in the PATH that [`program`] gives.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    env::split_paths(&path()).map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// Where cargo builds into.
pub(crate) fn target_folder() -> Result<PathBuf> {
    let metadata = answer(&mut cargo(&["metadata", "--no-deps", "--format-version", "1", "--locked"]));
    let metadata = metadata.context("`cargo metadata` failed: run it by hand to see why")?;
    let metadata: serde_json::Value = serde_json::from_str(&metadata).context("read `cargo metadata`")?;
    metadata["target_directory"]
        .as_str()
        .map(PathBuf::from)
        .context("`cargo metadata` names no target directory")
}

/// An error for those who are not root, before anything was begun.
pub(crate) fn require_root(purpose: &str) -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        bail!("{purpose} needs root: run it with sudo");
    }
    Ok(())
}

/// PATH with the folders that sudo or a service leave out.
fn path() -> OsString {
    let home = env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    let cargo = env::var_os("CARGO_HOME").map_or_else(|| home.join(".cargo"), PathBuf::from).join("bin");
    let extra = [cargo, PathBuf::from("/usr/sbin"), PathBuf::from("/sbin")];
    let given = env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = env::split_paths(&given).collect();
    folders
        .extend(extra.into_iter().filter(|folder| !env::split_paths(&given).any(|known| known == *folder)));
    env::join_paths(folders).unwrap_or(given)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_does_not_end_is_ended() {
        let shell = |script: &str, limit| {
            let mut command = Command::new("sh");
            output_within(command.args(["-c", script]), Duration::from_millis(limit))
        };
        let output = shell("echo said; echo wrong >&2; exit 3", 60_000).unwrap();
        assert_eq!((output.stdout.as_slice(), output.stderr.as_slice()), (&b"said\n"[..], &b"wrong\n"[..]));
        assert_eq!(output.status.code(), Some(3));
        let error = format!("{:#}", shell("exec sleep 3600", 50).unwrap_err());
        assert_eq!(error, "`sh -c exec sleep 3600` did not end within 50ms");
    }
}
