//! Density: many virtual routers at once; what is due against what leaves, how late, and what it costs.

use std::{
    collections::{HashMap, HashSet},
    path::Path,
    thread,
    time::Duration,
};

use anyhow::Result;
use vrrp_lab::{
    StallMeter, clock,
    observer::{Kind, Observer, Sighting},
};

mod heard;
mod reload;

use heard::{Heard, Silence};
use reload::Reload;

use super::{
    Rounds,
    deadline::Turns,
    noise::{CpuTime, Noise},
    report::{Plot, Row, Section, Series, Table},
    scene::{Contender, Scene, Setting, is_from},
    stats::{Samples, evenly, milliseconds, spread},
    tries::Tries,
};

/// One run of one contender.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    pub(crate) settled_ms: f64,
    /// Adverts of the master on the wire, of those due.
    pub(crate) sent_share: f64,
    pub(crate) sent_per_second: f64,
    /// Adverts that were due between the first and the last one of their virtual router, and were not there.
    pub(crate) skipped: u64,
    /// How much later than its interval each advert followed the one before it, in milliseconds.
    pub(crate) lateness_ms: Samples,
    /// How far behind its virtual router's own beat each advert was, in milliseconds; None for keepalived, whose beats
    /// are not absolute: each is an interval after the one before it, however late that was.
    pub(crate) behind_ms: Option<Samples>,
    /// Virtual routers for which the backup spoke while the master lived.
    pub(crate) false_masters: usize,
    /// Of the virtual router that the master was silent about for longest, in advert intervals.
    pub(crate) longest_silence: f64,
    /// Of the machine itself, on whatever CPU, in advert intervals.
    pub(crate) longest_stall: f64,
    /// All its stalls together, in advert intervals.
    pub(crate) stalled: f64,
    /// Of the backup's advert thread, a second; None for keepalived, which has no such thread.
    pub(crate) backup_wakes: Option<f64>,
    pub(crate) master_cpu: f64,
    pub(crate) backup_cpu: f64,
    pub(crate) master_mib: f64,
    pub(crate) backup_mib: f64,
    /// None if it never came into effect.
    pub(crate) reload: Option<Reload>,
}

/// In advert intervals: a stall of so many can make an advert miss its time.
pub(crate) const STALLED: f64 = 0.9;
/// And one of so many takes a master of this bench's priorities off its addresses: its guard does so after the down
/// interval (3.61 at priority 100) less one, and the last advert may be an interval ago.
const RELIEVED: f64 = 1.6;

impl Run {
    /// By the stricter measure, where there is one.
    pub(crate) fn late_ms(&self) -> &Samples {
        self.behind_ms.as_ref().unwrap_or(&self.lateness_ms)
    }

    /// Without what the stalls can have done: no virtual router skips more adverts than there are intervals in them.
    fn forgiven(mut self, instances: usize) -> Self {
        if self.longest_stall >= STALLED {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "`as` saturates")]
            let most = self.stalled.ceil() as u64 * instances as u64;
            self.skipped = self.skipped.saturating_sub(most);
            self.longest_silence -= self.longest_stall;
        }
        if self.longest_stall >= RELIEVED {
            self.false_masters = 0;
        }
        self.longest_stall = 0.0;
        self
    }
}

