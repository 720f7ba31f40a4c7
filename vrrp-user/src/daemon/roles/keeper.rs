//! One server's task: takes orders one at a time, changes the role, and passes the order on.
//!
//! Owns the order of things on the way: writable before the addresses come on; read-only, sessions ended and sockets
//! destroyed before they go, unless the time for that is over. Refuses to decide what follows between changes (`active`,
//! `standby`).

use std::net::{IpAddr, Ipv4Addr};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::sync::{mpsc, watch};
use tokio::time::{MissedTickBehavior, interval, sleep_until, timeout};

use super::Shown;
use super::commits::Commits;
use super::decision::Decision;
use super::errant::Errant;
use super::lag::Lag;
use super::matter::matter;
use super::orders::{Offer, Order, Orders};
use super::post::Post;
use crate::config::{Access, Role};
use crate::daemon::standing::{Holder, Standing};
use crate::database::{Credentials, Place};
use crate::health::process;
use crate::health::secret::SecretError;
use crate::health::verdict::Verdict;
use crate::net::clock;
use crate::net::doors::Doors;
use crate::role::{Behind, Divergence, Driver, Lost, Occasion, Refusal, Stuck};
use crate::vrrp::{Instant, Job};

#[cfg(test)]
mod tests;

/// Between two looks at both servers: what the peer acknowledged after the last one cannot be named when it dies.
const LOOK: Duration = Duration::from_millis(250);
/// What is still wrong is said again after this.
const REMIND: Duration = Duration::from_secs(60);
/// To find a process and to kill it.
const KILL: Duration = Duration::from_secs(2);

/// Since the server was won.
#[derive(Clone, Debug, Default)]
pub(super) struct Term {
    pub(super) is_won: bool,
    /// What the peer writes is taken in.
    pub(super) is_following: bool,
    /// It has been, in this term: what the peer has of its own since then, it wrote as a second master.
    pub(super) has_followed: bool,
    /// Another master was heard since: what the peer has by now that it had not before, it wrote as that one.
    pub(super) has_rival: bool,
    /// What it has of its own all the same does not come in.
    pub(super) has_errant_follower: bool,
    /// And was asked for once more.
    pub(super) asked_again_at: Option<Instant>,
    /// The addresses are here and the server is read-only, since the gate does not let it write.
    pub(super) is_quarantined: bool,
    /// Because of what both have: only their agreement ends it.
    pub(super) has_diverged: bool,
    /// A person said so: with a peer that is dead, nobody's agreement is waited for.
    pub(super) may_go_alone: bool,
    /// The gate is not tried again before.
    pub(super) retry_at: Option<Instant>,
    /// At the gate the peer refused writes.
    pub(super) saw_follower: bool,
    pub(super) commits: Commits,
    /// They are not looked at before.
    pub(super) commits_from: Option<Instant>,
    /// The peer has everything and nobody writes: the order to let go is on its way, or will not come any more.
    pub(super) offered_until: Option<Instant>,
}

/// See the file's head.
pub(super) struct Keeper {
    pub(super) instance: String,
    pub(super) role: Role,
    is_owner: bool,
    pub(super) post: Post,
    pub(super) standing: Standing,
    shown: watch::Sender<Shown>,
    verdict: watch::Receiver<Option<Verdict>>,
    pub(super) driver: Driver<Doors>,
    pub(super) term: Term,
    /// The server may be writable although it should not.
    pub(super) is_tainted: bool,
    /// `stuck: leave`, and it was.
    pub(super) is_left_alone: bool,
    /// The receiver is stopped, by us.
    pub(super) is_deaf: bool,
    /// Looks in a row at which the peer's server did not answer.
    pub(super) unheard: u32,
    /// How the standby's server follows, ours or the peer's.
    pub(super) lag: Lag,
    /// How the active one's server takes in what only the peer's has.
    pub(super) errant_lag: Lag,
    /// What was written here, as a standby.
    pub(super) errant: Errant,
    pub(super) decision: Decision,
    /// Since when the peer has been seen diverged and read-only, and this server is not the one to serve.
    pub(super) deadlocked_since: Option<Instant>,
    /// A person said so after a refusal: the next try needs no peer that agrees.
    pub(super) has_decided: bool,
    /// By this order the addresses are to go, and have not been let go yet.
    leaving: Option<Job>,
    said: Option<(String, Instant)>,
}

