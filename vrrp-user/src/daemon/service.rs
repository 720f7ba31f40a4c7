//! The service runtime while the daemon runs: it starts the threads, passes news on, and leaves in order.
//!
//! Owns the threads' lifetimes and the journal. May wait for the log, the guard, the kernel's news and
//! signals; no advert waits for it. A changed configuration is `reload`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::sync::{broadcast, oneshot, watch};
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::config::Config;
use crate::control::desk::{self, Counter};
use crate::control::notify::{Herald, SCRIPT_FAREWELL};
use crate::daemon::advert_thread::{AdvertThread, Initial, Lines, Order, Return, Sheet, Tally};
use crate::daemon::checks::Checks;
use crate::daemon::drained::{self, Keeping};
use crate::daemon::guarding::{Guarding, wards};
use crate::daemon::journal::Journal;
use crate::daemon::notice::Notice;
use crate::daemon::orders::{Drains, Offers};
use crate::daemon::roles::{Roles, SETTLE};
use crate::daemon::standing::{Chair, Standing, Verdict};
use crate::daemon::status::Arrivals;
use crate::daemon::supervisor::{Supervisor, TICK};
use crate::daemon::watching::Watching;
use crate::daemon::wiring::Wiring;
use crate::daemon::{DaemonError, Effective, Ending, STACK, Signals, Source, Told};
use crate::net::board::Board;
use crate::net::executor::{self, Report, Task};
use crate::net::guard::{DISMISSAL, Ward};
use crate::net::links::{self, Interest, LinkNews, Picture};
use crate::net::mailbox::Full;
use crate::net::packet::PacketSockets;
use crate::net::receiver::{Control, Receiver};
use crate::net::xdp::Sizes;
use crate::net::{clock, realtime};
use crate::vrrp::{self, Engine, Instant, Label};

/// Leaving takes no longer than this, besides what managed roles may take, or the guard finishes it.
const LEAVE_DEADLINE: Duration = Duration::from_millis(700);
/// And the advert thread has this much of it.
const LEAVE: Duration = Duration::from_millis(500);
/// An order is offered so often, a millisecond apart.
const ORDER_TRIES: u32 = 500;
/// The executor has this long to end after the last address is off.
const EXECUTOR_DEADLINE: Duration = Duration::from_millis(200);
/// Everything that lives between start and leaving.
pub(super) struct Running {
    pub(super) config: Config,
    pub(super) source: Source,
    pub(super) wiring: Wiring,
    /// By place, what a router had before a change until it has lost it: the guard must know of it so long.
    pub(super) formers: BTreeMap<usize, Ward>,
    /// Places of routers that are leaving.
    pub(super) leaving: BTreeSet<usize>,
    pub(super) standing: Standing,
    pub(super) lines: Lines,
    pub(super) sizes: Sizes,
    /// A change was handed over and has not come back.
    pub(super) change_under_way: bool,
    /// The names of instances that the operator has drained, whether there are such or not.
    pub(super) drained: BTreeSet<String>,
    pub(super) keeping: Keeping,
    pub(super) arrivals: Arrivals,
    pub(super) began: Instant,
    /// Virtual addresses that are there, by the kernel's news.
    pub(super) present: watch::Sender<BTreeSet<(u32, Ipv4Addr)>>,
    /// For the advert thread to fill in; not here while it is under way.
    sheet: Option<Box<Sheet>>,
    /// Changes of state that were told.
    moves: u64,
    /// Filled in, and not looked at yet.
    filled: Option<Box<Sheet>>,
    pub(super) interests: watch::Sender<Interest>,
    /// The advert thread's, to be shared with the next set of them.
    pub(super) sockets: PacketSockets,
    pub(super) guarding: Guarding,
    executor: thread::JoinHandle<PacketSockets>,
    advert_thread: oneshot::Receiver<Tally>,
    pub(super) journal: Journal,
    pub(super) checks: Checks,
    pub(super) herald: Herald,
    pub(super) watching: Watching,
    pub(super) roles: Roles,
    pub(super) drains: Drains,
    pub(super) offers: Offers,
    pub(super) supervisor: Supervisor,
}

