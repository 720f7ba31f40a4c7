//! BACKUP (RFC 9568 §6.4.2): listens, and decides when a master is dead.

use core::time::Duration;

use super::{Config, LATE_LISTENING_HALVES, LATE_TOLERANCE, Skew, VirtualRouter};
use crate::vrrp::RELEASE;
use crate::vrrp::action::Outbox;
use crate::vrrp::event::{Advert, Event};
use crate::vrrp::state::{ArmedBy, Backup, Fault, MasterRecord, State};
use crate::vrrp::time::Instant;
use crate::vrrp::why::Why;

impl VirtualRouter {
    pub(super) fn backup(&mut self, backup: Backup, event: Event, now: Instant, out: &mut Outbox<'_>) {
        match event {
            Event::Shutdown => self.enter(State::Initialize, Why::Shutdown, out),
            Event::LinkDown => self.enter(State::Fault(Fault::LinkDown), Why::LinkDown, out),
            Event::PrimaryAddress(None) => {
                self.enter(State::Fault(Fault::NoPrimaryAddress), Why::NoPrimaryAddress, out);
            }
            Event::Suspend => self.enter(State::Fault(Fault::Suspended), Why::Suspended, out),
            Event::Advert(advert) => self.state = State::Backup(self.heard(backup, &advert)),
            Event::Deadline { heard } => self.backup_deadline(backup, heard, now, out),
            Event::SetPriority(priority) => self.rearm(backup, Config { priority, ..self.config }, now),
            Event::Reconfigure { config, .. } => self.rearm(backup, config, now),
            // Results belong to orders that are history, and there is nothing to lose or to fence.
            Event::Startup
            | Event::LinkUp
            | Event::PrimaryAddress(Some(_))
            | Event::Resume
            | Event::VipsHeld(_)
            | Event::VipsRefused(_)
            | Event::VipsWithheld(_)
            | Event::VipsReleased(_)
            | Event::VipLost
            | Event::Fenced => {}
        }
    }

    /// The state after an advert: the same wherever it was read, and whenever.
    fn heard(&self, backup: Backup, advert: &Advert) -> Backup {
        if !self.believes(advert) || advert.arrived < backup.armed_from {
            return backup;
        }
        // The very advert that armed the timer, read a second time: no new sign of life, and no new right to be late.
        if backup.armed_by == ArmedBy::Advert
            && advert.arrived == backup.armed_from
            && advert.priority != RELEASE
        {
            return backup;
        }
        if advert.priority == RELEASE {
            return self.heard_release(backup, advert);
        }
        // RFC 9568 §6.4.2: with preemption a weaker advert is discarded and the timer runs on. An equal one is obeyed:
        // addresses are compared between masters only.
        if !self.obeys(advert.priority) {
            return backup;
        }
        let master = MasterRecord {
            address: advert.sender,
            priority: advert.priority,
            advert_interval: advert.advert_interval,
        };
        Backup {
            master: Some(master),
            armed_by: ArmedBy::Advert,
            armed_from: advert.arrived,
            down_at: advert.arrived + self.down_interval(Some(&master)),
            not_before: backup.not_before,
            extended: false,
        }
    }

    /// RFC 9568 §6.4.2: priority 0 sets the timer to Skew_Time, whoever sends it: anybody who can forge one could as well
    /// forge an advert of priority 254. What limits the harm is that a living master's next advert arms the timer again,
    /// here or through the slot. By the letter, a stream of priority 0 would put the deadline off for ever: the first one
    /// counts. (The timer that it replaces may be the longer or the shorter one: lazy as it is, it does not know yet.)
    fn heard_release(&self, backup: Backup, advert: &Advert) -> Backup {
        let recorded = backup.master.is_some_and(|master| master.address == advert.sender);
        let acts_at = match self.config.skew {
            Skew::Rfc => advert.arrived + self.skew_time(backup.master.as_ref()),
            Skew::None { peer } if peer != advert.sender => return backup,
            // A deadline that has come, not an act: a later advert in the same drain still cancels it.
            Skew::None { .. } if recorded => advert.arrived,
            // The peer, but not known as the master: no shortcut.
            Skew::None { .. } => advert.arrived + self.skew_time(backup.master.as_ref()),
        };
        let down_at = match backup.armed_by {
            ArmedBy::Release { .. } => backup.down_at.min(acts_at),
            ArmedBy::Listening | ArmedBy::Advert => acts_at,
        };
        Backup {
            armed_by: ArmedBy::Release { by: advert.sender },
            armed_from: advert.arrived,
            down_at,
            extended: false,
            ..backup
        }
    }

