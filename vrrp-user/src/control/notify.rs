//! Telling others of transitions and verdicts: scripts, a FIFO, mail, a webhook.
//!
//! Owns who is told what. Each way has its own queue and its own task, so that none waits for another, and whoever tells
//! waits for nobody. What a queue loses when it is full is what later news of the same subject have made old: the last
//! state is always delivered. Refuses to know where news come from.

mod fifo;
mod mail;
mod names;
mod outbox;
mod script;
mod webhook;

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use super::snapshot::{Delivery, State};
use crate::config::{Command, Config, InstanceNotify, Mail, Notify, Scripts, Topic, Webhook};
use crate::health::verdict::Verdict;
use outbox::Outbox;

/// Scripts of all instances that run at once.
const SCRIPTS: usize = 64;
/// A script that runs when the daemon ends gets so long: it may have to undo what another one did.
pub const SCRIPT_FAREWELL: Duration = Duration::from_secs(5);
/// Everything else: a mail server that does not answer must not keep a daemon from ending within its second.
const FAREWELL: Duration = Duration::from_millis(500);

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct News {
    pub time_unix_ms: u64,
    pub instance: String,
    pub priority: u8,
    pub why: String,
    pub what: What,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    State(State),
    Check { check: String, verdict: Verdict },
}

impl News {
    /// As keepalived calls the states.
    fn word(&self) -> &'static str {
        match &self.what {
            What::State(State::Master) => "MASTER",
            What::State(State::Backup) => "BACKUP",
            What::State(State::Fault) => "FAULT",
            What::State(State::Initialize) => "STOP",
            What::Check { verdict, .. } => verdict.name(),
        }
    }

    const fn topic(&self) -> Topic {
        match self.what {
            What::State(State::Master) => Topic::Master,
            What::State(State::Backup) => Topic::Backup,
            What::State(State::Fault) => Topic::Fault,
            What::State(State::Initialize) => Topic::Stop,
            What::Check { .. } => Topic::Health,
        }
    }

    /// News of the same subject replace each other.
    fn subject(&self) -> String {
        match &self.what {
            What::State(_) => self.instance.clone(),
            What::Check { check, .. } => format!("{}/{check}", self.instance),
        }
    }
}

/// How the deliveries of one kind went.
#[derive(Debug, Default)]
struct Tally {
    delivered: AtomicU64,
    failed: AtomicU64,
    superseded: AtomicU64,
}

impl Tally {
    fn note(&self, is_delivered: bool) {
        let counter = if is_delivered { &self.delivered } else { &self.failed };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    fn delivery(&self) -> Delivery {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Delivery {
            delivered: read(&self.delivered),
            failed: read(&self.failed),
            superseded: read(&self.superseded),
        }
    }
}

/// A way of telling, at work.
#[derive(Debug)]
struct Way<S, T> {
    settings: S,
    outbox: Outbox<T>,
}

/// Tells everybody. Must be used inside the runtime.
#[derive(Debug)]
pub struct Herald {
    router_id: String,
    notify: Notify,
    /// Of those that have something of their own, by name; those that have left stay until they have said so.
    instances: BTreeMap<String, InstanceNotify>,
    /// By instance.
    scripts: BTreeMap<String, Outbox<script::Job>>,
    fifo: Option<Way<std::path::PathBuf, News>>,
    mail: Option<Way<Mail, News>>,
    webhook: Option<Way<Webhook, News>>,
    tasks: Vec<JoinHandle<()>>,
    script_tasks: Vec<JoinHandle<()>>,
    turns: Arc<Semaphore>,
    /// Script, fifo, mail, webhook.
    tallies: [Arc<Tally>; 4],
}

const KINDS: [&str; 4] = ["script", "fifo", "mail", "webhook"];

impl Herald {
    pub fn new(config: &Config) -> Self {
        let mut herald = Self::silent();
        herald.go_by(config);
        herald
    }

    /// Tells nobody anything.
    pub fn silent() -> Self {
        Self {
            router_id: String::new(),
            notify: Notify::default(),
            instances: BTreeMap::new(),
            scripts: BTreeMap::new(),
            fifo: None,
            mail: None,
            webhook: None,
            tasks: Vec::new(),
            script_tasks: Vec::new(),
            turns: Arc::new(Semaphore::new(SCRIPTS)),
            tallies: Default::default(),
        }
    }

    /// Another configuration. A way that is the same goes on; one that is not ends when its queue is empty.
    pub fn go_by(&mut self, config: &Config) {
        self.tasks.retain(|task| !task.is_finished());
        self.script_tasks.retain(|task| !task.is_finished());
        self.router_id = config.router_id.clone().unwrap_or_else(names::host);
        for instance in &config.instances {
            match &instance.notify {
                Some(own) => self.instances.insert(instance.name.clone(), InstanceNotify::clone(own)),
                None => self.instances.remove(&instance.name),
            };
        }
        self.notify = config.notify.clone();
        let [_, fifo, mail, webhook] = self.tallies.clone();
        let router_id = self.router_id.clone();
        let tasks = &mut self.tasks;
        replace(&mut self.fifo, config.notify.fifo.as_ref(), tasks, &fifo, |path, news, tally| {
            fifo::run(path, news, tally)
        });
        let id = router_id.clone();
        replace(&mut self.mail, config.mail.as_ref(), tasks, &mail, |settings, news, tally| {
            mail::run(id, settings, news, tally)
        });
        let hook = config.notify.webhook.as_ref();
        replace(&mut self.webhook, hook, tasks, &webhook, |settings, news, tally| {
            webhook::run(router_id, settings, news, tally)
        });
    }

