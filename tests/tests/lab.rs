//! The lab itself: its network, its witnesses and its opponents are what the other tests rely on.
#![expect(clippy::unwrap_used, reason = "a test panics when it fails")]

use std::{cell::Cell, net::Ipv4Addr, panic, process::ExitCode, sync::mpsc, thread, time::Duration};

use rustix::{
    process::Signal,
    thread::{CpuSet, sched_setaffinity},
};
use vrrp_lab::{
    AddressWatch, Capture, HoldingTimeline, Keepalived, Lab, Peer, Process, Requirement, StallMeter, clock,
    clock::SECOND,
    flood::{self, Bound, Flood, Junk},
    frame::{Advert, Frame, arp_request, checksum},
    harness,
    load::Load,
    namespace, process, stall, tests,
    timeline::Change,
};

const VIP: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 200);
const LIMIT: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    use Requirement::{Keepalived, Lab, LiveFrames, Loss};
    let mut all = tests![[];
        an_advert_survives_emit_and_parse,
        known_adverts_have_the_checksums_of_the_rfc_documents,
        foreign_forgeries_are_for_nobody_who_is_flooded,
        a_timeline_tells_overlaps_gaps_and_holders,
        equal_configurations_give_equal_roles,
        a_failure_is_tried_again_only_if_the_machine_stood_still,
    ];
    all.extend(tests![[Lab];
        a_cut_link_keeps_its_carrier_and_a_pulled_one_loses_it,
        an_address_watch_sees_two_holders_in_true_order,
        a_process_is_frozen_thawed_and_killed_by_its_handle,
        a_stall_that_still_lasts_is_waited_for,
        a_killed_tree_takes_its_children_along,
        load_runs_and_ends,
        a_flood_keeps_its_bounds,
        nothing_is_left_after_a_panic,
    ]);
    all.extend(tests![[Lab, LiveFrames]; live_frames_reach_both_hosts_as_they_were_made]);
    all.extend(tests![[Lab, Loss]; lost_packets_are_lost_one_way]);
    all.extend(tests![[Lab, Keepalived]; keepalived_elects_once_and_moves_the_address_when_killed]);
    // One second of full speed, and a master at 100 ms whose peer waits for 361.
    let fast = tests![[Lab]; a_flood_reaches_the_other_hosts_at_full_speed];
    all.extend(harness::despite_stalls(Duration::from_millis(500), fast));
    let at_100_ms = tests![[Lab, Keepalived]; keepalived_runs_version_3_at_100_ms_and_stops_cleanly];
    all.extend(harness::despite_stalls(Duration::from_millis(250), at_100_ms));
    harness::run(all)
}

fn model() -> Advert {
    Advert::v2(Ipv4Addr::new(10, 99, 0, 1), 51, 150, "1111", &[VIP])
}

fn an_advert_survives_emit_and_parse() {
    let mac = [2, 0, 10, 99, 0, 1];
    for advert in [model(), Advert::v3(Ipv4Addr::new(10, 99, 0, 1), 51, 150, 10, &[VIP, Ipv4Addr::LOCALHOST])]
    {
        let bytes = advert.emit(mac);
        assert_eq!(Frame::parse(&bytes), Frame::Advert(advert));
        assert_eq!(checksum(&bytes[14..34]), 0, "the IP header's checksum is right");
    }
    let request = arp_request(mac, VIP, VIP);
    let Frame::Arp(arp) = Frame::parse(&request) else { panic!("an ARP request is not read as one") };
    assert!(arp.is_gratuitous());
    assert_eq!((arp.operation, arp.sender_mac), (1, mac));
    for length in 0..model().emit(mac).len() {
        assert_eq!(Frame::parse(&model().emit(mac)[..length]), Frame::Broken, "cut to {length} bytes");
    }
}

fn known_adverts_have_the_checksums_of_the_rfc_documents() {
    let addresses = [Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(192, 0, 2, 2)];
    let source = Ipv4Addr::new(192, 0, 2, 251);
    let sum = |advert: Advert| u16::from_be_bytes(advert.emit([0; 6])[40..42].try_into().unwrap());
    assert_eq!(sum(Advert::v2(source, 10, 200, "", &addresses)), 0x92ed);
    assert_eq!(sum(Advert::v3(source, 10, 200, 100, &addresses)), 0xdefb);
}

