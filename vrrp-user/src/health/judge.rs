//! From results to a verdict: counting, waiting, and which view outranks which.
//!
//! Owns rise, fall, hold-down, and the second opinion that a hang needs. Takes `now`; knows no clock, no socket and no
//! log. Death that is certain acts at once; all else is counted.

use std::time::Duration;

use super::settings::{Check, Kind};
use super::verdict::Verdict;
use crate::vrrp::Instant;

#[cfg(test)]
mod tests;

/// Who looked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum View {
    /// A tcp or script check as a whole.
    Plain,
    /// The connection that stays, and the server's process.
    Fast,
    /// A fresh login as an application does it.
    Login,
    State,
    Write,
}

impl View {
    const ALL: [Self; 5] = [Self::Plain, Self::Fast, Self::Login, Self::State, Self::Write];

    /// As metrics and status call it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Fast => "fast",
            Self::Login => "login",
            Self::State => "state",
            Self::Write => "write",
        }
    }

    const fn index(self) -> usize {
        match self {
            Self::Plain => 0,
            Self::Fast => 1,
            Self::Login => 2,
            Self::State => 3,
            Self::Write => 4,
        }
    }
}

/// What one look showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Symptom {
    Good,
    /// Our question was wrong; whoever said so is alive.
    Wrong,
    /// It answers, and not as it should.
    Impaired,
    /// No answer within the deadline.
    Timeout,
    /// It takes writes and cannot finish them.
    Stuck,
    /// The server closed the connection, and the next one too.
    Closed,
    /// It said that it shuts down.
    Leaving,
    /// Nothing is there: refused, no socket, no process.
    Gone,
}

/// One result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub symptom: Symptom,
    /// For the log; empty when good.
    pub cause: String,
}

impl Finding {
    pub fn good() -> Self {
        Self { symptom: Symptom::Good, cause: String::new() }
    }

    pub fn new(symptom: Symptom, cause: impl Into<String>) -> Self {
        Self { symptom, cause: cause.into() }
    }
}

/// A new verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub from: Verdict,
    pub to: Verdict,
    /// How long the former held; None for the first.
    pub after: Option<Duration>,
    pub cause: String,
}

/// Why the verdict is what it is, by the last look that bears it out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reason<'j> {
    pub view: View,
    pub symptom: Symptom,
    pub cause: &'j str,
}

/// How one view counts.
#[derive(Clone, Copy, Debug)]
struct Rule {
    rise: u8,
    fall: u8,
    hold_down: Duration,
}

/// By [`Verdict::rank`].
const RANKED: [Verdict; 6] = [
    Verdict::Healthy,
    Verdict::Misconfigured,
    Verdict::Degraded,
    Verdict::Hung,
    Verdict::Leaving,
    Verdict::Dead,
];

/// Results in a row better than what is settled.
#[derive(Clone, Debug)]
struct Better {
    count: u8,
    since: Instant,
    /// The worst of them is what they come to, with the cause that was last given for it.
    worst: Verdict,
    finding: Finding,
}

/// One view's results, counted.
#[derive(Clone, Debug)]
struct Track {
    rule: Rule,
    settled: Verdict,
    /// Of the last look that bears it out.
    symptom: Symptom,
    cause: String,
    /// Results in a row at least as bad as each rank.
    bad: [u8; RANKED.len()],
    better: Option<Better>,
    last_good: Option<Instant>,
    /// When the present run of silence began.
    silent_since: Option<Instant>,
}

impl Track {
    const fn new(rule: Rule, settled: Verdict, cause: String) -> Self {
        Self {
            rule,
            settled,
            symptom: Symptom::Good,
            cause,
            bad: [0; RANKED.len()],
            better: None,
            last_good: None,
            silent_since: None,
        }
    }

