//! The VIP executor: a thread of its own that puts virtual addresses on and off and announces them.
//!
//! Owns all netlink of the running daemon and every gratuitous ARP, in one order. Refuses to decide who may hold an
//! address: it does what the core asked last, and tells it what came of it. What blocks here (somebody else's slow
//! link operation holds the kernel's lock) blocks no advert.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use std::{io, thread};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::time::Timespec;
use thiserror::Error;

use crate::net::board::Board;
use crate::net::clock;
use crate::net::mailbox::Mailbox;
use crate::net::netlink::{Netlink, NetlinkError, Vip};
use crate::net::packet::{PacketSocketError, PacketSockets};
use crate::net::realtime;
use crate::net::sockets::{Census, Ended};
use crate::vrrp::{Instant, Job};

#[cfg(test)]
mod tests;

/// A refused removal is tried again after this long.
const RETRY: Duration = Duration::from_millis(100);
/// What waits for an advert of ours is looked at again after this: all of it then, and the advert thread that is late needs the
/// time more.
const PUT_OFF: Duration = Duration::from_millis(50);
/// Clients are reset for so long after the first release of those that came together; then the addresses go all the same.
pub const RESETTING: Duration = Duration::from_millis(100);
/// Stack of the thread: it is locked into memory, so no larger than it needs.
const STACK: usize = 256 * 1024;

/// What the core may ask for; `router` is its index, `job` comes back with the report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Task {
    /// Put the addresses on and announce them. Asking again repairs and announces again.
    Take { router: usize, job: Job },
    /// Take them off.
    Drop { router: usize, job: Job },
    /// Announce them again, if they are on.
    Announce { router: usize },
    /// Go by something else for this router from now on, `None`: it is gone. Of what is on, that which it no longer has
    /// comes off; what it has now is put on by the next [`Self::Take`]. Reported once all that has come off.
    Change { router: usize, holding: Option<Box<Holding>> },
    /// End the thread.
    Stop,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Report {
    /// All addresses of the router are on and announced once.
    Held { router: usize, job: Job, took: Duration },
    /// The kernel refused one (`vip` is its place in the list); none is left on.
    Refused { router: usize, job: Job, vip: usize, errno: i32 },
    /// Told for the executor: what must come before the addresses did not succeed, and none was touched.
    Withheld { router: usize, job: Job },
    /// All are off. `ended`: connections of clients that were reset before.
    Released { router: usize, job: Job, took: Duration, ended: u32 },
    /// The kernel refuses to take one off; it is tried again until it goes.
    Stuck { router: usize, vip: usize, errno: i32 },
    /// Their lifetime ran out before they could be renewed.
    Expired { router: usize },
    /// A [`Task::Change`] is done: nothing of what the router had before is on. `gone`: nor is there a router any more.
    Changed { router: usize, gone: bool },
}

/// When addresses are announced besides the first time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Announcing {
    /// Gratuitous ARPs per address in one burst.
    pub burst: u8,
    /// A second burst this long after the first; zero for none.
    pub repeat_after: Duration,
    /// One gratuitous ARP per address each time this has passed; zero for none.
    pub refresh: Duration,
}

/// What the executor knows of a router.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holding {
    pub vips: Vec<Vip>,
    /// One frame per address, in the same order.
    pub announcements: Vec<Vec<u8>>,
    /// Ports of services whose clients' connections are reset while the addresses are still here; empty: nobody's are. Once an
    /// address is gone no answer leaves from it, not even a dead server's last reset: a client that waits would wait for good.
    pub services: Vec<u16>,
    pub announcing: Announcing,
    /// The kernel takes the addresses off by itself this long after the last renewal.
    pub lifetime: Option<Duration>,
    /// Nothing is renewed or announced for a router whose last advert is older than this; while it leaves, its time to leave
    /// is added for what is renewed.
    pub freeze_limit: Duration,
}

impl Holding {
    /// Whether a MASTER that has this must take the addresses anew to have `next`.
    pub fn is_retaken_for(&self, next: &Self) -> bool {
        (&self.vips, self.lifetime) != (&next.vips, next.lifetime)
    }

    /// Of a router that is gone.
    pub const fn nothing() -> Self {
        Self {
            vips: Vec::new(),
            announcements: Vec::new(),
            services: Vec::new(),
            announcing: Announcing { burst: 0, repeat_after: Duration::ZERO, refresh: Duration::ZERO },
            lifetime: None,
            freeze_limit: Duration::ZERO,
        }
    }
}

