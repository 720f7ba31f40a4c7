//! The advert thread: adverts in, engine, adverts out, on one real-time thread with nanosecond deadlines.
//!
//! Owns the receiver, the engine and the send sockets, and the order in which a wake is worked off: first what the
//! kernel knows (fences, ring, slots), then what is due. Refuses to wait for anybody: no netlink, no log, no lock, no
//! allocation once it runs. What it asks of others goes through bounded mailboxes.

mod changes;
mod lines;
mod parts;
mod waker;

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::AsFd as _;
use std::time::Duration;

use thiserror::Error;

use crate::daemon::notice::Notice;
use crate::daemon::sighting::{Watch, Way, sight};
use crate::daemon::wiring::Wired;
use crate::net::clock;
use crate::net::executor::{Report, Task};
use crate::net::mailbox::Full;
use crate::net::packet::{PacketSocketError, PacketSockets};
use crate::net::receiver::Receiver;
use crate::vrrp::{Action, Actions, Advert, Engine, Event, Instant, Label, RouterIndex};
use crate::wire::frame::Packet;

pub(super) use lines::{Lines, Order, Return, RoleOrder};
pub(super) use parts::{Change, Lateness, Reading, Router, Sheet, Step, Tally};
use waker::Waker;

/// Wake-ups are at least this far apart while deadlines alone call for them: a thousand routers cost no more of them
/// than ten. The price is at most this much lateness, and only for whoever follows closely on another.
const COARSE_SLOT: Duration = Duration::from_micros(200);
/// Records taken from the ring before deadlines get their turn.
const DRAIN: usize = 512;
/// Tasks that found no room are offered again after this.
const RETRY_TASKS: Duration = Duration::from_millis(1);
/// A wake this late is worth counting.
const LATE: Duration = Duration::from_millis(1);

/// Why the thread cannot run.
#[derive(Debug, Error)]
pub enum AdvertThreadError {
    #[error("advert thread: {operation}: {source}")]
    System { operation: &'static str, source: io::Error },
    #[error("advert thread: {0}")]
    Packet(#[from] PacketSocketError),
}

/// How a router starts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Initial {
    pub(super) suspended: bool,
    pub(super) running: bool,
    pub(super) primary_address: Option<Ipv4Addr>,
}

/// See the file's head.
pub(super) struct AdvertThread {
    engine: Engine,
    receiver: Receiver,
    routers: Vec<Router>,
    sockets: PacketSockets,
    lines: Lines,
    waker: Waker,
    actions: Actions,
    /// Frames to send at the end of this round, in order.
    outgoing: Vec<Outgoing>,
    /// Those of one interface that left, by their places among its frames.
    left: Vec<usize>,
    /// Tasks that the executor's queue had no room for yet.
    waiting_tasks: Vec<Task>,
    waiting_roles: Vec<RoleOrder>,
    fences_seen: u64,
    /// Routers that were told to leave and have not yet.
    leaving: usize,
    /// The earliest deadline of this round.
    due: Option<Instant>,
    tally: Tally,
    lateness: Lateness,
    /// Somebody watches.
    watch: Watch,
}

#[derive(Clone, Copy, Debug)]
struct Outgoing {
    router: usize,
    release: bool,
}

impl Outgoing {
    fn frame(self, routers: &[Router]) -> &[u8] {
        let frames = &routers[self.router].frames;
        if self.release { frames.release() } else { frames.advert() }
    }
}

impl AdvertThread {
    /// Puts it together, with room for so many routers in all; nothing runs yet.
    pub(super) fn new(
        engine: Engine,
        receiver: Receiver,
        wired: &[Wired],
        sockets: PacketSockets,
        lines: Lines,
        room: usize,
    ) -> Result<Self, AdvertThreadError> {
        let sources = [receiver.as_fd(), lines.orders.as_fd(), lines.reports.as_fd()];
        let waker = Waker::new(&sources)?;
        let routers = wired.iter().map(Router::new);
        let mut places = Vec::with_capacity(room);
        places.extend(routers);
        let most_actions = room * Actions::MOST_PER_EVENT + 64;
        Ok(Self {
            engine,
            receiver,
            routers: places,
            sockets,
            fences_seen: lines.board.fences(),
            lines,
            waker,
            actions: Actions::for_routers(room),
            outgoing: Vec::with_capacity(most_actions),
            left: Vec::with_capacity(most_actions),
            waiting_tasks: Vec::with_capacity(most_actions),
            waiting_roles: Vec::with_capacity(most_actions),
            leaving: 0,
            due: None,
            tally: Tally::default(),
            lateness: Lateness::default(),
            watch: None,
        })
    }

