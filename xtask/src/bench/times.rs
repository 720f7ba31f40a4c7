//! How long each topic took, and whether the whole run kept within its promise.

use vrrp_lab::clock;

use super::{
    Rounds,
    deadline::{BOUND, QUICK_BOUND},
    report::{Row, Section, Table},
    stats::milliseconds,
    text::duration,
};

#[derive(Debug)]
pub(super) struct Times {
    began: u64,
    /// Seconds by topic.
    topics: Vec<(&'static str, f64)>,
}

impl Times {
    pub(super) fn start() -> Self {
        Self { began: clock::now_ns(), topics: Vec::new() }
    }

    /// This topic has taken the time since the one before it.
    pub(super) fn note(&mut self, topic: &'static str) {
        let now = clock::now_ns();
        self.topics.push((topic, milliseconds(self.began, now) / 1e3));
        self.began = now;
    }

    pub(super) fn section(&self, rounds: Rounds) -> Section {
        let mut section = Section::new("time", "How long it took", "By topic, without the build.");
        let mut table = Table::new("Time", &["topic", "took"]);
        for (topic, seconds) in &self.topics {
            let cells = vec![(*topic).to_owned(), duration(*seconds)];
            table.rows.push(Row { cells, ..Row::default() });
        }
        section.tables.push(table);
        section.remarks.extend(self.excess(rounds));
        section
    }

    /// What there is to say about a run that took too long.
    fn excess(&self, rounds: Rounds) -> Option<String> {
        let bound = if rounds.quick { QUICK_BOUND } else { BOUND }.as_secs_f64();
        let whole: f64 = self.topics.iter().map(|(_, seconds)| seconds).sum();
        (whole > bound).then(|| {
            format!("The run took {}, longer than the {} it should.", duration(whole), duration(bound))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::deadline::Deadline;

    #[test]
    fn a_run_that_takes_too_long_says_so() {
        let deadline = Deadline::never();
        let rounds = |quick| Rounds { count: 5, quick, keepalived: true, tuned: false, deadline };
        let times = Times { began: 0, topics: vec![("density", 100.0), ("failover", 81.0)] };
        assert_eq!(times.excess(rounds(false)), None);
        let told = times.excess(rounds(true)).unwrap();
        assert_eq!(told, "The run took 3 min 01 s, longer than the 3 min 00 s it should.");
        assert_eq!(times.section(rounds(true)).remarks, [told]);
    }
}