impl Running {
    pub(super) async fn start(
        effective: Effective,
        source: &Source,
        standing: Standing,
        wiring: Wiring,
        receiver: Receiver,
        control: Control,
        sizes: Sizes,
    ) -> Result<Self, DaemonError> {
        let Effective { config, testament } = effective;
        let room = sizes.rules as usize;
        let queues = |errno: rustix::io::Errno| DaemonError::System {
            operation: "make the queues between the threads",
            source: errno.into(),
        };
        let lines = Lines::with_room(room, Board::create(room)?).map_err(queues)?;
        let realtime_priority = Some(config.realtime_priority).filter(|priority| *priority > 0);
        // Executor and guard give way to the advert thread: what they would do, it may be about to make needless.
        let lesser_priority = realtime_priority.map(|priority| priority.saturating_sub(1).max(1));
        let mut guarding = Guarding::new(&lines.board, lesser_priority, testament);
        if config.guard {
            guarding.start(wards(&wiring, &BTreeMap::new())).await?;
        } else {
            tracing::warn!(
                "guard: false: when this process dies its addresses stay until their lifetime ends"
            );
        }
        let executor = executor::start(
            wiring.routers.iter().map(|router| router.holding.clone()).collect(),
            Arc::clone(&lines.board),
            Arc::clone(&lines.tasks),
            Arc::clone(&lines.reports),
            lesser_priority,
        )?;
        standing.start(&chairs(&wiring));
        let drained = drained::recall(&config.control.state_dir, &standing);
        let mut checks = Checks::new(standing.clone());
        checks.go_by(&config, |_| false);
        let (mut cores, mut initial) = (Vec::new(), Vec::new());
        for router in &wiring.routers {
            let (suspended, priority) =
                standing.begin(router.router).unwrap_or((false, router.core.priority));
            cores.push(vrrp::Config { priority, ..router.core });
            let (running, primary_address) = (router.running, router.primary_address);
            initial.push(Initial { suspended, running, primary_address });
        }
        // Before the thread that gives them orders.
        let roles = Roles::start(&config, &wiring, &standing, &lines)?;
        let engine = Engine::with_room(cores.into_iter(), room);
        let sockets = PacketSockets::open(wiring.routers.iter().map(|router| router.ifindex));
        let sockets = sockets.map_err(crate::daemon::AdvertThreadError::from)?;
        let thread =
            AdvertThread::new(engine, receiver, &wiring.routers, sockets.clone(), lines.clone(), room)?;
        let (ended, advert_thread) = oneshot::channel();
        thread::Builder::new()
            .name("adverts".to_owned())
            .stack_size(STACK)
            .spawn(move || {
                if let Some(priority) = realtime_priority
                    && let Err(error) = realtime::raise_priority(priority)
                {
                    tracing::warn!("{error}");
                }
                // Nobody listens any more only when the runtime has given up on us.
                ended.send(thread.run(&initial)).unwrap_or_default();
            })
            .map_err(|source| DaemonError::System { operation: "start the advert thread", source })?;
        let herald = Herald::new(&config);
        let journal = Journal::new(&wiring, control, standing.clone());
        Ok(Self {
            config,
            source: source.clone(),
            interests: watch::Sender::new(wiring.interest.clone()),
            wiring,
            formers: BTreeMap::new(),
            leaving: BTreeSet::new(),
            standing,
            lines,
            sizes,
            change_under_way: false,
            drained,
            keeping: Keeping::default(),
            arrivals: Arrivals::default(),
            began: clock::now(),
            present: watch::Sender::default(),
            sheet: Some(Box::new(Sheet::for_routers(room))),
            filled: None,
            moves: 0,
            sockets,
            guarding,
            executor,
            advert_thread,
            journal,
            checks,
            herald,
            watching: Watching::new(broadcast::Sender::new(1)),
            roles,
            drains: Drains::default(),
            offers: Offers::default(),
            supervisor: Supervisor::default(),
        })
    }

