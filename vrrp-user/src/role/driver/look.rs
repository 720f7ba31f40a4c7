//! Between changes of role: what both servers look like, and the single steps that follow from it.
//!
//! Nothing here says a line: the caller knows what is news.

use std::time::Duration;

use tokio::time::sleep;

use super::{Driver, Sockets, left};
use crate::mysql::{Flavour, Position, Relation, SemiSync, ServerState};
use crate::net::clock;
use crate::role::step::{Ask, Outcome, PeerAnswer};

/// A commit that waits for a replica is over by then, or it will be a while.
const SETTLE: Duration = Duration::from_millis(20);
/// A handshake that we break off because of the certificate counts against this host, and after `max_connect_errors` of
/// them (100) the server takes nobody's connections from here, replication's neither: looks try it once in this time.
/// Whoever is about to change a role asks in any case.
const UNTRUSTED: Duration = Duration::from_secs(60);

/// Both servers, one after the other.
#[derive(Clone, Debug)]
pub struct View {
    pub ours: Result<Box<ServerState>, String>,
    pub theirs: PeerAnswer,
}

impl View {
    /// What each has; None: one of them does not say.
    pub fn positions(&self) -> Option<(&Position, &Position)> {
        let PeerAnswer::State(theirs) = &self.theirs else { return None };
        Some((self.ours.as_ref().ok()?.position.as_ref().ok()?, theirs.position.as_ref().ok()?))
    }

    /// How what we have relates to what the peer has; None: one of them does not say.
    pub fn relation(&self) -> Option<Relation> {
        self.positions().map(|(ours, theirs)| ours.relate(theirs))
    }
}

impl<S: Sockets> Driver<S> {
    /// Looks at both. The follower is asked first: what it has, the other has already, or there is something wrong.
    pub async fn look(&mut self, is_active: bool) -> View {
        if is_active {
            let theirs = self.look_at_peer().await;
            let mut view = View { ours: self.own_state().await, theirs };
            if matches!(view.relation(), Some(Relation::Behind(_) | Relation::Diverged { .. })) {
                // MySQL's replica may have a transaction before its source shows it: what stays is believed.
                sleep(SETTLE).await;
                view.ours = self.own_state().await;
            }
            view
        } else {
            let ours = self.own_state().await;
            let mut view = View { ours, theirs: self.look_at_peer().await };
            if matches!(view.relation(), Some(Relation::Ahead(_) | Relation::Diverged { .. })) {
                sleep(SETTLE).await;
                view.theirs = self.look_at_peer().await;
            }
            view
        }
    }

    async fn look_at_peer(&mut self) -> PeerAnswer {
        match &self.untrusted {
            Some((at, answer)) if clock::now() < *at + UNTRUSTED => return answer.clone(),
            Some(_) | None => {}
        }
        self.peer_answer(clock::now() + self.settings.peer_limit).await
    }

    async fn own_state(&mut self) -> Result<Box<ServerState>, String> {
        let by = self.soon();
        if let Some((at, how)) = self.untrusted_here.clone()
            && clock::now() < at + UNTRUSTED
            && !self.local.renew(left(by)).await
        {
            return Err(how);
        }
        self.perform(Ask::State, by).await.state()
    }

    /// Whoever is in the middle of a write is ended if it keeps the server from it, and if that is not enough everybody: one
    /// who is idle may hold a table's lock.
    pub async fn refuse_writes(&mut self) -> Result<(), String> {
        let mut outcome = self.perform(Ask::RefuseWrites, self.soon()).await;
        for who in [Ask::EndWriters, Ask::EndSessions] {
            // What fails at once is held up by nobody who is idle.
            let may_help = who == Ask::EndWriters || outcome == Outcome::Late;
            if outcome == Outcome::Done || !may_help {
                break;
            }
            // Some of them may be beyond us, and not in the way.
            self.perform(who, self.soon()).await;
            outcome = self.perform(Ask::RefuseWrites, self.soon()).await;
        }
        outcome.checked()
    }

    /// Takes writes again, after an offer that came to nothing.
    pub async fn allow_writes(&mut self) -> Result<(), String> {
        self.perform(Ask::AllowWrites, self.soon()).await.checked()
    }

    /// Takes in and applies what the peer writes, which was just looked at, and nothing of a history that is no more.
    pub async fn receive(&mut self) -> Result<(), String> {
        self.forget_what_nobody_has().await?;
        self.on_channels(Flavour::start_replication, self.soon()).await.checked()
    }

    /// Whether an applier is at what it was brought, as long as nothing has stopped it.
    pub async fn is_applying(&mut self) -> bool {
        let replicas = self.perform(Ask::Replicas, self.soon()).await.replicas();
        replicas.is_ok_and(|all| all.iter().any(|replica| !replica.is_caught_up && !replica.is_stopped))
    }

    /// Takes in at once what it may be about to ask for again only in a while.
    pub async fn receive_afresh(&mut self) -> Result<(), String> {
        self.stop_receiving().await?;
        self.on_channels(Flavour::start_receiver, self.soon()).await.checked()
    }

    /// Takes in no more.
    pub async fn stop_receiving(&mut self) -> Result<(), String> {
        self.perform(Ask::StopReceiver, self.soon()).await.checked()
    }

    /// Of our own server; None: it has no such thing.
    pub async fn own_semi_sync(&mut self) -> Result<Option<SemiSync>, String> {
        self.perform(Ask::SemiSync, self.soon()).await.semi_sync()
    }

    /// Makes commits wait for no replica, until it is raised again.
    pub async fn lower_semi_sync(&mut self) -> Result<(), String> {
        self.perform(Ask::LowerSemiSync, self.soon()).await.checked()
    }

    /// Whether commits do not wait for a replica, by our doing.
    pub fn has_lowered_semi_sync(&self) -> bool {
        self.lowered.is_set()
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
                self.note_lowered(false);
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
