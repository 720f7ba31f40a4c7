//! Wires it together: start-up in order, then the service runtime (`service`), again if an interface was replaced.
//!
//! Two worlds: the advert thread, which nothing may hold up, and this
//! runtime, which may wait for the log, the guard, netlink news and signals. Decides nothing about addresses.

mod advert_thread;
mod checks;
pub mod drained;
mod frames;
mod guarding;
mod journal;
mod leftovers;
mod news;
mod notice;
mod orders;
mod reload;
mod roles;
mod service;
mod sighting;
pub mod standing;
mod status;
mod supervisor;
mod surfaces;
mod watching;
mod wiring;
mod witness;

use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::path::PathBuf;
use std::time::Duration;

use rustix::net::sockopt::socket_peercred;
use rustix::process::geteuid;
use thiserror::Error;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::sleep;
use vrrp_ebpf::abi;

use crate::config::{Config, ConfigError, Loaded, Rx};
use crate::control::desk::{self, Counter};
use crate::net::board::BoardError;
use crate::net::executor::ExecutorError;
use crate::net::guard::{GuardError, Testament, TestamentError};
use crate::net::links::{self, Picture};
use crate::net::netlink::{Netlink, NetlinkError};
use crate::net::receiver::{self, Choice, Control, OpenError, Receiver};
use crate::net::xdp::{Diagnostics, Sizes};
use crate::net::{Interface, Mode, clock};
pub use advert_thread::AdvertThreadError;
pub use roles::stand_down;
use service::Running;
use standing::Standing;
use supervisor::Supervisor;
pub use wiring::WiringError;
use wiring::{Places, Wiring};

