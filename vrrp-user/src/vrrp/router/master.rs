//! MASTER (RFC 9568 §6.4.3): speaks, holds the addresses, and knows when its right has lapsed.

use super::{
    ANNOUNCE_EVERY, ANSWER_EVERY, Config, HOLD_DOWN, LONGEST_HOLD_DOWN, RELEASE_DEADLINE, SILENT_INTERVALS,
    VirtualRouter,
};
use core::time::Duration;

use crate::vrrp::RELEASE;
use crate::vrrp::action::{Action, Outbox};
use crate::vrrp::event::{Advert, Event, Job};
use crate::vrrp::state::{ArmedBy, Backup, Fault, Master, MasterRecord, Phase, Refusal, State, Then};
use crate::vrrp::time::Instant;
use crate::vrrp::why::Why;

impl VirtualRouter {
    pub(super) fn master(&mut self, mut master: Master, event: Event, now: Instant, out: &mut Outbox<'_>) {
        if self.was_silent(&master, now) {
            master = self.doubt(master, now, out);
        }
        match event {
            Event::Shutdown => self.release(master, Then::Initialize, now, out),
            Event::Suspend => self.release(master, Then::Suspended, now, out),
            Event::LinkDown | Event::PrimaryAddress(None) => self.lose_footing(master, out),
            Event::SetPriority(priority) => self.config.priority = priority,
            Event::Reconfigure { config, readdressed } => {
                self.master_reconfigured(master, config, readdressed, now, out);
            }
            Event::Advert(advert) => self.master_advert(master, &advert, now, out),
            Event::Deadline { heard } => self.master_deadline(master, heard, now, out),
            Event::VipsHeld(job) => self.vips_held(master, job),
            Event::VipsRefused(job) => self.vips_refused(master, job, now, out),
            Event::VipsReleased(job) => self.vips_released(master, job, now, out),
            Event::VipLost => self.vip_lost(master, now, out),
            Event::Fenced => self.fenced(master, now, out),
            // The next advert leaves from the new address; a release that is under way looks itself whether it was for
            // nothing.
            Event::Startup | Event::LinkUp | Event::PrimaryAddress(Some(_)) | Event::Resume => {}
        }
    }

    /// Whether neighbours may already take us for dead, and a claim would be one by a right that has passed to another.
    /// One who releases claims nothing, and one who doubts has noticed.
    pub(super) fn was_silent(&self, master: &Master, now: Instant) -> bool {
        match master.phase {
            Phase::Promoting { .. } | Phase::Holding => self.is_stale(master, now),
            Phase::Releasing { .. } | Phase::Doubting { .. } => false,
        }
    }

    fn is_stale(&self, master: &Master, now: Instant) -> bool {
        now.since(master.last_sent) > self.config.advert_interval.duration() * SILENT_INTERVALS
    }

    fn doubt(&mut self, master: Master, now: Instant, out: &mut Outbox<'_>) -> Master {
        // Whoever took over speaks within one interval.
        let listening_for = self.config.advert_interval.duration();
        let master = Master { phase: Phase::Doubting { until: now + listening_for }, ..master };
        let silent = now.since(master.last_sent);
        self.enter(State::Master(master), Why::WasSilent { silent, listening_for }, out);
        master
    }

    fn master_advert(&mut self, master: Master, advert: &Advert, now: Instant, out: &mut Outbox<'_>) {
        if !self.believes(advert) {
            return;
        }
        match master.phase {
            Phase::Doubting { .. } => {
                self.step_back_if_taken_over(master, Some(*advert), now, out);
            }
            // On the way out: whoever claims the addresses now is welcome to them.
            Phase::Releasing { .. } => {}
            Phase::Promoting { .. } | Phase::Holding => self.judge(master, advert, now, out),
        }
    }

