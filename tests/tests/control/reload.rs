//! SIGHUP: what a reload changes and what it leaves alone.

use std::{collections::BTreeSet, fs, net::Ipv4Addr, time::Duration};

use rustix::process::Signal;
use vrrp_lab::{
    Daemon, Instance, Lab,
    clock::{self, now_ns},
    daemon,
    frame::Advert,
    harness::{self, Test},
    tests,
};

use super::wire::{INTERVAL, LIMIT, NEEDS, Pair, VIP, instance};

const SECOND: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 201);
/// At 20 ms a guard acts 48 ms after the last advert, and the next is due at 20.
const STALL_AT_20_MS: Duration = Duration::from_millis(28);
/// At 50 ms it acts 130 ms after the last advert, and the next is due at 50.
const STALL_AT_50_MS: Duration = Duration::from_millis(80);
/// In effect, or refused: each reload says one of these.
const DONE: [&str; 2] = ["is in effect", "nothing was changed"];

pub(crate) fn tests() -> Vec<Test> {
    let mut all = tests![NEEDS;
        a_storm_of_reloads_costs_no_advert_and_no_transition,
        a_master_whose_addresses_change_keeps_its_role_and_the_other_addresses,
        the_guard_lives_through_a_reload_with_the_sockets_it_has,
        a_bad_file_changes_nothing_and_says_why,
        the_reload_command_says_what_was_done_or_why_not,
    ];
    all.extend(harness::despite_stalls(
        STALL_AT_50_MS,
        tests![NEEDS; instances_come_and_go_and_places_are_used_again],
    ));
    all.extend(harness::despite_stalls(
        STALL_AT_20_MS,
        tests![NEEDS; a_new_priority_is_in_the_next_advert_and_a_new_interval_at_once],
    ));
    all
}

/// Numbers from a seed.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

fn reloads(pair: &Pair, host: &str) -> usize {
    DONE.iter().map(|text| pair.log_count(host, text)).sum()
}

fn reload(pair: &mut Pair, host: &str, text: &str) {
    let before = reloads(pair, host);
    pair.write(host, text);
    pair.daemon_mut(host).signal(Signal::HUP);
    let done = clock::wait_until(LIMIT, || reloads(pair, host) > before);
    assert!(done, "no word of the reload:\n{}", pair.daemon(host).log());
}

/// A file that keeps the lab's own virtual router and its address, or one that will not do.
fn random_file(random: &mut Random) -> String {
    let mut own = instance(150);
    own.priority = 140 + u8::try_from(random.below(20)).unwrap();
    own.virtual_addresses.extend((0..random.below(4)).map(|n| format!("10.99.0.{}/24", 210 + n)));
    if random.below(2) == 0 {
        own.extra.push("garp: { burst: 2 }".to_owned());
    }
    if random.below(3) == 0 {
        own.extra.push("peers: [10.99.0.2]".to_owned());
    }
    let others = (0..random.below(5)).map(|n| {
        let vrid = 60 + u8::try_from(n + random.below(3) * 10).unwrap();
        Instance {
            name: format!("VI_{vrid}"),
            vrid,
            virtual_addresses: vec![format!("10.99.1.{vrid}/32")],
            ..Instance::v3(100, "100ms")
        }
    });
    let instances: Vec<Instance> = [own].into_iter().chain(others).collect();
    let text = daemon::yaml("storm", &instances);
    match random.below(8) {
        0 => text.replace("priority:", "prio:"),
        1 => text[..text.len() / 2].to_owned(),
        2 => text.replace("eth0", "eth9"),
        3 => String::new(),
        _ => text,
    }
}

