//! Two routers and the witnesses around them.

use std::{net::Ipv4Addr, ops::Range, thread, time::Duration};

use vrrp_lab::{
    AddressWatch, Capture, Daemon, HoldingTimeline, Instance, Keepalived, Lab, Peer, Process,
    clock::{self, MILLISECOND, nanos},
    frame::Advert,
};

use super::case::{Case, Kind, stalls};

pub(crate) const VIP: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 200);
pub(crate) const LIMIT: Duration = Duration::from_secs(15);
/// For scheduling, and for the delay of the address watch's own stamps, on a machine that does not stall.
pub(crate) const SLACK: Duration = Duration::from_millis(30);
/// keepalived works at ordinary priority.
const SLACK_OF_KEEPALIVED: Duration = Duration::from_millis(200);
/// Stamps of one clock, taken in two places.
pub(crate) const STAMP_ERROR: Duration = Duration::from_millis(1);

/// What both routers are configured with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) priority_a: u8,
    pub(crate) priority_b: u8,
    pub(crate) preempt: bool,
    pub(crate) skew_none: bool,
}

/// The usual pair: a is preferred, and whoever serves goes on serving.
pub(crate) const USUAL: Plan = Plan { priority_a: 150, priority_b: 100, preempt: false, skew_none: false };

enum Router {
    Ours(Daemon),
    Keepalived(Keepalived),
}

impl Router {
    fn process(&mut self) -> &mut Process {
        match self {
            Self::Ours(daemon) => daemon,
            Self::Keepalived(keepalived) => keepalived,
        }
    }
}

pub(crate) struct Pair {
    // Dropped in this order: the routers before the witnesses, the lab last.
    a: Option<Router>,
    b: Option<Router>,
    pub(crate) watch: AddressWatch,
    pub(crate) capture: Capture,
    pub(crate) lab: Lab,
    pub(crate) case: Case,
    pub(crate) plan: Plan,
}

impl Pair {
    /// The hosts and the witnesses; nobody runs yet.
    pub(crate) fn new(case: Case, plan: Plan) -> Self {
        stalls();
        let lab = Lab::pair("pairs").unwrap();
        let capture = Capture::start(&lab, &["a", "b", "client"]).unwrap();
        let watch = AddressWatch::start(&lab, &["a", "b"]).unwrap();
        Self { a: None, b: None, watch, capture, lab, case, plan }
    }

    /// `a` is MASTER, and `b` has heard it.
    pub(crate) fn elected(case: Case, plan: Plan) -> Self {
        let mut pair = Self::new(case, plan);
        pair.start("a");
        pair.wait_for("a");
        pair.start("b");
        pair.wait_for_adverts("a", 1);
        assert_eq!(pair.adverts_after("b", 0), [], "b spoke though its master was alive");
        pair
    }

    pub(crate) fn kind(&self, host: &str) -> Kind {
        if host == "a" { self.case.a } else { self.case.b }
    }

    pub(crate) fn priority(&self, host: &str) -> u8 {
        if host == "a" { self.plan.priority_a } else { self.plan.priority_b }
    }

    /// How long a host listens before it takes over.
    pub(crate) fn down_interval(&self, host: &str) -> Duration {
        self.case.setting.down_interval(self.priority(host))
    }

    pub(crate) fn interval(&self) -> Duration {
        self.case.setting.interval()
    }

    /// Starts a host's router, again if need be, and waits until it listens. Returns the stretch of time in which it
    /// began to listen.
    pub(crate) fn start(&mut self, host: &str) -> Range<u64> {
        let from = clock::now_ns();
        let logged = self.launch(host);
        self.wait_until("the router listens", || {
            let log = self.log(host);
            let new = log.get(logged..).unwrap_or_default();
            new.contains("-> BACKUP") || new.contains("Entering BACKUP STATE")
        });
        from..clock::now_ns()
    }

