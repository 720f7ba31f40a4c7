//! Between changes, on the host with the address: the server is the only one that takes writes, and receives from its peer
//! only while the peer has nothing of its own.

use std::time::Duration;

use tokio::time::sleep;

use super::decision::Judgement;
use super::keeper::Keeper;
use super::lag::Lag;
use crate::mysql::Relation;
use crate::net::clock;
use crate::role::{Divergence, PeerAnswer, SemiSyncPolicy, View, in_words};

const LOOK_AGAIN: Duration = Duration::from_millis(5);
/// Looks in a row without an answer that make a peer's server one that is away.
pub(super) const AWAY: u32 = 4;
/// A follower that lacks something and has not moved for this long does not follow.
pub(super) const STANDS_STILL: Duration = Duration::from_secs(2);
/// Asked afresh that long ago, the receiver may wait again.
const ASKED: Duration = Duration::from_secs(60);
/// A replica that is no later than this, or than `catch_up`, is waited for again.
const NEAR: Duration = Duration::from_secs(1);
/// A server whose commits wait for nobody is asked again after this whether they do.
const ASYNCHRONOUS: Duration = Duration::from_secs(5);

impl Keeper {
    /// `is_rival`: another MASTER was heard at this moment.
    pub(super) async fn look_as_active(&mut self, is_rival: bool) {
        let view = if is_rival { self.meet_rival().await } else { self.driver.look(true).await };
        self.unheard = if matches!(view.theirs, PeerAnswer::State(_)) { 0 } else { self.unheard + 1 };
        // A server that was late once is not away.
        if let Some((ours, theirs)) = view.positions() {
            self.lag.note(ours, theirs, clock::now());
        }
        let obstacle = obstacle(&view).or_else(|| self.lateness());
        self.note_obstacle(obstacle.filter(|_| self.unheard == 0 || self.unheard >= AWAY));
        let Ok(ours) = view.ours.clone() else {
            // In quarantine it is known why nobody can write.
            if !self.term.is_quarantined {
                self.show("active; the server does not answer", true);
            }
            return;
        };
        if self.term.is_quarantined {
            return self.look_in_quarantine(&view).await;
        }
        if !ours.writability.is_writable() {
            tracing::warn!(
                instance = self.instance,
                "the server is read-only although it has the address: it was restarted, or somebody made it so"
            );
            return self.pass_the_gate_again().await;
        }
        // Before anything that may wait for the server: its clients wait, too.
        let is_peer_away = self.unheard >= AWAY && matches!(view.theirs, PeerAnswer::Silent(_));
        self.see_to_commits(is_peer_away).await;
        match &view.theirs {
            PeerAnswer::Silent(how) => {
                self.stop_following(how).await;
                self.show("active; the peer's server does not answer", true);
            }
            PeerAnswer::Unaskable { code, text } => {
                self.stop_following(&in_words(*code, text)).await;
                self.show("active; the peer's server refuses to be asked", true);
            }
            PeerAnswer::State(theirs) if theirs.writability.is_writable() => {
                self.face_second_writer().await;
            }
            PeerAnswer::State(_) => self.follow(&view).await,
        }
        if self.driver.has_lowered_semi_sync()
            && self.term.is_following
            && self.unheard == 0
            && self.is_near()
        {
            self.raise_semi_sync().await;
        }
    }

    /// It yields to us or we to it, in a moment; how long that may take is the gate's own limit.
    async fn meet_rival(&mut self) -> View {
        tracing::warn!(instance = self.instance, "another master was heard: looking at its server again");
        self.term.has_rival = true;
        self.stop_following("there were two masters").await;
        self.await_read_only().await.0
    }

    async fn stop_following(&mut self, why: &str) {
        if !self.term.is_following {
            return;
        }
        // What it has of its own by then must not flow in unseen.
        match self.driver.stop_receiving().await {
            Ok(()) => {
                self.term.is_following = false;
                self.is_deaf = true;
                tracing::warn!(
                    instance = self.instance,
                    "replication from the peer is stopped until its server is seen read-only and not divergent: {why}"
                );
            }
            Err(how) => self.say(&format!("replication from the peer cannot be stopped: {how}")),
        }
    }

