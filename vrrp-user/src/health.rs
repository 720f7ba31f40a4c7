//! Whether this host's service may own the address: checks, their verdicts, and what follows from one.
//!
//! Owns what a check is asked to do, the pure judgement of its results, and the probes that make them. Refuses to know
//! the election: it says hold, resume or a weight, and never touches an address.

pub mod code;
pub mod judge;
pub mod mysql;
mod os;
mod preflight;
pub mod process;
pub mod script;
pub mod secret;
pub mod settings;
mod tcp;
pub mod tls;
pub mod verdict;
pub mod watch;

pub use preflight::{preflight, unreadable, unusable};