fn foreign_forgeries_are_for_nobody_who_is_flooded() {
    for vrid in [1, 51, flood::FOREIGN, 255] {
        let forged = Junk::ForeignVrid.forge(&Advert { vrid, ..model() }, [2, 0, 0, 0, 0, 9]);
        for frame in forged {
            let Frame::Advert(advert) = Frame::parse(&frame) else { panic!("nothing else is wrong with it") };
            assert!(advert.vrid >= flood::FOREIGN && advert.vrid != vrid, "{} beside {vrid}", advert.vrid);
        }
    }
}

fn a_timeline_tells_overlaps_gaps_and_holders() {
    let change = |time_ns, host: &str, held| Change { time_ns, host: host.to_owned(), held };
    let history = [
        change(10, "a", true),
        change(12, "a", true),
        change(30, "b", true),
        change(34, "a", false),
        change(50, "b", false),
        change(57, "a", true),
    ];
    let timeline = HoldingTimeline::new(0, 100, &history);
    let [overlap] = &timeline.overlaps()[..] else { panic!("one overlap, not {:?}", timeline.overlaps()) };
    assert_eq!((overlap.from_ns, overlap.until_ns), (30, 34));
    assert_eq!(overlap.hosts, ["a", "b"]);
    assert_eq!(timeline.overlap_longer_than(Duration::from_nanos(4)), None);
    assert!(timeline.overlap_longer_than(Duration::from_nanos(3)).is_some());
    let gaps: Vec<_> = timeline.gaps().iter().map(|gap| (gap.from_ns, gap.until_ns)).collect();
    assert_eq!(gaps, [(0, 10), (50, 57)]);
    assert_eq!(
        timeline.longest_outage(),
        Duration::from_nanos(7),
        "the time before the first holder does not count"
    );
    assert_eq!(timeline.holders_at(29), ["a"]);
    assert_eq!(timeline.holders_at(31), ["a", "b"]);
    assert!(timeline.holders_at(55).is_empty());
    assert_eq!(timeline.holders(), ["a"]);
    assert_eq!((timeline.acquisitions("a"), timeline.acquisitions("b")), (2, 1));
    assert_eq!((timeline.acquired_at("a", 11), timeline.lost_at("a", 0)), (Some(57), Some(34)));
    assert!(panic::catch_unwind(|| timeline.assert_never_two(Duration::ZERO)).is_err());
    assert!(panic::catch_unwind(|| timeline.assert_never_two_since(33, Duration::ZERO)).is_err());
    timeline.assert_never_two_since(34, Duration::ZERO);
    // Handed over without a moment between: neither an overlap nor a gap.
    let swapped = [change(10, "a", true), change(20, "a", false), change(20, "b", true)];
    let timeline = HoldingTimeline::new(10, 30, &swapped);
    assert!(timeline.overlaps().is_empty() && timeline.gaps().is_empty());
}

fn equal_configurations_give_equal_roles() {
    let ours = vrrp_lab::daemon::yaml("x", &[vrrp_lab::Instance::v3(100, "100ms").with("skew: none")]);
    for line in ["virtual_router_id: 51", "advert_interval: 100ms", "preempt: false", "skew: none"] {
        assert!(ours.contains(line), "{line} is missing in\n{ours}");
    }
    assert!(!ours.contains("auth"), "version 3 has no authentication:\n{ours}");
    let theirs = vrrp_lab::peers::configuration(&[], &[Peer::v3(100, 100)]);
    for line in ["virtual_router_id 51", "advert_int 0.100", "nopreempt", "10.99.0.200/24 dev eth0"] {
        assert!(theirs.contains(line), "{line} is missing in\n{theirs}");
    }
}

