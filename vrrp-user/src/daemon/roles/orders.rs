//! Orders to one task, and how they cut short what it is at.

use std::future::Future;

use tokio::sync::mpsc;

use crate::vrrp::Job;

/// What the core wants of one router's server and addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Take { job: Job },
    Drop { job: Job, is_release: bool },
    Rival,
}

/// The queue.
#[derive(Debug)]
pub(super) struct Orders {
    queue: mpsc::Receiver<Order>,
}

impl Orders {
    pub(super) const fn new(queue: mpsc::Receiver<Order>) -> Self {
        Self { queue }
    }

    /// The next one; None: there will be no more.
    pub(super) async fn next(&mut self) -> Option<Order> {
        self.queue.recv().await
    }

    /// The next one that is about the addresses. Cancelled, it has lost nothing but a rival.
    pub(super) async fn next_but_rival(&mut self) -> Option<Order> {
        loop {
            match self.queue.recv().await {
                Some(Order::Rival) => {}
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
