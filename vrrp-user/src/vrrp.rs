//! The protocol core, sans-IO: what a virtual router does, and when, given what it hears.
//!
//! It contains no socket, no clock, no log, no lock, no thread and no unsafe code, and allocates only while it is built:
//! time is an argument, and what is to be done comes back as [`Action`]s in a buffer of the caller's. It refuses to know
//! how an advert got here (`net`), what keeps this host fit to be master (`health`), and who carries the actions out.
//!
//! How to drive it, in this order, whenever something happened or [`Engine::next_deadline`] has come:
//! 1. read the clock once;
//! 2. drain what has been heard: [`Engine::handle`] for each advert, result and change, with that `now`;
//! 3. [`Engine::due`] with the same `now` and a way to read a router's liveness slot;
//! 4. carry out the actions in their order.
//!
//! An advert counts from the kernel's time of its arrival, never from the time somebody got round to it. Deadlines are
//! lazy: one that comes due looks at the slot before it acts, so a full ring or a late thread cannot fake a dead master.
//!
//! Invariants, checked by the property tests after every step:
//! - addresses taken and not yet dropped implies MASTER;
//! - MASTER without its addresses only while promoting or releasing, or in doubt, always with a deadline;
//! - a BACKUP always has a deadline;
//! - FAULT and INITIALIZE send nothing and hold nothing.

#![forbid(unsafe_code)]

pub mod action;
pub mod engine;
pub mod event;
pub mod interval;
pub mod router;
pub mod state;
pub mod time;
pub mod why;

mod deadlines;

#[cfg(test)]
pub(crate) mod simulation;

pub use action::{Action, Actions, Entry, Label, RouterIndex};
pub use engine::Engine;
pub use event::{Advert, Event, Job};
pub use router::{Config, Skew, VirtualRouter};
pub use state::State;
pub use time::Instant;
pub use why::Why;

/// The priority of a master that stops (RFC 9568 §5.2.4).
pub const RELEASE: u8 = 0;
/// The priority of the router that owns the addresses as its own (RFC 9568 §5.2.4).
pub const OWNER: u8 = 255;
