//! The order of winning: the gate, what was received is applied, what is missing is named, and only then writes.
//!
//! Nothing here waits for the old master longer than the gate's own limit. Refuses to announce anything: when this is
//! finished the address may be taken.

use std::time::Duration;

use super::memory::Seen;
use super::settings::{Behind, Divergence, SemiSyncPolicy, Settings, Split};
use super::step::{Ask, Channel, Do, Outcome, PeerAnswer, Progress, Remark, in_words};
use crate::mysql::{Position, Relation, ServerState};
use crate::vrrp::Instant;

/// Between two looks at the same thing.
const LOOK_AGAIN: Duration = Duration::from_millis(5);
/// What the peer had this long before the order to win is no word of what it has now. A peer that dies was looked at within
/// 250 ms, and at adverts of a second its death is known 4 s later.
const TOO_OLD: Duration = Duration::from_secs(5);

/// The server is writable; the address may be taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Won {
    /// To be raised again when a replica is connected.
    pub is_semi_sync_lowered: bool,
    /// The peer's server answered and refused writes: if it takes them later, it was promoted beside us.
    pub is_peer_read_only: bool,
}

/// What is known of a divergence before the gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mandate {
    /// Nothing.
    Open,
    /// The servers had diverged, and nobody has decided: only a peer that is seen to agree lets this one go on.
    Undecided,
    /// By policy or a person's word this one serves, also beside a peer that has diverged, as long as that is read-only.
    Serve,
}

/// Why the address must not be taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// `split: hold`.
    PeerWritable,
    /// `split: hold`, and the peer lives but does not let us ask.
    PeerUnaskable {
        code: u16,
        text: String,
    },
    Diverged {
        ours: String,
        theirs: String,
    },
    /// `behind: refuse`, or `wait` and it took too long, or `diverged: read_only` beside a living peer.
    Behind(String),
    /// The servers had diverged, nobody has decided, and whether they agree again cannot be seen.
    Undecided,
    /// What was received is not applied yet; it may be, later.
    NotApplied,
    /// Our own server does not do its part.
    Server {
        what: Ask,
        how: String,
    },
}

impl core::fmt::Display for Refusal {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::PeerWritable => f.write_str(
                "the peer's server answers and is writable, and split is hold; see why the peer is not heard, or make its server \
                 read-only",
            ),
            Self::PeerUnaskable { code, text } => write!(
                f,
                "the peer's server lives and does not say whether it is writable ({}), and split is hold; mend the peer user's \
                 login",
                in_words(*code, text)
            ),
            Self::Diverged { ours, theirs } => write!(
                f,
                "the servers have diverged: only here {ours}, only on the peer {theirs}; decide whose data count: \
                 `vrrp resume` there lets that one serve (under `diverged: read_only` once the other server is stopped); rebuild \
                 the other"
            ),
            Self::Undecided => f.write_str(
                "the servers had diverged, and that they agree again cannot be seen now; decide whose data count: `vrrp resume` lets \
                 this one serve",
            ),
            Self::NotApplied => f.write_str("what was received from the peer is not applied yet"),
            Self::Behind(what) => write!(f, "this server lacks {what}, and the policy does not allow to go on without it"),
            Self::Server { what, how } => write!(f, "could not {}: {how}", what.name()),
        }
    }
}

/// See the file's head.
#[derive(Clone, Debug)]
pub struct Winning {
    settings: Settings,
    /// The peer's position as it was last seen alive.
    last_known: Option<Seen>,
    mandate: Mandate,
    began: Instant,
    state: State,
    /// Its server is gone, or says that it goes.
    is_peer_silent: bool,
    is_peer_read_only: bool,
    /// What it has is known of this moment, not of an earlier one.
    is_peer_known: bool,
    /// It has a history of its own, and this server goes on without that.
    is_beside_diverged: bool,
    is_semi_sync_lowered: bool,
    remarks: Vec<Remark>,
}

