//! How much of the machine somebody else had during a measurement: the hypervisor, and programs that are none of the bench's.
//!
//! Owns /proc/stat and the CPU times of all processes. Refuses to judge results.

use std::{collections::HashMap, fs};

use serde::Serialize;

/// Above this share of CPU time taken by the hypervisor a result is marked.
pub(crate) const MUCH_STEAL: f64 = 0.05;
/// Above this share taken by other programs, too: a little always runs, and ticks are a coarse measure.
pub(crate) const MUCH_FOREIGN: f64 = 0.10;

/// Counts in ticks are not exact: so many are nobody's. A window of milliseconds would be called noisy for two or three.
const INEXACT: u64 = 10;

/// Shares of all CPU time, 0 to 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Noise {
    /// What the hypervisor kept.
    pub(crate) steal: f64,
    /// What programs had that are neither the bench, nor started by it, nor threads of the kernel.
    pub(crate) foreign: f64,
}

impl Noise {
    #[cfg(test)]
    pub(crate) const NONE: Self = Self { steal: 0.0, foreign: 0.0 };

    /// The worse of both, each for itself.
    pub(crate) const fn max(self, other: Self) -> Self {
        Self { steal: self.steal.max(other.steal), foreign: self.foreign.max(other.foreign) }
    }

    /// What to write beside a row that was measured with so much of it; None if it was quiet.
    pub(crate) fn told(self) -> Option<String> {
        let part = |share: f64, much: f64, whose: &str| {
            (share > much).then(|| format!("{:.0} % of the CPU {whose}", share * 100.0))
        };
        let steal = part(self.steal, MUCH_STEAL, "stolen");
        let foreign = part(self.foreign, MUCH_FOREIGN, "taken by other programs");
        let parts: Vec<String> = steal.into_iter().chain(foreign).collect();
        (!parts.is_empty()).then(|| parts.join(", "))
    }
}

/// CPU time of the whole machine and of each process so far, in ticks.
#[derive(Clone, Debug, Default)]
pub(crate) struct CpuTime {
    total: u64,
    steal: u64,
    /// Of programs, in user mode and in the kernel; not of interrupts.
    busy: u64,
    processes: HashMap<u32, Process>,
    /// The bench itself.
    root: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Process {
    parent: u32,
    /// A number is given away again; with this it is one process's.
    start: u64,
    /// Its own, and that of its children that it has waited for.
    ticks: u64,
}

/// The parent of all threads of the kernel.
const KERNEL: u32 = 2;

impl CpuTime {
    pub(crate) fn now() -> Self {
        let mut time = Self::parse(&fs::read_to_string("/proc/stat").unwrap_or_default());
        time.root = std::process::id();
        for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
            let pid = entry.file_name().to_str().and_then(|name| name.parse().ok());
            // It may end this very moment.
            let stat = pid.and_then(|pid| Some((pid, fs::read_to_string(entry.path().join("stat")).ok()?)));
            time.processes.extend(stat.and_then(|(pid, stat)| Some((pid, Process::parse(&stat)?))));
        }
        time
    }

    fn parse(stat: &str) -> Self {
        let line = stat.lines().next().unwrap_or_default();
        let ticks: Vec<u64> = line.split_whitespace().skip(1).filter_map(|word| word.parse().ok()).collect();
        // proc_stat(5): user nice system idle iowait irq softirq steal; guest time is part of user time.
        Self {
            total: ticks.iter().take(8).sum(),
            steal: ticks.get(7).copied().unwrap_or(0),
            busy: ticks.iter().take(3).sum(),
            ..Self::default()
        }
    }

    /// What there was of it since then.
    pub(crate) fn noise_since(&self) -> Noise {
        self.noise_until(&Self::now())
    }

    fn noise_until(&self, now: &Self) -> Noise {
        #[expect(clippy::cast_precision_loss, reason = "ticks of one run")]
        let share = |part: u64| part as f64 / now.total.saturating_sub(self.total).max(1) as f64;
        let busy = now.busy.saturating_sub(self.busy);
        Noise {
            steal: share(now.steal.saturating_sub(self.steal)),
            foreign: share(busy.saturating_sub(self.own_until(now)).saturating_sub(INEXACT)),
        }
    }

    /// What the bench and all that it started used meanwhile, and the threads of the kernel.
    fn own_until(&self, now: &Self) -> u64 {
        let lives_on = |pid: &u32| {
            let then = self.processes.get(pid)?;
            now.processes.get(pid).filter(|process| process.start == then.start)
        };
        let mut used = 0;
        for (pid, process) in &now.processes {
            // One that lost its parent meanwhile is still ours.
            let was_own = || lives_on(pid).is_some() && self.is_own(*pid);
            if now.is_own(*pid) || was_own() {
                let before = lives_on(pid).and_then(|_| self.processes.get(pid));
                used += process.ticks.saturating_sub(before.map_or(0, |before| before.ticks));
            }
        }
        // Whoever ended is in the count of the parent that waited for it, with all of its life.
        let ended = self.processes.iter().filter(|(pid, _)| self.is_own(**pid) && lives_on(pid).is_none());
        let counted = ended.filter(|(_, process)| lives_on(&process.parent).is_some());
        let before: u64 = counted.map(|(_, process)| process.ticks).sum();
        used.saturating_sub(before)
    }

