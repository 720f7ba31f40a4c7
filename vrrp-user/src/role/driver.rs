//! Does what the machines ask, on real servers, and logs each step with its duration.
//!
//! Owns the two connections: the control connection to our own server, opened beforehand so that losing need not log in, and
//! the one to the peer's. Refuses to decide anything.

use std::time::Duration;

use tokio::time::sleep;

use super::losing::{Losing, Lost, Occasion};
use super::settings::Settings;
use super::step::{Ask, Do, Outcome, PeerAnswer, Remark};
use super::winning::{Refusal, Winning, Won};
use crate::database::{DatabaseError, Login, Session};
use crate::mysql::{Flavour, Position, ReplicaStatus, SemiSync, ServerState, statements};
use crate::net::clock;
use crate::vrrp::Instant;

/// Destroys the sockets of the sessions that came in over the virtual addresses: the clients see a reset.
pub trait Sockets: Send {
    /// How many there were.
    fn destroy(&mut self) -> Result<usize, String>;
}

/// For a server whose clients' sockets are nobody's business.
#[derive(Clone, Copy, Debug)]
pub struct NoSockets;

impl Sockets for NoSockets {
    fn destroy(&mut self) -> Result<usize, String> {
        Ok(0)
    }
}

/// One managed server.
#[derive(Debug)]
pub struct Driver<S> {
    instance: String,
    settings: Settings,
    local: Login,
    peer: Option<Login>,
    session: Option<(Session, Flavour)>,
    peer_session: Option<(Session, Flavour)>,
    sockets: S,
    /// The last position of the peer's server, seen while it lived.
    last_known: Option<Position>,
    beat: u64,
}

impl<S: Sockets> Driver<S> {
    pub fn new(instance: &str, settings: Settings, local: Login, peer: Option<Login>, sockets: S) -> Self {
        Self {
            instance: instance.to_owned(),
            settings,
            local,
            peer,
            session: None,
            peer_session: None,
            sockets,
            last_known: None,
            beat: 0,
        }
    }

    /// Keeps both connections open and the peer's position known; to be called now and then.
    pub async fn keep_ready(&mut self) {
        let by = clock::now() + self.settings.statement_limit;
        if let Err(error) = self.ours(by).await {
            tracing::debug!("{}: {error}", self.instance);
        }
        self.peer_answer(clock::now() + self.settings.peer_limit).await;
    }

    /// Before anything else on a node that starts: its server is read-only, or made so.
    pub async fn start_read_only(&mut self) -> Result<(), String> {
        let by = clock::now() + self.settings.statement_limit;
        self.perform(Ask::RefuseWrites, by).await.checked()
    }

    /// The order of winning.
    pub async fn win(&mut self) -> Result<Won, Refusal> {
        let began = clock::now();
        let (mut machine, mut next) = Winning::begin(&self.settings, self.last_known.clone(), began);
        loop {
            for remark in machine.remarks() {
                self.say(&remark);
            }
            let outcome = match next {
                Do::Ask { what, by } => self.timed(what, by).await,
                Do::Pause { until } => pause(until).await,
                Do::Finished(result) => {
                    let took = clock::now().since(began);
                    match &result {
                        Ok(_) => tracing::info!("{}: the server is writable, after {took:?}", self.instance),
                        Err(refusal) => tracing::error!("{}: not promoted: {refusal}", self.instance),
                    }
                    return result;
                }
            };
            next = machine.answer(outcome, clock::now());
        }
    }

