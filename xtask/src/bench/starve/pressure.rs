//! Memory pressure on the pair itself: both daemons in one control group with somebody who wants more than there is.
//!
//! Owns the group and its limit, in either version of the kernel's control groups. Where none can be made, most of the machine's
//! free memory is filled instead, and never so much that the kernel would have to kill somebody.

use std::{
    fs,
    path::{Path, PathBuf},
    process, thread,
    time::Duration,
};

use anyhow::{Context as _, Result};
use rustix::process::{Pid, Signal, kill_process};
use vrrp_lab::{Lab, clock, load::Load};

/// MiB that the group may have beyond what the pair has at rest: more than the writers are, and filled by what they write at
/// once, again and again.
pub(super) const SPARE: u64 = 16;
/// Of the machine's memory, without a group: so much stays free.
const LEFT: u64 = 2 << 30;
/// Where both versions are mounted, and what a group of this program is called.
const MOUNTS: [(&Version, &str); 2] = [(&SECOND, "/sys/fs/cgroup"), (&FIRST, "/sys/fs/cgroup/memory")];
const NAME: &str = "vrrp-bench-";

/// The names of the same things.
#[derive(Debug)]
struct Version {
    number: u8,
    limit: &'static str,
    used: &'static str,
    /// Counts how often the limit was met.
    met: &'static str,
}

const FIRST: Version = Version {
    number: 1,
    limit: "memory.limit_in_bytes",
    used: "memory.usage_in_bytes",
    met: "memory.failcnt",
};
const SECOND: Version =
    Version { number: 2, limit: "memory.max", used: "memory.current", met: "memory.events" };

/// A control group; gone when dropped, after everybody in it.
#[derive(Debug)]
pub(super) struct Room {
    version: &'static Version,
    folder: PathBuf,
    /// Where this program belongs.
    home: PathBuf,
}

impl Room {
    /// None where this machine has no group with a memory limit for us.
    pub(super) fn make() -> Option<Self> {
        MOUNTS.into_iter().find_map(|(version, mount)| Self::make_in(version, Path::new(mount)))
    }

    fn make_in(version: &'static Version, mount: &Path) -> Option<Self> {
        sweep_dead(mount);
        let own = fs::read_to_string("/proc/self/cgroup").ok()?;
        let home = mount.join(home(&own, version.number)?);
        let folder = mount.join(format!("{NAME}{}", process::id()));
        fs::create_dir(&folder).ok()?;
        let room = Self { version, folder, home };
        // A group of version 2 has the limit only where its parent hands it on; a dropped room removes its folder.
        let is_usable = room.folder.join(version.limit).exists() && room.home.join("cgroup.procs").exists();
        is_usable.then_some(room)
    }

    /// Whatever `work` starts is in the group, with the memory that it takes; this program is not, any more.
    pub(super) fn around<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        enter(&self.folder, process::id())?;
        let done = work();
        enter(&self.home, process::id())?;
        done
    }

    /// Presses for so long, with what is written there; how often the limit was met.
    pub(super) fn press(&self, lab: &Lab, disk: &Path, time: Duration) -> Result<u64> {
        let used = self.read(self.version.used)?.trim().parse::<u64>().context("read what the group has")?;
        let limit = self.folder.join(self.version.limit);
        fs::write(&limit, (used + (SPARE << 20)).to_string())
            .with_context(|| format!("write {}", limit.display()))?;
        let mut writers = Load::disk(lab, disk)?;
        for writer in writers.processes() {
            enter(&self.folder, writer.pid())?;
        }
        let before = self.met()?;
        thread::sleep(time);
        let met = self.met()?.saturating_sub(before);
        drop(writers);
        Ok(met)
    }

    fn met(&self) -> Result<u64> {
        met(&self.read(self.version.met)?).context("read how often the limit was met")
    }

    fn read(&self, file: &str) -> Result<String> {
        let file = self.folder.join(file);
        fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        remove(&self.folder);
    }
}

/// Removes what this process has made: for the way out that runs no destructor.
pub(super) fn sweep_own() {
    let own = process::id();
    for mount in MOUNTS.map(|(_, mount)| Path::new(mount)) {
        let group = mount.join(format!("{NAME}{own}"));
        for pid in members(&group) {
            // This program may be in the middle of starting somebody; the rest it has started.
            if pid == own {
                drop(enter(mount, own));
            } else if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
                kill_process(pid, Signal::KILL).unwrap_or_default();
            }
        }
        remove(&group);
    }
}

fn members(group: &Path) -> Vec<u32> {
    let text = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
    text.lines().filter_map(|line| line.parse().ok()).collect()
}

/// Groups of runs that were killed; whoever was in them died with them.
fn sweep_dead(mount: &Path) {
    for entry in fs::read_dir(mount).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let pid = name.to_str().and_then(|name| name.strip_prefix(NAME)?.parse::<u32>().ok());
        if pid.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists()) {
            remove(&entry.path());
        }
    }
}

/// Who was killed in it is not gone at once.
fn remove(group: &Path) {
    let is_gone = || !group.exists() || fs::remove_dir(group).is_ok();
    if !clock::wait_until(Duration::from_secs(2), is_gone) {
        eprintln!("bench: the control group {} is left behind", group.display());
    }
}

fn enter(group: &Path, pid: u32) -> Result<()> {
    let file = group.join("cgroup.procs");
    fs::write(&file, pid.to_string()).with_context(|| format!("write {pid} to {}", file.display()))
}

/// Below its mount, from /proc/self/cgroup: `4:memory:/a/b`, or `0::/a/b` of version 2.
fn home(cgroup: &str, version: u8) -> Option<&str> {
    cgroup.lines().find_map(|line| {
        let mut parts = line.splitn(3, ':');
        let (number, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
        let is_it = match version {
            2 => number == "0" && controllers.is_empty(),
            _ => controllers.split(',').any(|controller| controller == "memory"),
        };
        is_it.then(|| path.trim_start_matches('/'))
    })
}

/// The one number of version 1, or the line `max 3` of version 2.
fn met(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("max "));
    line.unwrap_or(text).trim().parse().ok()
}

/// What to fill without a group, in each of two processes, of what /proc/meminfo calls available.
pub(super) fn fill(meminfo: &str) -> u64 {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let kib = line.and_then(|line| line.split_whitespace().next()).and_then(|kib| kib.parse::<u64>().ok());
    (kib.unwrap_or(0) * 1024).saturating_sub(LEFT) / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_finds_the_group_that_it_belongs_to_in_either_version() {
        let both = "12:cpu,cpuacct:/x\n4:hugetlb,memory:/machine/one\n0::/user.slice/two:three\n";
        assert_eq!(home(both, 1), Some("machine/one"));
        assert_eq!(home(both, 2), Some("user.slice/two:three"));
        assert_eq!(home("0::/\n", 1), None);
        assert_eq!(home("0::/\n", 2), Some(""));
    }

    #[test]
    fn how_often_the_limit_was_met_is_read_in_either_version() {
        assert_eq!(met("17\n"), Some(17));
        assert_eq!(met("low 1\nhigh 2\nmax 3\noom 4\noom_kill 5\n"), Some(3));
        assert_eq!(met("low 1\n"), None);
    }

    #[test]
    fn two_gigabytes_stay_free() {
        assert_eq!(fill("MemTotal: 9 kB\nMemAvailable:    4194304 kB\n"), 1 << 30);
        assert_eq!([fill("MemAvailable: 1048576 kB\n"), fill("")], [0, 0]);
    }
}
