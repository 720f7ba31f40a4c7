//! One virtual router: its configuration, its state, and what is common to all states.
//!
//! One method per state, here or in a file of its own, and every event named in each. Refuses to know other routers
//! (`engine`) and how long the timers are (`interval`).

use core::net::Ipv4Addr;
use core::num::NonZeroU8;
use core::time::Duration;

use super::OWNER;
use super::action::{Action, Label, NOBODY, Outbox};
use super::event::{Advert, Event, Job};
use super::interval::{down_interval, skew_time};
use super::state::{ArmedBy, Backup, Fault, Master, MasterRecord, Phase, State};
use super::time::Instant;
use super::why::Why;
use crate::wire::{AdvertInterval, Version};

mod backup;
mod master;

#[cfg(test)]
mod tests;

/// Priority 0 waits this long for the addresses to be off, where nothing but they has to go.
pub const RELEASE_DEADLINE: Duration = Duration::from_millis(50);
/// After a failed promotion; doubled with each that follows without one that succeeds, up to [`LONGEST_HOLD_DOWN`]: each
/// claim of a preempting router takes the addresses from a healthy one for nothing.
pub const HOLD_DOWN: Duration = Duration::from_secs(5);
pub const LONGEST_HOLD_DOWN: Duration = Duration::from_secs(320);
/// A BACKUP's deadline noticed later than this was noticed late.
pub const LATE_TOLERANCE: Duration = Duration::from_millis(1);
/// A BACKUP that woke late listens at most so many half intervals longer: more than the one interval for which a
/// MASTER that slept doubts its right, less than the two within which a dead one is to be replaced.
pub const LATE_LISTENING_HALVES: u32 = 3;
/// At most one advert out of turn in this time: two masters that answer each other must not fill the segment.
pub const ANSWER_EVERY: Duration = Duration::from_millis(10);
/// At most one announcement out of turn in this time.
pub const ANNOUNCE_EVERY: Duration = Duration::from_secs(1);
/// A MASTER whose last advert is older than so many intervals is master no more, to its neighbours.
pub const SILENT_INTERVALS: u32 = 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// [`OWNER`]: does not listen before it becomes MASTER, and always preempts.
    pub priority: NonZeroU8,
    /// Carries the protocol version.
    pub advert_interval: AdvertInterval,
    /// RFC 9568 §6.1: a MASTER yields to a stronger one whether or not this is set; it only rules over a BACKUP.
    pub preempt: bool,
    pub skew: Skew,
    /// Added to the listening after start and after each fault of link or address.
    pub startup_delay: Duration,
    /// An add that takes longer than this has failed.
    pub vip_deadline: Duration,
    /// Priority 0 waits this long for the addresses to be off; [`RELEASE_DEADLINE`], unless something has to be handed over
    /// first.
    pub release_deadline: Duration,
}

/// How long a BACKUP waits after a master's priority 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Skew {
    /// Skew_Time, after anybody's (RFC 9568 §6.4.2).
    Rfc,
    /// Not at all, when `peer`, the only other router, is the recorded master and says so. Others change nothing.
    None { peer: Ipv4Addr },
}

/// What the kernel's slot was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct SlotRule {
    minimum_priority: u16,
    wake_always: bool,
}

/// Places within an advert_interval at which this host's routers speak: a few at a time. All at once, and a thousand frames
/// in one burst overflow queues on their way; each alone, and the host wakes a thousand times instead of sixty-four.
const PLACES: u32 = 64;
/// Routers with successive numbers, which are likely to be on one interface, that speak at one place: a burst this small hurts
/// nobody, and frames that leave one interface together cost less than half.
const COMPANY: u32 = 16;

/// How many places a router's beat is ahead of its neighbours' on this host, when they become MASTER together. Only the
/// second advert comes sooner for it; none ever comes later.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Turn(u32);

impl Turn {
    /// Of the router with this number: however many there are, their turns divide the interval evenly, since counting in
    /// reversed bits halves the widest gap each time.
    pub const fn of(number: u32) -> Self {
        Self(number)
    }