    /// Returns at once.
    pub fn tell(&mut self, news: &News) {
        let own = self.instances.get(&news.instance);
        let jobs = jobs(own.map(|own| &own.scripts), &self.notify.scripts, news);
        let mails = own.and_then(|own| own.mail.as_ref());
        if let Some(mail) = &self.mail
            && mails.unwrap_or(&mail.settings.on).contains(&news.topic())
        {
            mail.outbox.put(news.subject(), news.clone());
        }
        if let Some(webhook) = &self.webhook
            && webhook.settings.on.contains(&news.topic())
        {
            webhook.outbox.put(news.subject(), news.clone());
        }
        if let Some(fifo) = &self.fifo {
            fifo.outbox.put(news.subject(), news.clone());
        }
        if !jobs.is_empty() {
            let job = script::Job { commands: jobs, news: news.clone() };
            self.scripts_of(&news.instance).put(news.subject(), job);
        }
    }

    fn scripts_of(&mut self, instance: &str) -> &Outbox<script::Job> {
        let (tasks, turns, tally) = (&mut self.script_tasks, &self.turns, &self.tallies[0]);
        self.scripts.entry(instance.to_owned()).or_insert_with(|| {
            let outbox = Outbox::new(Arc::clone(tally));
            tasks.push(tokio::spawn(script::run(outbox.clone(), Arc::clone(turns), Arc::clone(tally))));
            outbox
        })
    }

    /// An instance has left for good, and everybody has been told.
    pub fn forget(&mut self, instance: &str) {
        self.instances.remove(instance);
        if let Some(outbox) = self.scripts.remove(instance) {
            outbox.close();
        }
    }

    /// By kind.
    pub fn deliveries(&self) -> BTreeMap<String, Delivery> {
        KINDS.iter().zip(&self.tallies).map(|(kind, tally)| ((*kind).to_owned(), tally.delivery())).collect()
    }

    /// Delivers what is left, for a bounded time.
    pub async fn finish(mut self) {
        self.scripts.values().for_each(Outbox::close);
        self.fifo.iter().for_each(|way| way.outbox.close());
        self.mail.iter().for_each(|way| way.outbox.close());
        self.webhook.iter().for_each(|way| way.outbox.close());
        let now = Instant::now();
        end(self.tasks.drain(..), "a notification", now, FAREWELL).await;
        end(self.script_tasks.drain(..), "a script", now, SCRIPT_FAREWELL).await;
    }
}

async fn end(tasks: impl Iterator<Item = JoinHandle<()>>, what: &str, since: Instant, limit: Duration) {
    for mut task in tasks {
        if timeout_at(since + limit, &mut task).await.is_err() {
            tracing::warn!("{what} takes longer than {limit:?} and is given up: the daemon ends");
            task.abort();
        }
    }
}

/// Ends a way whose settings have changed, and begins the new one.
fn replace<S, F>(
    way: &mut Option<Way<S, News>>,
    wanted: Option<&S>,
    tasks: &mut Vec<JoinHandle<()>>,
    tally: &Arc<Tally>,
    run: impl FnOnce(S, Outbox<News>, Arc<Tally>) -> F,
) where
    S: Clone + PartialEq,
    F: Future<Output = ()> + Send + 'static,
{
    if way.as_ref().map(|way| &way.settings) == wanted {
        return;
    }
    if let Some(former) = way.take() {
        former.outbox.close();
    }
    if let Some(settings) = wanted {
        let outbox = Outbox::new(Arc::clone(tally));
        tasks.push(tokio::spawn(run(settings.clone(), outbox.clone(), Arc::clone(tally))));
        *way = Some(Way { settings: settings.clone(), outbox });
    }
}

/// What to run, in order: keepalived runs a state's own script first, then the one for any.
fn jobs(own: Option<&Scripts>, all: &Scripts, news: &News) -> Vec<(Command, script::Arguments)> {
    let pick = |which: fn(&Scripts) -> &Option<Command>| {
        own.and_then(|own| which(own).clone()).or_else(|| which(all).clone())
    };
    let one = match news.topic() {
        Topic::Master => pick(|scripts| &scripts.master),
        Topic::Backup => pick(|scripts| &scripts.backup),
        Topic::Fault => pick(|scripts| &scripts.fault),
        Topic::Stop => pick(|scripts| &scripts.stop),
        Topic::Health => return pick(|scripts| &scripts.health).map(script::told).into_iter().collect(),
    };
    let any = pick(|scripts| &scripts.any).map(script::told);
    one.map(script::as_written).into_iter().chain(any).collect()
}

#[cfg(test)]
mod tests;
