//! What the clients of `GET /v1/watch` are told: sightings and transitions as lines.
//!
//! Owns the queue from the advert thread, which is there only while somebody watches, and the words. Refuses to slow
//! anybody down: what does not fit into the queue or is not read in time is lost, counted, and said.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use hyper::body::Bytes;
use tokio::io::unix::AsyncFd;
use tokio::sync::broadcast;
use vrrp_ebpf::abi::Counter;

use crate::control::sight::{self, Message, Sight};
use crate::control::watch::line;
use crate::daemon::advert_thread::Order;
use crate::daemon::journal;
use crate::daemon::notice::Notice;
use crate::daemon::service::Running;
use crate::daemon::sighting::{Sighting, Way};
use crate::net::clock;
use crate::net::mailbox::Mailbox;
use crate::wire::peek::Peek;

/// Sightings that may wait: half a second of them at 2000 a second.
const DEPTH: usize = 1024;
/// Of them at one turn, so that nothing else has to wait for long.
const TURN: usize = 256;

/// See the file's head.
#[derive(Debug)]
pub(super) struct Watching {
    clients: broadcast::Sender<Bytes>,
    queue: Option<Queue>,
}

#[derive(Debug)]
struct Queue {
    sightings: Arc<Mailbox<Sighting>>,
    bell: AsyncFd<OwnedFd>,
    /// Refused ones that were said.
    said: u64,
}

impl Watching {
    pub(super) fn new(clients: broadcast::Sender<Bytes>) -> Self {
        Self { clients, queue: None }
    }

    /// Returns when there is something to pass on.
    pub(super) async fn rung(&self) {
        match &self.queue {
            Some(queue) => match queue.bell.readable().await {
                Ok(mut ready) => ready.clear_ready(),
                Err(_) => std::future::pending().await,
            },
            None => std::future::pending().await,
        }
    }

    fn tell(&self, sight: &Sight) {
        if self.clients.send(line(sight)).is_err() {
            tracing::trace!("nobody watches any more");
        }
    }
}

impl Running {
    /// Begins when somebody watches, ends when nobody does.
    pub(super) async fn tend_watch(&mut self) {
        let is_watched = self.watching.clients.receiver_count() > 0;
        if is_watched == self.watching.queue.is_some() {
            return;
        }
        if !is_watched {
            self.watching.queue = None;
            return self.order(Order::Watch(None)).await;
        }
        match open() {
            Ok(queue) => {
                let sightings = Arc::clone(&queue.sightings);
                self.watching.queue = Some(queue);
                self.order(Order::Watch(Some(sightings))).await;
            }
            Err(error) => tracing::error!("nothing to watch: {error}"),
        }
    }

    /// What was seen, to everybody who watches.
    pub(super) fn pass_sightings_on(&mut self) {
        let Some(queue) = &mut self.watching.queue else { return };
        queue.sightings.hush();
        let refused = queue.sightings.refused();
        let lost = refused - std::mem::replace(&mut queue.said, refused);
        let sightings = Arc::clone(&queue.sightings);
        for _ in 0..TURN {
            let Some(sighting) = sightings.take() else { break };
            self.watching.tell(&self.describe(&sighting));
        }
        if !sightings.is_empty() {
            sightings.ring();
        }
        if lost > 0 {
            self.watching.tell(&Sight::Lost { count: lost });
        }
    }

    /// A transition among the notices.
    pub(super) fn show_transition(&self, notice: &Notice) {
        if let Notice::Transition { router, from, to, why, at } = *notice
            && self.watching.queue.is_some()
            && let Some(wired) = self.wiring.router(router)
        {
            self.watching.tell(&Sight::Transition(sight::Transition {
                time_unix_ns: clock::unix_ns(at),
                time_monotonic_ns: at.as_nanos(),
                instance: wired.name.clone(),
                interface: wired.interface.clone(),
                from: from.to_string(),
                to: to.to_string(),
                why: why.to_string(),
            }));
        }
    }

    fn describe(&self, sighting: &Sighting) -> Sight {
        let wired = self.wiring.router(sighting.router);
        let (way, reason, why) = match sighting.way {
            Way::Received => (sight::Way::Received, None, None),
            Way::Sent => (sight::Way::Sent, None, None),
            Way::Rejected(reason) => {
                let interval = wired.map_or_else(String::new, |wired| wired.core.advert_interval.to_string());
                let name = Counter::ALL.get(usize::from(reason)).map_or("unknown", |counter| counter.name());
                (sight::Way::Rejected, Some(name.to_owned()), Some(journal::reason(reason, &interval)))
            }
        };
        Sight::Advert(sight::Advert {
            time_unix_ns: clock::unix_ns(sighting.at),
            time_monotonic_ns: sighting.at.as_nanos(),
            instance: wired.map_or("?", |wired| &wired.name).to_owned(),
            interface: wired.map_or("?", |wired| &wired.interface).to_owned(),
            way,
            reason,
            why,
            message: Peek::parse(sighting.frame()).map(Message::from),
            length: u16::try_from(sighting.length).unwrap_or(u16::MAX),
            frame: sight::to_hex(sighting.frame()),
        })
    }
}

fn open() -> io::Result<Queue> {
    let sightings = Arc::new(Mailbox::new(DEPTH)?);
    let bell = sightings.listen()?;
    Ok(Queue { sightings, bell, said: 0 })
}
