//! What a check is asked to do: checked values, as the configuration hands them over.
//!
//! Owns the shapes, the defaults, and the sum of weights. Refuses to know how a probe does it.

use std::net::{IpAddr, SocketAddr};
use std::num::{NonZeroU8, NonZeroU16};
use std::path::PathBuf;
use std::time::Duration;

use super::secret::Source;
use super::tls::Tls;
use super::verdict::Verdict;

/// Priority of the address owner (RFC 9568 §5.2.4): no weight changes it, and none leads to it.
const OWNER: u8 = 255;

/// One check of an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// Unique in the instance.
    pub name: String,
    pub kind: Kind,
    /// This many good results in a row end a failure.
    pub rise: NonZeroU8,
    /// This many bad ones in a row begin one.
    pub fall: NonZeroU8,
    /// And results must have been good for this long, against flapping.
    pub hold_down: Duration,
    pub on_failure: Reactions,
    pub notify_down: Option<CommandLine>,
    pub notify_up: Option<CommandLine>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    Tcp(Tcp),
    Script(Script),
    Mysql(Box<Mysql>),
}

impl Kind {
    /// Whether it can tell that verdict from others: of a port and a script it is only known that they are well or not.
    pub const fn can_say(&self, verdict: Verdict) -> bool {
        match (self, verdict) {
            (Self::Mysql(_), _)
            | (Self::Tcp(_) | Self::Script(_), Verdict::Healthy | Verdict::Dead | Verdict::Misconfigured) => {
                true
            }
            (Self::Tcp(_) | Self::Script(_), Verdict::Degraded | Verdict::Hung | Verdict::Leaving) => false,
        }
    }

    /// As the configuration calls it.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Tcp(_) => "tcp",
            Self::Script(_) => "script",
            Self::Mysql(_) => "mysql",
        }
    }
}

/// What a failure leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reaction {
    /// Give the addresses up and stay out until the check is healthy again.
    Release,
    /// Negative: on the priority while it fails. Positive: on the priority while it does not.
    Weight(i16),
    /// Say it, and change nothing.
    Report,
}

/// By verdict. What is misconfigured never moves an address, so it has no reaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reactions {
    pub dead: Reaction,
    pub hung: Reaction,
    pub leaving: Reaction,
    pub degraded: Reaction,
}

impl Reactions {
    /// One word for the whole check: a degraded service still serves.
    pub const fn all(reaction: Reaction) -> Self {
        Self { dead: reaction, hung: reaction, leaving: reaction, degraded: Reaction::Report }
    }

    /// None where the verdict is no failure, or none that may move an address.
    pub const fn to(&self, verdict: Verdict) -> Option<Reaction> {
        match verdict {
            Verdict::Healthy | Verdict::Misconfigured => None,
            Verdict::Degraded => Some(self.degraded),
            Verdict::Hung => Some(self.hung),
            Verdict::Leaving => Some(self.leaving),
            Verdict::Dead => Some(self.dead),
        }
    }

    const fn each(&self) -> [Reaction; 4] {
        [self.dead, self.hung, self.leaving, self.degraded]
    }

    /// Whatever it says, nothing moves.
    pub fn only_report(&self) -> bool {
        self.each().iter().all(|reaction| *reaction == Reaction::Report)
    }

    /// Whether some verdict keeps the instance out.
    pub fn release(&self) -> bool {
        self.each().contains(&Reaction::Release)
    }

    /// The weights that are not zero, each once.
    pub fn weights(&self) -> Vec<i16> {
        let mut weights = Vec::new();
        for reaction in self.each() {
            if let Reaction::Weight(weight) = reaction
                && !weights.contains(&weight)
            {
                weights.push(weight);
            }
        }
        weights
    }

    /// What the check adds to the priority while it has this verdict.
    pub fn contribution(&self, verdict: Verdict) -> i16 {
        let lost = match self.to(verdict) {
            Some(Reaction::Weight(weight)) if weight < 0 => return weight,
            Some(Reaction::Weight(weight)) => weight,
            Some(Reaction::Release | Reaction::Report) | None => 0,
        };
        self.bonus() - lost
    }

    /// What the check adds while all is well.
    pub fn bonus(&self) -> i16 {
        self.weights().into_iter().filter(|weight| *weight > 0).sum()
    }
}

/// The priority that goes into adverts. Weights never reach 255, which is the owner's alone, nor 0, which is a goodbye.
pub fn effective_priority(base: NonZeroU8, weights: impl IntoIterator<Item = i16>) -> NonZeroU8 {
    if base.get() == OWNER {
        return base;
    }
    let sum = weights.into_iter().fold(i32::from(base.get()), |sum, weight| sum + i32::from(weight));
    let clamped = u8::try_from(sum.clamp(1, i32::from(OWNER - 1))).unwrap_or(1);
    NonZeroU8::new(clamped).unwrap_or(base)
}

