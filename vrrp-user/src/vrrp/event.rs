//! What can happen to a virtual router. Refuses to know what follows from it (`router`).

use core::net::Ipv4Addr;
use core::num::NonZeroU8;

use super::router::Config;
use super::time::Instant;
use crate::wire::AdvertInterval;

/// What an advert says about its sender: read from the ring, or from the liveness slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Advert {
    /// The kernel's stamp.
    pub arrived: Instant,
    pub sender: Ipv4Addr,
    /// [`super::RELEASE`]: the sender stops being master.
    pub priority: u8,
    pub advert_interval: AdvertInterval,
}

/// Which order to the executor a result belongs to. Results of older orders are history: a "released" that belongs to the
/// time before last must not be taken for the release that we wait for now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Job(u32);

impl Job {
    /// For whoever carries orders out: a later one has another number.
    pub const fn number(self) -> u32 {
        self.0
    }

    pub(super) const fn next(self) -> Self {
        Self(self.0.wrapping_add(1))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Receiving works: take part. Before it, tell the link and the primary address.
    Startup,
    /// Stop taking part; done once the state is INITIALIZE.
    Shutdown,
    Advert(Advert),
    /// [`super::VirtualRouter::deadline`] has come. `heard`: the slot, read after `now`.
    Deadline {
        heard: Option<Advert>,
    },
    /// Carrier came.
    LinkUp,
    /// Carrier went.
    LinkDown,
    /// The interface's own first address, the source of our adverts.
    PrimaryAddress(Option<Ipv4Addr>),
    /// A BACKUP counts its deadline anew, a MASTER's next advert carries it.
    SetPriority(NonZeroU8),
    /// Stay out: a MASTER releases in order, a BACKUP stops electing. Until [`Self::Resume`], whatever else happens, and
    /// telling it twice is telling it once.
    Suspend,
    /// Take part again: listens as at the start.
    Resume,
    /// Another configuration for a living router, which keeps its role. `readdressed`: its addresses are others now, and
    /// whoever puts them on knows them.
    Reconfigure {
        config: Config,
        readdressed: bool,
    },
    /// Every address is on the interface.
    VipsHeld(Job),
    /// At least one address could not be added; the executor has said why.
    VipsRefused(Job),
    /// Nothing was added: what must come before the addresses did not succeed.
    VipsWithheld(Job),
    /// No address is on the interface.
    VipsReleased(Job),
    /// Somebody else took an address off.
    VipLost,
    /// The guard took the addresses off and sent priority 0 while we were frozen.
    Fenced,
}
