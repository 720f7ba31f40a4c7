//! The advert interval in the two units of the wire. Refuses to know the timers that are derived from it.

use core::fmt;
use core::num::{NonZeroU8, NonZeroU16};
use core::time::Duration;

use super::advert::Version;

/// VRRPv2: whole seconds, 1 to 255 (RFC 3768 §5.3.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Seconds(NonZeroU8);

impl Seconds {
    /// None for zero, which no advert may carry.
    pub const fn new(seconds: u8) -> Option<Self> {
        match NonZeroU8::new(seconds) {
            Some(seconds) => Some(Self(seconds)),
            None => None,
        }
    }

    pub const fn get(self) -> u8 {
        self.0.get()
    }
}

/// VRRPv3: hundredths of a second, 1 to 4095 (RFC 9568 §5.2.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Centiseconds(NonZeroU16);

impl Centiseconds {
    /// What fits the 12 bits of the field.
    pub const MAX: u16 = 0x0fff;

    /// None for zero (erratum 8301) and for what 12 bits cannot hold.
    pub const fn new(centiseconds: u16) -> Option<Self> {
        match NonZeroU16::new(centiseconds) {
            Some(centiseconds) if centiseconds.get() <= Self::MAX => Some(Self(centiseconds)),
            Some(_) | None => None,
        }
    }

    pub const fn get(self) -> u16 {
        self.0.get()
    }
}

/// How often a master speaks, in the unit of its protocol version; so it carries the version with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AdvertInterval {
    V2(Seconds),
    V3(Centiseconds),
}

impl AdvertInterval {
    /// From the number on the wire; None where the protocol has no such interval.
    pub fn from_wire(version: Version, number: u16) -> Option<Self> {
        match version {
            Version::V2 => u8::try_from(number).ok().and_then(Seconds::new).map(Self::V2),
            Version::V3 => Centiseconds::new(number).map(Self::V3),
        }
    }

    /// The number on the wire.
    pub const fn to_wire(self) -> u16 {
        match self {
            Self::V2(seconds) => seconds.get() as u16,
            Self::V3(centiseconds) => centiseconds.get(),
        }
    }

    pub const fn version(self) -> Version {
        match self {
            Self::V2(_) => Version::V2,
            Self::V3(_) => Version::V3,
        }
    }

    pub const fn duration(self) -> Duration {
        match self {
            Self::V2(seconds) => Duration::from_secs(seconds.get() as u64),
            Self::V3(centiseconds) => Duration::from_millis(centiseconds.get() as u64 * 10),
        }
    }
}

impl fmt::Display for AdvertInterval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::V2(seconds) => write!(f, "{}s", seconds.get()),
            Self::V3(centiseconds) => write!(f, "{}ms", u32::from(centiseconds.get()) * 10),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Against literals: a constructor checked by its own inverse has hidden a factor of ten elsewhere.
    #[test]
    fn units_agree_with_the_wall_clock() {
        let cases = [
            (Version::V2, 1, Duration::from_nanos(1_000_000_000), "1s"),
            (Version::V2, 255, Duration::from_nanos(255_000_000_000), "255s"),
            (Version::V3, 1, Duration::from_nanos(10_000_000), "10ms"),
            (Version::V3, 100, Duration::from_nanos(1_000_000_000), "1000ms"),
            (Version::V3, 4095, Duration::from_nanos(40_950_000_000), "40950ms"),
        ];
        for (version, number, duration, text) in cases {
            let interval = AdvertInterval::from_wire(version, number).unwrap();
            assert_eq!(interval.duration(), duration);
            assert_eq!(interval.to_wire(), number);
            assert_eq!(interval.version(), version);
            assert_eq!(interval.to_string(), text);
        }
    }

    #[test]
    fn rfc9568_erratum_8301_an_interval_is_1_to_4095_cs() {
        for number in [0, 4096, u16::MAX] {
            assert_eq!(AdvertInterval::from_wire(Version::V3, number), None);
        }
        for number in [0, 256, u16::MAX] {
            assert_eq!(AdvertInterval::from_wire(Version::V2, number), None);
        }
    }
}