    /// The upper bits of a number turned round are its lower ones.
    const fn place(self) -> u32 {
        (self.0 / COMPANY).reverse_bits() >> (u32::BITS - PLACES.ilog2())
    }

    /// The first of a host gains nothing by sharing: it may be the only one, and keeps to the RFC's letter.
    const fn shares(self) -> bool {
        self.0 != 0
    }
}

#[derive(Clone, Debug)]
pub struct VirtualRouter {
    config: Config,
    turn: Turn,
    state: State,
    link_up: bool,
    primary: Option<Ipv4Addr>,
    /// Told to stay out.
    suspended: bool,
    /// The last order to the executor.
    job: Job,
    slot: Option<SlotRule>,
    /// Of the next failed promotion.
    hold_down: Duration,
}

impl VirtualRouter {
    pub fn new(config: Config, turn: Turn) -> Self {
        Self {
            config,
            turn,
            state: State::Initialize,
            link_up: false,
            primary: None,
            suspended: false,
            job: Job::default(),
            slot: None,
            hold_down: HOLD_DOWN,
        }
    }

    /// A new router in the place of this one: results of orders to this one are not taken for its own.
    pub(super) fn successor(&self, config: Config) -> Self {
        Self { job: self.job, ..Self::new(config, self.turn) }
    }

    pub fn config(&self) -> &Config {
        &self.config
    }

    pub fn state(&self) -> &State {
        &self.state
    }

    pub fn label(&self) -> Label {
        match self.state {
            State::Initialize => Label::Initialize,
            State::Fault(_) => Label::Fault,
            State::Backup(_) => Label::Backup,
            State::Master(_) => Label::Master,
        }
    }

    pub fn deadline(&self) -> Option<Instant> {
        self.state.deadline()
    }

    pub(super) fn handle(&mut self, event: Event, now: Instant, out: &mut Outbox<'_>) {
        self.remember(event);
        match self.state {
            State::Initialize => self.initialize(event, now, out),
            State::Fault(fault) => self.fault(fault, event, now, out),
            State::Backup(backup) => self.backup(backup, event, now, out),
            State::Master(master) => self.master(master, event, now, out),
        }
        self.tell_slot(out);
    }

    /// What is true whatever the state.
    fn remember(&mut self, event: Event) {
        match event {
            Event::LinkUp => self.link_up = true,
            Event::LinkDown => self.link_up = false,
            Event::PrimaryAddress(address) => self.primary = address,
            Event::Suspend => self.suspended = true,
            Event::Resume => self.suspended = false,
            // Each state judges by the old configuration what has happened under it.
            Event::SetPriority(_)
            | Event::Reconfigure { .. }
            | Event::Startup
            | Event::Shutdown
            | Event::Advert(_)
            | Event::Deadline { .. }
            | Event::VipsHeld(_)
            | Event::VipsRefused(_)
            | Event::VipsWithheld(_)
            | Event::VipsReleased(_)
            | Event::VipLost
            | Event::Fenced => {}
        }
    }

    /// RFC 9568 §6.4.1.
    fn initialize(&mut self, event: Event, now: Instant, out: &mut Outbox<'_>) {
        match event {
            Event::Startup => match self.missing() {
                Some((fault, why)) => self.enter(State::Fault(fault), why, out),
                None => self.begin(self.config.startup_delay, now, out),
            },
            Event::SetPriority(priority) => self.config.priority = priority,
            Event::Reconfigure { config, .. } => self.config = config,
            // Not taking part: an advert that was under way, a result of orders from before.
            Event::Shutdown
            | Event::Advert(_)
            | Event::Deadline { .. }
            | Event::LinkUp
            | Event::LinkDown
            | Event::PrimaryAddress(_)
            | Event::Suspend
            | Event::Resume
            | Event::VipsHeld(_)
            | Event::VipsRefused(_)
            | Event::VipsWithheld(_)
            | Event::VipsReleased(_)
            | Event::VipLost
            | Event::Fenced => {}
        }
    }

