//! Does what the machines ask, on real servers, and logs each step with its duration.
//!
//! Owns the two connections: the control connection to our own server, opened beforehand so that losing need not log in, and
//! the one to the peer's. Refuses to decide anything.

mod look;
mod peer;
mod relay;
mod sessions;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::flag::Flag;
use super::losing::{Losing, Lost, Occasion};
use super::memory::{Memory, Seen};
use super::settings::Settings;
use super::step::{Ask, Channel, Do, Outcome, PeerAnswer, Remark, in_words};
use super::winning::{Mandate, Refusal, Winning, Won};
use crate::database::{Credentials, DatabaseError, Session};
use crate::mysql::{Flavour, Product, ReplicaStatus, Row, SemiSync, ServerState, Thread, statements};
use crate::net::board::Board;
use crate::net::clock;
use crate::net::doors::Doors;
use crate::vrrp::Instant;

pub use look::View;

const LOWERED: &str = "that semi-synchronous replication was lowered";
/// No channel is set up: MySQL's and MariaDB's code, and MariaDB's for a connection of that name.
const NO_CHANNEL: u16 = 1200;
const NO_CONNECTION: u16 = 1617;

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

/// One managed server.
#[derive(Debug)]
pub struct Driver<S> {
    instance: String,
    settings: Settings,
    local: Credentials,
    peer: Option<Credentials>,
    session: Option<(Session, Flavour)>,
    peer_session: Option<(Session, Flavour)>,
    /// When TLS kept the peer's server from answering, and what is said of it.
    untrusted: Option<(Instant, PeerAnswer)>,
    /// It hung up in the last so many tries: a server that is restarted does so once or twice.
    hang_ups: u32,
    /// The same of our own server, over TCP.
    untrusted_here: Option<(Instant, String)>,
    sockets: S,
    /// The last position of the peer's server, seen while it lived.
    last_known: Option<Seen>,
    /// Where it outlives this process.
    recollection: Option<Memory>,
    /// To be raised again when there is a replica, whatever became of the promotion, and by the process after this one.
    lowered: Flag,
    /// Writes were allowed, and not refused since.
    may_be_writable: bool,
    /// Where the guard sees the same: it outlives this process.
    mark: Option<(Arc<Board>, usize)>,
    beat: u64,
}

impl<S: Sockets> Driver<S> {
    pub fn new(
        instance: &str,
        settings: Settings,
        local: Credentials,
        peer: Option<Credentials>,
        sockets: S,
    ) -> Self {
        Self {
            instance: instance.to_owned(),
            settings,
            local,
            peer,
            session: None,
            peer_session: None,
            untrusted: None,
            hang_ups: 0,
            untrusted_here: None,
            sockets,
            last_known: None,
            recollection: None,
            lowered: Flag::unkept(LOWERED),
            may_be_writable: false,
            mark: None,
            beat: 0,
        }
    }

    /// Marks on the board, for the guard, that this router's server may be writable.
    #[must_use]
    pub fn marking(mut self, board: Arc<Board>, router: usize) -> Self {
        self.mark = Some((board, router));
        // Until it was seen to be read-only.
        self.note_writable(true);
        self
    }

    /// It was seen to be so, or made so.
    pub fn note_read_only(&mut self) {
        self.may_be_writable = false;
        self.note_writable(false);
    }

    /// It was seen to be writable without the address.
    pub fn note_found_writable(&self) {
        self.note_writable(true);
    }

    /// The server may stay writable, by policy: nobody sees to it if this process dies.
    pub fn leave_alone(&self) {
        self.note_writable(false);
    }

    fn note_writable(&self, may_be_writable: bool) {
        if let Some((board, router)) = &self.mark {
            board.note_writable(*router, may_be_writable);
        }
    }

    /// Remembers in this file that semi-synchronous replication is lowered; there already: it was, by the process before.
    #[must_use]
    pub fn remembering(mut self, file: PathBuf) -> Self {
        self.lowered = Flag::kept(file, LOWERED);
        self
    }

