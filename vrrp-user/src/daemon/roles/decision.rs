//! Whose data count, once the two servers have histories of their own.
//!
//! Owns what is known of that, by policy, by a person's word and by what the peer's server had: the first two outlive the
//! process. Refuses to look at any server.

use std::path::Path;
use std::time::Duration;

use crate::mysql::Position;
use crate::role::{Divergence, Flag, Mandate, Refusal};
use crate::vrrp::Instant;

/// What a peer beside which this server serves has written is believed to be nothing of a second master by then: another
/// master would have been heard.
const UNHEARD: Duration = Duration::from_secs(10);

/// What a read-only peer that has something of its own means for the server with the address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Judgement {
    /// It may be gone with the next look.
    Unclear,
    /// Both took writes at a time: nobody goes on.
    TwoWriters,
    /// It wrote that before it lost the address, and the policy stops everybody.
    Stop,
    /// The same, and this one goes on.
    Serve,
}

/// See the file's head. Setters must be called inside the runtime.
#[derive(Debug)]
pub(super) struct Decision {
    instance: String,
    policy: Divergence,
    /// Both had something of their own, and since then they were not seen to agree.
    undecided: Flag,
    /// This server is the one that goes on, and the peer's has something of its own.
    serves: Flag,
    /// What the peer's server had before another master could be heard.
    peer_had: Option<Position>,
    /// Since when it has had more than that, and nobody was heard.
    more_since: Option<Instant>,
}

impl Decision {
    /// `peer_had`: by the process before.
    pub(super) fn new(instance: &str, policy: Divergence, folder: &Path, peer_had: Option<Position>) -> Self {
        let kept = |name: &str, what| Flag::kept(folder.join(format!("{name}-{instance}")), what);
        let serves =
            kept("serves-diverged", "that this server is the one to serve, beside one that has diverged");
        let peer_had = peer_had.filter(|_| serves.is_set());
        Self {
            instance: instance.to_owned(),
            policy,
            undecided: kept("diverged", "that the servers had diverged and nobody had decided"),
            serves,
            peer_had,
            more_since: None,
        }
    }

    /// What the gate is told. `is_decided`: a person has said so for this try.
    pub(super) fn mandate(&self, is_decided: bool) -> Mandate {
        match self.policy {
            Divergence::ReadOnly if is_decided => Mandate::Open,
            Divergence::Serve if is_decided => Mandate::Serve,
            Divergence::ReadOnly | Divergence::Serve if self.undecided.is_set() => Mandate::Undecided,
            Divergence::Serve if self.serves.is_set() => Mandate::Serve,
            Divergence::ReadOnly | Divergence::Serve => Mandate::Open,
        }
    }

    /// Both are seen to have the same.
    pub(super) fn agree(&mut self) {
        self.set(false, false);
    }

    /// Both have something of their own, and a person must say which of it counts.
    pub(super) fn dispute(&mut self) {
        self.set(true, false);
    }

    /// This one serves on beside the other.
    pub(super) fn serve(&mut self) {
        self.set(false, true);
    }

    /// A person says that this one does.
    pub(super) fn be_chosen(&mut self) {
        if self.policy == Divergence::Serve {
            self.serve();
        }
        // Whatever it wrote by now.
        self.peer_had = None;
    }

    /// The gate let this one write.
    pub(super) fn win(&mut self) {
        self.set(false, self.serves.is_set());
    }

    /// The other one serves.
    pub(super) fn give_way(&mut self) {
        self.set(self.undecided.is_set(), false);
    }

    /// By `mandate` this one may go on beside a diverged peer, and was refused for that all the same: the gate saw the other one
    /// serve.
    pub(super) fn note_refusal(&mut self, mandate: Mandate, refusal: &Refusal) {
        if mandate == Mandate::Serve && matches!(refusal, Refusal::Diverged { .. }) {
            self.give_way();
        }
    }

