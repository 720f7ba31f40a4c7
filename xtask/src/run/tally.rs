//! The reckoning of the writer's news: how long it could not write, and what of the acknowledged is not on the owner.
//!
//! Owns the counting and the thread that compares; the view only reads. Refuses to know why something is missing.

use std::{
    collections::{BTreeSet, VecDeque},
    path::PathBuf,
    sync::mpsc::{self, Receiver, Sender},
    thread,
    time::Duration,
};

use anyhow::{Context, Result};
use vrrp_lab::{
    clock::{self, MILLISECOND, SECOND},
    mysql::{Acknowledged, Failure, Ledger, Record, Verdict},
};

use super::stage::ms;

/// The comparison looks back so many acknowledged writes: some ten minutes of them.
const WINDOW: usize = 100_000;
/// A pause without any failure is the disk's, up to here.
const SLOW: u64 = 500 * MILLISECOND;
/// What is missing is looked for again this often: it may come late, or with the old owner.
const RECHECK: u64 = SECOND;
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// What the view shows of the writer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Writes {
    pub(super) acknowledged: usize,
    /// Acknowledged and not on the owner since the last switch; nothing before one was judged.
    pub(super) lost: Option<usize>,
    pub(super) last_acknowledged_ns: Option<u64>,
    pub(super) last_outage_ns: Option<u64>,
    /// Why the last attempt failed, if nothing was acknowledged since.
    pub(super) last_failure: Option<String>,
}

impl Writes {
    /// For how long nothing was acknowledged, if for longer than chance.
    pub(super) fn out_for(&self, now_ns: u64) -> Option<u64> {
        let age = now_ns.saturating_sub(self.last_acknowledged_ns?);
        (age > SLOW || (self.last_failure.is_some() && age > 100 * MILLISECOND)).then_some(age)
    }
}

