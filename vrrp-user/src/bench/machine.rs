//! The machine under a measurement: what a number cannot be read without.
//!
//! Owns the few facts that /proc tells. What cannot be read is left empty: a measurement does not fail for it.

use std::fs;

use serde::{Deserialize, Serialize};

/// Filled in at the end of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    pub kernel: String,
    pub cpus: usize,
    /// The three averages at the end of the run, as the kernel prints them.
    pub load: String,
    /// Share of all CPU time that the hypervisor gave to others during the run, 0 to 1.
    pub steal: f64,
}

/// Ticks of all CPUs so far.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ticks {
    total: u64,
    steal: u64,
}

impl Ticks {
    pub(super) fn now() -> Self {
        Self::parse(&fs::read_to_string("/proc/stat").unwrap_or_default())
    }

    /// proc_stat(5): user nice system idle iowait irq softirq steal; the time of guests is in the first two again.
    fn parse(stat: &str) -> Self {
        let words = stat.lines().next().unwrap_or_default().split_whitespace().skip(1).take(8);
        let ticks: Vec<u64> = words.filter_map(|word| word.parse().ok()).collect();
        Self { total: ticks.iter().sum(), steal: ticks.get(7).copied().unwrap_or(0) }
    }

    fn steal_until(self, later: Self) -> f64 {
        share(later.steal.saturating_sub(self.steal), later.total.saturating_sub(self.total))
    }
}

impl Machine {
    /// As it is now, and was since `start`.
    pub(super) fn since(start: Ticks) -> Self {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        let load = read("/proc/loadavg");
        Self {
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            cpus: std::thread::available_parallelism().map_or(0, Into::into),
            load: load.split_whitespace().take(3).collect::<Vec<_>>().join(" "),
            steal: start.steal_until(Ticks::now()),
        }
    }
}

impl std::fmt::Display for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { kernel, cpus, load, steal } = self;
        write!(
            f,
            "Linux {kernel}, {cpus} CPUs, load {load}, {:.1} % stolen by the hypervisor",
            percent(*steal)
        )
    }
}

#[expect(clippy::float_arithmetic, reason = "a share for people to read")]
fn percent(share: f64) -> f64 {
    share * 100.0
}

/// `part` of `whole`; 0 of nothing is 0.
#[expect(clippy::float_arithmetic, clippy::cast_precision_loss, reason = "a share for people to read")]
pub(super) fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steal_is_the_eighth_column_and_guests_count_once() {
        let before = Ticks::parse("cpu  10 0 10 70 5 0 5 0 999 999\ncpu0 1 1 1 1 1 1 1 1 1 1\n");
        let after = Ticks::parse("cpu  20 0 20 120 5 0 5 30 9999 9999\n");
        assert!((before.steal_until(after) - 0.3).abs() < 1e-9);
        assert!(before.steal_until(before) < 1e-9);
    }

    #[test]
    fn this_machine_has_a_kernel_and_a_cpu() {
        let machine = Machine::since(Ticks::now());
        assert!(!machine.kernel.is_empty() && machine.cpus > 0);
        assert!((0.0..=1.0).contains(&machine.steal));
    }
}
