//! `vrrp bench` on hosts of the lab: it measures what it says, and neither the network nor the daemon beside it notices.
#![expect(clippy::unwrap_used, reason = "a test panics when it fails")]

use std::{process::ExitCode, time::Duration};

use vrrp_lab::{
    AddressWatch, Capture, Daemon, Instance, Lab, Requirement, clock,
    daemon::{binary, yaml},
    flood::{Bound, Flood, Junk},
    frame::Advert,
    harness, tests,
};
use vrrp_user::bench::{
    SCHEMA,
    latency::LatencyReport,
    percentiles::Percentiles,
    verdicts::VerdictReport,
    xdp::{self, XdpReport},
};

const LIMIT: Duration = Duration::from_secs(60);
/// At 10 ms a guard acts 24 ms after the last advert, and the next is due at 10.
const STALL: Duration = Duration::from_millis(14);

fn main() -> ExitCode {
    use Requirement::{Daemon, Lab};
    let mut all = harness::despite_stalls(
        STALL,
        tests![[Lab, Daemon]; latency_is_measured_beside_a_running_backup_that_does_not_notice],
    );
    all.extend(tests![[Lab, Daemon];
        latency_takes_the_routers_of_a_configuration,
        latency_on_a_silent_interface_says_so,
        xdp_measures_every_kind_of_packet_without_an_interface,
        xdp_counts_the_verdicts_of_a_flood,
    ]);
    harness::run(all)
}

/// What `vrrp bench` with these arguments prints on a host, and whether it ended with 0.
fn bench(lab: &Lab, host: &str, arguments: &[&str]) -> (bool, String) {
    let arguments = [&["bench"], arguments].concat();
    let mut process = lab.host(host).spawn("bench", &binary().unwrap(), &arguments).unwrap();
    let status = process.wait(LIMIT);
    let status = status.unwrap_or_else(|| panic!("{arguments:?} does not end:\n{}", process.log()));
    (status.success(), process.log())
}

/// The one JSON object in it.
fn parse<T: serde::de::DeserializeOwned>((ended_well, log): (bool, String)) -> T {
    assert!(ended_well, "{log}");
    let line = log.lines().find(|line| line.starts_with('{')).unwrap_or_else(|| panic!("no JSON in\n{log}"));
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in\n{line}"))
}

fn assert_ordered(latency: &Percentiles) {
    let Percentiles { p50_ns, p90_ns, p99_ns, p99_9_ns, p99_99_ns, max_ns, .. } = *latency;
    let percentiles = [p50_ns, p90_ns, p99_ns, p99_9_ns, p99_99_ns, max_ns];
    // Nobody wakes a thread in less than a microsecond.
    assert!(p50_ns > 1000 && percentiles.is_sorted(), "{latency:?}");
}

fn latency_is_measured_beside_a_running_backup_that_does_not_notice() {
    let lab = Lab::pair("latency").unwrap();
    let a = Daemon::start(lab.host("a"), &[Instance::v3(150, "10ms")]).unwrap();
    let watch = AddressWatch::start(&lab, &["a", "b"]).unwrap();
    let capture = Capture::start(&lab, &["a", "b"]).unwrap();
    assert!(clock::wait_until(LIMIT, || !capture.adverts_from("a").is_empty()), "{}", a.log());
    let b = Daemon::start(lab.host("b"), &[Instance::v3(100, "10ms")]).unwrap();
    assert!(clock::wait_until(LIMIT, || b.log().contains("BACKUP")), "{}", b.log());

    let report: LatencyReport =
        parse(bench(&lab, "b", &["latency", "--interface", "eth0", "--for", "4s", "--json"]));
    println!("{report}");
    assert_eq!((report.schema, report.interface.as_str()), (SCHEMA, "eth0"));
    // The daemon has the native place.
    assert_eq!((report.mode.as_str(), report.ring.origin.as_str()), ("tcx", "tcx-sw"));
    assert_eq!(report.virtual_routers, [51]);
    // 2 s of them at 10 ms; the machine may stall.
    assert!((100..=220).contains(&report.adverts), "{} adverts", report.adverts);
    assert!(report.unmatched <= 10, "{} not matched", report.unmatched);
    for way in [&report.ring, &report.raw_socket] {
        assert_eq!(way.latency.count, report.adverts);
        assert_ordered(&way.latency);
    }
    let [wake, all, changes] = report.wakeups.as_slice() else { panic!("{:?}", report.wakeups) };
    for (wakeups, name) in [(wake, "wake"), (all, "all"), (changes, "changes")] {
        assert_eq!(wakeups.delivery, name);
        // One may have arrived before the stage began and been read within it.
        assert!(wakeups.adverts > 20 && wakeups.wakeups <= wakeups.adverts + 1, "{wakeups:?}");
    }
    // Every advert wakes in the first stage (two may come at once), hardly any after it.
    assert!(
        wake.per_advert > 0.5 && all.per_advert < 0.1 && changes.per_advert < 0.1,
        "{:?}",
        report.wakeups
    );

    // It was never there.
    let link = lab.host("b").namespace().ip(&["-d", "link", "show", "dev", "eth0"]).unwrap();
    assert!(link.contains("prog/xdp"), "the daemon's program is gone:\n{link}");
    assert!(capture.adverts_from("b").is_empty(), "somebody on b sent adverts");
    let moved: Vec<_> = watch.events().into_iter().filter(|event| event.host == "b").collect();
    assert!(moved.is_empty(), "{moved:?}");
    assert!(!b.log().contains("MASTER:"), "{}", b.log());
}