fn a_failure_is_tried_again_only_if_the_machine_stood_still() {
    let tries = |limit: Duration, failures: usize| {
        let tried = Cell::new(0);
        let body = || {
            tried.set(tried.get() + 1);
            if tried.get() <= failures {
                // Without the words and the backtrace of a panic that nobody means.
                panic::resume_unwind(Box::new("meant to fail"));
            }
        };
        let ended = panic::catch_unwind(panic::AssertUnwindSafe(|| stall::despite_stalls(limit, body)));
        assert!(ended.as_ref().is_ok_and(|tries| *tries == tried.get()) || ended.is_err());
        (tried.get(), ended.is_ok())
    };
    // Any stall will do, also none at all.
    assert_eq!(tries(Duration::ZERO, 0), (1, true));
    assert_eq!(tries(Duration::ZERO, 2), (3, true));
    assert_eq!(tries(Duration::ZERO, 99), (stall::TRIES, false), "what is broken fails in the end");
    assert_eq!(tries(Duration::MAX, 1), (1, false));
}

fn carrier(lab: &Lab, host: &str) -> bool {
    lab.host(host).namespace().ip(&["link", "show", "dev", "eth0"]).unwrap().contains("LOWER_UP")
}

fn reaches(lab: &Lab, from: &str, to: &str) -> bool {
    let capture = Capture::start(lab, &[to]).unwrap();
    let (from, to) = (lab.host(from), lab.host(to));
    flood::send(from, &[arp_request(from.mac(), from.address(), to.address())]).unwrap();
    capture
        .wait_for(Duration::from_millis(300), |record| record.arp().is_some_and(|arp| arp.operation == 2))
        .is_some()
}

/// One that does answer, though a machine that stalls may need more than one question.
fn comes_through(lab: &Lab, from: &str, to: &str) -> bool {
    clock::wait_until(LIMIT, || reaches(lab, from, to))
}

fn a_cut_link_keeps_its_carrier_and_a_pulled_one_loses_it() {
    let lab = Lab::pair("links").unwrap();
    assert!(comes_through(&lab, "a", "b"), "the bridge carries packets");
    lab.host("b").cut().unwrap();
    assert!(carrier(&lab, "b") && !reaches(&lab, "a", "b"));
    lab.host("b").heal().unwrap();
    assert!(comes_through(&lab, "a", "b"));
    lab.host("b").lose_carrier().unwrap();
    assert!(!carrier(&lab, "b") && !reaches(&lab, "a", "b"));
    lab.host("b").restore_carrier().unwrap();
    assert!(clock::wait_until(LIMIT, || carrier(&lab, "b") && reaches(&lab, "a", "b")));
}

fn lost_packets_are_lost_one_way() {
    let lab = Lab::pair("loss").unwrap();
    let answers = |to: &str| (0..20).filter(|_| reaches(&lab, "client", to)).count();
    lab.host("a").lose_incoming(100).unwrap();
    assert_eq!((answers("a"), comes_through(&lab, "client", "b")), (0, true));
    assert!(comes_through(&lab, "a", "b"), "only the way to a is dead");
    lab.host("a").lose_incoming(0).unwrap();
    assert!(comes_through(&lab, "client", "a"));
    lab.host("b").lose_incoming(50).unwrap();
    let heard = answers("b");
    // 20 coins: outside of 2..=18 once in 25 000 runs.
    assert!((2..=18).contains(&heard), "{heard} of 20 packets survived a loss of 50 %");
}

fn an_address_watch_sees_two_holders_in_true_order() {
    let lab = Lab::pair("watch").unwrap();
    lab.host("a").namespace().ip(&["address", "add", "10.99.0.200/32", "dev", "eth0"]).unwrap();
    let watch = AddressWatch::start(&lab, &["a", "b"]).unwrap();
    assert_eq!(watch.holders(VIP).unwrap(), ["a"], "what is there at the start counts");
    let add =
        |host: &str| lab.host(host).namespace().ip(&["address", "replace", "10.99.0.200/32", "dev", "eth0"]);
    let delete =
        |host: &str| lab.host(host).namespace().ip(&["address", "del", "10.99.0.200/32", "dev", "eth0"]);
    let before = clock::now_ns();
    add("b").unwrap();
    delete("a").unwrap();
    add("b").unwrap();
    watch.wait_for_holder(VIP, "b", LIMIT).unwrap();
    let seen = clock::now_ns();
    assert!(lab.host("b").holds(VIP).unwrap() && !lab.host("a").holds(VIP).unwrap());
    let timeline = watch.finish(VIP).unwrap();
    let [overlap] = &timeline.overlaps()[..] else { panic!("one overlap, not\n{timeline}") };
    assert!(overlap.from_ns > before && overlap.until_ns <= seen, "{timeline}");
    assert_eq!(timeline.acquisitions("b"), 1, "adding what is there is no change");
}

