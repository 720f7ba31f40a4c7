//! Two and three routers on a simulated segment, by seeds: loss, delay, reordering, cuts, stalls, crashes, slow and
//! refusing kernels; and a judge that knows the protocol's promises and not the code that keeps them.
//!
//! `VRRP_SIM_SEEDS=100000` runs more seeds than the default, `VRRP_SIM_SEED=17` replays one with a trace.

mod host;
mod judge;
mod rng;
mod scenarios;
mod script;
mod world;

use rng::Rng;
use script::Script;

const SEEDS: u64 = 5_000;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|value| value.parse().expect("a number"))
}

/// A whole life: faults, healing, convergence, peace.
fn live(seed: u64, trace: bool) {
    let mut rng = Rng::new(seed);
    let script = Script::random(&mut rng);
    let mut world = script.world(seed, rng, trace);
    script.play(&mut world);
    world.must_converge();
    world.must_stay();
}

/// Two tests, so that two cores share the work.
fn half(parity: u64) {
    match number("VRRP_SIM_SEED") {
        Some(seed) if seed % 2 == parity => live(seed, true),
        Some(_) => {}
        None => {
            (0..number("VRRP_SIM_SEEDS").unwrap_or(SEEDS))
                .filter(|seed| seed % 2 == parity)
                .for_each(|seed| live(seed, false));
        }
    }
}

#[test]
fn no_even_seed_breaks_a_promise() {
    half(0);
}

#[test]
fn no_odd_seed_breaks_a_promise() {
    half(1);
}
