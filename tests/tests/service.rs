//! The daemon as a service: what it tells its manager, what the unit allows, and the package.
#![expect(clippy::unwrap_used, reason = "a test panics when it fails")]

mod service {
    pub(super) mod manager;
    pub(super) mod package;
    pub(super) mod unit;
}

use std::process::ExitCode;

use vrrp_lab::harness;

fn main() -> ExitCode {
    use service::{manager, package, unit};
    harness::run([manager::tests(), unit::tests(), package::tests()].concat())
}
