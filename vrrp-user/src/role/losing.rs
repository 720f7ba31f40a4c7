//! The order of losing: writes refused, the peer has everything, sessions ended, and then the address may go.
//!
//! The kernel has blocked new connections before this begins. Nothing here keeps the address longer than its deadlines:
//! whoever drives it lets go when [`super::Settings::longest_lose`] is over, finished or not.

use super::settings::Settings;
use super::step::{Ask, Do, Outcome, PeerAnswer, Progress, Remark, in_words};
use crate::mysql::{Position, ServerState};
use crate::vrrp::Instant;

const LOOK_AGAIN: core::time::Duration = core::time::Duration::from_millis(5);

/// Why the role goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occasion {
    /// We give it up, the address is ours until we let go: the peer is waited for.
    Planned,
    /// Another is MASTER already, or our server failed: nobody is waited for.
    Forced,
    /// As planned, but nothing is given up yet: sessions go on unless they hold read-only up, and if the peer cannot have
    /// everything, whoever offered goes on as before.
    Offered,
}

/// What is left behind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lost {
    /// None: the server did not say.
    pub position: Option<Position>,
    pub is_read_only: bool,
    /// The peer was seen to have everything.
    pub is_handed_over: bool,
    /// Why it was not.
    pub obstacle: Option<String>,
    /// The server is gone: there is nothing to make read-only.
    pub is_gone: bool,
}

/// See the file's head.
#[derive(Clone, Debug)]
pub struct Losing {
    settings: Settings,
    occasion: Occasion,
    state: State,
    lost: Lost,
    remarks: Vec<Remark>,
}

#[derive(Clone, Debug)]
enum State {
    RefuseWrites {
        tries: Try,
    },
    /// Nobody's session ends for an offer that comes to nothing anyway.
    Taker,
    /// Those whose sessions these are may be what keeps the server from it.
    End {
        who: Ask,
    },
    Position,
    Peer {
        progress: Progress,
    },
    PeerPause {
        progress: Progress,
    },
    EndSessions,
    LastPosition,
}

/// Whose sessions were ended so that read-only need not wait for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Try {
    /// Nobody's.
    First,
    /// Theirs who were at work: an idle one may hold a table's lock.
    WithoutWriters,
    /// Everybody's.
    Alone,
}

type Next = Do<Lost>;

impl Losing {
    pub fn begin(settings: &Settings, occasion: Occasion, now: Instant) -> (Self, Next) {
        let state = State::RefuseWrites { tries: Try::First };
        let losing =
            Self { settings: settings.clone(), occasion, state, lost: Lost::default(), remarks: Vec::new() };
        let next = losing.ask(Ask::RefuseWrites, now);
        (losing, next)
    }

    /// What there is to say since the last call.
    pub fn remarks(&mut self) -> Vec<Remark> {
        core::mem::take(&mut self.remarks)
    }

    /// What is known so far, for whoever must let go now.
    pub fn so_far(&self) -> Lost {
        self.lost.clone()
    }

    /// Takes what came of the last thing asked; the next one.
    pub fn answer(&mut self, outcome: Outcome, now: Instant) -> Next {
        match self.state.clone() {
            State::RefuseWrites { tries } => self.refused(outcome, tries, now),
            State::Taker => self.taker(outcome, now),
            State::End { who } => {
                self.note_failure(who, outcome);
                let tries = if who == Ask::EndWriters { Try::WithoutWriters } else { Try::Alone };
                self.enter(State::RefuseWrites { tries }, Ask::RefuseWrites, now)
            }
            State::Position => {
                self.keep_position(outcome);
                match self.occasion {
                    Occasion::Planned | Occasion::Offered if self.lost.position.is_some() => {
                        self.enter(State::Peer { progress: Progress::begin(now) }, Ask::Peer, now)
                    }
                    Occasion::Planned | Occasion::Offered => {
                        self.not_handed_over("our own server does not say what it has".to_owned(), now)
                    }
                    Occasion::Forced => self.end_sessions(now),
                }
            }
            State::Peer { progress } => self.peer(outcome, progress, now),
            State::PeerPause { progress } => self.enter(State::Peer { progress }, Ask::Peer, now),
            State::EndSessions => {
                self.note_failure(Ask::EndSessions, outcome);
                self.enter(State::LastPosition, Ask::State, now)
            }
            State::LastPosition => {
                self.keep_position(outcome);
                self.finish()
            }
        }
    }