    fn judge(&mut self, master: Master, advert: &Advert, now: Instant, out: &mut Outbox<'_>) {
        if advert.arrived < master.since {
            return;
        }
        let own = self.config.priority.get();
        let (sender, priority, age) = (advert.sender, advert.priority, now.since(advert.arrived));
        if priority == RELEASE {
            // RFC 9568 §6.4.3: tells the other backups who is master before their skew time ends; the timer starts anew.
            if let Some(answered) = self.answer(master, now, out) {
                let advertise_at = self.beat(now + self.config.advert_interval.duration());
                self.state = State::Master(Master { advertise_at, ..answered });
            }
        } else if priority > own {
            self.yield_to(advert, Why::StrongerMaster { sender, priority, own, age }, out);
        } else if priority == own && Some(sender) > self.primary {
            self.yield_to(advert, Why::EqualMaster { sender, priority, age }, out);
        } else {
            self.answer_loser(master, now, out);
        }
    }

    /// RFC 9568 §6.4.3: a weaker master is told at once, and the timer is not touched. RFC 3768 discards in silence;
    /// keepalived answers in both versions, and so do we: it ends a time of two masters sooner.
    fn answer_loser(&mut self, master: Master, now: Instant, out: &mut Outbox<'_>) {
        let mut master = self.answer(master, now, out).unwrap_or(master);
        let held = match master.phase {
            Phase::Holding => true,
            // Being added: will be announced.
            Phase::Promoting { .. } => false,
            Phase::Releasing { .. } | Phase::Doubting { .. } => false,
        };
        if held && master.announced_at.is_none_or(|at| now.since(at) >= ANNOUNCE_EVERY) {
            // The loser has announced the addresses as its own.
            out.push(Action::AnnounceVips);
            master.announced_at = Some(now);
        }
        self.state = State::Master(master);
    }

    /// An advert out of turn, if the ration allows it.
    fn answer(&self, master: Master, now: Instant, out: &mut Outbox<'_>) -> Option<Master> {
        if master.answered_at.is_some_and(|at| now.since(at) < ANSWER_EVERY) {
            return None;
        }
        out.push(Action::SendAdvert { priority: self.config.priority });
        Some(Master { last_sent: now, answered_at: Some(now), ..master })
    }

    /// RFC 9568 §6.4.3: the timer runs from the advert, at the new master's interval.
    fn yield_to(&mut self, advert: &Advert, why: Why, out: &mut Outbox<'_>) {
        let record = record(advert);
        let backup = Backup {
            master: Some(record),
            armed_by: ArmedBy::Advert,
            armed_from: advert.arrived,
            down_at: advert.arrived + self.down_interval(Some(&record)),
            not_before: advert.arrived,
            extended: false,
        };
        out.push(Action::DropVips(self.next_job()));
        self.enter(State::Backup(backup), why, out);
    }

    /// In doubt, a foreign advert since our last one decides, whatever its priority. The advert may be as old as our
    /// sleep was long, so the listening starts now. False if there was none.
    fn step_back_if_taken_over(
        &mut self,
        master: Master,
        heard: Option<Advert>,
        now: Instant,
        out: &mut Outbox<'_>,
    ) -> bool {
        let foreign = heard.filter(|advert| {
            self.believes(advert) && advert.priority != RELEASE && advert.arrived > master.last_sent
        });
        let Some(advert) = foreign else {
            return false;
        };
        let record = record(&advert);
        let backup = Backup {
            master: Some(record),
            armed_by: ArmedBy::Advert,
            armed_from: advert.arrived,
            down_at: now + self.down_interval(Some(&record)),
            not_before: now,
            extended: false,
        };
        out.push(Action::DropVips(self.next_job()));
        let silent = now.since(master.last_sent);
        let (sender, priority) = (advert.sender, advert.priority);
        self.enter(State::Backup(backup), Why::TakenOver { sender, priority, silent }, out);
        true
    }

