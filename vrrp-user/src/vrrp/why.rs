//! Why a virtual router changed its state, in the words of its log line. Refuses to know where the line goes.

use core::fmt;
use core::net::Ipv4Addr;
use core::time::Duration;

use super::state::{MasterRecord, Refusal};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Begins to listen, for this long.
    Started {
        listening_for: Duration,
    },
    /// Priority 255 does not listen first.
    Owner,
    LinkDown,
    NoPrimaryAddress,
    /// Told to stay out.
    Suspended,
    /// Told to take part again: listens, for this long.
    Resumed {
        listening_for: Duration,
    },
    /// What was wrong is right again: listens, for this long.
    Recovered {
        listening_for: Duration,
    },
    /// Listened, and nobody spoke.
    NobodyHeard {
        listened: Duration,
    },
    MasterSilent {
        master: MasterRecord,
        silent: Duration,
    },
    MasterReleased {
        by: Ipv4Addr,
        ago: Duration,
    },
    StrongerMaster {
        sender: Ipv4Addr,
        priority: u8,
        own: u8,
        age: Duration,
    },
    /// Same priority, greater address.
    EqualMaster {
        sender: Ipv4Addr,
        priority: u8,
        age: Duration,
    },
    /// A BACKUP's thread came too late for its deadline, and listens this much longer.
    WokeLate {
        late: Duration,
        listening_for: Duration,
    },
    /// A MASTER sent nothing for so long that its right may have passed to another: listens.
    WasSilent {
        silent: Duration,
        listening_for: Duration,
    },
    /// Nobody took over in the meantime.
    NobodyTookOver {
        silent: Duration,
    },
    TakenOver {
        sender: Ipv4Addr,
        priority: u8,
        silent: Duration,
    },
    Fenced,
    VipLost,
    PromotionFailed {
        refusal: Refusal,
        retry_in: Duration,
    },
    Shutdown,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Started { listening_for } => write!(f, "started, listening for {listening_for:?}"),
            Self::Owner => f.write_str("priority 255 owns the addresses"),
            Self::LinkDown => f.write_str("the interface has no carrier"),
            Self::NoPrimaryAddress => f.write_str("the interface has no address of its own to send from"),
            Self::Suspended => f.write_str("told to stay out"),
            Self::Resumed { listening_for } => {
                write!(f, "told to take part again, listening for {listening_for:?}")
            }
            Self::Recovered { listening_for } => {
                write!(f, "the fault is gone, listening for {listening_for:?}")
            }
            Self::NobodyHeard { listened } => write!(f, "no master heard for {listened:?}"),
            Self::MasterSilent { master, silent } => write!(
                f,
                "master {} (priority {}, interval {}) silent for {silent:?}",
                master.address, master.priority, master.advert_interval
            ),
            Self::MasterReleased { by, ago } => {
                write!(f, "master {by} stepped down (priority 0) {ago:?} ago")
            }
            Self::StrongerMaster { sender, priority, own, age } => {
                write!(f, "{sender} is master with priority {priority}, ours is {own} (advert {age:?} old)")
            }
            Self::EqualMaster { sender, priority, age } => write!(
                f,
                "{sender} is master with the same priority {priority} and the greater address (advert {age:?} old)"
            ),
            Self::WokeLate { late, listening_for } => {
                write!(f, "woke {late:?} late, listening {listening_for:?} longer before taking over")
            }
            Self::WasSilent { silent, listening_for } => write!(
                f,
                "sent no advert for {silent:?}, another may have taken over: listening for {listening_for:?}"
            ),
            Self::NobodyTookOver { silent } => {
                write!(f, "nobody took over while we sent nothing for {silent:?}, resuming")
            }
            Self::TakenOver { sender, priority, silent } => {
                write!(f, "{sender} (priority {priority}) took over while we sent nothing for {silent:?}")
            }
            Self::Fenced => f.write_str("the guard took the addresses off while the daemon was frozen"),
            Self::VipLost => f.write_str("somebody else removed an address, adding it again"),
            Self::PromotionFailed { refusal, retry_in } => {
                let refusal = match refusal {
                    Refusal::ByKernel => "the kernel refused the addresses",
                    Refusal::NotConfirmedInTime => "the addresses were not added in time",
                    Refusal::Withheld => "the server was not promoted",
                };
                write!(f, "{refusal}, trying again in {retry_in:?}")
            }
            Self::Shutdown => f.write_str("stopped"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{AdvertInterval, Version};

    #[test]
    fn a_reason_reads_as_a_log_line() {
        let master = MasterRecord {
            address: Ipv4Addr::new(192, 0, 2, 2),
            priority: 150,
            advert_interval: AdvertInterval::from_wire(Version::V3, 10).unwrap(),
        };
        let why = Why::MasterSilent { master, silent: Duration::from_micros(360_938) };
        assert_eq!(why.to_string(), "master 192.0.2.2 (priority 150, interval 100ms) silent for 360.938ms");
    }
}
