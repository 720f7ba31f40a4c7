//! What the numbers must become, and whether they did.
//!
//! Owns the goals. A goal is judged only from medians of at least five rounds; otherwise it is unknown, with the number.

use super::{
    Rounds, density,
    failover::{self, Event},
    flood, kernel_half,
    mysql::{self, Way},
    report::{Goal, Subject, Verdict},
    scene::{Contender, Setting},
    starve::{self, Case},
    stats::{Samples, cell},
};

/// Fewer rounds prove nothing.
const ENOUGH: usize = 5;

/// What each topic found, if it ran.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub(crate) failover: Option<failover::Findings>,
    pub(crate) density: Option<density::Findings>,
    pub(crate) flood: Option<flood::Findings>,
    pub(crate) starve: Option<starve::Findings>,
    pub(crate) mysql: Option<mysql::Findings>,
    pub(crate) kernel_half: kernel_half::Findings,
}

/// All goals, of the topics that ran.
pub(crate) fn judge(rounds: Rounds, findings: &Findings) -> Vec<Goal> {
    let mut goals = Goals { enough: rounds.count >= ENOUGH && !rounds.quick, all: Vec::new() };
    if let Some(found) = &findings.failover {
        goals.failover(found);
    }
    if let Some(found) = &findings.density {
        goals.density(found);
    }
    if let Some(found) = &findings.flood {
        goals.flood(found);
    }
    if let Some(found) = &findings.starve {
        goals.starve(found);
    }
    if let Some(found) = &findings.mysql {
        goals.mysql(found);
    }
    goals.kernel_half(&findings.kernel_half);
    goals.all
}

struct Goals {
    enough: bool,
    all: Vec<Goal>,
}

impl Goals {
    fn add(&mut self, what: &str, goal: &str, measured: String, reached: Option<bool>) {
        self.add_about(Subject::Timeline, what, goal, measured, reached);
    }

    fn add_about(
        &mut self,
        subject: Subject,
        what: &str,
        goal: &str,
        measured: String,
        reached: Option<bool>,
    ) {
        let reached = match reached {
            Some(true) if self.enough => Verdict::Reached,
            Some(false) if self.enough => Verdict::Missed,
            Some(_) | None => Verdict::Unknown,
        };
        self.all.push(Goal { what: what.to_owned(), goal: goal.to_owned(), measured, reached, subject });
    }

    fn failover(&mut self, found: &failover::Findings) {
        let recipe = Setting { version: 2, advert_ms: 1000, instances: 1 };
        for (event, name) in [(Event::Stop, "planned stop"), (Event::Kill, "kill -9 of the daemon")] {
            let of = |contender| found.median(recipe, event, contender, failover::last_vip);
            let (ours, theirs) = (of(Contender::Ours), of(Contender::Keepalived));
            let times = ours.zip(theirs).map(|(ours, theirs)| theirs / ours);
            self.add(
                &format!("{name}; v2, 1 s, `skew: none`"),
                "VIP announced by the peer within 5 ms, and at least 100 times sooner than keepalived",
                format!("{} ms; {} times sooner", cell(ours), cell(times)),
                ours.map(|ours| ours <= 5.0 && times.is_none_or(|times| times >= 100.0)),
            );
        }
        for (instances, within) in [(1, 1.0), (200, 5.0)] {
            let setting = Setting { version: 3, advert_ms: 10, instances };
            let beyond = |contender| {
                found.median(setting, Event::Cut, contender, |outcome| outcome.beyond_limit.max())
            };
            let ours = beyond(Contender::Ours);
            self.add(
                &format!("cut link; v3, 10 ms, {instances} instances"),
                &format!("the last VIP within {within} ms of the RFC's limit"),
                format!("{} ms beyond it; keepalived {} ms", cell(ours), cell(beyond(Contender::Keepalived))),
                ours.map(|ours| ours <= within),
            );
        }
    }

