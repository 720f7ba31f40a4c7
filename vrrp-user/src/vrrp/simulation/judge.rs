//! The promises, stated without the code that keeps them:
//!
//! 1. On a segment without a fault two hosts never hold the addresses for longer than [`Judge::overlap`]: the stronger
//!    master speaks within one interval (or after the skew time it listens when it had been stalled itself), the weaker
//!    hears it after the network's delay, and its executor removes the addresses.
//! 2. A BACKUP becomes MASTER only if no advert that it obeys has arrived at its kernel for a down interval, or a release
//!    came after the last one; however late its thread was.
//! 3. A MASTER that sent nothing for three intervals claims nothing before it has listened, and resumes only if no foreign
//!    advert has arrived at its kernel in the meantime.
//! 4. A router that was told to stay out neither listens for a master's death nor claims anything; if it was master, it
//!    is on its way out, addresses first.
//! 5. When the faults have ended there is exactly one holder within [`Judge::convergence`]; if the strongest router
//!    preempts, it is that one. Then no state changes any more.

use core::time::Duration;

use super::host::Host;
use super::world::{EXECUTOR, NETWORK, START, WAKE};
use crate::vrrp::action::{Action, Label};
use crate::vrrp::interval::{down_interval, skew_time};
use crate::vrrp::state::{Master, MasterRecord, State};
use crate::vrrp::{Advert, Config, Instant, OWNER, RELEASE, Skew, Why};
use crate::wire::{AdvertInterval, Version};

/// What the judge knows of a host, from the outside.
#[derive(Debug)]
struct Witnessed {
    config: Config,
    last_sent: Option<Instant>,
    /// The newest arrivals at its kernel of a foreign living advert and of one that it must obey; the releases since.
    foreign: Option<Advert>,
    obeyed: Option<Advert>,
    /// The last one of those that got into its ring.
    delivered: Option<Advert>,
    releases: Vec<Advert>,
    /// Since when it has been listening as BACKUP.
    listening_from: Instant,
    /// The master that it yielded to: goes by its interval until it hears another one that it obeys.
    yielded_to: Option<MasterRecord>,
}

impl Witnessed {
    fn new(config: Config, now: Instant) -> Self {
        Self {
            config,
            last_sent: None,
            foreign: None,
            obeyed: None,
            delivered: None,
            releases: Vec::new(),
            listening_from: now,
            yielded_to: None,
        }
    }

    fn adopted(&self, heard: AdvertInterval) -> AdvertInterval {
        match heard.version() {
            Version::V2 => self.config.advert_interval,
            Version::V3 => heard,
        }
    }
}

#[derive(Debug)]
pub(super) struct Judge {
    seed: u64,
    trace: bool,
    hosts: Vec<Witnessed>,
    /// Since when two have held on a clean segment.
    overlap_from: Option<Instant>,
    peace: bool,
    pub(super) remembers: bool,
    /// Takeovers by a BACKUP.
    pub(super) elections: u32,
    /// Who held, at each change.
    pub(super) history: Vec<(Instant, Vec<bool>)>,
}

impl Judge {
    pub(super) fn new(seed: u64, configs: &[Config], now: Instant, trace: bool) -> Self {
        let hosts = configs.iter().map(|config| Witnessed::new(*config, now)).collect();
        Self {
            seed,
            trace,
            hosts,
            overlap_from: None,
            peace: false,
            remembers: false,
            elections: 0,
            history: Vec::new(),
        }
    }

    pub(super) fn note(&self, now: Instant, what: impl FnOnce() -> String) {
        if self.trace {
            eprintln!("{:>16?} {}", now.since(START), what());
        }
    }

    #[track_caller]
    fn condemn(&self, now: Instant, what: &str) -> ! {
        let at = now.since(START);
        panic!("seed {} at {at:?}: {what}; replay with VRRP_SIM_SEED={}", self.seed, self.seed);
    }

    pub(super) fn longest_interval(&self) -> Duration {
        self.hosts.iter().map(|host| host.config.advert_interval.duration()).max().unwrap()
    }

