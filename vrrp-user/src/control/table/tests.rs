use std::net::Ipv4Addr;

use super::*;
use crate::control::snapshot::{
    Address, AdvertThread, Channel, Check, Delivery, Failover, Hold, Interface, Priority, SCHEMA, SemiSync,
    Server, Timers, Weight,
};

pub(in crate::control) fn instance(name: &str, state: State) -> Instance {
    let held = state == State::Master;
    Instance {
        name: name.to_owned(),
        interface: "eth0".to_owned(),
        virtual_router_id: 51,
        version: 2,
        state,
        state_age_ns: Some(8_040_000_000_000),
        why: "no master heard for 3.4s".to_owned(),
        phase: None,
        priority: Priority { effective: 150, base: 150, weights: Vec::new() },
        preempt: false,
        held_out: Vec::new(),
        master: Some(Ipv4Addr::new(10, 0, 0, 2)),
        master_priority: Some(100),
        last_advert_age_ns: Some(412_345_678),
        timers: Timers {
            advert_interval_ns: 1_000_000_000,
            skew_time_ns: 414_062_500,
            master_down_interval_ns: 3_414_062_500,
            next_ns: Some(587_000_000),
        },
        addresses: vec![Address {
            address: "10.0.0.200/24".to_owned(),
            device: "eth0".to_owned(),
            held,
            present: held,
        }],
        role: None,
        last_reject: None,
        checks: Vec::new(),
        transitions: [("MASTER".to_owned(), 1)].into(),
        timeline: Vec::new(),
    }
}

pub(in crate::control) fn snapshot(instances: Vec<Instance>) -> Snapshot {
    Snapshot {
        schema: SCHEMA,
        version: "0.1.0".to_owned(),
        time_unix_ms: 1_764_000_007_250,
        router_id: "db1".to_owned(),
        pid: 1,
        uptime_ns: 277_000_000_000_000,
        config: "/etc/vrrp/vrrp.yaml".to_owned(),
        guard: Guard::Watching,
        interfaces: vec![Interface {
            name: "eth0".to_owned(),
            mode: "xdp-native".to_owned(),
            refused: Vec::new(),
        }],
        counters: [("accepted".to_owned(), 7), ("checksum".to_owned(), 0)].into(),
        ring: None,
        advert_thread: AdvertThread::default(),
        failover: Failover::default(),
        notifications: [("script".to_owned(), Delivery { delivered: 3, failed: 1, superseded: 0 })].into(),
        instances,
    }
}

#[test]
fn a_glance_tells_who_has_the_address() {
    let shown = render(&snapshot(vec![instance("VI_1", State::Master)]), None, Style::Plain);
    let expected = "\
vrrp 0.1.0 on db1 at 16:00:07.250 UTC, up 3d 4h
adverts on eth0 by xdp-native; guard watching

INSTANCE  STATE   FOR     PRIORITY  MASTER     LAST ADVERT
VI_1      MASTER  2h 14m  150       this host  412.3 ms ago
    10.0.0.200/24 on eth0: held
    no master heard for 3.4s

adverts: 0 sent, 0 received, 0 refused by the kernel; 0 of 0 wakes late
kernel half: accepted 7
";
    assert_eq!(shown, expected);
}

#[test]
fn what_is_wrong_says_so() {
    let mut out = instance("VI_1", State::Fault);
    out.held_out.push(Hold { by: "operator".to_owned(), why: "drained by the operator".to_owned() });
    out.priority = Priority {
        effective: 70,
        base: 100,
        weights: vec![Weight { source: "disk".to_owned(), weight: -30 }],
    };
    let mut lost = instance("VI_2", State::Master);
    lost.addresses[0].present = false;
    let mut stray = instance("VI_3", State::Backup);
    stray.addresses[0].present = true;
    let shown = render(&snapshot(vec![out, lost, stray]), None, Style::Plain);
    for wanted in [
        "VI_1      KEPT OUT",
        "70 = 100 -30",
        "kept out: drained by the operator",
        "10.0.0.200/24 on eth0: MISSING",
        "10.0.0.200/24 on eth0: THERE, and not ours",
        "10.0.0.2 (100)",
    ] {
        assert!(shown.contains(wanted), "{wanted} is not in\n{shown}");
    }
    assert!(!shown.contains('\x1b'));
}

