//! What goes to the advert thread and comes from it.
//!
//! Owns the kinds of messages and the thread's ends of the queues. Refuses to know what is done about any of them.

use std::net::Ipv4Addr;
use std::num::NonZeroU8;
use std::sync::Arc;
use std::time::Duration;

use super::{Change, Sheet};
use crate::daemon::notice::Notice;
use crate::daemon::sighting::Watch;
use crate::net::board::Board;
use crate::net::executor::{Report, Task};
use crate::net::mailbox::Mailbox;
use crate::vrrp::Job;

/// Orders that come back and may be under way at once: a change, a sheet, and as many given up.
const RETURNS: usize = 16;

/// What the service runtime asks of the thread.
#[derive(Debug)]
pub(in crate::daemon) enum Order {
    LinkUp {
        ifindex: u32,
    },
    LinkDown {
        ifindex: u32,
    },
    PrimaryAddress {
        ifindex: u32,
        address: Option<Ipv4Addr>,
    },
    VipRemoved {
        ifindex: u32,
        address: Ipv4Addr,
    },
    /// [`crate::vrrp::Event::SetPriority`].
    SetPriority {
        router: usize,
        priority: NonZeroU8,
    },
    /// [`crate::vrrp::Event::Suspend`], [`crate::vrrp::Event::Resume`].
    Suspend {
        router: usize,
    },
    Resume {
        router: usize,
    },
    /// Comes back as [`Return::Change`] once it holds.
    Change(Box<Change>),
    /// Say how things are; comes back as [`Return::Sheet`].
    Read(Box<Sheet>),
    /// Tell of every advert, until told otherwise; what was before comes back as [`Return::Watch`].
    Watch(Watch),
    /// Release everything and end, within this time.
    Leave {
        within: Duration,
    },
}

/// What the core wants, on its way to the executor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::daemon) enum RoleOrder {
    /// [`Task::Take`], once the server may be written to.
    Take { router: usize, job: Job },
    /// [`Task::Drop`], once the server may not. `is_release`: the core waits for it, up to its release deadline; otherwise
    /// somebody else is MASTER already, or nothing can be sent.
    Drop { router: usize, job: Job, is_release: bool },
    /// Another MASTER was heard.
    Rival { router: usize },
}

/// What the thread gives back: its memory is for others to free.
#[derive(Debug)]
pub(in crate::daemon) enum Return {
    Change(Box<Change>),
    Sheet(Box<Sheet>),
    Watch(Watch),
}

/// The thread's ends of the queues it shares.
#[derive(Clone, Debug)]
pub(in crate::daemon) struct Lines {
    pub(in crate::daemon) orders: Arc<Mailbox<Order>>,
    pub(in crate::daemon) reports: Arc<Mailbox<Report>>,
    pub(in crate::daemon) tasks: Arc<Mailbox<Task>>,
    /// What concerns routers whose server's role goes with the address: it comes to the executor by way of the role.
    pub(in crate::daemon) roles: Arc<Mailbox<RoleOrder>>,
    pub(in crate::daemon) notices: Arc<Mailbox<Notice>>,
    /// As deep as there can be orders that come back.
    pub(in crate::daemon) returns: Arc<Mailbox<Return>>,
    pub(in crate::daemon) board: Arc<Board>,
}

impl Lines {
    /// Queues as deep as so many routers can fill them before whoever takes from them must have run.
    pub(in crate::daemon) fn with_room(routers: usize, board: Board) -> rustix::io::Result<Self> {
        // A queue is locked memory from its first place to its last, used or not: for thousands of routers most of all there is.
        let depth = |each: usize| routers * each + 256;
        Ok(Self {
            // Whoever posts these two waits for room: the first for half a second at most, the second for as long as it takes.
            orders: Arc::new(Mailbox::new(depth(2))?),
            roles: Arc::new(Mailbox::new(depth(2))?),
            // Of every router: taken, dropped, changed, announced, while the kernel keeps the executor waiting.
            tasks: Arc::new(Mailbox::new(depth(4))?),
            // Of every router: two orders carried out, each with two reports at most, before the advert thread looks.
            reports: Arc::new(Mailbox::new(depth(4))?),
            // Of every router: there and back twice, each time a transition and what the executor did, before the runtime looks.
            notices: Arc::new(Mailbox::new(depth(8))?),
            returns: Arc::new(Mailbox::new(RETURNS)?),
            board: Arc::new(board),
        })
    }

    /// A full queue counts what it refused, and the log says how many lines are missing.
    pub(super) fn tell(&self, notice: Notice) {
        self.notices.post(notice).unwrap_or_default();
    }
}