/// The daemon's name in the abstract socket namespace, which is one for each network namespace.
const LOCK: &str = "vrrp-daemon";
/// Stack of the advert thread: locked into memory, so no larger than it needs.
const STACK: usize = 512 * 1024;
/// An interface that went away is looked for this often.
const INTERFACE_RETRY: Duration = Duration::from_millis(500);

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
    Testament(#[from] TestamentError),
    #[error(transparent)]
    Executor(#[from] ExecutorError),
    #[error(transparent)]
    AdvertThread(#[from] AdvertThreadError),
    #[error("the {0} ended by itself, which is a fault of this program; the guard takes the addresses off")]
    ThreadDied(&'static str),
    #[error("not everything was released in time; the guard takes off what is left")]
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

/// Where the configuration comes from, at the start and at each reload.
#[derive(Clone, Debug)]
pub struct Source {
    pub file: PathBuf,
    /// From the command line, before what the file says.
    pub socket: Option<PathBuf>,
}

impl Source {
    /// Reads it.
    pub fn load(&self) -> Result<Loaded, ConfigError> {
        let mut loaded = Config::load(&self.file)?;
        if let Some(socket) = &self.socket {
            loaded.config.control.socket.clone_from(socket);
        }
        Ok(loaded)
    }
}

/// A configuration that the daemon goes by.
struct Effective {
    config: Config,
    testament: Testament,
}

impl Effective {
    fn new(loaded: Loaded) -> Result<Self, TestamentError> {
        Ok(Self { testament: Testament::write(loaded.text.reveal())?, config: loaded.config })
    }
}

/// Runs the daemon until it is told to end. `loaded` is what `source` said; a reload reads it again.
pub fn run(loaded: Loaded, source: &Source) -> Result<(), DaemonError> {
    let mut effective = Effective::new(loaded)?;
    let _lock = lock()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        // Two for what the daemon itself asks; a name service that hangs keeps one for mail and one for a webhook.
        .max_blocking_threads(4)
        .thread_stack_size(STACK)
        .build()
        .map_err(|source| DaemonError::System { operation: "start the service runtime", source })?;
    let ended = runtime.block_on(async {
        let mut signals = Signals::new()?;
        let standing = Standing::default();
        let (desk, mut counter) = desk::open();
        surfaces::open(&effective.config, &desk).await;
        let mut first = true;
        loop {
            match prepare(&effective.config) {
                Ok(prepared) => {
                    let (ending, latest) =
                        serve(effective, prepared, source, &standing, &mut counter, &mut signals).await?;
                    match ending {
                        Ending::Left => return Ok(()),
                        Ending::StartOver => effective = latest,
                    }
                }
                // Only an interface that was there before is waited for: at the first start it is an error to be seen.
                Err(DaemonError::Wiring(WiringError::NoInterface { .. })) if !first => {
                    signals.supervisor.status("waiting for an interface that went away");
                    if signals.supervisor.ask(clock::now()) {
                        signals.supervisor.alive();
                    }
                    tokio::select! {
                        () = sleep(INTERFACE_RETRY) => {}
                        told = signals.next() => match told {
                            Told::Leave => {
                                // There is nothing to release.
                                signals.supervisor.stopping(Duration::ZERO);
                                return Ok(());
                            }
                            Told::Reload => effective = read_again(source, effective),
                        },
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
    supervisor: Supervisor,
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
            supervisor: Supervisor::find(),
        })
    }

    async fn next(&mut self) -> Told {
        tokio::select! {
            _ = self.terminate.recv() => Told::Leave,
            _ = self.interrupt.recv() => Told::Leave,
            _ = self.hangup.recv() => Told::Reload,
        }
    }
}

/// What a signal says.
enum Told {
    Leave,
    Reload,
}

/// A reload while nothing runs, because an interface is not there.
fn read_again(source: &Source, effective: Effective) -> Effective {
    let loaded = source.load().map_err(|error| error.to_string());
    match loaded.and_then(|loaded| Effective::new(loaded).map_err(|error| error.to_string())) {
        Ok(effective) => {
            let file = source.file.display();
            tracing::info!("{file} is read again and takes effect once its interfaces are there");
            effective
        }
        Err(error) => {
            tracing::error!("nothing was reloaded: {error}");
            effective
        }
    }
}

/// What stands before anything runs: what the host is like, and what receives the adverts.
struct Prepared {
    picture: Picture,
    wiring: Wiring,
    receiver: Receiver,
    control: Control,
    sizes: Sizes,
}

/// Why the daemon would not start on this host, if it has not what the file speaks of. Changes nothing.
pub fn fits(config: &Config) -> Result<(), DaemonError> {
    let picture = Picture::take(&mut Netlink::open()?)?;
    Wiring::new(config, &picture, &Places::new(room(config.instances.len())))?;
    Ok(())
}

fn prepare(config: &Config) -> Result<Prepared, DaemonError> {
    let mut netlink = Netlink::open()?;
    let mut picture = Picture::take(&mut netlink)?;
    let room = room(config.instances.len());
    let places = Places::new(room);
    let mut wiring = Wiring::new(config, &picture, &places)?;
    leftovers::keep_others(&wiring, &picture);
    if leftovers::clear(&mut netlink, &picture, &wiring, None)? {
        picture = Picture::take(&mut netlink)?;
        wiring = Wiring::new(config, &picture, &places)?;
    }
    let sizes = sizes(&wiring, room);
    let (receiver, control) = open_receiver(config, &wiring, sizes)?;
    // Attaching can take a link down and up: what counts is how it is now.
    picture = Picture::take(&mut netlink)?;
    wiring = Wiring::new(config, &picture, &places)?;
    Ok(Prepared { picture, wiring, receiver, control, sizes })
}

/// Until it ends, and how; with the configuration that is in effect by then. There is one of it at a time: thousands of
/// instances are megabytes.
async fn serve(
    effective: Effective,
    prepared: Prepared,
    source: &Source,
    standing: &Standing,
    counter: &mut Counter,
    signals: &mut Signals,
) -> Result<(Ending, Effective), DaemonError> {
    let Prepared { picture, wiring, receiver, control, sizes } = prepared;
    let running =
        Running::start(effective, source, standing.clone(), wiring, receiver, control, sizes).await?;
    let (ending, latest) = running.serve(picture, counter, signals).await;
    Ok((ending?, latest))
}

/// Places for virtual routers: those there are, and some that a reload may bring.
fn room(instances: usize) -> usize {
    (instances + instances / 4 + 32).max(64)
}

fn sizes(wiring: &Wiring, room: usize) -> Sizes {
    let rules = u32::try_from(room).unwrap_or(u32::MAX);
    let peers: usize = wiring.routers.iter().map(|router| router.peers.len()).sum();
    Sizes {
        rules,
        peers: u32::try_from(peers * 2).unwrap_or(u32::MAX).next_power_of_two().max(256),
        // Some ten adverts of every router, a tenth of a second at the shortest interval. What does not fit is in the slots.
        ring_bytes: rules.saturating_mul(1024).clamp(256 * 1024, 1024 * 1024),
        ..Sizes::default()
    }
}

fn open_receiver(config: &Config, wiring: &Wiring, sizes: Sizes) -> Result<(Receiver, Control), DaemonError> {
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
    for wired in &wiring.routers {
        let failed = |reason: String| DaemonError::Rule { instance: wired.name.clone(), reason };
        control.slots().set_minimum_priority(wired.rule.slot, abi::NOBODY_REFRESHES);
        control.slots().clear(wired.rule.slot);
        for peer in &wired.peers {
            let key = abi::PeerKey { slot: wired.rule.slot, address: wiring::mapped(*peer) };
            control.insert_peer(key).map_err(|error| failed(error.to_string()))?;
        }
        control.insert_rule(wired.rule_key, wired.rule).map_err(|error| failed(error.to_string()))?;
    }
    Ok((receiver, control))
}