    /// Runs until told to leave and everything is released.
    pub(super) fn run(mut self, initial: &[Initial]) -> Tally {
        let now = clock::now();
        for (router, initial) in initial.iter().enumerate() {
            self.begin(router, *initial, now);
        }
        let mut leave_by: Option<Instant> = None;
        let mut asked: Option<Instant> = None;
        loop {
            let now = clock::now();
            self.tally.wakes += 1;
            self.note_lateness(asked, now);
            self.see_fences(now);
            self.drain_ring(now);
            self.drain_lines(now, &mut leave_by);
            self.work_deadlines(clock::now());
            // The core has changed rules of the kernel half: what arrived under the old ones is in the ring.
            let more = self.drain_ring(clock::now());
            self.see_off();
            self.flush();
            if let Some(by) = leave_by
                && (self.is_at_rest() || clock::now() >= by)
            {
                return self.tally;
            }
            asked = self.wait(now, more, leave_by);
        }
    }

    fn begin(&mut self, router: usize, initial: Initial, now: Instant) {
        if initial.suspended {
            self.handle(router, Event::Suspend, now);
        }
        self.handle(router, Event::PrimaryAddress(initial.primary_address), now);
        self.handle(router, if initial.running { Event::LinkUp } else { Event::LinkDown }, now);
        self.handle(router, Event::Startup, now);
    }

    fn handle(&mut self, router: usize, event: Event, now: Instant) {
        let Ok(index) = u32::try_from(router) else { return };
        self.engine.handle(RouterIndex(index), event, now, &mut self.actions);
        self.obey();
    }

    fn note_lateness(&mut self, asked: Option<Instant>, now: Instant) {
        if let Some(asked) = asked {
            let by = now.since(asked);
            if by > LATE {
                self.tally.late_wakes += 1;
                self.lines.tell(Notice::Late { by });
            }
        }
    }

    /// A guard that took our addresses off knows better than any of our deadlines.
    fn see_fences(&mut self, now: Instant) {
        let fences = self.lines.board.fences();
        if fences == self.fences_seen {
            return;
        }
        self.fences_seen = fences;
        for router in 0..self.routers.len() {
            let fenced = self.lines.board.is_fenced(router);
            // Told once: the mark stays until the executor has taken off what may be left.
            if fenced && !self.routers[router].fenced {
                self.lines.tell(Notice::Fenced { router });
                self.handle(router, Event::Fenced, now);
            }
            self.routers[router].fenced = fenced;
        }
    }

    /// True if there may be more.
    fn drain_ring(&mut self, now: Instant) -> bool {
        for _ in 0..DRAIN {
            let Some((router, event)) = self.next_advert(now) else { return self.receiver.has_more() };
            if let Some(event) = event {
                self.handle(router, event, now);
            }
        }
        true
    }

    /// The oldest record of the ring, for which router. The kernel half has checked what it says; a record that fails
    /// here is a fault of ours and no news to anybody: no event.
    fn next_advert(&mut self, now: Instant) -> Option<(usize, Option<Event>)> {
        let record = self.receiver.next_record()?;
        let arrived = Instant::from_nanos(record.arrived_ns());
        let router = record.slot() as usize;
        if let Some(reason) = record.rejected() {
            sight(&self.watch, arrived, router, Way::Rejected(reason), record.frame());
            return Some((router, None));
        }
        self.tally.adverts_received += 1;
        sight(&self.watch, arrived, router, Way::Received, record.frame());
        // It may have been for another router that had this place before.
        if self.routers.get(router).is_none_or(|known| arrived < known.since) {
            return Some((router, None));
        }
        if record.woke() {
            self.lateness.received.add(now.since(arrived));
        }
        let packet = Packet::parse_frame(record.frame()).ok();
        let event = packet.map(|packet| {
            Event::Advert(Advert {
                arrived,
                sender: packet.source,
                priority: packet.advert.priority,
                advert_interval: packet.advert.advert_interval(),
            })
        });
        Some((router, event))
    }

