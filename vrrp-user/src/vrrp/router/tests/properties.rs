//! Random events in random order, and the invariants of the core after each one.

use super::*;
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Op {
    Pass(Duration),
    /// Late by so much, with or without a slot that somebody refreshed so long ago.
    Deadline {
        late: Duration,
        heard: Option<(Ipv4Addr, u8, Duration)>,
    },
    Advert {
        sender: Ipv4Addr,
        priority: u8,
        interval: u16,
        age: Duration,
    },
    Startup,
    Shutdown,
    LinkUp,
    LinkDown,
    PrimaryAddress(bool),
    SetPriority(u8),
    Suspend,
    Resume,
    Reconfigure {
        config: Config,
        readdressed: bool,
    },
    /// Results: of the current order, or of an older one.
    Held {
        stale: bool,
    },
    Refused {
        stale: bool,
    },
    Released {
        stale: bool,
    },
    VipLost,
    Fenced,
}

fn span() -> impl Strategy<Value = Duration> {
    prop_oneof![
        3 => Just(Duration::ZERO),
        3 => (0..2_000_000u64).prop_map(Duration::from_nanos),
        3 => (0..400u64).prop_map(Duration::from_millis),
        1 => (0..20_000u64).prop_map(Duration::from_millis),
    ]
}

fn sender() -> impl Strategy<Value = Ipv4Addr> {
    prop_oneof![Just(SMALLER), Just(PEER), Just(STRANGER), Just(US)]
}

fn op() -> impl Strategy<Value = Op> {
    let any_priority = prop_oneof![Just(0u8), Just(99), Just(100), Just(101), Just(255), any::<u8>()];
    let heard = prop::option::of((sender(), any_priority.clone(), span()));
    prop_oneof![
        6 => span().prop_map(Op::Pass),
        10 => (span(), heard).prop_map(|(late, heard)| Op::Deadline { late, heard }),
        8 => (sender(), any_priority, 1..300u16, span())
            .prop_map(|(sender, priority, interval, age)| Op::Advert { sender, priority, interval, age }),
        2 => Just(Op::Startup),
        1 => Just(Op::Shutdown),
        2 => Just(Op::LinkUp),
        1 => Just(Op::LinkDown),
        2 => any::<bool>().prop_map(Op::PrimaryAddress),
        1 => (1..=255u8).prop_map(Op::SetPriority),
        1 => Just(Op::Suspend),
        2 => Just(Op::Resume),
        2 => (any_config(), any::<bool>())
            .prop_map(|(config, readdressed)| Op::Reconfigure { config, readdressed }),
        4 => any::<bool>().prop_map(|stale| Op::Held { stale }),
        1 => any::<bool>().prop_map(|stale| Op::Refused { stale }),
        2 => any::<bool>().prop_map(|stale| Op::Released { stale }),
        1 => Just(Op::VipLost),
        1 => Just(Op::Fenced),
    ]
}

fn any_config() -> impl Strategy<Value = Config> {
    let skew = prop_oneof![Just(Skew::Rfc), Just(Skew::None { peer: PEER })];
    let interval = prop_oneof![Just(v2(1)), Just(v3(1)), Just(v3(10)), Just(v3(100))];
    let delay = prop_oneof![Just(Duration::ZERO), Just(ms(700))];
    (prop_oneof![Just(100u8), Just(255), 1..=255u8], interval, any::<bool>(), skew, delay).prop_map(
        |(number, advert_interval, preempt, skew, startup_delay)| Config {
            priority: priority(number),
            advert_interval,
            preempt,
            skew,
            startup_delay,
            vip_deadline: VIP_DEADLINE,
            release_deadline: RELEASE_DEADLINE,
        },
    )
}

struct Driver {
    bench: Bench,
    /// By the orders given: taken and not yet dropped.
    taken: bool,
    /// The last order of either kind.
    last_order: Job,
    /// The longest interval it ever had: a doubt that began under it lasts as long.
    longest: Duration,
}

