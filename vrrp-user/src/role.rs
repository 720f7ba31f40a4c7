//! Changing a database server's role together with the address: the order of winning and the order of losing.
//!
//! Two machines without input or output ([`Winning`], [`Losing`]) say what to do next, each step with a deadline; a driver
//! does it. Owns the order, the policies and what may be lost. Refuses to know the election, which asks for a role and waits
//! no longer than its own deadline.

pub mod driver;
pub mod flag;
pub mod losing;
pub mod memory;
pub mod settings;
pub mod step;
pub mod winning;

pub use driver::{Driver, View};
pub use flag::Flag;
pub use losing::{Losing, Lost, Occasion};
pub use memory::{Seen, Turn};
pub use settings::{Behind, Divergence, SemiSyncPolicy, Settings, Split, Stuck};
pub use step::{Ask, Channel, Do, Outcome, PeerAnswer, Remark, in_words};
pub use winning::{Mandate, Refusal, Winning, Won};

#[cfg(test)]
mod tests;
