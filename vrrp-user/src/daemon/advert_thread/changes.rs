//! What the service runtime hands to the running thread: routers that come, go or change, and a sheet to fill in.
//!
//! Owns the swapping. Everything here is prepared and freed elsewhere: nothing allocates, and what is no longer needed
//! goes back.

use super::parts::Presence;
use super::{AdvertThread, Change, Lines, Reading, Return, Router, Sheet, Step};
use crate::daemon::sighting::Watch;
use crate::net::executor::{Holding, Task};
use crate::net::mailbox::Full;
use crate::vrrp::{Event, Instant, Label, RouterIndex};

impl AdvertThread {
    /// Swaps in what was prepared; what it replaces goes back.
    pub(super) fn change(&mut self, mut change: Box<Change>, now: Instant) {
        std::mem::swap(&mut self.sockets, &mut change.sockets);
        // The executor hears of all that is less before the core asks for anything more: an address may go from one
        // router to another.
        for step in &mut change.steps {
            match step {
                Step::Remove { router } => self.remove(*router, now),
                Step::Alter { router, parts, holding, .. } => {
                    self.replace(*router, parts);
                    self.hand_over(*router, holding);
                }
                Step::Insert { router, holding, .. } => self.hand_over(*router, holding),
            }
        }
        for step in &mut change.steps {
            match step {
                Step::Remove { .. } => {}
                Step::Alter { router, core, readdressed, .. } => {
                    let event = Event::Reconfigure { config: *core, readdressed: *readdressed };
                    self.handle(*router, event, now);
                }
                Step::Insert { router, parts, core, initial, .. } => {
                    let index = u32::try_from(*router).map(RouterIndex);
                    if let Ok(index) = index
                        && let Some(mut new) = parts.take()
                        && self.engine.insert(index, *core)
                    {
                        new.since = now;
                        if let Some(former) = self.routers.get_mut(*router) {
                            *parts = Some(std::mem::replace(former, new));
                        } else {
                            self.routers.push(new);
                        }
                        self.set_flags(*router);
                        self.begin(*router, *initial, now);
                    }
                }
            }
        }
        give_back(&self.lines, Return::Change(change));
    }

    fn remove(&mut self, router: usize, now: Instant) {
        if let Some(known) = self.routers.get_mut(router)
            && known.presence == Presence::Here
        {
            known.presence = Presence::Leaving;
            self.leaving += 1;
            self.handle(router, Event::Shutdown, now);
        }
    }

    fn replace(&mut self, router: usize, parts: &mut Router) {
        if let Some(known) = self.routers.get_mut(router) {
            (parts.since, parts.presence) = (known.since, known.presence);
            (parts.last_heard, parts.fenced) = (known.last_heard, known.fenced);
            parts.wakes_always = known.wakes_always;
            std::mem::swap(known, parts);
        }
    }

    fn hand_over(&mut self, router: usize, holding: &mut Option<Box<Holding>>) {
        if holding.is_some() {
            self.waiting_tasks.push(Task::Change { router, holding: holding.take() });
        }
    }

    /// Routers that have left: the executor may forget them, and their places will be free.
    pub(super) fn see_off(&mut self) {
        if self.leaving == 0 {
            return;
        }
        for (router, known) in self.routers.iter_mut().enumerate() {
            let at_rest = self.engine.routers().get(router).is_some_and(|r| r.label() == Label::Initialize);
            if known.presence == Presence::Leaving && at_rest {
                known.presence = Presence::Gone;
                self.leaving -= 1;
                self.waiting_tasks.push(Task::Change { router, holding: None });
            }
        }
    }

    /// Begins, changes or ends the telling; the one before is for others to free.
    pub(super) fn set_watch(&mut self, watch: Watch) {
        let before = std::mem::replace(&mut self.watch, watch);
        for router in 0..self.routers.len() {
            self.set_flags(router);
        }
        if before.is_some() {
            give_back(&self.lines, Return::Watch(before));
        }
    }

    fn set_flags(&self, router: usize) {
        // A place that is gone may be another daemon's business no more than ours.
        if let Some(known) = self.routers.get(router).filter(|known| known.presence != Presence::Gone) {
            self.receiver.slots().set_flags(known.slot, known.flags(self.watch.is_some()));
        }
    }

    pub(super) fn fill(&mut self, mut sheet: Box<Sheet>, now: Instant) {
        sheet.at = now;
        sheet.tally = self.tally;
        sheet.lateness.copy_from(&self.lateness);
        sheet.readings.clear();
        let slots = self.receiver.slots();
        for (router, (known, core)) in self.routers.iter_mut().zip(self.engine.routers()).enumerate() {
            if known.presence == Presence::Gone || sheet.readings.len() == sheet.readings.capacity() {
                continue;
            }
            sheet.readings.push(Reading {
                router,
                state: *core.state(),
                config: *core.config(),
                heard: known.hear(slots),
            });
        }
        give_back(&self.lines, Return::Sheet(sheet));
    }
}

fn give_back(lines: &Lines, what: Return) {
    if let Err(Full(lost)) = lines.returns.post(what) {
        // The queue has room for all that can be under way. To free it here would be to wait for the allocator.
        std::mem::forget(lost);
    }
}