impl Driver {
    fn apply(&mut self, op: &Op) {
        let job = |stale: bool, bench: &Bench| if stale { Job::default() } else { bench.job() };
        let bench = &mut self.bench;
        let event = match *op {
            Op::Pass(span) => return bench.pass(span),
            Op::Deadline { late, heard } => {
                let Some(deadline) = bench.router.deadline() else {
                    return;
                };
                bench.now = bench.now.max(deadline + late);
                let heard = heard.map(|(sender, priority, age)| Advert {
                    arrived: Instant::from_nanos(
                        bench.now.as_nanos() - u64::try_from(age.as_nanos()).unwrap(),
                    ),
                    ..bench.advert(sender, priority)
                });
                Event::Deadline { heard }
            }
            Op::Advert { sender, priority, interval, age } => {
                let mut advert = bench.advert(sender, priority);
                advert.arrived =
                    Instant::from_nanos(bench.now.as_nanos() - u64::try_from(age.as_nanos()).unwrap());
                if bench.router.config.advert_interval.version() == Version::V3 {
                    advert.advert_interval = v3(interval);
                }
                Event::Advert(advert)
            }
            Op::Startup => Event::Startup,
            Op::Shutdown => Event::Shutdown,
            Op::LinkUp => Event::LinkUp,
            Op::LinkDown => Event::LinkDown,
            Op::PrimaryAddress(there) => Event::PrimaryAddress(there.then_some(US)),
            Op::SetPriority(number) => Event::SetPriority(priority(number)),
            Op::Suspend => Event::Suspend,
            Op::Resume => Event::Resume,
            Op::Reconfigure { config, readdressed } => Event::Reconfigure { config, readdressed },
            Op::Held { stale } => Event::VipsHeld(job(stale, bench)),
            Op::Refused { stale } => Event::VipsRefused(job(stale, bench)),
            Op::Released { stale } => Event::VipsReleased(job(stale, bench)),
            Op::VipLost => Event::VipLost,
            Op::Fenced => Event::Fenced,
        };
        let before = bench.router.clone();
        let actions = bench.give(event);
        self.check(&before, event, &actions);
    }

    fn check(&mut self, before: &VirtualRouter, event: Event, actions: &[Action]) {
        let router = &self.bench.router;
        let now = self.bench.now;
        let interval = before.config.advert_interval.duration();
        self.longest = self.longest.max(interval);
        assert!(actions.len() <= Actions::MOST_PER_EVENT);

        // Adverts of our own priority come from a MASTER whose right has not lapsed, or from one just elected.
        let was_master = match before.state {
            State::Master(master) => Some(master),
            State::Initialize | State::Fault(_) | State::Backup(_) => None,
        };
        let elected = actions.iter().any(|action| {
            matches!(
                action,
                Action::Transition {
                    to: Label::Master,
                    why: Why::Owner
                        | Why::NobodyHeard { .. }
                        | Why::MasterSilent { .. }
                        | Why::MasterReleased { .. }
                        | Why::NobodyTookOver { .. },
                    ..
                }
            )
        });
        for action in actions {
            match action {
                Action::SendAdvert { .. } => {
                    let by_right =
                        was_master.is_some_and(|master| now.since(master.last_sent) <= interval * 3);
                    assert!(by_right || elected, "{event:?} made {before:?} claim");
                    assert_eq!(router.label(), Label::Master);
                }
                Action::SendRelease => {
                    assert!(!self.taken, "priority 0 while the addresses are ordered on");
                    assert!(was_master.is_some());
                }
                Action::TakeVips(job) => {
                    assert!(elected || was_master.is_some());
                    self.taken = true;
                    self.last_order = *job;
                }
                Action::DropVips(job) => {
                    self.taken = false;
                    self.last_order = *job;
                }
                Action::AnnounceVips => assert!(self.taken),
                Action::SetMinimumPriority(_) | Action::WakeAlways(_) | Action::Transition { .. } => {}
            }
        }
        // A change of state is told, once, and nothing else is told as one.
        let told: Vec<_> = transitions(actions).into_iter().filter(|(from, to)| from != to).collect();
        if before.label() == router.label() {
            assert_eq!(told, []);
        } else {
            assert_eq!(told, [(before.label(), router.label())]);
        }
        self.invariants();
    }

    fn invariants(&self) {
        let router = &self.bench.router;
        if self.last_order != Job::default() {
            assert_eq!(self.last_order, router.job, "results are matched with the last order");
        }
        match router.state {
            State::Initialize => {
                assert!(!self.taken);
                assert_eq!(router.deadline(), None);
            }
            State::Fault(fault) => {
                assert!(!self.taken);
                let refused = matches!(fault, Fault::Refused { .. });
                assert!(refused || router.missing().map(|(missing, _)| missing) == Some(fault));
                assert_eq!(router.deadline().is_some(), refused);
            }
            State::Backup(_) => {
                assert!(!self.taken, "a backup holds nothing");
                assert!(router.deadline().is_some(), "a backup always has a deadline");
                assert_eq!(router.missing(), None);
            }
            State::Master(master) => {
                assert!(router.deadline().is_some());
                let leaving = matches!(master.phase, Phase::Releasing { .. });
                assert!(router.missing().is_none() || (leaving && router.suspended));
                match master.phase {
                    Phase::Promoting { deadline } => {
                        assert!(self.taken);
                        assert!(deadline.since(self.bench.now) <= VIP_DEADLINE);
                    }
                    Phase::Holding => assert!(self.taken),
                    Phase::Releasing { deadline, .. } => {
                        assert!(!self.taken, "off first, then priority 0");
                        assert!(deadline.since(self.bench.now) <= RELEASE_DEADLINE);
                    }
                    Phase::Doubting { until } => {
                        let longest = self.longest.max(router.config.advert_interval.duration());
                        assert!(until.since(self.bench.now) <= (longest + ms(1000)).max(longest * 2));
                    }
                }
            }
        }
    }

