//! The status page: one file without anything from elsewhere, and the stream that keeps it live.
//!
//! Owns the page and the feed. A snapshot is made once for all who watch, and only while somebody does. Refuses to know
//! what the page does with it.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream;
use http_body_util::StreamBody;
use hyper::body::{Body, Bytes, Frame};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::sleep;

use super::desk::Desk;
use super::patience::Patience;

/// What a browser gets.
pub(super) const PAGE: &str = include_str!("page/page.html");
/// Nothing from elsewhere, nothing to elsewhere, in nobody's frame.
pub(super) const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; \
                                 connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; \
                                 frame-ancestors 'none'";

/// From one picture to the next.
const PERIOD: Duration = Duration::from_millis(500);
/// Who may watch at once.
const WATCHERS: usize = 16;

/// A clone is another end of the same.
#[derive(Clone, Debug)]
pub struct Feed(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    latest: watch::Sender<Option<Bytes>>,
    joined: Notify,
    places: Arc<Semaphore>,
}

impl Feed {
    /// Makes pictures as long as the runtime lives. Must be called inside it.
    pub fn start(desk: Desk) -> Self {
        let feed = Self(Arc::new(Inner {
            latest: watch::Sender::new(None),
            joined: Notify::new(),
            places: Arc::new(Semaphore::new(WATCHERS)),
        }));
        tokio::spawn(feed.clone().produce(desk));
        feed
    }

    async fn produce(self, desk: Desk) {
        let Self(inner) = self;
        loop {
            while inner.latest.receiver_count() == 0 {
                inner.joined.notified().await;
            }
            match desk.snapshot().await {
                Ok(snapshot) => {
                    let mut event = b"data: ".to_vec();
                    match serde_json::to_writer(&mut event, &*snapshot) {
                        Ok(()) => {
                            event.extend_from_slice(b"\n\n");
                            inner.latest.send_replace(Some(Bytes::from(event)));
                        }
                        Err(error) => tracing::debug!("status page: {error}"),
                    }
                }
                // Starting over, or ending: the page says how old its picture is.
                Err(refusal) => tracing::debug!("status page: {refusal}"),
            }
            sleep(PERIOD).await;
        }
    }

    /// One picture after the other, for as long as somebody takes them; None if too many do.
    pub(super) fn watch(
        &self,
        patience: Patience,
    ) -> Option<impl Body<Data = Bytes, Error = Infallible> + Send + use<>> {
        let place = Arc::clone(&self.0.places).try_acquire_owned().ok()?;
        let latest = self.0.latest.subscribe();
        self.0.joined.notify_one();
        let watcher = Watcher { latest, patience, _place: place };
        Some(StreamBody::new(stream::unfold(watcher, Watcher::next)))
    }
}

struct Watcher {
    latest: watch::Receiver<Option<Bytes>>,
    patience: Patience,
    _place: OwnedSemaphorePermit,
}

impl Watcher {
    /// Asked for only once the one before is on its way: whoever takes nothing runs out of patience. A slow one misses
    /// pictures and never gets an old one.
    async fn next(mut self) -> Option<(Result<Frame<Bytes>, Infallible>, Self)> {
        loop {
            // All was taken: what comes next is for us to bring.
            self.patience.rest();
            self.latest.changed().await.ok()?;
            let latest = self.latest.borrow_and_update().clone();
            if let Some(event) = latest {
                self.patience.renew();
                return Some((Ok(Frame::data(event)), self));
            }
        }
    }
}