#[derive(Clone, Debug)]
enum State {
    Gate {
        give_up: Instant,
    },
    GatePause {
        give_up: Instant,
    },
    /// The peer lives and refuses writes: what it has is still coming.
    Follow {
        target: Position,
        progress: Progress,
    },
    FollowPause {
        target: Position,
        progress: Progress,
    },
    StopReceiver,
    Apply {
        progress: Progress,
    },
    ApplyPause {
        progress: Progress,
    },
    StopReplication,
    Compare,
    SemiSync,
    LowerSemiSync {
        clients: u64,
    },
    AllowWrites,
    SecondLook,
    Write,
    /// It did not end in time: whether for want of a replica.
    LateWrite,
    LowerForWrite {
        clients: u64,
    },
    /// Promotion failed after writes were allowed.
    Undo {
        refusal: Refusal,
    },
}

type Next = Do<Result<Won, Refusal>>;

impl Winning {
    /// Begins; the first thing to do.
    pub fn begin(
        settings: &Settings,
        last_known: Option<Seen>,
        mandate: Mandate,
        now: Instant,
    ) -> (Self, Next) {
        let give_up = now + settings.split_wait;
        let state = State::Gate { give_up };
        let settings = settings.clone();
        let winning = Self {
            settings,
            last_known,
            mandate,
            began: now,
            state,
            is_peer_silent: false,
            is_peer_read_only: false,
            is_peer_known: false,
            is_beside_diverged: false,
            is_semi_sync_lowered: false,
            remarks: Vec::new(),
        };
        let next = winning.ask(Ask::Peer, now);
        (winning, next)
    }

    /// What there is to say since the last call.
    pub fn remarks(&mut self) -> Vec<Remark> {
        core::mem::take(&mut self.remarks)
    }

    /// Takes what came of the last thing asked; the next one.
    pub fn answer(&mut self, outcome: Outcome, now: Instant) -> Next {
        let is_late = outcome == Outcome::Late;
        match self.state.clone() {
            State::Gate { give_up } => self.gate(outcome, give_up, now),
            State::GatePause { give_up } => self.enter(State::Gate { give_up }, Ask::Peer, now),
            State::Follow { target, progress } => self.follow(outcome, target, progress, now),
            State::FollowPause { target, progress } => {
                self.enter(State::Follow { target, progress }, Ask::State, now)
            }
            State::StopReceiver => {
                // A receiver that does not stop is no reason to wait: it has nobody to receive from.
                self.note_failure(Ask::StopReceiver, outcome);
                // Before anything is waited for: the applier's own commits wait for a replica that is not there, too.
                self.enter(State::SemiSync, Ask::SemiSync, now)
            }
            State::Apply { progress } => self.apply(outcome, progress, now),
            State::ApplyPause { progress } => self.enter(State::Apply { progress }, Ask::Replicas, now),
            State::StopReplication => {
                self.note_failure(Ask::StopReplication, outcome);
                self.enter(State::Compare, Ask::State, now)
            }
            State::Compare => self.compare(outcome, now),
            State::SemiSync => self.semi_sync(outcome, now),
            State::LowerSemiSync { clients } => {
                self.note_lowered(clients, outcome);
                self.begin_to_apply(now)
            }
            State::AllowWrites => match outcome.checked() {
                // Both hosts may have passed the gate at once. Whoever is writable and looks only then sees the other, or is
                // seen.
                Ok(()) if self.is_peer_read_only => self.enter(State::SecondLook, Ask::Peer, now),
                Ok(()) => self.enter(State::Write, Ask::Write, now),
                Err(how) => self.undo(Refusal::Server { what: Ask::AllowWrites, how }, now),
            },
            State::SecondLook => match (outcome.peer(), self.settings.split) {
                (PeerAnswer::State(peer), Split::Hold) if peer.writability.is_writable() => {
                    self.undo(Refusal::PeerWritable, now)
                }
                (PeerAnswer::State(peer), Split::Promote) if peer.writability.is_writable() => {
                    self.remarks.push(Remark::SecondWriter);
                    self.enter(State::Write, Ask::Write, now)
                }
                (PeerAnswer::State(_) | PeerAnswer::Silent(_) | PeerAnswer::Unaskable { .. }, _) => {
                    self.enter(State::Write, Ask::Write, now)
                }
            },
            State::Write => match outcome.checked() {
                Ok(()) => Do::Finished(Ok(Won {
                    is_semi_sync_lowered: self.is_semi_sync_lowered,
                    is_peer_read_only: self.is_peer_read_only,
                })),
                Err(_late) if is_late && self.may_lower() => self.enter(State::LateWrite, Ask::SemiSync, now),
                Err(how) => self.undo(Refusal::Server { what: Ask::Write, how }, now),
            },
            State::LateWrite => match outcome.semi_sync() {
                // The peer's server answers, and its replica does not: its disk may be full.
                Ok(Some(semi)) if semi.is_source_active && semi.waiting > 0 => {
                    let clients = semi.clients;
                    self.enter(State::LowerForWrite { clients }, Ask::LowerSemiSync, now)
                }
                Ok(_) | Err(_) => self.undo(late_write(), now),
            },
            State::LowerForWrite { clients } => {
                if self.note_lowered(clients, outcome) {
                    self.enter(State::Write, Ask::Write, now)
                } else {
                    self.undo(late_write(), now)
                }
            }
            State::Undo { refusal } => {
                self.note_failure(Ask::RefuseWrites, outcome);
                Do::Finished(Err(refusal))
            }
        }
    }

