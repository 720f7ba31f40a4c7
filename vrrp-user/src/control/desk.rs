//! Where those who ask meet the one who answers: the server's tasks on one side, the daemon on the other.
//!
//! Owns the queues. Levels (the snapshot) go through a `watch`, made only when somebody asks and never more often than
//! [`FRESH`]; orders through a bounded queue, answered one by one. Refuses to know what either means.

use std::sync::Arc;
use std::time::Duration;

use hyper::body::Bytes;
use thiserror::Error;
use tokio::sync::{Notify, broadcast, mpsc, oneshot, watch};
use tokio::time::{Instant, timeout};

use super::message::{Done, Selection};
use super::snapshot::Snapshot;

/// A snapshot that is no older is good enough, unless a state has changed since.
pub const FRESH: Duration = Duration::from_millis(20);
/// Orders waiting for the daemon.
const DEPTH: usize = 64;
/// Who may watch at once.
const WATCHERS: usize = 8;
/// Lines that a watcher may be behind.
const SIGHTS: usize = 1024;
/// The daemon answers within this time, or says nothing.
const ANSWER_DEADLINE: Duration = Duration::from_secs(5);
/// Draining waits for a peer's server, twice for the longest `handover_timeout` there is.
pub(super) const DRAIN_DEADLINE: Duration = Duration::from_secs(125);

/// Something to be done, and where the answer goes.
#[derive(Debug)]
pub struct Order {
    pub what: What,
    pub answer: oneshot::Sender<Result<Done, Refusal>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    Drain(Selection),
    Resume(Selection),
    Reload,
}

/// Why something was not done.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Refusal {
    #[error("{0}")]
    NotFound(String),
    #[error("{0}")]
    Refused(String),
    #[error("{WATCHERS} clients are watching already; end one of them, or watch on another host")]
    TooMany,
    #[error("the daemon does not answer within {} s: it is starting, ending, or in trouble; see its log", ANSWER_DEADLINE.as_secs())]
    NoAnswer,
}

/// The latest one, and when it was made; no time: it is out of date.
type Latest = Option<(Option<Instant>, Arc<Snapshot>)>;

/// For those who ask; a clone is another of them.
#[derive(Clone, Debug)]
pub struct Desk {
    orders: mpsc::Sender<Order>,
    asked: Arc<Notify>,
    snapshots: watch::Receiver<Latest>,
    sights: broadcast::Sender<Bytes>,
    watched: Arc<Notify>,
}

/// For the one who answers.
#[derive(Debug)]
pub struct Counter {
    pub orders: mpsc::Receiver<Order>,
    /// Rings when somebody wants a snapshot.
    pub asked: Arc<Notify>,
    snapshots: watch::Sender<Latest>,
    /// Lines for whoever watches.
    pub sights: broadcast::Sender<Bytes>,
    /// Rings when somebody begins to watch.
    pub watched: Arc<Notify>,
}

/// Both sides.
pub fn open() -> (Desk, Counter) {
    let (orders_in, orders) = mpsc::channel(DEPTH);
    let (snapshots_in, snapshots) = watch::channel(None);
    let asked = Arc::new(Notify::new());
    let (sights, watched) = (broadcast::Sender::new(SIGHTS), Arc::new(Notify::new()));
    let desk = Desk {
        orders: orders_in,
        asked: Arc::clone(&asked),
        snapshots,
        sights: sights.clone(),
        watched: Arc::clone(&watched),
    };
    (desk, Counter { orders, asked, snapshots: snapshots_in, sights, watched })
}

impl Desk {
    /// How things are now.
    pub async fn snapshot(&self) -> Result<Arc<Snapshot>, Refusal> {
        let mut snapshots = self.snapshots.clone();
        if let Some((Some(at), snapshot)) = &*snapshots.borrow_and_update()
            && at.elapsed() < FRESH
        {
            return Ok(Arc::clone(snapshot));
        }
        self.asked.notify_one();
        match timeout(ANSWER_DEADLINE, snapshots.changed()).await {
            Ok(Ok(())) => {
                snapshots.borrow().as_ref().map(|(_, latest)| Arc::clone(latest)).ok_or(Refusal::NoAnswer)
            }
            Ok(Err(_)) | Err(_) => Err(Refusal::NoAnswer),
        }
    }

    /// All that is seen from now on, line by line.
    pub fn watch(&self) -> Result<broadcast::Receiver<Bytes>, Refusal> {
        if self.sights.receiver_count() >= WATCHERS {
            return Err(Refusal::TooMany);
        }
        let sights = self.sights.subscribe();
        self.watched.notify_one();
        Ok(sights)
    }

    /// Has something done.
    pub async fn order(&self, what: What) -> Result<Done, Refusal> {
        let (answer, answered) = oneshot::channel();
        let deadline = match what {
            What::Drain(_) => DRAIN_DEADLINE,
            What::Resume(_) | What::Reload => ANSWER_DEADLINE,
        };
        self.orders.try_send(Order { what, answer }).map_err(|_full| Refusal::NoAnswer)?;
        match timeout(deadline, answered).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) | Err(_) => Err(Refusal::NoAnswer),
        }
    }
}

impl Counter {
    pub fn publish(&self, snapshot: Snapshot) {
        self.snapshots.send_replace(Some((Some(Instant::now()), Arc::new(snapshot))));
    }

    /// Whoever asks from now on gets a newer one: what the log has told already must not be denied by status.
    pub fn outdate(&self) {
        self.snapshots.send_if_modified(|latest| {
            if let Some((at, _)) = latest {
                *at = None;
            }
            false
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::table::tests::snapshot;

    #[tokio::test(start_paused = true)]
    async fn a_fresh_snapshot_serves_everybody_until_a_state_changes() {
        let (desk, counter) = open();
        counter.publish(snapshot(Vec::new()));
        assert!(timeout(FRESH / 2, desk.snapshot()).await.is_ok(), "as good as new");
        counter.publish(snapshot(Vec::new()));
        counter.outdate();
        assert!(timeout(FRESH / 2, desk.snapshot()).await.is_err(), "older than what was told");
        timeout(FRESH, counter.asked.notified()).await.expect("a newer one is wanted");
    }
}
