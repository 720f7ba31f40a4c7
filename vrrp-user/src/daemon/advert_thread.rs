//! The advert thread: adverts in, engine, adverts out, on one real-time thread with nanosecond deadlines.
//!
//! Owns the receiver, the engine and the send sockets, and the order in which a wake is worked off: first what the
//! kernel knows (fences, ring, slots), then what is due. Refuses to wait for anybody: no netlink, no log, no lock, no
//! allocation once it runs. What it asks of others goes through bounded mailboxes.

use std::io;
use std::mem::MaybeUninit;
use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{Timespec, epoll};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, timerfd_create, timerfd_settime,
};
use thiserror::Error;

use crate::daemon::frames::Frames;
use crate::daemon::notice::Notice;
use crate::daemon::wiring::Wired;
use crate::net::board::Board;
use crate::net::clock;
use crate::net::executor::{Job, Report};
use crate::net::mailbox::{Full, Mailbox};
use crate::net::packet::{PacketSocketError, PacketSockets};
use crate::net::receiver::Receiver;
use crate::vrrp::action::{Action, Actions};
use crate::vrrp::engine::Engine;
use crate::vrrp::event::{Advert, Event};
use crate::vrrp::time::Instant;
use crate::wire::frame::Packet;

/// Wake-ups are at least this far apart while deadlines alone call for them: a thousand routers cost no more of them
/// than ten. The price is at most this much lateness, and only for whoever follows closely on another.
const COARSE_SLOT: Duration = Duration::from_micros(200);
/// Records taken from the ring before deadlines get their turn.
const DRAIN: usize = 4096;
/// A wake this late is worth counting.
const LATE: Duration = Duration::from_millis(1);
/// Leaving takes no longer than this, whatever the executor does.
const LEAVE: Duration = Duration::from_millis(500);

/// What the service runtime asks of the thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    LinkUp { ifindex: u32 },
    LinkDown { ifindex: u32 },
    PrimaryAddress { ifindex: u32, address: Option<Ipv4Addr> },
    VipRemoved { ifindex: u32, address: Ipv4Addr },
    /// Release everything and end.
    Leave,
}

/// The thread's ends of the queues it shares.
#[derive(Clone, Debug)]
pub struct Lines {
    pub orders: Arc<Mailbox<Order>>,
    pub reports: Arc<Mailbox<Report>>,
    pub jobs: Arc<Mailbox<Job>>,
    pub notices: Arc<Mailbox<Notice>>,
    pub board: Arc<Board>,
}

