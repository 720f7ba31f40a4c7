//! What a virtual router wants done: a closed set, carried out in order. Refuses to know by whom.

use core::fmt;
use core::num::NonZeroU8;

use super::event::Job;
use super::why::Why;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    SendAdvert {
        priority: NonZeroU8,
    },
    /// An advert of priority 0.
    SendRelease,
    /// Add the addresses (those that are there already stay), announce each one added, report held or refused.
    TakeVips(Job),
    /// Announce the addresses again, as on adding them: somebody else claimed them.
    AnnounceVips,
    /// Take the addresses off (those that are gone already are no error), report released. An order that a later one
    /// for the same router has overtaken need not be carried out, nor reported.
    DropVips(Job),
    /// For the kernel's slot: only adverts of at least this priority refresh it; [`NOBODY`] for none.
    SetMinimumPriority(u16),
    /// For the kernel's slot: wake the thread for every advert, not only for changes.
    WakeAlways(bool),
    /// One line for the log, and the news for whoever wants to be notified. `from == to`: no change of state, but
    /// something that its operator should know.
    Transition {
        from: Label,
        to: Label,
        why: Why,
    },
}

/// [`Action::SetMinimumPriority`]: a router that waits for no master. Above every priority there is.
pub const NOBODY: u16 = 256;

/// The states by their name alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Label {
    Initialize,
    Fault,
    Backup,
    Master,
}

impl Label {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Initialize => "INITIALIZE",
            Self::Fault => "FAULT",
            Self::Backup => "BACKUP",
            Self::Master => "MASTER",
        }
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Which virtual router of the engine: the number of its slot, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RouterIndex(pub u32);

impl RouterIndex {
    pub(super) const fn as_usize(self) -> usize {
        self.0 as usize
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    pub router: RouterIndex,
    pub action: Action,
}

/// The caller's buffer, used again and again: it grows to the largest batch once, and never after.
#[derive(Debug, Default)]
pub struct Actions(Vec<Entry>);

impl Actions {
    /// The most that one event brings forth: doubt, then leaving it.
    pub const MOST_PER_EVENT: usize = 8;

    /// Room for every one of `routers` acting at once.
    pub fn for_routers(routers: usize) -> Self {
        Self(Vec::with_capacity(routers * Self::MOST_PER_EVENT))
    }

    pub fn as_slice(&self) -> &[Entry] {
        &self.0
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Keeps the room.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    pub(super) fn of(&mut self, router: RouterIndex) -> Outbox<'_> {
        Outbox { router, actions: self }
    }
}

/// Where one router puts what it wants done.
pub(super) struct Outbox<'a> {
    router: RouterIndex,
    actions: &'a mut Actions,
}

impl Outbox<'_> {
    pub(super) fn push(&mut self, action: Action) {
        self.actions.0.push(Entry { router: self.router, action });
    }
}
