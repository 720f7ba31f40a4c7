//! The peer's server: what it answers, and what it had when it last did.
//!
//! Owns the connection to it. Refuses to know whether an answer is good news.

use std::path::PathBuf;

use super::{Driver, Sockets, left, open};
use crate::database::{Credentials, DatabaseError, Session};
use crate::mysql::{Flavour, ServerState};
use crate::net::clock;
use crate::role::memory::{Memory, Seen, Turn};
use crate::role::step::PeerAnswer;
use crate::vrrp::Instant;

/// A server that hangs up in so many tries in a row dislikes us.
const HANG_UPS: u32 = 4;

impl<S: Sockets> Driver<S> {
    /// Remembers in this file what the peer's server had, and begins with what the process before left there.
    #[must_use]
    pub fn recalling(mut self, file: PathBuf, turn: Turn) -> Self {
        let path = file.display().to_string();
        let (recollection, seen) = Memory::recall(&self.instance, file, turn);
        if let Some(seen) = &seen {
            tracing::info!(
                "{}: the peer's server as the process before saw it: {seen} ({path})",
                self.instance
            );
        }
        (self.recollection, self.last_known) = (Some(recollection), seen);
        self
    }

    /// When the peer's server was last seen, and what it had.
    pub const fn last_known(&self) -> Option<&Seen> {
        self.last_known.as_ref()
    }

    pub(super) fn keep_last_known(&mut self, is_urgent: bool) {
        if let (Some(recollection), Some(seen)) = (&mut self.recollection, &self.last_known) {
            recollection.keep(&self.instance, seen, is_urgent);
        }
    }

    pub(super) async fn peer_answer(&mut self, by: Instant) -> PeerAnswer {
        let answer = self.ask_peer(by).await;
        // Whatever it was: what came too soon after the last one is kept now.
        self.keep_last_known(false);
        answer
    }

    async fn ask_peer(&mut self, by: Instant) -> PeerAnswer {
        let Some(peer) = &mut self.peer else {
            return PeerAnswer::Silent("no peer is configured".to_owned());
        };
        // A connection from before may lead to a host that is gone, and takes the whole limit to say so: it is tried, and
        // within the limit a new one would fare no better.
        let mut kept = self.peer_session.take().filter(|(session, _)| session.is_open());
        let limit = left(by);
        let asked = match state(peer, &mut kept, by).await {
            // One that was open, and perhaps only that: once more, freshly.
            Err(error) if kept.is_some() && error.is_about_connection() => {
                kept = None;
                let rest = left(by);
                match state(peer, &mut kept, by).await {
                    // With little time left silence is no sign of death, and what spoke was one of life.
                    Err(DatabaseError::Silent { .. }) if error.code().is_some() && rest < limit / 2 => {
                        Err(error)
                    }
                    second => second,
                }
            }
            first => first,
        };
        self.peer_session = kept;
        self.untrusted = None;
        let has_hung_up = matches!(asked, Err(DatabaseError::Tls { has_hung_up: true, .. }));
        self.hang_ups = if has_hung_up { self.hang_ups + 1 } else { 0 };
        match asked {
            Ok(Some(state)) => {
                if let Ok(position) = &state.position {
                    self.last_known = Some(Seen::now(position.clone()));
                }
                PeerAnswer::State(Box::new(state))
            }
            Ok(None) => PeerAnswer::Unaskable { code: 0, text: "an answer that makes no sense".to_owned() },
            Err(DatabaseError::Refused { code, message, .. }) => {
                PeerAnswer::Unaskable { code, text: message }
            }
            Err(error @ (DatabaseError::Silent { .. } | DatabaseError::Unreachable { .. })) => {
                PeerAnswer::Silent(error.to_string())
            }
            // They may well live, all of these.
            Err(error @ DatabaseError::Tls { .. }) => {
                let answer = PeerAnswer::Unaskable { code: 0, text: error.to_string() };
                if !has_hung_up || self.hang_ups >= HANG_UPS {
                    self.untrusted = Some((clock::now(), answer.clone()));
                }
                answer
            }
            Err(
                error @ (DatabaseError::Unsupported { .. }
                | DatabaseError::Unclear { .. }
                | DatabaseError::Secret(_)),
            ) => PeerAnswer::Unaskable { code: 0, text: error.to_string() },
        }
    }
}

/// Over this connection, or a new one, which is kept.
async fn state(
    peer: &mut Credentials,
    kept: &mut Option<(Session, Flavour)>,
    by: Instant,
) -> Result<Option<ServerState>, DatabaseError> {
    let (session, flavour) = match kept {
        Some(kept) => kept,
        None => kept.insert(open(peer, by).await?),
    };
    let row = session.row("peer", &flavour.identity(), left(by)).await?;
    Ok(row.as_ref().and_then(ServerState::read))
}
