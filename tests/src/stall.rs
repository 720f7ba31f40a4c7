//! Times when the machine itself stood still: a hypervisor that takes a CPU away looks like a fault of whoever ran there.
//!
//! Owns a real-time thread on each CPU that asks for every millisecond and notes those it was not given, and how often
//! something is tried that a stall disturbs. Refuses to excuse anybody of itself: a test adds what was measured to its
//! bound, or says which stall disturbs it.

use std::{
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context, Result};
use rustix::thread::{CpuSet, sched_setaffinity};

use crate::{clock, socket};

const STEP: Duration = Duration::from_millis(1);
/// Shorter ones are a scheduler's ordinary doing.
const WORTH_NOTING: Duration = Duration::from_millis(3);
/// How often [`despite_stalls`] tries while the machine itself is at fault.
pub const TRIES: usize = 10;
/// Longer than any stall that a test is worth anything after.
const PATIENCE: Duration = Duration::from_secs(10);

/// Runs until dropped.
#[derive(Debug)]
pub struct StallMeter {
    stalls: Arc<Mutex<Vec<(u64, u64)>>>,
    /// When the thread of each CPU ran last: its stalls are noted up to then, and one that still lasts is not.
    ran: Vec<Arc<AtomicU64>>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl StallMeter {
    /// One thread on each CPU of the machine.
    pub fn start() -> Result<Self> {
        let cpus = thread::available_parallelism().context("count the CPUs")?.get();
        let mut meter = Self {
            stalls: Arc::default(),
            ran: Vec::new(),
            stop: Arc::new(AtomicBool::new(false)),
            threads: Vec::new(),
        };
        for cpu in 0..cpus {
            let (stalls, stop) = (Arc::clone(&meter.stalls), Arc::clone(&meter.stop));
            let ran = Arc::new(AtomicU64::new(0));
            meter.ran.push(Arc::clone(&ran));
            let thread = thread::Builder::new().name(format!("stalls{cpu}")).spawn(move || {
                let mut only = CpuSet::new();
                only.set(cpu);
                if let Err(error) = sched_setaffinity(None, &only) {
                    eprintln!("lab: stalls of CPU {cpu} are not measured ({error})");
                    ran.store(u64::MAX, Ordering::Release);
                    return;
                }
                if let Err(error) = socket::become_realtime() {
                    eprintln!(
                        "lab: stalls are measured without real-time priority ({error}): load counts as one"
                    );
                }
                while !stop.load(Ordering::Relaxed) {
                    let before = clock::now_ns();
                    thread::sleep(STEP);
                    let after = clock::now_ns();
                    if after - before > clock::nanos(STEP + WORTH_NOTING) {
                        stalls.lock().unwrap_or_else(PoisonError::into_inner).push((before, after));
                    }
                    ran.store(after, Ordering::Release);
                }
            })?;
            meter.threads.push(thread);
        }
        Ok(meter)
    }

    /// The sum of all stalls, of whatever CPU, that touch this stretch of time.
    pub fn within(&self, from_ns: u64, until_ns: u64) -> Duration {
        self.touching(from_ns, until_ns).into_iter().sum()
    }

    /// The longest of them: what one thread may have missed in one go.
    pub fn longest(&self, from_ns: u64, until_ns: u64) -> Duration {
        self.touching(from_ns, until_ns).into_iter().max().unwrap_or_default()
    }

    fn touching(&self, from_ns: u64, until_ns: u64) -> Vec<Duration> {
        let noted_until = until_ns.min(clock::now_ns());
        let is_noted = || self.ran.iter().all(|ran| ran.load(Ordering::Acquire) >= noted_until);
        if !clock::wait_until(PATIENCE, is_noted) {
            eprintln!("lab: a CPU has stood still for {PATIENCE:?}, and still does");
        }
        let stalls = self.stalls.lock().unwrap_or_else(PoisonError::into_inner);
        let touching = stalls.iter().filter(|(from, until)| *from < until_ns && *until > from_ns);
        touching.map(|(from, until)| Duration::from_nanos(until - from)).collect()
    }
}

/// Runs `body`, whose failure proves nothing if the machine stood still for `limit` or longer meanwhile: then it is tried
/// again. What is truly broken fails each time, and any other failure is one at once.
///
/// For what a stall makes happen by right, so that no bound can be widened by it: a master that stands still loses its
/// addresses. The guard takes them an advert interval before the peer's timer would end, and the next advert is due an
/// interval after the last: with priority 150 a stall of 1.41 intervals is enough.
///
/// How many tries it took.
pub fn despite_stalls(limit: Duration, body: impl Fn()) -> usize {
    let meter = StallMeter::start().unwrap_or_else(|error| panic!("no stall meter: {error:#}"));
    let mut attempt = 0;
    loop {
        attempt += 1;
        let from = clock::now_ns();
        let Err(panic) = catch_unwind(AssertUnwindSafe(&body)) else { return attempt };
        let longest = meter.longest(from, clock::now_ns());
        if longest < limit || attempt == TRIES {
            eprintln!("failed in try {attempt}; the longest stall meanwhile: {longest:?}");
            resume_unwind(panic);
        }
        eprintln!("try {attempt} proves nothing: the machine stood still for {longest:?} meanwhile");
    }
}

impl Drop for StallMeter {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                eprintln!("lab: a stall meter panicked");
            }
        }
    }
}
