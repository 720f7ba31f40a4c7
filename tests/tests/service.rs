//! The daemon as a service: what it tells its manager, what the unit allows, and the package.
#![expect(clippy::unwrap_used, reason = "a test panics when it fails")]

mod service {
    pub(super) mod manager;
    pub(super) mod package;
    pub(super) mod unit;
}

use std::{process::ExitCode, time::Duration};

use vrrp_lab::harness;

/// They speak each 100 ms: a guard acts 241 ms after the last advert, and the next is due at 100.
const STALL: Duration = Duration::from_millis(140);

fn main() -> ExitCode {
    use service::{manager, package, unit};
    let all = [manager::tests(), unit::tests(), package::tests()].concat();
    harness::run(harness::despite_stalls(STALL, all))
}