    /// Returns the configuration in effect at the end, too.
    pub(super) async fn serve(
        mut self,
        picture: Picture,
        counter: &mut Counter,
        signals: &mut Signals,
    ) -> (Result<Ending, DaemonError>, Effective) {
        self.watching = Watching::new(counter.sights.clone());
        self.supervisor = signals.supervisor.clone();
        self.supervisor.ready(&self.summary());
        let ending = self.work(picture, counter, signals).await;
        (ending, Effective { config: self.config, testament: self.guarding.testament })
    }

    async fn work(
        &mut self,
        picture: Picture,
        counter: &mut Counter,
        signals: &mut Signals,
    ) -> Result<Ending, DaemonError> {
        let (news_in, mut news) = tokio::sync::mpsc::channel(256);
        let interests = self.interests.subscribe();
        let mut links = tokio::spawn(links::watch(picture, interests, self.present.clone(), news_in));
        let listen = |source| DaemonError::System { operation: "wait for notices", source };
        let bell = self.lines.notices.listen().map_err(listen)?;
        let returned = self.lines.returns.listen().map_err(listen)?;
        let standing = self.standing.clone();
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let overdue = sleep(LEAVE_DEADLINE);
        tokio::pin!(overdue);
        let mut ending = Ok(Ending::Left);
        let mut leaving = false;
        let (mut asked, next_sheet) = (false, sleep(Duration::ZERO));
        // What was told when the sheet went out; it went out once more because of what was told since.
        let (mut moves, mut is_second) = (0, false);
        tokio::pin!(next_sheet);
        let result = loop {
            let mut leave = None;
            tokio::select! {
                biased;
                ended = &mut self.advert_thread => break match ended {
                    Ok(tally) if leaving => Ok(tally),
                    Ok(_) | Err(_) => Err(DaemonError::ThreadDied("advert thread")),
                },
                () = &mut overdue, if leaving => break Err(DaemonError::Overdue),
                told = signals.next(), if !leaving => match told {
                    Told::Leave => {
                        tracing::info!("told to end: releasing");
                        leave = Some(Ok(Ending::Left));
                    }
                    // The log has said what came of it.
                    Told::Reload => drop(self.reload_and_say().await),
                },
                Some(told) = news.recv() => {
                    if let LinkNews::Replaced { ifindex } = told {
                        let interface = self.wiring.interest.devices.get(&ifindex);
                        tracing::warn!(interface, "the interface is another one now: starting over");
                        leave = Some(Ok(Ending::StartOver));
                    } else {
                        self.hear(told).await;
                    }
                }
                ready = bell.readable() => {
                    if let Ok(mut ready) = ready {
                        ready.clear_ready();
                    }
                    self.take_notices().await;
                }
                ready = returned.readable() => {
                    if let Ok(mut ready) = ready {
                        ready.clear_ready();
                    }
                    if let Some(sheet) = self.take_returns() {
                        // The advert thread has answered, and so does this one: both live.
                        self.supervisor.alive();
                        is_second = moves != self.moves && !is_second;
                        if is_second {
                            asked = true;
                        } else {
                            counter.publish(self.snapshot(&sheet));
                        }
                        self.sheet = Some(sheet);
                    }
                }
                Some(told) = self.checks.next() => {
                    if self.checks.act(&told) {
                        self.note_server(&told.instance);
                        if told.is_change {
                            self.tell_verdict(told);
                        }
                    }
                    // At once: a death must not wait for what else is due here.
                    if !leaving {
                        self.tell_verdicts().await;
                    }
                }
                () = counter.watched.notified() => self.tend_watch().await,
                () = self.watching.rung() => self.pass_sightings_on(),
                () = counter.asked.notified() => asked = true,
                () = &mut next_sheet, if asked && self.sheet.is_some() => {
                    asked = false;
                    next_sheet.as_mut().reset(tokio::time::Instant::now() + desk::FRESH);
                    if let Some(sheet) = self.sheet.take() {
                        moves = self.moves;
                        self.order(Order::Read(sheet)).await;
                    }
                }
                Some(order) = counter.orders.recv(), if !leaving => self.carry_out(order).await,
                () = standing.changed(), if !leaving => self.tell_verdicts().await,
                offered = self.offers.offered(), if !leaving => self.drain(offered).await,
                () = self.drains.overdue() => {}
                _ = tick.tick() => {
                    self.take_notices().await;
                    self.journal.tick();
                    self.tend_watch().await;
                    asked |= self.supervisor.ask(clock::now());
                    if self.executor.is_finished() {
                        break Err(DaemonError::ThreadDied("VIP executor"));
                    }
                    if self.guarding.is_missing() && !leaving {
                        self.guarding.replace(wards(&self.wiring, &self.formers)).await;
                    }
                }
                () = self.guarding.lost() => {}
                ended = &mut links, if !leaving => {
                    // Blind to carrier and addresses, but not hasty: what is held is released in order.
                    leave = Some(Err(match ended {
                        Ok(Err(error)) => error.into(),
                        Ok(Ok(())) | Err(_) => links::WatchError::Ended.into(),
                    }));
                }
            }
            if moves != self.moves {
                counter.outdate();
            }
            self.answer_drains();
            if let Some(how) = leave
                && !leaving
            {
                ending = how;
                leaving = true;
                let longest = self.roles.longest;
                // A service manager that hears of a stop ends the service for good; starting over is none.
                if !matches!(ending, Ok(Ending::StartOver)) {
                    self.supervisor.stopping(longest_leave(longest));
                }
                overdue.as_mut().reset(tokio::time::Instant::now() + LEAVE_DEADLINE + longest);
                self.order(Order::Leave { within: LEAVE + longest }).await;
            }
        };
        links.abort();
        self.take_notices().await;
        self.answer_drains();
        self.roles.settle().await;
        self.end().await;
        self.journal.close(&result?);
        ending
    }