    /// The order of losing. Whoever cannot wait drops the future: every step done so far stays done.
    pub async fn lose(&mut self, occasion: Occasion) -> Lost {
        let began = clock::now();
        let (mut machine, mut next) = Losing::begin(&self.settings, occasion, began);
        loop {
            for remark in machine.remarks() {
                self.say(&remark);
            }
            let outcome = match next {
                Do::Ask { what, by } => self.timed(what, by).await,
                Do::Pause { until } => pause(until).await,
                Do::Finished(lost) => {
                    for remark in machine.remarks() {
                        self.say(&remark);
                    }
                    let took = clock::now().since(began);
                    tracing::info!(
                        "{}: the role is given up after {took:?}; read-only: {}, the peer has everything: {}",
                        self.instance,
                        lost.is_read_only,
                        lost.is_handed_over
                    );
                    return lost;
                }
            };
            next = machine.answer(outcome, clock::now());
        }
    }

    async fn timed(&mut self, what: Ask, by: Instant) -> Outcome {
        let began = clock::now();
        let outcome = self.perform(what, by).await;
        let took = clock::now().since(began);
        match outcome.clone().checked() {
            Ok(()) => tracing::info!("{}: {} took {took:?}", self.instance, what.name()),
            Err(how) => tracing::warn!("{}: {} failed after {took:?}: {how}", self.instance, what.name()),
        }
        outcome
    }

    async fn perform(&mut self, what: Ask, by: Instant) -> Outcome {
        match what {
            Ask::Peer => Outcome::Peer(self.peer_answer(by).await),
            Ask::State => {
                self.question(
                    by,
                    |flavour| flavour.identity(),
                    |rows| {
                        rows.first().and_then(ServerState::read).map(|state| Outcome::State(Box::new(state)))
                    },
                )
                .await
            }
            Ask::Replicas => {
                self.question(
                    by,
                    |flavour| flavour.replica_status().to_owned(),
                    |rows| Some(Outcome::Replicas(rows.iter().map(ReplicaStatus::read).collect())),
                )
                .await
            }
            Ask::StopReceiver => self.stop_receiver(by).await,
            Ask::SemiSync => self.semi_sync(by).await.map_or_else(|outcome| outcome, Outcome::SemiSync),
            Ask::LowerSemiSync => match self.semi_sync(by).await {
                Ok(Some(semi)) => self.statement(by, |_| vec![semi.set_source(false)]).await,
                Ok(None) => Outcome::Done,
                Err(outcome) => outcome,
            },
            Ask::RefuseWrites => self.statement(by, |flavour| flavour.refuse_writes(left(by))).await,
            Ask::AllowWrites => self.statement(by, |flavour| vec![flavour.allow_writes().to_owned()]).await,
            Ask::Write => self.write(by).await,
            Ask::EndWriters => self.end_sessions(by, true).await,
            Ask::EndSessions => self.end_sessions(by, false).await,
        }
    }

    /// Our own connection, open.
    async fn ours(&mut self, by: Instant) -> Result<(&mut Session, Flavour), DatabaseError> {
        let kept = self.session.take().filter(|(session, _)| session.is_open());
        let open = match kept {
            Some(open) => open,
            None => open(&self.local, by).await?,
        };
        let (session, flavour) = self.session.insert(open);
        Ok((session, *flavour))
    }

    async fn statement(&mut self, by: Instant, words: impl FnOnce(Flavour) -> Vec<String>) -> Outcome {
        let (session, flavour) = match self.ours(by).await {
            Ok(open) => open,
            Err(error) => return outcome_of(error),
        };
        for statement in words(flavour) {
            if let Err(error) = session.run("role", &statement, left(by)).await {
                return outcome_of(error);
            }
        }
        Outcome::Done
    }

    async fn question(
        &mut self,
        by: Instant,
        words: impl FnOnce(Flavour) -> String,
        read: impl FnOnce(&[crate::mysql::Row]) -> Option<Outcome>,
    ) -> Outcome {
        let (session, flavour) = match self.ours(by).await {
            Ok(open) => open,
            Err(error) => return outcome_of(error),
        };
        match session.rows("role", &words(flavour), left(by)).await {
            Ok(rows) => {
                read(&rows).unwrap_or_else(|| Outcome::Gone("an answer that makes no sense".to_owned()))
            }
            Err(error) => outcome_of(error),
        }
    }