    /// However the router was left, deadlines alone bring it to rest: in no state does it spin.
    fn settle(&mut self) {
        for _ in 0..64 {
            let Some(deadline) = self.bench.router.deadline() else {
                return;
            };
            if deadline > self.bench.now {
                return;
            }
            self.apply(&Op::Deadline { late: Duration::ZERO, heard: None });
        }
        panic!("spins in {:?}", self.bench.router);
    }
}

fn driver(config: Config, started: bool) -> Driver {
    let bench = Bench::new(config);
    let mut driver = Driver { bench, taken: false, last_order: Job::default(), longest: Duration::ZERO };
    if started {
        for op in [Op::LinkUp, Op::PrimaryAddress(true), Op::Startup] {
            driver.apply(&op);
        }
    }
    driver
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn invariants_hold_after_every_event(
        config in any_config(),
        started: bool,
        operations in prop::collection::vec(op(), 0..80),
    ) {
        let mut driver = driver(config, started);
        for op in &operations {
            driver.apply(op);
            driver.settle();
        }
    }

    // Random bytes never change a state: adverts that we do not believe, in whatever state.
    #[test]
    fn adverts_that_are_not_believed_change_nothing(
        config in any_config(),
        operations in prop::collection::vec(op(), 0..40),
        number: u8,
    ) {
        let mut driver = driver(config, true);
        operations.iter().for_each(|op| driver.apply(op));
        let before = driver.bench.router.state;
        let stale = match before {
            State::Master(master) => driver.bench.router.was_silent(&master, driver.bench.now),
            State::Initialize | State::Fault(_) | State::Backup(_) => false,
        };
        prop_assume!(!stale);
        let other = match driver.bench.router.config.advert_interval {
            AdvertInterval::V2(_) => v3(100),
            AdvertInterval::V3(_) => v2(1),
        };
        let advert = Advert { advert_interval: other, ..driver.bench.advert(PEER, number) };
        prop_assert_eq!(driver.bench.give(Event::Advert(advert)), []);
        prop_assert_eq!(driver.bench.router.state, before);
    }
}

#[test]
fn every_event_is_handled_in_every_state() {
    let arrangements: [fn() -> Bench; 12] = [
        || Bench::new(config()),
        || {
            let mut bench = Bench::new(config());
            bench.give(Event::Startup);
            bench
        },
        || {
            let mut bench = Bench::promoting(config());
            bench.give(Event::VipsRefused(bench.job()));
            bench.give(Event::VipsReleased(bench.job()));
            bench
        },
        || {
            let mut bench = Bench::started(config());
            bench.give(Event::Suspend);
            bench
        },
        || {
            let mut bench = Bench::holding(config());
            bench.give(Event::Suspend);
            bench
        },
        || Bench::started(config()),
        || Bench::promoting(config()),
        || Bench::holding(config()),
        || {
            let mut bench = Bench::holding(config());
            bench.give(Event::Shutdown);
            bench
        },
        || {
            let mut bench = Bench::promoting(config());
            bench.give(Event::VipsRefused(bench.job()));
            bench
        },
        || {
            let mut bench = Bench::holding(config());
            bench.pass(ms(3001));
            bench
        },
        || {
            let mut bench = Bench::holding(config());
            bench.pass(ms(3001));
            bench.give(Event::Deadline { heard: None });
            bench
        },
    ];
    for arrange in arrangements {
        let bench = arrange();
        let job = bench.job();
        let mut events = vec![
            Event::Startup,
            Event::Shutdown,
            Event::Deadline { heard: None },
            Event::LinkUp,
            Event::LinkDown,
            Event::PrimaryAddress(None),
            Event::PrimaryAddress(Some(US)),
            Event::SetPriority(priority(7)),
            Event::Suspend,
            Event::Resume,
            Event::Reconfigure { config: Config { advert_interval: v3(10), ..config() }, readdressed: true },
            Event::Reconfigure { config: Config { advert_interval: v2(1), ..config() }, readdressed: false },
            Event::VipsHeld(job),
            Event::VipsRefused(job),
            Event::VipsReleased(job),
            Event::VipLost,
            Event::Fenced,
        ];
        for number in [0, 50, 100, 200, 255] {
            events.push(Event::Advert(bench.advert(PEER, number)));
            events.push(Event::Deadline { heard: Some(bench.advert(PEER, number)) });
        }
        for event in events {
            let bench = arrange();
            let taken = match bench.router.state {
                State::Master(master) => !matches!(master.phase, Phase::Releasing { .. }),
                State::Initialize | State::Fault(_) | State::Backup(_) => false,
            };
            let last_order = bench.job();
            let before = bench.router.clone();
            let mut driver = Driver { bench, taken, last_order, longest: Duration::ZERO };
            let actions = driver.bench.give(event);
            driver.check(&before, event, &actions);
        }
    }
}