    fn set(&mut self, is_undecided: bool, serves: bool) {
        self.undecided.set(&self.instance, is_undecided);
        self.serves.set(&self.instance, serves);
    }

    /// `was_second`: it may have been master beside this one. `stays`: what it has was there a while ago.
    pub(super) fn judge(
        &mut self,
        (ours, theirs): (&Position, &Position),
        was_second: bool,
        stays: bool,
        now: Instant,
    ) -> Judgement {
        let has_written = was_second && self.has_peer_written(ours, theirs).unwrap_or(true);
        match (has_written, self.policy) {
            // A commit that waits for its replica is on the replica first.
            (true, _) | (false, Divergence::ReadOnly) if !stays => Judgement::Unclear,
            (true, _) => Judgement::TwoWriters,
            (false, Divergence::ReadOnly) => Judgement::Stop,
            (false, Divergence::Serve) => {
                self.serve();
                self.note_diverged_peer(ours, theirs, now);
                Judgement::Serve
            }
        }
    }

    /// What the peer's server has now is no second master's.
    pub(super) fn note_peer(&mut self, theirs: Option<&Position>) {
        (self.peer_had, self.more_since) = (theirs.cloned(), None);
    }

    /// The same beside a peer that has diverged, and no other master was heard: what is new there may yet turn out to be one's.
    fn note_diverged_peer(&mut self, ours: &Position, theirs: &Position, now: Instant) {
        let is_news = self.has_peer_written(ours, theirs) == Some(true);
        let since = *self.more_since.get_or_insert(now);
        if !is_news || now.since(since) >= UNHEARD {
            self.note_peer(Some(theirs));
        }
    }

