//! Between changes of role: what both servers look like, and the single steps that follow from it.
//!
//! Nothing here says a line: the caller knows what is news.

use super::{Driver, Sockets};
use crate::mysql::{Relation, ServerState};
use crate::net::clock;
use crate::role::step::{Ask, Outcome, PeerAnswer};

/// Both servers, one after the other.
#[derive(Clone, Debug)]
pub struct View {
    pub ours: Result<Box<ServerState>, String>,
    pub theirs: PeerAnswer,
}

impl View {
    /// How what we have relates to what the peer has; None: one of them does not say.
    pub fn relation(&self) -> Option<Relation> {
        let PeerAnswer::State(theirs) = &self.theirs else { return None };
        let ours = self.ours.as_ref().ok()?;
        Some(ours.position.as_ref().ok()?.relate(theirs.position.as_ref().ok()?))
    }
}

impl<S: Sockets> Driver<S> {
    /// Looks at both. The follower is asked first: what it has, the other has already, or there is something wrong.
    pub async fn look(&mut self, is_active: bool) -> View {
        if is_active {
            let theirs = self.peer_answer(clock::now() + self.settings.peer_limit).await;
            View { ours: self.own_state().await, theirs }
        } else {
            let ours = self.own_state().await;
            View { ours, theirs: self.peer_answer(clock::now() + self.settings.peer_limit).await }
        }
    }

    async fn own_state(&mut self) -> Result<Box<ServerState>, String> {
        self.perform(Ask::State, self.soon()).await.state()
    }

    /// Whoever is in the middle of a write is ended if it keeps the server from it.
    pub async fn refuse_writes(&mut self) -> Result<(), String> {
        let Err(_held_up) = self.perform(Ask::RefuseWrites, self.soon()).await.checked() else {
            return Ok(());
        };
        self.perform(Ask::EndWriters, self.soon()).await.checked()?;
        self.perform(Ask::RefuseWrites, self.soon()).await.checked()
    }

    /// Takes in and applies what the peer writes.
    pub async fn receive(&mut self) -> Result<(), String> {
        self.statement(self.soon(), |flavour| vec![flavour.start_replication()]).await.checked()
    }

    /// Takes in no more.
    pub async fn stop_receiving(&mut self) -> Result<(), String> {
        self.perform(Ask::StopReceiver, self.soon()).await.checked()
    }

    /// Whether commits do not wait for a replica, by our doing.
    pub fn has_lowered_semi_sync(&self) -> bool {
        self.has_lowered
    }

    /// Makes commits wait for a replica again, once there is one. True: they do.
    pub async fn raise_semi_sync(&mut self) -> Result<bool, String> {
        let by = self.soon();
        let semi = match self.semi_sync(by).await {
            Ok(semi) => semi,
            Err(outcome) => return outcome.checked().map(|()| false),
        };
        let Some(semi) = semi.filter(|semi| semi.clients >= semi.wait_for.max(1)) else { return Ok(false) };
        match self.statement(by, |_| vec![semi.set_source(true)]).await {
            Outcome::Done => {
                self.has_lowered = false;
                Ok(true)
            }
            other @ (Outcome::Peer(_)
            | Outcome::State(_)
            | Outcome::Replicas(_)
            | Outcome::SemiSync(_)
            | Outcome::Gone(_)
            | Outcome::Late
            | Outcome::Refused { .. }) => other.checked().map(|()| false),
        }
    }

    fn soon(&self) -> crate::vrrp::Instant {
        clock::now() + self.settings.statement_limit
    }
}
