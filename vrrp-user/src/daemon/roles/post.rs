//! The ways out of one server's task: to the VIP executor, back to the core, to the doors of the service.
//!
//! Owns what an order becomes on the way. Refuses to know when there is one.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::net::board::Board;
use crate::net::doors::Doors;
use crate::net::executor::{Report, Task};
use crate::net::mailbox::{Full, Mailbox};
use crate::role::Turn;
use crate::vrrp::Job;

/// Between two tries to find room in the executor's queue, and how many there are.
const HAND_OVER: Duration = Duration::from_millis(1);
const HAND_OVERS: u32 = 2_000;

/// See the file's head.
pub(super) struct Post {
    pub(super) router: usize,
    pub(super) tasks: Arc<Mailbox<Task>>,
    pub(super) reports: Arc<Mailbox<Report>>,
    pub(super) board: Arc<Board>,
    pub(super) doors: Doors,
    /// For what the next process must know.
    pub(super) state_dir: PathBuf,
    pub(super) turn: Turn,
}

impl Post {
    fn hand_over(&self, task: Task, job: Job) {
        let Err(Full(mut task)) = self.tasks.post(task) else { return };
        // The executor waits for the kernel.
        let (tasks, board, router) = (Arc::clone(&self.tasks), Arc::clone(&self.board), self.router);
        tokio::spawn(async move {
            for _ in 0..HAND_OVERS {
                tokio::time::sleep(HAND_OVER).await;
                if !board.is_latest(router, job.number()) {
                    return;
                }
                match tasks.post(task) {
                    Ok(()) => return,
                    Err(Full(back)) => task = back,
                }
            }
            tracing::error!("the VIP executor takes no orders: {task:?} is lost");
        });
    }

    pub(super) fn take(&self, job: Job) {
        self.doors.open();
        self.hand_over(Task::Take { router: self.router, job }, job);
    }

    /// Clients get their reset while it can still be sent from our address.
    pub(super) fn let_go(&self, job: Job) {
        if !self.board.is_held(self.router) {
            self.doors.refuse_all();
        } else if let Err(how) = self.doors.clear() {
            tracing::warn!("clients at the addresses are not reset: {how}");
        }
        self.hand_over(Task::Drop { router: self.router, job }, job);
    }

    pub(super) fn withhold(&self, job: Job) {
        if self.reports.post(Report::Withheld { router: self.router, job }).is_err() {
            tracing::error!("the advert thread does not take reports of a role");
        }
    }
}