/// Something to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum News {
    /// Writes went through again after so long and so many failures, the first of them this one.
    Outage { at_ns: u64, length_ns: u64, failures: usize, first: Option<String> },
    /// After a switch: on this host so many of so many acknowledged writes are missing, or there twice or out of nowhere.
    Judged { host: &'static str, lost: usize, of: usize, odd: usize },
    /// What was missing has come, all of it or in part.
    Back { host: &'static str, left: usize },
    /// The owner could not be asked.
    Unjudged { host: &'static str, why: String },
}

impl News {
    pub(super) fn is_trouble(&self) -> bool {
        match self {
            Self::Outage { .. } | Self::Back { .. } => false,
            Self::Judged { lost, odd, .. } => lost + odd > 0,
            Self::Unjudged { .. } => true,
        }
    }

    /// In words; `owner` has the address now.
    pub(super) fn text(&self, owner: &str) -> String {
        match self {
            Self::Outage { length_ns, failures, first, .. } => {
                let first = first.as_ref().map(|first| format!(", the first: {first}")).unwrap_or_default();
                let times = if *failures == 1 { "failure" } else { "failures" };
                format!(
                    "writer: outage {}, writes again on {owner} ({failures} {times}{first})",
                    ms(*length_ns)
                )
            }
            Self::Judged { host, lost: 0, of, odd: 0 } => {
                format!("writer: all {of} acknowledged writes are on {host}")
            }
            Self::Judged { host, lost, of, odd } => {
                let odd = if *odd == 0 { String::new() } else { format!("; {odd} twice or out of nowhere") };
                format!("writer: LOST {lost} of {of} acknowledged writes: not on {host}{odd}")
            }
            Self::Back { host, left: 0 } => format!("writer: what was missing has come to {host}: 0 lost"),
            Self::Back { host, left } => {
                format!("writer: some of what was missing has come to {host}: {left} lost")
            }
            Self::Unjudged { host, why } => format!("writer: cannot compare with {host}: {why}"),
        }
    }
}

struct Job {
    host: &'static str,
    socket: PathBuf,
    record: Record,
    is_recheck: bool,
}

type Outcome = (Job, Result<Verdict>);

/// The reckoning.
pub(super) struct Tally {
    writes: Writes,
    acknowledged: VecDeque<Acknowledged>,
    failures: VecDeque<Failure>,
    failures_seen: usize,
    /// Since the last acknowledgement.
    failures_in_a_row: usize,
    first_failure: Option<String>,
    owner: Option<&'static str>,
    /// The switch that is not judged yet: whither, and since when.
    pending: Option<(&'static str, PathBuf, u64)>,
    missing: BTreeSet<u64>,
    missing_on: Option<(&'static str, PathBuf)>,
    next_recheck_ns: u64,
    jobs: Sender<Job>,
    outcomes: Receiver<Outcome>,
    is_busy: bool,
}

impl Tally {
    /// With a thread that compares; it ends with this.
    pub(super) fn start() -> Result<Self> {
        let (jobs, orders) = mpsc::channel::<Job>();
        let (sender, outcomes) = mpsc::channel();
        thread::Builder::new()
            .name("tally".into())
            .spawn(move || {
                for job in orders {
                    let verdict = judge(&job);
                    if sender.send((job, verdict)).is_err() {
                        return;
                    }
                }
            })
            .context("start the thread that compares")?;
        Ok(Self {
            writes: Writes::default(),
            acknowledged: VecDeque::new(),
            failures: VecDeque::new(),
            failures_seen: 0,
            failures_in_a_row: 0,
            first_failure: None,
            owner: None,
            pending: None,
            missing: BTreeSet::new(),
            missing_on: None,
            next_recheck_ns: 0,
            jobs,
            outcomes,
            is_busy: false,
        })
    }

    pub(super) fn writes(&self) -> &Writes {
        &self.writes
    }

    /// How far it has read: acknowledgements and failures.
    pub(super) fn place(&self) -> (usize, usize) {
        (self.writes.acknowledged, self.failures_seen)
    }

    /// This host alone owns the address, since then; its server listens at that socket.
    pub(super) fn note_owner(&mut self, host: &'static str, since_ns: u64, socket: PathBuf) {
        if self.owner != Some(host) {
            if self.owner.is_some() {
                self.pending = Some((host, socket, since_ns));
            }
            self.owner = Some(host);
        }
    }

    /// Takes in what the writer has seen since [`Tally::place`].
    pub(super) fn take_in(&mut self, record: Record) -> Vec<News> {
        let mut news = Vec::new();
        self.failures_seen += record.failures.len();
        let mut failures = record.failures.into_iter().peekable();
        for write in record.acknowledged {
            while let Some(failure) = failures.next_if(|failure| failure.at_ns <= write.at_ns) {
                self.note_failure(failure);
            }
            news.extend(self.note_write(write));
        }
        failures.for_each(|failure| self.note_failure(failure));
        news
    }

    /// Hands out what there is to compare, and takes in what was compared. Never waits.
    pub(super) fn look(&mut self, now_ns: u64) -> Vec<News> {
        let mut news = Vec::new();
        while let Ok((job, verdict)) = self.outcomes.try_recv() {
            self.is_busy = false;
            news.extend(self.note_verdict(job, verdict));
        }
        if !self.is_busy && self.pending.is_some() {
            self.order_judgement();
        } else if !self.is_busy && now_ns >= self.next_recheck_ns {
            self.order_recheck(now_ns);
        }
        news
    }

    fn note_failure(&mut self, failure: Failure) {
        let text = plain(&failure.text);
        if self.failures_in_a_row == 0 {
            self.first_failure = Some(text.to_owned());
        }
        self.failures_in_a_row += 1;
        self.writes.last_failure = Some(text.to_owned());
        // A login that failed wrote nothing.
        if failure.number.is_some() {
            bound(&mut self.failures);
            self.failures.push_back(failure);
        }
    }

    fn note_write(&mut self, write: Acknowledged) -> Option<News> {
        let gap = self.writes.last_acknowledged_ns.map(|before| write.at_ns.saturating_sub(before));
        let (failures, first) = (self.failures_in_a_row, self.first_failure.take());
        let outage = gap.filter(|gap| failures > 0 || *gap > SLOW);
        self.failures_in_a_row = 0;
        self.writes.acknowledged += 1;
        self.writes.last_acknowledged_ns = Some(write.at_ns);
        self.writes.last_failure = None;
        bound(&mut self.acknowledged);
        self.acknowledged.push_back(write);
        let length_ns = outage?;
        self.writes.last_outage_ns = Some(length_ns);
        Some(News::Outage { at_ns: write.at_ns, length_ns, failures, first })
    }

    /// Not before the new owner has taken a write: until then it may still be taking in what it has received.
    fn order_judgement(&mut self) {
        let Some((host, socket, since_ns)) = self.pending.clone() else { return };
        let after = self.acknowledged.partition_point(|write| write.sent_ns <= since_ns);
        let Some(first) = self.acknowledged.get(after) else { return };
        let until = first.number;
        let acknowledged = self.acknowledged.iter().take(after).copied().collect();
        let failures = self.failures.iter().filter(|failure| failure.number < Some(until)).cloned().collect();
        self.pending = None;
        self.order(Job { host, socket, record: Record { acknowledged, failures }, is_recheck: false });
    }

    fn order_recheck(&mut self, now_ns: u64) {
        let Some((host, socket)) = self.missing_on.clone().filter(|_| !self.missing.is_empty()) else {
            return;
        };
        self.next_recheck_ns = now_ns + RECHECK;
        let is_missing = |write: &&Acknowledged| self.missing.contains(&write.number);
        let acknowledged = self.acknowledged.iter().filter(is_missing).copied().collect();
        let record = Record { acknowledged, failures: Vec::new() };
        self.order(Job { host, socket, record, is_recheck: true });
    }

    fn order(&mut self, job: Job) {
        // Its thread ends only with this: an error cannot be, and would show as a verdict that never comes.
        self.is_busy = self.jobs.send(job).is_ok();
    }

    fn note_verdict(&mut self, job: Job, verdict: Result<Verdict>) -> Option<News> {
        let Job { host, socket, is_recheck, .. } = job;
        let verdict = match verdict {
            Ok(verdict) => verdict,
            Err(_) if is_recheck => return None,
            Err(error) => return Some(News::Unjudged { host, why: format!("{error:#}") }),
        };
        let (before, lost) = (self.missing.len(), verdict.lost.len());
        self.missing = verdict.lost.into_iter().collect();
        self.missing_on = Some((host, socket));
        self.writes.lost = Some(lost);
        if is_recheck {
            return (lost < before).then_some(News::Back { host, left: lost });
        }
        self.next_recheck_ns = clock::now_ns() + RECHECK;
        let odd = verdict.duplicated.len() + verdict.never_written.len();
        Some(News::Judged { host, lost, of: verdict.acknowledged, odd })
    }
}

fn judge(job: &Job) -> Result<Verdict> {
    let numbers = |record: &Record| {
        let numbers = record.acknowledged.iter().map(|write| write.number);
        Some((numbers.clone().min()?, numbers.max()?))
    };
    let Some((first, last)) = numbers(&job.record) else { return Ok(Verdict::default()) };
    Ok(Ledger::read_range(&job.socket, first..=last, ANSWER_LIMIT)?.compare(&job.record))
}

/// The message without the name that the client's library gives it: `MySqlError { ... }`.
fn plain(text: &str) -> &str {
    text.split_once("{ ").and_then(|(_, inner)| inner.strip_suffix(" }")).unwrap_or(text).trim()
}

fn bound<T>(window: &mut VecDeque<T>) {
    if window.len() == WINDOW {
        window.pop_front();
    }
}

#[cfg(test)]
mod tests;