#[test]
fn one_instance_is_shown_in_full_and_alone() {
    let both = snapshot(vec![instance("VI_1", State::Backup), instance("VI_2", State::Backup)]);
    let shown = render(&both, Some("VI_2"), Style::Colour);
    assert!(shown.contains("VI_2") && !shown.contains("VI_1"), "{shown}");
    assert!(
        shown.contains("master down interval 3.4 s") && shown.contains("next deadline in 587.0 ms"),
        "{shown}"
    );
}

#[test]
fn a_span_has_two_units_at_most() {
    for (ns, text) in [
        (999, "0 us"),
        (412_000, "412 us"),
        (1_500_000, "1.5 ms"),
        (59_990_000_000, "59.9 s"),
        (61_000_000_000, "1m 1s"),
        (u64::MAX, "213503d 23h"),
    ] {
        assert_eq!(span(ns), text);
    }
}

#[test]
fn a_snapshot_reads_back_as_it_was_written() {
    let written = snapshot(vec![instance("VI_1", State::Master)]);
    let text = serde_json::to_string(&written).unwrap();
    assert!(text.contains("\"state\":\"MASTER\"") && text.contains("\"schema\":1"), "{text}");
    assert_eq!(serde_json::from_str::<Snapshot>(&text).unwrap(), written);
}

pub(in crate::control) fn mysql_check() -> Check {
    let channel = Channel {
        name: String::new(),
        source: "10.0.0.2:3306".to_owned(),
        io: "running".to_owned(),
        sql: "running".to_owned(),
        io_error: String::new(),
        sql_error: String::new(),
        behind_ns: Some(4_000_000_000),
    };
    let semi_sync = SemiSync {
        source_enabled: true,
        source_active: false,
        replica_enabled: true,
        replica_active: true,
        replicas: 1,
    };
    Check {
        name: "mysql".to_owned(),
        kind: "mysql".to_owned(),
        verdict: "healthy".to_owned(),
        verdict_age_ns: None,
        cause: String::new(),
        changes: 0,
        probes: Vec::new(),
        server: Some(Server {
            product: "MariaDB 10.11.19".to_owned(),
            server_id: 1,
            writability: "writable".to_owned(),
            position: Some("0-1-5000".to_owned()),
            channels: vec![channel],
            semi_sync: Some(semi_sync),
        }),
    }
}

#[test]
fn a_server_takes_one_line_and_a_check_in_trouble_another() {
    let mut one = instance("VI_1", State::Master);
    let mut check = mysql_check();
    one.checks.push(check.clone());
    let shown = render(&snapshot(vec![one.clone()]), None, Style::Plain);
    let line = "server 1: writable, follows 10.0.0.2 (4 s behind), semi-sync FALLEN BACK, at 0-1-5000\n";
    assert!(shown.contains(line) && !shown.contains("check mysql"), "{shown}");
    check.verdict = "degraded".to_owned();
    check.cause = "the SQL thread is stopped".to_owned();
    let server = check.server.as_mut().unwrap();
    server.semi_sync = None;
    server.channels[0].sql = "stopped".to_owned();
    server.channels[0].sql_error = "1062: Duplicate entry".to_owned();
    server.position = Some("9".repeat(500));
    one.checks = vec![check];
    let shown = render(&snapshot(vec![one]), None, Style::Plain);
    for words in [
        "check mysql: degraded: the SQL thread is stopped\n",
        "writable, follows 10.0.0.2 (IO running, SQL stopped; error 1062: Duplicate entry), at 999",
        "9...\n",
    ] {
        assert!(shown.contains(words), "{words:?} is not in\n{shown}");
    }
}
