//! The command line and its signals: what the program prints, its exit codes, what it does not touch.

use std::{
    fs,
    io::{self, Write},
    net::Ipv4Addr,
    process::{Command, Stdio},
    time::Duration,
};

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::process::{Pid, Signal, kill_process};
use vrrp_lab::{
    AddressWatch, Capture, Daemon, Instance, Lab, Process, Requirement, clock,
    daemon::{binary, with_control, yaml},
    harness::{self, Test},
    tests,
};

use super::pair::{LIMIT, STALL, VIP};

pub(crate) fn tests() -> Vec<Test> {
    use Requirement::{Daemon, Lab};
    let mut all = tests![[Lab, Daemon];
        a_bad_configuration_is_refused_by_its_place_and_touches_nothing,
        check_prints_what_is_in_effect,
        sigterm_and_sigint_release_and_end_with_0_within_a_second,
        whoever_does_not_read_the_log_does_not_hold_up_the_end,
    ];
    all.extend(harness::despite_stalls(
        STALL,
        tests![[Lab, Daemon]; sighup_reads_the_file_again_and_ends_nothing, json_logs_are_one_object_a_line],
    ));
    all
}

fn command(lab: &Lab, arguments: &[&str]) -> (Process, String) {
    let mut process = lab.host("a").spawn("command", &binary().unwrap(), arguments).unwrap();
    assert!(process.wait(LIMIT).is_some(), "`vrrp {}` does not end:\n{}", arguments.join(" "), process.log());
    let ending = process.ending().unwrap();
    (process, ending)
}

fn a_bad_configuration_is_refused_by_its_place_and_touches_nothing() {
    let good = yaml("bad", &[Instance::v2(100)]);
    let cases = [
        // What is replaced, by what, where it must be found, and its key path.
        ("priority: 100", "priority: 300", "6:15", "instances[0].priority"),
        ("advert_interval: 1s", "advert_interval: 1", "8:22", "instances[0].advert_interval"),
        ("preempt: false", "preemptt: false", "9:5", "instances[0].preemptt"),
        ("version: 2", "version: 2\n    virtual_server: x", "8:5", "instances[0].virtual_server"),
        ("10.99.0.200/24", "10.99.0.200/33", "10:25", "instances[0].virtual_addresses[0]"),
        ("\"1111\"", "\"123456789\"", "11:35", "instances[0].auth.password"),
        ("instances:", "instances: [", "", ""),
    ];
    let lab = Lab::pair("bad").unwrap();
    let namespace = lab.host("a").namespace();
    let look = || namespace.ip(&["-d", "address", "show"]).unwrap();
    // The kernel's own check of the link-local address changes its flags a second or two after the interface is up.
    let is_ready = || look().contains("fe80") && !look().contains("tentative");
    assert!(clock::wait_until(LIMIT, is_ready), "no link-local address is ready:\n{}", look());
    let before = look();
    let watch = AddressWatch::start(&lab, &["a"]).unwrap();
    let capture = Capture::start(&lab, &["a"]).unwrap();
    for (from, to, place, path) in cases {
        assert!(good.contains(from), "{from} is not in\n{good}");
        for verb in ["run", "check"] {
            let file = lab.host("a").file("bad.yaml");
            fs::write(&file, good.replacen(from, to, 1)).unwrap();
            fs::remove_file(lab.host("a").file("command.log")).ok();
            let (process, ending) = command(&lab, &[verb, "--config", &file.to_string_lossy()]);
            let log = process.log();
            assert_eq!(ending, "exit code 2", "{verb} with {to}:\n{log}");
            let wanted = if place.is_empty() {
                format!("{}:", file.display())
            } else {
                format!("{}:{place}: {path}:", file.display())
            };
            assert!(log.contains(&wanted), "{verb} with {to}: {wanted:?} is not in\n{log}");
        }
    }
    let missing = lab.folder().join("nothing.yaml");
    let (process, ending) = command(&lab, &["run", "--config", &missing.to_string_lossy()]);
    assert_eq!(ending, "exit code 2", "{}", process.log());
    assert!(process.log().contains("nothing.yaml"), "{}", process.log());
    assert!(namespace.processes().is_empty(), "a process is left");
    assert_eq!(look(), before, "addresses or attached programs have changed");
    assert!(watch.events().is_empty() && capture.adverts_from("a").is_empty());
}

