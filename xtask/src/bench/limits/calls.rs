//! Which system calls a daemon makes, counted by strace.

use std::{fs, process::Command};

use anyhow::{Context as _, Result, ensure};
use vrrp_lab::capability::find_program;

use super::{MOST_LINES, PATIENCE, SECONDS};
use crate::{
    bench::{
        report::{Row, Table},
        scene::{Router, Scene},
    },
    command::output_within,
};

/// All threads of the daemon, for [`SECONDS`].
pub(super) fn table(scene: &Scene, router: &Router, name: &str) -> Result<Table> {
    let strace = find_program("strace").context("strace is not installed")?;
    let file = scene.lab.folder().join(format!("{name}.strace"));
    let pid = router.process().pid().to_string();
    let mut command = Command::new("timeout");
    command.args(["--signal", "INT", &SECONDS.to_string()]).arg(strace);
    command.args(["-f", "-c", "-S", "calls", "-o"]).arg(&file).args(["-p", &pid]);
    let output = output_within(&mut command, PATIENCE)?;
    let text = fs::read_to_string(&file).unwrap_or_default();
    let counts: Vec<Count> = text.lines().filter_map(Count::parse).collect();
    ensure!(
        !counts.is_empty(),
        "strace counted nothing: {}",
        String::from_utf8_lossy(&output.stderr).lines().last().unwrap_or_default()
    );
    let title = format!("{}: {name}, system calls in {SECONDS} s under strace", scene.setting.label());
    let mut table = Table::new(&title, &["call", "count", "µs each"]);
    for count in counts.into_iter().take(MOST_LINES) {
        table.rows.push(Row { cells: vec![count.call, count.calls, count.each], ..Row::default() });
    }
    Ok(table)
}

#[derive(Debug, PartialEq, Eq)]
struct Count {
    call: String,
    calls: String,
    each: String,
}

impl Count {
    /// ` 61.02    0.012345           3      4100       [errors] sendmmsg`
    fn parse(line: &str) -> Option<Self> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [share, _, each, calls, .., call] = words.as_slice() else { return None };
        share.parse::<f64>().ok()?;
        calls.parse::<u64>().ok()?;
        let (call, calls, each) = ((*call).to_owned(), (*calls).to_owned(), (*each).to_owned());
        (call != "total").then_some(Self { call, calls, each })
    }
}

#[cfg(test)]
mod tests {
    use super::Count;

    #[test]
    fn calls_are_told_from_the_rest_of_the_summary() {
        let count = Count::parse(" 61.02    0.012345           3      4100           sendmmsg").unwrap();
        assert_eq!(
            (count.call.as_str(), count.calls.as_str(), count.each.as_str()),
            ("sendmmsg", "4100", "3")
        );
        assert_eq!(
            Count::parse("  1.00    0.000001           1        17         3 read").unwrap().call,
            "read"
        );
        for other in [
            "% time     seconds  usecs/call     calls    errors syscall",
            "------ ----------- ----------- --------- --------- ----------------",
            "100.00    0.020231           4      5000         3 total",
            "",
        ] {
            assert_eq!(Count::parse(other), None, "{other}");
        }
    }
}
