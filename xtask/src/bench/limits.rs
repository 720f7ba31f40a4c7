//! What stands in the way of the goals that were missed: their numbers round by round, and where the time goes, looked at with
//! the kernel's own tools.
//!
//! Owns which profile belongs to which goal. A pair is brought up once more for it: a profiled run is slower and is never among
//! the measured ones. Refuses to judge.

use std::{fs, path::Path, process::Command, time::Duration};

use anyhow::{Context as _, Result, bail};
use vrrp_lab::{capability::find_program, flood::Bound};

mod calls;
mod programs;
mod scheduler;

use super::{
    deadline::Deadline,
    flood,
    goals::Findings,
    mysql,
    report::{Goal, Row, Section, Subject, Table, Verdict},
    scene::{Contender, Router, Scene, Setting},
    stats::cell,
};
use crate::command::output_within;

const SECONDS: u64 = 2;
/// For a tool that should be done after [`SECONDS`], or at once.
const PATIENCE: Duration = Duration::from_secs(30);
/// Symbols below this share, in per cent, tell nothing.
const WORTH_A_LINE: f64 = 1.5;
const MOST_LINES: usize = 14;
/// A pair whose steady adverts the kernel half is looked at with.
const STEADY: Setting = Setting { version: 3, advert_ms: 10, instances: 20 };

/// None: there is nothing to explain.
pub(crate) fn section(
    goals: &[Goal],
    findings: &Findings,
    deadline: Deadline,
    binary: &Path,
) -> Option<Section> {
    let missed: Vec<&Goal> = goals.iter().filter(|goal| goal.reached == Verdict::Missed).collect();
    if missed.is_empty() {
        return None;
    }
    let mut section = Section::new(
        "limits",
        "What stands in the way",
        "Of each goal that was missed, its numbers round by round; and of those about CPU, punctuality, junk and the kernel half, \
         where the time goes. Profiles are of a pair brought up once more: by perf, in per cent of the daemon's own CPU time \
         (what a sender pays for the switch and for the receiver's kernel half is in it); by the scheduler, how long its \
         threads ran and how long they waited for a CPU; by strace, which slows it down, its system calls.",
    );
    let mut profiled = Vec::new();
    for goal in missed {
        section.tables.push(rounds(goal));
        let (setting, profile): (_, fn(&Scene) -> Result<Profile>) = match goal.subject {
            Subject::Density { advert_ms, instances } => {
                (Setting { version: 3, advert_ms, instances }, density)
            }
            Subject::KernelHalf => {
                section.tables.extend(costs(findings));
                (STEADY, kernel_half)
            }
            Subject::Junk => (flood::JUDGED, flooded),
            Subject::Winning => {
                section.tables.extend(winning(findings));
                continue;
            }
            Subject::Latency | Subject::Timeline => continue,
        };
        if profiled.contains(&setting) {
            continue;
        }
        if !deadline.has_time_for_profile() {
            section.remarks.push(format!("{}: the profile was left out for time.", goal.what));
            continue;
        }
        profiled.push(setting);
        println!("limits: {}", setting.label());
        match Scene::new("limits", setting, binary).and_then(|scene| profile(&scene)) {
            Ok((tables, remarks)) => {
                section.tables.extend(tables);
                section.remarks.extend(remarks);
            }
            Err(error) => section.remarks.push(format!("{}: no profile: {error:#}", goal.what)),
        }
    }
    Some(section)
}

/// Tables, and what could not be looked at.
type Profile = (Vec<Table>, Vec<String>);

/// The values that a goal was judged by.
fn rounds(goal: &Goal) -> Table {
    let mut table = Table::new(&format!("{}: {}", goal.what, goal.measured), &["value", "round by round"]);
    for (name, samples) in &goal.samples {
        let values: Vec<String> = samples.0.iter().map(|value| cell(Some(*value))).collect();
        table.rows.push(Row { cells: vec![name.clone(), values.join(", ")], ..Row::default() });
    }
    table
}

/// What the winner of a managed server does before its address comes.
fn winning(findings: &Findings) -> Option<Table> {
    let steps = findings.mysql.as_ref()?.steps(mysql::Event::Kill, mysql::Way::Managed);
    let mut table = Table::new(
        "Winning a managed server after kill -9 of the other one, ms, by the winner's log",
        &["step", "median", "round by round"],
    );
    for (step, samples) in steps {
        let rounds: Vec<String> = samples.0.iter().map(|ms| cell(Some(*ms))).collect();
        table
            .rows
            .push(Row { cells: vec![step, cell(samples.median()), rounds.join(", ")], ..Row::default() });
    }
    (!table.rows.is_empty()).then_some(table)
}

/// The steps of a delivered advert, each as the difference between two kinds of packet that differ by it.
fn costs(findings: &Findings) -> Option<Table> {
    let median = |name: &str| findings.kernel_half.median_ns(name);
    let empty = median("empty program")?;
    let (clock, recorded) = (median("bpf_ktime_get_ns")?, median("accepted, slot only")?);
    let delivered = median("delivered, v3")?;
    let steps = [
        ("entering a program at all", empty),
        ("the kernel's clock (bpf_ktime_get_ns)", clock - empty),
        ("all checks, and recording it in the slot under its sequence lock", recorded - clock),
        ("a token from the sender's bucket, and the copy into the ring", delivered - recorded),
    ];
    let mut table = Table::new("A delivered advert, ns", &["step", "ns"]);
    for (step, ns) in steps {
        table.rows.push(Row { cells: vec![step.to_owned(), cell(Some(ns))], ..Row::default() });
    }
    Some(table)
}