    fn drain_lines(&mut self, now: Instant, leave_by: &mut Option<Instant>) {
        while let Some(report) = self.lines.reports.take() {
            self.lines.tell(Notice::Executor(report));
            match report {
                Report::Held { router, job, .. } => self.handle(router, Event::VipsHeld(job), now),
                Report::Refused { router, job, .. } => self.handle(router, Event::VipsRefused(job), now),
                Report::Withheld { router, job } => self.handle(router, Event::VipsWithheld(job), now),
                Report::Released { router, job, .. } => {
                    // The executor has lifted the guard's mark with it: the next one is news again.
                    if let Some(known) = self.routers.get_mut(router) {
                        known.fenced = false;
                    }
                    self.handle(router, Event::VipsReleased(job), now);
                }
                Report::Expired { router } => self.handle(router, Event::VipLost, now),
                // The executor goes on trying, and the core's own deadline bounds the wait; whose place is free is known
                // by who gives out places.
                Report::Stuck { .. } | Report::Changed { .. } => {}
            }
        }
        while let Some(order) = self.lines.orders.take() {
            match order {
                Order::LinkUp { ifindex } => self.handle_all(ifindex, Event::LinkUp, now),
                Order::LinkDown { ifindex } => self.handle_all(ifindex, Event::LinkDown, now),
                Order::PrimaryAddress { ifindex, address } => {
                    for router in self.routers.iter_mut().filter(|router| router.ifindex == ifindex) {
                        router.frames.set_source(address);
                    }
                    self.handle_all(ifindex, Event::PrimaryAddress(address), now);
                }
                Order::VipRemoved { ifindex, address } => {
                    for router in 0..self.routers.len() {
                        if self.routers[router].vips.contains(&(ifindex, address))
                            && self.lines.board.is_held(router)
                        {
                            self.handle(router, Event::VipLost, now);
                        }
                    }
                }
                Order::SetPriority { router, priority } => {
                    self.handle(router, Event::SetPriority(priority), now);
                }
                Order::Suspend { router } => self.handle(router, Event::Suspend, now),
                Order::Resume { router } => self.handle(router, Event::Resume, now),
                Order::Change(change) => self.change(change, now),
                Order::Read(sheet) => self.fill(sheet, now),
                Order::Watch(watch) => self.set_watch(watch),
                Order::Leave { within } => {
                    *leave_by = Some(now + within);
                    for router in 0..self.routers.len() {
                        self.handle(router, Event::Shutdown, now);
                    }
                }
            }
        }
    }

    fn handle_all(&mut self, ifindex: u32, event: Event, now: Instant) {
        for router in 0..self.routers.len() {
            if self.routers[router].ifindex == ifindex {
                self.handle(router, event, now);
            }
        }
    }

    fn work_deadlines(&mut self, now: Instant) {
        let (slots, routers) = (self.receiver.slots(), &mut self.routers);
        self.due = self.engine.next_deadline().filter(|at| *at <= now);
        self.engine.due(now, |router| routers.get_mut(router.0 as usize)?.hear(slots), &mut self.actions);
        self.obey();
    }

    /// Turns the core's wishes into frames and tasks, in their order.
    fn obey(&mut self) {
        for entry in self.actions.as_slice() {
            let router = entry.router.0 as usize;
            let Some(known) = self.routers.get_mut(router) else { continue };
            match entry.action {
                Action::SendAdvert { priority } => {
                    known.frames.set_priority(priority);
                    self.outgoing.push(Outgoing { router, release: false });
                }
                Action::SendRelease => self.outgoing.push(Outgoing { router, release: true }),
                Action::TakeVips(job) => {
                    self.lines.board.note_taking(router, clock::now());
                    self.lines.board.order(router, job.number());
                    if known.is_managed {
                        self.waiting_roles.push(RoleOrder::Take { router, job });
                    } else {
                        self.waiting_tasks.push(Task::Take { router, job });
                    }
                }
                Action::DropVips(job) => {
                    // The core is in its new state already: a MASTER that drops releases, and speaks until its addresses are off.
                    let label = self.engine.routers().get(router).map(|router| router.label());
                    let is_release = label == Some(Label::Master);
                    if !is_release && !known.farewell.is_zero() {
                        let (now, limit) = (clock::now(), known.freeze_limit);
                        self.lines.board.note_leaving(router, now, known.farewell, limit);
                    }
                    self.lines.board.order(router, job.number());
                    if known.is_managed {
                        self.waiting_roles.push(RoleOrder::Drop { router, job, is_release });
                    } else {
                        self.waiting_tasks.push(Task::Drop { router, job });
                    }
                }
                Action::AnnounceVips => {
                    self.waiting_tasks.push(Task::Announce { router });
                    if known.is_managed {
                        self.waiting_roles.push(RoleOrder::Rival { router });
                    }
                }
                Action::SetMinimumPriority(priority) => {
                    self.receiver.slots().set_minimum_priority(known.slot, priority.into());
                }
                Action::WakeAlways(always) => {
                    known.wakes_always = always;
                    self.receiver.slots().set_flags(known.slot, known.flags(self.watch.is_some()));
                }
                Action::Transition { from, to, why } => {
                    let at = clock::now();
                    if to == Label::Master {
                        if let (Label::Backup, Some(heard)) = (from, known.last_heard) {
                            self.lateness.silence.add(at.since(heard.arrived));
                        }
                        known.decided = Some(at).filter(|_| from != to);
                    }
                    self.lines.tell(Notice::Transition { router, from, to, why, at });
                }
            }
        }
        self.actions.clear();
    }