    /// Whether writes were allowed, and have not been refused since.
    pub const fn may_be_writable(&self) -> bool {
        self.may_be_writable
    }

    /// Before anything else on a node that starts: its server is read-only, or made so.
    pub async fn start_read_only(&mut self) -> Result<(), String> {
        let by = clock::now() + self.settings.statement_limit;
        self.timed(Ask::RefuseWrites, by, false).await.checked()
    }

    /// The order of winning.
    pub async fn win(&mut self, mandate: Mandate) -> Result<Won, Refusal> {
        let began = clock::now();
        if let Some(seen) = &self.last_known {
            tracing::info!("{}: the peer's server when it was last seen: {seen}", self.instance);
        }
        self.keep_last_known(true);
        let (mut machine, mut next) = Winning::begin(&self.settings, self.last_known.clone(), mandate, began);
        let mut before = None;
        loop {
            for remark in machine.remarks() {
                self.say(&remark);
            }
            let outcome = match next {
                Do::Ask { what, by } => self.timed(what, by, before.replace(what) == Some(what)).await,
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
        let mut before = None;
        loop {
            for remark in machine.remarks() {
                self.say(&remark);
            }
            let outcome = match next {
                Do::Ask { what, by } => self.timed(what, by, before.replace(what) == Some(what)).await,
                Do::Pause { until } => pause(until).await,
                Do::Finished(lost) => {
                    for remark in machine.remarks() {
                        self.say(&remark);
                    }
                    self.keep_last_known(true);
                    let took = clock::now().since(began);
                    let what = match occasion {
                        Occasion::Planned | Occasion::Forced => "the role is given up",
                        Occasion::Offered => "the role was offered",
                    };
                    tracing::info!(
                        "{}: {what} after {took:?}; read-only: {}, the peer has everything: {}",
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

    /// `is_again`: the step before was the same one, and the log has it.
    async fn timed(&mut self, what: Ask, by: Instant, is_again: bool) -> Outcome {
        let began = clock::now();
        let outcome = self.perform(what, by).await;
        let took = clock::now().since(began);
        match outcome.clone().checked() {
            Ok(()) if is_again => tracing::debug!("{}: {} took {took:?}", self.instance, what.name()),
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
            Ask::StopReceiver => self.stop(Flavour::stop_receiver, by).await,
            Ask::StopReplication => self.stop(Flavour::stop_replication, by).await,
            Ask::SemiSync => self.semi_sync(by).await.map_or_else(|outcome| outcome, Outcome::SemiSync),
            Ask::LowerSemiSync => match self.semi_sync(by).await {
                Ok(Some(semi)) => {
                    self.note_lowered(true);
                    self.statement(by, move |_| vec![semi.set_source(false)]).await
                }
                Ok(None) => Outcome::Done,
                Err(outcome) => outcome,
            },
            Ask::RefuseWrites => {
                let outcome = self.statement(by, |flavour| flavour.refuse_writes(left(by))).await;
                if outcome == Outcome::Done {
                    self.note_read_only();
                }
                outcome
            }
            Ask::AllowWrites => {
                // Whatever comes back: the server may have taken it.
                self.may_be_writable = true;
                self.note_writable(true);
                self.statement(by, |flavour| vec![flavour.allow_writes().to_owned()]).await
            }
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
            None => {
                let opened = open(&mut self.local, by).await;
                self.untrusted_here = match &opened {
                    // Whoever hangs up may be about to start.
                    Err(error @ DatabaseError::Tls { has_hung_up: false, .. }) => {
                        Some((clock::now(), error.to_string()))
                    }
                    Ok(_) | Err(_) => None,
                };
                opened?
            }
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
            Err(error) if is_kept && error.is_about_connection() => {
                self.session = None;
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
        let state = state.first().and_then(ServerState::read);
        let is_applied_in_turn = state.as_ref().is_some_and(|state| state.is_applied_in_turn);
        let own = state.and_then(|state| state.position.ok());
        let applied = own.as_ref().map(ToString::to_string).unwrap_or_default();
        let read = |row: &Row| {
            let status = ReplicaStatus::read(row);
            Channel {
                is_caught_up: status.is_caught_up(flavour, own.as_ref(), is_applied_in_turn),
                has_read_all: status.receiver == Thread::Stopped && status.has_read_all,
                is_stopped: status.applier == Thread::Stopped,
                applied: applied.clone(),
            }
        };
        Ok(rows.iter().map(read).collect())
    }

    async fn stop(&mut self, words: fn(Flavour, &str) -> String, by: Instant) -> Outcome {
        let outcome = self.on_channels(words, by).await;
        // There is no channel: nothing to stop.
        let is_none = matches!(outcome, Outcome::Refused { code: NO_CHANNEL | NO_CONNECTION, .. });
        if is_none { Outcome::Done } else { outcome }
    }

    /// Says this of every channel. On a connection of its own: with a dead source it may sit in connect, and our own must stay
    /// free.
    async fn on_channels(&mut self, words: fn(Flavour, &str) -> String, by: Instant) -> Outcome {
        let said = async {
            let (mut session, flavour) = open(&mut self.local, by).await?;
            let names = match flavour.product {
                Product::MySql => vec![String::new()],
                Product::MariaDb => {
                    let rows = session.rows("channels", flavour.replica_status(), left(by)).await?;
                    rows.iter().map(|row| ReplicaStatus::read(row).channel).collect()
                }
            };
            for name in &names {
                session.run("channel", &words(flavour, &flavour.channel(name)), left(by)).await?;
            }
            Ok(names.len())
        };
        match said.await {
            Ok(0) => Outcome::Refused { code: NO_CHANNEL, text: "no channel is set up here".to_owned() },
            Ok(_) => Outcome::Done,
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

    fn note_lowered(&mut self, is_lowered: bool) {
        self.lowered.set(&self.instance, is_lowered);
    }

    fn say(&self, remark: &Remark) {
        let name = &self.instance;
        match remark {
            Remark::PeerSilent(how) => tracing::warn!("{name}: the peer's server does not answer: {how}"),
            Remark::PeerUnaskable { code, text } => {
                tracing::warn!(
                    "{name}: the peer's server lives and refuses to say its role: {}",
                    in_words(*code, text)
                );
            }
            Remark::BesideDiverged { ours, theirs } => tracing::error!(
                "{name}: the peer's server is read-only and has {theirs}, which this one goes on without: it served last, or a \
                 person has chosen it; only here is {ours}. Nothing is repaired: rebuild the other"
            ),
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
            Remark::OnlyRemembered => tracing::warn!(
                "{name}: what the peer's server had is known from the process before this one only: what it wrote later may be \
                 lost, too, and cannot be named"
            ),
            Remark::SeenLongAgo { age } => tracing::warn!(
                "{name}: the peer's server last said what it had {age:.1?} before this: what it wrote later may be lost, too, and \
                 cannot be named"
            ),
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

async fn open(credentials: &mut Credentials, by: Instant) -> Result<(Session, Flavour), DatabaseError> {
    let mut session = match Session::open(&credentials.login, left(by)).await {
        // The password, or the authority, may be another one since.
        Err(error) if error.is_about_credentials() && credentials.renew(left(by)).await => {
            Session::open(&credentials.login, left(by)).await?
        }
        opened => opened?,
    };
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
        // No sign of its death.
        other @ (DatabaseError::Unsupported { .. }
        | DatabaseError::Unclear { .. }
        | DatabaseError::Tls { .. }
        | DatabaseError::Secret(_)) => Outcome::Refused { code: 0, text: other.to_string() },
    }
}