    fn refused(&mut self, outcome: Outcome, tries: Try, now: Instant) -> Next {
        // A dead server has no writers, no sessions, and no word about its position.
        let is_gone = matches!(outcome, Outcome::Gone(_));
        // Else it is no session that holds it up.
        let is_late = outcome == Outcome::Late;
        let Err(how) = outcome.checked() else {
            self.lost.is_read_only = true;
            return self.enter(State::Position, Ask::State, now);
        };
        self.remarks.push(Remark::StepFailed { what: Ask::RefuseWrites, how: how.clone() });
        if is_gone {
            self.lost.is_gone = true;
            return self.finish();
        }
        match (tries, self.occasion) {
            (Try::First, Occasion::Offered) => self.enter(State::Taker, Ask::Peer, now),
            // They all end soon in any case, and whoever holds it up is among them.
            (Try::First, Occasion::Planned | Occasion::Forced) if is_late => self.end(Ask::EndSessions, now),
            (Try::First, Occasion::Planned | Occasion::Forced) => self.end(Ask::EndWriters, now),
            (Try::WithoutWriters, _) if is_late => self.end(Ask::EndSessions, now),
            // The network part goes on regardless; policy decides about the server afterwards.
            (Try::WithoutWriters | Try::Alone, _) => {
                self.not_handed_over(format!("the server cannot be made read-only: {how}"), now)
            }
        }
    }

    fn end(&mut self, who: Ask, now: Instant) -> Next {
        self.enter(State::End { who }, who, now)
    }

    /// Before anybody's session ends for an offer: whether there is anybody to take it.
    fn taker(&mut self, outcome: Outcome, now: Instant) -> Next {
        match self.answer_of_peer(outcome) {
            Ok(_) => self.end(Ask::EndWriters, now),
            Err(why) => self.not_handed_over(why, now),
        }
    }

    /// Or why there is none.
    fn answer_of_peer(&mut self, outcome: Outcome) -> Result<Box<ServerState>, String> {
        match outcome.peer() {
            PeerAnswer::State(state) => Ok(state),
            PeerAnswer::Silent(how) => {
                self.remarks.push(Remark::PeerSilent(how.clone()));
                Err(format!("the peer's server does not answer: {how}"))
            }
            PeerAnswer::Unaskable { code, text } => {
                let why = format!("the peer's server refuses to be asked: {}", in_words(code, &text));
                self.remarks.push(Remark::PeerUnaskable { code, text });
                Err(why)
            }
        }
    }

    fn peer(&mut self, outcome: Outcome, mut progress: Progress, now: Instant) -> Next {
        let theirs = match self.answer_of_peer(outcome) {
            Ok(state) => state.position.ok(),
            Err(why) => return self.not_handed_over(why, now),
        };
        let lacks = match (&self.lost.position, &theirs) {
            (Some(ours), Some(theirs)) => ours.beyond(theirs),
            (Some(_) | None, _) => None,
        };
        match lacks {
            Some(lacks) if lacks.is_empty() => {
                self.lost.is_handed_over = true;
                match self.occasion {
                    Occasion::Offered => self.finish(),
                    Occasion::Planned | Occasion::Forced => self.end_sessions(now),
                }
            }
            Some(lacks) if progress.goes_on(&lacks, &self.settings, now) => {
                self.state = State::PeerPause { progress };
                Do::Pause { until: now + LOOK_AGAIN }
            }
            Some(lacks) => {
                let why = format!(
                    "the peer's server lacks {lacks} and comes no nearer; does it receive and apply?"
                );
                self.remarks.push(Remark::PeerLacks(lacks));
                self.not_handed_over(why, now)
            }
            None => self.not_handed_over("the peer's position cannot be compared with ours".to_owned(), now),
        }
    }

    fn not_handed_over(&mut self, why: String, now: Instant) -> Next {
        self.lost.obstacle = Some(why);
        match self.occasion {
            Occasion::Offered => self.finish(),
            Occasion::Planned | Occasion::Forced => self.end_sessions(now),
        }
    }

    fn end_sessions(&mut self, now: Instant) -> Next {
        self.enter(State::EndSessions, Ask::EndSessions, now)
    }

    fn keep_position(&mut self, outcome: Outcome) {
        match outcome.state() {
            Ok(state) => self.lost.position = state.position.ok().or_else(|| self.lost.position.take()),
            Err(how) => self.remarks.push(Remark::StepFailed { what: Ask::State, how }),
        }
    }

    fn finish(&mut self) -> Next {
        if let Some(position) = &self.lost.position
            && self.occasion != Occasion::Offered
        {
            self.remarks.push(Remark::LeftAt(position.clone()));
        }
        Do::Finished(self.lost.clone())
    }

    fn enter(&mut self, state: State, what: Ask, now: Instant) -> Next {
        self.state = state;
        self.ask(what, now)
    }

    fn ask(&self, what: Ask, now: Instant) -> Next {
        Do::Ask { what, by: now + what.limit(&self.settings) }
    }

    fn note_failure(&mut self, what: Ask, outcome: Outcome) {
        if let Err(how) = outcome.checked() {
            self.remarks.push(Remark::StepFailed { what, how });
        }
    }
}
