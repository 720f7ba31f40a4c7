//! Does what the machines ask, on real servers, and logs each step with its duration.
//!
//! Owns the two connections: the control connection to our own server, opened beforehand so that losing need not log in, and
//! the one to the peer's. Refuses to decide anything.

mod look;

use std::time::Duration;

use tokio::time::sleep;

use super::losing::{Losing, Lost, Occasion};
use super::settings::Settings;
use super::step::{Ask, Channel, Do, Outcome, PeerAnswer, Remark};
use super::winning::{Refusal, Winning, Won};
use crate::database::{DatabaseError, Login, Session};
use crate::mysql::{
    Flavour, Position, Relation, ReplicaStatus, Row, SemiSync, ServerState, Thread, statements,
};
use crate::net::clock;
use crate::net::doors::Doors;
use crate::vrrp::Instant;

pub use look::View;

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

impl Sockets for Doors {
    fn destroy(&mut self) -> Result<usize, String> {
        self.clear().map_err(|error| error.to_string())
    }
}

/// What came of looking at the former master.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reconciled {
    /// It is read-only, has nothing of its own, and is received from again.
    Following,
    /// It does not answer, or is still writable.
    NotYet,
    /// It has what we have not. Nothing is repaired: a person must decide.
    Diverged { ours: String, theirs: String },
    /// Our own server did not do its part.
    Failed(String),
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
    last_seen: Option<Instant>,
    /// To be raised again when there is a replica, whatever became of the promotion.
    has_lowered: bool,
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
            last_seen: None,
            has_lowered: false,
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
        if let (Some(position), Some(at)) = (&self.last_known, self.last_seen) {
            tracing::info!(
                "{}: {:?} ago the peer's server was at {position}",
                self.instance,
                began.since(at)
            );
        }
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

    /// For the active node, now and then after it has won: receives from the peer again once the peer is seen read-only and
    /// has nothing that we lack.
    pub async fn reconcile(&mut self) -> Reconciled {
        let theirs = match self.peer_answer(clock::now() + self.settings.peer_limit).await {
            PeerAnswer::State(state) => state,
            PeerAnswer::Silent(_) | PeerAnswer::Unaskable { .. } => return Reconciled::NotYet,
        };
        let by = clock::now() + self.settings.statement_limit;
        let ours = match self.perform(Ask::State, by).await.state() {
            Ok(state) => state,
            Err(how) => return Reconciled::Failed(how),
        };
        let (Ok(our_position), Ok(their_position)) = (&ours.position, &theirs.position) else {
            return Reconciled::NotYet;
        };
        match our_position.relate(their_position) {
            Relation::Diverged { ours, theirs } => Reconciled::Diverged { ours, theirs },
            // What only a former master has was never acknowledged to us: it must not flow in behind our own writes.
            Relation::Behind(theirs) => Reconciled::Diverged { ours: String::new(), theirs },
            Relation::Incomparable => Reconciled::NotYet,
            Relation::Equal | Relation::Ahead(_) if theirs.writability.is_writable() => Reconciled::NotYet,
            Relation::Equal | Relation::Ahead(_) => {
                match self.statement(by, |flavour| vec![flavour.start_replication()]).await.checked() {
                    Ok(()) => Reconciled::Following,
                    Err(how) => Reconciled::Failed(how),
                }
            }
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
            Ask::Replicas => self.channels(by).await.map_or_else(outcome_of, Outcome::Replicas),
            Ask::StopReceiver => self.stop_receiver(by).await,
            Ask::SemiSync => self.semi_sync(by).await.map_or_else(|outcome| outcome, Outcome::SemiSync),
            Ask::LowerSemiSync => match self.semi_sync(by).await {
                Ok(Some(semi)) => {
                    self.has_lowered = true;
                    self.statement(by, move |_| vec![semi.set_source(false)]).await
                }
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

    /// Our own connection, open; `true`: it is the one kept from before.
    async fn ours(&mut self, by: Instant) -> Result<(&mut Session, Flavour, bool), DatabaseError> {
        let kept = self.session.take().filter(|(session, _)| session.is_open());
        let is_kept = kept.is_some();
        let open = match kept {
            Some(open) => open,
            None => open(&self.local, by).await?,
        };
        let (session, flavour) = self.session.insert(open);
        Ok((session, *flavour, is_kept))
    }

    /// The answers to these statements, the last one's rows. A connection that broke since it was last used (the server was
    /// restarted, somebody killed it) says nothing about the server: once more, on a fresh one.
    async fn ask_ours(
        &mut self,
        by: Instant,
        words: impl Fn(Flavour) -> Vec<String>,
    ) -> Result<(Vec<Row>, Flavour), DatabaseError> {
        let (session, flavour, is_kept) = self.ours(by).await?;
        match run_all(session, &words(flavour), by).await {
            Ok(rows) => Ok((rows, flavour)),
            Err(DatabaseError::Unreachable { .. }) if is_kept => {
                let (session, flavour, _) = self.ours(by).await?;
                Ok((run_all(session, &words(flavour), by).await?, flavour))
            }
            Err(error) => Err(error),
        }
    }

    async fn statement(&mut self, by: Instant, words: impl Fn(Flavour) -> Vec<String>) -> Outcome {
        self.ask_ours(by, words).await.map_or_else(outcome_of, |_| Outcome::Done)
    }

    async fn question(
        &mut self,
        by: Instant,
        words: impl Fn(Flavour) -> String,
        read: impl FnOnce(&[Row]) -> Option<Outcome>,
    ) -> Outcome {
        match self.ask_ours(by, |flavour| vec![words(flavour)]).await {
            Ok((rows, _)) => read(&rows).unwrap_or_else(|| Outcome::Refused {
                code: 0,
                text: "an answer that makes no sense".to_owned(),
            }),
            Err(error) => outcome_of(error),
        }
    }

    async fn channels(&mut self, by: Instant) -> Result<Vec<Channel>, DatabaseError> {
        let (rows, flavour) = self.ask_ours(by, |flavour| vec![flavour.replica_status().to_owned()]).await?;
        // Asked after: what is applied in between counts as applied.
        let (state, _) = self.ask_ours(by, |flavour| vec![flavour.identity()]).await?;
        let own = state.first().and_then(ServerState::read).and_then(|state| state.position.ok());
        let read = |row: &Row| {
            let status = ReplicaStatus::read(row);
            let is_caught_up = status.is_caught_up(flavour, own.as_ref());
            Channel { is_caught_up, is_stopped: status.applier == Thread::Stopped }
        };
        Ok(rows.iter().map(read).collect())
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
        let ask = |words: &'static str| move |_: Flavour| vec![words.to_owned()];
        let (settings, _) =
            self.ask_ours(by, ask(statements::SEMI_SYNC_SETTINGS)).await.map_err(outcome_of)?;
        let (state, _) = self.ask_ours(by, ask(statements::SEMI_SYNC_STATE)).await.map_err(outcome_of)?;
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

    /// The sessions of clients; `only_busy`: those that are in the middle of something. Their sockets go whatever the server
    /// says.
    async fn end_sessions(&mut self, by: Instant, only_busy: bool) -> Outcome {
        let ended = self.kill_sessions(by, only_busy).await;
        if only_busy {
            return ended;
        }
        match self.sockets.destroy() {
            Ok(_) => ended,
            Err(how) => Outcome::Gone(how),
        }
    }

    async fn kill_sessions(&mut self, by: Instant, only_busy: bool) -> Outcome {
        let user = self.local.user.clone();
        let (rows, flavour) = match self.ask_ours(by, |_| vec![statements::SESSIONS.to_owned()]).await {
            Ok(answer) => answer,
            Err(error) => return outcome_of(error),
        };
        for row in rows {
            let Some(id) = row.number(&["id"]) else { continue };
            // Our own among them. Probes log in as users of their own and are clients like others.
            let is_daemons = row.get(&["user"]) == Some(&user);
            let is_idle = row.get(&["command"]) == Some("Sleep");
            if is_daemons || (only_busy && is_idle) {
                continue;
            }
            match self.ask_ours(by, |_| vec![flavour.end_session(id)]).await {
                // It has ended by itself.
                Ok(_) | Err(DatabaseError::Refused { code: 1094, .. }) => {}
                Err(error) => return outcome_of(error),
            }
        }
        Outcome::Done
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
                    (self.last_known, self.last_seen) = (Some(position.clone()), Some(clock::now()));
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

async fn run_all(
    session: &mut Session,
    statements: &[String],
    by: Instant,
) -> Result<Vec<Row>, DatabaseError> {
    let mut rows = Vec::new();
    for statement in statements {
        rows = session.rows("role", statement, left(by)).await?;
    }
    Ok(rows)
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