    /// Starts it and waits for nothing; the length of its log before.
    pub(crate) fn launch(&mut self, host: &str) -> usize {
        let logged = self.log(host).len();
        let at = self.lab.host(host);
        let slot = if host == "a" { &mut self.a } else { &mut self.b };
        match slot {
            Some(Router::Ours(daemon)) => daemon.restart(at).unwrap(),
            Some(Router::Keepalived(keepalived)) => keepalived.restart(at).unwrap(),
            None => *slot = Some(make(&self.case, self.plan, &self.lab, host)),
        }
        logged
    }

    /// Starts our daemon with an instance of the test's own.
    pub(crate) fn launch_instance(&mut self, host: &str, instance: Instance) {
        let daemon = Router::Ours(Daemon::start(self.lab.host(host), &[instance]).unwrap());
        *(if host == "a" { &mut self.a } else { &mut self.b }) = Some(daemon);
    }

    pub(crate) fn process(&mut self, host: &str) -> &mut Process {
        let router = if host == "a" { &mut self.a } else { &mut self.b };
        router.as_mut().unwrap().process()
    }

    /// SIGTERM, and the end of it; the moment before.
    pub(crate) fn stop(&mut self, host: &str) -> u64 {
        let before = clock::now_ns();
        match (if host == "a" { &mut self.a } else { &mut self.b }).as_mut().unwrap() {
            // It must end within a second: checked there.
            Router::Ours(daemon) => daemon.stop().unwrap(),
            Router::Keepalived(keepalived) => keepalived.stop().unwrap(),
        }
        before
    }

    /// Ends a BACKUP without a word: the whole tree, as in a power cut.
    pub(crate) fn kill_backup(&mut self, host: &str) {
        self.process(host).kill_tree();
        self.process(host).wait(LIMIT).unwrap();
    }

    /// SIGKILL; the moment before. Of our daemon only the daemon itself: the guard is there for that. keepalived goes as
    /// in a power cut, its address with it.
    pub(crate) fn kill(&mut self, host: &str) -> u64 {
        let before = clock::now_ns();
        match self.kind(host) {
            Kind::Ours => self.process(host).kill(),
            Kind::Keepalived => {
                self.process(host).kill_tree();
                let dead = self.lab.host(host).namespace();
                dead.ip(&["address", "del", &format!("{VIP}/24"), "dev", "eth0"]).unwrap();
            }
        }
        before
    }

    pub(crate) fn log(&self, host: &str) -> String {
        match if host == "a" { &self.a } else { &self.b } {
            Some(Router::Ours(daemon)) => daemon.log(),
            Some(Router::Keepalived(keepalived)) => keepalived.log(),
            None => String::new(),
        }
    }

    pub(crate) fn wait_for(&self, holder: &str) -> HoldingTimeline {
        self.watch.wait_for_holder(VIP, holder, LIMIT).unwrap()
    }

    pub(crate) fn wait_until(&self, what: &str, condition: impl FnMut() -> bool) {
        assert!(clock::wait_until(LIMIT, condition), "in vain: waited until {what}");
    }

    pub(crate) fn wait_for_adverts(&self, host: &str, count: usize) {
        let wanted = self.capture.adverts_from(host).len() + count;
        self.wait_until("adverts come", || self.capture.adverts_from(host).len() >= wanted);
    }

    pub(crate) fn timeline(&self) -> HoldingTimeline {
        self.watch.timeline(VIP).unwrap()
    }

    /// What a bound on what `hosts` do between two instants is widened by.
    pub(crate) fn slack(&self, hosts: &[&str], from_ns: u64, until_ns: u64) -> Duration {
        let theirs = hosts.iter().any(|host| self.kind(host) == Kind::Keepalived);
        let slack = if theirs { SLACK_OF_KEEPALIVED } else { SLACK };
        slack + stalls().within(from_ns, until_ns)
    }

    pub(crate) fn adverts_after(&self, host: &str, from_ns: u64) -> Vec<(u64, Advert)> {
        let mut adverts = self.capture.adverts_from(host);
        adverts.retain(|(time_ns, _)| *time_ns > from_ns);
        adverts
    }