    fn gate(&mut self, outcome: Outcome, give_up: Instant, now: Instant) -> Next {
        let answer = outcome.peer();
        match answer {
            PeerAnswer::Silent(how) if self.is_undecided() => {
                self.remarks.push(Remark::PeerSilent(how));
                Do::Finished(Err(Refusal::Undecided))
            }
            PeerAnswer::Silent(how) => {
                self.is_peer_silent = true;
                self.remarks.push(Remark::PeerSilent(how));
                self.enter(State::StopReceiver, Ask::StopReceiver, now)
            }
            PeerAnswer::Unaskable { code: 1053, text } if self.is_undecided() => {
                self.remarks.push(Remark::PeerUnaskable { code: 1053, text });
                Do::Finished(Err(Refusal::Undecided))
            }
            PeerAnswer::Unaskable { code: 1053, text } => {
                // It takes its replica with it.
                self.is_peer_silent = true;
                self.remarks.push(Remark::PeerUnaskable { code: 1053, text });
                self.enter(State::StopReceiver, Ask::StopReceiver, now)
            }
            PeerAnswer::Unaskable { code, text } => {
                self.remarks.push(Remark::PeerUnaskable { code, text: text.clone() });
                self.split(Refusal::PeerUnaskable { code, text }, now)
            }
            PeerAnswer::State(peer) => self.weigh_peer(&peer, give_up, now),
        }
    }

    fn weigh_peer(&mut self, peer: &ServerState, give_up: Instant, now: Instant) -> Next {
        if let Ok(position) = &peer.position {
            self.last_known = Some(Seen { heard: Some(now), ..Seen::now(position.clone()) });
        }
        if peer.writability.is_writable() {
            if self.mandate == Mandate::Serve {
                // It was for a peer that serves nobody.
                self.mandate = Mandate::Open;
            }
            if now < give_up {
                self.state = State::GatePause { give_up };
                return Do::Pause { until: now + LOOK_AGAIN };
            }
            return self.split(Refusal::PeerWritable, now);
        }
        self.is_peer_read_only = true;
        match &peer.position {
            Ok(position) => {
                self.is_peer_known = true;
                let (target, progress) = (position.clone(), Progress::begin(now));
                self.enter(State::Follow { target, progress }, Ask::State, now)
            }
            // What it had once may be a history that it has no more: nothing to wait for.
            Err(_unknown) if self.is_undecided() => Do::Finished(Err(Refusal::Undecided)),
            Err(_unknown) => self.enter(State::StopReceiver, Ask::StopReceiver, now),
        }
    }