    /// No state of the RFC's: keepalived's name for a router whose interface cannot carry it.
    fn fault(&mut self, fault: Fault, event: Event, now: Instant, out: &mut Outbox<'_>) {
        match event {
            Event::Shutdown => self.enter(State::Initialize, Why::Shutdown, out),
            Event::Deadline { .. }
            | Event::LinkUp
            | Event::LinkDown
            | Event::PrimaryAddress(_)
            | Event::Suspend
            | Event::Resume => self.reconsider(fault, now, out),
            Event::SetPriority(priority) => self.config.priority = priority,
            Event::Reconfigure { config, readdressed } => {
                self.config = config;
                if let (Fault::Refused { .. }, true) = (fault, readdressed) {
                    // Other addresses: what was refused may be what was corrected.
                    self.hold_down = HOLD_DOWN;
                    self.reconsider(Fault::Refused { until: now }, now, out);
                }
            }
            Event::Startup
            | Event::Advert(_)
            | Event::VipsHeld(_)
            | Event::VipsRefused(_)
            | Event::VipsWithheld(_)
            | Event::VipsReleased(_)
            | Event::VipLost
            | Event::Fenced => {}
        }
    }

    fn reconsider(&mut self, fault: Fault, now: Instant, out: &mut Outbox<'_>) {
        let delay = match fault {
            Fault::Refused { until } if now < until && !self.suspended => return,
            // The interface was there all the time: nothing new to wait for.
            Fault::Refused { .. } => Duration::ZERO,
            Fault::LinkDown | Fault::NoPrimaryAddress | Fault::Suspended => self.config.startup_delay,
        };
        match self.missing() {
            Some((missing, _)) if missing == fault => {}
            Some((missing, why)) => self.enter(State::Fault(missing), why, out),
            None => self.begin(delay, now, out),
        }
    }

    /// What keeps it from taking part. Somebody's will before the interface: a router that is meant to be out is not
    /// broken.
    fn missing(&self) -> Option<(Fault, Why)> {
        if self.suspended {
            Some((Fault::Suspended, Why::Suspended))
        } else if !self.link_up {
            Some((Fault::LinkDown, Why::LinkDown))
        } else if self.primary.is_none() {
            Some((Fault::NoPrimaryAddress, Why::NoPrimaryAddress))
        } else {
            None
        }
    }

    /// RFC 9568 §6.4.1: the owner becomes master at once, others listen first.
    fn begin(&mut self, delay: Duration, now: Instant, out: &mut Outbox<'_>) {
        if self.config.priority.get() == OWNER {
            return self.become_master(Why::Owner, now, out);
        }
        let backup = self.listen(delay, now);
        let listening_for = backup.deadline().since(now);
        let why = match self.state {
            State::Initialize => Why::Started { listening_for },
            State::Fault(Fault::Suspended) => Why::Resumed { listening_for },
            State::Fault(Fault::LinkDown | Fault::NoPrimaryAddress | Fault::Refused { .. })
            | State::Backup(_)
            | State::Master(_) => Why::Recovered { listening_for },
        };
        self.enter(State::Backup(backup), why, out);
    }

    /// A BACKUP that has heard nobody yet.
    fn listen(&self, delay: Duration, now: Instant) -> Backup {
        let down_at = now + self.down_interval(None) + delay;
        Backup {
            master: None,
            armed_by: ArmedBy::Listening,
            armed_from: now,
            down_at,
            not_before: now + delay,
            extended: false,
        }
    }

    /// RFC 9568 §6.4.2, the timer's expiry: the advert first, so that neighbours hold still while the address moves.
    fn become_master(&mut self, why: Why, now: Instant, out: &mut Outbox<'_>) {
        out.push(Action::SendAdvert { priority: self.config.priority });
        out.push(Action::TakeVips(self.next_job()));
        let master = Master {
            since: now,
            advertise_at: self.first_beat(now),
            last_sent: now,
            phase: Phase::Promoting { deadline: now + self.config.vip_deadline },
            answered_at: None,
            announced_at: None,
        };
        self.enter(State::Master(master), why, out);
    }

