//! What the kernel's own statistics say about the programs of the kernel half: how often they ran, and for how long.

use std::{process::Command, thread, time::Duration};

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;
use vrrp_lab::{bpf, capability::find_program};

use super::{PATIENCE, SECONDS};
use crate::{
    bench::{
        report::{Row, Table},
        scene::Scene,
        stats::cell,
    },
    command::output_within,
};

/// As bpftool says it.
#[derive(Clone, Debug, Deserialize)]
struct Program {
    id: u32,
    #[serde(default)]
    name: String,
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    run_time_ns: u64,
    #[serde(default)]
    run_cnt: u64,
}

/// Of all programs that received packets in [`SECONDS`] of a steady pair.
pub(super) fn table(scene: &Scene) -> Result<Table> {
    let counting = bpf::count_runs().context("have the kernel count the runs of its programs")?;
    let before = programs()?;
    thread::sleep(Duration::from_secs(SECONDS));
    let after = programs()?;
    drop(counting);
    let title = format!("{}: programs by the kernel's own count", scene.setting.label());
    let mut table = Table::new(&title, &["program", "kind", "runs/s", "ns each"]);
    for now in after {
        let then = before.iter().find(|then| then.id == now.id);
        let runs = now.run_cnt.saturating_sub(then.map_or(0, |then| then.run_cnt));
        let time = now.run_time_ns.saturating_sub(then.map_or(0, |then| then.run_time_ns));
        let receives = matches!(now.kind.as_str(), "xdp" | "sched_cls");
        if runs == 0 || !receives {
            continue;
        }
        #[expect(clippy::cast_precision_loss, reason = "two seconds")]
        let (rate, each) = (runs as f64 / SECONDS as f64, time as f64 / runs as f64);
        let cells = vec![format!("{} ({})", now.name, now.id), now.kind, cell(Some(rate)), cell(Some(each))];
        table.rows.push(Row { cells, ..Row::default() });
    }
    ensure!(!table.rows.is_empty(), "no program ran");
    Ok(table)
}

fn programs() -> Result<Vec<Program>> {
    let bpftool = find_program("bpftool").context("bpftool is not installed")?;
    let output = output_within(Command::new(bpftool).args(["prog", "show", "--json"]), PATIENCE)?;
    serde_json::from_slice(&output.stdout).context("read what bpftool printed")
}
