//! Ways of receiving: what the daemon falls back to, that it says so, and that it works all the same.

use std::{os::fd::OwnedFd, time::Duration};

use vrrp_lab::{
    AddressWatch, Daemon, Instance, Lab, Process, Requirement, StallMeter, bpf, clock,
    daemon::{binary, yaml},
    harness::{self, Test},
    tests,
};

use super::pair::{LIMIT, STALL, VIP, between};

pub(crate) fn tests() -> Vec<Test> {
    use Requirement::{Daemon, Lab, NativeXdp};
    let mut all = tests![[Lab, Daemon, NativeXdp];
        the_kernel_half_runs_in_native_mode_and_leaves_with_the_daemon,
        another_xdp_program_on_the_interface_is_left_alone,
        rx_xdp_does_not_start_beside_another_xdp_program,
    ];
    all.extend(tests![[Lab, Daemon];
        rx_tcx_works,
        rx_socket_works,
        a_second_daemon_in_the_namespace_refuses_to_start,
    ]);
    harness::despite_stalls(STALL, all)
}

fn text(priority: u8, rx: &str) -> String {
    yaml("attach", &[Instance::v3(priority, "100ms")]) + &format!("rx: {rx}\n")
}

/// `a` is elected and `b` receives in the way under test: hears its master, and takes over after him.
fn works(lab: &Lab, rx: &str, says: &[&str]) {
    let watch = AddressWatch::start(lab, &["a", "b"]).unwrap();
    let stalls = StallMeter::start().unwrap();
    let mut a = Daemon::start_with_yaml(lab.host("a"), &text(150, "auto")).unwrap();
    assert!(clock::wait_until(LIMIT, || a.log().contains("-> BACKUP")), "a does not start:\n{}", a.log());
    let b = Daemon::start_with_yaml(lab.host("b"), &text(100, rx)).unwrap();
    watch.wait_for_holder(VIP, "a", LIMIT).unwrap();
    assert!(clock::wait_until(LIMIT, || b.log().contains("-> BACKUP")), "{}", b.log());
    for words in says {
        assert!(b.log().contains(words), "{words:?} is not said:\n{}", b.log());
    }
    clock::sleep_ms(1000);
    let timeline = watch.timeline(VIP).unwrap();
    assert_eq!(
        (timeline.acquisitions("b"), timeline.holders()),
        (0, ["a".to_owned()].as_slice()),
        "{timeline}"
    );
    let stopped = clock::now_ns();
    a.stop().unwrap();
    let timeline = watch.wait_for_holder(VIP, "b", LIMIT).unwrap();
    // Sooner than by the down timer: it was the release that it heard.
    let (lost, got) = (timeline.lost_at("a", stopped).unwrap(), timeline.acquired_at("b", stopped).unwrap());
    let allowed = Duration::from_millis(200) + stalls.within(lost, got);
    assert!(between(lost, got) < allowed, "{:?}\n{timeline}\n{}", between(lost, got), b.log());
}

fn link(lab: &Lab, host: &str) -> String {
    lab.host(host).namespace().ip(&["-d", "link", "show", "dev", "eth0"]).unwrap()
}

fn the_kernel_half_runs_in_native_mode_and_leaves_with_the_daemon() {
    let lab = Lab::pair("native").unwrap();
    works(&lab, "xdp", &["adverts are received by xdp-native"]);
    assert!(!link(&lab, "b").contains("xdp"), "a killed daemon leaves nothing attached: {}", link(&lab, "b"));
    let mut daemon = Daemon::start_with_yaml(lab.host("b"), &text(100, "auto")).unwrap();
    let attached = || link(&lab, "b").contains(" xdp ") && link(&lab, "b").contains("prog/xdp");
    assert!(clock::wait_until(LIMIT, attached), "native: `xdp`, generic: `xdpgeneric`: {}", link(&lab, "b"));
    daemon.kill();
    assert!(clock::wait_until(LIMIT, || !link(&lab, "b").contains("xdp")), "{}", link(&lab, "b"));
}

/// Holds the interface as another product's program would.
fn occupy(lab: &Lab, host: &str) -> (OwnedFd, OwnedFd) {
    let host = lab.host(host);
    let program = bpf::load(bpf::Verdict::Pass).unwrap();
    let link = host.namespace().enter(|| bpf::attach_native(&program, host.ifindex())).unwrap().unwrap();
    (program, link)
}

fn program_id(lab: &Lab, host: &str) -> Option<String> {
    let shown = link(lab, host);
    let words: Vec<&str> = shown.split_whitespace().collect();
    words.windows(3).find(|words| words[0] == "prog/xdp").map(|words| words[2].to_owned())
}

fn another_xdp_program_on_the_interface_is_left_alone() {
    let lab = Lab::pair("occupied").unwrap();
    let _held = occupy(&lab, "b");
    let before = program_id(&lab, "b");
    assert!(before.is_some(), "the other program is attached: {}", link(&lab, "b"));
    works(&lab, "auto", &["adverts are received by tcx", "another XDP program holds the interface"]);
    assert_eq!(program_id(&lab, "b"), before, "the other program is still there");
}

fn rx_xdp_does_not_start_beside_another_xdp_program() {
    let lab = Lab::pair("only-xdp").unwrap();
    let _held = occupy(&lab, "b");
    let mut daemon = Daemon::start_with_yaml(lab.host("b"), &text(100, "xdp")).unwrap();
    assert!(daemon.wait(LIMIT).is_some(), "it starts without what it was told to use");
    assert_eq!(daemon.ending().as_deref(), Some("exit code 1"));
    let log = daemon.log();
    assert!(log.contains("eth0") && log.contains("another XDP program holds the interface"), "{log}");
}

fn rx_tcx_works() {
    works(&Lab::pair("tcx").unwrap(), "tcx", &["adverts are received by tcx"]);
}

fn rx_socket_works() {
    works(&Lab::pair("socket").unwrap(), "socket", &["adverts are received by socket"]);
}

fn a_second_daemon_in_the_namespace_refuses_to_start() {
    let lab = Lab::pair("second").unwrap();
    let watch = AddressWatch::start(&lab, &["a"]).unwrap();
    let mut first = Daemon::start_with_yaml(lab.host("a"), &text(150, "auto")).unwrap();
    watch.wait_for_holder(VIP, "a", LIMIT).unwrap();
    let config = lab.host("a").file("second.yaml");
    std::fs::write(&config, text(200, "auto")).unwrap();
    let arguments = ["run", "--config", &config.to_string_lossy()];
    let mut second: Process = lab.host("a").spawn("second", &binary().unwrap(), &arguments).unwrap();
    assert!(second.wait(LIMIT).is_some(), "the second runs");
    assert_eq!(second.ending().as_deref(), Some("exit code 1"));
    assert!(second.log().contains("another vrrp daemon runs in this network namespace"), "{}", second.log());
    assert!(first.is_running());
    let timeline = watch.timeline(VIP).unwrap();
    assert_eq!(
        (timeline.acquisitions("a"), timeline.holders().len()),
        (1, 1),
        "nothing touched:\n{timeline}"
    );
}