    /// Nothing is held and nothing is owed to anybody.
    fn is_at_rest(&self) -> bool {
        self.engine.routers().iter().all(|router| router.label() == Label::Initialize)
    }

    /// Sends what this round decided, then hands the executor its tasks: an advert is never behind netlink.
    fn flush(&mut self) {
        let Self { outgoing, routers, .. } = self;
        // Before an interface has an address there is nothing to say.
        outgoing.retain(|outgoing| !outgoing.frame(routers).is_empty());
        let mut from = 0;
        while let Some(first) = self.outgoing.get(from) {
            let ifindex = self.routers[first.router].ifindex;
            let run = self.outgoing[from..]
                .iter()
                .take_while(|outgoing| self.routers[outgoing.router].ifindex == ifindex)
                .count();
            let batch = &self.outgoing[from..from + run];
            self.left.clear();
            let frames = batch.iter().map(|outgoing| outgoing.frame(&self.routers));
            let sent = self.sockets.send(ifindex, frames, |place| self.left.push(place));
            let now = clock::now();
            // What did not leave must not look alive, nor what did look dead beside it: the guard goes by what neighbours can
            // have heard.
            for outgoing in self.left.iter().filter_map(|place| batch.get(*place)) {
                self.lines.board.note_sent(outgoing.router, now);
                sight(&self.watch, now, outgoing.router, Way::Sent, outgoing.frame(&self.routers));
                if let Some(decided) = self.routers[outgoing.router].decided.take()
                    && !outgoing.release
                {
                    self.lateness.claim.add(now.since(decided));
                }
            }
            if let (Some(due), true) = (self.due, sent.frames > 0) {
                self.lateness.sent.add(now.since(due));
            }
            self.tally.adverts_sent += u64::from(sent.frames);
            self.tally.adverts_refused += u64::from(sent.refused);
            if sent.refused > 0 {
                self.lines.tell(Notice::SendRefused { ifindex, frames: sent.refused });
            }
            from += run;
        }
        self.outgoing.clear();
        self.due = None;
        let mut handed = 0;
        for task in &mut self.waiting_tasks {
            // In its place stays one that says nothing, and is drained.
            match self.lines.tasks.post(std::mem::replace(task, Task::Stop)) {
                Ok(()) => handed += 1,
                Err(Full(back)) => {
                    *task = back;
                    break;
                }
            }
        }
        self.waiting_tasks.drain(..handed);
        let refused = self.waiting_roles.iter().position(|order| self.lines.roles.post(*order).is_err());
        self.waiting_roles.drain(..refused.unwrap_or(self.waiting_roles.len()));
    }

    /// Sleeps until something happens or is due. Returns the time it asked to be woken at.
    fn wait(&mut self, woke: Instant, more: bool, leave_by: Option<Instant>) -> Option<Instant> {
        let mut deadline = self.engine.next_deadline();
        if let Some(by) = leave_by {
            deadline = Some(deadline.map_or(by, |deadline| deadline.min(by)));
        }
        let deadline = deadline.map(|deadline| deadline.max(woke + COARSE_SLOT));
        let is_clear = self.waiting_tasks.is_empty() && self.waiting_roles.is_empty();
        let deadline = if is_clear { deadline } else { Some(woke + RETRY_TASKS) };
        self.waker.wait(deadline, more)
    }
}