impl Keeper {
    pub(super) fn new(
        instance: &str,
        role: Role,
        is_owner: bool,
        post: Post,
        standing: Standing,
        shown: watch::Sender<Shown>,
        verdict: watch::Receiver<Option<Verdict>>,
    ) -> Self {
        let open = |access: &Access| {
            let (credentials, error) = credentials(access);
            if let Some(error) = error {
                // It will be refused, and each refusal says so, until it can be read.
                tracing::error!(instance, "{error}; without it nothing about the server can be changed");
            }
            credentials
        };
        let (local, peer) = (open(&role.local), role.peer.as_ref().map(open));
        let driver = Driver::new(instance, role.settings.clone(), local, peer, post.doors.clone())
            .marking(Arc::clone(&post.board), post.router)
            .remembering(post.state_dir.join(format!("semi-sync-lowered-{instance}")))
            .recalling(post.state_dir.join(format!("peer-position-{instance}")), Arc::clone(&post.turn));
        let peer_had = driver.last_known().map(|seen| seen.position.clone());
        let decision = Decision::new(instance, role.settings.diverged, &post.state_dir, peer_had);
        Self {
            instance: instance.to_owned(),
            role,
            is_owner,
            post,
            standing,
            shown,
            verdict,
            driver,
            term: Term::default(),
            is_tainted: true,
            is_left_alone: false,
            // Perhaps by the process before this one.
            is_deaf: true,
            unheard: 0,
            lag: Lag::default(),
            errant_lag: Lag::default(),
            errant: Errant::default(),
            decision,
            deadlocked_since: None,
            has_decided: false,
            leaving: None,
            said: None,
        }
    }

    /// Ends when there will be no more orders. A panic is a fault of this program, and must not leave a server without anybody
    /// who sees to it.
    pub(super) async fn run(mut self, mut orders: Orders, mut offers: mpsc::Receiver<Offer>) {
        while AssertUnwindSafe(self.serve(&mut orders, &mut offers)).catch_unwind().await.is_err() {
            tracing::error!(
                instance = self.instance,
                "what changes the server's role failed, which is a fault of this program: starting over"
            );
            self.start_over();
            tokio::time::sleep(LOOK).await;
        }
    }

    /// What was won is still under its address, and nobody orders that again: the next look finds it read-only there, and passes
    /// the gate. What was on its way out goes on.
    fn start_over(&mut self) {
        match self.leaving.take() {
            Some(job) => self.post.let_go(job),
            // They may have been shut for an offer.
            None if self.term.is_won => self.post.doors.open(),
            None => {}
        }
        self.term = Term { is_won: self.term.is_won, ..Term::default() };
        (self.is_tainted, self.is_deaf) = (true, true);
    }