fn check_prints_what_is_in_effect() {
    let lab = Lab::pair("check").unwrap();
    let mut instance = Instance::v2(100);
    instance.virtual_addresses = vec!["10.99.0.200".to_owned()];
    let file = lab.host("a").file("check.yaml");
    fs::write(&file, yaml("check", &[instance])).unwrap();
    let (process, ending) = command(&lab, &["check", "--config", &file.to_string_lossy()]);
    let printed = process.log();
    assert_eq!(ending, "exit code 0", "{printed}");
    for words in [
        "priority: 100",
        "advert_interval: 1s",
        "preempt: false",
        "10.99.0.200/32",
        "rx: auto",
        "guard: true",
    ] {
        assert!(printed.contains(words), "{words:?} is not in\n{printed}");
    }
    assert!(!printed.contains("1111"), "the password is shown:\n{printed}");
    assert!(!lab.host("a").holds(VIP).unwrap());
}

/// The promise is about a host that runs: of three tries the quickest counts, since other labs' kernel locks can hold up any one,
/// and a wait of our own would be in each.
fn sigterm_and_sigint_release_and_end_with_0_within_a_second() {
    let lab = Lab::pair("signals").unwrap();
    let capture = Capture::start(&lab, &["a"]).unwrap();
    let watch = AddressWatch::start(&lab, &["a"]).unwrap();
    for signal in [Signal::TERM, Signal::INT] {
        let took = (0..3).map(|_| take_leave(&lab, &capture, &watch, signal)).min().unwrap();
        println!("{signal:?}: ended after {took:?}");
        assert!(took < Duration::from_secs(1), "{signal:?}: {took:?} at best");
    }
}

/// From the signal to the end, which is in order.
fn take_leave(lab: &Lab, capture: &Capture, watch: &AddressWatch, signal: Signal) -> Duration {
    let mut daemon = Daemon::start(lab.host("a"), &[Instance::v3(150, "100ms")]).unwrap();
    watch.wait_for_holder(VIP, "a", LIMIT).unwrap();
    let tree = daemon.tree();
    let told = clock::now_ns();
    daemon.signal(signal);
    assert!(daemon.wait(LIMIT).is_some(), "{signal:?}: still runs\n{}", daemon.log());
    let took = Duration::from_nanos(clock::now_ns() - told);
    assert_eq!(daemon.ending().as_deref(), Some("exit code 0"), "{}", daemon.log());
    assert!(!lab.host("a").holds(VIP).unwrap());
    let released = || capture.adverts_from("a").iter().any(|(at, advert)| *at > told && advert.is_release());
    assert!(clock::wait_until(LIMIT, released), "{signal:?}: no priority 0");
    // The watch may be behind the kernel's answer.
    let is_told = || watch.timeline(VIP).unwrap().lost_at("a", told).is_some();
    assert!(clock::wait_until(LIMIT, is_told), "{signal:?}: no event of the address");
    // A guard that takes long is left to itself.
    let is_left = || tree.iter().any(|pid| lab.host("a").namespace().processes().contains(pid));
    assert!(clock::wait_until(LIMIT, || !is_left()), "{signal:?}: the guard is left");
    took
}

