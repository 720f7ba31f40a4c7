//! Between changes, on the host without the address: the server stays read-only, and has nothing of its own.

use super::keeper::Keeper;
use crate::daemon::standing::Holder;
use crate::mysql::Relation;
use crate::role::PeerAnswer;

impl Keeper {
    pub(super) async fn look_as_standby(&mut self) {
        let view = self.driver.look(false).await;
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
        if ours.writability.is_writable() && !self.is_left_alone {
            let is_known = self.is_tainted;
            match self.driver.refuse_writes().await {
                Ok(()) if is_known => {
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
                    return;
                }
            }
        }
        self.is_tainted = false;
        let text = match view.relation() {
            None => {
                let how = match &view.theirs {
                    PeerAnswer::Silent(how) => format!("the peer's server does not answer: {how}"),
                    PeerAnswer::Unaskable { code, .. } => {
                        format!("the peer's server refuses to be asked (error {code})")
                    }
                    PeerAnswer::State(_) => "positions are not known: is GTID on?".to_owned(),
                };
                format!("standby; {how}")
            }
            Some(Relation::Diverged { ours, theirs }) => {
                let text = format!(
                    "the servers have diverged: only here {ours}, only on the peer {theirs}. Nothing is repaired: decide whose \
                     data count and rebuild the other"
                );
                self.say(&text);
                format!("standby; {text}")
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
                self.nothing_to_say();
                self.standing.let_go(&self.instance, &Holder::Role);
                if self.is_deaf && matches!(&view.theirs, PeerAnswer::State(_)) {
                    match self.driver.receive().await {
                        Ok(()) => {
                            self.is_deaf = false;
                            tracing::info!(instance = self.instance, "replication from the peer runs again");
                        }
                        Err(how) => self.say(&format!("replication from the peer cannot be started: {how}")),
                    }
                }
                "standby".to_owned()
            }
        };
        self.show(&text, true);
    }
}
