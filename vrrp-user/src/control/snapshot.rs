//! The state of everything at one time, as `vrrp status --json` prints it.
//!
//! Owns the names and units of the fields, which are an interface: they are added to, and [`SCHEMA`] grows when one
//! changes its meaning or goes. Durations are in nanoseconds, `_ns`; a field that does not apply is null.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::histogram::Histogram;

/// Version of the fields below.
pub const SCHEMA: u32 = 1;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    pub schema: u32,
    /// Of the program.
    pub version: String,
    /// Of the host clock, milliseconds since 1970.
    pub time_unix_ms: u64,
    pub router_id: String,
    pub pid: u32,
    pub uptime_ns: u64,
    /// The file it goes by.
    pub config: String,
    pub guard: Guard,
    pub interfaces: Vec<Interface>,
    /// Adverts by what became of them in the kernel half.
    pub counters: BTreeMap<String, u64>,
    pub ring: Option<Ring>,
    pub advert_thread: AdvertThread,
    /// How long the steps of a failover took, of all routers together.
    #[serde(default)]
    pub failover: Failover,
    /// Of scripts, the FIFO, mail and the webhook, since the start.
    #[serde(default)]
    pub notifications: BTreeMap<String, Delivery>,
    pub instances: Vec<Instance>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Guard {
    Watching,
    /// Ended or not yet started: a dying daemon would leave its addresses.
    Missing,
    /// `guard: false`.
    Off,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interface {
    pub name: String,
    /// How its adverts are received.
    pub mode: String,
    /// The better ways that were tried before, each with what spoke against it.
    pub refused: Vec<String>,
}

/// What lies between the kernel half and the advert thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ring {
    pub used_bytes: u64,
    pub size_bytes: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdvertThread {
    pub wakes: u64,
    /// More than a millisecond after the time it had asked for.
    pub late_wakes: u64,
    pub adverts_sent: u64,
    /// By the kernel.
    pub adverts_refused: u64,
    pub adverts_received: u64,
    /// From the time an advert was due until the kernel had taken it.
    pub sent_lateness: Percentiles,
    /// From the arrival in the kernel of an advert that mattered until it was acted upon.
    pub received_lateness: Percentiles,
    #[serde(default)]
    pub sent_buckets: Buckets,
    #[serde(default)]
    pub received_buckets: Buckets,
}

/// What became of what was to be told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    pub delivered: u64,
    /// After all tries.
    pub failed: u64,
    /// Never told, because later news of the same subject came before its turn.
    pub superseded: u64,
}

/// In the order in which they happen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failover {
    /// From the last advert of the master that was until the decision to succeed it.
    pub silence: Buckets,
    /// From that decision until the kernel had taken the first advert of the new one.
    pub claim: Buckets,
    /// The addresses coming on.
    pub addresses_on: Buckets,
    /// The addresses coming off, of a router that was MASTER.
    pub addresses_off: Buckets,
}

/// How many took no longer than each of `LIMITS`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Buckets {
    pub limits_ns: Vec<u64>,
    pub within: Vec<u64>,
    pub count: u64,
    pub sum_ns: u64,
}

/// In microseconds: from a good advert thread to a takeover after three intervals of some seconds.
const LIMITS: [u64; 19] = [
    10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
    1_000_000, 2_500_000, 5_000_000, 10_000_000,
];

impl Buckets {
    pub fn of(histogram: &Histogram) -> Self {
        let limits = LIMITS.map(Duration::from_micros);
        Self {
            limits_ns: limits.map(nanos).to_vec(),
            within: histogram.cumulative(limits).to_vec(),
            count: histogram.count(),
            sum_ns: nanos(histogram.sum()),
        }
    }
}