    fn split(&mut self, refusal: Refusal, now: Instant) -> Next {
        match self.settings.split {
            Split::Promote if self.is_undecided() => Do::Finished(Err(Refusal::Undecided)),
            Split::Hold => Do::Finished(Err(refusal)),
            Split::Promote => {
                self.remarks.push(Remark::SecondWriter);
                self.enter(State::StopReceiver, Ask::StopReceiver, now)
            }
        }
    }

    /// The peer will not write any more, so its position is the target, and the receiver still brings it.
    fn follow(&mut self, outcome: Outcome, target: Position, mut progress: Progress, now: Instant) -> Next {
        let own = match outcome.state() {
            Ok(state) => state,
            Err(how) => return failed(Ask::State, how),
        };
        let relation = own.position.as_ref().map(|position| position.relate(&target));
        if self.is_undecided() && matches!(relation, Ok(Relation::Incomparable) | Err(_)) {
            return Do::Finished(Err(Refusal::Undecided));
        }
        let Ok(relation) = relation else {
            return self.enter(State::StopReceiver, Ask::StopReceiver, now);
        };
        match relation {
            Relation::Diverged { ours, theirs } if self.mandate == Mandate::Serve => {
                self.is_beside_diverged = true;
                self.remarks.push(Remark::BesideDiverged { ours, theirs });
                self.enter(State::StopReceiver, Ask::StopReceiver, now)
            }
            Relation::Diverged { ours, theirs } => Do::Finished(Err(Refusal::Diverged { ours, theirs })),
            Relation::Behind(lacks) if progress.goes_on(&lacks, &self.settings, now) => {
                self.state = State::FollowPause { target, progress };
                Do::Pause { until: now + LOOK_AGAIN }
            }
            Relation::Behind(_) if self.is_undecided() => Do::Finished(Err(Refusal::Undecided)),
            Relation::Behind(_) | Relation::Equal | Relation::Ahead(_) | Relation::Incomparable => {
                self.enter(State::StopReceiver, Ask::StopReceiver, now)
            }
        }
    }

    fn begin_to_apply(&mut self, now: Instant) -> Next {
        self.enter(State::Apply { progress: Progress::begin(now) }, Ask::Replicas, now)
    }

    fn apply(&mut self, outcome: Outcome, mut progress: Progress, now: Instant) -> Next {
        let replicas = match outcome.replicas() {
            Ok(replicas) => replicas,
            Err(how) => return failed(Ask::Replicas, how),
        };
        let applied: String = replicas.iter().map(|replica| replica.applied.as_str()).collect();
        let still = progress.stands_still(&applied, now);
        // What can never be applied, half a transaction, is told from what others are still at by that nothing moves.
        let is_done = |replica: &Channel| {
            replica.is_caught_up || (replica.has_read_all && still >= self.settings.stall)
        };
        if replicas.iter().all(is_done) {
            return self.enter(State::Compare, Ask::State, now);
        }
        let is_hopeless = replicas.iter().any(|replica| !replica.is_caught_up && replica.is_stopped);
        let waited = progress.waited(now);
        let is_over = match self.settings.behind {
            // The election's own deadline must not come first: it would take this host for one that cannot hold an address.
            Behind::Wait => now.since(self.began) >= self.settings.longest_wait(),
            Behind::PromoteAnyway | Behind::Refuse => waited >= self.settings.catch_up,
        };
        if !is_hopeless && !is_over {
            self.state = State::ApplyPause { progress };
            return Do::Pause { until: now + LOOK_AGAIN };
        }
        self.remarks.push(Remark::NotApplied { waited });
        match self.settings.behind {
            // Old events must not be applied among new writes.
            Behind::PromoteAnyway => self.enter(State::StopReplication, Ask::StopReplication, now),
            // What came from there is no longer waited for.
            Behind::Wait | Behind::Refuse if self.is_beside_diverged => {
                self.enter(State::StopReplication, Ask::StopReplication, now)
            }
            Behind::Wait | Behind::Refuse => Do::Finished(Err(Refusal::NotApplied)),
        }
    }