/// Why the executor did not start.
#[derive(Debug, Error)]
pub enum ExecutorError {
    #[error("VIP executor: {0}")]
    Netlink(#[from] NetlinkError),
    #[error("VIP executor: {0}")]
    Packet(#[from] PacketSocketError),
    #[error("VIP executor: no thread: {0}")]
    Thread(io::Error),
}

/// Starts the thread. It ends after [`Task::Stop`], and leaves its sockets: closing them takes time that nobody has who waits
/// for the addresses.
pub fn start(
    holdings: Vec<Holding>,
    board: Arc<Board>,
    tasks: Arc<Mailbox<Task>>,
    reports: Arc<Mailbox<Report>>,
    realtime_priority: Option<u8>,
) -> Result<thread::JoinHandle<PacketSockets>, ExecutorError> {
    let sockets =
        PacketSockets::open(holdings.iter().flat_map(|holding| &holding.vips).map(|vip| vip.ifindex))?;
    let states = holdings.iter().map(|_| State::Off).collect();
    let netlink = Netlink::open()?;
    let executor = Executor {
        holdings,
        states,
        formers: Vec::new(),
        sockets,
        netlink,
        board,
        reports,
        bursts: VecDeque::new(),
        put_off: Vec::new(),
        untaken: Vec::new(),
        census: Census::default(),
        resetting_until: None,
    };
    thread::Builder::new()
        .name("vip-executor".to_owned())
        .stack_size(STACK)
        .spawn(move || {
            if let Some(priority) = realtime_priority
                && let Err(error) = realtime::raise_priority(priority)
            {
                tracing::debug!("VIP executor: {error}");
            }
            executor.run(&tasks)
        })
        .map_err(ExecutorError::Thread)
}

#[derive(Clone, Copy, Debug)]
enum State {
    Off,
    On {
        renew_at: Option<Instant>,
        valid_until: Option<Instant>,
        repeat_at: Option<Instant>,
        refresh_at: Option<Instant>,
        job: Job,
    },
    /// The kernel did not let go of an address.
    Stuck {
        retry_at: Instant,
        job: Job,
    },
}

/// What a router had before a change, and has yet to lose.
#[derive(Debug)]
struct Former {
    router: usize,
    vips: Vec<Vip>,
    retry_at: Instant,
    told: bool,
}

struct Executor {
    holdings: Vec<Holding>,
    states: Vec<State>,
    formers: Vec<Former>,
    sockets: PacketSockets,
    netlink: Netlink,
    board: Arc<Board>,
    reports: Arc<Mailbox<Report>>,
    /// Bursts begun and not finished: (router, copies left). They wait until no job does, so that the first
    /// announcement of the last router does not queue behind the fifth of the first.
    bursts: VecDeque<(usize, u8)>,
    /// Those that could not be announced just then.
    put_off: Vec<(usize, u8)>,
    /// Those that could not be taken just then.
    untaken: Vec<(usize, Job)>,
    /// Of the releases that came together, and until when their clients may be reset.
    census: Census,
    resetting_until: Option<Instant>,
}

impl Executor {
    fn run(mut self, tasks: &Mailbox<Task>) -> PacketSockets {
        loop {
            tasks.hush();
            while let Some(task) = tasks.take() {
                match task {
                    Task::Take { router, job } => self.take(router, job),
                    Task::Drop { router, job } => self.release(router, job),
                    Task::Announce { router } => self.announce_again(router),
                    Task::Change { router, holding } => self.change(router, holding.map(|holding| *holding)),
                    Task::Stop => return self.sockets,
                }
            }
            self.census.forget();
            self.resetting_until = None;
            for (router, job) in std::mem::take(&mut self.untaken) {
                self.take(router, job);
            }
            self.finish_bursts(tasks);
            let now = clock::now();
            let again = (!self.put_off.is_empty() || !self.untaken.is_empty()).then(|| now + PUT_OFF);
            let next = [self.keep(now), again].into_iter().flatten().min();
            wait(tasks, next.map(|at| at.since(clock::now())));
        }
    }

    fn take(&mut self, router: usize, job: Job) {
        let Some(holding) = self.holdings.get(router) else { return };
        let began = clock::now();
        // Whoever waited long for the kernel must not carry out what the core has long thought better of.
        if !self.board.is_latest(router, job.number()) {
            return;
        }
        // The order is as old as our last advert: we did not run, and the right may be another's by now. The core finds out and
        // orders anew or thinks better of it, or the next advert shows that it is ours.
        if began > self.board.silent_at(router, holding.freeze_limit) {
            self.untaken.push((router, job));
            return;
        }
        // Before the first address is on, so that there is no instant in which the guard would overlook it.
        if !self.board.hold(router) {
            self.report(Report::Refused { router, job, vip: 0, errno: libc::EBUSY });
            return;
        }
        for (place, vip) in holding.vips.iter().enumerate() {
            if !self.board.is_latest(router, job.number()) {
                self.take_off(router, job);
                return;
            }
            if let Err(error) = self.netlink.add_address(vip, holding.lifetime) {
                tracing::debug!("{error}");
                self.take_off(router, job);
                self.report(Report::Refused { router, job, vip: place, errno: error.errno() });
                return;
            }
        }
        if self.board.is_fenced(router) {
            // The guard fenced us in the middle of it: what was added after its look comes off again.
            self.take_off(router, job);
            return;
        }
        let now = clock::now();
        let after = |span: Duration| (!span.is_zero()).then(|| now + span);
        self.states[router] = State::On {
            renew_at: holding.lifetime.map(|lifetime| now + lifetime / 3),
            valid_until: holding.lifetime.map(|lifetime| began + lifetime),
            repeat_at: after(holding.announcing.repeat_after),
            refresh_at: after(holding.announcing.refresh),
            job,
        };
        let is_told = self.announce(router, 1);
        if let Some(holding) = self.holdings.get(router) {
            self.bursts.push_back((router, holding.announcing.burst.saturating_sub(u8::from(is_told))));
        }
        self.report(Report::Held { router, job, took: now.since(began) });
    }

    fn release(&mut self, router: usize, job: Job) {
        let ended = self.reset_clients(router);
        let began = clock::now();
        if self.take_off(router, job) {
            self.board.free(router);
            self.report(Report::Released { router, job, took: clock::now().since(began), ended });
        }
    }

    /// How many there were.
    fn reset_clients(&mut self, router: usize) -> u32 {
        let (Some(holding), Some(State::On { .. })) = (self.holdings.get(router), self.states.get(router))
        else {
            return 0;
        };
        if holding.services.is_empty() {
            return 0;
        }
        let addresses: Vec<_> = holding.vips.iter().map(|vip| vip.address).collect();
        let until = *self.resetting_until.get_or_insert_with(|| clock::now() + RESETTING);
        let (count, spared) = match self.census.destroy_until(&addresses, &holding.services, until) {
            Ok(Ended { count, is_whole: true }) => (count, None),
            Ok(Ended { count, is_whole: false }) => {
                (count, Some(format!("that took longer than {RESETTING:?}")))
            }
            Err(error) => (0, Some(error.to_string())),
        };
        if let Some(why) = spared {
            let addresses = addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            tracing::warn!("not all clients of {addresses} are reset before it goes: {why}");
        }
        u32::try_from(count).unwrap_or(u32::MAX)
    }

    /// Takes all addresses off, whatever was on. True if none is left.
    fn take_off(&mut self, router: usize, job: Job) -> bool {
        self.forget_bursts(router);
        let Some(holding) = self.holdings.get(router) else { return true };
        let mut refused = None;
        for (place, vip) in holding.vips.iter().enumerate() {
            if let Err(error) = self.netlink.remove_address(vip) {
                tracing::debug!("{error}");
                refused = refused.or_else(|| Some((place, error.errno())));
            }
        }
        let was_stuck = matches!(self.states[router], State::Stuck { .. });
        let Some((vip, errno)) = refused else {
            self.states[router] = State::Off;
            if !self.board.is_fenced(router) {
                self.board.free(router);
            }
            return true;
        };
        self.states[router] = State::Stuck { retry_at: clock::now() + RETRY, job };
        if !was_stuck {
            self.report(Report::Stuck { router, vip, errno });
        }
        false
    }

    fn change(&mut self, router: usize, holding: Option<Holding>) {
        while self.holdings.len() <= router {
            self.holdings.push(Holding::nothing());
            self.states.push(State::Off);
        }
        if holding.is_none() {
            self.untaken.retain(|(untaken, _)| *untaken != router);
        }
        let next = holding.unwrap_or(Holding::nothing());
        let interfaces = self.holdings.iter().chain([&next]).flat_map(|holding| &holding.vips);
        match self.sockets.with(interfaces.map(|vip| vip.ifindex)) {
            Ok(sockets) => self.sockets = sockets,
            Err(error) => tracing::error!("VIP executor: {error}; no gratuitous ARP leaves there"),
        }
        self.forget_bursts(router);
        let former = std::mem::replace(&mut self.holdings[router], next);
        let next = &self.holdings[router];
        if let State::On { renew_at, valid_until, .. } = &mut self.states[router]
            && former.is_retaken_for(next)
        {
            // By the order that follows.
            (*renew_at, *valid_until) = (None, None);
        }
        let mut former = former.vips;
        match self.states[router] {
            State::Off => former.clear(),
            State::On { .. } | State::Stuck { .. } => former.retain(|vip| !next.vips.contains(vip)),
        }
        if next.vips.is_empty() {
            self.states[router] = State::Off;
        }
        let now = clock::now();
        // The same address in another form comes off only after the new form is on: it is never gone.
        let (reformed, gone) = former.into_iter().partition::<Vec<_>, _>(|old| {
            let place = |vip: &Vip| (vip.ifindex, vip.address);
            next.vips.iter().any(|vip| place(vip) == place(old) && vip.prefix != old.prefix)
        });
        if !reformed.is_empty() {
            self.formers.push(Former { router, vips: reformed, retry_at: now + RETRY, told: true });
        }
        self.formers.push(Former { router, vips: gone, retry_at: now, told: false });
        self.lose_formers(now);
    }

    /// Takes off what was another configuration's; returns when to try again.
    fn lose_formers(&mut self, now: Instant) -> Option<Instant> {
        let mut formers = std::mem::take(&mut self.formers);
        for former in formers.iter_mut().filter(|former| former.retry_at <= now) {
            former.vips.retain(|vip| {
                // Somebody's again by now: not ours to take off.
                if self.is_on(vip) {
                    return false;
                }
                let Err(error) = self.netlink.remove_address(vip) else { return false };
                if !former.told {
                    tracing::error!("{error}; trying again until it goes");
                }
                former.told = true;
                true
            });
            former.retry_at = now + RETRY;
        }
        let routers: BTreeSet<usize> = formers.iter().map(|former| former.router).collect();
        formers.retain(|former| !former.vips.is_empty());
        for router in routers {
            if !formers.iter().any(|former| former.router == router) {
                let gone = self.holdings[router].vips.is_empty();
                if gone {
                    self.board.free(router);
                }
                self.report(Report::Changed { router, gone });
            }
        }
        self.formers = formers;
        self.formers.iter().map(|former| former.retry_at).min()
    }

    fn is_on(&self, vip: &Vip) -> bool {
        let mut routers = self.holdings.iter().zip(&self.states);
        let same = |other: &Vip| {
            (other.ifindex, other.address, other.prefix) == (vip.ifindex, vip.address, vip.prefix)
        };
        routers.any(|(holding, state)| match state {
            State::On { .. } => holding.vips.iter().any(same),
            State::Off | State::Stuck { .. } => false,
        })
    }

    fn announce_again(&mut self, router: usize) {
        if let (Some(State::On { .. }), Some(holding)) = (self.states.get(router), self.holdings.get(router))
        {
            let burst = holding.announcing.burst;
            self.forget_bursts(router);
            self.bursts.push_back((router, burst));
        }
    }

    fn forget_bursts(&mut self, router: usize) {
        self.bursts.retain(|(bursting, _)| *bursting != router);
        self.put_off.retain(|(bursting, _)| *bursting != router);
    }

    /// Finishes bursts until there is a task to do: a thousand announcements must not hold up a release.
    fn finish_bursts(&mut self, tasks: &Mailbox<Task>) {
        self.bursts.extend(self.put_off.drain(..));
        while tasks.is_empty()
            && let Some((router, copies)) = self.bursts.pop_front()
        {
            if !self.announce(router, copies) {
                self.put_off.push((router, copies));
            }
        }
    }

    /// Gratuitous ARP for what is ours at this moment: not for what the guard took off. False: our last advert is so old that
    /// we may have lost it while we did not run; the next one, or the guard, will tell.
    fn announce(&self, router: usize, copies: u8) -> bool {
        let Some(holding) = self.holdings.get(router) else { return true };
        if !self.board.is_held(router) {
            return true;
        }
        if clock::now().since(self.board.last_sent(router)) > holding.freeze_limit {
            return false;
        }
        let places = holding.vips.iter().zip(&holding.announcements);
        let interfaces: BTreeSet<u32> = holding.vips.iter().map(|vip| vip.ifindex).collect();
        for ifindex in interfaces {
            let here = places.clone().filter(|(vip, _)| vip.ifindex == ifindex);
            let copies = (0..copies).flat_map(|_| here.clone().map(|(_, frame)| frame.as_slice()));
            self.sockets.send(ifindex, copies, |_| ());
        }
        true
    }

    /// Renews, repeats, refreshes, retries what is due; returns when something is due next.
    fn keep(&mut self, now: Instant) -> Option<Instant> {
        let mut next: Option<Instant> = if self.formers.is_empty() { None } else { self.lose_formers(now) };
        for router in 0..self.states.len() {
            let due = match self.states[router] {
                State::Off => None,
                State::Stuck { retry_at, job } if retry_at <= now => {
                    self.release(router, job);
                    Some(now + RETRY)
                }
                State::Stuck { retry_at, .. } => Some(retry_at),
                State::On { .. } => self.keep_on(router, now),
            };
            next = [next, due].into_iter().flatten().min();
        }
        next
    }

    fn keep_on(&mut self, router: usize, now: Instant) -> Option<Instant> {
        let holding = &self.holdings[router];
        let State::On { renew_at, valid_until, repeat_at, refresh_at, .. } = &mut self.states[router] else {
            return None;
        };
        let is_due = |at: &Option<Instant>| at.is_some_and(|at| at <= now);
        if is_due(repeat_at) {
            *repeat_at = None;
            self.bursts.push_back((router, holding.announcing.burst));
        }
        if is_due(refresh_at) {
            *refresh_at = Some(now + holding.announcing.refresh);
            self.bursts.push_back((router, 1));
        }
        if is_due(valid_until) {
            // Ran out through our own lateness: it is for the core to say whether we still have a right to it.
            (*renew_at, *valid_until) = (None, None);
            self.report(Report::Expired { router });
        } else if let (true, Some(lifetime)) = (is_due(renew_at), holding.lifetime) {
            *renew_at = Some(now + lifetime / 3);
            if now <= self.board.silent_at(router, holding.freeze_limit) && self.board.is_held(router) {
                self.renew(router, lifetime);
            }
        }
        let State::On { renew_at, valid_until, repeat_at, refresh_at, .. } = self.states[router] else {
            return None;
        };
        if self.bursts.is_empty() {
            [renew_at, valid_until, repeat_at, refresh_at].into_iter().flatten().min()
        } else {
            Some(now)
        }
    }

    fn renew(&mut self, router: usize, lifetime: Duration) {
        let asked = clock::now();
        for vip in &self.holdings[router].vips {
            if let Err(error) = self.netlink.add_address(vip, Some(lifetime)) {
                // It will expire, and that is reported.
                tracing::debug!("{error}");
                return;
            }
        }
        if let State::On { valid_until, job, .. } = &mut self.states[router] {
            *valid_until = Some(asked + lifetime);
            let job = *job;
            if self.board.is_fenced(router) {
                self.take_off(router, job);
            }
        }
    }

    fn report(&self, report: Report) {
        if self.reports.post(report).is_err() {
            tracing::error!(
                "the advert thread does not take reports of the VIP executor: {report:?} is lost"
            );
        }
    }
}

fn wait(tasks: &Mailbox<Task>, longest: Option<Duration>) {
    let timeout = longest.map(|longest| Timespec {
        tv_sec: i64::try_from(longest.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: longest.subsec_nanos().into(),
    });
    let mut polled = [PollFd::new(tasks, PollFlags::IN)];
    // EINTR: the loop looks at everything again anyway.
    match poll(&mut polled, timeout.as_ref()) {
        Ok(_) | Err(_) => {}
    }
}
