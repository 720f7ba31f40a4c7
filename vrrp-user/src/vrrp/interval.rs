//! The timers that follow from an advert interval and a priority. Refuses to know when they run.

use core::num::NonZeroU8;
use core::time::Duration;

use crate::wire::{AdvertInterval, Version};

/// Skew_Time: the weaker the router, the longer it waits (RFC 9568 §6.1; RFC 3768 §6.1, where the unit is the second
/// whatever the interval). In nanoseconds, and the division last: in whole milliseconds it would be 0 at priority 254 and
/// 10 ms, and two backups would act at once.
pub fn skew_time(priority: NonZeroU8, master: AdvertInterval) -> Duration {
    let unit = match master.version() {
        Version::V2 => Duration::from_secs(1),
        Version::V3 => master.duration(),
    };
    unit * (256 - u32::from(priority.get())) / 256
}

/// Active_Down_Interval: how long a silent master is believed to live (RFC 9568 §6.1).
pub fn down_interval(priority: NonZeroU8, master: AdvertInterval) -> Duration {
    master.duration() * 3 + skew_time(priority, master)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timers(version: Version, interval: u16, priority: u8) -> (u128, u128) {
        let priority = NonZeroU8::new(priority).unwrap();
        let interval = AdvertInterval::from_wire(version, interval).unwrap();
        (skew_time(priority, interval).as_nanos(), down_interval(priority, interval).as_nanos())
    }

    #[test]
    fn rfc9568_6_1_timers_are_exact_to_the_nanosecond() {
        assert_eq!(timers(Version::V3, 100, 100), (609_375_000, 3_609_375_000));
        assert_eq!(timers(Version::V3, 10, 100), (60_937_500, 360_937_500));
        assert_eq!(timers(Version::V3, 1, 254), (78_125, 30_078_125));
        assert_eq!(timers(Version::V3, 1, 255), (39_062, 30_039_062));
        assert_eq!(timers(Version::V3, 4095, 1), (40_790_039_062, 163_640_039_062));
    }

    #[test]
    fn rfc3768_6_1_skew_is_in_seconds_whatever_the_interval() {
        assert_eq!(timers(Version::V2, 1, 150), (414_062_500, 3_414_062_500));
        assert_eq!(timers(Version::V2, 10, 150), (414_062_500, 30_414_062_500));
    }

    #[test]
    fn a_stronger_router_never_waits_as_long_as_a_weaker_one() {
        for version in [Version::V2, Version::V3] {
            for interval in [1, 10, 255] {
                let waits: Vec<_> = (1..=255).map(|priority| timers(version, interval, priority)).collect();
                assert!(waits.is_sorted_by(|weak, strong| weak > strong));
            }
        }
    }
}
