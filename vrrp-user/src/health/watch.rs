//! One check at work: its probes as tasks, its judge, its lines in the log, its notifications.
//!
//! Owns their lifetimes: dropping the [`Watch`] ends them all. Refuses to know what a verdict does to an address.
//! The way of a death is short on purpose: probe, judge, told; the log comes after.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::sync::{Mutex, Notify, mpsc, watch};
use tokio::task::{AbortHandle, JoinHandle, JoinSet};
use tokio::time::{Instant, sleep};

use super::judge::{Change, Finding, Judge, Reason, Symptom, View};
use super::mysql;
use super::mysql::Seen;
use super::process::Witness;
use super::script::{self, Outcome};
use super::settings::{Check, CommandLine, Kind, Reaction};
use super::tcp;
use super::verdict::Verdict;
use crate::histogram::Histogram;
use crate::vrrp;

/// Findings on their way to the judge; a probe waits for room, so that none is lost.
const FINDINGS: usize = 32;
/// A probe that panicked starts over after this.
const AFTER_PANIC: Duration = Duration::from_secs(5);
/// A notification gets so long.
const NOTIFY: Duration = Duration::from_secs(60);

/// A verdict for whoever acts on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    pub instance: Arc<str>,
    pub check: String,
    /// Of the context that it was started with.
    pub run: u64,
    pub verdict: Verdict,
    /// By the last looks alone: that of a failure may be that nothing can be seen any more.
    pub seen: Verdict,
    /// The verdict is another one; else only what is seen is.
    pub is_change: bool,
    /// Empty when healthy.
    pub cause: String,
}

/// What a check needs from its surroundings.
#[derive(Clone)]
pub struct Context {
    pub instance: Arc<str>,
    /// Tells the verdicts of this run from those of an earlier one of the same name that are still under way.
    pub run: u64,
    /// Whether this host holds the instance's addresses.
    pub active: watch::Receiver<bool>,
    /// Whether the daemon itself makes the instance's server writable and read-only; fixed for the life of the check.
    pub is_managed: bool,
    /// Sees processes end before their sockets do; None: only their pidfd is watched.
    pub witness: Option<Witness>,
    pub told: mpsc::Sender<Told>,
}

/// How a check stands, for status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    pub verdict: Verdict,
    pub since: Option<Instant>,
    /// Empty when healthy.
    pub cause: String,
    /// Changes since the start.
    pub changes: u64,
}

/// What one view saw last, and how long its looks take.
#[derive(Clone, Debug)]
pub struct Look {
    pub at: Instant,
    pub took: Duration,
    pub finding: Finding,
    pub durations: Histogram,
}

type Looks = Arc<std::sync::Mutex<BTreeMap<View, Look>>>;

/// A running check. It begins with the verdict that [`Watch::standing`] says, and tells of changes.
#[derive(Debug)]
pub struct Watch {
    name: String,
    kind: &'static str,
    standing: watch::Receiver<Standing>,
    server: watch::Receiver<Option<Seen>>,
    looks: Looks,
    task: JoinHandle<()>,
}

impl Watch {
    /// Starts it. Must be called inside the runtime.
    pub fn start(check: Check, context: Context) -> Self {
        let judge = Judge::new(&check);
        let (standing_in, standing) = watch::channel(Standing {
            verdict: judge.verdict(),
            since: None,
            cause: judge.cause().to_owned(),
            changes: 0,
        });
        let (server_in, server) = watch::channel(None);
        let (name, kind) = (check.name.clone(), check.kind.name());
        let looks = Looks::default();
        let task = tokio::spawn(supervise(check, judge, context, standing_in, server_in, Arc::clone(&looks)));
        Self { name, kind, standing, server, looks, task }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// tcp, script or mysql.
    pub const fn kind(&self) -> &'static str {
        self.kind
    }

    pub fn standing(&self) -> Standing {
        self.standing.borrow().clone()
    }