/// A pair that is left alone for `window`.
pub(crate) fn measure(
    setting: Setting,
    contender: Contender,
    window: Duration,
    binary: &Path,
) -> Result<(Run, Noise)> {
    let scene = Scene::new("density", setting, binary)?;
    let observer = scene.observe(false)?;
    let (mut a, mut b, settled_ms) = scene.settle(contender, &observer)?;
    await_silence(&observer, window);
    observer.clear();
    let stalls = StallMeter::start()?;
    let cpu = CpuTime::now();
    let (metrics, before) = (b.metrics(&scene)?, (a.usage(), b.usage()));
    let start = clock::now_ns();
    thread::sleep(window);
    let end = clock::now_ns();
    let after = (a.usage_since(&before.0)?, b.usage_since(&before.1)?);
    let metrics = metrics.zip(b.metrics(&scene)?);
    let wakes =
        metrics.as_ref().and_then(|(before, after)| after.grown(before, "vrrp_advert_thread_wakes_total"));
    let noise = cpu.noise_since();
    let (stall, stalled) = (stalls.longest(start, end), stalls.within(start, end));
    drop(stalls);
    // What was on its way when the window closed.
    thread::sleep(Duration::from_millis(50));
    let reloaded = reload::run(&scene, &mut a, &observer)?;
    let sightings = observer.finish()?;
    drop((a, b));
    let reload = reloaded.and_then(|span| reload::judge(&scene, &span, &sightings));

    let within: Vec<&Sighting> =
        sightings.iter().filter(|sighting| (start..end).contains(&sighting.time_ns)).collect();
    let mut heard: HashMap<usize, Heard> = HashMap::new();
    let mut lateness_ms = Samples::default();
    let mut sent = 0_u32;
    let mut false_masters = HashSet::new();
    let mut silence = Silence::new(setting.instances, start);
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
        silence.hear(router, sighting.time_ns);
        if let Some(before) = Heard::note(&mut heard, router, sighting.time_ns) {
            lateness_ms.push((milliseconds(before, sighting.time_ns) - interval).max(0.0));
        }
    }
    if let (true, Some((_, after))) = (false_masters.is_empty(), &metrics) {
        after.ensure_backups(setting.instances)?;
    }
    let seconds = Duration::from_nanos(end - start).as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "thousands")]
    let due = seconds * setting.instances as f64 / setting.interval().as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "nanoseconds of a minute at most, and KiB")]
    let share = |before: u64, after: u64| after.saturating_sub(before) as f64 / 1e9 / seconds * 100.0;
    #[expect(clippy::cast_precision_loss, reason = "KiB")]
    let mib = |kib: u64| kib as f64 / 1024.0;
    #[expect(clippy::cast_precision_loss, reason = "thousands")]
    let backup_wakes = wakes.map(|wakes| wakes as f64 / seconds);
    let behind = heard.values().flat_map(|heard| heard.behind(clock::nanos(setting.interval())));
    let behind = behind.map(|ns| milliseconds(0, ns));
    let run = Run {
        settled_ms,
        sent_share: f64::from(sent) / due,
        sent_per_second: f64::from(sent) / seconds,
        skipped: heard.values().map(|heard| heard.skipped(clock::nanos(setting.interval()))).sum(),
        lateness_ms,
        behind_ms: (contender == Contender::Ours).then(|| behind.collect()),
        false_masters: false_masters.len(),
        longest_silence: milliseconds(0, silence.longest(end)) / interval,
        longest_stall: stall.as_secs_f64() * 1e3 / interval,
        stalled: stalled.as_secs_f64() * 1e3 / interval,
        backup_wakes,
        master_cpu: share(before.0.cpu_ns, after.0.cpu_ns),
        backup_cpu: share(before.1.cpu_ns, after.1.cpu_ns),
        master_mib: mib(after.0.resident_kib),
        backup_mib: mib(after.1.resident_kib),
        reload,
    };
    Ok((run, noise))
}

/// Both say again where an address is, 5 s after they took it: one gratuitous ARP each, in the window or not. That is so
/// long after the first address was announced, and so long after the last one.
const SAID_AGAIN: [Duration; 2] = [Duration::from_millis(4_500), Duration::from_secs(7)];

/// The window lies before or after the announcements that are repeated, not across.
fn await_silence(observer: &Observer, window: Duration) {
    let taken = observer.look(0, taken);
    thread::sleep(taken.map_or(Duration::ZERO, |taken| until_silence(taken, clock::now_ns(), window)));
}

