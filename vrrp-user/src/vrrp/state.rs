//! The states of a virtual router, each with the deadlines it needs: a BACKUP without a deadline cannot be written down.
//!
//! Refuses to know how one state becomes another (`router`).

use core::net::Ipv4Addr;

use super::time::Instant;
use crate::wire::AdvertInterval;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Not taking part.
    Initialize,
    /// Wants to take part and cannot: sends nothing, holds nothing.
    Fault(Fault),
    /// Listens.
    Backup(Backup),
    /// The election's result; holding the addresses is its consequence, see [`Phase`].
    Master(Master),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    LinkDown,
    NoPrimaryAddress,
    /// Told to stay out, by whoever decides that outside of the core.
    Suspended,
    /// A promotion failed. Not tried again before `until`, or two hosts would hand a broken address to and fro.
    Refused {
        until: Instant,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backup {
    /// Who was heard last. None: nobody since we began to listen.
    pub master: Option<MasterRecord>,
    pub armed_by: ArmedBy,
    /// Arrival of what armed the timer, or when listening began. What arrived before is old news.
    pub armed_from: Instant,
    /// When the master counts as dead.
    pub down_at: Instant,
    /// Startup delay: not master before, whatever is heard.
    pub not_before: Instant,
    /// The thread woke late for this deadline and has already listened a little longer.
    pub extended: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArmedBy {
    /// The beginning of listening.
    Listening,
    /// A living advert.
    Advert,
    /// Priority 0.
    Release { by: Ipv4Addr },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MasterRecord {
    pub address: Ipv4Addr,
    pub priority: u8,
    pub advert_interval: AdvertInterval,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Master {
    /// Since when. What arrived before has been weighed, or could not be heard: it is no claim against us.
    pub since: Instant,
    pub advertise_at: Instant,
    pub last_sent: Instant,
    pub phase: Phase,
    /// Last advert sent out of turn, and last announcement out of turn: both are rationed.
    pub answered_at: Option<Instant>,
    pub announced_at: Option<Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The addresses are ordered, not confirmed. At `deadline` the promotion has failed.
    Promoting { deadline: Instant },
    /// The addresses are on the interface.
    Holding,
    /// The addresses are ordered off, adverts still flow. At `deadline` priority 0 goes out, confirmed or not.
    Releasing { deadline: Instant, then: Then },
    /// Our own adverts failed to leave in time, so somebody else may be master by now: nothing is sent, renewed or added.
    /// The addresses may still be there (the guard or the kernel's lifetime may have removed them): they stay untouched
    /// until a foreign advert makes us BACKUP, which drops them, or until `until`, when nobody has spoken and we resume.
    Doubting { until: Instant },
}

/// Where a release leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    Initialize,
    /// To stay out, or to listen if that has been taken back meanwhile.
    Suspended,
    Fault(Refusal),
}

/// How a promotion failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    ByKernel,
    NotConfirmedInTime,
    /// What must come before the addresses did not succeed.
    Withheld,
}

impl Backup {
    pub fn deadline(&self) -> Instant {
        self.down_at.max(self.not_before)
    }
}

impl Master {
    pub fn deadline(&self) -> Instant {
        match self.phase {
            Phase::Promoting { deadline } | Phase::Releasing { deadline, .. } => {
                deadline.min(self.advertise_at)
            }
            Phase::Holding => self.advertise_at,
            Phase::Doubting { until } => until,
        }
    }
}

impl State {
    /// When to come back with [`super::Event::Deadline`].
    pub fn deadline(&self) -> Option<Instant> {
        match self {
            Self::Initialize | Self::Fault(Fault::LinkDown | Fault::NoPrimaryAddress | Fault::Suspended) => {
                None
            }
            Self::Fault(Fault::Refused { until }) => Some(*until),
            Self::Backup(backup) => Some(backup.deadline()),
            Self::Master(master) => Some(master.deadline()),
        }
    }
}