    /// The peer's server is read-only.
    async fn follow(&mut self, view: &View) {
        if self.term.is_following {
            return self.see_to_follower(view).await;
        }
        let own = match view.relation() {
            Some(Relation::Equal | Relation::Ahead(_)) => {
                match self.driver.receive().await {
                    Ok(()) => {
                        self.nothing_to_say();
                        (self.term.is_following, self.term.has_followed) = (true, true);
                        (self.is_deaf, self.term.has_rival) = (false, false);
                        self.errant_lag = Lag::default();
                        self.term.asked_again_at = None;
                        self.decision.agree();
                        self.decision.note_peer(view.positions().map(|(_, theirs)| theirs));
                        tracing::info!(
                            instance = self.instance,
                            "the peer's server is read-only and has nothing of its own: replication from it runs"
                        );
                        self.show("active; the peer follows", true);
                    }
                    Err(how) => self.say(&format!("replication from the peer cannot be started: {how}")),
                }
                return;
            }
            Some(Relation::Behind(theirs) | Relation::Diverged { theirs, .. }) => theirs,
            Some(Relation::Incomparable) | None => {
                self.say(
                    "the peer's position cannot be compared with ours: replication from it stays stopped",
                );
                return;
            }
        };
        let now = clock::now();
        let Some((ours, theirs)) = view.positions() else { return };
        self.errant_lag.note(theirs, ours, now);
        let stays = self.errant_lag.age(now) >= STANDS_STILL;
        let was_second = self.term.has_followed || self.term.has_rival;
        let what = format!(
            "the peer's server has {own}, which this one never received: written before it lost the address"
        );
        match self.decision.judge((ours, theirs), was_second, stays, now) {
            Judgement::Unclear => {
                self.show(
                    "active; the peer's server has something of its own: looking whether that stays",
                    true,
                );
            }
            Judgement::TwoWriters => {
                self.quarantine(&format!("both servers took writes: only on the peer {own}")).await;
            }
            Judgement::Stop => self.quarantine(&what).await,
            Judgement::Serve => {
                // Whoever was heard has written nothing.
                self.term.has_rival = false;
                self.say(&format!(
                    "{what}. Replication from it stays stopped; decide about these and rebuild it"
                ));
                self.show(&format!("active; the peer has DIVERGED: only there {own}"), true);
            }
        }
    }

    /// Both directions run: what is written on the peer's server all the same flows in, or is a divergence.
    async fn see_to_follower(&mut self, view: &View) {
        if !self.term.has_errant_follower {
            // Again: a look that had no answer may have said something else.
            self.show("active; the peer follows", true);
        }
        let now = clock::now();
        let Some((ours, theirs)) = view.positions() else { return };
        self.errant_lag.note(theirs, ours, now);
        let own = match view.relation() {
            Some(Relation::Behind(own) | Relation::Diverged { theirs: own, .. }) => own,
            Some(Relation::Equal | Relation::Ahead(_)) if self.term.has_errant_follower => {
                self.term.has_errant_follower = false;
                self.decision.note_peer(Some(theirs));
                self.nothing_to_say();
                return self.show("active; the peer follows", true);
            }
            Some(Relation::Equal | Relation::Ahead(_)) => {
                self.term.asked_again_at = None;
                self.decision.note_peer(Some(theirs));
                return;
            }
            Some(Relation::Incomparable) | None => return,
        };
        if self.errant_lag.age(now) < STANDS_STILL {
            return;
        }
        if self.role.settings.diverged == Divergence::ReadOnly {
            if self.driver.is_applying().await {
                // It does come in, however long that takes.
                return;
            }
            if self.term.asked_again_at.is_none_or(|at| now.since(at) >= ASKED) {
                // Perhaps the receiver only waits before it connects again, which may take a minute and is no divergence.
                if let Err(how) = self.driver.receive_afresh().await {
                    self.say(&format!("the peer's server cannot be asked afresh for what it wrote: {how}"));
                }
                // Only now: whoever cuts this short leaves a receiver that is asked again.
                (self.term.asked_again_at, self.errant_lag) = (Some(now), Lag::default());
                return;
            }
        }
        let what = format!(
            "the peer's server, a standby, has {own}, which does not come in here: written there by an account that read_only \
             does not stop"
        );
        match self.role.settings.diverged {
            Divergence::ReadOnly => {
                self.stop_following("it has diverged").await;
                self.quarantine(&what).await;
            }
            Divergence::Serve => {
                self.term.has_errant_follower = true;
                self.decision.note_peer(Some(theirs));
                self.say(&format!("{what}. Does replication from it apply? Nothing is repaired"));
                self.show(&format!("active; the peer has DIVERGED: only there {own}"), true);
            }
        }
    }