/// Its last words wait in a queue, and a writer is stuck in the middle of a line: neither is a reason to stay.
fn whoever_does_not_read_the_log_does_not_hold_up_the_end() {
    let lab = Lab::pair("unread").unwrap();
    let host = lab.host("a");
    let config = host.file("vrrp.yaml");
    let text = with_control(host, &yaml("unread", &[Instance::v3(150, "100ms")]));
    fs::write(&config, text).unwrap();
    let took = (0..3).map(|_| {
        let (unread, mut written) = io::pipe().unwrap();
        fill(&mut written);
        let mut command = Command::new("ip");
        command.args(["netns", "exec", host.namespace().name()]).arg(binary().unwrap());
        command
            .args(["run", "--config"])
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(written);
        let mut daemon = command.spawn().unwrap();
        let held = clock::wait_until(LIMIT, || host.holds(VIP).unwrap());
        let told = clock::now_ns();
        kill_process(Pid::from_child(&daemon), Signal::TERM).unwrap();
        let ended = clock::wait_until(LIMIT, || daemon.try_wait().unwrap().is_some());
        let took = Duration::from_nanos(clock::now_ns() - told);
        if !ended {
            daemon.kill().unwrap();
        }
        assert!(daemon.wait().unwrap().success() && held, "held: {held}, ended: {ended}");
        drop(unread);
        took
    });
    let took = took.min().unwrap();
    println!("unread: ended after {took:?}");
    assert!(took < Duration::from_secs(1), "{took:?} at best");
}

/// Until nothing more goes in.
fn fill(pipe: &mut io::PipeWriter) {
    let flags = fcntl_getfl(&*pipe).unwrap();
    fcntl_setfl(&*pipe, flags | OFlags::NONBLOCK).unwrap();
    while pipe.write(&[b'x'; 4096]).is_ok() {}
    fcntl_setfl(&*pipe, flags).unwrap();
}

fn sighup_reads_the_file_again_and_ends_nothing() {
    let lab = Lab::pair("hup").unwrap();
    let watch = AddressWatch::start(&lab, &["a"]).unwrap();
    let mut daemon = Daemon::start(lab.host("a"), &[Instance::v3(150, "100ms")]).unwrap();
    watch.wait_for_holder(VIP, "a", LIMIT).unwrap();
    let reloads = |daemon: &Daemon| daemon.log().matches("is in effect").count();
    for count in 1..=3 {
        daemon.signal(Signal::HUP);
        assert!(clock::wait_until(LIMIT, || reloads(&daemon) == count), "reload {count}\n{}", daemon.log());
    }
    clock::sleep_ms(200);
    assert!(daemon.is_running(), "{}", daemon.log());
    let timeline = watch.timeline(VIP).unwrap();
    assert_eq!((timeline.acquisitions("a"), timeline.holders().len()), (1, 1), "{timeline}");
    assert_eq!(reloads(&daemon), 3, "{}", daemon.log());
}

fn json_logs_are_one_object_a_line() {
    let lab = Lab::pair("json").unwrap();
    let watch = AddressWatch::start(&lab, &["a"]).unwrap();
    let file = lab.host("a").file("json.yaml");
    fs::write(&file, yaml("json", &[Instance::v3(150, "100ms")])).unwrap();
    let arguments = ["run", "--config", &file.to_string_lossy(), "--log-format", "json"];
    let mut daemon = lab.host("a").spawn("json", &binary().unwrap(), &arguments).unwrap();
    watch.wait_for_holder(VIP, "a", LIMIT).unwrap();
    daemon.terminate();
    assert!(daemon.wait(LIMIT).is_some());
    let log = daemon.log();
    let mut transitions = 0;
    for line in log.lines() {
        let Ok(serde_json::Value::Object(object)) = serde_json::from_str(line) else {
            panic!("no JSON object: {line:?} in\n{log}")
        };
        for key in ["timestamp", "level", "message"] {
            assert!(object.contains_key(key), "{key} is missing in {line}");
        }
        let text = object["message"].as_str().unwrap_or_default();
        transitions += usize::from(text.contains("BACKUP -> MASTER"));
    }
    assert_eq!(transitions, 1, "one line per transition:\n{log}");
    assert_eq!(lab.host("a").address(), Ipv4Addr::new(10, 99, 0, 1));
}