    fn density(&mut self, found: &density::Findings) {
        let of = |setting, contender, value: fn(&density::Run) -> Option<f64>| {
            found.median(setting, contender, value)
        };
        let (ours, theirs) = (Contender::Ours, Contender::Keepalived);
        let sent: fn(&density::Run) -> Option<f64> = |run| Some(run.sent_share * 100.0);
        let late: fn(&density::Run) -> Option<f64> = |run| run.lateness_ms.percentile(0.99);
        #[expect(clippy::cast_precision_loss, reason = "thousands")]
        let wrong: fn(&density::Run) -> Option<f64> = |run| Some(run.false_masters as f64);
        let master: fn(&density::Run) -> Option<f64> = |run| Some(run.master_cpu);
        let backup: fn(&density::Run) -> Option<f64> = |run| Some(run.backup_cpu);
        // Rounding of the window's edges.
        let all_sent = |share: f64| share >= 99.9;

        let about = |(advert_ms, instances): (u32, usize)| Subject::Density { advert_ms, instances };
        let dense = (10, 200);
        let shares = (of(dense, ours, sent), of(dense, ours, late), of(dense, ours, wrong));
        self.add_about(
            about(dense),
            "200 instances at 10 ms",
            "every due advert sent, p99 lateness under 1 ms, no false master",
            format!(
                "{} % sent, p99 {} ms late, {} false; keepalived {} %, {} ms, {}",
                cell(shares.0),
                cell(shares.1),
                cell(shares.2),
                cell(of(dense, theirs, sent)),
                cell(of(dense, theirs, late)),
                cell(of(dense, theirs, wrong))
            ),
            shares
                .0
                .zip(shares.1)
                .zip(shares.2)
                .map(|((sent, late), wrong)| all_sent(sent) && late < 1.0 && wrong == 0.0),
        );
        let cpu = (of(dense, ours, master), of(dense, ours, backup));
        let their_cpu = (of(dense, theirs, master), of(dense, theirs, backup));
        self.add_about(
            about(dense),
            "CPU at 200 instances, 10 ms",
            "at most half of keepalived's on the master, a quarter on the backup",
            format!(
                "{} % and {} %; keepalived {} % and {} %",
                cell(cpu.0),
                cell(cpu.1),
                cell(their_cpu.0),
                cell(their_cpu.1)
            ),
            cpu.0
                .zip(cpu.1)
                .zip(their_cpu.0.zip(their_cpu.1))
                .map(|(ours, theirs)| ours.0 <= theirs.0 / 2.0 && ours.1 <= theirs.1 / 4.0),
        );
        let thousand = (10, 1000);
        let numbers = (of(thousand, ours, sent), of(thousand, ours, wrong));
        self.add_about(
            about(thousand),
            "1 000 instances at 10 ms, both halves on this machine",
            "no false master, every due advert sent",
            format!("{} % sent, {} false", cell(numbers.0), cell(numbers.1)),
            numbers.0.zip(numbers.1).map(|(sent, wrong)| all_sent(sent) && wrong == 0.0),
        );
        let wide = (1000, 4000);
        let numbers = (
            of(wide, ours, master),
            of(wide, ours, backup),
            of(wide, ours, |run| Some(run.master_mib.max(run.backup_mib))),
        );
        self.add_about(
            about(wide),
            "4 000 instances at 1 s",
            "under 4 % of a core on either side, under 64 MB",
            format!("{} % and {} %, {} MiB", cell(numbers.0), cell(numbers.1), cell(numbers.2)),
            numbers
                .0
                .zip(numbers.1)
                .zip(numbers.2)
                .map(|((master, backup), mib)| master < 4.0 && backup < 4.0 && mib * 1.048_576 < 64.0),
        );
        let quiet = of((10, 255), ours, backup);
        self.add_about(
            about((10, 255)),
            "quiet backup, 255 instances at 10 ms",
            "at most 7 % of a core",
            format!("{} %", cell(quiet)),
            quiet.map(|quiet| quiet <= 7.0),
        );
    }

    fn flood(&mut self, found: &flood::Findings) {
        let of = |contender| {
            let mut wrong = 0;
            let mut cpu = Samples::default();
            for (who, run) in &found.full_rate {
                if *who == contender {
                    wrong += run.false_masters;
                    cpu.push(run.backup_cpu);
                }
            }
            (wrong, cpu.max())
        };
        let (ours, theirs) = (of(Contender::Ours), of(Contender::Keepalived));
        self.add(
            "flood of junk at the machine's full rate",
            "no false master; at most 1 % of a core",
            format!(
                "{} false, {} %; keepalived {} false, {} %",
                ours.0,
                cell(ours.1),
                theirs.0,
                cell(theirs.1)
            ),
            ours.1.map(|cpu| ours.0 == 0 && cpu <= 1.0),
        );
    }