    fn hear(&mut self, result: Verdict, at_once: bool, finding: &Finding, now: Instant) {
        for (rank_here, count) in self.bad.iter_mut().enumerate() {
            *count = if result.rank() >= rank_here { count.saturating_add(1) } else { 0 };
        }
        let fall = if at_once { 1 } else { self.rule.fall };
        // The worst that has been seen often enough.
        let reached = RANKED
            .into_iter()
            .filter(|verdict| {
                *verdict == result && at_once
                    || self.bad[verdict.rank()] >= fall && verdict.rank() <= result.rank()
            })
            .max_by_key(|verdict| verdict.rank())
            .unwrap_or(Verdict::Healthy);
        if reached.rank() > self.settled.rank() {
            self.settle(reached, finding);
        } else if result == self.settled {
            self.settle(result, finding);
        } else if result.rank() > self.settled.rank() {
            self.better = None;
        } else if result == Verdict::Misconfigured {
            // A question that cannot be put shows nothing of the server, least of all that it is well again.
            self.settle(self.settled, finding);
            self.cause = format!("whether it still is cannot be told: {}", finding.cause);
        } else {
            self.improve(result, finding, now);
        }
    }

    fn improve(&mut self, result: Verdict, finding: &Finding, now: Instant) {
        let first = || Better { count: 0, since: now, worst: result, finding: finding.clone() };
        let mut better = self.better.take().unwrap_or_else(first);
        better.count = better.count.saturating_add(1);
        if result.rank() >= better.worst.rank() {
            (better.worst, better.finding) = (result, finding.clone());
        }
        if better.count >= self.rule.rise && now.since(better.since) >= self.rule.hold_down {
            self.settle(better.worst, &better.finding);
        } else {
            self.better = Some(better);
        }
    }

    fn settle(&mut self, verdict: Verdict, Finding { symptom, cause }: &Finding) {
        (self.settled, self.symptom) = (verdict, *symptom);
        self.cause.clone_from(cause);
        self.better = None;
    }
}

/// All views of one check.
#[derive(Clone, Debug)]
pub struct Judge {
    tracks: [Track; View::ALL.len()],
    verdict: Verdict,
    /// Whose word the verdict is.
    speaker: View,
    since: Option<Instant>,
}

impl Judge {
    /// Until it has heard something a service counts as healthy, or as dead where the check says so (`init_fail`).
    pub fn new(check: &Check) -> Self {
        let rule = Rule { rise: check.rise.get(), fall: check.fall.get(), hold_down: check.hold_down };
        let mut judge = Self {
            tracks: [(); View::ALL.len()].map(|()| Track::new(rule, Verdict::Healthy, String::new())),
            verdict: Verdict::Healthy,
            speaker: View::Plain,
            since: None,
        };
        match &check.kind {
            Kind::Tcp(_) => {}
            Kind::Script(script) => {
                if script.init_fail {
                    judge.tracks[View::Plain.index()] =
                        Track::new(rule, Verdict::Dead, "not yet known (init_fail)".to_owned());
                    judge.verdict = Verdict::Dead;
                }
            }
            Kind::Mysql(mysql) => judge.tracks[View::Fast.index()].rule.fall = mysql.fast.fall.get(),
        }
        judge
    }

    pub const fn verdict(&self) -> Verdict {
        self.verdict
    }

    /// When it changed last; None: never.
    pub const fn since(&self) -> Option<Instant> {
        self.since
    }

    /// Why the verdict is what it is; empty when healthy.
    pub fn cause(&self) -> &str {
        self.reason().cause
    }

