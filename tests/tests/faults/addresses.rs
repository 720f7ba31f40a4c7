//! Addresses that others meddle with, that the kernel refuses, that were left over, and how they are put on.

use std::{net::Ipv4Addr, time::Duration};

use vrrp_lab::{
    AddressWatch, Capture, Daemon, Instance, Lab, Requirement, StallMeter, clock,
    frame::Advert,
    harness::{self, Test},
    tests,
};

use super::pair::{LIMIT, Pair, STALL, Speed, VIP, between, median};

const SECOND_VIP: Ipv4Addr = Ipv4Addr::new(10, 50, 0, 1);

pub(crate) fn tests() -> Vec<Test> {
    use Requirement::{Daemon, Lab};
    let all = tests![[Lab, Daemon];
        a_removed_address_is_put_back_at_once,
        addresses_are_put_on_as_written,
        a_left_over_address_is_removed_and_priority_0_sent,
        a_refused_address_leaves_no_half_state,
        a_vanished_device_of_an_address_leaves_no_half_state,
        a_recreated_device_of_an_address_is_used_again,
        an_interface_deleted_and_recreated_takes_part_again,
        an_interface_set_down_is_a_fault_and_recovers,
    ];
    harness::despite_stalls(STALL, all)
}

fn a_removed_address_is_put_back_at_once() {
    let pair = Pair::start("repair", Speed::Fast);
    let mut took = Vec::new();
    for _ in 0..harness::count(5, 50) {
        let announced = pair.capture.announcements("a", VIP).len();
        let removed = clock::now_ns();
        pair.lab.host("a").namespace().ip(&["address", "del", "10.99.0.200/24", "dev", "eth0"]).unwrap();
        pair.wait_until("it is back", || pair.timeline().acquired_at("a", removed).is_some());
        let timeline = pair.timeline();
        let (lost, back) =
            (timeline.lost_at("a", removed).unwrap(), timeline.acquired_at("a", removed).unwrap());
        let slack = pair.stalls.within(lost, back);
        assert!(between(lost, back) < Duration::from_millis(50) + slack, "{timeline}");
        took.push(between(lost, back));
        pair.wait_until("it is announced again", || pair.capture.announcements("a", VIP).len() > announced);
        assert_eq!(pair.adverts_after("b", removed), [], "the election is not touched by it");
        assert_eq!(pair.release_after("a", removed), None);
    }
    println!("a removed address was back after {:?} (median)", median(took));
}

/// A single daemon with two addresses: the usual one, and one on a device `eth1` of its own.
struct Alone {
    daemon: Daemon,
    watch: AddressWatch,
    capture: Capture,
    stalls: StallMeter,
    lab: Lab,
}

fn add_eth1(lab: &Lab) {
    let namespace = lab.host("a").namespace();
    namespace.ip(&["link", "add", "name", "eth1", "type", "veth", "peer", "name", "other"]).unwrap();
    for end in ["other", "eth1"] {
        namespace.ip(&["link", "set", "dev", end, "up"]).unwrap();
    }
}

impl Alone {
    fn start(name: &str, prepare: impl FnOnce(&Lab)) -> Self {
        Self::start_on(name, "eth1", prepare)
    }

    fn start_on(name: &str, device: &str, prepare: impl FnOnce(&Lab)) -> Self {
        let lab = Lab::pair(name).unwrap();
        add_eth1(&lab);
        prepare(&lab);
        let stalls = StallMeter::start().unwrap();
        let capture = Capture::start(&lab, &["a"]).unwrap();
        let watch = AddressWatch::start(&lab, &["a"]).unwrap();
        let mut instance = Instance::v3(150, "100ms");
        instance.virtual_addresses = vec![
            "10.99.0.200".to_owned(),
            format!("{{ address: 10.50.0.1/16, dev: {device}, label: \"{device}:vip\" }}"),
        ];
        let daemon = Daemon::start(lab.host("a"), &[instance]).unwrap();
        Self { daemon, watch, capture, stalls, lab }
    }