    /// Whether it has something that neither we have nor it had before. None: what it had is not known.
    pub(super) fn has_peer_written(&self, ours: &Position, theirs: &Position) -> Option<bool> {
        let before = self.peer_had.clone()?.united_with(ours);
        theirs.beyond(&before).map(|news| !news.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decision(policy: Divergence, folder: &Path) -> Decision {
        Decision::new("VI_1", policy, folder, None)
    }

    fn at(seconds: u64) -> Instant {
        Instant::from_nanos(seconds * 1_000_000_000)
    }

    fn maria(text: &str) -> Position {
        Position::parse_mariadb(text).unwrap()
    }

    #[tokio::test]
    async fn the_one_that_serves_is_known_to_the_next_process_until_they_agree_or_another_serves() {
        let folder = tempfile::tempdir().unwrap();
        let is_kept = || folder.path().join("serves-diverged-VI_1").exists();
        let ends: [fn(&mut Decision); 3] = [Decision::agree, Decision::give_way, Decision::dispute];
        for end in ends {
            let mut first = decision(Divergence::Serve, folder.path());
            first.agree();
            first.serve();
            first.win();
            while !is_kept() || folder.path().join("diverged-VI_1").exists() {
                tokio::task::yield_now().await;
            }
            let mut next = decision(Divergence::Serve, folder.path());
            assert_eq!(next.mandate(false), Mandate::Serve);
            assert_eq!(decision(Divergence::ReadOnly, folder.path()).mandate(false), Mandate::Open);
            end(&mut next);
            assert_ne!(next.mandate(false), Mandate::Serve);
            while is_kept() {
                tokio::task::yield_now().await;
            }
            next.agree();
            while folder.path().join("diverged-VI_1").exists() {
                tokio::task::yield_now().await;
            }
        }
    }

    #[tokio::test]
    async fn whom_the_gate_saw_the_other_one_serve_before_goes_on_beside_it_no_more() {
        let folder = tempfile::tempdir().unwrap();
        let mut decision = decision(Divergence::Serve, folder.path());
        decision.serve();
        decision.note_refusal(Mandate::Serve, &Refusal::NotApplied);
        assert_eq!(decision.mandate(false), Mandate::Serve);
        let diverged = Refusal::Diverged { ours: "0-1-9".to_owned(), theirs: "0-2-9".to_owned() };
        decision.note_refusal(Mandate::Serve, &diverged);
        assert_eq!(decision.mandate(false), Mandate::Open);
    }

    #[tokio::test]
    async fn what_is_disputed_waits_for_a_person() {
        let folder = tempfile::tempdir().unwrap();
        for (policy, chosen) in [(Divergence::Serve, Mandate::Serve), (Divergence::ReadOnly, Mandate::Open)] {
            let mut decision = decision(policy, folder.path());
            decision.serve();
            decision.dispute();
            assert_eq!(decision.mandate(false), Mandate::Undecided);
            assert_eq!(decision.mandate(true), chosen);
            decision.be_chosen();
            let later = if policy == Divergence::Serve { Mandate::Serve } else { Mandate::Undecided };
            assert_eq!(
                decision.mandate(false),
                later,
                "a decision is for the next try where the policy is strict"
            );
        }
    }

    #[tokio::test]
    async fn a_second_writer_is_one_that_wrote_and_not_one_whose_commit_is_only_a_moment_ahead() {
        let folder = tempfile::tempdir().unwrap();
        let (ours, before, after) = (maria("0-2-98"), maria("0-1-100"), maria("0-1-105"));
        let policies = [(Divergence::Serve, Judgement::Serve), (Divergence::ReadOnly, Judgement::Stop)];
        for (policy, tail) in policies {
            let mut decision = decision(policy, folder.path());
            let mut judge = |theirs, was_second, stays| {
                decision.note_peer(Some(&before));
                decision.judge((&ours, theirs), was_second, stays, at(1))
            };
            assert_eq!(judge(&after, true, false), Judgement::Unclear);
            assert_eq!(judge(&after, true, true), Judgement::TwoWriters);
            // Somebody was heard, a stray advert perhaps, and nothing was written.
            assert_eq!(judge(&before, true, true), tail);
            assert_eq!(judge(&after, false, true), tail, "nobody was heard: a tail that came late");
            let young = if policy == Divergence::Serve { Judgement::Serve } else { Judgement::Unclear };
            assert_eq!(judge(&before, false, false), young, "to serve on is no haste");
            decision.note_peer(None);
            assert_eq!(decision.judge((&ours, &before), true, true, at(1)), Judgement::TwoWriters);
        }
    }

    #[tokio::test]
    async fn only_what_neither_had_before_was_written_by_a_second_master() {
        let folder = tempfile::tempdir().unwrap();
        let mut decision = decision(Divergence::Serve, folder.path());
        let (ours, theirs) = (maria("0-1-90,0-2-98"), maria("0-1-100"));
        assert_eq!(decision.has_peer_written(&ours, &theirs), None);
        decision.note_peer(Some(&theirs));
        assert_eq!(decision.has_peer_written(&ours, &theirs), Some(false));
        // It takes in what is written here.
        let ours = maria("0-1-90,0-2-120");
        assert_eq!(decision.has_peer_written(&ours, &maria("0-1-100,0-2-110")), Some(false));
        assert_eq!(decision.has_peer_written(&ours, &maria("0-1-121")), Some(true));
    }

    #[tokio::test]
    async fn what_a_diverged_peer_writes_counts_until_it_is_clear_that_nobody_else_was_master() {
        let folder = tempfile::tempdir().unwrap();
        let mut decision = decision(Divergence::Serve, folder.path());
        let (ours, before, theirs) = (maria("0-2-98"), maria("0-1-100"), maria("0-1-105"));
        decision.note_diverged_peer(&ours, &before, at(1));
        for second in [2, 5, 11] {
            decision.note_diverged_peer(&ours, &theirs, at(second));
            assert_eq!(decision.has_peer_written(&ours, &theirs), Some(true), "{second}");
        }
        decision.note_diverged_peer(&ours, &theirs, at(12));
        assert_eq!(decision.has_peer_written(&ours, &theirs), Some(false));
    }
}
