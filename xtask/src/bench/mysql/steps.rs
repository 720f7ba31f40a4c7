//! What the winner's log says of its way to the address, step by step.
//!
//! Owns how such lines are read. They explain a duration that the switch measured, and are no measure themselves.

use std::time::Duration;

use crate::bench::stats::Samples;

/// The steps of the first promotion in a stretch of log, and how long each took in ms.
pub(super) fn winning(log: &str) -> Vec<(String, f64)> {
    let lines = log.lines().skip_while(|line| !line.contains("-> MASTER"));
    // What comes behind it does not hold the address up.
    let lines = lines.take_while(|line| !line.contains("the server is writable, after"));
    lines.filter_map(step).collect()
}

/// `2026-11-27T10:00:00Z  INFO VI_1: write a row took 1.098647ms`
fn step(line: &str) -> Option<(String, f64)> {
    let (before, took) = line.rsplit_once(" took ")?;
    let (_, name) = before.split_once(": ")?;
    Some((name.to_owned(), duration(took.trim())?.as_secs_f64() * 1e3))
}

/// As the standard library prints one.
fn duration(text: &str) -> Option<Duration> {
    let unit = text.find(|c: char| c.is_alphabetic())?;
    let (number, unit) = text.split_at(unit);
    let factor = match unit {
        "ns" => 1e-9,
        "µs" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        _ => return None,
    };
    Duration::try_from_secs_f64(number.parse::<f64>().ok()? * factor).ok()
}

/// In the order in which they were first seen; what a round does twice counts with its sum.
pub(super) fn by_name<'a>(rounds: impl Iterator<Item = &'a [(String, f64)]>) -> Vec<(String, Samples)> {
    let mut all: Vec<(String, Samples)> = Vec::new();
    for round in rounds {
        let mut sums: Vec<(&str, f64)> = Vec::new();
        for (name, ms) in round {
            match sums.iter_mut().find(|(known, _)| known == name) {
                Some((_, sum)) => *sum += ms,
                None => sums.push((name, *ms)),
            }
        }
        for (name, sum) in sums {
            match all.iter_mut().find(|(known, _)| known == name) {
                Some((_, samples)) => samples.0.push(sum),
                None => all.push((name.to_owned(), std::iter::once(sum).collect())),
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "\
x INFO VI_1: make the server read-only took 5.1ms
x INFO BACKUP -> MASTER: master 10.99.0.1 stepped down (priority 0) 61.401µs ago instance=\"VI_1\"
x INFO VI_1: the peer's server when it was last seen: 38ms ago it was at 0-1-2
x INFO VI_1: ask our server for its state took 500.5µs
x INFO VI_1: stop receiving from the peer took 7.5ms
x INFO VI_1: ask our server for its state took 1s
x INFO VI_1: the server is writable, after 13.4ms
x INFO VI_1: ask for semi-synchronous replication took 2ms
";

    #[test]
    fn steps_are_those_between_the_election_and_the_writable_server() {
        let steps = winning(LOG);
        let names: Vec<&str> = steps.iter().map(|(name, _)| name.as_str()).collect();
        let state = "ask our server for its state";
        assert_eq!(names, [state, "stop receiving from the peer", state]);
        assert!((steps[0].1 - 0.500_5).abs() < 1e-9 && (steps[1].1 - 7.5).abs() < 1e-9, "{steps:?}");
        assert_eq!(winning("x INFO VI_1: write a row took 1ms\n"), [], "nobody was elected");
    }

    #[test]
    fn what_is_done_twice_counts_with_its_sum_round_by_round() {
        let steps = winning(LOG);
        let rounds = [steps.as_slice(), steps.as_slice()];
        let all = by_name(rounds.into_iter());
        assert_eq!(all.len(), 2);
        assert_eq!(all[0].1.0.len(), 2);
        assert!((all[0].1.0[0] - 1_000.500_5).abs() < 1e-9, "{all:?}");
    }
}