/// Why the thread cannot run.
#[derive(Debug, Error)]
pub enum AdvertThreadError {
    #[error("advert thread: {operation}: {source}")]
    System { operation: &'static str, source: io::Error },
    #[error("advert thread: {0}")]
    Packet(#[from] PacketSocketError),
}

/// What the thread did, for the last line of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub wakes: u64,
    pub late_wakes: u64,
    pub adverts_sent: u64,
    pub adverts_refused: u64,
    pub adverts_received: u64,
}

struct Router {
    ifindex: u32,
    slot: u32,
    frames: Frames,
    vips: Vec<(u32, Ipv4Addr)>,
}

/// See the file's head.
pub struct AdvertThread {
    engine: Engine,
    receiver: Receiver,
    routers: Vec<Router>,
    /// Router of each slot.
    sockets: PacketSockets,
    lines: Lines,
    poller: OwnedFd,
    timer: OwnedFd,
    actions: Actions,
    /// Frames to send at the end of this round, in order: (interface, router, release?).
    outgoing: Vec<Outgoing>,
    /// Jobs that the executor's queue had no room for yet.
    waiting_jobs: Vec<Job>,
    fences_seen: u64,
    tally: Tally,
}

#[derive(Clone, Copy, Debug)]
struct Outgoing {
    router: usize,
    release: bool,
}

impl AdvertThread {
    /// Puts it together; nothing runs yet.
    pub fn new(
        engine: Engine,
        receiver: Receiver,
        wired: &[Wired],
        lines: Lines,
    ) -> Result<Self, AdvertThreadError> {
        let failed = |operation| {
            move |errno: rustix::io::Errno| AdvertThreadError::System { operation, source: errno.into() }
        };
        let sockets = PacketSockets::open(wired.iter().map(|router| router.ifindex))?;
        let poller = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(failed("epoll_create"))?;
        let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK)
            .map_err(failed("timerfd_create"))?;
        let add = |fd: std::os::fd::BorrowedFd<'_>, data| {
            // Edges: the ring holds records that were not worth a wake-up, and a level would call for them at once.
            let flags = epoll::EventFlags::IN | epoll::EventFlags::ET;
            epoll::add(&poller, fd, epoll::EventData::new_u64(data), flags).map_err(failed("epoll_ctl"))
        };
        add(receiver.as_fd(), 0)?;
        add(timer.as_fd(), 1)?;
        add(lines.orders.as_fd(), 2)?;
        add(lines.reports.as_fd(), 3)?;
        let routers = wired
            .iter()
            .map(|router| Router {
                ifindex: router.ifindex,
                slot: router.rule.slot,
                frames: router.frames.clone(),
                vips: router.holding.vips.iter().map(|vip| (vip.ifindex, vip.address)).collect(),
            })
            .collect::<Vec<_>>();
        let room = routers.len() * 4 + 64;
        Ok(Self {
            engine,
            receiver,
            routers,
            sockets,
            fences_seen: lines.board.fences(),
            lines,
            poller,
            timer,
            actions: Actions::with_capacity(room),
            outgoing: Vec::with_capacity(room),
            waiting_jobs: Vec::with_capacity(room),
            tally: Tally::default(),
        })
    }

    /// Runs until told to leave and everything is released.
    pub fn run(mut self, initial: &[(bool, Option<Ipv4Addr>)]) -> Tally {
        let now = clock::now();
        for (router, (running, primary)) in initial.iter().enumerate() {
            self.handle(router, Event::PrimaryAddress(*primary), now);
            self.handle(router, if *running { Event::LinkUp } else { Event::LinkDown }, now);
            self.handle(router, Event::Startup, now);
        }
        let mut leave_by: Option<Instant> = None;
        let mut asked: Option<Instant> = None;
        loop {
            let now = clock::now();
            self.tally.wakes += 1;
            self.note_lateness(asked, now);
            self.see_fences(now);
            let more = self.drain_ring(now) || self.drain_lines(now, &mut leave_by);
            self.work_deadlines(clock::now());
            // The core has changed rules of the kernel's: what arrived under the old ones is in the ring.
            let more = self.drain_ring(clock::now()) || more;
            self.flush();
            if let Some(by) = leave_by
                && (self.engine.is_at_rest() || clock::now() >= by)
            {
                return self.tally;
            }
            asked = self.wait(now, more, leave_by);
        }
    }

    fn handle(&mut self, router: usize, event: Event, now: Instant) {
        self.engine.handle(router, event, now, &mut self.actions);
        self.obey(now);
    }

    fn note_lateness(&mut self, asked: Option<Instant>, now: Instant) {
        if let Some(asked) = asked {
            let by = now.saturating_since(asked);
            if by > LATE {
                self.tally.late_wakes += 1;
                self.tell(Notice::Late { by });
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
            if self.lines.board.is_fenced(router) {
                self.tell(Notice::Fenced { router });
                self.handle(router, Event::Fenced, now);
            }
        }
    }

    /// True if there may be more.
    fn drain_ring(&mut self, now: Instant) -> bool {
        for _ in 0..DRAIN {
            let Some(record) = self.receiver.next() else { return false };
            let (router, arrived) = (record.slot as usize, Instant::from_nanos(record.arrived_ns));
            let event = Packet::parse_frame(record.frame).map(|packet| {
                Event::Advert(Advert {
                    sender: packet.source,
                    priority: packet.advert.priority,
                    advert_interval: packet.advert.advert_interval(),
                    arrived,
                })
            });
            drop(record);
            self.tally.adverts_received += 1;
            // The kernel half has checked all this; a record that fails here is a fault of ours, not news.
            if let Ok(event) = event
                && router < self.routers.len()
            {
                self.handle(router, event, now);
            }
        }
        true
    }

    fn drain_lines(&mut self, now: Instant, leave_by: &mut Option<Instant>) -> bool {
        self.lines.reports.hush();
        while let Some(report) = self.lines.reports.take() {
            self.tell(Notice::Executor(report));
            match report {
                Report::Held { router, .. } => self.handle(router, Event::VipsHeld, now),
                Report::Refused { router, .. } => self.handle(router, Event::VipsRefused, now),
                Report::Released { router, .. } => self.handle(router, Event::VipsReleased, now),
                Report::Expired { router } => self.handle(router, Event::VipLost, now),
                // The executor goes on trying; the core's own deadline bounds the wait.
                Report::Stuck { .. } => {}
            }
        }
        self.lines.orders.hush();
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
                Order::Leave => {
                    *leave_by = Some(now + LEAVE);
                    for router in 0..self.routers.len() {
                        self.handle(router, Event::Shutdown, now);
                    }
                }
            }
        }
        false
    }

    fn handle_all(&mut self, ifindex: u32, event: Event, now: Instant) {
        for router in 0..self.routers.len() {
            if self.routers[router].ifindex == ifindex {
                self.handle(router, event, now);
            }
        }
    }

    fn work_deadlines(&mut self, now: Instant) {
        let (receiver, routers) = (&self.receiver, &self.routers);
        self.engine.due(now, |router| receiver.liveness(routers[router].slot), &mut self.actions);
        self.obey(now);
    }

    /// Turns the core's wishes into frames and jobs, in their order.
    fn obey(&mut self, now: Instant) {
        for (router, action) in self.actions.drain() {
            match action {
                Action::SendAdvert => self.outgoing.push(Outgoing { router, release: false }),
                Action::SendRelease => self.outgoing.push(Outgoing { router, release: true }),
                Action::TakeVips => self.waiting_jobs.push(Job::Take(router)),
                Action::DropVips => self.waiting_jobs.push(Job::Drop(router)),
                Action::AnnounceVips => self.waiting_jobs.push(Job::Announce(router)),
                Action::SetMinimumPriority(priority) => {
                    self.receiver.set_minimum_priority(self.routers[router].slot, priority);
                }
                Action::WakeAlways(always) => {
                    self.receiver.set_wake_always(self.routers[router].slot, always);
                }
                Action::Transition(transition) => {
                    let notice = Notice::Transition { router, at: now, transition };
                    if self.lines.notices.post(notice).is_err() {
                        // The queue counts what it refused, and the log says how many.
                    }
                }
            }
        }
    }

    fn tell(&self, notice: Notice) {
        if self.lines.notices.post(notice).is_err() {
            // The queue counts what it refused, and the log says how many.
        }
    }

    /// Sends what this round decided, then hands the executor its jobs: an advert is never behind netlink.
    fn flush(&mut self) {
        let mut from = 0;
        while let Some(first) = self.outgoing.get(from) {
            let ifindex = self.routers[first.router].ifindex;
            let run = self.outgoing[from..]
                .iter()
                .take_while(|outgoing| self.routers[outgoing.router].ifindex == ifindex)
                .count();
            let batch = &self.outgoing[from..from + run];
            let frames = batch.iter().map(|outgoing| {
                let frames = &self.routers[outgoing.router].frames;
                if outgoing.release { frames.release() } else { frames.advert() }
            });
            let sent = self.sockets.send(ifindex, frames.filter(|frame| !frame.is_empty()));
            let now = clock::now();
            for outgoing in batch {
                self.lines.board.note_sent(outgoing.router, now);
            }
            self.tally.adverts_sent += u64::from(sent.frames);
            self.tally.adverts_refused += u64::from(sent.refused);
            if sent.refused > 0 {
                self.tell(Notice::SendRefused { ifindex, frames: sent.refused });
            }
            from += run;
        }
        self.outgoing.clear();
        let mut handed = 0;
        for job in &self.waiting_jobs {
            if let Err(Full(_)) = self.lines.jobs.post(*job) {
                break;
            }
            handed += 1;
        }
        self.waiting_jobs.drain(..handed);
    }

    /// Sleeps until something happens or is due. Returns the time it asked to be woken at, if it slept for a deadline.
    fn wait(&mut self, woke: Instant, more: bool, leave_by: Option<Instant>) -> Option<Instant> {
        let mut deadline = self.engine.next_deadline();
        if let Some(by) = leave_by {
            deadline = Some(deadline.map_or(by, |deadline| deadline.min(by)));
        }
        let deadline = deadline.map(|deadline| deadline.max(woke + COARSE_SLOT));
        let deadline = if self.waiting_jobs.is_empty() { deadline } else { Some(woke + RETRY_JOBS) };
        if let Err(error) = arm(&self.timer, deadline) {
            // A timer that cannot be armed must not become a thread that never wakes: look again at once.
            debug_assert!(false, "timerfd_settime: {error}");
            return None;
        }
        let mut events = [MaybeUninit::<epoll::Event>::uninit(); 8];
        let timeout = Timespec { tv_sec: 0, tv_nsec: 0 };
        let ready = epoll::wait(&self.poller, &mut events, more.then_some(&timeout));
        // EINTR and an event alike: the loop looks at everything.
        let timed_out = matches!(ready, Ok((events, _)) if events.iter().all(|event| event.data.u64() == TIMER));
        deadline.filter(|_| timed_out && !more)
    }
}
