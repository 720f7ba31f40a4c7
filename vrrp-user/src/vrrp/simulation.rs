//! Two and three routers on a simulated segment, by seeds: loss, delay, reordering, cuts, stalls, crashes, slow and
//! refusing kernels; and a judge that knows the protocol's promises and not the code that keeps them.
//!
//! Refuses to know which seeds are lived and on how many cores: `crate::seeds` does.

mod host;
mod judge;
mod rng;
mod scenarios;
mod script;
mod world;

use rng::Rng;
use script::Script;

/// A whole life: faults, healing, convergence, peace.
pub(crate) fn live(seed: u64, trace: bool) {
    let mut rng = Rng::new(seed);
    let script = Script::random(&mut rng);
    let mut world = script.world(seed, rng, trace);
    script.play(&mut world);
    world.must_converge();
    world.must_stay();
}
