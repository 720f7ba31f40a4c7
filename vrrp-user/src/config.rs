//! YAML as written to checked values.
//!
//! Owns what a configuration file may say, and the text that tells an operator what is wrong with one. Whoever
//! holds a [`Config`] need not check anything again. Refuses to know what the daemon does with the values: no
//! socket, no thread, no clock; it reads one file and touches nothing else.

mod address;
mod check;
mod document;
mod duration;
mod error;
mod explain;
mod fields;
mod foreign;
mod instance;
mod listen;
mod notify;
mod password;
mod problem;
mod role;
mod servers;
mod timing;
mod tree;

#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU8;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::health::secret::{Secret, Source};
use crate::health::settings::{Account, Check, Kind};

pub use crate::wire::{Centiseconds, Seconds};
pub use duration::parse as parse_duration;
pub use error::ConfigError;
pub use explain::explain;
pub use notify::{Command, InstanceNotify, Mail, Notify, Scripts, Topic, Webhook};
pub use password::Password;
pub use problem::Finding;
pub use role::{Access, DEFAULT_HANDOVER, Role};

/// A file longer than this is not a configuration.
const MAX_FILE: u64 = 16 << 20;

/// Above this many virtual addresses their kernel lifetimes are not renewed: the guard alone serves.
pub const MAX_TIMED_ADDRESSES: usize = 64;

/// Above this many instances `delivery: auto` means `changes`.
pub const MAX_FULL_DELIVERY: usize = 64;

/// Everything the daemon is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// How this router calls itself; the host name if the file does not say.
    pub router_id: Option<String>,
    pub rx: Rx,
    pub delivery: Delivery,
    /// A delivered advert ends in the kernel half and does not go on to the stack.
    pub consume: bool,
    /// Keep the second process that takes the virtual addresses off when the daemon dies or freezes.
    pub guard: bool,
    /// SCHED_FIFO priority of the advert thread and the guard; 0 leaves the scheduler alone.
    pub realtime_priority: u8,
    pub log: Log,
    pub control: Control,
    pub metrics: Metrics,
    /// Where the status page is served; None: nowhere.
    pub status_page: Option<SocketAddr>,
    pub notify: Notify,
    pub mail: Option<Mail>,
    /// At least one. Names are unique, and so is (interface, virtual_router_id).
    pub instances: Vec<Instance>,
}

/// One virtual router.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    pub name: String,
    pub interface: String,
    pub virtual_router_id: NonZeroU8,
    /// 255 is the address owner (RFC 9568 §5.2.4).
    pub priority: NonZeroU8,
    pub protocol: Protocol,
    /// As written; it never applies to the address owner (RFC 9568 §6.1).
    pub preempt: bool,
    /// Listen this much longer before the first claim.
    pub startup_delay: Duration,
    /// 1 to 255 of them: as many as an advert can carry.
    pub virtual_addresses: Vec<VirtualAddress>,
    /// The only senders that may speak for this virtual router; empty: anybody on the link.
    pub peers: Vec<Ipv4Addr>,
    /// [`Skew::None`] only with exactly one peer.
    pub skew: Skew,
    pub garp: Garp,
    /// An address that is not confirmed within this time turns a promotion into a release.
    pub vip_deadline: Duration,
    pub address_lifetime: AddressLifetime,
    /// Their names are unique in the instance.
    pub checks: Vec<Check>,
    /// The other router's, for the arithmetic of weights alone.
    pub peer_priority: Option<NonZeroU8>,
    /// `role: manage`: the server's role goes with the address. None: the daemon only looks at it.
    /// Boxed, since most of a dense host's thousands have none.
    pub role: Option<Box<Role>>,
    /// None: nobody is told but who is told of all. Boxed for the same reason.
    pub notify: Option<Box<InstanceNotify>>,
}

/// What differs between the two versions of the protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// RFC 3768, with RFC 2338's simple text password if one is given.
    V2 { advert_interval: Seconds, password: Option<Password> },
    /// RFC 9568.
    V3 { advert_interval: Centiseconds, checksum: Checksum },
}

/// An address that follows the MASTER, and where it goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VirtualAddress {
    pub address: Ipv4Addr,
    /// 1 to 32.
    pub prefix: u8,
    /// The interface that gets it: the instance's own unless the file says otherwise.
    pub device: String,
    pub label: Option<String>,
    pub scope: Scope,
}

/// How adverts reach the daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rx {
    /// The first that works, in the order of the others.
    Auto,
    Xdp,
    Tcx,
    Socket,
}

/// Which adverts enter the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// `changes` above [`MAX_FULL_DELIVERY`] instances, `all` up to there.
    Auto,
    All,
    Changes,
}

/// How the log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Log {
    pub format: LogFormat,
    pub level: LogLevel,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    Human,
    Json,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

