//! How long a connection may take.
//!
//! Owns its deadline. An answer that comes at once has ten seconds in all; one that goes on for as long as somebody reads
//! moves the deadline with every part that was taken off its hands. Refuses to know what the parts are.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// Everything, or the next part of something longer, is taken within this time.
const LIMIT: Duration = Duration::from_secs(10);

/// A clone is another handle to the same.
#[derive(Clone, Debug)]
pub(super) struct Patience(Arc<Mutex<Instant>>);

impl Default for Patience {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Instant::now() + LIMIT)))
    }
}

impl Patience {
    /// Something was taken.
    pub(super) fn renew(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now() + LIMIT;
    }

    fn until(&self) -> Instant {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns when nothing was taken for too long.
    pub(super) async fn exhausted(&self) {
        while Instant::now() < self.until() {
            sleep_until(self.until()).await;
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
                tokio::time::sleep(Duration::from_secs(9)).await;
                other.renew();
            }
        });
        patience.exhausted().await;
        let took = began.elapsed();
        assert!(took >= Duration::from_secs(37) && took < Duration::from_secs(38), "{took:?}");
    }
}