    fn ip(&self, arguments: &[&str]) {
        self.lab.host("a").namespace().ip(arguments).unwrap();
    }

    fn holds_both(&self) -> bool {
        let host = self.lab.host("a");
        host.holds(VIP).unwrap() && host.holds(SECOND_VIP).unwrap()
    }

    fn wait_until(&self, what: &str, condition: impl FnMut() -> bool) {
        assert!(clock::wait_until(LIMIT, condition), "in vain: waited until {what}\n{}", self.daemon.log());
    }

    fn has_released(&self, since: u64) -> bool {
        let adverts = self.capture.adverts_from("a");
        adverts.iter().any(|(time_ns, advert)| *time_ns > since && advert.is_release())
    }

    /// The first address goes when the second cannot be had: both or none.
    fn assert_nothing_half(&self, since: u64) {
        self.wait_until("it says FAULT", || self.daemon.log().contains("-> FAULT"));
        self.wait_until("priority 0 is sent", || self.has_released(since));
        assert!(
            !self.lab.host("a").holds(VIP).unwrap(),
            "half of the addresses is on\n{}",
            self.daemon.log()
        );
        let log = self.daemon.log();
        assert!(log.contains("the kernel refuses 10.50.0.1/16"), "it is reported:\n{log}");
        // The last word is the release.
        let quiet_from = clock::now_ns();
        clock::sleep_ms(500);
        let adverts = self.capture.adverts_from("a");
        let (_, last) = adverts.last().unwrap();
        assert!(last.is_release() && !adverts.iter().any(|(at, _)| *at > quiet_from), "a FAULT speaks");
    }
}

fn addresses_are_put_on_as_written() {
    let alone = Alone::start("written", |_| ());
    alone.wait_until("both are on", || alone.holds_both());
    let host = alone.lab.host("a");
    let held = host.addresses().unwrap();
    let find = |address| held.iter().find(|held| held.address == address).unwrap();
    let (plain, labelled) = (find(VIP), find(SECOND_VIP));
    assert_eq!((plain.prefix_length, plain.ifindex), (32, host.ifindex()), "no prefix means /32");
    assert_eq!(plain.label.as_deref(), Some("eth0"));
    assert_eq!((labelled.prefix_length, labelled.label.as_deref()), (16, Some("eth1:vip")));
    let shown = host.namespace().ip(&["-4", "address", "show", "dev", "eth1"]).unwrap();
    assert!(shown.contains("inet 10.50.0.1/16") && shown.contains("eth1:vip"), "{shown}");
    for held in [plain, labelled] {
        assert!(held.valid_seconds.is_some_and(|seconds| seconds <= 1), "a lifetime of 1 s: {held:?}");
    }
}

fn a_left_over_address_is_removed_and_priority_0_sent() {
    // Also with another prefix than the configuration's, and for ever instead of with a lifetime.
    for prefix in ["10.99.0.200/32", "10.99.0.200/24"] {
        let alone = Alone::start("left", |lab| {
            lab.host("a").namespace().ip(&["address", "add", prefix, "dev", "eth0"]).unwrap();
            lab.host("a").namespace().ip(&["address", "add", "10.50.0.1/16", "dev", "eth1"]).unwrap();
        });
        alone.wait_until("it speaks", || !alone.capture.adverts_from("a").is_empty());
        let adverts = alone.capture.adverts_from("a");
        // By the history: it is on again when it is elected, which is soon.
        let lost = |address| alone.watch.timeline(address).unwrap().lost_at("a", 0);
        alone.wait_until("they are off", || lost(VIP).is_some() && lost(SECOND_VIP).is_some());
        let lost = lost(VIP).max(lost(SECOND_VIP)).unwrap();
        let slack = clock::nanos(alone.stalls.within(adverts[0].0, lost)) + 5 * clock::MILLISECOND;
        let (at, Advert { priority, source, .. }) = &adverts[0];
        assert_eq!((*priority, *source), (0, alone.lab.host("a").address()), "the first word is priority 0");
        assert!(at + slack > lost, "off first, then priority 0");
        alone.wait_until("it is elected in the ordinary way", || alone.holds_both());
    }
}

