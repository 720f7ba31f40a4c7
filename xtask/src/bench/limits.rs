//! What stands in the way of the goals that were missed: where the time goes, looked at with the kernel's own tools.
//!
//! Owns which profile belongs to which goal. A pair is brought up once more for it: a profiled run is slower and is never among
//! the measured ones. Refuses to judge.

use std::{fs, path::Path, process::Command, time::Duration};

use anyhow::{Context as _, Result, bail};
use vrrp_lab::capability::find_program;

use super::{
    goals::Findings,
    report::{Goal, Row, Section, Subject, Table, Verdict},
    scene::{Contender, Router, Scene, Setting},
    stats::cell,
};

const SECONDS: u64 = 2;
/// Symbols below this share, in per cent, tell nothing.
const WORTH_A_LINE: f64 = 1.5;
const MOST_LINES: usize = 14;

/// None: there is nothing to explain.
pub(crate) fn section(goals: &[Goal], findings: &Findings, binary: &Path) -> Option<Section> {
    let missed: Vec<&Goal> = goals.iter().filter(|goal| goal.reached == Verdict::Missed).collect();
    if missed.is_empty() {
        return None;
    }
    let mut section = Section::new(
        "limits",
        "What stands in the way",
        "Of each goal that was missed, where the time goes. Profiles are of a pair brought up once more, by perf, in per cent of \
         the daemon's own CPU time; what a sender pays for the switch and for the receiver's kernel half is in it.",
    );
    let mut profiled = Vec::new();
    for goal in missed {
        match goal.subject {
            Subject::Density { advert_ms, instances } => {
                let setting = Setting { version: 3, advert_ms, instances };
                if profiled.contains(&setting) {
                    continue;
                }
                profiled.push(setting);
                println!("limits: {}", setting.label());
                match profile(setting, binary) {
                    Ok(tables) => section.tables.extend(tables),
                    Err(error) => section.remarks.push(format!("{}: no profile: {error:#}", goal.what)),
                }
            }
            Subject::KernelHalf => section.tables.extend(costs(findings)),
            Subject::Latency => section.remarks.push(format!(
                "{}: one packet wakes both threads. The ring's is woken from an interrupt of its own, after the frame has been \
                 through the kernel half, and then asks epoll and the ring; the raw socket's is woken in the same softirq and \
                 has its answer with the call that it slept in. With no more CPUs than threads one waits for the other.",
                goal.what
            )),
            Subject::Timeline => {
                section.remarks.push(format!("{}: see the timelines and distributions of its topic.", goal.what));
            }
        }
    }
    Some(section)
}

/// The steps of a delivered advert, each as the difference between two kinds of packet that differ by it.
fn costs(findings: &Findings) -> Option<Table> {
    let best = |name: &str| findings.kernel_half.cost(name).map(|cost| cost.best_ns);
    let empty = best("empty program")?;
    let (clock, checked) = (best("bpf_ktime_get_ns")?, best("checksum")?);
    let (recorded, delivered) = (best("accepted, slot only")?, best("delivered, v3 RFC 9568")?);
    let steps = [
        ("entering a program at all", empty),
        ("checks: headers, rule, both checksums, one count", checked - empty),
        ("the kernel's clock (bpf_ktime_get_ns)", clock - empty),
        ("recording it in the slot, under its sequence lock", recorded - checked - (clock - empty)),
        ("a token from the sender's bucket, and the copy into the ring", delivered - recorded),
    ];
    let mut table = Table::new("A delivered advert, ns", &["step", "ns"]);
    for (step, ns) in steps {
        table.rows.push(Row { cells: vec![step.to_owned(), cell(Some(ns))], ..Row::default() });
    }
    Some(table)
}

fn profile(setting: Setting, binary: &Path) -> Result<Vec<Table>> {
    let scene = Scene::new("limits", setting, binary)?;
    let observer = scene.observe(false)?;
    let (a, b, _) = scene.settle(Contender::Ours, &observer)?;
    [(&a, "master"), (&b, "backup")].into_iter().map(|(router, name)| half(&scene, router, name)).collect()
}

fn half(scene: &Scene, router: &Router, name: &str) -> Result<Table> {
    let perf = find_program("perf").context("perf is not installed (Debian: linux-perf)")?;
    let data = scene.lab.folder().join(format!("{name}.perf"));
    let pids: Vec<String> = router.process().tree().iter().map(ToString::to_string).collect();
    let before = router.usage();
    let mut record = Command::new(&perf);
    record.args(["record", "--quiet", "--freq", "1999", "--pid", &pids.join(","), "--output"]).arg(&data);
    let output = record.args(["--", "sleep", &SECONDS.to_string()]).output().context("run perf record")?;
    if !output.status.success() {
        bail!("perf record: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    let used = Duration::from_nanos(router.usage().cpu_ns.saturating_sub(before.cpu_ns));
    let mut report = Command::new(&perf);
    report.args(["report", "--stdio", "--no-children", "--sort", "symbol", "--input"]).arg(&data);
    let output = report.output().context("run perf report")?;
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
