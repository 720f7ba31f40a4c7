//! A point in time, as an argument. Refuses to know the clock that it was read from.

use core::ops::Add;
use core::time::Duration;

/// Nanoseconds of CLOCK_MONOTONIC: the clock of the kernel's arrival stamps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(u64);

impl Instant {
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Zero if `earlier` is later: an advert may arrive between the reading of the clock and that of the slot.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// The last multiple of `step` that is not later.
    pub fn floor(self, step: Duration) -> Self {
        let past = u64::try_from(step.as_nanos()).ok().and_then(|step| self.0.checked_rem(step));
        Self(self.0 - past.unwrap_or(0))
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    /// Saturates: a deadline 584 years after boot need not wrap to the past.
    fn add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_is_in_nanoseconds_and_saturates() {
        let start = Instant::from_nanos(5);
        assert_eq!(start + Duration::from_micros(1), Instant::from_nanos(1_005));
        assert_eq!((start + Duration::from_micros(1)).since(start), Duration::from_nanos(1_000));
        assert_eq!(start.since(Instant::from_nanos(6)), Duration::ZERO);
        assert_eq!(start + Duration::MAX, Instant::from_nanos(u64::MAX));
    }
}