    /// On a connection of its own: with a dead source it may sit in connect, and our own must stay free.
    async fn stop_receiver(&mut self, by: Instant) -> Outcome {
        let (mut session, flavour) = match open(&self.local, by).await {
            Ok(open) => open,
            Err(error) => return outcome_of(error),
        };
        match session.run("stop the receiver", &flavour.stop_receiver(), left(by)).await {
            // There is no channel: nothing to stop.
            Ok(()) | Err(DatabaseError::Refused { code: 1200 | 1617, .. }) => Outcome::Done,
            Err(error) => outcome_of(error),
        }
    }

    async fn semi_sync(&mut self, by: Instant) -> Result<Option<SemiSync>, Outcome> {
        let (session, _) = self.ours(by).await.map_err(outcome_of)?;
        let what = "semi-synchronous replication";
        let settings =
            session.rows(what, statements::SEMI_SYNC_SETTINGS, left(by)).await.map_err(outcome_of)?;
        let state = session.rows(what, statements::SEMI_SYNC_STATE, left(by)).await.map_err(outcome_of)?;
        Ok(SemiSync::read(&settings, &state))
    }

    async fn write(&mut self, by: Instant) -> Outcome {
        self.beat += 1;
        let beat = self.beat;
        let table = self.settings.heartbeat_table.clone();
        let id = self.question(
            by,
            |flavour| flavour.identity(),
            |rows| rows.first().and_then(ServerState::read).map(|state| Outcome::State(Box::new(state))),
        );
        let id = id.await;
        if let Outcome::State(state) = id {
            self.statement(by, |flavour| vec![flavour.beat(&table, state.server_id, beat)]).await
        } else {
            id
        }
    }

    /// The sessions of clients; `only_busy`: those that are in the middle of something.
    async fn end_sessions(&mut self, by: Instant, only_busy: bool) -> Outcome {
        let user = self.local.user.clone();
        let (session, flavour) = match self.ours(by).await {
            Ok(open) => open,
            Err(error) => return outcome_of(error),
        };
        let rows = match session.rows("sessions", statements::SESSIONS, left(by)).await {
            Ok(rows) => rows,
            Err(error) => return outcome_of(error),
        };
        let own = match session.row("own session", statements::OWN_SESSION, left(by)).await {
            Ok(row) => row.and_then(|row| row.number(&["connection_id()"])),
            Err(error) => return outcome_of(error),
        };
        for row in rows {
            let Some(id) = row.number(&["id"]) else { continue };
            // Probes log in as users of their own and are clients like others; the daemon's are not.
            let is_daemons = row.get(&["user"]) == Some(&user);
            let is_idle = row.get(&["command"]) == Some("Sleep");
            if Some(id) == own || is_daemons || (only_busy && is_idle) {
                continue;
            }
            match session.run("end a session", &flavour.end_session(id), left(by)).await {
                // It has ended by itself.
                Ok(()) | Err(DatabaseError::Refused { code: 1094, .. }) => {}
                Err(error) => return outcome_of(error),
            }
        }
        if only_busy {
            return Outcome::Done;
        }
        match self.sockets.destroy() {
            Ok(_) => Outcome::Done,
            Err(how) => Outcome::Gone(how),
        }
    }

