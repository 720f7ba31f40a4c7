//! A stream of lines to one client who watches.
//!
//! Owns the way from the daemon's broadcast to the connection, and the patience with a client who does not read: lines
//! that he misses are counted and told, and one who reads nothing at all for a while is let go.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::{Body, Bytes, Frame};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, mpsc};
use tokio::time::timeout;

use super::patience::Patience;
use super::sight::Sight;

/// Lines on their way to one client; more wait in the broadcast, as long as it has room.
const DEPTH: usize = 16;
/// A client that takes nothing for this long is gone.
const PATIENCE: Duration = Duration::from_secs(10);

/// The body of the answer.
#[derive(Debug)]
pub struct Lines {
    lines: mpsc::Receiver<Bytes>,
    patience: Patience,
}

/// All that is told from now on. Must be called inside a runtime.
pub(super) fn follow(sights: broadcast::Receiver<Bytes>, patience: Patience) -> Lines {
    let (lines, body) = mpsc::channel(DEPTH);
    tokio::spawn(forward(sights, lines));
    Lines { lines: body, patience }
}

/// A line as it goes out; empty if it cannot be written, which no [`Sight`] can be the reason for.
pub fn line(sight: &Sight) -> Bytes {
    let mut text = serde_json::to_vec(sight).unwrap_or_default();
    text.push(b'\n');
    text.into()
}

async fn forward(mut sights: broadcast::Receiver<Bytes>, lines: mpsc::Sender<Bytes>) {
    loop {
        let next = tokio::select! {
            next = sights.recv() => next,
            () = lines.closed() => return,
        };
        let next = match next {
            Ok(next) => next,
            Err(RecvError::Lagged(count)) => line(&Sight::Lost { count }),
            Err(RecvError::Closed) => return,
        };
        match timeout(PATIENCE, lines.send(next)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) | Err(_) => return,
        }
    }
}

impl Body for Lines {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let next = self.lines.poll_recv(context);
        match next {
            Poll::Ready(_) => self.patience.renew(),
            Poll::Pending => self.patience.rest(),
        }
        next.map(|next| next.map(|line| Ok(Frame::data(line))))
    }
}
