//! Density: many virtual routers at once; what is due against what leaves, how late, and what it costs.

use std::{collections::HashMap, path::Path, thread, time::Duration};

use anyhow::{Context, Result};
use vrrp_lab::observer::{Kind, Sighting};

use super::{
    machine::{CpuTime, noise},
    report::{Plot, Row, Section, Series, Table},
    scene::{Contender, Scene, Setting, is_from},
    stats::{Samples, cell, milliseconds},
};

/// One run of one contender.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    pub(crate) settled_ms: f64,
    /// Adverts of the master on the wire, of those due.
    pub(crate) sent_share: f64,
    pub(crate) sent_per_second: f64,
    /// How much later than its interval each advert followed the one before it, in milliseconds.
    pub(crate) lateness_ms: Samples,
    /// Virtual routers for which the backup spoke while the master lived.
    pub(crate) false_masters: usize,
    pub(crate) master_cpu: f64,
    pub(crate) backup_cpu: f64,
    pub(crate) master_mib: f64,
    pub(crate) backup_mib: f64,
    pub(crate) steal: f64,
}

/// A pair that is left alone for `window`.
pub(crate) fn measure(
    setting: Setting,
    contender: Contender,
    window: Duration,
    binary: &Path,
) -> Result<Run> {
    let scene = Scene::new("density", setting, binary)?;
    let observer = scene.observe(false)?;
    let (a, b, settled_ms) = scene.settle(contender, &observer)?;
    observer.clear();
    let (cpu, before) = (CpuTime::now(), (a.usage(), b.usage()));
    let start = vrrp_lab::clock::now_ns();
    thread::sleep(window);
    let end = vrrp_lab::clock::now_ns();
    let after = (a.usage(), b.usage());
    let steal = cpu.steal_since();
    // What was on its way when the window closed.
    thread::sleep(Duration::from_millis(50));
    let sightings = observer.finish()?;
    if let Ok(folder) = std::env::var("KEEP") {
        for r in [&a, &b] {
            fs_write(&folder, r);
        }
    }
    drop((a, b));

    let within: Vec<&Sighting> =
        sightings.iter().filter(|sighting| (start..end).contains(&sighting.time_ns)).collect();
    let mut last: HashMap<usize, u64> = HashMap::new();
    let mut lateness_ms = Samples::default();
    let mut sent = 0_u32;
    let mut false_masters = std::collections::HashSet::new();
    let interval = setting.interval().as_secs_f64() * 1e3;
    for sighting in within {
        let Kind::Advert { priority, .. } = sighting.kind else { continue };
        let Some(router) = scene.router_of(sighting) else { continue };
        if is_from(sighting, 1) {
            if priority != 0 {
                false_masters.insert(router);
            }
            continue;
        }
        sent += 1;
        if let Some(before) = last.insert(router, sighting.time_ns) {
            lateness_ms.push((milliseconds(before, sighting.time_ns) - interval).max(0.0));
        }
    }
    let seconds = Duration::from_nanos(end - start).as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "thousands")]
    let due = seconds * setting.instances as f64 / setting.interval().as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "nanoseconds of a minute at most, and KiB")]
    let share = |before: u64, after: u64| after.saturating_sub(before) as f64 / 1e9 / seconds * 100.0;
    #[expect(clippy::cast_precision_loss, reason = "KiB")]
    let mib = |kib: u64| kib as f64 / 1024.0;
    Ok(Run {
        settled_ms,
        sent_share: f64::from(sent) / due,
        sent_per_second: f64::from(sent) / seconds,
        lateness_ms,
        false_masters: false_masters.len(),
        master_cpu: share(before.0.cpu_ns, after.0.cpu_ns),
        backup_cpu: share(before.1.cpu_ns, after.1.cpu_ns),
        master_mib: mib(after.0.resident_kib),
        backup_mib: mib(after.1.resident_kib),
        steal,
    })
}

fn fs_write(folder: &str, r: &super::scene::Router) {
    std::fs::write(format!("{folder}/{}.log", r.process().name().replace(' ', "_")), r.process().log())
        .unwrap();
}
