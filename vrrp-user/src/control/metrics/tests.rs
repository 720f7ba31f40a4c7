use std::time::Duration;

use super::*;
use crate::control::snapshot::{Check, Failover, Probe};
use crate::control::table::tests::{instance, mysql_check, snapshot};
use crate::histogram::Histogram;

fn buckets(millis: &[u64]) -> Buckets {
    let mut histogram = Histogram::default();
    millis.iter().for_each(|ms| histogram.add(Duration::from_millis(*ms)));
    Buckets::of(&histogram)
}

#[test]
fn times_are_decimal_seconds() {
    for (ns, text) in [(0, "0"), (10_000, "0.00001"), (1_500_000_000, "1.5"), (3_000_000_000, "3")] {
        assert_eq!(seconds(ns), text);
    }
    assert_eq!(thousandths(1_764_000_007_250), "1764000007.25");
}

#[test]
fn a_histogram_is_cumulative_and_ends_in_infinity() {
    let mut status = snapshot(vec![instance("VI_1", State::Master)]);
    status.failover = Failover { silence: buckets(&[3, 3, 400, 20_000]), ..Failover::default() };
    let text = render(&status);
    for line in [
        "vrrp_failover_phase_seconds_bucket{phase=\"silence\",le=\"0.0025\"} 0",
        "vrrp_failover_phase_seconds_bucket{phase=\"silence\",le=\"0.005\"} 2",
        "vrrp_failover_phase_seconds_bucket{phase=\"silence\",le=\"0.5\"} 3",
        "vrrp_failover_phase_seconds_bucket{phase=\"silence\",le=\"+Inf\"} 4",
        "vrrp_failover_phase_seconds_sum{phase=\"silence\"} 20.406",
        "vrrp_failover_phase_seconds_count{phase=\"silence\"} 4",
        "vrrp_instance_state{vrrp_instance=\"VI_1\",state=\"MASTER\"} 1",
        "vrrp_instance_state{vrrp_instance=\"VI_1\",state=\"BACKUP\"} 0",
        "vrrp_instance_last_advert_age_seconds{vrrp_instance=\"VI_1\"} 0.412345678",
        "vrrp_kernel_adverts_total{reason=\"accepted\"} 7",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
}

#[test]
fn names_cannot_break_out_of_their_quotes() {
    let mut hostile = instance("a\"} 1\nb\\", State::Backup);
    hostile.checks.push(Check {
        name: "c".into(),
        kind: "tcp".into(),
        verdict: "dead".into(),
        verdict_age_ns: None,
        cause: String::new(),
        changes: 3,
        probes: vec![Probe {
            name: "tcp".into(),
            age_ns: 1,
            took_ns: 1,
            trouble: String::new(),
            durations: buckets(&[1]),
        }],
        server: None,
    });
    let text = render(&snapshot(vec![hostile]));
    assert!(
        text.contains("vrrp_check_changes_total{vrrp_instance=\"a\\\"} 1\\nb\\\\\",check=\"c\"} 3\n"),
        "{text}"
    );
    for line in text.lines() {
        assert!(line.starts_with("# ") || line.starts_with("vrrp_"), "{line}");
    }
}

#[test]
fn what_a_database_server_says_of_itself_is_there() {
    let mut one = instance("VI_1", State::Master);
    one.checks.push(mysql_check());
    let text = render(&snapshot(vec![one]));
    let of = "vrrp_instance=\"VI_1\",check=\"mysql\"";
    for line in [
        format!("vrrp_mysql_server_info{{{of},server_id=\"1\",product=\"MariaDB 10.11.19\"}} 1"),
        format!("vrrp_mysql_read_only{{{of}}} 0"),
        format!("vrrp_mysql_replication_running{{{of},channel=\"\",thread=\"io\"}} 1"),
        format!("vrrp_mysql_replication_running{{{of},channel=\"\",thread=\"sql\"}} 1"),
        format!("vrrp_mysql_replication_lag_seconds{{{of},channel=\"\"}} 4"),
        format!("vrrp_mysql_semi_sync_enabled{{{of}}} 1"),
        format!("vrrp_mysql_semi_sync_active{{{of}}} 0"),
        format!("vrrp_mysql_semi_sync_replicas{{{of}}} 1"),
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
    assert!(!render(&snapshot(vec![instance("VI_1", State::Master)])).contains("vrrp_mysql_"));
}