/// A program and its arguments. No shell reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandLine {
    /// Absolute.
    pub program: PathBuf,
    pub arguments: Vec<String>,
}

/// keepalived's TCP_CHECK.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tcp {
    pub address: IpAddr,
    pub port: NonZeroU16,
    pub interval: Duration,
    pub connect_timeout: Duration,
    /// Further tries before a result is bad.
    pub retries: u8,
    pub retry_delay: Duration,
}

/// keepalived's vrrp_script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    pub command: CommandLine,
    pub interval: Duration,
    pub timeout: Duration,
    /// Who runs it; the daemon's own user if nobody is named.
    pub user: Option<String>,
    /// It counts as failed until it has been good for `rise`.
    pub init_fail: bool,
}

/// A MySQL or MariaDB server on this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mysql {
    /// The listener that clients use: where the login probe goes, and all others without a socket.
    pub address: IpAddr,
    pub port: NonZeroU16,
    /// For all but the login probe.
    pub socket: Option<PathBuf>,
    pub account: Account,
    pub tls: Option<Tls>,
    pub fast: Fast,
    pub login: Option<Login>,
    pub state: Option<State>,
    pub write: Option<Write>,
    /// Watch the server's process, to see it die before its sockets do.
    pub process: bool,
}

impl Mysql {
    /// Where clients connect.
    pub fn listener(&self) -> SocketAddr {
        SocketAddr::new(self.address, self.port.get())
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    pub user: String,
    pub password: Source,
}

/// Ping on a connection that stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fast {
    pub interval: Duration,
    pub deadline: Duration,
    pub fall: NonZeroU8,
}

/// A fresh login, as an application does it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    pub account: Account,
    pub interval: Duration,
    pub deadline: Duration,
}

/// Role, replication, positions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    pub interval: Duration,
    pub deadline: Duration,
    /// A standby that is further behind is degraded; None: lag is shown and judged by nobody.
    pub max_lag: Option<Duration>,
}

/// A row in a heartbeat table while this host holds the address and its server is writable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    pub interval: Duration,
    pub deadline: Duration,
    /// `schema.table`, both plain words.
    pub table: (String, String),
    pub min_free: MinFree,
}

/// Less free space than this on the data or binary log directory is degraded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MinFree {
    Percent(u8),
    Bytes(u64),
}

impl MinFree {
    /// Whether `free` of `total` bytes is too little.
    pub fn is_short(self, free: u64, total: u64) -> bool {
        match self {
            Self::Percent(percent) => u128::from(free) * 100 < u128::from(total) * u128::from(percent),
            Self::Bytes(bytes) => free < bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn base(priority: u8) -> NonZeroU8 {
        NonZeroU8::new(priority).unwrap()
    }

    #[test]
    fn weights_add_up_and_stay_within_the_protocol() {
        for (priority, weights, sum) in [
            (100, &[][..], 100),
            (100, &[-20], 80),
            (100, &[-20, 30], 110),
            (100, &[-150], 1),
            (100, &[254, 254], 254),
            (255, &[-200], 255),
        ] {
            assert_eq!(effective_priority(base(priority), weights.iter().copied()).get(), sum);
        }
    }

    #[test]
    fn a_negative_weight_counts_while_failing_and_a_positive_one_while_not() {
        let negative = Reactions::all(Reaction::Weight(-20));
        let positive = Reactions::all(Reaction::Weight(5));
        for (verdict, minus, plus) in [
            (Verdict::Healthy, 0, 5),
            (Verdict::Misconfigured, 0, 5),
            (Verdict::Degraded, 0, 5),
            (Verdict::Hung, -20, 0),
            (Verdict::Leaving, -20, 0),
            (Verdict::Dead, -20, 0),
        ] {
            assert_eq!(negative.contribution(verdict), minus, "{verdict:?}");
            assert_eq!(positive.contribution(verdict), plus, "{verdict:?}");
        }
    }

    #[test]
    fn free_space_is_measured_as_it_was_written() {
        assert!(MinFree::Percent(5).is_short(49, 1000));
        assert!(!MinFree::Percent(5).is_short(50, 1000));
        assert!(MinFree::Bytes(1 << 30).is_short((1 << 30) - 1, 1 << 40));
        assert!(!MinFree::Bytes(1 << 30).is_short(1 << 30, 1 << 40));
        assert!(!MinFree::Percent(99).is_short(u64::MAX, u64::MAX));
    }

    proptest! {
        #[test]
        fn no_weights_make_a_goodbye_or_an_owner(priority in 1..=254_u8, weights in prop::collection::vec(any::<i16>(), 0..20)) {
            let effective = effective_priority(base(priority), weights).get();
            prop_assert!((1..=254).contains(&effective));
        }
    }
}
