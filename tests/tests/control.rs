//! The operator's hand on a running daemon: reload, drain, status, and the socket they go over.
//!
//! Judged by captured packets and address events, not by what the daemon says of itself.
#![expect(clippy::unwrap_used, reason = "a test panics when it fails")]

mod control {
    pub(super) mod browser;
    pub(super) mod clients;
    pub(super) mod drain;
    pub(super) mod metrics;
    pub(super) mod notify;
    pub(super) mod page;
    pub(super) mod reload;
    pub(super) mod scan;
    pub(super) mod status;
    pub(super) mod watch;
    pub(super) mod wire;
}

use std::{process::ExitCode, time::Duration};

use vrrp_lab::harness;

/// Their pairs speak each 100 ms: a guard acts 241 ms after the last advert, and the next is due at 100.
const STALL: Duration = Duration::from_millis(140);

fn main() -> ExitCode {
    use control::{clients, drain, metrics, notify, page, reload, scan, status, watch};
    let orders = [reload::tests(), drain::tests(), status::tests(), clients::tests()].concat();
    let others = [metrics::tests(), notify::tests(), page::tests()].concat();
    let all = [orders, watch::tests(), scan::tests(), others].concat();
    harness::run(harness::despite_stalls(STALL, all))
}