    fn master_deadline(&mut self, master: Master, heard: Option<Advert>, now: Instant, out: &mut Outbox<'_>) {
        match master.phase {
            Phase::Promoting { deadline } if now >= deadline => {
                self.release(master, Then::Fault(Refusal::NotConfirmedInTime), now, out);
            }
            Phase::Promoting { .. } | Phase::Holding => self.advertise(master, now, out),
            Phase::Releasing { deadline, then } if now >= deadline => self.finish(then, now, out),
            // Late on the way out: what is left to say is priority 0, when the addresses are off.
            Phase::Releasing { deadline, .. } if self.is_stale(&master, now) => {
                self.state = State::Master(Master { advertise_at: deadline, ..master });
            }
            Phase::Releasing { .. } => self.advertise(master, now, out),
            Phase::Doubting { until } => {
                if !self.step_back_if_taken_over(master, heard, now, out) && now >= until {
                    let silent = now.since(master.last_sent);
                    self.become_master(Why::NobodyTookOver { silent }, now, out);
                }
            }
        }
    }

    fn advertise(&mut self, master: Master, now: Instant, out: &mut Outbox<'_>) {
        if now < master.advertise_at {
            return;
        }
        out.push(Action::SendAdvert { priority: self.config.priority });
        let interval = self.config.advert_interval.duration();
        // On the beat, whatever the delay: missed adverts are not made up for, and routers that were late together do not
        // speak in chorus from then on.
        let late = now.since(master.advertise_at).as_nanos() % interval.as_nanos();
        let late = Duration::from_nanos(u64::try_from(late).unwrap_or(0));
        let advertise_at = now + (interval - late);
        self.state = State::Master(Master { advertise_at, last_sent: now, ..master });
    }

    /// Addresses off first, then priority 0: never two holders. Adverts flow until then.
    fn release(&mut self, master: Master, then: Then, now: Instant, out: &mut Outbox<'_>) {
        let (deadline, then) = match master.phase {
            // Nothing outranks leaving for good.
            Phase::Releasing { deadline, then: Then::Initialize } => (deadline, Then::Initialize),
            Phase::Releasing { deadline, then: Then::Suspended | Then::Fault(_) } => (deadline, then),
            Phase::Promoting { .. } | Phase::Holding | Phase::Doubting { .. } => {
                out.push(Action::DropVips(self.next_job()));
                (now + RELEASE_DEADLINE, then)
            }
        };
        let phase = Phase::Releasing { deadline, then };
        self.state = State::Master(Master { phase, ..master });
    }

    fn finish(&mut self, then: Then, now: Instant, out: &mut Outbox<'_>) {
        out.push(Action::SendRelease);
        match then {
            Then::Initialize => self.enter(State::Initialize, Why::Shutdown, out),
            Then::Suspended => match self.missing() {
                Some((fault, why)) => self.enter(State::Fault(fault), why, out),
                None => {
                    let backup = self.listen(self.config.startup_delay, now);
                    let listening_for = backup.deadline().since(now);
                    self.enter(State::Backup(backup), Why::Resumed { listening_for }, out);
                }
            },
            Then::Fault(refusal) => self.refused(refusal, now, out),
        }
    }

    fn refused(&mut self, refusal: Refusal, now: Instant, out: &mut Outbox<'_>) {
        let retry_in = self.hold_down;
        self.hold_down = (retry_in * 2).min(LONGEST_HOLD_DOWN);
        let why = Why::PromotionFailed { refusal, retry_in };
        self.enter(State::Fault(Fault::Refused { until: now + retry_in }), why, out);
    }

    /// Nothing can be sent any more, not even priority 0.
    fn lose_footing(&mut self, master: Master, out: &mut Outbox<'_>) {
        let Some((fault, why)) = self.missing() else { return };
        match master.phase {
            Phase::Releasing { then: Then::Initialize, .. } => {
                self.enter(State::Initialize, Why::Shutdown, out);
            }
            Phase::Releasing { then: Then::Suspended | Then::Fault(_), .. } => {
                self.enter(State::Fault(fault), why, out);
            }
            Phase::Promoting { .. } | Phase::Holding | Phase::Doubting { .. } => {
                out.push(Action::DropVips(self.next_job()));
                self.enter(State::Fault(fault), why, out);
            }
        }
    }

