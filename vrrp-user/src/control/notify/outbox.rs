//! A queue that takes everything at once and never grows without bound.
//!
//! Owns the rule of what is lost: when it is full, the oldest of those that something later of the same subject has made
//! old. So it holds at most [`DEPTH`], or one of each subject.

use std::collections::{HashSet, VecDeque};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::Tally;

const DEPTH: usize = 64;

/// A clone is another end of the same.
#[derive(Debug)]
pub(super) struct Outbox<T>(Arc<Inner<T>>);

impl<T> Clone for Outbox<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

#[derive(Debug)]
struct Inner<T> {
    queue: Mutex<Queue<T>>,
    bell: Notify,
    tally: Arc<Tally>,
}

#[derive(Debug)]
struct Queue<T> {
    waiting: VecDeque<(String, T)>,
    closed: bool,
}

impl<T> Outbox<T> {
    pub(super) fn new(tally: Arc<Tally>) -> Self {
        let queue = Mutex::new(Queue { waiting: VecDeque::new(), closed: false });
        Self(Arc::new(Inner { queue, bell: Notify::new(), tally }))
    }

    pub(super) fn put(&self, subject: String, item: T) {
        let mut queue = self.queue();
        queue.waiting.push_back((subject, item));
        if queue.waiting.len() > DEPTH
            && let Some(old) = oldest_superseded(&queue.waiting)
        {
            queue.waiting.remove(old);
            self.0.tally.superseded.fetch_add(1, Ordering::Relaxed);
        }
        drop(queue);
        self.0.bell.notify_one();
    }

    /// The oldest; None when there is nothing left and nothing will come.
    pub(super) async fn take(&self) -> Option<T> {
        loop {
            {
                let mut queue = self.queue();
                if let Some((_, item)) = queue.waiting.pop_front() {
                    return Some(item);
                }
                if queue.closed {
                    return None;
                }
            }
            self.0.bell.notified().await;
        }
    }

    /// Nothing more will come: what waits is still taken.
    pub(super) fn close(&self) {
        self.queue().closed = true;
        self.0.bell.notify_one();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.queue().closed
    }

    fn queue(&self) -> MutexGuard<'_, Queue<T>> {
        self.0.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn oldest_superseded<T>(waiting: &VecDeque<(String, T)>) -> Option<usize> {
    let mut later = HashSet::new();
    let mut oldest = None;
    for (place, (subject, _)) in waiting.iter().enumerate().rev() {
        if !later.insert(subject.as_str()) {
            oldest = Some(place);
        }
    }
    oldest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_last_of_each_subject_is_always_there_and_order_is_kept() {
        let tally = Arc::new(Tally::default());
        let outbox = Outbox::new(Arc::clone(&tally));
        for number in 0..1000 {
            outbox.put(format!("instance {}", number % 3), number);
        }
        for number in 2000..2200 {
            outbox.put(format!("instance {number}"), number);
        }
        outbox.close();
        let mut taken = Vec::new();
        while let Some(number) = outbox.take().await {
            taken.push(number);
        }
        assert!(taken.is_sorted(), "{taken:?}");
        assert!([997, 998, 999].iter().all(|last| taken.contains(last)), "{taken:?}");
        assert_eq!(taken.iter().filter(|number| **number >= 2000).count(), 200, "none of these was old");
        assert_eq!(tally.superseded.load(Ordering::Relaxed), 1200 - taken.len() as u64);
        assert!(taken.len() < 200 + DEPTH);
    }
}