    fn is_own(&self, pid: u32) -> bool {
        let mut pid = pid;
        // No chain of parents is longer.
        for _ in 0..self.processes.len() {
            if pid == self.root || pid == KERNEL {
                return true;
            }
            match self.processes.get(&pid) {
                Some(process) => pid = process.parent,
                None => return false,
            }
        }
        false
    }
}

impl Process {
    /// proc_pid_stat(5); the name in parentheses may hold anything.
    fn parse(stat: &str) -> Option<Self> {
        let (_, rest) = stat.rsplit_once(')')?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        // Counted from the state, which is field 3.
        let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
        let ticks = (11..=14).map(number).sum::<Option<u64>>()?;
        Some(Self { parent: u32::try_from(number(1)?).ok()?, start: number(19)?, ticks })
    }
}

#[cfg(test)]
mod tests {
    use std::{process::Command, time::Duration};

    use vrrp_lab::clock;

    use super::*;

    /// Of a machine with that many ticks so far; each process: pid, parent, ticks.
    fn time(total: u64, busy: u64, steal: u64, processes: &[(u32, u32, u64)]) -> CpuTime {
        let process = |&(pid, parent, ticks): &(u32, u32, u64)| (pid, Process { parent, start: 7, ticks });
        CpuTime { total, steal, busy, processes: processes.iter().map(process).collect(), root: 100 }
    }

    #[test]
    fn what_other_programs_took_is_told_from_what_the_bench_took() {
        let before = time(1_000, 500, 0, &[(1, 0, 9), (100, 50, 10), (101, 100, 20), (2, 0, 0), (30, 2, 5)]);
        // Of 1000 ticks 610 were busy: 300 of them the bench's child's, 100 a kernel thread's.
        let now =
            time(2_000, 1_110, 20, &[(1, 0, 9), (100, 50, 10), (101, 100, 320), (2, 0, 0), (30, 2, 105)]);
        assert_eq!(before.noise_until(&now), Noise { steal: 0.02, foreign: 0.2 });
        assert_eq!(before.noise_until(&now).told().unwrap(), "20 % of the CPU taken by other programs");
    }

    #[test]
    fn children_that_ended_or_lost_their_parent_are_still_the_benchs() {
        let before = time(0, 0, 0, &[(100, 50, 10), (101, 100, 200), (102, 100, 30), (103, 102, 40)]);
        // 101 ended and was waited for after 100 more; 102 was killed, and 103 lives on as init's child.
        let now = time(1_000, 160, 0, &[(1, 0, 0), (100, 50, 340), (103, 1, 90)]);
        assert_eq!(before.noise_until(&now), Noise::NONE);
        // Its number is another's by now: what that one used is not the bench's.
        let mut other = now.clone();
        other.processes.insert(103, Process { parent: 1, start: 8, ticks: 90 });
        assert_eq!(before.noise_until(&other), Noise { steal: 0.0, foreign: 0.05 });
    }

    #[test]
    fn a_few_ticks_of_a_short_window_are_no_noise() {
        let told = |busy| time(0, 0, 0, &[]).noise_until(&time(14, busy, 0, &[])).told();
        assert_eq!([4, 10, 14].map(|busy| told(busy).is_some()), [false, false, true]);
    }

    #[test]
    fn a_little_of_either_is_no_noise() {
        assert_eq!(Noise { steal: MUCH_STEAL, foreign: MUCH_FOREIGN }.told(), None);
        let told = Noise { steal: 0.2, foreign: 0.3 }.told().unwrap();
        assert_eq!(told, "20 % of the CPU stolen, 30 % of the CPU taken by other programs");
        let worst = Noise { steal: 0.2, foreign: 0.0 }.max(Noise { steal: 0.1, foreign: 0.3 });
        assert_eq!(worst, Noise { steal: 0.2, foreign: 0.3 });
    }

    #[test]
    fn what_a_child_uses_is_the_benchs_own_while_it_lives_and_when_it_was_waited_for() {
        let before = CpuTime::now();
        let mut child = Command::new("sh").args(["-c", "while :; do :; done"]).spawn().unwrap();
        let own = || before.own_until(&CpuTime::now());
        let is_counted = clock::wait_until(Duration::from_secs(60), || own() >= 5);
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(is_counted && own() >= 5, "{} ticks", own());
    }

    #[test]
    fn the_lines_of_the_kernel_are_read() {
        let time = CpuTime::parse("cpu  10 1 20 300 5 2 3 40 7 0\ncpu0 1 2 3\n");
        assert_eq!((time.total, time.busy, time.steal), (381, 31, 40));
        let stat = "42 (a ) b) S 7 1 1 0 -1 4194560 1 2 3 4 10 20 30 40 20 0 1 0 999 1 2";
        assert_eq!(Process::parse(stat), Some(Process { parent: 7, start: 999, ticks: 100 }));
        let now = CpuTime::now();
        assert!(now.total > 0 && now.is_own(std::process::id()) && !now.is_own(1));
    }
}
