//! The lab: whole hosts in network namespaces, for the tests, the benchmarks and `cargo xtask run`.
//!
//! It depends on nothing of the daemon, so that `xtask` can be built on a bare machine and an observer shares no code
//! with what it observes. Every function that touches the system says what failed; every handle undoes, when dropped,
//! what it did.

pub mod addresses;
pub mod bpf;
pub mod capability;
pub mod capture;
pub mod clock;
pub mod daemon;
pub mod flood;
pub mod frame;
pub mod harness;
pub mod interrupt;
pub mod lab;
pub mod load;
pub mod mysql;
pub mod namespace;
pub mod observer;
mod packet_ring;
pub mod peers;
pub mod process;
mod socket;
pub mod stall;
pub mod timeline;

pub use addresses::AddressWatch;
pub use capability::Requirement;
pub use capture::Capture;
pub use daemon::{Daemon, Instance};
pub use lab::{Host, Lab};
pub use observer::Observer;
pub use peers::{Keepalived, Peer};
pub use process::Process;
pub use stall::StallMeter;
pub use timeline::HoldingTimeline;
