//! Between changes, on the host without the address: the server stays read-only, and has nothing of its own.

use std::time::Duration;

use super::active::STANDS_STILL;
use super::keeper::Keeper;
use crate::daemon::standing::Holder;
use crate::mysql::Relation;
use crate::net::clock;
use crate::role::{Divergence, Mandate, PeerAnswer, View, in_words};

/// A standby that is later than this would lose what it lacks.
const LATE: Duration = Duration::from_secs(10);

impl Keeper {
    pub(super) async fn look_as_standby(&mut self) {
        let view = self.driver.look(false).await;
        self.stand_by(&view).await;
    }

    pub(super) async fn stand_by(&mut self, view: &View) {
        // Whatever our own server does: one that was down while the other one served may not go on beside it.
        if is_peer_writable(view) {
            self.decision.give_way();
            // A word for the next try, said while the other one serves, is no word against that one.
            self.has_decided = false;
        }
        let ours = match &view.ours {
            Ok(ours) => ours,
            Err(how) => {
                let text = format!("the server does not say whether it is read-only: {how}");
                // A dead server takes no writes; whether it should be alive is for the checks to say.
                tracing::debug!(instance = self.instance, "{text}");
                self.show(&format!("standby; {text}"), true);
                return;
            }
        };
        match (ours.writability.is_writable(), self.is_left_alone) {
            // By policy: somebody else sees to it.
            (true, true) => self.is_tainted = false,
            (true, false) => {
                if !self.make_read_only_again().await {
                    return;
                }
            }
            // One that died writable came back as it starts, and nobody had to do it.
            (false, _) => {
                self.is_tainted = false;
                self.driver.note_read_only();
            }
        }
        let errant = self.find_errant(view);
        let relation = view.relation();
        if matches!(relation, Some(Relation::Equal | Relation::Ahead(_) | Relation::Behind(_))) {
            self.deadlocked_since = None;
        }
        let text = match relation {
            None => {
                let how = match &view.theirs {
                    PeerAnswer::Silent(how) => {
                        let known =
                            self.driver.last_known().map_or_else(String::new, |seen| format!("; {seen}"));
                        format!("the peer's server does not answer: {how}{known}")
                    }
                    // The gate could not ask, either: with split hold nobody would take over.
                    PeerAnswer::Unaskable { code, text } => {
                        let how = format!("the peer's server refuses to be asked: {}", in_words(*code, text));
                        self.say(&how);
                        how
                    }
                    PeerAnswer::State(_) => {
                        let how = "what the servers have cannot be compared: is GTID on, on both?";
                        self.say(how);
                        how.to_owned()
                    }
                };
                format!("standby; {how}")
            }
            Some(Relation::Diverged { ours, theirs }) => {
                self.note_divergence(view);
                let mut text = format!(
                    "the servers have diverged: only here {ours}, only on the peer {theirs}. Nothing is repaired: decide whose \
                     data count and rebuild the other"
                );
                if self.decision.mandate(self.has_decided) == Mandate::Undecided {
                    text.push_str(". Until then this one is not promoted, whatever becomes of the other");
                }
                self.say(&text);
                format!("standby; DIVERGED; {text}")
            }
            Some(Relation::Ahead(ours)) => {
                let text = format!(
                    "this server has {ours}, which the peer's has not: written here without the address, or lost on the way. \
                     Nothing is repaired: decide about it"
                );
                self.say(&text);
                format!("standby; {text}")
            }
            Some(Relation::Incomparable) => "standby; the peer's server is of another kind".to_owned(),
            Some(Relation::Equal | Relation::Behind(_)) => {
                let lateness = self.lateness_here(view);
                // Behind alone may be a broken replica: another try would take the address from a server that is well.
                if self.lag.has_caught_up() {
                    self.standing.let_go(&self.instance, &Holder::Role);
                    self.decision.agree();
                }
                if self.is_deaf && matches!(&view.theirs, PeerAnswer::State(_)) {
                    match self.driver.receive().await {
                        Ok(()) => {
                            self.is_deaf = false;
                            tracing::info!(instance = self.instance, "replication from the peer runs again");
                        }
                        Err(how) => self.say(&format!("replication from the peer cannot be started: {how}")),
                    }
                }
                match errant.or(lateness) {
                    Some(text) => {
                        self.say(&text);
                        format!("standby; {text}")
                    }
                    None => {
                        if !self.is_deaf {
                            self.nothing_to_say();
                        }
                        "standby".to_owned()
                    }
                }
            }
        };
        self.show(&text, true);
    }

    /// Where nobody may write until a person has decided, the death of one server decides nothing.
    fn note_divergence(&mut self, view: &View) {
        let now = clock::now();
        let age = now.since(*self.deadlocked_since.get_or_insert(now));
        if self.role.settings.diverged == Divergence::ReadOnly {
            // Seen twice.
            if age > Duration::ZERO {
                self.decision.dispute();
            }
            return;
        }
        let Some((ours, theirs)) = view.positions() else { return };
        if self.decision.has_peer_written(ours, theirs) == Some(true) {
            // As the one that serves since.
            self.decision.give_way();
        }
        if is_peer_writable(view) || self.decision.mandate(false) == Mandate::Serve {
            self.deadlocked_since = None;
            return;
        }
        // Else it is on its way from one role to another, or passes its gate.
        if age >= STANDS_STILL {
            self.decision.dispute();
        }
    }

    /// It was found writable without the address. False: it still is.
    async fn make_read_only_again(&mut self) -> bool {
        self.driver.note_found_writable();
        match self.driver.refuse_writes().await {
            Ok(()) if self.is_tainted => {
                tracing::info!(instance = self.instance, "the server is read-only now");
            }
            Ok(()) => tracing::warn!(
                instance = self.instance,
                "the server was writable without the address: somebody else made it so. It is read-only again"
            ),
            Err(how) => {
                self.is_tainted = true;
                self.say(&format!(
                    "the server is writable without the address, and cannot be made read-only: {how}"
                ));
                self.show("standby; WRITABLE, and cannot be made read-only", true);
                return false;
            }
        }
        self.is_tainted = false;
        true
    }

    fn find_errant(&mut self, view: &View) -> Option<String> {
        let Ok(ours) = &view.ours else { return None };
        let own = ours.position.as_ref().ok()?.of_server(ours.server_id, ours.uuid.as_deref());
        let theirs = view.positions().map(|(_, theirs)| theirs.clone());
        let news = self.errant.note(&own, theirs)?;
        Some(format!(
            "{news} was written on this standby, by an account that read_only does not stop; it flows to the active server. \
             Take SUPER and READ_ONLY ADMIN from applications, and see whether the data agree"
        ))
    }

    fn lateness_here(&mut self, view: &View) -> Option<String> {
        let (ours, theirs) = view.positions()?;
        let now = clock::now();
        self.lag.note(theirs, ours, now);
        (self.lag.age(now) >= LATE).then(|| {
            format!(
                "this server has lacked for more than {LATE:?} what the peer's has: a failover now would lose it. Does it \
                 receive and apply (SHOW REPLICA STATUS)?"
            )
        })
    }
}

fn is_peer_writable(view: &View) -> bool {
    matches!(&view.theirs, PeerAnswer::State(theirs) if theirs.writability.is_writable())
}