    fn starve(&mut self, found: &starve::Findings) {
        let stops = [Case::ShortStop, Case::LongStop, Case::BothStop];
        let of = |contender| {
            let runs =
                found.runs.iter().filter(|((case, _, who), _)| *who == contender && stops.contains(case));
            runs.flat_map(|(_, runs)| runs).filter(|run| run.false_masters > 0).count()
        };
        let slowest = |contender| {
            let runs = found
                .runs
                .iter()
                .filter(|((case, _, who), _)| *who == contender && *case == Case::DeadMaster);
            let medians = runs.filter_map(|(_, runs)| {
                runs.iter().filter_map(|run| run.replaced_after).collect::<Samples>().median()
            });
            medians.collect::<Samples>().max()
        };
        let (wrong, replaced) = (of(Contender::Ours), slowest(Contender::Ours));
        self.add(
            "a stopped backup; both stopped, port down and up",
            "no false master; a dead master replaced within two intervals after the stall",
            format!(
                "{wrong} runs with a false master, replaced after {} intervals; keepalived {} runs",
                cell(replaced),
                of(Contender::Keepalived)
            ),
            replaced.map(|replaced| wrong == 0 && replaced <= 2.0),
        );
    }

    fn mysql(&mut self, found: &mysql::Findings) {
        use mysql::Event as Blow;
        let (ours, theirs) =
            (found.announced(Blow::Kill, Way::Observed), found.announced(Blow::Kill, Way::Told));
        let times = ours.zip(theirs).map(|(ours, theirs)| theirs / ours);
        self.add(
            "kill -9 of mysqld; v2, 1 s, `skew: none`, a check alone",
            "VIP announced by the peer within 5 ms, and at least 100 times sooner than keepalived, told at once",
            format!("{} ms; {} times sooner", cell(ours), cell(times)),
            ours.filter(|_| found.count(Blow::Kill, Way::Observed) >= ENOUGH)
                .map(|ours| ours <= 5.0 && times.is_none_or(|times| times >= 100.0)),
        );
        let outages = [
            (Blow::Kill, "kill -9 of mysqld, `role: manage`", 100.0),
            (Blow::Freeze, "mysqld frozen, `role: manage`", 1_000.0),
            (Blow::Switch, "planned switch, `role: manage`", 50.0),
        ];
        for (event, name, most) in outages {
            let ours = found.outage(event, Way::Managed);
            let is_planned = event == Blow::Switch;
            let lost =
                found.lost(event, Way::Managed) + if is_planned { found.twice(Way::Managed) } else { 0 };
            let goal = format!("client without service for at most {} ms at the median", cell(Some(most)));
            let nothing_lost = if is_planned { "; no acknowledged write lost, none there twice" } else { "" };
            let them = [Way::Told, Way::Recipe]
                .map(|way| found.outage(event, way).map(|outage| format!("{} ms", cell(Some(outage)))));
            let them: Vec<String> = them.into_iter().flatten().collect();
            let beside =
                if them.is_empty() { String::new() } else { format!("; keepalived {}", them.join(", ")) };
            self.add(
                name,
                &format!("{goal}{nothing_lost}"),
                format!("{} ms, {lost} lost{beside}", cell(ours)),
                ours.filter(|_| found.count(event, Way::Managed) >= ENOUGH)
                    .map(|ours| ours <= most && (!is_planned || lost == 0)),
            );
        }
    }

    fn kernel_half(&mut self, found: &kernel_half::Findings) {
        if let Some(later) = found.ring_later_us {
            self.add_about(
                Subject::Latency,
                "arrival to decision, an advert that changes something",
                "p50 within 10 µs of a raw socket's on the same packets",
                format!("{} µs later", cell(Some(later))),
                Some(later <= 10.0),
            );
        }
        let best = |name: &str| found.cost(name).map(|cost| cost.best_ns);
        if let (Some(empty), Some(not_vrrp), Some(junk), Some(delivered)) =
            (best("empty program"), best("not VRRP"), best("checksum"), best("delivered, v3 RFC 9568"))
        {
            self.add_about(
                Subject::KernelHalf,
                "a packet that is not VRRP; junk; delivered",
                "no worse than 13 / 52 / 106 ns, the first within 1.3 times the empty program",
                format!("{not_vrrp} / {junk} / {delivered} ns; the empty program {empty} ns"),
                Some(not_vrrp <= 13.0 && not_vrrp <= empty * 1.3 && junk <= 52.0 && delivered <= 106.0),
            );
        }
    }
}
