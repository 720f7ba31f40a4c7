//! `kill -9` at random moments of a life, again and again: while starting, listening, promoting, holding.
//!
//! The moments are random, the judgement is not: with its guard alive a dead daemon leaves no second holder, without it
//! no address outlives its lifetime. `VRRP_TEST_SEED=17` strikes at the same moments again.

use std::time::Duration;

use vrrp_lab::{
    Requirement, clock,
    harness::{self, Test},
    tests,
};

use super::pair::{LIMIT, Pair, STALL, Speed, VIP, between, median};

/// Promised for the guard, and judged by the median here: a thread of the dead that waits in the kernel for the RTNL lock,
/// which every lab of this machine shares, puts off the news of its death. No further than [`Speed::freeze_limit`].
pub(crate) const AT_ONCE: Duration = Duration::from_millis(50);
/// `valid_lft` at 100 ms is one second, and IPv4 ends a lifetime up to one second late.
const LIFETIME: Duration = Duration::from_secs(2);
/// Longer than a start, a listening and a promotion at 100 ms.
const LIFE_MS: u64 = 900;
/// From a master's death to the end of its heir's promotion, at 100 ms and without a release.
const HEIRS_PROMOTION_MS: u64 = 420;

pub(crate) fn tests() -> Vec<Test> {
    use Requirement::{Daemon, Lab};
    let all = tests![[Lab, Daemon];
        daemons_killed_at_random_moments_never_leave_two_holders,
        no_address_outlives_its_lifetime_when_guards_are_killed_too,
    ];
    harness::despite_stalls(STALL, all)
}

/// Chance that can be had again.
struct Dice(u64);

impl Dice {
    fn new() -> Self {
        let given = std::env::var("VRRP_TEST_SEED").ok();
        let seed = given.map_or_else(clock::now_ns, |seed| seed.parse().unwrap());
        println!("moments of VRRP_TEST_SEED={seed}");
        Self(seed)
    }

    /// SplitMix64.
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }

    fn sleep(&mut self, most_ms: u64) {
        std::thread::sleep(Duration::from_micros(self.below(most_ms * 1000)));
    }
}

fn other(host: &str) -> &'static str {
    if host == "a" { "b" } else { "a" }
}

fn restart(pair: &mut Pair, host: &str) {
    match host {
        "a" => pair.a.restart(pair.lab.host("a")).unwrap(),
        "b" => pair.b.restart(pair.lab.host("b")).unwrap(),
        other => panic!("no host {other}"),
    }
}

fn is_running(pair: &mut Pair, host: &str) -> bool {
    pair.daemon(host).is_running()
}

/// Kills a daemon, not its guard; how soon its address was off, if it had it.
fn strike(pair: &mut Pair, victim: &str) -> Option<Duration> {
    let killed = clock::now_ns();
    pair.daemon(victim).kill();
    pair.wait_until("the killed one is off", || !pair.lab.host(victim).holds(VIP).unwrap());
    // The watching thread may read the kernel's news a little after we have asked.
    pair.wait_until("that is known", || !pair.timeline().holders().iter().any(|host| host == victim));
    // Its address is off before the kernel has closed all that it had open.
    assert!(pair.daemon(victim).wait(LIMIT).is_some(), "{victim} does not end");
    let timeline = pair.timeline();
    let lost = timeline.lost_at(victim, killed)?;
    let bound = pair.speed.freeze_limit(100) + pair.slack(killed, lost);
    let took = between(killed, lost);
    assert!(took < bound, "{victim} held the address {took:?} after its death\n{timeline}");
    Some(took)
}

/// One at a time is started while nobody holds the address: two that listen from the same moment on may by the RFC be
/// MASTER together for a moment, and that is not what is asked here.
fn daemons_killed_at_random_moments_never_leave_two_holders() {
    let rounds = harness::count(10, 500);
    let mut dice = Dice::new();
    let mut pair = Pair::start("kills", Speed::Fast);
    let (mut kills, mut off) = (0, Vec::new());
    while kills < rounds {
        dice.sleep(LIFE_MS);
        let holder = if pair.lab.host("a").holds(VIP).unwrap() { "a" } else { "b" };
        // Mostly the holder; the other one in any part of its life.
        let first = if dice.below(10) < 7 { holder } else { other(holder) };
        off.extend(strike(&mut pair, first));
        kills += 1;
        if dice.below(4) == 0 {
            // The heir, too, in the middle of its promotion or before or after it.
            dice.sleep(HEIRS_PROMOTION_MS / 3);
            off.extend(strike(&mut pair, other(first)));
            kills += 1;
            restart(&mut pair, if dice.below(2) == 0 { "a" } else { "b" });
        }
        let survivor = if is_running(&mut pair, "a") { "a" } else { "b" };
        let timeline = pair.wait_for(survivor);
        timeline.assert_never_two(Duration::ZERO);
        dice.sleep(50);
        restart(&mut pair, other(survivor));
    }
    let victims = off.len();
    let longest = off.iter().max().copied().expect("a holder was struck");
    let late = off.iter().filter(|took| **took > AT_ONCE).count();
    let middle = median(off);
    println!(
        "{kills} kills at random moments: never two holders; the address of {victims} was off after {middle:?} (median), \
         {longest:?} (longest), {late} of them later than {AT_ONCE:?}"
    );
    assert!(middle < AT_ONCE, "{middle:?}");
}

fn no_address_outlives_its_lifetime_when_guards_are_killed_too() {
    let rounds = harness::count(3, 100);
    let mut dice = Dice::new();
    let mut pair = Pair::start("lifetimes", Speed::Fast);
    let mut off = Vec::new();
    for _ in 0..rounds {
        dice.sleep(LIFE_MS);
        let victim = if pair.lab.host("a").holds(VIP).unwrap() { "a" } else { "b" };
        let killed = clock::now_ns();
        // Children first: the guard before the daemon, with nothing in between.
        pair.daemon(victim).kill_tree();
        let heir = other(victim);
        let timeline = pair.wait_for(heir);
        let Some(lost) = timeline.lost_at(victim, killed) else {
            panic!("{victim} did not hold the address when it was killed\n{timeline}");
        };
        let bound = LIFETIME + pair.slack(killed, lost);
        let took = between(killed, lost);
        assert!(took < bound, "{victim} had the address for {took:?} after its death\n{timeline}");
        assert_eq!(pair.release_after(victim, killed), None, "nobody was left to say priority 0");
        // From the heir's down timer to the end of the lifetime both have it.
        timeline.assert_never_two_since(killed, bound.saturating_sub(pair.speed.freeze_limit(100)));
        off.push(took);
        restart(&mut pair, victim);
    }
    println!(
        "{rounds} kills of daemon and guard: the kernel took the address off after {:?} (median), {:?} (longest)",
        median(off.clone()),
        off.iter().max().unwrap()
    );
}