    /// What each view saw last; a view that has not looked yet is not in it.
    pub fn looks(&self) -> BTreeMap<View, Look> {
        self.looks.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What the server said last; None without a state probe, or while it does not answer.
    pub fn server(&self) -> Option<Seen> {
        self.server.borrow().clone()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Where probes hand in their findings.
#[derive(Clone, Debug)]
pub(super) struct Desk {
    findings: mpsc::Sender<(View, Finding)>,
    looks: Looks,
}

impl Desk {
    pub(super) async fn tell(&self, view: View, finding: Finding) {
        // Closed: the check ends, and this task with it.
        if self.findings.send((view, finding)).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// The same of a look that began at this time.
    pub(super) async fn tell_since(&self, began: Instant, view: View, finding: Finding) {
        let at = Instant::now();
        let took = at - began;
        {
            let mut looks = self.looks.lock().unwrap_or_else(PoisonError::into_inner);
            let look = looks.entry(view).or_insert_with(|| Look {
                at,
                took,
                finding: Finding::good(),
                durations: Histogram::default(),
            });
            (look.at, look.took) = (at, took);
            look.finding.clone_from(&finding);
            look.durations.add(took);
        }
        self.tell(view, finding).await;
    }
}

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;
/// Makes a probe's task, again and again.
type Maker = Box<dyn Fn() -> Task + Send>;

/// Probes that are started again when they panic.
#[derive(Default)]
pub(super) struct Probes {
    tasks: JoinSet<()>,
    makers: Vec<(&'static str, Maker)>,
    running: HashMap<tokio::task::Id, usize>,
}

impl Probes {
    pub(super) fn add<A, F>(&mut self, name: &'static str, argument: A, probe: fn(A) -> F)
    where
        A: Clone + Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let make = move || -> Task { Box::pin(probe(argument.clone())) };
        self.makers.push((name, Box::new(make)));
        self.spawn(self.makers.len() - 1, Duration::ZERO);
    }

    fn spawn(&mut self, index: usize, delay: Duration) {
        let Some((_, make)) = self.makers.get(index) else { return };
        let task = make();
        let handle: AbortHandle = self.tasks.spawn(async move {
            sleep(delay).await;
            task.await;
        });
        self.running.insert(handle.id(), index);
    }

    /// Waits for a probe to die, which none does by itself; starts it again and says which one it was.
    async fn next_death(&mut self) -> &'static str {
        loop {
            let id = match self.tasks.join_next_with_id().await {
                None => std::future::pending().await,
                Some(Ok((id, ()))) => id,
                Some(Err(error)) => error.id(),
            };
            if let Some(index) = self.running.remove(&id) {
                self.spawn(index, AFTER_PANIC);
                if let Some((name, _)) = self.makers.get(index) {
                    return name;
                }
            }
        }
    }
}

async fn supervise(
    check: Check,
    mut judge: Judge,
    context: Context,
    standing: watch::Sender<Standing>,
    server: watch::Sender<Option<Seen>>,
    looks: Looks,
) {
    let start = Instant::now();
    let (findings_in, mut findings) = mpsc::channel(FINDINGS);
    let desk = Desk { findings: findings_in, looks };
    let mut probes = Probes::default();
    let view = match &check.kind {
        Kind::Tcp(settings) => {
            probes.add("tcp", (settings.clone(), desk.clone()), tcp::run);
            View::Plain
        }
        Kind::Script(settings) => {
            probes.add("script", (settings.clone(), desk.clone()), script::run);
            View::Plain
        }
        Kind::Mysql(settings) => {
            let shared = mysql::Shared {
                instance: Arc::clone(&context.instance),
                settings: Arc::new((**settings).clone()),
                desk: desk.clone(),
                kick: Arc::new(Notify::new()),
                active: context.active.clone(),
                is_managed: context.is_managed,
                seen: server,
            };
            mysql::start(&mut probes, &shared, context.witness.clone());
            View::State
        }
    };
    let (mut said, mut seen) = (Said::default(), judge.seen());
    let herald = Herald { check: &check, instance: Arc::clone(&context.instance), queue: Arc::default() };
    loop {
        let (view, finding) = tokio::select! {
            Some(heard) = findings.recv() => heard,
            name = probes.next_death() => {
                let cause = format!(
                    "the {name} probe panicked: the server asks for something that the client library cannot do (see the \
                     line before); change the account's authentication"
                );
                (view, Finding::new(Symptom::Wrong, cause))
            }
        };
        let now = vrrp::Instant::from_nanos(u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX));
        let change = judge.hear(view, &finding, now);
        let before = std::mem::replace(&mut seen, judge.seen());
        if change.is_some() || seen != before {
            tell(&context, &check.name, &judge, change.is_some()).await;
        }
        let Some(change) = change else {
            let reason = judge.reason();
            standing.send_if_modified(|standing| {
                let is_other = standing.cause != reason.cause;
                if is_other {
                    reason.cause.clone_into(&mut standing.cause);
                }
                is_other
            });
            if said.is_news(reason) {
                herald.explain(judge.verdict(), reason.cause);
            }
            continue;
        };
        said.begin(judge.reason());
        standing.send_modify(|standing| {
            standing.verdict = change.to;
            standing.since = Some(Instant::now());
            standing.cause.clone_from(&change.cause);
            standing.changes += 1;
        });
        herald.announce(&change);
    }
}

async fn tell(context: &Context, check: &str, judge: &Judge, is_change: bool) {
    let told = Told {
        instance: Arc::clone(&context.instance),
        check: check.to_owned(),
        run: context.run,
        verdict: judge.verdict(),
        seen: judge.seen(),
        is_change,
        cause: judge.cause().to_owned(),
    };
    if context.told.send(told).await.is_err() {
        tracing::debug!("nobody acts on verdicts any more: the daemon ends");
    }
}

/// Reasons that the log has for the present verdict.
#[derive(Default)]
struct Said(BTreeSet<(View, Symptom, String)>);

impl Said {
    /// A server that has something else to say each time is not listened to for ever.
    const MOST: usize = 16;

    /// The verdict is another one, and was said with this reason.
    fn begin(&mut self, reason: Reason<'_>) {
        self.0.clear();
        self.is_news(reason);
    }

    fn is_news(&mut self, Reason { view, symptom, cause }: Reason<'_>) -> bool {
        let words = match symptom {
            // It answers, and what it says is what has to be mended; another number in it is no other trouble.
            Symptom::Wrong | Symptom::Impaired => {
                cause.chars().filter(|one| !one.is_ascii_digit() && *one != '.').collect()
            }
            // The ways in which the same death shows.
            Symptom::Good
            | Symptom::Timeout
            | Symptom::Stuck
            | Symptom::Closed
            | Symptom::Leaving
            | Symptom::Gone => String::new(),
        };
        symptom != Symptom::Good && self.0.len() < Self::MOST && self.0.insert((view, symptom, words))
    }
}

/// Says a change: to the log, and to whoever asked to be notified.
struct Herald<'c> {
    check: &'c Check,
    instance: Arc<str>,
    /// Notifications of one check run one after the other.
    queue: Arc<Mutex<()>>,
}

impl Herald<'_> {
    /// The verdict stays, and has another reason.
    fn explain(&self, verdict: Verdict, cause: &str) {
        tracing::warn!(instance = &*self.instance, "check {}: still {verdict}: {cause}", self.check.name);
    }

    fn announce(&self, change: &Change) {
        let (instance, name) = (&*self.instance, &self.check.name);
        let Change { from, to, after, cause } = change;
        let after = after.map(|after| format!(" after {after:.3?}")).unwrap_or_default();
        let why = if cause.is_empty() { String::new() } else { format!(": {cause}") };
        let line = format!("check {name}: {from} -> {to}{after}{why}");
        let consequence = self.consequence(*to);
        match to {
            Verdict::Healthy => tracing::info!(instance, "{line}"),
            Verdict::Degraded | Verdict::Misconfigured => tracing::warn!(instance, "{line}{consequence}"),
            Verdict::Hung | Verdict::Leaving | Verdict::Dead => {
                tracing::error!(instance, "{line}{consequence}")
            }
        }
        let command = match (self.is_down(*from), self.is_down(*to)) {
            (false, true) => self.check.notify_down.as_ref(),
            (true, false) => self.check.notify_up.as_ref(),
            (true, true) | (false, false) => None,
        };
        if let Some(command) = command {
            self.notify(command.clone(), *to);
        }
    }

    fn consequence(&self, verdict: Verdict) -> String {
        match self.check.on_failure.to(verdict) {
            None if verdict == Verdict::Misconfigured => "; this moves no address".to_owned(),
            None => String::new(),
            Some(Reaction::Report) => "; only reported".to_owned(),
            Some(Reaction::Release) => "; giving the addresses up".to_owned(),
            Some(Reaction::Weight(_)) => {
                let weight = self.check.on_failure.contribution(verdict) - self.check.on_failure.bonus();
                format!("; priority {weight:+}")
            }
        }
    }

    /// Degraded is down where it has consequences.
    fn is_down(&self, verdict: Verdict) -> bool {
        match verdict {
            Verdict::Healthy | Verdict::Misconfigured => false,
            Verdict::Degraded => self.check.on_failure.degraded != Reaction::Report,
            Verdict::Hung | Verdict::Leaving | Verdict::Dead => true,
        }
    }

    fn notify(&self, command: CommandLine, verdict: Verdict) {
        let environment = [
            ("VRRP_INSTANCE", self.instance.to_string()),
            ("VRRP_CHECK", self.check.name.clone()),
            ("VRRP_VERDICT", verdict.name().to_owned()),
        ];
        let (queue, instance) = (Arc::clone(&self.queue), Arc::clone(&self.instance));
        tokio::spawn(async move {
            let _turn = queue.lock().await;
            let instance = &*instance;
            let program = command.program.display();
            match script::execute(&command, None, &environment, NOTIFY).await {
                Outcome::Good => tracing::debug!(instance, "notified: {program}"),
                Outcome::Failed(why) | Outcome::TimedOut(why) | Outcome::NotRun(why) => {
                    tracing::warn!(instance, "notification {program}: {why}");
                }
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU8;

    use super::super::settings::{Reactions, Script};
    use super::*;

    #[tokio::test]
    async fn what_is_seen_is_told_without_another_verdict() {
        let program = "/nonexistent/vrrp-check".into();
        let script = Script {
            command: CommandLine { program, arguments: Vec::new() },
            interval: Duration::from_millis(10),
            timeout: Duration::from_secs(1),
            user: None,
            init_fail: true,
        };
        let one = NonZeroU8::MIN;
        let check = Check {
            name: "s".into(),
            kind: Kind::Script(script),
            rise: one,
            fall: one,
            hold_down: Duration::ZERO,
            on_failure: Reactions::all(Reaction::Release),
            notify_down: None,
            notify_up: None,
        };
        let (told_in, mut told) = mpsc::channel(4);
        let context = Context {
            instance: Arc::from("A"),
            run: 1,
            active: watch::channel(false).1,
            is_managed: false,
            witness: None,
            told: told_in,
        };
        let _running = Watch::start(check, context);
        let told = tokio::time::timeout(Duration::from_secs(10), told.recv()).await.unwrap().unwrap();
        assert_eq!((told.verdict, told.seen, told.is_change), (Verdict::Dead, Verdict::Misconfigured, false));
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_that_panics_is_named_and_starts_over() {
        async fn probe(starts: mpsc::Sender<()>) {
            starts.send(()).await.unwrap();
            panic!("as the client library does for a method of authentication that it was not built with");
        }
        let (starts_in, mut starts) = mpsc::channel(4);
        let mut probes = Probes::default();
        probes.add("fast", starts_in, probe);
        for _ in 0..2 {
            starts.recv().await.unwrap();
            let began = Instant::now();
            assert_eq!(probes.next_death().await, "fast");
            assert!(began.elapsed() < AFTER_PANIC, "it is said at once");
        }
    }
    #[test]
    fn another_trouble_behind_the_same_verdict_is_news_once_and_another_number_is_none() {
        let lag = |seconds: u32| format!("replication is {seconds}s behind, more than 30s");
        let stopped = "replication: the SQL thread has error 1062: Duplicate entry".to_owned();
        let mut said = Said::default();
        fn reason(cause: &str) -> Reason<'_> {
            Reason { view: View::State, symptom: Symptom::Impaired, cause }
        }
        said.begin(reason(&lag(31)));
        for (cause, is_news) in [
            (lag(32), false),
            (lag(4000), false),
            (stopped.clone(), true),
            (lag(31), false),
            (stopped, false),
        ] {
            assert_eq!(said.is_news(reason(&cause)), is_news, "{cause}");
        }
        let gone = |cause| Reason { view: View::Fast, symptom: Symptom::Gone, cause };
        said.begin(gone("process 1 ended"));
        assert!(!said.is_news(gone("refused")), "the same death");
        let wrong = Reason { symptom: Symptom::Wrong, ..gone("1045") };
        assert!(said.is_news(wrong) && !said.is_news(wrong));
        said.begin(reason("x"));
        let many = (0..1000_u32).filter(|n| said.is_news(reason(&"y".repeat(*n as usize)))).count();
        assert!(many < Said::MOST, "{many}");
    }
}