fn a_process_is_frozen_thawed_and_killed_by_its_handle() {
    let lab = Lab::pair("process").unwrap();
    let sleep = namespace_program("sleep");
    let mut process = lab.host("a").spawn("sleep", &sleep, &["60"]).unwrap();
    assert!(clock::wait_until(LIMIT, || lab.host("a").namespace().processes() == [process.pid()]));
    process.freeze();
    assert!(clock::wait_until(LIMIT, || process.state() == Some('T')));
    process.thaw();
    assert!(clock::wait_until(LIMIT, || process.state() == Some('S')));
    assert_eq!(process.wait(Duration::from_millis(20)), None);
    process.terminate();
    assert!(process.wait(LIMIT).is_some());
    assert_eq!(process.ending().unwrap(), "signal 15");
    let pid = {
        let dropped = lab.host("a").spawn("sleep", &sleep, &["60"]).unwrap();
        dropped.pid()
    };
    assert_eq!(process::process_state(pid), None, "a dropped handle ends its process");
}

/// The hog's priority is above the meter's: it takes the CPU from the thread there, as a hypervisor does. On a machine with one CPU it is over when
/// anybody asks.
fn a_stall_that_still_lasts_is_waited_for() {
    const LENGTH: Duration = Duration::from_millis(300);
    let meter = StallMeter::start().unwrap();
    clock::sleep_ms(50);
    let (started, hogs) = mpsc::channel();
    let hog = thread::spawn(move || {
        let mut only = CpuSet::new();
        only.set(0);
        sched_setaffinity(None, &only).unwrap();
        let parameters = libc::sched_param { sched_priority: 95 };
        // SAFETY: reads the parameters, which outlive the call.
        let set = unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const parameters) };
        let from = clock::now_ns();
        started.send((set, from)).unwrap();
        while set == 0 && clock::now_ns() < from + clock::nanos(LENGTH) {}
    });
    let (set, from) = hogs.recv().unwrap();
    assert_eq!(set, 0, "no real-time priority");
    clock::sleep_ms(20);
    let longest = meter.longest(from, clock::now_ns());
    hog.join().unwrap();
    assert!(longest > LENGTH / 2, "of a stall of {LENGTH:?} {longest:?} were known");
}

fn namespace_program(name: &str) -> std::path::PathBuf {
    vrrp_lab::capability::find_program(name).unwrap()
}

fn a_killed_tree_takes_its_children_along() {
    let lab = Lab::pair("tree").unwrap();
    let script = ["-c", "sleep 60 & sleep 60 & wait"];
    let mut process = lab.host("a").spawn("tree", &namespace_program("sh"), &script).unwrap();
    assert!(clock::wait_until(LIMIT, || process.tree().len() == 3));
    // By a list that was made before, whoever is the parent of whom by then.
    let tree = process.tree();
    process.kill();
    assert!(process.wait(LIMIT).is_some());
    process.signal_all(&tree, Signal::KILL);
    assert!(clock::wait_until(LIMIT, || lab.host("a").namespace().processes().is_empty()));

    let mut process = lab.host("a").spawn("tree", &namespace_program("sh"), &script).unwrap();
    assert!(clock::wait_until(LIMIT, || process.tree().len() == 3));
    process.kill_tree();
    assert!(process.wait(LIMIT).is_some());
    assert!(clock::wait_until(LIMIT, || lab.host("a").namespace().processes().is_empty()));
}

fn load_runs_and_ends() {
    let lab = Lab::pair("load").unwrap();
    let mut load = Load::busy_loops(&lab, 2).unwrap();
    assert!(clock::wait_until(LIMIT, || load.processes().iter().all(|process| process.cpu_ns() > 0)));
    let pids: Vec<u32> = load.processes().iter().map(Process::pid).collect();
    drop(load);
    assert!(pids.iter().all(|pid| process::process_state(*pid).is_none()));
    let mut changers = Load::link_changers(&lab, 2).unwrap();
    clock::sleep_ms(700);
    for changer in changers.processes() {
        assert!(changer.is_running(), "{}", changer.log());
        assert_eq!(changer.log(), "");
    }
}