/// When the first and the last address was announced for the first time: to say it again is to take nothing.
fn taken(all: &[Sighting]) -> Option<(u64, u64)> {
    let mut known = HashSet::new();
    let announcements = all.iter().filter_map(|seen| match seen.kind {
        Kind::Announcement { address } => Some((address, seen.time_ns)),
        Kind::Advert { .. } => None,
    });
    let mut times = announcements.filter(|(address, _)| known.insert(*address)).map(|(_, time_ns)| time_ns);
    let first = times.next()?;
    Some((first, times.last().unwrap_or(first)))
}

fn until_silence((first, last): (u64, u64), now: u64, window: Duration) -> Duration {
    let [begin, end] = SAID_AGAIN.map(clock::nanos);
    let is_before = now + clock::nanos(window) <= first + begin;
    if is_before { Duration::ZERO } else { Duration::from_nanos((last + end).saturating_sub(now)) }
}

/// Interval and instances; the first ones are those that goals are judged by, the others are seen once.
const GOALS: [(u32, usize); 4] = [(10, 200), (10, 255), (10, 1000), (1000, 4000)];
const OTHERS: [(u32, usize); 2] = [(10, 50), (100, 1000)];
/// The one that goals compare with keepalived; of the others it is seen once.
const COMPARED: (u32, usize) = (10, 200);
const QUICK: [(u32, usize); 1] = [(10, 200)];
const WINDOW: Duration = Duration::from_secs(3);

/// What the goals are judged by.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub(crate) runs: HashMap<(u32, usize, Contender), Tries<Run>>,
}

impl Findings {
    /// As if no noisy round had gone wrong, and no stall had done anything.
    pub(crate) fn forgiven(&self) -> Self {
        let forgiven = |instances, tries: &Tries<Run>| {
            let mut tries = tries.forgiven();
            tries.runs = tries.runs.into_iter().map(|run| run.forgiven(instances)).collect();
            tries
        };
        let runs = self.runs.iter();
        Self { runs: runs.map(|(case, tries)| (*case, forgiven(case.1, tries))).collect() }
    }

    /// The rounds of one case; none if it was not run.
    pub(crate) fn of(&self, (advert_ms, instances): (u32, usize), contender: Contender) -> Tries<Run> {
        self.runs.get(&(advert_ms, instances, contender)).cloned().unwrap_or_default()
    }
}