    /// Another configuration: the timer is counted anew from what armed it.
    fn rearm(&mut self, backup: Backup, config: Config, now: Instant) {
        let before = core::mem::replace(&mut self.config, config);
        if before.advert_interval.version() != config.advert_interval.version() {
            // Whom it has heard speaks the other version, and says nothing to us any more.
            self.state =
                State::Backup(Backup { not_before: backup.not_before, ..self.listen(Duration::ZERO, now) });
            return;
        }
        let master = backup.master.as_ref();
        let down = self.down_interval(master);
        let down_at = match backup.armed_by {
            ArmedBy::Listening => backup.not_before + down,
            ArmedBy::Advert => backup.armed_from + down,
            // Who has become weaker gives way to those who now are before it; who has become stronger waits no longer
            // than it would have.
            ArmedBy::Release { .. } => match config.skew {
                Skew::Rfc => backup.down_at.max(backup.armed_from + self.skew_time(master)),
                Skew::None { .. } => backup.down_at,
            },
        };
        let released = matches!(backup.armed_by, ArmedBy::Release { .. });
        let other_interval = before.advert_interval != config.advert_interval
            && self.adopted_interval(master) == config.advert_interval;
        let least = if released {
            now
        } else if other_interval {
            // The old timer has counted something else.
            now + down
        } else if config.priority < before.priority {
            // A master that was too weak to be obeyed may be one to obey now: it gets the time to say so.
            now + self.adopted_interval(master).duration() + self.skew_time(master)
        } else {
            now
        };
        let down_at = if backup.extended { down_at.max(backup.down_at) } else { down_at };
        self.state = State::Backup(Backup { down_at: down_at.max(least), ..backup });
    }

    fn backup_deadline(&mut self, backup: Backup, heard: Option<Advert>, now: Instant, out: &mut Outbox<'_>) {
        // The slot knows of living masters only.
        let living = heard.filter(|advert| advert.priority != RELEASE);
        let backup = living.map_or(backup, |advert| self.heard(backup, &advert));
        if now < backup.deadline() {
            self.state = State::Backup(backup);
            return;
        }
        let late = now.since(backup.deadline());
        if late > LATE_TOLERANCE && !backup.extended {
            // Who woke late may have slept through adverts that a struggling network card still holds back; and if the
            // master slept as well (a paused host carries both), it may speak first.
            let interval = self.adopted_interval(backup.master.as_ref()).duration();
            let longer = late.min(interval * LATE_LISTENING_HALVES / 2);
            let waiting = Backup { down_at: now + longer, extended: true, ..backup };
            self.enter(State::Backup(waiting), Why::WokeLate { late, listening_for: longer }, out);
            return;
        }
        let age = now.since(backup.armed_from);
        let why = match (backup.armed_by, backup.master) {
            (ArmedBy::Release { by }, Some(_) | None) => Why::MasterReleased { by, ago: age },
            (ArmedBy::Advert, Some(master)) => Why::MasterSilent { master, silent: age },
            (ArmedBy::Advert, None) | (ArmedBy::Listening, Some(_) | None) => {
                Why::NobodyHeard { listened: age }
            }
        };
        self.become_master(why, now, out);
    }
}