    /// What the checks know of an instance's server, for whoever changes its role.
    pub(super) fn note_server(&self, instance: &str) {
        self.roles.note_verdict(instance, self.checks.server_verdict(instance));
    }

    pub(super) async fn take_notices(&mut self) {
        self.lines.notices.hush();
        let mut has_moved = false;
        while let Some(notice) = self.lines.notices.take() {
            has_moved |= matches!(notice, Notice::Transition { .. });
            if let Notice::Transition { router, to, .. } = notice
                && let Some(router) = self.wiring.routers.iter().find(|wired| wired.router == router)
            {
                self.checks.note_active(&router.name, to == Label::Master);
            }
            self.journal.write(&notice);
            self.tell(&notice);
            self.show_transition(&notice);
            self.arrivals.remember(&notice);
            if let Notice::Executor(Report::Changed { router, gone }) = notice {
                self.settle(router, gone).await;
            }
        }
        self.journal.write_lost(&self.lines.notices);
        if has_moved {
            self.moves += 1;
            self.supervisor.status(&self.summary());
        }
    }

    /// A sheet, if one has come.
    pub(super) fn take_returns(&mut self) -> Option<Box<Sheet>> {
        self.lines.returns.hush();
        let mut filled = self.filled.take();
        while let Some(back) = self.lines.returns.take() {
            match back {
                // Freed here.
                Return::Change(_replaced) => self.change_under_way = false,
                Return::Sheet(sheet) => filled = Some(sheet),
                Return::Watch(_over) => {}
            }
        }
        filled
    }

    /// As [`Self::take_returns`]; what a sheet says waits until it is looked at.
    pub(super) fn keep_returns(&mut self) {
        if let Some(sheet) = self.take_returns() {
            self.filled = Some(sheet);
            self.lines.returns.ring();
        }
    }