fn density(scene: &Scene) -> Result<Profile> {
    let observer = scene.observe(false)?;
    let (a, b, _) = scene.settle(Contender::Ours, &observer)?;
    let (mut tables, mut remarks) = (Vec::new(), Vec::new());
    let halves = [(&a, "master"), (&b, "backup")];
    for (router, name) in halves {
        tables.push(scheduler::table(scene, router, name));
        match half(scene, router, name) {
            Ok(table) => tables.push(table),
            Err(error) => remarks.push(format!("{}, {name}: {error:#}", scene.setting.label())),
        }
    }
    // Last, since the pair may not live through it.
    for (router, name) in halves {
        match calls::table(scene, router, name) {
            Ok(table) => tables.push(table),
            Err(error) => remarks.push(format!("{}, {name}: {error:#}", scene.setting.label())),
        }
    }
    Ok((tables, remarks))
}

fn kernel_half(scene: &Scene) -> Result<Profile> {
    let observer = scene.observe(false)?;
    let (_a, _b, _) = scene.settle(Contender::Ours, &observer)?;
    let why = "By its own count the kernel reads its clock before and after each run, which is part of the time, and packets of a \
               steady pair find the caches cold: these figures say what a host pays, those of BPF_PROG_TEST_RUN what a step costs.";
    Ok((vec![programs::table(scene)?], vec![why.to_owned()]))
}

/// The backup while junk arrives at the machine's full rate.
fn flooded(scene: &Scene) -> Result<Profile> {
    let observer = scene.observe(false)?;
    let (_a, backup, _) = scene.settle(Contender::Ours, &observer)?;
    // Ends with the looking; a bound of its own in case that never does.
    let flood = flood::start_junk(scene, Bound::seconds(SECONDS * 30))?;
    let name = "backup under junk";
    let (mut tables, mut remarks) = (vec![scheduler::table(scene, &backup, name)], Vec::new());
    for table in [half(scene, &backup, name), programs::table(scene)] {
        match table {
            Ok(table) => tables.push(table),
            Err(error) => remarks.push(format!("{}, {name}: {error:#}", scene.setting.label())),
        }
    }
    flood.stop()?;
    Ok((tables, remarks))
}

fn half(scene: &Scene, router: &Router, name: &str) -> Result<Table> {
    let perf = find_program("perf").context("perf is not installed (Debian: linux-perf)")?;
    let data = scene.lab.folder().join(format!("{name}.perf"));
    let pids: Vec<String> = router.process().tree().iter().map(ToString::to_string).collect();
    let before = router.usage();
    let mut record = Command::new(&perf);
    record.args(["record", "--quiet", "--freq", "1999", "--pid", &pids.join(","), "--output"]).arg(&data);
    let output = output_within(record.args(["--", "sleep", &SECONDS.to_string()]), PATIENCE)?;
    if !output.status.success() {
        bail!("perf record: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    let used = Duration::from_nanos(router.usage().cpu_ns.saturating_sub(before.cpu_ns));
    let mut report = Command::new(&perf);
    report.args(["report", "--stdio", "--no-children", "--sort", "symbol", "--input"]).arg(&data);
    let output = output_within(&mut report, PATIENCE)?;
    fs::remove_file(&data).with_context(|| format!("remove {}", data.display()))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    #[expect(clippy::cast_precision_loss, reason = "two")]
    let share = used.as_secs_f64() / SECONDS as f64 * 100.0;
    let title = format!("{}: {name}, {} % of a core", scene.setting.label(), cell(Some(share)));
    let mut table = Table::new(&title, &["share, %", "where", "symbol"]);
    for line in text.lines().filter_map(Line::parse).take(MOST_LINES) {
        if line.share >= WORTH_A_LINE {
            let cells = vec![cell(Some(line.share)), line.place.to_owned(), line.symbol];
            table.rows.push(Row { cells, ..Row::default() });
        }
    }
    Ok(table)
}

#[derive(Debug, PartialEq)]
struct Line {
    share: f64,
    place: &'static str,
    symbol: String,
}

impl Line {
    /// `     9.21%  [k] __netif_receive_skb_core`
    fn parse(line: &str) -> Option<Self> {
        let (share, rest) = line.trim().split_once('%')?;
        let (place, symbol) = rest.trim().split_once(' ')?;
        let place = match place {
            "[k]" => "kernel",
            "[.]" => "program",
            _ => return None,
        };
        Some(Self {
            share: share.parse().ok()?,
            place,
            symbol: symbol.trim_end_matches([' ', '-']).trim().to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Line;

    #[test]
    fn lines_of_perf_are_told_from_its_remarks() {
        let line = Line::parse("     9.21%  [k] __netif_receive_skb_core.constprop.0  -      -").unwrap();
        assert_eq!((line.share, line.place), (9.21, "kernel"));
        assert_eq!(line.symbol, "__netif_receive_skb_core.constprop.0");
        assert_eq!(Line::parse("    12.50%  [.] vrrp::main").unwrap().place, "program");
        for other in ["# Overhead  Symbol", "", "#", "# Samples: 1K of event 'cpu-clock:pppH'"] {
            assert_eq!(Line::parse(other), None, "{other}");
        }
    }
}
