//! The one clock of the lab: nanoseconds of CLOCK_MONOTONIC, as the kernel half stamps its records.
//!
//! Owns reading it, waiting on it, and the translation of the kernel's socket stamps (CLOCK_REALTIME) to it.
//! Refuses to know what is being timed.

use std::{thread, time::Duration};

use rustix::time::{ClockId, Timespec, clock_gettime};

/// Nanoseconds in a second.
pub const SECOND: u64 = 1_000_000_000;
/// Nanoseconds in a millisecond.
pub const MILLISECOND: u64 = 1_000_000;

/// Now, in nanoseconds of CLOCK_MONOTONIC.
pub fn now_ns() -> u64 {
    to_ns(clock_gettime(ClockId::Monotonic))
}

/// What a stamp of CLOCK_REALTIME must be lowered by to become one of CLOCK_MONOTONIC.
///
/// Measured as the tightest of five brackets, so the error is a few hundred nanoseconds on a quiet machine. A step of
/// the wall clock between the stamp and this call goes into the result.
pub fn realtime_lead_ns() -> u64 {
    let mut best = (u64::MAX, 0);
    for _ in 0..5 {
        let before = now_ns();
        let wall = to_ns(clock_gettime(ClockId::Realtime));
        let width = now_ns() - before;
        if width < best.0 {
            best = (width, wall.saturating_sub(before + width / 2));
        }
    }
    best.1
}

/// Sleeps; a name of its own so that tests need not import two modules.
pub fn sleep_ms(milliseconds: u64) {
    thread::sleep(Duration::from_millis(milliseconds));
}

/// Asks `condition` every 2 ms until it holds or `limit` is over; whether it held.
pub fn wait_until(limit: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let deadline = now_ns() + nanos(limit);
    loop {
        if condition() {
            return true;
        }
        if now_ns() >= deadline {
            return false;
        }
        thread::sleep(Duration::from_millis(2));
    }
}

/// A duration in nanoseconds, saturating after 584 years.
pub fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn to_ns(time: Timespec) -> u64 {
    // Both clocks count from 0 upwards on Linux; a negative reading cannot happen and would be 0.
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds * SECOND + u64::try_from(time.tv_nsec).unwrap_or(0)
}
