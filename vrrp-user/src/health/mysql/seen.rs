//! One look at a server, and what of it is trouble: a standby that could not take over well, an active one whose commits wait
//! for nobody.

use std::time::Duration;

use crate::health::code::breaks_replication;
use crate::mysql::replica::ThreadError;
use crate::mysql::{ReplicaStatus, SemiSync, ServerState, Thread};

const EQUAL_SERVER_IDS: u16 = 1593;

/// What the server said of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub server: ServerState,
    /// One for each channel that it replicates from.
    pub replicas: Vec<ReplicaStatus>,
    /// None without the plugin.
    pub semi_sync: Option<SemiSync>,
}

/// What is asked of a server.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
    /// This host is the instance's MASTER.
    pub(super) is_active: bool,
    /// The daemon changes the server's role: a MASTER that is read-only is being promoted, its receiver stopped for that.
    pub(super) is_managed: bool,
    /// A standby may be so far behind.
    pub(super) max_lag: Option<Duration>,
}

impl Seen {
    /// The first trouble with replication, in words. An absent peer is none: it says nothing about this server.
    pub(super) fn trouble(&self, part: Part) -> Option<String> {
        // A server that is written to may have been cut off from the other one on purpose.
        let is_standby = !part.is_active || !part.is_managed && !self.server.writability.is_writable();
        let of_channel = |replica| {
            if is_standby { standby_trouble(replica, part.max_lag) } else { active_trouble(replica) }
        };
        self.replicas.iter().find_map(of_channel).or_else(|| self.fallback(part))
    }

    /// Semi-synchronous replication that is on, and does not wait.
    pub(super) fn has_fallen_back(&self) -> bool {
        self.semi_sync
            .as_ref()
            .is_some_and(|semi_sync| semi_sync.is_source_enabled && !semi_sync.is_source_active)
    }

    /// Without a replica there is nobody to wait for, and nothing that this server could do better.
    fn fallback(&self, part: Part) -> Option<String> {
        let is_here = part.is_active && self.server.writability.is_writable();
        let has_replica = self.semi_sync.as_ref().is_some_and(|semi_sync| semi_sync.clients > 0);
        (is_here && has_replica && self.has_fallen_back()).then(|| {
            "semi-synchronous replication has fallen back: a replica is connected, and commits do not wait for it; see \
             whether it lags"
                .to_owned()
        })
    }
}

fn channel(replica: &ReplicaStatus) -> String {
    let name = &replica.channel;
    if name.is_empty() { "replication".to_owned() } else { format!("replication \"{name}\"") }
}

fn told(replica: &ReplicaStatus, thread: &str, error: &ThreadError) -> String {
    format!("{}: the {thread} thread has error {}: {}", channel(replica), error.code, error.text)
}

/// What is there to be applied and cannot be, and what no restart of a thread mends.
fn active_trouble(replica: &ReplicaStatus) -> Option<String> {
    let applier = replica.applier_error.as_ref().filter(|error| breaks_replication(error.code));
    let receiver = replica.receiver_error.as_ref().filter(|error| error.code == EQUAL_SERVER_IDS);
    applier
        .map(|error| told(replica, "SQL", error))
        .or_else(|| receiver.map(|error| told(replica, "IO", error)))
}

/// Whatever keeps it from having what the other server has, but for the other's absence.
fn standby_trouble(replica: &ReplicaStatus, max_lag: Option<Duration>) -> Option<String> {
    for (thread, error) in [("SQL", &replica.applier_error), ("IO", &replica.receiver_error)] {
        if let Some(error) = error.as_ref().filter(|error| breaks_replication(error.code)) {
            return Some(told(replica, thread, error));
        }
    }
    let stopped = match (replica.receiver, replica.applier) {
        (Thread::Stopped, Thread::Stopped) => {
            Some("both threads are stopped, so nothing arrives; start them")
        }
        (Thread::Stopped, _) => Some("the IO thread is stopped, so nothing arrives; start it"),
        (_, Thread::Stopped) => Some("the SQL thread is stopped, so what arrives is not applied; start it"),
        (Thread::Running | Thread::Connecting, Thread::Running | Thread::Connecting) => None,
    };
    let channel = channel(replica);
    if let Some(stopped) = stopped {
        return Some(format!("{channel}: {stopped}"));
    }
    let (lag, max) = (Duration::from_secs(replica.seconds_behind?), max_lag?);
    (lag > max).then(|| format!("{channel} is {lag:?} behind, more than {max:?}"))
}

#[cfg(test)]
mod tests;
