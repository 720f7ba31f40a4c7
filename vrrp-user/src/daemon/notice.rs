//! What the advert thread has to tell, as values: it never writes a line of log itself.
//!
//! Owns the shape. The service runtime takes notices from a bounded queue and logs them, so a slow
//! reader of the log costs lines and never an advert.

use core::time::Duration;

use crate::net::executor::Report;
use crate::vrrp::{Instant, Label, Why};

/// Something that an operator may want to read; `usize` is the router's index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Notice {
    /// A router changed its state.
    Transition { router: usize, from: Label, to: Label, why: Why, at: Instant },
    /// The VIP executor did something, or could not.
    Executor(Report),
    /// The guard took the router's addresses off while this process was frozen.
    Fenced { router: usize },
    /// The thread woke this much later than it had asked to.
    Late { by: Duration },
    /// The kernel refused adverts.
    SendRefused { ifindex: u32, frames: u32 },
}