    /// The same, and who saw what.
    pub fn reason(&self) -> Reason<'_> {
        let Track { symptom, cause, .. } = self.track(self.speaker);
        Reason { view: self.speaker, symptom: *symptom, cause }
    }

    /// What is seen of the service, and not only what was seen: a failure of which it cannot be told whether it still is one is
    /// no word on it.
    pub fn seen(&self) -> Verdict {
        let seen = |track: &Track| match track.symptom {
            Symptom::Wrong => Verdict::Misconfigured,
            Symptom::Good
            | Symptom::Impaired
            | Symptom::Timeout
            | Symptom::Stuck
            | Symptom::Closed
            | Symptom::Leaving
            | Symptom::Gone => track.settled,
        };
        self.tracks.iter().map(seen).max_by_key(|verdict| verdict.rank()).unwrap_or(Verdict::Healthy)
    }

    /// One result; a change if it made one.
    pub fn hear(&mut self, view: View, finding: &Finding, now: Instant) -> Option<Change> {
        let (result, at_once) = self.weigh(view, finding.symptom, now);
        let track = &mut self.tracks[view.index()];
        if finding.symptom == Symptom::Good {
            track.last_good = Some(now);
        }
        track.hear(result, at_once, finding, now);
        self.speaker = self.worst();
        let Track { settled: to, cause, .. } = self.track(self.speaker);
        let (to, cause) = (*to, cause.clone());
        if to == self.verdict {
            return None;
        }
        let from = std::mem::replace(&mut self.verdict, to);
        let after = self.since.replace(now).map(|since| now.since(since));
        Some(Change { from, to, after, cause })
    }

    /// Whoever spoke goes on until another has worse to say.
    fn worst(&self) -> View {
        let rank = |view: View| self.track(view).settled.rank();
        View::ALL
            .into_iter()
            .fold(self.speaker, |worst, view| if rank(view) > rank(worst) { view } else { worst })
    }

    const fn track(&self, view: View) -> &Track {
        &self.tracks[view.index()]
    }

    /// What a symptom means where it was seen, and whether once is enough.
    fn weigh(&mut self, view: View, symptom: Symptom, now: Instant) -> (Verdict, bool) {
        let silent_since = self.silence(view, symptom, now);
        match (symptom, view) {
            (Symptom::Good, _) => (Verdict::Healthy, false),
            (Symptom::Wrong, _) => (Verdict::Misconfigured, true),
            (Symptom::Impaired, _) => (Verdict::Degraded, false),
            // A state query is no service to clients: some of them wait for a disk that others do not need.
            (Symptom::Timeout, View::State) => (Verdict::Degraded, false),
            (Symptom::Timeout, View::Plain) => (Verdict::Dead, false),
            (Symptom::Timeout, View::Fast) if self.heard_elsewhere(silent_since) => {
                (Verdict::Degraded, false)
            }
            (Symptom::Timeout, View::Fast | View::Login | View::Write) => (Verdict::Hung, false),
            (Symptom::Stuck, _) => (Verdict::Hung, false),
            (Symptom::Closed, View::Plain | View::Fast | View::Login) => (Verdict::Dead, false),
            // The fast view says whether it is death.
            (Symptom::Closed | Symptom::Gone, View::State | View::Write) => (Verdict::Degraded, false),
            (Symptom::Leaving, _) => (Verdict::Leaving, true),
            (Symptom::Gone, View::Fast) => (Verdict::Dead, true),
            (Symptom::Gone, View::Plain) => (Verdict::Dead, false),
            // A listener that was never there is a wrong address; one that went is a service that went.
            (Symptom::Gone, View::Login)
                if self.tracks[view.index()].last_good.is_none() && self.fast_is_well() =>
            {
                (Verdict::Misconfigured, true)
            }
            (Symptom::Gone, View::Login) => (Verdict::Dead, false),
        }
    }

    /// When this view's silence began, if it is silent.
    fn silence(&mut self, view: View, symptom: Symptom, now: Instant) -> Option<Instant> {
        let track = &mut self.tracks[view.index()];
        track.silent_since = match symptom {
            Symptom::Timeout => Some(track.silent_since.unwrap_or(now)),
            Symptom::Good
            | Symptom::Wrong
            | Symptom::Impaired
            | Symptom::Stuck
            | Symptom::Closed
            | Symptom::Leaving
            | Symptom::Gone => None,
        };
        track.silent_since
    }

    /// Whether a login or a write came through since then: then it is not the server that hangs.
    fn heard_elsewhere(&self, since: Option<Instant>) -> bool {
        let Some(since) = since else { return false };
        [View::Login, View::Write]
            .into_iter()
            .any(|view| self.tracks[view.index()].last_good.is_some_and(|good| good > since))
    }

    fn fast_is_well(&self) -> bool {
        let fast = &self.tracks[View::Fast.index()];
        fast.settled == Verdict::Healthy && fast.last_good.is_some()
    }
}
