//! How long a connection may take.
//!
//! Owns its deadline. An answer that comes at once has ten seconds in all; one that goes on for as long as somebody reads
//! moves the deadline with every part that was taken off its hands, and has none while there is nothing to take. Refuses to
//! know what the parts are.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

/// Everything, or the next part of something longer, is taken within this time.
const LIMIT: Duration = Duration::from_secs(10);

/// A clone is another handle to the same.
#[derive(Clone, Debug)]
pub(super) struct Patience(Arc<Mutex<Option<Instant>>>);

impl Default for Patience {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Some(Instant::now() + LIMIT))))
    }
}

impl Patience {
    /// Something is there to be taken.
    pub(super) fn renew(&self) {
        self.set(Some(Instant::now() + LIMIT));
    }

    /// All was taken; it is us who are waited for.
    pub(super) fn rest(&self) {
        self.set(None);
    }

    fn set(&self, until: Option<Instant>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = until;
    }

    fn until(&self) -> Option<Instant> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns when nothing was taken for too long.
    pub(super) async fn exhausted(&self) {
        loop {
            match self.until() {
                Some(until) if Instant::now() >= until => return,
                Some(until) => sleep_until(until).await,
                None => sleep(LIMIT).await,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_ends_ten_seconds_after_the_last_part_was_taken() {
        let (patience, began) = (Patience::default(), Instant::now());
        let other = patience.clone();
        tokio::spawn(async move {
            for _ in 0..3 {
                sleep(Duration::from_secs(9)).await;
                other.renew();
            }
        });
        patience.exhausted().await;
        let took = began.elapsed();
        assert!(took >= Duration::from_secs(37) && took < Duration::from_secs(38), "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_is_blamed_for_what_is_not_there_to_be_taken() {
        let (patience, began) = (Patience::default(), Instant::now());
        patience.rest();
        let other = patience.clone();
        tokio::spawn(async move {
            sleep(Duration::from_secs(100)).await;
            other.renew();
        });
        patience.exhausted().await;
        assert!(began.elapsed() >= Duration::from_secs(110), "{:?}", began.elapsed());
    }
}