    pub(super) async fn tell_verdicts(&self) {
        for verdict in self.standing.verdicts() {
            let order = match verdict {
                Verdict::Suspend { router } => Order::Suspend { router },
                Verdict::Resume { router } => Order::Resume { router },
                Verdict::SetPriority { router, priority } => Order::SetPriority { router, priority },
            };
            self.order(order).await;
        }
    }

    /// Link news for the advert thread, and for the guard what changes its release adverts.
    async fn hear(&mut self, news: LinkNews) {
        self.journal.link(&news);
        match news {
            LinkNews::Up { ifindex } => {
                self.note_running(ifindex, true);
                self.order(Order::LinkUp { ifindex }).await;
            }
            LinkNews::Down { ifindex } => {
                self.note_running(ifindex, false);
                self.order(Order::LinkDown { ifindex }).await;
            }
            LinkNews::VipRemoved { ifindex, address } => {
                self.order(Order::VipRemoved { ifindex, address }).await;
            }
            LinkNews::PrimaryAddress { ifindex, address } => {
                self.order(Order::PrimaryAddress { ifindex, address }).await;
                for router in self.wiring.routers.iter_mut().filter(|router| router.ifindex == ifindex) {
                    router.primary_address = address;
                    router.frames.set_source(address);
                }
                self.guarding.instruct(wards(&self.wiring, &self.formers)).await;
            }
            LinkNews::Replaced { .. } => {}
        }
    }

    fn note_running(&mut self, ifindex: u32, running: bool) {
        for router in self.wiring.routers.iter_mut().filter(|router| router.ifindex == ifindex) {
            router.running = running;
        }
    }

    pub(super) async fn order(&self, order: Order) {
        let mut order = order;
        // A full queue means that the advert thread has not run for a while; it will, and then it must know.
        for _ in 0..ORDER_TRIES {
            match self.lines.orders.post(order) {
                Ok(()) => return,
                Err(Full(back)) => order = back,
            }
            sleep(Duration::from_millis(1)).await;
        }
        tracing::error!("the advert thread does not take orders: {order:?} is lost");
    }

    async fn end(&mut self) {
        if self.lines.tasks.post(Task::Stop).is_err() {
            tracing::warn!("the VIP executor is too busy to be told to end");
        }
        let deadline = sleep(EXECUTOR_DEADLINE);
        tokio::pin!(deadline);
        while !self.executor.is_finished() {
            tokio::select! {
                () = sleep(Duration::from_millis(1)) => {}
                () = &mut deadline => {
                    tracing::warn!("the VIP executor waits for the kernel; the guard takes off what it left");
                    break;
                }
            }
        }
        self.guarding.dismiss().await;
        // Last: everything is released, whatever a script does.
        std::mem::replace(&mut self.herald, Herald::silent()).finish().await;
    }
}

/// From being told to end to the end of the process, at most, where handing over managed roles may take `handover`: all waits
/// one after the other.
fn longest_leave(handover: Duration) -> Duration {
    LEAVE_DEADLINE + handover + SETTLE + EXECUTOR_DEADLINE + DISMISSAL + SCRIPT_FAREWELL
}

pub(super) fn chairs(wiring: &Wiring) -> Vec<Chair> {
    let chair = |router: &crate::daemon::wiring::Wired| Chair {
        instance: router.name.clone(),
        router: router.router,
        base: router.core.priority,
    };
    wiring.routers.iter().map(chair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::DEFAULT_HANDOVER;

    #[test]
    fn the_unit_grants_what_leaving_may_take_by_the_defaults() {
        const UNIT: &str = include_str!("../../../config/vrrp.service");
        let limit = UNIT.lines().find_map(|line| line.strip_prefix("TimeoutStopSec=")?.strip_suffix('s'));
        let limit = Duration::from_secs(limit.unwrap().parse().unwrap());
        let longest = longest_leave(DEFAULT_HANDOVER);
        assert!(limit > longest + Duration::from_secs(5), "{limit:?} for {longest:?} leaves no margin");
    }
}
