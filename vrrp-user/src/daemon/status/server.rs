//! From what a database server said to its part of the snapshot.

use std::net::IpAddr;
use std::time::Duration;

use crate::control::snapshot::{Channel, SemiSync, Server, nanos};
use crate::health::mysql::Seen;
use crate::mysql::replica::ThreadError;
use crate::mysql::{ReplicaStatus, Thread};

pub(super) fn shown(seen: Seen) -> Server {
    let Seen { server, replicas, semi_sync } = seen;
    Server {
        product: server.flavour.to_string(),
        server_id: server.server_id,
        writability: server.writability.to_string(),
        position: server.position.ok().map(|position| position.to_string()),
        channels: replicas.into_iter().map(channel).collect(),
        semi_sync: semi_sync.map(|semi_sync| SemiSync {
            source_enabled: semi_sync.is_source_enabled,
            source_active: semi_sync.is_source_active,
            replica_enabled: semi_sync.is_replica_enabled,
            replica_active: semi_sync.is_replica_active,
            replicas: semi_sync.clients,
        }),
    }
}

fn channel(replica: ReplicaStatus) -> Channel {
    // A host of colons alone would run into its port.
    let source = match replica.source_host.parse::<IpAddr>() {
        Ok(IpAddr::V6(address)) => format!("[{address}]:{}", replica.source_port),
        Ok(IpAddr::V4(_)) | Err(_) => format!("{}:{}", replica.source_host, replica.source_port),
    };
    Channel {
        name: replica.channel,
        source,
        io: thread(replica.receiver),
        sql: thread(replica.applier),
        io_error: error(replica.receiver_error),
        sql_error: error(replica.applier_error),
        behind_ns: replica.seconds_behind.map(|seconds| nanos(Duration::from_secs(seconds))),
    }
}

fn thread(thread: Thread) -> String {
    match thread {
        Thread::Running => "running",
        Thread::Connecting => "connecting",
        Thread::Stopped => "stopped",
    }
    .to_owned()
}

fn error(error: Option<ThreadError>) -> String {
    error.map_or_else(String::new, |ThreadError { code, text }| format!("{code}: {text}"))
}