    fn longest<F: Fn(&Config, AdvertInterval) -> Duration>(&self, timer: F) -> Duration {
        let of = |host: &Witnessed| {
            self.hosts.iter().map(|other| timer(&host.config, other.config.advert_interval)).max().unwrap()
        };
        self.hosts.iter().map(of).max().unwrap()
    }

    /// How long two may hold: promise 1.
    pub(super) fn overlap(&self) -> Duration {
        let skew = self.longest(|config, interval| skew_time(config.priority, interval));
        self.longest_interval() + skew + (NETWORK + WAKE) * 2 + EXECUTOR * 4
    }

    /// How long one holder may be wanting, or the wrong one be there: promise 5.
    pub(super) fn convergence(&self) -> Duration {
        let delay = self.hosts.iter().map(|host| host.config.startup_delay).max().unwrap();
        let down = self.longest(|config, interval| down_interval(config.priority, interval));
        delay + down + self.longest_interval() * 2 + self.overlap()
    }

    pub(super) fn reborn(&mut self, host: usize, now: Instant) {
        self.hosts[host] = Witnessed::new(self.hosts[host].config, now);
    }

    pub(super) fn at_peace(&mut self) {
        self.peace = true;
    }

    /// An advert has reached a host's kernel; `lost`: but not its ring.
    pub(super) fn arrived(&mut self, to: usize, advert: Advert, lost: bool) {
        let host = &mut self.hosts[to];
        let config = host.config;
        if config.advert_interval.version() == Version::V2 && advert.advert_interval != config.advert_interval
        {
            return;
        }
        if advert.priority == RELEASE {
            let counts = match config.skew {
                Skew::Rfc => true,
                Skew::None { peer } => peer == advert.sender,
            };
            if counts {
                host.releases.push(advert);
            }
            return;
        }
        host.foreign = Some(advert);
        let preempts = config.preempt || config.priority.get() == OWNER;
        if !preempts || advert.priority >= config.priority.get() {
            host.obeyed = Some(advert);
            if !lost {
                host.delivered = Some(advert);
            }
            host.releases.clear();
        }
    }

    /// A host's thread has run: what it did, in order.
    pub(super) fn acted(&mut self, now: Instant, number: usize, host: &Host, before: Option<Master>) {
        let silent_from = self.hosts[number].last_sent;
        let silence = host.config.advert_interval.duration() * 3;
        let by_right = silent_from.is_some_and(|sent| now.since(sent) <= silence);
        let mut may_claim = before.is_some() && by_right;
        for entry in host.actions.as_slice() {
            match entry.action {
                Action::Transition { from, to, why } => {
                    self.note(now, || format!("{number} {from} -> {to}: {why}"));
                    if self.peace {
                        self.condemn(now, &format!("host {number} has no peace: {from} -> {to}, {why}"));
                    }
                    match why {
                        Why::NobodyHeard { .. } | Why::MasterSilent { .. } | Why::MasterReleased { .. } => {
                            self.elections += 1;
                            self.may_take_over(now, number);
                            may_claim = true;
                        }
                        Why::NobodyTookOver { .. } => {
                            self.may_resume(now, number, silent_from);
                            may_claim = true;
                        }
                        Why::Owner => may_claim = true,
                        Why::Started { .. }
                        | Why::Suspended
                        | Why::Resumed { .. }
                        | Why::LinkDown
                        | Why::NoPrimaryAddress
                        | Why::Recovered { .. }
                        | Why::StrongerMaster { .. }
                        | Why::EqualMaster { .. }
                        | Why::WokeLate { .. }
                        | Why::WasSilent { .. }
                        | Why::TakenOver { .. }
                        | Why::Fenced
                        | Why::VipLost
                        | Why::PromotionFailed { .. }
                        | Why::Shutdown => {}
                    }
                    if to == Label::Backup
                        && from != Label::Backup
                        && let State::Backup(backup) = host.state()
                    {
                        self.hosts[number].listening_from = backup.armed_from;
                        self.hosts[number].yielded_to = backup.master;
                    }
                }
                Action::SendAdvert { .. } => self.hosts[number].last_sent = Some(now),
                Action::SendRelease
                | Action::TakeVips(_)
                | Action::AnnounceVips
                | Action::DropVips(_)
                | Action::SetMinimumPriority(_)
                | Action::WakeAlways(_) => {}
            }
        }
        // Promise 4.
        if host.troubles.suspended > 0 && !host.may_be_suspended() {
            self.condemn(now, &format!("host {number} was told to stay out and is {:?}", host.state()));
        }
        if !may_claim && self.hosts[number].last_sent == Some(now) {
            self.condemn(now, &format!("host {number} claims after a silence without having listened"));
        }
    }