/// Each right to one part in eight, and never too low.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Percentiles {
    pub count: u64,
    pub p50_ns: u64,
    pub p99_ns: u64,
    pub p999_ns: u64,
    pub max_ns: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instance {
    pub name: String,
    pub interface: String,
    pub virtual_router_id: u8,
    /// Of VRRP.
    pub version: u8,
    pub state: State,
    /// How long it has been in it; null if that went by unnoticed.
    pub state_age_ns: Option<u64>,
    /// Why, as the log has it.
    pub why: String,
    /// What a MASTER is at, if not just holding its addresses.
    pub phase: Option<String>,
    pub priority: Priority,
    pub preempt: bool,
    /// Who keeps it from taking part, and why.
    pub held_out: Vec<Hold>,
    /// Whom adverts are heard from, or this host.
    pub master: Option<Ipv4Addr>,
    pub master_priority: Option<u8>,
    /// The last one sent by a MASTER, heard by a BACKUP.
    pub last_advert_age_ns: Option<u64>,
    pub timers: Timers,
    pub addresses: Vec<Address>,
    /// What the database server is here, if its role is managed.
    #[serde(default)]
    pub role: Option<String>,
    /// The last rejected advert: from whom and for what.
    pub last_reject: Option<Reject>,
    #[serde(default)]
    pub checks: Vec<Check>,
    /// How often it came into each state.
    #[serde(default)]
    pub transitions: BTreeMap<String, u64>,
    /// The latest of them, oldest first.
    #[serde(default)]
    pub timeline: Vec<Transition>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    pub name: String,
    /// tcp, script or mysql.
    pub kind: String,
    pub verdict: String,
    /// How long it has had this verdict; null since the start.
    pub verdict_age_ns: Option<u64>,
    /// Empty when healthy.
    pub cause: String,
    /// Of the verdict, since the start.
    pub changes: u64,
    pub probes: Vec<Probe>,
    /// What the database server says of itself; null for other checks, without a state probe, and while it does not answer.
    #[serde(default)]
    pub server: Option<Server>,
}

/// One look at a MySQL or MariaDB server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Server {
    /// Product and version.
    pub product: String,
    pub server_id: u64,
    /// `writable`, `read_only` or `super_read_only`.
    pub writability: String,
    /// All transactions that it has, as the server writes them; null if that cannot be read.
    pub position: Option<String>,
    /// Whom it replicates from, one for each channel.
    pub channels: Vec<Channel>,
    /// Null without the plugin.
    pub semi_sync: Option<SemiSync>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Channel {
    /// Empty for the unnamed one.
    pub name: String,
    /// Address and port.
    pub source: String,
    /// `running`, `connecting` or `stopped`: the thread that receives.
    pub io: String,
    /// The same of the one that applies.
    pub sql: String,
    /// The code and the words; empty without one.
    pub io_error: String,
    pub sql_error: String,
    /// Null while it is not connected.
    pub behind_ns: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SemiSync {
    /// Commits are meant to wait for a replica.
    pub source_enabled: bool,
    /// They do: false after a fallback.
    pub source_active: bool,
    pub replica_enabled: bool,
    pub replica_active: bool,
    /// Connected in this mode.
    pub replicas: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    pub name: String,
    /// Of its last result.
    pub age_ns: u64,
    pub took_ns: u64,
    /// What was wrong; empty when nothing was.
    pub trouble: String,
    pub durations: Buckets,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transition {
    pub time_unix_ms: u64,
    pub from: State,
    pub to: State,
    pub why: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum State {
    Initialize,
    Fault,
    Backup,
    Master,
}

impl State {
    pub const ALL: [Self; 4] = [Self::Initialize, Self::Fault, Self::Backup, Self::Master];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Initialize => "INITIALIZE",
            Self::Fault => "FAULT",
            Self::Backup => "BACKUP",
            Self::Master => "MASTER",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Priority {
    /// What adverts say: the sum, within 1 and 254.
    pub effective: u8,
    /// As configured.
    pub base: u8,
    pub weights: Vec<Weight>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Weight {
    pub source: String,
    pub weight: i16,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// `operator`, or the name of a check.
    pub by: String,
    pub why: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timers {
    /// The one it goes by: as BACKUP of version 3 the master's.
    pub advert_interval_ns: u64,
    pub skew_time_ns: u64,
    pub master_down_interval_ns: u64,
    /// Until it next acts by itself: sends as MASTER, takes over as BACKUP.
    pub next_ns: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Address {
    /// With its prefix.
    pub address: String,
    pub device: String,
    /// Ours to hold at this time.
    pub held: bool,
    /// There, by the kernel's own word.
    pub present: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reject {
    pub sender: Ipv4Addr,
    pub reason: String,
}

/// Nanoseconds for a field.
pub fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