/// The section of the report.
pub(crate) fn run(rounds: Rounds, binary: &Path) -> Result<(Section, Findings)> {
    let mut section = Section::new(
        "density",
        "Density",
        "A pair with many virtual routers is left alone. Lateness is how much longer than its interval each advert came after \
         the one before, on the wire: of a stretch in which all are equally late only the first one counts. Our beats are \
         absolute, so that of ours it is told, too, how far behind its router's own beat each advert was, the earliest one of \
         the window taken to be on it; the goal is judged by that. keepalived's beats drift: each is set by the one before. Skipped are the adverts that were due between the first and the last one of their \
         router, and were not there. A stall is how long a CPU of this machine gave a real-time thread of the bench's own nothing, in advert intervals: one of \
         0.9 excuses what it can have done to the adverts. False masters are virtual routers for which the backup spoke while the \
         master lived. \
         CPU is of one core, all processes of a host's daemon, by the scheduler's own count; on this machine the sender also \
         pays for the switch and for the receiver's kernel half. Wake-ups are those of the backup's advert thread, by its own \
         count. From 200 instances on ours runs with `consume: true`: the kernel half keeps adverts from the host's stack, where \
         nobody else wants them; keepalived reads them from there. Numbers are medians of the rounds, with the least and the \
         most; false masters are of all rounds together. Then the master's file changes: the last virtual router holds another address. The reload takes \
         until that address is announced; meanwhile the longest gap between two adverts of any of the others is noted.",
    );
    let mut findings = Findings::default();
    let settings: Vec<((u32, usize), usize)> = if rounds.quick {
        QUICK.into_iter().map(|setting| (setting, 1)).collect()
    } else {
        let goals = GOALS.into_iter().map(|setting| (setting, rounds.count));
        goals.chain(OTHERS.into_iter().map(|setting| (setting, 1))).collect()
    };
    let mut turns = Turns::new(rounds.deadline);
    // What is seen once comes last: the goals do not wait for it.
    for is_judged in [true, false] {
        for (case, count) in &settings {
            let setting = setting_of(*case);
            let count = if is_judged { *count } else { 1 };
            // keepalived at its best is seen once where the two are compared.
            let asked = if *case == COMPARED { rounds.with_tuned() } else { rounds };
            for (round, contender) in
                (0..count).flat_map(|round| asked.contenders().map(move |who| (round, who)))
            {
                let is_extra =
                    contender == Contender::Tuned && !rounds.contenders().any(|who| who == contender);
                if is_judged == (is_extra || !judged(*case, contender)) {
                    continue;
                }
                let what = format!("{}, {}", setting.label(), contender.name());
                if !turns.next(&what) {
                    continue;
                }
                println!("density: {what}, round {}", round + 1);
                let tries = findings.runs.entry((case.0, case.1, contender)).or_default();
                if let Some(error) = tries.attempt(|| measure(setting, contender, WINDOW, binary)) {
                    println!("  no result: {error:#}");
                    section.remarks.push(format!("{what}: {error:#}"));
                }
            }
        }
    }
    for (case, _) in settings {
        let setting = setting_of(case);
        section.tables.push(table(setting, rounds, &findings));
        section.plots.extend(lateness(setting, &findings));
    }
    section.remarks.extend(turns.remark());
    Ok((section, findings))
}

const fn setting_of((advert_ms, instances): (u32, usize)) -> Setting {
    Setting { version: 3, advert_ms, instances }
}

/// Whether a goal rests on it; all else is seen once.
fn judged(case: (u32, usize), contender: Contender) -> bool {
    case == COMPARED || contender == Contender::Ours && GOALS.contains(&case)
}