    fn compare(&mut self, outcome: Outcome, now: Instant) -> Next {
        let own = match outcome.state() {
            Ok(state) => state,
            Err(how) => return failed(Ask::State, how),
        };
        let lacks = match (&own.position, &self.last_known) {
            (Ok(own), Some(known)) => known.position.beyond(own),
            (Ok(_) | Err(_), _) => None,
        };
        if lacks.is_some() {
            match self.last_known.as_ref().map(|known| known.heard.map(|at| self.began.since(at))) {
                Some(None) => self.remarks.push(Remark::OnlyRemembered),
                Some(Some(age)) if age >= TOO_OLD => self.remarks.push(Remark::SeenLongAgo { age }),
                Some(Some(_)) | None => {}
            }
        }
        // Whoever goes on makes two histories of one, while the other one is there.
        let would_diverge = self.is_peer_known && self.settings.diverged == Divergence::ReadOnly;
        match lacks {
            None => self.remarks.push(Remark::LossUnknown),
            Some(lacks) if lacks.is_empty() => {}
            // It was decided so, and has been said.
            Some(_) if self.is_beside_diverged => {}
            Some(lacks) => {
                self.remarks.push(Remark::MayBeLost(lacks.clone()));
                match self.settings.behind {
                    Behind::PromoteAnyway if !would_diverge => {}
                    Behind::PromoteAnyway | Behind::Wait | Behind::Refuse => {
                        return Do::Finished(Err(Refusal::Behind(lacks)));
                    }
                }
            }
        }
        self.enter(State::AllowWrites, Ask::AllowWrites, now)
    }

    fn semi_sync(&mut self, outcome: Outcome, now: Instant) -> Next {
        let semi = outcome.semi_sync().unwrap_or_else(|how| {
            self.remarks.push(Remark::StepFailed { what: Ask::SemiSync, how });
            None
        });
        match semi {
            Some(semi) if semi.would_stall_without(u64::from(self.is_peer_silent)) && self.may_lower() => {
                self.enter(State::LowerSemiSync { clients: semi.clients }, Ask::LowerSemiSync, now)
            }
            Some(_) | None => self.begin_to_apply(now),
        }
    }

    fn is_undecided(&self) -> bool {
        self.mandate == Mandate::Undecided
    }

    /// Once.
    fn may_lower(&self) -> bool {
        self.settings.semi_sync == SemiSyncPolicy::Lower && !self.is_semi_sync_lowered
    }

    /// True: it is.
    fn note_lowered(&mut self, clients: u64, outcome: Outcome) -> bool {
        if self.note_failure(Ask::LowerSemiSync, outcome) {
            self.is_semi_sync_lowered = true;
            self.remarks.push(Remark::SemiSyncLowered { clients });
        }
        self.is_semi_sync_lowered
    }

    fn undo(&mut self, refusal: Refusal, now: Instant) -> Next {
        self.enter(State::Undo { refusal }, Ask::RefuseWrites, now)
    }

    fn enter(&mut self, state: State, what: Ask, now: Instant) -> Next {
        self.state = state;
        self.ask(what, now)
    }

    fn ask(&self, what: Ask, now: Instant) -> Next {
        Do::Ask { what, by: now + what.limit(&self.settings) }
    }

    /// True if it went well.
    fn note_failure(&mut self, what: Ask, outcome: Outcome) -> bool {
        let Err(how) = outcome.checked() else { return true };
        self.remarks.push(Remark::StepFailed { what, how });
        false
    }
}

fn late_write() -> Refusal {
    Refusal::Server { what: Ask::Write, how: Outcome::Late.reason() }
}

fn failed(what: Ask, how: String) -> Next {
    Do::Finished(Err(Refusal::Server { what, how }))
}
