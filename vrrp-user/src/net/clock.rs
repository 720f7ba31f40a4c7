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

/// That instant by the host's clock: nanoseconds since 1970, for people and captures.
pub fn unix_ns(at: Instant) -> u64 {
    let real = clock_gettime(ClockId::Realtime);
    let age = u64::try_from(now().since(at).as_nanos()).unwrap_or(0);
    let seconds = u64::try_from(real.tv_sec).unwrap_or(0);
    let real = seconds * 1_000_000_000 + u64::try_from(real.tv_nsec).unwrap_or(0);
    real.saturating_sub(age)
}

/// Now, in ns of CLOCK_MONOTONIC.
pub fn now() -> Instant {
    let now = clock_gettime(ClockId::Monotonic);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(now.tv_nsec).unwrap_or(0);
    Instant::from_nanos(seconds * 1_000_000_000 + nanos)
}

/// Now, in ms of CLOCK_REALTIME: for comparing this host's clock with another's, never for a deadline.
pub fn realtime_ms() -> i64 {
    let now = clock_gettime(ClockId::Realtime);
    now.tv_sec.saturating_mul(1000).saturating_add(now.tv_nsec / 1_000_000)
}
