//! How long a daemon's threads ran, and how long they were ready and waited for a CPU: /proc/PID/task/TID/schedstat.

use std::{collections::BTreeMap, fs, thread, time::Duration};

use super::SECONDS;
use crate::bench::{
    report::{Row, Table},
    scene::{Router, Scene},
    stats::cell,
};

/// Nanoseconds of a thread so far, and how often it was given a CPU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Time {
    ran: u64,
    waited: u64,
    turns: u64,
}

impl Time {
    fn parse(text: &str) -> Option<Self> {
        let mut numbers = text.split_whitespace().map(|word| word.parse().ok());
        Some(Self { ran: numbers.next()??, waited: numbers.next()??, turns: numbers.next()?? })
    }
}

/// One row for each name of a thread, of [`SECONDS`] in which nothing else happens.
pub(super) fn table(scene: &Scene, router: &Router, name: &str) -> Table {
    let before = times(router);
    thread::sleep(Duration::from_secs(SECONDS));
    let after = times(router);
    let mut by_name: BTreeMap<&str, Time> = BTreeMap::new();
    for (task, (thread, now)) in &after {
        let then = before.get(task).map(|(_, time)| *time).unwrap_or_default();
        let sum = by_name.entry(thread).or_default();
        sum.ran += now.ran.saturating_sub(then.ran);
        sum.waited += now.waited.saturating_sub(then.waited);
        sum.turns += now.turns.saturating_sub(then.turns);
    }
    let title = format!("{}: {name}, by the scheduler", scene.setting.label());
    let mut table = Table::new(&title, &["thread", "ran, %", "waited for a CPU, %", "turns/s"]);
    #[expect(clippy::cast_precision_loss, reason = "two seconds, and nanoseconds of them")]
    let (share, rate) = (
        |ns: u64| cell(Some(ns as f64 / 1e9 / SECONDS as f64 * 100.0)),
        |count: u64| cell(Some(count as f64 / SECONDS as f64)),
    );
    for (thread, time) in by_name.iter().filter(|(_, time)| time.turns > 0) {
        let cells = vec![(*thread).to_owned(), share(time.ran), share(time.waited), rate(time.turns)];
        table.rows.push(Row { cells, ..Row::default() });
    }
    table
}

fn times(router: &Router) -> BTreeMap<String, (String, Time)> {
    let mut times = BTreeMap::new();
    for pid in router.process().tree() {
        // A process or a thread may end meanwhile: then it has no more to say.
        let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { continue };
        for task in tasks.flatten() {
            let read = |file: &str| fs::read_to_string(task.path().join(file)).unwrap_or_default();
            if let Some(time) = Time::parse(&read("schedstat")) {
                let name = read("comm").trim_end().to_owned();
                times.insert(task.path().display().to_string(), (name, time));
            }
        }
    }
    times
}

#[cfg(test)]
mod tests {
    use super::Time;

    #[test]
    fn a_line_of_schedstat_is_three_numbers() {
        let time = Time { ran: 12_345, waited: 678, turns: 9 };
        assert_eq!(Time::parse("12345 678 9\n"), Some(time));
        assert_eq!(Time::parse("12345 x 9"), None);
        assert_eq!(Time::parse(""), None);
    }
}