    /// Without the address it is being made read-only by its own daemon, or was left behind, stuck. As a follower of ours that
    /// has become a writer it was promoted: then there are two.
    async fn face_second_writer(&mut self) {
        self.stop_following("its server is writable").await;
        let (view, is_writable) = self.await_read_only().await;
        let was_promoted = self.term.has_followed || self.term.has_rival || self.term.saw_follower;
        match (is_writable, was_promoted, view.relation()) {
            (false, _, _) => self.follow(&view).await,
            (true, true, Some(Relation::Diverged { ours, theirs })) => {
                self.quarantine(&format!(
                    "both servers are writable and have diverged: only here {ours}, only on the peer {theirs}"
                ))
                .await;
            }
            (true, true, _) => self.pass_the_gate_again().await,
            (true, false, Some(Relation::Behind(own) | Relation::Diverged { theirs: own, .. }))
                if self.role.settings.diverged == Divergence::ReadOnly =>
            {
                self.quarantine(&format!(
                    "the peer's server is still writable without the address, and has {own}, which this one never received"
                ))
                .await;
            }
            (true, false, _) => {
                self.say("the peer's server is still writable without the address; make it read-only");
                self.show("active; the peer's server is still WRITABLE", true);
            }
        }
    }

    /// As long as the gate would wait for it.
    async fn await_read_only(&mut self) -> (View, bool) {
        let by = clock::now() + self.role.settings.split_wait;
        loop {
            let view = self.driver.look(true).await;
            let is_writable =
                matches!(&view.theirs, PeerAnswer::State(theirs) if theirs.writability.is_writable());
            if !is_writable || clock::now() >= by {
                return (view, is_writable);
            }
            sleep(LOOK_AGAIN).await;
        }
    }

    /// The peer's server would be promoted without what it lacks.
    fn lateness(&self) -> Option<String> {
        let now = clock::now();
        if self.lag.still(now) >= STANDS_STILL {
            return Some(
                "the peer's server lacks something and takes nothing in: does it receive and apply?"
                    .to_owned(),
            );
        }
        let (age, limit) = (self.lag.age(now), self.role.settings.catch_up);
        (age > limit).then(|| format!("the peer's server is {age:.1?} behind, and catch_up is {limit:?}"))
    }

    /// A standby that is gone or stuck must not hold up what the active one's clients write.
    async fn see_to_commits(&mut self, is_peer_away: bool) {
        let is_asleep = self.term.commits_from.is_some_and(|at| clock::now() < at);
        if is_asleep || self.role.settings.semi_sync == SemiSyncPolicy::Keep {
            return;
        }
        let semi = match self.driver.own_semi_sync().await {
            Ok(Some(semi)) if semi.is_source_enabled || self.driver.has_lowered_semi_sync() => semi,
            Ok(Some(_) | None) => {
                self.term.commits_from = Some(clock::now() + ASYNCHRONOUS);
                return;
            }
            Err(how) => {
                return tracing::debug!(
                    instance = self.instance,
                    "the server does not say whether commits wait: {how}"
                );
            }
        };
        if !self.term.commits.note(&semi, is_peer_away, clock::now()) {
            return;
        }
        match self.driver.lower_semi_sync().await {
            Ok(()) => {
                // Whether it follows must be seen anew.
                self.lag = Lag::default();
                tracing::warn!(
                    instance = self.instance,
                    "semi-synchronous replication is lowered: no replica acknowledges commits ({} connected); what is acknowledged \
                     to clients from now on is on this server only",
                    semi.clients
                );
            }
            Err(how) => self.say(&format!(
                "commits wait for a replica in vain, and semi-synchronous replication cannot be lowered: {how}"
            )),
        }
    }

    /// A replica that has much to catch up with would hold every commit up until it has.
    fn is_near(&self) -> bool {
        self.lag.is_within(self.role.settings.catch_up.max(NEAR), clock::now())
    }

    async fn raise_semi_sync(&mut self) {
        match self.driver.raise_semi_sync().await {
            Ok(true) => {
                tracing::info!(instance = self.instance, "a replica is connected: commits wait for it again");
            }
            Ok(false) => {}
            Err(how) => {
                self.say(&format!("semi-synchronous replication cannot be raised again: {how}"));
            }
        }
    }
}

/// Why the peer's server could not take over: its own gate would refuse, or nobody would answer there.
fn obstacle(view: &View) -> Option<String> {
    match &view.theirs {
        PeerAnswer::Silent(how) => Some(format!("the peer's server does not answer: {how}")),
        PeerAnswer::Unaskable { code, text } => {
            Some(format!("the peer's server refuses to be asked: {}", in_words(*code, text)))
        }
        PeerAnswer::State(_) => match view.relation() {
            None => Some("what the servers have is not known: is GTID on, on both?".to_owned()),
            Some(Relation::Equal | Relation::Ahead(_)) => None,
            Some(Relation::Behind(own) | Relation::Diverged { theirs: own, .. }) => {
                Some(format!("the peer's server has {own}, which this one has not"))
            }
            Some(Relation::Incomparable) => {
                Some("the peer's position cannot be compared with ours".to_owned())
            }
        },
    }
}
