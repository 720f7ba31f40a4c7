//! Wires it together: start-up in order, the service runtime while it runs, leaving in order.
//!
//! Owns the sequence and the threads' lifetimes. Two worlds: the advert thread, which nothing may hold up, and this
//! runtime, which may wait for the log, the guard, netlink news and signals. Decides nothing about addresses.

mod advert_thread;
mod frames;
mod journal;
mod leftovers;
mod notice;
mod wiring;

use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rustix::net::sockopt::socket_peercred;
use rustix::process::geteuid;
use thiserror::Error;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use vrrp_ebpf::abi;

use crate::config::{Config, Rx};
use crate::net::board::{Board, BoardError};
use crate::net::executor::{self, ExecutorError, Task};
use crate::net::guard::{Guard, GuardError, Plan};
use crate::net::links::{self, LinkNews, Picture};
use crate::net::mailbox::Mailbox;
use crate::net::netlink::{Netlink, NetlinkError};
use crate::net::receiver::{self, Choice, Control, OpenError, Receiver};
use crate::net::xdp::{Diagnostics, Sizes};
use crate::net::{Interface, Mode, realtime};
use crate::vrrp::Engine;
pub use advert_thread::AdvertThreadError;
use advert_thread::{AdvertThread, Lines, Order, Tally};
use journal::Journal;
use wiring::Wiring;
pub use wiring::WiringError;

/// The daemon's name in the abstract socket namespace, which is one for each network namespace.
const LOCK: &str = "vrrp-daemon";
/// Stack of the advert thread: locked into memory, so no larger than it needs.
const STACK: usize = 512 * 1024;
/// An interface that went away is looked for this often.
const INTERFACE_RETRY: Duration = Duration::from_millis(500);
/// Leaving takes no longer than this, or the guard finishes it.
const LEAVE_DEADLINE: Duration = Duration::from_millis(700);
/// A guard that does not take a new plan within this time is replaced.
const PLAN_DEADLINE: Duration = Duration::from_millis(200);
/// An order is offered so often, a millisecond apart.
const ORDER_TRIES: u32 = 500;
/// The executor has this long to end after the last address is off.
const EXECUTOR_DEADLINE: Duration = Duration::from_millis(200);