fn a_storm_of_reloads_costs_no_advert_and_no_transition() {
    let mut pair = Pair::start("storm");
    let mut random = Random(0x5eed_1234_5678_9abc);
    let (lines_a, lines_b) = (pair.log_count("a", "-> "), pair.log_count("b", "-> "));
    let from = now_ns();
    // 100 signals, and more of them on a machine so slow that one reload goes by several.
    for round in 0..400 {
        let (applied, refused) = (pair.log_count("a", DONE[0]), pair.log_count("a", DONE[1]));
        if round >= 100 && applied > 30 && refused > 10 {
            break;
        }
        pair.write("a", &random_file(&mut random));
        pair.a.signal(Signal::HUP);
        clock::sleep_ms(100);
    }
    clock::sleep_ms(500);
    let to = now_ns();
    reload(&mut pair, "a", &daemon::yaml("a", &[instance(150)]));
    let silence = pair.longest_silence("a", from, to);
    let of_lab = |log: &str| {
        let lines = log.lines().filter(|line| line.contains("-> ") && line.contains("VI_1\""));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let (applied, refused) = (pair.log_count("a", DONE[0]), pair.log_count("a", DONE[1]));
    println!("  {applied} reloads applied, {refused} refused, longest silence {silence:?}");
    assert!(applied > 30 && refused > 10, "{applied} applied, {refused} refused:\n{}", pair.a.log());
    // An advert that was lost leaves a silence of two intervals.
    assert!(silence < INTERVAL * 2, "a was silent for {silence:?}:\n{}", pair.a.log());
    let told = of_lab(&pair.a.log());
    assert_eq!(told.len(), 2, "a's own router started and was elected, and nothing since: {told:#?}");
    assert!(pair.log_count("a", "-> ") > lines_a, "other instances came and went");
    assert_eq!(pair.log_count("b", "-> "), lines_b, "b: {}", pair.b.log());
    pair.assert_undisturbed("a", from);
}

fn a_master_whose_addresses_change_keeps_its_role_and_the_other_addresses() {
    let mut pair = Pair::start("addresses");
    let more = Instance {
        virtual_addresses: vec!["10.99.0.200/24".to_owned(), "10.99.0.201/24".to_owned()],
        ..instance(150)
    };
    let from = now_ns();
    for host in ["a", "b"] {
        reload(&mut pair, host, &daemon::yaml(host, std::slice::from_ref(&more)));
    }
    pair.watch.wait_for_holder(SECOND, "a", LIMIT).unwrap();
    assert!(clock::wait_until(LIMIT, || !pair.capture.announcements("a", SECOND).is_empty()));
    let both = |advert: &Advert| advert.addresses == [VIP, SECOND];
    let says_both =
        pair.capture.wait_for(LIMIT, |record| record.host == "a" && record.advert().is_some_and(both));
    assert!(says_both.is_some());
    // And the first one goes, the second stays.
    let one = Instance { virtual_addresses: vec!["10.99.0.201/24".to_owned()], ..instance(150) };
    pair.assert_undisturbed("a", from);
    reload(&mut pair, "a", &daemon::yaml("a", &[one]));
    assert!(clock::wait_until(LIMIT, || !pair.lab.host("a").holds(VIP).unwrap()), "{}", pair.a.log());
    assert!(pair.lab.host("a").holds(SECOND).unwrap());
    assert_eq!(pair.watch.timeline(SECOND).unwrap().lost_at("a", from), None);
    // The guard knows what is on now, and no more than that: well before the lifetime of a second ends.
    let killed = now_ns();
    pair.a.kill();
    let timeline = pair.watch.wait_for_holder(SECOND, "b", LIMIT).unwrap();
    let lost = timeline.lost_at("a", killed).unwrap();
    let allowed = Duration::from_millis(500) + pair.stalls.within(killed, lost);
    let took = Duration::from_nanos(lost - killed);
    assert!(took < allowed, "lost {took:?} after the kill\n{timeline}\n{}", pair.a.log());
}

/// Opening and closing them anew takes longer on a host with many interfaces than the daemon waits for a guard.
fn the_guard_lives_through_a_reload_with_the_sockets_it_has() {
    let mut pair = Pair::start("guarded");
    let guards = |daemon: &Daemon| {
        let others = daemon.tree().into_iter().filter(|pid| *pid != daemon.pid());
        let sockets = |pid: u32| {
            let files = fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
            // One that is closed between two looks, as the former testament is, is no socket that lasts.
            let names =
                files.filter_map(|file| Some(fs::read_link(file.ok()?.path()).ok()?.display().to_string()));
            names.filter(|name| name.starts_with("socket:")).collect::<BTreeSet<_>>()
        };
        others.map(|pid| (pid, sockets(pid))).collect::<Vec<_>>()
    };
    let before = guards(&pair.a);
    assert!(matches!(before.as_slice(), [(_, sockets)] if sockets.len() >= 2), "{before:?}");
    let more = Instance {
        virtual_addresses: vec!["10.99.0.200/24".to_owned(), "10.99.0.201/24".to_owned()],
        ..instance(150)
    };
    reload(&mut pair, "a", &daemon::yaml("a", &[more]));
    pair.watch.wait_for_holder(SECOND, "a", LIMIT).unwrap();
    assert_eq!(guards(&pair.a), before, "{}", pair.a.log());
}

fn instances_come_and_go_and_places_are_used_again() {
    let lab = Lab::pair("places").unwrap();
    let numbered = |number: u8| Instance {
        name: format!("VI_{number}"),
        vrid: number,
        virtual_addresses: vec![format!("10.99.1.{number}/32")],
        ..Instance::v3(100, "50ms")
    };
    let mut daemon = Daemon::start(lab.host("a"), &[numbered(1)]).unwrap();
    let vip = |number: u8| Ipv4Addr::new(10, 99, 1, number);
    let holds = |number: u8| lab.host("a").holds(vip(number)).unwrap();
    assert!(clock::wait_until(LIMIT, || holds(1)));
    // More than there are places, one after the other.
    for round in 0..10_u8 {
        let first = 2 + round * 10;
        let mut instances = vec![numbered(1)];
        instances.extend((first..first + 10).map(numbered));
        let text = daemon::with_control(lab.host("a"), &daemon::yaml("a", &instances));
        fs::write(daemon.config(), text).unwrap();
        daemon.signal(Signal::HUP);
        let all = || {
            (first..first + 10).all(holds) && (first < 3 || !(first - 10..first).any(|n| n > 1 && holds(n)))
        };
        assert!(clock::wait_until(LIMIT, all), "round {round}:\n{}", daemon.log());
    }
    assert!(holds(1));
    let own = daemon.log().lines().filter(|line| line.contains("-> ") && line.contains("VI_1\"")).count();
    assert_eq!(own, 2, "the one that stays was elected once:\n{}", daemon.log());
    daemon.stop().unwrap();
    assert!(!(1..=101).any(holds));
}

fn a_bad_file_changes_nothing_and_says_why() {
    let mut pair = Pair::start("bad");
    let from = now_ns();
    let good = daemon::yaml("a", &[instance(150)]);
    for (bad, why) in [
        (good.replace("virtual_router_id: 51", "virtual_router_id: 0"), "virtual_router_id"),
        (good.replace("eth0", "eth7"), "no interface eth7"),
        (good.replace("10.99.0.200/24", "10.99.0.1/24"), "10.99.0.1 is the only address of eth0"),
        ("instances: [".to_owned(), "is not YAML"),
    ] {
        reload(&mut pair, "a", &bad);
        let log = pair.a.log();
        let last = log.lines().rev().find(|line| line.contains(DONE[1])).unwrap_or_default();
        assert!(log.contains(why), "{last:?} does not say {why:?}");
    }
    assert_eq!(pair.log_count("a", DONE[0]), 0);
    // What only a start can change is named, and the rest is done.
    let other = instance(150).with("garp: { burst: 3 }");
    reload(&mut pair, "a", &(daemon::yaml("a", &[other]) + "rx: socket\nrealtime_priority: 3\n"));
    pair.wait_for_log("a", "changed VI_1; needs a restart: rx, realtime_priority", 1);
    clock::sleep_ms(300);
    let silence = pair.longest_silence("a", from, now_ns());
    assert!(silence < INTERVAL * 2, "{silence:?}");
    pair.assert_undisturbed("a", from);
}

fn a_new_priority_is_in_the_next_advert_and_a_new_interval_at_once() {
    let mut pair = Pair::start("timing");
    let from = now_ns();
    reload(&mut pair, "a", &daemon::yaml("a", &[instance(120)]));
    let said = |priority: u8, interval: Duration| {
        let record = pair.capture.wait_for(LIMIT, |record| {
            let wanted = |advert: &Advert| advert.priority == priority && advert.interval() == interval;
            record.host == "a" && record.time_ns > from && record.advert().is_some_and(wanted)
        });
        assert!(record.is_some(), "no advert with priority {priority} and {interval:?}:\n{}", pair.a.log());
    };
    said(120, INTERVAL);
    let slower = Instance { advert_interval: "300ms".to_owned(), ..instance(120) };
    let faster = Instance { advert_interval: "20ms".to_owned(), ..instance(120) };
    let (slower, faster) = (daemon::yaml("a", &[slower]), daemon::yaml("a", &[faster]));
    for (text, interval) in [(slower, 300), (faster, 20)] {
        let before = reloads(&pair, "a");
        pair.write("a", &text);
        pair.a.signal(Signal::HUP);
        assert!(clock::wait_until(LIMIT, || reloads(&pair, "a") > before));
        let interval = Duration::from_millis(interval);
        let record = pair.capture.wait_for(LIMIT, |record| {
            record.host == "a" && record.advert().is_some_and(|advert| advert.interval() == interval)
        });
        assert!(record.is_some(), "{}", pair.a.log());
        clock::sleep_ms(1_500);
    }
    // b adopts each, and nobody doubts anybody.
    assert_eq!(pair.log_count("b", "-> MASTER"), 0, "{}", pair.b.log());
    pair.assert_undisturbed("a", from);
}

fn the_reload_command_says_what_was_done_or_why_not() {
    let pair = Pair::start("command");
    let good = daemon::yaml("a", &[instance(150).with("garp: { burst: 2 }")]);
    pair.write("a", &good);
    assert!(pair.succeed("a", &["reload"]).contains("is in effect: changed VI_1"));
    assert!(pair.succeed("a", &["reload"]).contains("no instance differs"));
    pair.write("a", &good.replace("priority: 150", "priority: 0"));
    let (code, out, error) = pair.command("a", &["reload"]);
    assert_eq!((code, out.as_str()), (Some(1), ""), "{error}");
    assert!(error.contains("nothing was changed") && error.contains("instances[0].priority"), "{error}");
    assert!(pair.succeed("a", &["status"]).contains("150"), "it goes by the old one");
}
