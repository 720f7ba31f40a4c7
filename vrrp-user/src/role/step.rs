//! What the machines ask of whoever drives them, and what comes back.

use std::time::Duration;

use super::settings::Settings;
use crate::mysql::{Position, SemiSync, ServerState};
use crate::vrrp::Instant;

/// One thing to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// The peer's server: who is it and what does it have?
    Peer,
    /// Our own server: the same.
    State,
    /// Our own channels.
    Replicas,
    StopReceiver,
    /// Both threads: what was received and not applied waits until somebody has decided.
    StopReplication,
    SemiSync,
    LowerSemiSync,
    RefuseWrites,
    AllowWrites,
    /// A row in the heartbeat table.
    Write,
    /// End the sessions that are at work, so that they no longer block us.
    EndWriters,
    /// End every client's session and destroy its socket.
    EndSessions,
}

impl Ask {
    /// For the log.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Peer => "ask the peer's server",
            Self::State => "ask our server for its state",
            Self::Replicas => "ask our server what is left to apply",
            Self::StopReceiver => "stop receiving from the peer",
            Self::StopReplication => "stop applying what was received",
            Self::SemiSync => "ask for semi-synchronous replication",
            Self::LowerSemiSync => "lower semi-synchronous replication",
            Self::RefuseWrites => "make the server read-only",
            Self::AllowWrites => "make the server writable",
            Self::Write => "write a row",
            Self::EndWriters => "end the sessions that block",
            Self::EndSessions => "end the clients' sessions",
        }
    }

    /// How long it may take.
    pub(super) const fn limit(self, settings: &Settings) -> Duration {
        match self {
            Self::Peer => settings.peer_limit,
            Self::Write => settings.write_limit,
            Self::State
            | Self::Replicas
            | Self::StopReceiver
            | Self::StopReplication
            | Self::SemiSync
            | Self::LowerSemiSync
            | Self::RefuseWrites
            | Self::AllowWrites
            | Self::EndWriters
            | Self::EndSessions => settings.statement_limit,
        }
    }
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Done,
    Peer(PeerAnswer),
    State(Box<ServerState>),
    Replicas(Vec<Channel>),
    SemiSync(Option<SemiSync>),
    /// Nothing listens, or the connection broke: the server is gone.
    Gone(String),
    /// No answer by the deadline.
    Late,
    /// The server said no.
    Refused {
        code: u16,
        text: String,
    },
}

impl Outcome {
    /// What is wrong with it, in words; an answer to another question is wrong, too.
    pub(super) fn reason(self) -> String {
        match self {
            Self::Gone(how) => how,
            Self::Late => "no answer in time".to_owned(),
            Self::Refused { code, text } => in_words(code, &text),
            Self::Done | Self::Peer(_) | Self::State(_) | Self::Replicas(_) | Self::SemiSync(_) => {
                "an answer to another question".to_owned()
            }
        }
    }

    /// Whether it went well, whatever the answer.
    pub fn checked(self) -> Result<(), String> {
        match self {
            Self::Done | Self::Peer(_) | Self::State(_) | Self::Replicas(_) | Self::SemiSync(_) => Ok(()),
            Self::Gone(_) | Self::Late | Self::Refused { .. } => Err(self.reason()),
        }
    }

    pub fn peer(self) -> PeerAnswer {
        if let Self::Peer(answer) = self { answer } else { PeerAnswer::Silent(self.reason()) }
    }

    pub fn state(self) -> Result<Box<ServerState>, String> {
        if let Self::State(state) = self { Ok(state) } else { Err(self.reason()) }
    }

    pub fn replicas(self) -> Result<Vec<Channel>, String> {
        if let Self::Replicas(replicas) = self { Ok(replicas) } else { Err(self.reason()) }
    }

    pub fn semi_sync(self) -> Result<Option<SemiSync>, String> {
        if let Self::SemiSync(semi) = self { Ok(semi) } else { Err(self.reason()) }
    }
}

/// One channel of ours.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Channel {
    /// All that was received is applied.
    pub is_caught_up: bool,
    /// Its applier waits for more, but others may still be at work for it.
    pub has_read_all: bool,
    /// All that our server has, as text: whether it moves.
    pub applied: String,
    /// Its applier does not run.
    pub is_stopped: bool,
}

/// The peer's server, as far as it could be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeerAnswer {
    /// No peer is configured, nothing listens, or nothing came in time.
    Silent(String),
    /// It lives and does not let us ask: wrong password, too many connections.
    Unaskable {
        code: u16,
        text: String,
    },
    State(Box<ServerState>),
}

/// A refusal. Code 0 is no server's: then the text is ours, and says all.
pub fn in_words(code: u16, text: &str) -> String {
    if code == 0 { text.to_owned() } else { format!("{code} {text}") }
}

/// Next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Do<T> {
    Ask {
        what: Ask,
        by: Instant,
    },
    /// Nothing until then; come back with [`Outcome::Done`].
    Pause {
        until: Instant,
    },
    Finished(T),
}

/// One line for the log that is no step's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remark {
    PeerSilent(String),
    PeerUnaskable {
        code: u16,
        text: String,
    },
    /// The peer is read-only and has a history of its own; this server goes on without it.
    BesideDiverged {
        ours: String,
        theirs: String,
    },
    /// Both would be writable from here on.
    SecondWriter,
    /// What the peer had and this server never received, or had not applied; it may be lost.
    MayBeLost(String),
    /// How much cannot be told: the peer's position is not known.
    LossUnknown,
    /// The peer's position is from before this process: what came after it has no name.
    OnlyRemembered,
    /// It is from so long before the promotion: the same.
    SeenLongAgo {
        age: Duration,
    },
    NotApplied {
        waited: Duration,
    },
    SemiSyncLowered {
        clients: u64,
    },
    StepFailed {
        what: Ask,
        how: String,
    },
    /// It left with this position; everything after it on this server is errant.
    LeftAt(Position),
    PeerLacks(String),
}

/// Whether somebody who catches up still gets nearer.
#[derive(Clone, Debug)]
pub(super) struct Progress {
    since: Instant,
    lacks: String,
    changed_at: Instant,
}

impl Progress {
    pub(super) fn begin(now: Instant) -> Self {
        Self { since: now, lacks: String::new(), changed_at: now }
    }

    pub(super) fn waited(&self, now: Instant) -> Duration {
        now.since(self.since)
    }

    /// For how long it has been the same.
    pub(super) fn stands_still(&mut self, lacks: &str, now: Instant) -> Duration {
        if lacks != self.lacks {
            (self.lacks, self.changed_at) = (lacks.to_owned(), now);
        }
        now.since(self.changed_at)
    }

    /// Waiting longer makes sense.
    pub(super) fn goes_on(&mut self, lacks: &str, settings: &Settings, now: Instant) -> bool {
        let still = self.stands_still(lacks, now);
        now.since(self.since) < settings.catch_up && still < settings.stall
    }
}