    async fn peer_answer(&mut self, by: Instant) -> PeerAnswer {
        let Some(login) = self.peer.clone() else {
            return PeerAnswer::Silent("no peer is configured".to_owned());
        };
        // A connection from before may lead to a host that is gone, and takes the whole limit to say so: it is tried, and
        // within the limit a new one would fare no better.
        let kept = self.peer_session.take().filter(|(session, _)| session.is_open());
        let opened = match kept {
            Some(open) => Ok(open),
            None => open(&login, by).await,
        };
        let asked = match opened {
            Ok((mut session, flavour)) => match session.row("peer", &flavour.identity(), left(by)).await {
                Ok(row) => {
                    self.peer_session = Some((session, flavour));
                    Ok(row.as_ref().and_then(ServerState::read))
                }
                // Broken since it was last used (the server was restarted): once more, freshly.
                Err(DatabaseError::Unreachable { .. }) => match open(&login, by).await {
                    Ok((mut session, flavour)) => {
                        let row = session.row("peer", &flavour.identity(), left(by)).await;
                        self.peer_session = Some((session, flavour));
                        row.map(|row| row.as_ref().and_then(ServerState::read))
                    }
                    Err(error) => Err(error),
                },
                Err(error) => Err(error),
            },
            Err(error) => Err(error),
        };
        match asked {
            Ok(Some(state)) => {
                if let Ok(position) = &state.position {
                    self.last_known = Some(position.clone());
                }
                PeerAnswer::State(Box::new(state))
            }
            Ok(None) => PeerAnswer::Unaskable { code: 0, text: "an answer that makes no sense".to_owned() },
            Err(DatabaseError::Refused { code, message, .. }) => {
                PeerAnswer::Unaskable { code, text: message }
            }
            Err(error) => PeerAnswer::Silent(error.to_string()),
        }
    }

    fn say(&self, remark: &Remark) {
        let name = &self.instance;
        match remark {
            Remark::PeerSilent(how) => tracing::warn!("{name}: the peer's server does not answer: {how}"),
            Remark::PeerUnaskable { code, text } => {
                tracing::warn!("{name}: the peer's server lives and refuses to say its role: {code} {text}");
            }
            Remark::SecondWriter => tracing::error!(
                "{name}: the peer's server is writable and split is promote: from now on there may be two writers"
            ),
            Remark::MayBeLost(what) => {
                tracing::error!(
                    "{name}: the peer had {what}, which this server never received: it may be lost"
                );
            }
            Remark::LossUnknown => {
                tracing::warn!(
                    "{name}: the peer's last position is not known: what may be lost cannot be named"
                );
            }
            Remark::NotApplied { waited } => {
                tracing::error!("{name}: what was received from the peer is not applied after {waited:?}");
            }
            Remark::SemiSyncLowered { clients } => tracing::warn!(
                "{name}: semi-synchronous replication is lowered: {clients} replicas are connected; what is acknowledged from \
                 now on is on this server only"
            ),
            Remark::StepFailed { what, how } => tracing::warn!("{name}: could not {}: {how}", what.name()),
            Remark::LeftAt(position) => tracing::info!("{name}: left at position {position}"),
            Remark::PeerLacks(what) => tracing::error!("{name}: the peer still lacks {what}"),
        }
    }
}

async fn open(login: &Login, by: Instant) -> Result<(Session, Flavour), DatabaseError> {
    let mut session = Session::open(login, left(by)).await?;
    let version = session.row("version", statements::VERSION, left(by)).await?;
    let flavour = Flavour::of(version.as_ref().and_then(|row| row.at(0)).unwrap_or_default());
    Ok((session, flavour))
}

fn left(by: Instant) -> Duration {
    by.since(clock::now())
}

async fn pause(until: Instant) -> Outcome {
    sleep(left(until)).await;
    Outcome::Done
}

fn outcome_of(error: DatabaseError) -> Outcome {
    match error {
        // The server gave up by its own bound: 1969 of MariaDB, 1205 and 3024 of MySQL.
        DatabaseError::Refused { code: 1969 | 1205 | 3024, .. } | DatabaseError::Silent { .. } => {
            Outcome::Late
        }
        DatabaseError::Refused { code, message, .. } => Outcome::Refused { code, text: message },
        DatabaseError::Unreachable { reason, .. } => Outcome::Gone(reason),
        other @ (DatabaseError::Unsupported { .. } | DatabaseError::Secret(_)) => {
            Outcome::Gone(other.to_string())
        }
    }
}
