//! What checks do to an address: real servers that die, freeze, fill up and turn clients away; ports and scripts.
#![expect(clippy::unwrap_used, reason = "a test panics when it fails")]

mod checks {
    pub(super) mod mysql;
    pub(super) mod plain;
    pub(super) mod replication;
    pub(super) mod site;
    pub(super) mod witness;
}

use std::{process::ExitCode, time::Duration};

use vrrp_lab::harness;

/// A server that answers a ping later than 200 ms has failed it, by right.
const STALL: Duration = Duration::from_millis(150);

fn main() -> ExitCode {
    let all = [
        checks::plain::tests(),
        checks::witness::tests(),
        checks::mysql::tests(),
        checks::replication::tests(),
    ];
    harness::run(harness::despite_stalls(STALL, all.concat()))
}
