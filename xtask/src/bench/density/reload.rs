//! A reload that changes one virtual router of many: when it is in effect, and what the others notice.

use std::{collections::HashMap, ops::Range, time::Duration};

use anyhow::Result;
use vrrp_lab::{
    Observer, clock,
    observer::{Kind, Sighting},
};

use crate::bench::{
    scene::{Router, Scene, is_from},
    stats::milliseconds,
};

/// What came of it.
#[derive(Clone, Debug)]
pub(crate) struct Reload {
    /// From the signal to the announcement of the new address.
    pub(crate) effective_ms: f64,
    /// Between two adverts of a virtual router that did not change, in advert intervals.
    pub(crate) longest_gap: f64,
}

/// Longer than keepalived takes for thousands.
const LIMIT: Duration = Duration::from_secs(20);

/// Reloads the master and waits for the announcement. The stretch of time it took; None if it never came.
pub(super) fn run(scene: &Scene, master: &mut Router, observer: &Observer) -> Result<Option<Range<u64>>> {
    let mut next = 0;
    // What was seen so far is none of it.
    next += observer.look(next, <[Sighting]>::len);
    let from = clock::now_ns();
    let wanted = scene.reload(master)?;
    let mut announced = None;
    clock::wait_until(LIMIT, || {
        next += observer.look(next, |fresh| {
            let hit = fresh.iter().find(|sighting| {
                is_from(sighting, 0) && sighting.kind == Kind::Announcement { address: wanted }
            });
            announced = announced.or_else(|| hit.map(|sighting| sighting.time_ns));
            fresh.len()
        });
        announced.is_some()
    });
    // A gap that the reload made may end later.
    std::thread::sleep(scene.setting.interval() * 2);
    Ok(announced.map(|until| from..until))
}

/// The gaps that touch the stretch.
pub(super) fn judge(scene: &Scene, span: &Range<u64>, sightings: &[Sighting]) -> Option<Reload> {
    let changed = scene.setting.instances - 1;
    let mut last: HashMap<usize, u64> = HashMap::new();
    let mut longest = 0;
    for sighting in sightings.iter().filter(|sighting| is_from(sighting, 0)) {
        let Kind::Advert { .. } = sighting.kind else { continue };
        let Some(router) = scene.router_of(sighting).filter(|router| *router != changed) else { continue };
        let before = last.insert(router, sighting.time_ns).unwrap_or(sighting.time_ns);
        if before < span.end && sighting.time_ns > span.start {
            longest = longest.max(sighting.time_ns - before);
        }
    }
    let interval = scene.setting.interval().as_secs_f64() * 1e3;
    (longest > 0).then(|| Reload {
        effective_ms: milliseconds(span.start, span.end),
        longest_gap: milliseconds(0, longest) / interval,
    })
}
