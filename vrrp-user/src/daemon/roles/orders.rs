//! Orders to one task, and how they cut short what it is at.

use std::future::Future;

use tokio::sync::{mpsc, oneshot};

use crate::vrrp::{Instant, Job};

/// What the core wants of one router's server and addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Take { job: Job },
    Drop { job: Job, is_release: bool },
    Rival,
}

/// What the operator wants, before or without a change.
#[derive(Debug)]
pub(super) enum Offer {
    /// Read-only, and the peer has everything; or all is as it was, and why.
    Make {
        answer: oneshot::Sender<Result<(), String>>,
        /// What is ready stays so: others may still be at it, and only then come the orders.
        until: Instant,
    },
    /// Another instance could not: this one goes on.
    Withdraw,
    /// A person has decided: a server that is read-only under its address need not wait for a peer that is not there.
    GoAlone,
}

/// The queue.
#[derive(Debug)]
pub(super) struct Orders {
    queue: mpsc::Receiver<Order>,
    /// Heard while something else was to be done first.
    has_rival: bool,
}

impl Orders {
    pub(super) const fn new(queue: mpsc::Receiver<Order>) -> Self {
        Self { queue, has_rival: false }
    }

    /// The next one; None: there will be no more.
    pub(super) async fn next(&mut self) -> Option<Order> {
        if std::mem::take(&mut self.has_rival) {
            return Some(Order::Rival);
        }
        self.queue.recv().await
    }

    /// The next one that is about the addresses; rivals wait. Cancelled, it has lost nothing.
    pub(super) async fn next_but_rival(&mut self) -> Option<Order> {
        loop {
            match self.queue.recv().await {
                Some(Order::Rival) => self.has_rival = true,
                order @ (Some(Order::Take { .. } | Order::Drop { .. }) | None) => return order,
            }
        }
    }

    /// Does the work unless an order about the addresses comes: then it is dropped where it is.
    pub(super) async fn unless<T>(&mut self, work: impl Future<Output = T>) -> Result<T, Option<Order>> {
        tokio::select! {
            biased;
            order = self.next_but_rival() => Err(order),
            done = work => Ok(done),
        }
    }
}
