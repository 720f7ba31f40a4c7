//! Network namespaces of our own: made, entered, swept.
//!
//! Owns their names (`vl<pid>-...`, so that a later run recognises what a dead one left) and the `ip` commands run in
//! them. Refuses to know which hosts and links a lab puts into them.

use std::{
    fs::{self, File},
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::MetadataExt,
    },
    path::{Path, PathBuf},
    process::Command,
    thread,
};

use anyhow::{Context, Result, bail};
use rustix::{
    process::{Pid, Signal, kill_process, test_kill_process},
    thread::{LinkNameSpaceType, move_into_link_name_space},
};

use crate::mysql;

const PREFIX: &str = "vl";
const NAMED: &str = "/run/netns";

/// A named network namespace; gone, with every process in it, when dropped.
#[derive(Debug)]
pub struct Namespace {
    name: String,
    handle: OwnedFd,
}

impl Namespace {
    /// Makes the namespace `vl<pid>-<suffix>` with its loopback up.
    pub fn create(suffix: &str) -> Result<Self> {
        let name = format!("{}{suffix}", own_prefix());
        run("ip", &["netns", "add", &name])?;
        let path = Path::new(NAMED).join(&name);
        let handle = File::open(&path).with_context(|| format!("open {}", path.display()))?.into();
        let namespace = Self { name, handle };
        namespace.ip(&["link", "set", "dev", "lo", "up"])?;
        Ok(namespace)
    }

    /// As `ip netns` shows it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs `work` on a thread inside. Sockets opened there belong to this namespace for good, wherever they are used.
    pub fn enter<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T> {
        let handle = self.handle.as_fd();
        thread::scope(|scope| {
            let worker = scope.spawn(move || {
                move_into_link_name_space(handle, Some(LinkNameSpaceType::Network))
                    .with_context(|| format!("enter network namespace {}", self.name))?;
                Ok(work())
            });
            worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// What moves a thread that is yet to start inside, for good; it outlives the borrow.
    pub fn joiner(&self) -> Result<impl FnOnce() -> Result<()> + Send + use<>> {
        let handle = self.handle.try_clone().context("duplicate the namespace's descriptor")?;
        let name = self.name.clone();
        Ok(move || {
            move_into_link_name_space(handle.as_fd(), Some(LinkNameSpaceType::Network))
                .with_context(|| format!("enter network namespace {name}"))
        })
    }

    /// `ip ARGUMENTS` inside; its output.
    pub fn ip(&self, arguments: &[&str]) -> Result<String> {
        run("ip", &[&["-n", &self.name], arguments].concat())
    }

    /// Any program inside, to its end; its output.
    pub fn run(&self, program: &str, arguments: &[&str]) -> Result<String> {
        run("ip", &[&["netns", "exec", &self.name, program], arguments].concat())
    }

    /// The processes inside; never this one.
    pub fn processes(&self) -> Vec<u32> {
        processes_in(&Path::new(NAMED).join(&self.name))
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        remove(&self.name);
    }
}

/// Runs a program to its end; its standard output, or what it said on standard error.
pub fn run(program: &str, arguments: &[&str]) -> Result<String> {
    let line = || format!("{program} {}", arguments.join(" "));
    let output =
        Command::new(program).args(arguments).output().with_context(|| format!("cannot run `{}`", line()))?;
    if !output.status.success() {
        bail!("`{}` failed ({}): {}", line(), output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The folder for logs and generated files of the lab with this name.
pub(crate) fn folder(suffix: &str) -> Result<PathBuf> {
    let path = std::env::temp_dir().join(format!("{}{suffix}", own_prefix()));
    fs::create_dir_all(&path).with_context(|| format!("make {}", path.display()))?;
    Ok(path)
}

/// Removes what runs that are dead by now have left behind.
pub fn sweep_dead() {
    sweep(|pid| Pid::from_raw(pid).is_some_and(|pid| test_kill_process(pid).is_err()));
}

/// Removes everything this process has made: for the way out that runs no destructor.
pub fn sweep_own() {
    let own = std::process::id();
    sweep(|pid| u32::try_from(pid) == Ok(own));
}

/// The named namespaces that this process has made and not yet removed.
pub fn own_namespaces() -> Vec<String> {
    names_in(Path::new(NAMED)).into_iter().filter(|name| name.starts_with(&own_prefix())).collect()
}

fn sweep(is_ours: impl Fn(i32) -> bool) {
    let ours = |name: &String| owner(name).is_some_and(&is_ours);
    for name in names_in(Path::new(NAMED)).into_iter().filter(ours) {
        remove(&name);
    }
    let temporary = std::env::temp_dir();
    for name in names_in(&temporary).into_iter().filter(ours) {
        let path = temporary.join(name);
        mysql::unmount_below(&path);
        if let Err(error) = fs::remove_dir_all(&path) {
            eprintln!("lab: cannot remove {}: {error}", path.display());
        }
    }
}

fn own_prefix() -> String {
    format!("{PREFIX}{}-", std::process::id())
}

/// The pid in a name of ours: `vl123-x` is 123's.
fn owner(name: &str) -> Option<i32> {
    name.strip_prefix(PREFIX)?.split_once('-')?.0.parse().ok()
}

fn names_in(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

fn remove(name: &str) {
    let path = Path::new(NAMED).join(name);
    for pid in processes_in(&path) {
        let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { continue };
        if let Err(error) = kill_process(pid, Signal::KILL)
            && error != rustix::io::Errno::SRCH
        {
            eprintln!("lab: cannot kill process {pid} left in {name}: {error}");
        }
    }
    if let Err(error) = run("ip", &["netns", "del", name]) {
        eprintln!("lab: {error:#}");
    }
}

fn processes_in(namespace: &Path) -> Vec<u32> {
    let Ok(wanted) = fs::metadata(namespace).map(|data| (data.dev(), data.ino())) else { return Vec::new() };
    let own = std::process::id();
    names_in(Path::new("/proc"))
        .into_iter()
        .filter_map(|name| name.parse().ok())
        .filter(|&pid: &u32| {
            let here = fs::metadata(format!("/proc/{pid}/ns/net")).map(|data| (data.dev(), data.ino()));
            pid != own && here.is_ok_and(|here| here == wanted)
        })
        .collect()
}
