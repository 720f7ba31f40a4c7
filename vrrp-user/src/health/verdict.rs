//! What is the matter with a service, in six words.

use std::fmt;

/// From well to worst for a client, but for the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    Healthy,
    /// It serves, badly: too many connections, slow, lagging, short of space.
    Degraded,
    /// It lives, and does not answer or finish its work in time.
    Hung,
    /// It shuts down.
    Leaving,
    /// It is not there.
    Dead,
    /// It was our question that was wrong: password, grant, blocked host. Says nothing about the service.
    Misconfigured,
}

impl Verdict {
    pub const ALL: [Self; 6] =
        [Self::Healthy, Self::Degraded, Self::Hung, Self::Leaving, Self::Dead, Self::Misconfigured];

    /// How bad, for comparing: the order in which verdicts outrank each other.
    pub const fn rank(self) -> usize {
        match self {
            Self::Healthy => 0,
            Self::Misconfigured => 1,
            Self::Degraded => 2,
            Self::Hung => 3,
            Self::Leaving => 4,
            Self::Dead => 5,
        }
    }

    /// As logs and status call it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Degraded => "degraded",
            Self::Hung => "hung",
            Self::Leaving => "leaving",
            Self::Dead => "dead",
            Self::Misconfigured => "misconfigured",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