/// An interface with an MTU below 68 has no IPv4: the kernel refuses addresses on it. Only the loopback takes one.
fn a_refused_address_leaves_no_half_state() {
    let alone = Alone::start_on("refuse", "lo", |lab| {
        lab.host("a").namespace().ip(&["link", "set", "dev", "lo", "mtu", "60"]).unwrap();
    });
    alone.assert_nothing_half(0);
    alone.ip(&["link", "set", "dev", "lo", "mtu", "65536"]);
    alone.wait_until("it recovers after the hold-down", || alone.holds_both());
}

fn a_vanished_device_of_an_address_leaves_no_half_state() {
    let alone = Alone::start("vanish", |_| ());
    alone.wait_until("both are on", || alone.holds_both());
    let since = clock::now_ns();
    alone.ip(&["link", "del", "dev", "eth1"]);
    alone.assert_nothing_half(since);
}

fn a_recreated_device_of_an_address_is_used_again() {
    let alone = Alone::start("again", |_| ());
    alone.wait_until("both are on", || alone.holds_both());
    alone.ip(&["link", "del", "dev", "eth1"]);
    clock::sleep_ms(300);
    add_eth1(&alone.lab);
    alone.wait_until("both are on again", || alone.holds_both());
}

fn an_interface_deleted_and_recreated_takes_part_again() {
    let mut pair = Pair::start("recreate", Speed::Fast);
    let deleted = clock::now_ns();
    pair.lab.host("a").namespace().ip(&["link", "del", "dev", "eth0"]).unwrap();
    let timeline = pair.wait_for("b");
    let (lost, got) = (timeline.lost_at("a", deleted).unwrap(), timeline.acquired_at("b", deleted).unwrap());
    let limit = pair.speed.down_interval(100) + pair.slack(lost, got);
    assert!(between(lost, got) < limit, "{timeline}");
    clock::sleep_ms(700);
    // As `Lab` makes them.
    let (bridge, name) = (pair.lab.bridge(), pair.lab.host("a").namespace().name());
    let mac = "02:00:0a:63:00:01";
    let peer = ["peer", "name", "eth0", "address", mac, "netns", name];
    bridge.ip(&[["link", "add", "name", "a", "type", "veth"].as_slice(), &peer].concat()).unwrap();
    bridge.ip(&["link", "set", "dev", "a", "master", "br0", "up"]).unwrap();
    let host = pair.lab.host("a").namespace();
    host.ip(&["address", "add", "10.99.0.1/24", "dev", "eth0"]).unwrap();
    host.ip(&["link", "set", "dev", "eth0", "up"]).unwrap();
    let backups = || pair.a.log().matches("-> BACKUP").count();
    pair.wait_until("a listens again", || backups() >= 2 && pair.a.log().contains("starting over"));
    std::thread::sleep(pair.speed.down_interval(100) * 2);
    let timeline = pair.timeline();
    assert_eq!(timeline.holders(), ["b"], "a hears its master through the new interface:\n{timeline}");
    pair.b.stop().unwrap();
    let timeline = pair.wait_for("a");
    timeline.assert_never_two(Duration::ZERO);
}

fn an_interface_set_down_is_a_fault_and_recovers() {
    let pair = Pair::start("down", Speed::Fast);
    let since = clock::now_ns();
    pair.lab.host("a").namespace().ip(&["link", "set", "dev", "eth0", "down"]).unwrap();
    let timeline = pair.wait_for("b");
    assert!(timeline.lost_at("a", since).is_some(), "{timeline}");
    pair.wait_until("a says FAULT", || pair.a.log().contains("-> FAULT"));
    pair.lab.host("a").namespace().ip(&["link", "set", "dev", "eth0", "up"]).unwrap();
    pair.wait_until("a listens again", || pair.a.log().contains("FAULT -> BACKUP"));
    std::thread::sleep(pair.speed.down_interval(100) * 2);
    assert_eq!(pair.timeline().holders(), ["b"], "no preemption:\n{}", pair.timeline());
}