    async fn serve(&mut self, orders: &mut Orders, offers: &mut mpsc::Receiver<Offer>) {
        if self.is_owner {
            self.is_tainted = false;
        } else {
            self.begin_read_only().await;
        }
        let mut tick = interval(LOOK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut ahead = None;
        loop {
            let order = match ahead.take() {
                Some(order) => Some(order),
                None => tokio::select! {
                    biased;
                    order = orders.next() => order,
                    Some(offer) = offers.recv() => match orders.unless(self.take_offer(offer)).await {
                        Ok(()) => continue,
                        Err(order) => order,
                    },
                    _ = tick.tick() => match orders.unless(self.look(false)).await {
                        Ok(()) => continue,
                        Err(order) => order,
                    },
                },
            };
            ahead = match order {
                Some(Order::Take { job }) => self.take(job, orders).await,
                Some(Order::Drop { job, is_release }) => self.give_up(job, is_release, orders).await,
                Some(Order::Rival) => match orders.unless(self.look(true)).await {
                    Ok(()) => None,
                    Err(order) => order,
                },
                None => return,
            };
        }
    }

    async fn look(&mut self, is_rival: bool) {
        if let Some(until) = self.term.offered_until {
            if clock::now() < until {
                return;
            }
            self.withdraw();
        }
        if self.term.is_won {
            // Taken off by the guard while we were frozen: the order to give the role up is on its way, and a server that was
            // made read-only meanwhile must stay so.
            if is_rival || self.post.board.is_held(self.post.router) {
                self.look_as_active(is_rival).await;
            }
        } else if !is_rival {
            self.look_as_standby().await;
        }
    }

    async fn take_offer(&mut self, offer: Offer) {
        match offer {
            // Whoever asked may have gone.
            Offer::Make { answer, until } => answer.send(self.offer(until).await).unwrap_or_default(),
            Offer::Withdraw => self.withdraw(),
            Offer::GoAlone => self.take_word(),
        }
    }

    /// Under the address it decides. Without it, it is for the next try alone, whatever kept the address from here: what the other
    /// server does until then may make it void, and nothing is decided by a word that was not used.
    fn take_word(&mut self) {
        self.term.may_go_alone = self.term.is_quarantined;
        self.term.retry_at = None;
        self.has_decided = !self.term.is_won;
        if self.term.is_quarantined {
            self.decision.be_chosen();
        }
    }

    /// An order that was expected does not come: the next look finds the server read-only under its address, and mends that.
    fn withdraw(&mut self) {
        if self.term.offered_until.take().is_some() {
            self.post.doors.open();
        }
    }

    /// Before anything is given up: nobody writes, and the peer has everything. If that cannot be had, all is as it was.
    async fn offer(&mut self, until: Instant) -> Result<(), String> {
        let is_hopeless = matches!(*self.verdict.borrow(), Some(Verdict::Hung | Verdict::Dead));
        if !self.term.is_won || self.term.is_quarantined || is_hopeless {
            return Ok(());
        }
        let limit = self.role.handover_timeout;
        self.refuse_new(until.since(clock::now()));
        self.show("offering the role to the peer", false);
        let lost = timeout(limit, self.driver.lose(Occasion::Offered)).await.unwrap_or_else(|_elapsed| {
            Lost { obstacle: Some("it takes longer than handover_timeout".to_owned()), ..Lost::default() }
        });
        if lost.is_gone {
            return Ok(());
        }
        let Some(obstacle) = lost.obstacle.filter(|_| !lost.is_handed_over) else {
            self.term.offered_until = Some(until);
            self.show("handing over", true);
            return Ok(());
        };
        if let Err(how) = self.driver.allow_writes().await {
            self.say(&format!("the server cannot be made writable again after the hand-over failed: {how}"));
        }
        self.post.doors.open();
        self.show(if self.term.is_following { "active; the peer follows" } else { "active" }, true);
        Err(obstacle)
    }

    /// The first step of losing, and said as the others are.
    fn refuse_new(&self, span: Duration) {
        let began = clock::now();
        if self.post.doors.refuse_new(span) {
            let took = clock::now().since(began);
            tracing::info!("{}: block new connections took {took:?}", self.instance);
        }
    }

    /// Before anything else.
    async fn begin_read_only(&mut self) {
        self.show("making the server read-only", false);
        match self.driver.start_read_only().await {
            Ok(()) => {
                self.is_tainted = false;
                tracing::info!(instance = self.instance, "the server is read-only until the address is won");
            }
            Err(how) => self.say(&format!("the server cannot be made read-only at the start: {how}")),
        }
        self.show("standby", true);
    }

    /// The order that cut it short.
    async fn take(&mut self, job: Job, orders: &mut Orders) -> Option<Order> {
        if self.term.is_won {
            // Again: somebody took one off, or they are others now.
            self.post.take(job);
            return None;
        }
        self.show("being promoted", false);
        // On the way it is stopped, wherever the way ends.
        self.is_deaf = true;
        let mut job = job;
        let mandate = self.decision.mandate(self.has_decided);
        let result = {
            let win = self.driver.win(mandate);
            tokio::pin!(win);
            loop {
                tokio::select! {
                    biased;
                    order = orders.next_but_rival() => match order {
                        Some(Order::Take { job: later }) => job = later,
                        order @ (Some(Order::Drop { .. } | Order::Rival) | None) => break Err(order),
                    },
                    result = &mut win => break Ok(result),
                }
            }
        };
        // Refused before that, it is as read-only as it was, and nobody's session need end.
        self.is_tainted |= self.driver.may_be_writable();
        let result = match result {
            Ok(result) => result,
            Err(order) => return order,
        };
        match result {
            Ok(won) => {
                self.is_left_alone = false;
                self.said = None;
                if std::mem::take(&mut self.has_decided) {
                    self.decision.be_chosen();
                }
                self.decision.win();
                if won.is_peer_read_only {
                    self.decision.note_peer(self.driver.last_known().map(|seen| &seen.position));
                }
                self.forget_the_standby();
                let saw_follower = won.is_peer_read_only;
                self.term = Term { is_won: true, saw_follower, ..Term::default() };
                self.post.take(job);
                self.show("active", true);
            }
            Err(refusal) => {
                self.decision.note_refusal(mandate, &refusal);
                self.withhold(job, &refusal);
            }
        }
        None
    }

    fn withhold(&mut self, job: Job, refusal: &Refusal) {
        // Each try takes the address from a peer that may hold it: what time does not mend is not tried again.
        let is_lasting = match refusal {
            Refusal::Diverged { .. } | Refusal::Undecided => true,
            Refusal::Behind(_) => {
                let settings = &self.role.settings;
                settings.behind == Behind::Refuse || settings.diverged == Divergence::ReadOnly
            }
            Refusal::NotApplied
            | Refusal::PeerWritable
            | Refusal::PeerUnaskable { .. }
            | Refusal::Server { .. } => false,
        };
        // The other one serves, or the word was for a try that time will not bring again.
        let is_void = is_lasting || *refusal == Refusal::PeerWritable;
        if is_void || self.role.settings.diverged == Divergence::ReadOnly {
            self.has_decided = false;
        }
        if is_lasting {
            // Whether it follows must be seen anew.
            self.lag = Lag::default();
            self.standing.hold(
                &self.instance,
                Holder::Role,
                format!("the server is not promoted: {refusal}"),
            );
        }
        self.post.withhold(job);
        self.show(&format!("not promoted: {refusal}"), true);
    }

    /// The order that cut it short.
    async fn give_up(&mut self, job: Job, is_release: bool, orders: &mut Orders) -> Option<Order> {
        if !self.term.is_won && !self.is_tainted {
            self.post.let_go(job);
            return None;
        }
        self.show("being demoted", false);
        self.note_obstacle(None);
        let was_active = std::mem::take(&mut self.term).is_won;
        // A look may have been cut short between the receiver's stop and its start.
        (self.is_tainted, self.is_deaf) = (true, true);
        let is_hopeless = matches!(*self.verdict.borrow(), Some(Verdict::Hung | Verdict::Dead));
        let is_planned = was_active && is_release && !is_hopeless;
        let occasion = if is_planned { Occasion::Planned } else { Occasion::Forced };
        let keep = match (is_planned, was_active && !is_hopeless) {
            (true, _) => self.role.handover_timeout,
            (false, true) => self.role.settings.statement_limit,
            // Whoever hangs is not waited for; what was never won has no clients.
            (false, false) => Duration::ZERO,
        };
        // Before anything else: who comes now would be turned away in the middle.
        self.refuse_new(keep);
        self.leaving = Some(job);
        let mut let_go_at = tokio::time::Instant::now() + keep;
        let (mut cut_short, mut lost) = (None, None);
        {
            let lose = self.driver.lose(occasion);
            tokio::pin!(lose);
            loop {
                tokio::select! {
                    biased;
                    done = &mut lose => {
                        lost = Some(done);
                        break;
                    }
                    () = sleep_until(let_go_at), if self.leaving.is_some() => {
                        if is_planned {
                            tracing::error!(
                                instance = self.instance,
                                "the hand-over takes longer than handover_timeout: the addresses go now"
                            );
                        }
                        if let Some(job) = self.leaving.take() {
                            self.post.let_go(job);
                        }
                    }
                    order = orders.next_but_rival() => match order {
                        Some(Order::Drop { job: later, .. }) if self.leaving.is_none() => {
                            self.post.let_go(later);
                        }
                        Some(Order::Drop { job: later, is_release }) => {
                            self.leaving = Some(later);
                            if !is_release {
                                let soon = tokio::time::Instant::now() + self.role.settings.statement_limit;
                                let_go_at = let_go_at.min(soon);
                            }
                        }
                        order @ (Some(Order::Take { .. } | Order::Rival) | None) => {
                            cut_short = order;
                            break;
                        }
                    },
                }
            }
        }
        if let Some(job) = self.leaving.take() {
            self.post.let_go(job);
        }
        self.forget_the_standby();
        if let Some(lost) = lost {
            let may_write = was_active || self.driver.may_be_writable();
            self.is_tainted = !lost.is_read_only && !lost.is_gone;
            if self.is_tainted {
                self.deal_with_stuck(may_write).await;
            }
        }
        self.show("standby", true);
        cut_short
    }

    /// The addresses are gone and the server could not be made read-only. Without `may_write` it was never made writable here,
    /// and is not killed merely because it cannot be asked.
    async fn deal_with_stuck(&mut self, may_write: bool) {
        match self.role.settings.stuck {
            Stuck::Leave => {
                self.is_left_alone = true;
                self.driver.leave_alone();
                self.say("the server could not be made read-only; stuck is leave: it is left as it is");
            }
            Stuck::Kill if !may_write => {
                self.say("the server does not say that it is read-only; it was never made writable here");
            }
            Stuck::Retry => self.say("the server could not be made read-only; trying again until it is"),
            Stuck::Kill => {
                let (address, port, socket) = match self.role.local.place.clone() {
                    Place::Socket(socket) => (IpAddr::V4(Ipv4Addr::LOCALHOST), 0, Some(socket)),
                    Place::Tcp(address, port) => (address, port.get(), None),
                };
                let kill = tokio::task::spawn_blocking(move || process::kill(address, port, socket));
                let killed = match timeout(KILL, kill).await {
                    Ok(killed) => killed,
                    // Its disk hangs, by which the process would have been found.
                    Err(_elapsed) => return self.say("the stuck server could not be killed in time"),
                };
                match killed {
                    Ok(Ok(Some(pid))) => self.say(&format!(
                        "the server could not be made read-only; stuck is kill: process {pid} was killed"
                    )),
                    Ok(Ok(None)) => self.say(
                        "the server could not be made read-only; stuck is kill, and no process of this host serves there: none \
                         was killed",
                    ),
                    Ok(Err(error)) => self.say(&format!("the stuck server could not be killed: {error}")),
                    Err(error) => self.say(&format!("the stuck server could not be killed: {error}")),
                }
            }
        }
    }

    fn forget_the_standby(&mut self) {
        (self.lag, self.errant_lag) = (Lag::default(), Lag::default());
        (self.errant, self.deadlocked_since) = (Errant::default(), None);
    }

    pub(super) fn show(&self, text: &str, is_idle: bool) {
        let awaits_person = self.term.is_quarantined;
        // Said again at each look: it wakes nobody who knows.
        self.shown.send_if_modified(|shown| {
            let is_news =
                (shown.text.as_str(), shown.is_idle, shown.awaits_person) != (text, is_idle, awaits_person);
            if is_news {
                text.clone_into(&mut shown.text);
                (shown.is_idle, shown.awaits_person) = (is_idle, awaits_person);
            }
            is_news
        });
    }

    /// Why the peer's server could not take over now.
    pub(super) fn note_obstacle(&self, obstacle: Option<String>) {
        self.shown.send_if_modified(|shown| {
            let is_news = shown.obstacle != obstacle;
            shown.obstacle = obstacle;
            is_news
        });
    }

    /// An error that stays one until somebody mends it: said once, and again now and then.
    pub(super) fn say(&mut self, text: &str) {
        let now = clock::now();
        let matter = matter(text);
        let is_news = self.said.as_ref().is_none_or(|(said, at)| *said != matter || now.since(*at) >= REMIND);
        if is_news {
            tracing::error!(instance = self.instance, "{text}");
            self.said = Some((matter, now));
        }
    }

    pub(super) fn nothing_to_say(&mut self) {
        self.said = None;
    }
}

pub(super) fn credentials(access: &Access) -> (Credentials, Option<SecretError>) {
    let Access { place, account, tls } = access;
    Credentials::read(place.clone(), &account.user, account.password.clone(), tls.clone())
}