    /// It stays what it is; the right does not lapse by a shorter interval under which nothing was owed.
    fn master_reconfigured(
        &mut self,
        master: Master,
        config: Config,
        readdressed: bool,
        now: Instant,
        out: &mut Outbox<'_>,
    ) {
        let retimed = self.config.advert_interval != config.advert_interval;
        self.config = config;
        let mut master = master;
        match master.phase {
            // Says nothing, or goes: the addresses as they are now come off, or on again after it.
            Phase::Releasing { .. } | Phase::Doubting { .. } => return,
            Phase::Promoting { .. } | Phase::Holding => {}
        }
        if retimed {
            // Neighbours go by what the last advert said.
            out.push(Action::SendAdvert { priority: config.priority });
            master.last_sent = now;
            master.advertise_at = self.first_beat(now);
        }
        if readdressed {
            out.push(Action::TakeVips(self.next_job()));
            master.phase = Phase::Promoting { deadline: now + config.vip_deadline };
        }
        self.state = State::Master(master);
    }

    fn vips_held(&mut self, master: Master, job: Job) {
        match master.phase {
            Phase::Promoting { .. } if job == self.job => {
                self.hold_down = HOLD_DOWN;
                self.state = State::Master(Master { phase: Phase::Holding, ..master });
            }
            Phase::Promoting { .. } | Phase::Holding | Phase::Releasing { .. } | Phase::Doubting { .. } => {}
        }
    }

    fn vips_refused(&mut self, master: Master, job: Job, now: Instant, out: &mut Outbox<'_>) {
        if job != self.job {
            return;
        }
        match master.phase {
            Phase::Promoting { .. } => self.release(master, Then::Fault(Refusal::ByKernel), now, out),
            // We are silent already: no adverts to keep flowing, and no right to give away.
            Phase::Doubting { .. } => {
                out.push(Action::DropVips(self.next_job()));
                self.refused(Refusal::ByKernel, now, out);
            }
            // A removal that failed: the deadline ends the wait.
            Phase::Holding | Phase::Releasing { .. } => {}
        }
    }

    fn vips_released(&mut self, master: Master, job: Job, now: Instant, out: &mut Outbox<'_>) {
        match master.phase {
            Phase::Releasing { then, .. } if job == self.job => self.finish(then, now, out),
            Phase::Promoting { .. } | Phase::Holding | Phase::Releasing { .. } | Phase::Doubting { .. } => {}
        }
    }

    fn vip_lost(&mut self, master: Master, now: Instant, out: &mut Outbox<'_>) {
        let deadline = match master.phase {
            Phase::Holding => now + self.config.vip_deadline,
            Phase::Promoting { deadline } => deadline,
            // Going anyway, or lapsed by our own lateness: never repaired.
            Phase::Releasing { .. } | Phase::Doubting { .. } => return,
        };
        out.push(Action::TakeVips(self.next_job()));
        let phase = Phase::Promoting { deadline };
        self.enter(State::Master(Master { phase, ..master }), Why::VipLost, out);
    }

    /// The guard has given our right away: start over.
    fn fenced(&mut self, master: Master, now: Instant, out: &mut Outbox<'_>) {
        match master.phase {
            // Its order to drop is still under way, and says when it is done.
            Phase::Releasing { .. } => {}
            Phase::Promoting { .. } | Phase::Holding | Phase::Doubting { .. } => {
                out.push(Action::DropVips(self.next_job()));
                let backup = self.listen(Duration::ZERO, now);
                self.enter(State::Backup(backup), Why::Fenced, out);
            }
        }
    }
}

const fn record(advert: &Advert) -> MasterRecord {
    MasterRecord {
        address: advert.sender,
        priority: advert.priority,
        advert_interval: advert.advert_interval,
    }
}
