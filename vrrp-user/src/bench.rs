//! What the product measures of itself: `vrrp bench`.
//!
//! Each measurement is a function that returns typed results, which can be printed for people or as JSON. They run the
//! parts that the daemon is made of; no part of the daemon knows of them. Refuses to judge: what a number should be
//! is said elsewhere.

pub mod latency;
pub mod machine;
pub mod percentiles;
pub mod verdicts;
pub mod xdp;

mod adverts;
mod raw_socket;

/// Raised when a field of any result changes its name or meaning.
pub const SCHEMA: u32 = 1;