/// Why the daemon did not start, or ended.
#[derive(Debug, Error)]
pub enum DaemonError {
    #[error(
        "another vrrp daemon runs in this network namespace; stop it first (two would fight over addresses)"
    )]
    Running,
    #[error("{operation}: {source}")]
    System { operation: &'static str, source: io::Error },
    #[error(transparent)]
    Netlink(#[from] NetlinkError),
    #[error(transparent)]
    Wiring(#[from] WiringError),
    #[error(transparent)]
    Receiver(#[from] OpenError),
    #[error("rule of instance {instance}: {reason}")]
    Rule { instance: String, reason: String },
    #[error(transparent)]
    Board(#[from] BoardError),
    #[error(transparent)]
    Guard(#[from] GuardError),
    #[error(transparent)]
    Executor(#[from] ExecutorError),
    #[error(transparent)]
    AdvertThread(#[from] AdvertThreadError),
    #[error("the {0} ended by itself, which is a fault of this program; the guard takes the addresses off")]
    ThreadDied(&'static str),
    #[error("not everything was released within {} ms; the guard takes off what is left", LEAVE_DEADLINE.as_millis())]
    Overdue,
    #[error(transparent)]
    Links(#[from] links::WatchError),
}

/// How a run ended that did not fail.
enum Ending {
    Left,
    /// An interface was replaced by another of its name: everything built on it is stale.
    StartOver,
}

/// Runs the daemon until it is told to end.
pub fn run(config: &Config) -> Result<(), DaemonError> {
    let _lock = lock()?;
    if let Err(error) = realtime::lock_memory() {
        tracing::warn!("{error}");
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(2)
        .thread_stack_size(STACK)
        .build()
        .map_err(|source| DaemonError::System { operation: "start the service runtime", source })?;
    let ended = runtime.block_on(async {
        let mut signals = Signals::new()?;
        let mut first = true;
        loop {
            match run_once(config, &mut signals).await {
                Ok(Ending::Left) => return Ok(()),
                Ok(Ending::StartOver) => {}
                // Only an interface that was there before is waited for: at the first start it is an error to be seen.
                Err(DaemonError::Wiring(WiringError::NoInterface { .. })) if !first => {
                    tokio::select! {
                        () = sleep(INTERFACE_RETRY) => {}
                        () = signals.leave() => return Ok(()),
                    }
                }
                Err(error) => return Err(error),
            }
            first = false;
        }
    });
    // A question to the kernel may still wait for its lock: nobody needs the answer any more.
    runtime.shutdown_background();
    ended
}

fn lock() -> Result<Option<UnixListener>, DaemonError> {
    let failed = |source| DaemonError::System { operation: "make sure that only one daemon runs", source };
    let address = SocketAddr::from_abstract_name(LOCK).map_err(failed)?;
    match UnixListener::bind_addr(&address) {
        Ok(listener) => Ok(Some(listener)),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            let holder = UnixStream::connect_addr(&address).and_then(|holder| Ok(socket_peercred(holder)?));
            let holder = holder.map_err(|_gone| DaemonError::Running)?;
            if holder.uid.is_root() || holder.uid == geteuid() {
                return Err(DaemonError::Running);
            }
            // The name is free for everybody to take: whoever is not allowed to run this daemon does not prevent it.
            let (pid, user) = (holder.pid.as_raw_nonzero(), holder.uid.as_raw());
            tracing::warn!("process {pid} of user {user} holds the name @{LOCK}; starting all the same");
            Ok(None)
        }
        Err(error) => Err(failed(error)),
    }
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> Result<Self, DaemonError> {
        let listen = |kind| {
            signal(kind).map_err(|source| DaemonError::System { operation: "listen for signals", source })
        };
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            hangup: listen(SignalKind::hangup())?,
        })
    }

    async fn leave(&mut self) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                _ = self.hangup.recv() => {
                    tracing::warn!("SIGHUP: a changed configuration takes effect at a restart; nothing was reloaded");
                }
            }
        }
    }
}

async fn run_once(config: &Config, signals: &mut Signals) -> Result<Ending, DaemonError> {
    let mut netlink = Netlink::open()?;
    let mut picture = Picture::take(&mut netlink)?;
    let mut wiring = Wiring::new(config, &picture)?;
    leftovers::keep_others(&wiring, &picture);
    if leftovers::clear(&mut netlink, &picture, &wiring)? {
        picture = Picture::take(&mut netlink)?;
        wiring = Wiring::new(config, &picture)?;
    }
    let (receiver, control) = open_receiver(config, &wiring)?;
    // Attaching can take a link down and up: what counts is how it is now.
    picture = Picture::take(&mut netlink)?;
    wiring = Wiring::new(config, &picture)?;
    drop(netlink);

    let running = Running::start(config, wiring, receiver, control).await?;
    running.serve(picture, signals).await
}

fn open_receiver(config: &Config, wiring: &Wiring) -> Result<(Receiver, Control), DaemonError> {
    let choice = match config.rx {
        Rx::Auto => Choice::Auto,
        Rx::Xdp => Choice::Xdp,
        Rx::Tcx => Choice::Tcx,
        Rx::Socket => Choice::Socket,
    };
    let interfaces = wiring
        .interest
        .interfaces
        .iter()
        .map(|(index, name)| Interface { name: name.clone(), index: *index })
        .collect::<Vec<_>>();
    let count = u32::try_from(wiring.routers.len()).unwrap_or(u32::MAX);
    let peers: usize = wiring.routers.iter().map(|router| router.peers.len()).sum();
    let sizes = Sizes {
        rules: count.next_power_of_two().max(64),
        peers: u32::try_from(peers).unwrap_or(u32::MAX).next_power_of_two().max(64),
        // Room for a second of adverts of every router at the shortest interval.
        ring_bytes: (count.saturating_mul(8 * 1024)).clamp(256 * 1024, 8 * 1024 * 1024),
        ..Sizes::default()
    };
    let (receiver, mut control) = receiver::open(choice, &interfaces, sizes, Diagnostics::Errors)?;
    for attachment in control.attachments() {
        let interface = &attachment.interface.name;
        tracing::info!(interface, "adverts are received by {}", attachment.mode);
        for (mode, why) in &attachment.refused {
            tracing::warn!(interface, "not by {mode}: {why}");
        }
        if attachment.mode == Mode::Socket && choice == Choice::Auto {
            tracing::warn!(interface, "without the kernel half a flood of junk costs this daemon its CPU");
        }
    }
    for (router, wired) in wiring.routers.iter().enumerate() {
        let failed = |reason: String| DaemonError::Rule { instance: wired.name.clone(), reason };
        control.slots().set_minimum_priority(wired.rule.slot, abi::NOBODY_REFRESHES);
        control.slots().clear(wired.rule.slot);
        debug_assert_eq!(wired.rule.slot as usize, router);
        for peer in &wired.peers {
            let key = abi::PeerKey { slot: wired.rule.slot, address: wiring::mapped(*peer) };
            control.insert_peer(key).map_err(|error| failed(error.to_string()))?;
        }
        control.insert_rule(wired.rule_key, wired.rule).map_err(|error| failed(error.to_string()))?;
    }
    Ok((receiver, control))
}

/// Everything that lives between start and leaving.
struct Running {
    wiring: Wiring,
    lines: Lines,
    guard: Option<Guard>,
    guarded: bool,
    lesser_priority: Option<u8>,
    executor: thread::JoinHandle<()>,
    advert_thread: oneshot::Receiver<Tally>,
    journal: Journal,
}

impl Running {
    async fn start(
        config: &Config,
        wiring: Wiring,
        receiver: Receiver,
        control: Control,
    ) -> Result<Self, DaemonError> {
        let count = wiring.routers.len();
        let failed = |errno: rustix::io::Errno| DaemonError::System {
            operation: "make the queues between the threads",
            source: errno.into(),
        };
        let depth = count * 8 + 256;
        let lines = Lines {
            orders: Arc::new(Mailbox::new(depth).map_err(failed)?),
            reports: Arc::new(Mailbox::new(depth).map_err(failed)?),
            tasks: Arc::new(Mailbox::new(depth).map_err(failed)?),
            notices: Arc::new(Mailbox::new(depth * 2).map_err(failed)?),
            board: Arc::new(Board::create(count)?),
        };
        let realtime_priority = Some(config.realtime_priority).filter(|priority| *priority > 0);
        // Executor and guard give way to the advert thread: what they would do, it may be about to make needless.
        let lesser_priority = realtime_priority.map(|priority| priority.saturating_sub(1).max(1));
        let guard = if config.guard {
            Some(Guard::start(&Plan::new(&lines.board, lesser_priority, wiring.wards())).await?)
        } else {
            tracing::warn!(
                "guard: false: when this process dies its addresses stay until their lifetime ends"
            );
            None
        };
        let executor = executor::start(
            wiring.routers.iter().map(|router| router.holding.clone()).collect(),
            Arc::clone(&lines.board),
            Arc::clone(&lines.tasks),
            Arc::clone(&lines.reports),
            lesser_priority,
        )?;
        let engine = Engine::new(wiring.routers.iter().map(|router| router.core));
        let thread = AdvertThread::new(engine, receiver, &wiring.routers, lines.clone())?;
        let initial =
            wiring.routers.iter().map(|router| (router.running, router.primary_address)).collect::<Vec<_>>();
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
        let journal = Journal::new(&wiring, control);
        let guarded = guard.is_some();
        Ok(Self { wiring, lines, guard, guarded, lesser_priority, executor, advert_thread, journal })
    }

    async fn serve(mut self, picture: Picture, signals: &mut Signals) -> Result<Ending, DaemonError> {
        let (news_in, mut news) = tokio::sync::mpsc::channel(256);
        let interest = self.wiring.interest.clone();
        let mut links = tokio::spawn(links::watch(picture, interest, news_in));
        let bell = self
            .lines
            .notices
            .listen()
            .map_err(|source| DaemonError::System { operation: "wait for notices", source })?;
        let mut tick = interval(Duration::from_secs(1));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let overdue = sleep(LEAVE_DEADLINE);
        tokio::pin!(overdue);
        let mut ending = Ok(Ending::Left);
        let mut leaving = false;
        let result = loop {
            tokio::select! {
                biased;
                ended = &mut self.advert_thread => break match ended {
                    Ok(tally) if leaving => Ok(tally),
                    Ok(_) | Err(_) => Err(DaemonError::ThreadDied("advert thread")),
                },
                () = &mut overdue, if leaving => break Err(DaemonError::Overdue),
                () = signals.leave(), if !leaving => {
                    tracing::info!("told to end: releasing");
                    leaving = true;
                    overdue.as_mut().reset(tokio::time::Instant::now() + LEAVE_DEADLINE);
                    self.order(Order::Leave).await;
                }
                Some(told) = news.recv() => {
                    if let LinkNews::Replaced { ifindex } = told {
                        let interface = self.wiring.interest.devices.get(&ifindex);
                        tracing::warn!(interface, "the interface is another one now: starting over");
                        ending = Ok(Ending::StartOver);
                        leaving = true;
                        overdue.as_mut().reset(tokio::time::Instant::now() + LEAVE_DEADLINE);
                        self.order(Order::Leave).await;
                    } else {
                        self.hear(told).await;
                    }
                }
                ready = bell.readable() => {
                    if let Ok(mut ready) = ready {
                        ready.clear_ready();
                    }
                    self.journal.write(&self.lines.notices);
                }
                _ = tick.tick() => {
                    self.journal.tick(&self.lines);
                    if self.executor.is_finished() {
                        break Err(DaemonError::ThreadDied("VIP executor"));
                    }
                    if self.guarded && self.guard.is_none() && !leaving {
                        self.replace_guard().await;
                    }
                }
                () = guard_lost(self.guard.as_mut()) => {
                    tracing::error!("the guard has ended; until it is back a dying daemon leaves its addresses behind");
                    self.guard = None;
                }
                ended = &mut links, if !leaving => {
                    // Blind to carrier and addresses, but not hasty: what is held is released in order.
                    ending = Err(match ended {
                        Ok(Err(error)) => error.into(),
                        Ok(Ok(())) | Err(_) => links::WatchError::Ended.into(),
                    });
                    leaving = true;
                    overdue.as_mut().reset(tokio::time::Instant::now() + LEAVE_DEADLINE);
                    self.order(Order::Leave).await;
                }
            }
        };
        links.abort();
        self.journal.write(&self.lines.notices);
        self.end().await;
        self.journal.close(&result?);
        ending
    }

    async fn replace_guard(&mut self) {
        let plan = Plan::new(&self.lines.board, self.lesser_priority, self.wiring.wards());
        match Guard::start(&plan).await {
            Ok(guard) => {
                tracing::info!("the guard is back");
                self.guard = Some(guard);
            }
            Err(error) => tracing::error!("{error}"),
        }
    }

    /// Link news for the advert thread, and for the guard what changes its release adverts.
    async fn hear(&mut self, news: LinkNews) {
        self.journal.link(&news);
        match news {
            LinkNews::Up { ifindex } => self.order(Order::LinkUp { ifindex }).await,
            LinkNews::Down { ifindex } => self.order(Order::LinkDown { ifindex }).await,
            LinkNews::VipRemoved { ifindex, address } => {
                self.order(Order::VipRemoved { ifindex, address }).await;
            }
            LinkNews::PrimaryAddress { ifindex, address } => {
                self.order(Order::PrimaryAddress { ifindex, address }).await;
                for router in self.wiring.routers.iter_mut().filter(|router| router.ifindex == ifindex) {
                    router.frames.set_source(address);
                }
                let plan = Plan::new(&self.lines.board, self.lesser_priority, self.wiring.wards());
                if let Some(guard) = &mut self.guard {
                    match timeout(PLAN_DEADLINE, guard.update(&plan)).await {
                        Ok(Ok(())) => {}
                        Ok(Err(error)) => tracing::error!("{error}"),
                        Err(_elapsed) => {
                            tracing::error!("the guard does not take its plan: replacing it");
                            self.guard = None;
                        }
                    }
                }
            }
            LinkNews::Replaced { .. } => {}
        }
    }

    async fn order(&self, order: Order) {
        // A full queue means that the advert thread has not run for a while; it will, and then it must know.
        for _ in 0..ORDER_TRIES {
            if self.lines.orders.post(order).is_ok() {
                return;
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
        if let Some(guard) = self.guard.take() {
            guard.dismiss().await;
        }
    }
}

async fn guard_lost(guard: Option<&mut Guard>) {
    match guard {
        Some(guard) => {
            if let Err(error) = guard.ended().await {
                tracing::error!("the guard: {error}");
            }
        }
        None => std::future::pending().await,
    }
}
