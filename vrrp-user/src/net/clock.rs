//! The one clock: CLOCK_MONOTONIC, the same that the kernel half stamps adverts with.
//!
//! Owns the reading of time. Nothing else in the crate asks what time it is.

use rustix::time::{ClockId, clock_gettime};

use crate::vrrp::time::Instant;

/// The host's clock, for people: milliseconds since 1970.
pub fn unix_ms() -> u64 {
    let now = clock_gettime(ClockId::Realtime);
    let (seconds, nanos) = (u64::try_from(now.tv_sec).unwrap_or(0), u64::try_from(now.tv_nsec).unwrap_or(0));
    seconds * 1_000 + nanos / 1_000_000
}

/// Now, in ns of CLOCK_MONOTONIC.
pub fn now() -> Instant {
    let now = clock_gettime(ClockId::Monotonic);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(now.tv_nsec).unwrap_or(0);
    Instant::from_nanos(seconds * 1_000_000_000 + nanos)
}