    /// After the first advert, and after the first at another interval.
    fn first_beat(&self, now: Instant) -> Instant {
        let interval = self.config.advert_interval.duration();
        self.beat(now + (interval - interval / PLACES * self.turn.place()))
    }

    /// The last place by then. Routers of one interval share their places whenever they became MASTER, so that those of one
    /// place leave with one wake-up. Every interval of the protocol is a whole number of places.
    fn beat(&self, by: Instant) -> Instant {
        if self.turn.shares() { by.floor(self.config.advert_interval.duration() / PLACES) } else { by }
    }

    fn enter(&mut self, state: State, why: Why, out: &mut Outbox<'_>) {
        let from = self.label();
        self.state = state;
        out.push(Action::Transition { from, to: self.label(), why });
    }

    fn next_job(&mut self) -> Job {
        self.job = self.job.next();
        self.job
    }

    /// Whether an advert is a neighbour's and speaks our protocol.
    fn believes(&self, advert: &Advert) -> bool {
        // Our own, come back: keeps nobody a BACKUP, and answering it would never end.
        if Some(advert.sender) == self.primary {
            return false;
        }
        match self.config.advert_interval.version() {
            // RFC 3768 §7.1: an interval that is not ours is discarded.
            Version::V2 => advert.advert_interval == self.config.advert_interval,
            Version::V3 => advert.advert_interval.version() == Version::V3,
        }
    }

    /// RFC 9568 §6.4.2 and §6.4.3: version 3 goes by the master's interval, version 2 by its own.
    fn adopted_interval(&self, master: Option<&MasterRecord>) -> AdvertInterval {
        match (self.config.advert_interval, master) {
            (AdvertInterval::V3(_), Some(master)) => master.advert_interval,
            (AdvertInterval::V2(_), Some(_)) | (AdvertInterval::V2(_) | AdvertInterval::V3(_), None) => {
                self.config.advert_interval
            }
        }
    }

    fn down_interval(&self, master: Option<&MasterRecord>) -> Duration {
        down_interval(self.config.priority, self.adopted_interval(master))
    }

    fn skew_time(&self, master: Option<&MasterRecord>) -> Duration {
        skew_time(self.config.priority, self.adopted_interval(master))
    }

    /// Whether a BACKUP obeys an advert of this priority. Preempt_Mode never binds the owner (RFC 9568 §6.1).
    fn obeys(&self, priority: u8) -> bool {
        let preempts = self.config.preempt || self.config.priority.get() == OWNER;
        !preempts || priority >= self.config.priority.get()
    }

    /// The rule follows from the state; the kernel is told when it changes.
    fn tell_slot(&mut self, out: &mut Outbox<'_>) {
        let rule = match self.state {
            State::Initialize | State::Fault(_) => SlotRule { minimum_priority: NOBODY, wake_always: false },
            // Only who could re-arm our timer may refresh the slot: a weaker stranger must not keep a dead master alive.
            State::Backup(_) if !self.obeys(1) => {
                SlotRule { minimum_priority: u16::from(self.config.priority.get()), wake_always: false }
            }
            State::Backup(_) => SlotRule { minimum_priority: 1, wake_always: false },
            // A MASTER answers or yields to everybody; and in doubt, whoever has spoken counts.
            State::Master(_) => SlotRule { minimum_priority: 1, wake_always: true },
        };
        if self.slot.map(|told| told.minimum_priority) != Some(rule.minimum_priority) {
            out.push(Action::SetMinimumPriority(rule.minimum_priority));
        }
        if self.slot.map(|told| told.wake_always) != Some(rule.wake_always) {
            out.push(Action::WakeAlways(rule.wake_always));
        }
        self.slot = Some(rule);
    }
}
