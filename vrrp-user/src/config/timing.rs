//! The times that follow from a configuration: what `vrrp check` prints and the executor renews.
//!
//! They are those of a router alone with its own settings; in version 3 the elected master's interval takes the
//! place of ours (RFC 9568 §6.1), which is the protocol core's affair.

use std::time::Duration;

use crate::vrrp::interval;
use crate::wire::AdvertInterval;

use super::{AddressLifetime, Config, Instance, MAX_TIMED_ADDRESSES, Protocol, Skew};

impl Instance {
    /// 2 or 3.
    pub fn version(&self) -> u8 {
        match self.protocol {
            Protocol::V2 { .. } => 2,
            Protocol::V3 { .. } => 3,
        }
    }

    /// Our own interval between adverts.
    pub fn advert_interval(&self) -> AdvertInterval {
        match self.protocol {
            Protocol::V2 { advert_interval, .. } => AdvertInterval::V2(advert_interval),
            Protocol::V3 { advert_interval, .. } => AdvertInterval::V3(advert_interval),
        }
    }

    /// Skew_Time (RFC 3768 §6.1, RFC 9568 §6.1).
    pub fn skew_time(&self) -> Duration {
        interval::skew_time(self.priority, self.advert_interval())
    }

    /// Master_Down_Interval, or Active_Down_Interval: when a BACKUP that hears nothing takes over.
    pub fn master_down_interval(&self) -> Duration {
        interval::down_interval(self.priority, self.advert_interval())
    }

    /// How long this router waits after its master said goodbye.
    pub fn wait_after_release(&self) -> Duration {
        match self.skew {
            Skew::Rfc => self.skew_time(),
            Skew::None => Duration::ZERO,
        }
    }
}

impl Config {
    /// valid_lft of the instance's virtual addresses, whole seconds; None where the kernel is not to end them.
    ///
    /// It must end before the peer's down timer does, whatever the peer's priority is: so it counts from the three
    /// adverts missed alone, without our own skew, which in version 3 can be longer than the peer's by most of an
    /// interval. One second is taken off because the kernel ends lifetimes up to one second late.
    pub fn address_lifetime(&self, instance: &Instance) -> Option<Duration> {
        match instance.address_lifetime {
            AddressLifetime::Off => None,
            AddressLifetime::Auto if self.address_count() > MAX_TIMED_ADDRESSES => None,
            AddressLifetime::Auto => {
                let whole = (instance.advert_interval().duration() * 3).as_secs();
                Some(Duration::from_secs(whole.saturating_sub(1).max(1)))
            }
        }
    }
}
