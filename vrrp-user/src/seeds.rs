//! The seeds that the simulation of the core (`vrrp/simulation.rs`) is run with: which, and on how many cores.
//!
//! `VRRP_SIM_SEED=17` replays one seed with a trace; `VRRP_SIM_FROM` and `VRRP_SIM_SEEDS` say which ones to run and how
//! many. `cargo xtask simulate` sets them, for a million seeds and an optimised build.

use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;

use crate::vrrp::simulation::live;

/// Of a run that names no other number.
const SEEDS: u64 = 10_000;
const REPORT_EVERY: Duration = Duration::from_secs(10);

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|value| value.parse().expect("a number"))
}

/// The next seed to live. One broken promise ends it for all workers.
struct Seeds {
    next: AtomicU64,
    end: u64,
}

impl Seeds {
    fn work(&self) {
        let ending = EndOnPanic(self);
        while let Some(seed) = self.take() {
            live(seed, false);
        }
        drop(ending);
    }

    fn take(&self) -> Option<u64> {
        let seed = self.next.fetch_add(1, Ordering::Relaxed);
        (seed < self.end).then_some(seed)
    }

    fn left(&self) -> u64 {
        self.end.saturating_sub(self.next.load(Ordering::Relaxed))
    }
}

struct EndOnPanic<'a>(&'a Seeds);

impl Drop for EndOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.next.store(self.0.end, Ordering::Relaxed);
        }
    }
}

#[test]
#[expect(clippy::disallowed_methods, reason = "how long a run takes is told by the wall clock, not judged")]
fn no_seed_breaks_a_promise() {
    if let Some(seed) = number("VRRP_SIM_SEED") {
        return live(seed, true);
    }
    let from = number("VRRP_SIM_FROM").unwrap_or(0);
    let count = number("VRRP_SIM_SEEDS").unwrap_or(SEEDS);
    assert!(count > 0, "no seed to run");
    let seeds = Seeds { next: AtomicU64::new(from), end: from + count };
    let cores = std::thread::available_parallelism().map_or(1, core::num::NonZero::get);
    let begin = std::time::Instant::now();
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..cores).map(|_| scope.spawn(|| seeds.work())).collect();
        let mut told = begin;
        while !workers.iter().all(std::thread::ScopedJoinHandle::is_finished) {
            std::thread::sleep(Duration::from_millis(20));
            if told.elapsed() > REPORT_EVERY {
                told = std::time::Instant::now();
                println!("{} of {count} seeds, {:?}", count - seeds.left(), begin.elapsed());
            }
        }
    });
    println!("{count} seeds from {from} on, {:?} on {cores} cores", begin.elapsed());
}