fn latency_takes_the_routers_of_a_configuration() {
    let lab = Lab::pair("latencyconf").unwrap();
    let capture = Capture::start(&lab, &["a"]).unwrap();
    let a = Daemon::start(lab.host("a"), &[Instance::v2(150)]).unwrap();
    assert!(clock::wait_until(LIMIT, || !capture.adverts_from("a").is_empty()), "{}", a.log());
    let file = lab.host("b").file("bench.yaml");
    std::fs::write(&file, yaml("bench", &[Instance::v2(100)])).unwrap();
    let file = file.to_string_lossy();
    let arguments = ["latency", "--interface", "eth0", "--config", &file, "--for", "8s", "--json"];
    let report: LatencyReport = parse(bench(&lab, "b", &arguments));
    // Nobody else is there: the best place is free.
    assert_eq!((report.mode.as_str(), report.ring.origin.as_str()), ("xdp-native", "xdp-sw"));
    // The master speaks each second, for half of 8 s: the password was right, or there would be none.
    assert!((1..=8).contains(&report.adverts), "{report}");
    assert_ordered(&report.ring.latency);
    // It attached at its own expense.
    let link = lab.host("b").namespace().ip(&["-d", "link", "show", "dev", "eth0"]).unwrap();
    assert!(!link.contains("xdp"), "left behind:\n{link}");
}

fn latency_on_a_silent_interface_says_so() {
    let lab = Lab::pair("latencysilent").unwrap();
    let (ended_well, log) = bench(&lab, "b", &["latency", "--interface", "eth0", "--for", "1s"]);
    assert!(!ended_well && log.contains("no advert was heard on eth0"), "{log}");
    let (ended_well, log) = bench(&lab, "b", &["latency", "--interface", "eth77", "--for", "1s"]);
    assert!(!ended_well && log.contains("interface eth77"), "{log}");
}

fn xdp_measures_every_kind_of_packet_without_an_interface() {
    let lab = Lab::pair("benchxdp").unwrap();
    let report: XdpReport = parse(bench(&lab, "b", &["xdp", "--rounds", "3", "--json"]));
    assert_eq!((report.schema, report.rounds), (SCHEMA, 3));
    assert_eq!(report.rows.iter().map(|row| row.name.as_str()).collect::<Vec<_>>(), xdp::names());
    assert!(report.rows.iter().all(|row| row.median_ns > 0), "{report}");
    assert_eq!(report.sizes.len(), 2);
    assert!(report.sizes.iter().all(|size| size.verified_instructions.is_some_and(|n| n < 1_000_000)));
}

fn xdp_counts_the_verdicts_of_a_flood() {
    let lab = Lab::pair("verdicts").unwrap();
    let file = lab.host("b").file("bench.yaml");
    std::fs::write(&file, yaml("bench", &[Instance::v2(100)])).unwrap();
    let source = [10, 99, 0, 1].into();
    let model = Advert::v2(source, 51, 150, "1111", &[[10, 99, 0, 200].into()]);
    let frames = Junk::WrongTtl.forge(&model, [2, 0, 10, 99, 0, 66]);
    let bound = Bound { time: Duration::from_secs(20), packets: u64::MAX, rate: Some(20_000) };
    let flood = Flood::start(lab.host("client"), frames, bound).unwrap();
    let file = file.to_string_lossy();
    let report: VerdictReport =
        parse(bench(&lab, "b", &["xdp", "--interface", "eth0", "--config", &file, "--for", "2s", "--json"]));
    drop(flood);
    println!("{report}");
    assert_eq!((report.schema, report.mode.as_str()), (SCHEMA, "xdp-native"));
    let counted = |name: &str| report.end[name] - report.start[name];
    assert!(report.dropped > 1000 && report.dropped == counted("ip_ttl"), "{report}");
    assert_eq!((counted("accepted"), report.accepted_per_second), (0, 0));
    assert!(report.most_dropped_per_second >= report.dropped_per_second, "{report}");
}
