//! The text format of Prometheus: families, labels, values.
//!
//! Owns the escaping, and that each family is one block with its help and type.

use std::fmt::Display;

use super::Buckets;

const BILLION: u64 = 1_000_000_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Counter,
    Gauge,
    Histogram,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Text(String);

impl Text {
    pub(super) fn family(&mut self, name: &'static str, kind: Kind, help: &str) -> Family<'_> {
        self.0.push_str(&format!("# HELP {name} {help}\n# TYPE {name} {}\n", kind.name()));
        Family { name, out: &mut self.0 }
    }

    pub(super) fn finish(self) -> String {
        self.0
    }
}

/// One metric with all its samples.
#[derive(Debug)]
pub(super) struct Family<'t> {
    name: &'static str,
    out: &'t mut String,
}

impl Family<'_> {
    pub(super) fn add(&mut self, labels: &str, value: u64) {
        self.write(labels, &value.to_string());
    }

    pub(super) fn write(&mut self, labels: &str, value: &str) {
        self.sample("", labels, &value);
    }

    pub(super) fn histogram(&mut self, labels: &str, buckets: &Buckets) {
        let comma = if labels.is_empty() { "" } else { "," };
        for (limit, within) in buckets.limits_ns.iter().zip(&buckets.within) {
            self.sample("_bucket", &format!("{labels}{comma}le=\"{}\"", seconds(*limit)), within);
        }
        self.sample("_bucket", &format!("{labels}{comma}le=\"+Inf\""), &buckets.count);
        self.sample("_sum", labels, &seconds(buckets.sum_ns));
        self.sample("_count", labels, &buckets.count);
    }

    fn sample(&mut self, suffix: &str, labels: &str, value: &dyn Display) {
        let name = self.name;
        let line = if labels.is_empty() {
            format!("{name}{suffix} {value}\n")
        } else {
            format!("{name}{suffix}{{{labels}}} {value}\n")
        };
        self.out.push_str(&line);
    }
}

/// What stands between the braces.
pub(super) fn labels<const N: usize>(labels: [(&str, &str); N]) -> String {
    let escaped = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    labels.map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).join(",")
}

/// Nanoseconds as seconds, with no more digits than it needs.
pub(super) fn seconds(ns: u64) -> String {
    decimal(ns / BILLION, ns % BILLION, 9)
}

/// Milliseconds as seconds.
pub(super) fn thousandths(ms: u64) -> String {
    decimal(ms / 1_000, ms % 1_000, 3)
}

fn decimal(whole: u64, rest: u64, digits: usize) -> String {
    if rest == 0 {
        return whole.to_string();
    }
    format!("{whole}.{rest:0digits$}").trim_end_matches('0').to_owned()
}