    /// Promise 2.
    fn may_take_over(&self, now: Instant, number: usize) {
        let host = &self.hosts[number];
        let since = |advert: &Advert| advert.arrived >= host.listening_from;
        let obeyed = host.obeyed.filter(since);
        let (master, interval) = match (obeyed, host.yielded_to) {
            (Some(advert), _) => (Some(advert.sender), advert.advert_interval),
            (None, Some(master)) => (Some(master.address), master.advert_interval),
            (None, None) => (None, host.config.advert_interval),
        };
        let armed = obeyed.map_or(host.listening_from, |advert| advert.arrived);
        let down = down_interval(host.config.priority, host.adopted(interval));
        if now >= armed + down {
            return;
        }
        let mut releases = host.releases.iter().filter(|release| release.arrived >= armed).peekable();
        if releases.peek().is_none() {
            let what =
                format!("host {number} takes over from a living master (armed {:?} ago)", now.since(armed));
            self.condemn(now, &what);
        }
        let wait = |release: &Advert| match host.config.skew {
            Skew::None { .. } if master == Some(release.sender) => Duration::ZERO,
            // Whose ring was full knows this master from the slot alone, and looks there only when a deadline has come:
            // it goes by the interval of the master before.
            Skew::Rfc | Skew::None { .. } => {
                [Some(interval), host.delivered.filter(since).map(|advert| advert.advert_interval)]
                    .into_iter()
                    .map(|known| known.unwrap_or(host.config.advert_interval))
                    .map(|known| skew_time(host.config.priority, host.adopted(known)))
                    .fold(Duration::MAX, Duration::min)
            }
        };
        if !releases.any(|release| now >= release.arrived + wait(release)) {
            self.condemn(now, &format!("host {number} does not wait for the skew time"));
        }
    }

    /// Promise 3.
    fn may_resume(&self, now: Instant, number: usize, silent_from: Option<Instant>) {
        if let (Some(foreign), Some(silent_from)) = (self.hosts[number].foreign, silent_from)
            && foreign.arrived > silent_from
        {
            self.condemn(now, &format!("host {number} resumes although {} has spoken", foreign.sender));
        }
    }

    /// Promise 1.
    pub(super) fn look(&mut self, now: Instant, hosts: &[Host], disturbed: bool) {
        let holders = hosts.iter().filter(|host| host.holds).count();
        if self.remembers {
            let who: Vec<_> = hosts.iter().map(|host| host.holds).collect();
            if self.history.last().is_none_or(|(_, last)| *last != who) {
                self.history.push((now, who));
            }
        }
        if holders < 2 || disturbed {
            self.overlap_from = None;
            return;
        }
        let from = *self.overlap_from.get_or_insert(now);
        if now.since(from) > self.overlap() {
            self.condemn(now, &format!("{holders} holders for {:?}", now.since(from)));
        }
    }

    /// Promise 5.
    pub(super) fn converged(&self, now: Instant, hosts: &[Host]) {
        let holders: Vec<_> = (0..hosts.len()).filter(|number| hosts[*number].holds).collect();
        let [holder] = holders[..] else {
            let states: Vec<_> = hosts.iter().map(Host::state).collect();
            self.condemn(now, &format!("holders {holders:?} at the end, of {states:?}"));
        };
        if hosts[holder].master().is_none() {
            self.condemn(now, &format!("host {holder} holds as {:?}", hosts[holder].state()));
        }
        let strongest = hosts.iter().map(|host| host.config.priority).max().unwrap();
        let preempts = |host: &Host| host.config.preempt || host.config.priority.get() == OWNER;
        let must_be_strongest = hosts.iter().filter(|host| host.config.priority == strongest).all(preempts);
        if must_be_strongest && hosts[holder].config.priority != strongest {
            self.condemn(now, &format!("host {holder} holds and is not the strongest"));
        }
    }
}
