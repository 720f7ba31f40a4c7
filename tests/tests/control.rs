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

use std::process::ExitCode;

use vrrp_lab::harness;

fn main() -> ExitCode {
    use control::{clients, drain, metrics, notify, page, reload, scan, status, watch};
    let orders = [reload::tests(), drain::tests(), status::tests(), clients::tests()].concat();
    let others = [metrics::tests(), notify::tests(), page::tests()].concat();
    harness::run([orders, watch::tests(), scan::tests(), others].concat())
}
