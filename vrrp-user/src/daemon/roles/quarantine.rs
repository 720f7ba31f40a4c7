//! The address is here, and the server may not write: why that is, and what ends it.

use std::time::Duration;

use super::active::AWAY;
use super::keeper::Keeper;
use super::lag::Lag;
use crate::mysql::Relation;
use crate::net::clock;
use crate::role::{Mandate, PeerAnswer, Refusal, View, Won};

/// A gate that said no is tried again after this.
const RETRY: Duration = Duration::from_secs(5);

impl Keeper {
    /// Read-only first: whoever asks whether it may write does not write meanwhile.
    pub(super) async fn pass_the_gate_again(&mut self) {
        if let Err(how) = self.driver.refuse_writes().await {
            self.say(&format!("the server cannot be made read-only for the gate: {how}"));
            return;
        }
        self.show("active; passing the gate again", false);
        // On the way it is stopped, wherever the way ends.
        (self.term.is_following, self.is_deaf) = (false, true);
        let mandate = self.decision.mandate(self.term.may_go_alone);
        match self.driver.win(mandate).await {
            Ok(won) => self.pass(&won, mandate),
            Err(refusal) => {
                self.decision.note_refusal(mandate, &refusal);
                self.term.is_quarantined = true;
                self.term.has_diverged |= matches!(refusal, Refusal::Diverged { .. } | Refusal::Undecided);
                self.term.retry_at = Some(clock::now() + RETRY);
                self.say(&format!("the server stays read-only: {refusal}"));
                self.show(&format!("READ-ONLY with the address: {refusal}"), true);
            }
        }
    }

    pub(super) fn pass(&mut self, won: &Won, mandate: Mandate) {
        (self.term.is_quarantined, self.term.has_diverged) = (false, false);
        // On the way to read-only everybody's sessions may have been ended.
        self.post.doors.open();
        self.decision.win();
        if mandate == Mandate::Serve && (won.is_peer_read_only || self.term.may_go_alone) {
            // What it has of its own is known, and decided about.
            (self.term.has_followed, self.term.has_rival) = (false, false);
            let known = self.driver.last_known().filter(|_| won.is_peer_read_only);
            self.decision.note_peer(known.map(|seen| &seen.position));
        }
        self.term.may_go_alone = false;
        self.term.saw_follower |= won.is_peer_read_only;
        // How near the peer was before says nothing of how it comes back.
        self.lag = Lag::default();
        self.show("active", true);
    }

    /// Nobody may write until a person has decided.
    pub(super) async fn quarantine(&mut self, why: &str) {
        let made = self.driver.refuse_writes().await;
        // Only now: whoever cuts this short leaves a term that is looked at again.
        (self.term.is_quarantined, self.term.has_diverged) = (made.is_ok(), true);
        self.decision.dispute();
        self.say(&format!(
            "{why}. This server is read-only until that is mended, and nothing is repaired by itself: decide whose data count, \
             and rebuild the other"
        ));
        match made {
            Ok(()) => self.show(&format!("READ-ONLY with the address: {why}"), true),
            // The next look tries again.
            Err(how) => self.say(&format!("the server cannot be made read-only: {how}")),
        }
    }

    /// False: it was made writable by somebody, or was not to be closed before, and still takes writes.
    async fn close_again(&mut self) -> bool {
        self.driver.note_found_writable();
        match self.driver.refuse_writes().await {
            Ok(()) => {
                tracing::error!(
                    instance = self.instance,
                    "the server was writable although the gate did not let it; it is read-only again. To decide for it: `vrrp \
                     resume`"
                );
                true
            }
            Err(how) => {
                self.say(&format!(
                    "the server is writable although the gate did not let it, and cannot be made read-only: {how}"
                ));
                self.show("WRITABLE with the address although the gate did not let it", true);
                false
            }
        }
    }

    pub(super) async fn look_in_quarantine(&mut self, view: &View) {
        let is_open = view.ours.as_ref().is_ok_and(|ours| ours.writability.is_writable());
        if is_open && !self.close_again().await {
            return;
        }
        let is_writable =
            matches!(&view.theirs, PeerAnswer::State(theirs) if theirs.writability.is_writable());
        let relation = view.relation();
        let is_alone = matches!(&view.theirs, PeerAnswer::Silent(_));
        // It was there after all.
        self.term.may_go_alone &= is_alone;
        let is_chosen = self.decision.mandate(false) == Mandate::Serve;
        let may_try = match &relation {
            _ if is_writable => false,
            Some(Relation::Equal | Relation::Ahead(_)) => true,
            Some(Relation::Diverged { .. }) => is_chosen,
            Some(Relation::Behind(_)) => is_chosen || !self.term.has_diverged,
            // A peer that is dead by now, or something that was wrong here.
            None if self.term.may_go_alone || (is_chosen && self.term.has_diverged) => self.unheard >= AWAY,
            Some(Relation::Incomparable) | None => !self.term.has_diverged,
        };
        if may_try && self.term.retry_at.is_none_or(|at| clock::now() >= at) {
            tracing::warn!(
                instance = self.instance,
                "the server is read-only with the address: trying the gate again"
            );
            return self.pass_the_gate_again().await;
        }
        match relation {
            Some(Relation::Diverged { ours, theirs }) => self.say(&format!(
                "this server stays read-only with the address: the servers have diverged: only here {ours}, only on the peer \
                 {theirs}"
            )),
            Some(Relation::Equal | Relation::Ahead(_) | Relation::Behind(_) | Relation::Incomparable)
            | None => self.say("this server stays read-only with the address until the gate lets it write"),
        }
    }
}
