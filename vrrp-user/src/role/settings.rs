//! The policies and the deadlines, as the configuration hands them over.

use std::time::Duration;

/// The peer's server answers, is writable, and has not released the address: somebody is wrong about who lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Split {
    /// Do not become a second writer.
    Hold,
    /// Become one, and say so.
    Promote,
}

/// This server lacks something: received and not applied in time, or known to be on the peer and never received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behind {
    /// Wait as long as the promotion may take, then give it up; the election asks again.
    Wait,
    /// Go on without it, and name it.
    PromoteAnyway,
    /// Give the promotion up at once.
    Refuse,
}

/// A former master is back with transactions that this server, the active, never received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Divergence {
    /// Serve on, without receiving from it.
    Serve,
    /// Take no more writes until a person has decided, and promote nobody beside a living server that has more.
    ReadOnly,
}

/// Commits would wait for a replica that is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SemiSyncPolicy {
    /// Make them not wait, until a replica is connected again.
    Lower,
    /// Let them wait for the server's own timeout.
    Keep,
}

/// A server that cannot be made read-only although its address is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stuck {
    Leave,
    Retry,
    /// SIGKILL.
    Kill,
}

/// How roles are changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    pub split: Split,
    pub behind: Behind,
    pub diverged: Divergence,
    pub semi_sync: SemiSyncPolicy,
    pub stuck: Stuck,
    /// The peer's server answers within this, or counts as not answering.
    pub peer_limit: Duration,
    /// A peer that is still writable is asked again for this long: it may be on its way out.
    pub split_wait: Duration,
    /// For each statement that changes a role.
    pub statement_limit: Duration,
    /// For what was received to be applied; on the way out, for the peer to have what we have.
    pub catch_up: Duration,
    /// Catching up that makes no progress for this long is given up.
    pub stall: Duration,
    /// For the write that proves that the server can be written to.
    pub write_limit: Duration,
    /// `schema.table`, plain words.
    pub heartbeat_table: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            split: Split::Hold,
            behind: Behind::PromoteAnyway,
            diverged: Divergence::Serve,
            semi_sync: SemiSyncPolicy::Lower,
            stuck: Stuck::Retry,
            peer_limit: Duration::from_millis(200),
            split_wait: Duration::from_secs(1),
            statement_limit: Duration::from_millis(300),
            catch_up: Duration::from_secs(5),
            stall: Duration::from_secs(2),
            write_limit: Duration::from_secs(2),
            heartbeat_table: "vrrp.heartbeat".to_owned(),
        }
    }
}

impl Settings {
    /// The longest that winning takes: what the election's own deadline must leave room for.
    pub fn longest_win(&self) -> Duration {
        // Gate, catching up twice (with the peer, then with what was received), the statements, the gate again, the write and
        // once more without waiting for a replica.
        self.peer_limit * 2
            + self.split_wait
            + self.catch_up * 2
            + self.statement_limit * 9
            + self.write_limit * 2
    }

    /// `behind: wait` ends so long after the beginning: what still follows then (a look, the server made writable, the gate
    /// again, the write, and that once more or read-only again) is over within [`Self::longest_win`], too.
    pub fn longest_wait(&self) -> Duration {
        let rest = self.statement_limit * 5 + self.peer_limit + self.write_limit * 2;
        self.longest_win().saturating_sub(rest)
    }

    /// The longest that losing in order takes: an offer that has to end first those who are at work and then everybody asks
    /// the peer before that, too.
    pub fn longest_lose(&self) -> Duration {
        self.statement_limit * 8 + self.catch_up + self.peer_limit * 2
    }
}