fn table(setting: Setting, rounds: Rounds, findings: &Findings) -> Table {
    let mut table = Table::new(
        &setting.label(),
        &[
            "who",
            "rounds",
            "sent of due, %",
            "skipped",
            "adverts/s",
            "late p50, ms",
            "p99",
            "max",
            "behind the beat p99, ms",
            "max",
            "longest silence, intervals",
            "longest stall of a CPU",
            "false masters",
            "master CPU, %",
            "backup CPU, %",
            "backup wake-ups/s",
            "master MiB",
            "backup MiB",
            "settled, ms",
            "reload, ms",
            "longest gap in it, intervals",
        ],
    );
    for contender in rounds.with_tuned().contenders() {
        let Some(tries) = findings.runs.get(&(setting.advert_ms, setting.instances, contender)) else {
            continue;
        };
        let range = |value: fn(&Run) -> Option<f64>| spread(&tries.values(value));
        #[expect(clippy::cast_precision_loss, reason = "thousands")]
        let row = Row {
            cells: vec![
                contender.name().to_owned(),
                tries.count(),
                range(|run| Some(run.sent_share * 100.0)),
                range(|run| Some(run.skipped as f64)),
                range(|run| Some(run.sent_per_second)),
                range(|run| run.lateness_ms.percentile(0.5)),
                range(|run| run.lateness_ms.percentile(0.99)),
                range(|run| run.lateness_ms.max()),
                range(|run| run.behind_ms.as_ref()?.percentile(0.99)),
                range(|run| run.behind_ms.as_ref()?.max()),
                range(|run| Some(run.longest_silence)),
                range(|run| Some(run.longest_stall)),
                tries.sum(|run| run.false_masters).to_string(),
                range(|run| Some(run.master_cpu)),
                range(|run| Some(run.backup_cpu)),
                range(|run| run.backup_wakes),
                range(|run| Some(run.master_mib)),
                range(|run| Some(run.backup_mib)),
                range(|run| Some(run.settled_ms)),
                range(|run| Some(run.reload.as_ref()?.effective_ms)),
                range(|run| Some(run.reload.as_ref()?.longest_gap)),
            ],
            noise: tries.noise.told(),
            samples: vec![
                ("sent_share".to_owned(), tries.values(|run| Some(run.sent_share))),
                ("skipped".to_owned(), tries.values(|run| Some(run.skipped as f64))),
                ("late_p50_ms".to_owned(), tries.values(|run| run.lateness_ms.percentile(0.5))),
                ("late_p99_ms".to_owned(), tries.values(|run| run.lateness_ms.percentile(0.99))),
                (
                    "behind_beat_p99_ms".to_owned(),
                    tries.values(|run| run.behind_ms.as_ref()?.percentile(0.99)),
                ),
                ("longest_silence".to_owned(), tries.values(|run| Some(run.longest_silence))),
                ("longest_stall".to_owned(), tries.values(|run| Some(run.longest_stall))),
                ("false_masters".to_owned(), tries.values(|run| Some(run.false_masters as f64))),
                ("master_cpu".to_owned(), tries.values(|run| Some(run.master_cpu))),
                ("backup_cpu".to_owned(), tries.values(|run| Some(run.backup_cpu))),
                ("backup_wakes_per_second".to_owned(), tries.values(|run| run.backup_wakes)),
                ("master_mib".to_owned(), tries.values(|run| Some(run.master_mib))),
                ("backup_mib".to_owned(), tries.values(|run| Some(run.backup_mib))),
                ("settled_ms".to_owned(), tries.values(|run| Some(run.settled_ms))),
                ("reload_ms".to_owned(), tries.values(|run| Some(run.reload.as_ref()?.effective_ms))),
                (
                    "reload_longest_gap_intervals".to_owned(),
                    tries.values(|run| Some(run.reload.as_ref()?.longest_gap)),
                ),
            ],
        };
        table.rows.push(row);
    }
    table
}

/// A picture needs no more points than this.
const POINTS: usize = 2_000;

fn lateness(setting: Setting, findings: &Findings) -> Vec<Plot> {
    let of = |contender: Contender| {
        let runs = &findings.runs.get(&(setting.advert_ms, setting.instances, contender))?.runs;
        let mut all: Vec<f64> = runs.iter().flat_map(|run| run.lateness_ms.0.iter().copied()).collect();
        all.sort_by(f64::total_cmp);
        Some(Series::new(contender.name(), Samples(evenly(&all, POINTS))).of(all.len()))
    };
    let series: Vec<Series> = Contender::ALL.into_iter().filter_map(of).collect();
    if series.is_empty() {
        return Vec::new();
    }
    let title = format!("{}: lateness of adverts on the wire", setting.label());
    let unit = "ms".to_owned();
    vec![
        Plot::Cdf { title: title.clone(), unit: unit.clone(), logarithmic: true, series: series.clone() },
        Plot::Histogram { title, unit, logarithmic: true, series },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_keeps_clear_of_what_is_said_again() {
        let seen = |address: u8, second: u64| Sighting {
            time_ns: second * clock::SECOND,
            port: 0,
            outgoing: false,
            kind: Kind::Announcement { address: [10, 99, 1, address].into() },
        };
        // Four thousand take a while: the first one is said again soon after the last one was taken.
        let taken = taken(&[seen(1, 10), seen(2, 12), seen(3, 14), seen(1, 15), seen(2, 17)]);
        assert_eq!(taken, Some((10 * clock::SECOND, 14 * clock::SECOND)));
        let wait = |second| until_silence(taken.unwrap(), second * clock::SECOND, WINDOW).as_secs();
        assert_eq!([11, 12, 18, 20, 21, 30].map(wait), [0, 9, 3, 1, 0, 0]);
    }
}
