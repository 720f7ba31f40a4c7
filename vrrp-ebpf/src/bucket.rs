//! Token buckets: how much may enter the ring.
//!
//! Owns the arithmetic. Refuses to know where a bucket is kept and what is limited.

use crate::abi::Bucket;

/// `burst` at once, `1 / cost_ns` in the long run. A token is the nanoseconds it takes to earn one, so that
/// refilling is an addition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    cost_ns: u64,
    full_ns: u64,
}

impl Rate {
    pub const fn new(per_second: u64, burst: u64) -> Self {
        let cost_ns = 1_000_000_000 / per_second;
        Self { cost_ns, full_ns: cost_ns * burst }
    }
}

/// One sender of one of our virtual routers. The protocol's fastest interval is 10 ms; thrice that is no router.
pub const SENDER: Rate = Rate::new(300, 256);
/// All senders of one of our virtual routers but the recorded master: rivals during an election, or a flood.
pub const EVERYBODY: Rate = Rate::new(600, 512);
/// One sender of a virtual router that this host does not run: above it, frames are dropped.
pub const FOREIGN: Rate = Rate::new(100, 100);

/// What a trace sees of adverts that are rejected, of all senders on an interface.
pub const REJECTED: Rate = Rate::new(20, 20);

impl Bucket {
    /// A full bucket with one token already taken.
    #[inline(always)]
    pub const fn first(rate: &Rate, now_ns: u64) -> Self {
        Self { tokens: rate.full_ns - rate.cost_ns, refilled_ns: now_ns }
    }

    /// Refills, then takes one token; false if there is none.
    #[inline(always)]
    #[must_use]
    pub fn take(&mut self, rate: &Rate, now_ns: u64) -> bool {
        // Another CPU may have stamped it a little later than us.
        let earned = now_ns.saturating_sub(self.refilled_ns);
        let tokens = self.tokens.saturating_add(earned).min(rate.full_ns);
        self.refilled_ns = self.refilled_ns.max(now_ns);
        let enough = tokens >= rate.cost_ns;
        self.tokens = if enough { tokens - rate.cost_ns } else { tokens };
        enough
    }
}

#[cfg(test)]
mod tests {
    use super::{Bucket, Rate};

    const RATE: Rate = Rate::new(10, 3);

    #[test]
    fn burst_then_one_each_hundred_milliseconds() {
        let mut bucket = Bucket::first(&RATE, 0);
        assert!(bucket.take(&RATE, 0));
        assert!(bucket.take(&RATE, 0));
        assert!(!bucket.take(&RATE, 0));
        assert!(!bucket.take(&RATE, 99_999_999));
        assert!(bucket.take(&RATE, 100_000_000));
        assert!(!bucket.take(&RATE, 100_000_001));
    }

    #[test]
    fn never_holds_more_than_the_burst_and_survives_a_clock_that_steps_back() {
        let mut bucket = Bucket::first(&RATE, u64::MAX - 1);
        assert!(bucket.take(&RATE, 5));
        assert!(bucket.take(&RATE, u64::MAX));
        assert!(!bucket.take(&RATE, 0));

        let mut idle = Bucket::first(&RATE, 0);
        let taken = (0..100).filter(|_| idle.take(&RATE, 1_000_000_000_000)).count();
        assert_eq!(taken, 3);
    }
}
