//! Which two routers, at which setting; and how one test goes through many of them.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::{Mutex, OnceLock, PoisonError},
    thread,
    time::Duration,
};

use vrrp_lab::{StallMeter, clock, harness};

/// What the tests of a pair need.
pub(crate) const NEEDS: [vrrp_lab::Requirement; 3] = {
    use vrrp_lab::Requirement::{Daemon, Lab, NativeXdp};
    [Lab, Daemon, NativeXdp]
};
/// The same with the real keepalived as the other router.
pub(crate) const NEEDS_KEEPALIVED: [vrrp_lab::Requirement; 4] = {
    use vrrp_lab::Requirement::{Daemon, Keepalived, Lab, NativeXdp};
    [Lab, Daemon, NativeXdp, Keepalived]
};

/// How often a case is tried while the machine itself is at fault.
const ATTEMPTS: usize = 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Ours,
    Keepalived,
}

/// Protocol version and advert interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Setting {
    pub(crate) version: u8,
    pub(crate) interval_ms: u32,
}

pub(crate) const V2: Setting = Setting { version: 2, interval_ms: 1000 };
pub(crate) const V3: Setting = Setting { version: 3, interval_ms: 1000 };
pub(crate) const V3_100: Setting = Setting { version: 3, interval_ms: 100 };
pub(crate) const V3_10: Setting = Setting { version: 3, interval_ms: 10 };
pub(crate) const SETTINGS: [Setting; 4] = [V2, V3, V3_100, V3_10];

impl Setting {
    pub(crate) fn interval(self) -> Duration {
        Duration::from_millis(self.interval_ms.into())
    }

    /// RFC 9568 §6.1; RFC 3768's is the same at 1 s, the only interval of version 2 here.
    pub(crate) fn skew(self, priority: u8) -> Duration {
        self.interval() * (256 - u32::from(priority)) / 256
    }

    pub(crate) fn down_interval(self, priority: u8) -> Duration {
        self.interval() * 3 + self.skew(priority)
    }

    pub(crate) fn is_slow(self) -> bool {
        self.interval_ms >= 1000
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Case {
    pub(crate) a: Kind,
    pub(crate) b: Kind,
    pub(crate) setting: Setting,
}

impl Case {
    /// keepalived has no real-time priority: at 10 ms it falls to any load at all.
    pub(crate) fn is_fragile(self) -> bool {
        self.setting == V3_10 && [self.a, self.b].contains(&Kind::Keepalived)
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |kind: Kind| match kind {
            Kind::Ours => "vrrp",
            Kind::Keepalived => "keepalived",
        };
        let Setting { version, interval_ms } = self.setting;
        write!(f, "{} and {}, v{version} {interval_ms} ms", name(self.a), name(self.b))
    }
}

/// Two daemons, at each setting.
pub(crate) fn ours() -> Vec<Case> {
    SETTINGS.map(|setting| Case { a: Kind::Ours, b: Kind::Ours, setting }).to_vec()
}

/// A daemon and keepalived, at each setting.
pub(crate) fn ours_then_keepalived() -> Vec<Case> {
    SETTINGS.map(|setting| Case { a: Kind::Ours, b: Kind::Keepalived, setting }).to_vec()
}

/// keepalived and a daemon, at each setting.
pub(crate) fn keepalived_then_ours() -> Vec<Case> {
    SETTINGS.map(|setting| Case { a: Kind::Keepalived, b: Kind::Ours, setting }).to_vec()
}

/// Both mixed pairs.
pub(crate) fn mixed() -> Vec<Case> {
    [ours_then_keepalived(), keepalived_then_ours()].concat()
}

/// Named durations that a run measured.
pub(crate) type Measured = Vec<(&'static str, Duration)>;

/// Goes through the cases, each as often as the mode has it, and prints the medians; all that was measured.
///
/// At 1 s they run side by side: they mostly wait. The fast ones run alone.
pub(crate) fn each(cases: &[Case], body: fn(Case) -> Measured) -> Measured {
    run(cases, harness::count(1, 5), harness::count(1, 20), body)
}

/// The same, one after the other at 1 s, too: for what waits for the RTNL lock, which all labs of this machine share, no longer
/// than its limit.
pub(crate) fn each_alone(cases: &[Case], body: fn(Case) -> Measured) -> Measured {
    cases.iter().flat_map(|case| each(&[*case], body)).collect()
}

/// The same, each case once: for a body that repeats itself.
pub(crate) fn each_once(cases: &[Case], body: fn(Case) -> Measured) -> Measured {
    run(cases, 1, 1, body)
}

fn run(cases: &[Case], slow_rounds: usize, fast_rounds: usize, body: fn(Case) -> Measured) -> Measured {
    let measured = Mutex::new(Measured::new());
    let keep = |some: Measured| measured.lock().unwrap_or_else(PoisonError::into_inner).extend(some);
    let (slow, fast): (Vec<Case>, Vec<Case>) = cases.iter().partition(|case| case.setting.is_slow());
    let failed = Mutex::new(None);
    thread::scope(|scope| {
        for case in slow {
            let (failed, keep) = (&failed, &keep);
            let work = move || match catch_unwind(|| repeat(case, slow_rounds, body)) {
                Ok(some) => keep(some),
                Err(panic) => *failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(panic),
            };
            thread::Builder::new().name(case.to_string()).spawn_scoped(scope, work).unwrap();
        }
    });
    if let Some(panic) = failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
        resume_unwind(panic);
    }
    for case in fast {
        keep(repeat(case, fast_rounds, body));
    }
    measured.into_inner().unwrap_or_else(PoisonError::into_inner)
}

fn repeat(case: Case, rounds: usize, body: fn(Case) -> Measured) -> Measured {
    let mut all: Measured = Vec::new();
    for _ in 0..rounds {
        all.extend(attempt(case, body));
    }
    let mut labels: Vec<&str> = all.iter().map(|(label, _)| *label).collect();
    labels.dedup();
    labels.sort_unstable();
    labels.dedup();
    for label in labels {
        let mut values: Vec<Duration> = all.iter().filter(|(of, _)| *of == label).map(|(_, t)| *t).collect();
        values.sort();
        let (median, worst) = (values[values.len() / 2], values[values.len() - 1]);
        println!("  {case}: {label}: median {median:.2?}, worst {worst:.2?} of {}", values.len());
    }
    all
}

/// At an interval of 10 ms a machine that stalls for 30 ms makes a rightful transition that no test has asked for. A
/// failure proves nothing, and the case is tried again, if the machine stood still for an advert interval or longer
/// meanwhile, or if keepalived is in it at 10 ms.
/// What is truly broken fails each time.
fn attempt(case: Case, body: fn(Case) -> Measured) -> Measured {
    let mut attempt = 1;
    loop {
        let from = clock::now_ns();
        let panic = match catch_unwind(AssertUnwindSafe(|| body(case))) {
            Ok(measured) => return measured,
            Err(panic) => panic,
        };
        let longest = stalls().longest(from, clock::now_ns());
        let excused = longest >= case.setting.interval() || case.is_fragile();
        if attempt == ATTEMPTS || !excused {
            eprintln!("failed: {case} (the longest stall meanwhile: {longest:?})");
            resume_unwind(panic);
        }
        eprintln!("attempt {attempt} proves nothing: {case}: the longest stall meanwhile: {longest:?}");
        attempt += 1;
    }
}

/// One meter for the whole run.
pub(crate) fn stalls() -> &'static StallMeter {
    static METER: OnceLock<StallMeter> = OnceLock::new();
    METER.get_or_init(|| StallMeter::start().unwrap())
}