fn junk() -> Vec<Vec<u8>> {
    Junk::INVALID.iter().flat_map(|junk| junk.forge(&model(), [2, 0, 0, 0, 0, 9])).collect()
}

fn a_flood_keeps_its_bounds() {
    let mut lab = Lab::pair("flood").unwrap();
    lab.add_host("stranger", "10.99.0.66/24").unwrap();
    let capture = Capture::start(&lab, &["stranger"]).unwrap();
    let bound = Bound { time: Duration::from_secs(5), packets: 1000, rate: Some(10_000) };
    let flood = Flood::start(lab.host("stranger"), junk(), bound).unwrap();
    let report = flood.finish().unwrap();
    assert_eq!(report.packets, 1000);
    assert!(report.time >= Duration::from_millis(99), "1000 packets at 10 000/s in {:?}", report.time);
    assert!(clock::wait_until(LIMIT, || capture.len() == 1000), "{} packets arrived", capture.len());
    let records = capture.finish().unwrap();
    let ttl_254 =
        records.iter().filter_map(|record| record.advert()).filter(|advert| advert.ttl == 254).count();
    assert_eq!(ttl_254, 200, "one kind in five has the wrong TTL");
    // The truncated kind is junk to the observer, too.
    assert_eq!(records.iter().filter(|record| record.frame == Frame::Broken).count(), 200);
}

fn a_flood_reaches_the_other_hosts_at_full_speed() {
    let mut lab = Lab::pair("speed").unwrap();
    lab.add_host("stranger", "10.99.0.66/24").unwrap();
    let received = || lab.host("b").received().unwrap();
    let before = received();
    let flood = Flood::start(lab.host("stranger"), junk(), Bound::seconds(1)).unwrap();
    let report = flood.finish().unwrap();
    let arrived = received() - before;
    println!("flood: {} packets/s sent, {arrived} of {} arrived", report.rate(), report.packets);
    assert!(report.packets > 10_000 && arrived > report.packets / 10);
}

fn live_frames_reach_both_hosts_as_they_were_made() {
    let lab = Lab::pair("live").unwrap();
    let both = ["a", "b"];
    let _accepted = both.map(|name| flood::accept_live(lab.host(name)).unwrap());
    let captures = both.map(|name| Capture::start_on(lab.host(name)).unwrap());
    let before = both.map(|name| lab.host(name).received().unwrap());
    let frames = junk();
    let packets = frames.len() as u64 * 10;
    // At this rate no more than a few wait together, and none is lost. One flood for each: after a stall it sends what is
    // due of one frame.
    let bound = Bound { time: LIMIT, packets: 10, rate: Some(1_000) };
    for frame in &frames {
        let flood = Flood::start_live(&lab, &both, vec![frame.clone()], bound).unwrap();
        assert_eq!(flood.finish().unwrap().packets, bound.packets);
    }
    for (host, (capture, before)) in both.into_iter().zip(captures.iter().zip(before)) {
        let ours = || -> Vec<_> {
            let records = capture.records().into_iter().map(|record| record.bytes);
            records.filter(|bytes| frames.contains(bytes)).collect()
        };
        let complete = clock::wait_until(LIMIT, || ours().len() as u64 >= packets);
        let arrived = ours();
        assert!(complete && arrived.len() as u64 == packets, "{} of {packets} reach {host}", arrived.len());
        assert!(frames.iter().all(|frame| arrived.contains(frame)), "every kind reaches {host}");
        let counted = lab.host(host).received().unwrap() - before;
        assert!(counted >= packets, "the interface of {host} counts {counted} of {packets}");
    }
}

fn nothing_is_left_after_a_panic() {
    let before = namespace::own_namespaces();
    let outcome = panic::catch_unwind(|| {
        let lab = Lab::pair("panic").unwrap();
        let sleep = namespace_program("sleep");
        let process = lab.host("a").spawn("sleep", &sleep, &["60"]).unwrap();
        let _watch = AddressWatch::start(&lab, &["a"]).unwrap();
        let _capture = Capture::start(&lab, &["a"]).unwrap();
        let _load = Load::link_changers(&lab, 1).unwrap();
        panic::panic_any((process.pid(), lab.folder().to_owned()));
    });
    let (pid, folder) = *outcome.unwrap_err().downcast::<(u32, std::path::PathBuf)>().unwrap();
    assert_eq!(namespace::own_namespaces(), before);
    assert_eq!(process::process_state(pid), None);
    assert!(!folder.exists());
}

