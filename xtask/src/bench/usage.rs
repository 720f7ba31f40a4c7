//! What a daemon and its helpers use, and whether all of them live on.
//!
//! Owns the sums over the processes of one half of a pair. Refuses to know what it is measured for.

use std::fs;

use vrrp_lab::process::{cpu_ns, process_state};

/// CPU time and memory of a daemon and its helpers: each one's own pages, and once the pages of files, which are mostly
/// the program that they share.
#[derive(Clone, Debug, Default)]
pub(crate) struct Usage {
    pub(crate) cpu_ns: u64,
    pub(crate) resident_kib: u64,
    pids: Vec<u32>,
}

impl Usage {
    /// Of these, so far.
    pub(super) fn of(pids: Vec<u32>) -> Self {
        let mut usage = Self::default();
        let mut files = 0;
        for pid in &pids {
            usage.cpu_ns += cpu_ns(*pid).unwrap_or(0);
            let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            usage.resident_kib += kib(&status, "RssAnon:") + kib(&status, "RssShmem:");
            files = files.max(kib(&status, "RssFile:"));
        }
        usage.resident_kib += files;
        usage.pids = pids;
        usage
    }

    /// Those that have ended since `before`: what they used is in no sum any more.
    pub(super) fn ended(&self, before: &Self) -> Vec<u32> {
        let is_dead = |pid: &u32| !self.pids.contains(pid) || matches!(process_state(*pid), None | Some('Z'));
        before.pids.iter().copied().filter(is_dead).collect()
    }
}

fn kib(status: &str, what: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(what));
    line.and_then(|line| line.split_whitespace().next()).and_then(|kib| kib.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::{process::Command, thread};

    use rustix::time::{ClockId, clock_gettime};

    use super::*;

    #[test]
    fn a_thread_that_ended_leaves_its_cpu_time_to_its_process() {
        let used = || Usage::of(vec![std::process::id()]).cpu_ns;
        let before = used();
        let busy = thread::spawn(|| {
            // By the thread's own clock: however long the machine lets it wait.
            while clock_gettime(ClockId::ThreadCPUTime).tv_nsec < 50_000_000 {}
        });
        busy.join().unwrap();
        assert!(used() - before >= 50_000_000, "{} ns", used() - before);
    }

    #[test]
    fn a_process_that_ended_is_missed_waited_for_or_not() {
        let mut child = Command::new("sleep").arg("3600").spawn().unwrap();
        let own = std::process::id();
        let (before, alone) = (Usage::of(vec![child.id(), own]), Usage::of(vec![own]));
        assert_eq!(Usage::of(vec![own, child.id(), 1]).ended(&before), Vec::<u32>::new());
        assert_eq!(alone.ended(&before), [child.id()], "another's child by now");
        child.kill().unwrap();
        while process_state(child.id()) != Some('Z') {
            thread::yield_now();
        }
        assert_eq!(
            Usage::of(vec![own, child.id()]).ended(&before),
            [child.id()],
            "dead, and nobody waited for it"
        );
        child.wait().unwrap();
        assert_eq!(Usage::of(vec![own, child.id()]).ended(&before), [child.id()]);
    }
}