    /// The last living advert of a host before that instant.
    pub(crate) fn last_advert_before(&self, host: &str, until_ns: u64) -> u64 {
        let adverts = self.capture.adverts_from(host);
        let living = adverts.iter().filter(|(time_ns, advert)| *time_ns < until_ns && !advert.is_release());
        living.map(|(time_ns, _)| *time_ns).next_back().unwrap()
    }

    /// The first living advert of a host after that instant; waits for it.
    pub(crate) fn claim_after(&self, host: &str, from_ns: u64) -> u64 {
        self.first(host, from_ns, "a claim", |advert| !advert.is_release())
    }

    /// The first priority 0 of a host after that instant; waits for it.
    pub(crate) fn release_after(&self, host: &str, from_ns: u64) -> u64 {
        self.first(host, from_ns, "priority 0", Advert::is_release)
    }

    fn first(&self, host: &str, from_ns: u64, what: &str, wanted: impl Fn(&Advert) -> bool) -> u64 {
        let record = self.capture.wait_for(LIMIT, |record| {
            record.host == host && record.time_ns > from_ns && record.advert().is_some_and(&wanted)
        });
        record.unwrap_or_else(|| panic!("{host} sent no advert that is {what}")).time_ns
    }

    /// Never two holders at one instant, not even for the shortest: the order of the events is the true one.
    pub(crate) fn assert_never_two(&self) {
        self.timeline().assert_never_two(Duration::ZERO);
    }
}

fn make(case: &Case, plan: Plan, lab: &Lab, host: &str) -> Router {
    let (kind, priority, other) = match host {
        "a" => (case.a, plan.priority_a, "b"),
        _ => (case.b, plan.priority_b, "a"),
    };
    let at = lab.host(host);
    let interval_ms = case.setting.interval_ms;
    let is_v2 = case.setting.version == 2;
    match kind {
        Kind::Ours => {
            let mut instance = if is_v2 {
                Instance::v2(priority)
            } else {
                Instance::v3(priority, &format!("{interval_ms}ms"))
            };
            instance.preempt = plan.preempt;
            if plan.skew_none {
                let peers = format!("peers: [{}]", lab.host(other).address());
                instance = instance.with(&peers).with("skew: none");
            }
            Router::Ours(Daemon::start(at, &[instance]).unwrap())
        }
        Kind::Keepalived => {
            let mut peer = if is_v2 { Peer::v2(priority) } else { Peer::v3(priority, interval_ms) };
            peer.nopreempt = !plan.preempt;
            Router::Keepalived(Keepalived::start(at, &[peer]).unwrap())
        }
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        if !thread::panicking() {
            return;
        }
        eprintln!("--- {}", self.case);
        match self.watch.timeline(VIP) {
            Ok(timeline) => eprintln!("--- who held {VIP}:\n{timeline}"),
            Err(error) => eprintln!("--- no timeline: {error:#}"),
        }
        let records = self.capture.records();
        let adverts: Vec<_> = records.iter().filter(|record| record.advert().is_some()).collect();
        eprintln!("--- the last adverts (stamp in ms, sender, priority):");
        for record in adverts.iter().skip(adverts.len().saturating_sub(40)) {
            let at = record.time_ns / (MILLISECOND / 1000);
            let priority = record.advert().map_or(0, |advert| advert.priority);
            eprintln!("{:>9}.{:03}  {}  {priority}", at / 1000, at % 1000, record.host);
        }
    }
}

/// The time from one instant to a later one.
pub(crate) fn between(from_ns: u64, until_ns: u64) -> Duration {
    Duration::from_nanos(until_ns.saturating_sub(from_ns))
}

/// Sleeps until that long after an instant.
pub(crate) fn sleep_until(instant_ns: u64, after: Duration) {
    let until = instant_ns + nanos(after);
    thread::sleep(Duration::from_nanos(until.saturating_sub(clock::now_ns())));
}