fn keepalived_elects_once_and_moves_the_address_when_killed() {
    let lab = Lab::pair("elect").unwrap();
    let stalls = StallMeter::start().unwrap();
    let capture = Capture::start(&lab, &["a", "b"]).unwrap();
    let watch = AddressWatch::start(&lab, &["a", "b"]).unwrap();
    let mut a = Keepalived::start(lab.host("a"), &[Peer::v2(150)]).unwrap();
    // Without preemption the first to speak is master: their timers are 0.2 s apart.
    assert!(clock::wait_until(LIMIT, || a.log().contains("Entering BACKUP STATE")), "{}", a.log());
    let _b = Keepalived::start(lab.host("b"), &[Peer::v2(100)]).unwrap();
    watch.wait_for_holder(VIP, "a", LIMIT).unwrap();
    assert!(clock::wait_until(LIMIT, || capture.adverts_from("a").len() >= 3));
    let adverts = capture.adverts_from("a");
    for pair in adverts.windows(2) {
        let gap = pair[1].0 - pair[0].0;
        let latest = 2 * SECOND + clock::nanos(stalls.within(pair[0].0, pair[1].0));
        assert!((SECOND / 2..latest).contains(&gap), "stamps are {gap} ns apart at an interval of 1 s");
    }
    let (_, advert) = &adverts[0];
    assert_eq!((advert.version, advert.vrid, advert.priority, advert.ttl), (2, 51, 150, 255));
    assert_eq!(advert.auth, Some((1, *b"1111\0\0\0\0")));
    assert_eq!(advert.addresses, [VIP]);
    assert!(!capture.announcements("a", VIP).is_empty());
    let killed = clock::now_ns();
    a.kill_tree();
    lab.host("a").namespace().ip(&["address", "del", "10.99.0.200/24", "dev", "eth0"]).unwrap();
    watch.wait_for_holder(VIP, "b", LIMIT).unwrap();
    let timeline = watch.finish(VIP).unwrap();
    timeline.assert_never_two(Duration::ZERO);
    let down = timeline.acquired_at("b", killed).unwrap() - killed;
    let latest = 4 * SECOND + clock::nanos(stalls.within(killed, killed + down));
    assert!((2 * SECOND..latest).contains(&down), "moved {down} ns after the kill");
    assert!(!capture.finish().unwrap().is_empty());
}

fn keepalived_runs_version_3_at_100_ms_and_stops_cleanly() {
    let lab = Lab::pair("stop").unwrap();
    let capture = Capture::start(&lab, &["a", "b"]).unwrap();
    let watch = AddressWatch::start(&lab, &["a", "b"]).unwrap();
    let stalls = StallMeter::start().unwrap();
    let mut a = Keepalived::start(lab.host("a"), &[Peer::v3(150, 100)]).unwrap();
    // Without preemption the first to speak is master.
    watch.wait_for_holder(VIP, "a", LIMIT).unwrap();
    let b = Keepalived::start(lab.host("b"), &[Peer::v3(100, 100)]).unwrap();
    assert!(clock::wait_until(LIMIT, || b.log().contains("Entering BACKUP STATE")), "{}", b.log());
    clock::sleep_ms(500);
    assert_eq!(watch.holders(VIP).unwrap(), ["a"], "{}", b.log());
    assert_eq!(capture.adverts_from("a")[0].1.interval(), Duration::from_millis(100));
    let stopped = clock::now_ns();
    a.stop().unwrap();
    watch.wait_for_holder(VIP, "b", LIMIT).unwrap();
    let timeline = watch.finish(VIP).unwrap();
    let moved = timeline.acquired_at("b", stopped).unwrap() - stopped;
    let allowed = SECOND + clock::nanos(stalls.within(stopped, stopped + moved));
    assert!(moved < allowed, "moved {moved} ns after a planned stop");
    let records = capture.finish().unwrap();
    let released = |record: &vrrp_lab::capture::Record| record.advert().is_some_and(Advert::is_release);
    assert!(records.iter().any(|record| record.host == "a" && released(record)), "priority 0 was seen");
}
