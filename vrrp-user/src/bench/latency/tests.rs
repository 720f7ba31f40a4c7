//! Which samples belong together, and how a report reads.

use super::*;

fn sample(slot: u32, sender: u32, arrived_ns: u64) -> Sample {
    Sample { slot, sender, arrived_ns, decided_ns: arrived_ns + 50_000 }
}

#[test]
fn same_packets_are_paired_and_others_are_not() {
    const MS: u64 = 1_000_000;
    let ring = [sample(0, 1, 10 * MS), sample(1, 1, 10 * MS), sample(0, 1, 20 * MS), sample(0, 2, 30 * MS)];
    // The first of slot 0 is missing, one of slot 2 is too many; stamps differ a little, to either side.
    let raw = [
        sample(0, 1, 20 * MS + 300),
        sample(1, 1, 10 * MS - 700),
        sample(2, 1, 10 * MS),
        sample(0, 2, 30 * MS + 1),
    ];
    let pairs = pair(&ring, &raw);
    assert_eq!(pairs, [(ring[2], raw[0]), (ring[3], raw[3]), (ring[1], raw[1])]);
    let later = differences(&pairs, |sample| sample.arrived_ns, |ring, raw| raw - ring);
    assert_eq!((later.count, later.p10_ns, later.p90_ns), (3, -700, 300));
    assert!(pair(&ring, &[]).is_empty() && pair(&[], &raw).is_empty());
}

#[test]
fn a_report_survives_json() {
    let latency = Percentiles { count: 1, p50_ns: 51_200, ..Percentiles::default() };
    let report = LatencyReport {
        schema: SCHEMA,
        machine: Machine::since(Ticks::now()),
        interface: "eth0".into(),
        mode: "tcx".into(),
        virtual_routers: vec![51],
        realtime_priority: Some(50),
        adverts: 1,
        unmatched: 0,
        ring: Way { origin: "tcx-sw".into(), latency, quantiles_ns: vec![1, 2] },
        raw_socket: Way { origin: "skb-sw".into(), latency, quantiles_ns: Vec::new() },
        ring_later_by: Differences { count: 1, p10_ns: -1, p50_ns: -150, p90_ns: 3 },
        raw_stamp_later_by: Differences::default(),
        wakeups: vec![Wakeups {
            delivery: "all".into(),
            seconds: 2.5,
            adverts: 4,
            wakeups: 1,
            per_advert: 0.25,
        }],
        notes: Vec::new(),
    };
    let json = serde_json::to_string(&report).unwrap();
    assert_eq!(serde_json::from_str::<LatencyReport>(&json).unwrap(), report);
    let text = report.to_string();
    for part in ["51.2", "-0.1", "0.250", "eth0 by tcx"] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
}

#[test]
fn quantiles_go_from_the_least_to_the_most() {
    assert!(quantiles(&[]).is_empty());
    assert!(quantiles(&[7]).iter().all(|value| *value == 7));
    let all: Vec<u64> = (0..=10_000).collect();
    let quantiles = quantiles(&all);
    assert_eq!([quantiles[0], quantiles[QUANTILES / 2], quantiles[QUANTILES]], [0, 5_000, 10_000]);
}