/// Where the operator's commands reach the daemon, and what it remembers of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Control {
    pub socket: PathBuf,
    /// Which instances are drained stands in a file in it.
    pub state_dir: PathBuf,
}

impl Default for Control {
    fn default() -> Self {
        Self { socket: "/run/vrrp/vrrp.sock".into(), state_dir: "/var/lib/vrrp".into() }
    }
}

/// Where Prometheus finds the metrics, besides the control socket. Nowhere unless asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metrics {
    pub socket: Option<PathBuf>,
    pub listen: Option<SocketAddr>,
}

/// Form of the version 3 checksum over IPv4 that we send; both are accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checksum {
    /// With pseudo-header, as keepalived and FRR do.
    Rfc5798,
    /// Of the message alone (RFC 9568 §5.2.8).
    Rfc9568,
}

/// How long a BACKUP waits after its master's priority 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Skew {
    /// Skew_Time (RFC 9568 §6.1).
    Rfc,
    /// Not at all: with two routers there is nobody to stagger against.
    None,
}

/// Gratuitous ARP after a promotion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Garp {
    /// Frames per address, at once.
    pub burst: NonZeroU8,
    /// A second burst after this time; zero: none.
    pub repeat_after: Duration,
    /// One frame per address in every such period while MASTER; zero: none.
    pub refresh: Duration,
}

/// Whether the kernel ends a virtual address that nobody renews.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressLifetime {
    Auto,
    Off,
}

/// The kernel's scope of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    Global,
    Site,
    Link,
    Host,
}

/// A configuration that may be used, and what is odd about it.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub config: Config,
    /// In the order of the file.
    pub warnings: Vec<Finding>,
    /// What says so, passwords and all.
    pub text: Secret,
}

impl Config {
    /// Reads and checks the file.
    pub fn load(file: &Path) -> Result<Loaded, ConfigError> {
        let (bytes, mode) = read(file)?;
        let text = String::from_utf8(bytes).map_err(|error| {
            let good = error.utf8_error().valid_up_to();
            let line = error.as_bytes()[..good].iter().filter(|byte| **byte == b'\n').count() + 1;
            ConfigError::NotUtf8 { file: file.to_owned(), line }
        })?;
        let mut loaded = Self::parse(&text, file)?;
        loaded.warnings.extend(exposed(&loaded.config, mode, file));
        Ok(loaded)
    }

    /// Checks a text; `file` only names it in messages.
    pub fn parse(text: &str, file: &Path) -> Result<Loaded, ConfigError> {
        document::read(text, file)
    }

    /// What `delivery` comes to: only adverts that change something enter the ring.
    pub fn delivers_changes_only(&self) -> bool {
        match self.delivery {
            Delivery::Auto => self.instances.len() > MAX_FULL_DELIVERY,
            Delivery::All => false,
            Delivery::Changes => true,
        }
    }

    /// All virtual addresses of all instances.
    pub fn address_count(&self) -> usize {
        self.instances.iter().map(|instance| instance.virtual_addresses.len()).sum()
    }
}

/// One byte more than allowed is enough to know; a device or a pipe is read no further either.
fn read(file: &Path) -> Result<(Vec<u8>, u32), ConfigError> {
    let failed = |source| ConfigError::read(file, source);
    let opened = File::open(file).map_err(failed)?;
    let metadata = opened.metadata().map_err(failed)?;
    if metadata.is_dir() {
        return Err(ConfigError::Directory { file: file.to_owned() });
    }
    let mut bytes = Vec::new();
    opened.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(ConfigError::TooLong { file: file.to_owned() });
    }
    Ok((bytes, metadata.mode()))
}

/// A database password in a file that others can read. VRRP's own is on the wire for everybody.
fn exposed(config: &Config, mode: u32, file: &Path) -> Option<Finding> {
    let mut kinds = config.instances.iter().flat_map(|instance| &instance.checks).map(|check| &check.kind);
    let mut accounts =
        config.instances.iter().filter_map(|instance| instance.role.as_ref()).flat_map(|role| {
            std::iter::once(&role.local.account).chain(role.peer.as_ref().map(|peer| &peer.account))
        });
    let is_inline = |account: &Account| matches!(account.password, Source::Inline(_));
    let holds_password = accounts.any(is_inline)
        || kinds.any(|kind| match kind {
            Kind::Tcp(_) | Kind::Script(_) => false,
            Kind::Mysql(mysql) => {
                let login = mysql.login.as_ref().map(|login| &login.account);
                std::iter::once(&mysql.account).chain(login).any(is_inline)
            }
        });
    (holds_password && mode & 0o044 != 0).then(|| Finding {
        file: file.to_owned(),
        place: None,
        path: String::new(),
        message: format!(
            "holds the password of a database and can be read by others (mode {:04o}); `chmod 600` it, or use \
             `password_file`",
            mode & 0o7777
        ),
    })
}
