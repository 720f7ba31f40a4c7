//! The unit: understood by systemd, narrow, and not narrower than the daemon needs.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use vrrp_lab::{
    Capture, Instance, Lab, Requirement, clock,
    daemon::{binary, socket, with_control, yaml},
    frame::Advert,
    harness::Test,
    lab::Host,
    tests,
};

/// Of `systemd-analyze security`, in tenths: what is left are capabilities and address families that it lives by.
const MOST_EXPOSED: &str = "42";

pub(crate) fn tests() -> Vec<Test> {
    let analyzed = tests![[Requirement::Daemon, Requirement::Tool("systemd-analyze")];
        systemd_understands_it_and_finds_it_narrow,
    ];
    let traced = tests![
        [Requirement::Lab, Requirement::Daemon, Requirement::Tool("systemd-analyze"), Requirement::Tool("strace")];
        no_call_of_the_daemon_is_filtered_away,
    ];
    let confined = tests![[Requirement::Lab, Requirement::Daemon, Requirement::Tool("setpriv")];
        the_capabilities_of_the_unit_are_enough,
    ];
    [analyzed, traced, confined].concat()
}

fn unit() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/vrrp.service")
}

fn analyze(arguments: &[&str]) -> String {
    let output = Command::new("systemd-analyze").args(arguments).output().unwrap();
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "systemd-analyze {arguments:?}:\n{said}");
    said
}

fn systemd_understands_it_and_finds_it_narrow() {
    let folder = std::env::temp_dir().join(format!("vrrp-unit-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    // The commands must be there: those of the build.
    let text = fs::read_to_string(unit()).unwrap();
    let built = text.replace("/usr/bin/vrrp", &binary().unwrap().to_string_lossy());
    let copy = folder.join("vrrp.service");
    fs::write(&copy, built).unwrap();
    let copy = copy.to_string_lossy().into_owned();
    let said = analyze(&["verify", "--man=no", &copy]);
    assert_eq!(said.trim(), "", "it complains");
    let said = analyze(&["security", "--offline=true", &format!("--threshold={MOST_EXPOSED}"), &copy]);
    println!("{}", said.lines().last().unwrap_or_default());
    fs::remove_dir_all(&folder).unwrap();
    for line in ["Type=notify", "KillMode=process", "Restart=always", "RestartPreventExitStatus=2"] {
        assert!(text.lines().any(|found| found == line), "{line} is not in the unit");
    }
}

/// All calls that a group of the filter stands for.
fn allowed(group: &str, calls: &mut BTreeSet<String>) {
    let said = analyze(&["syscall-filter", "--no-pager", group]);
    for line in said.lines().map(str::trim).filter(|line| !line.starts_with('#') && *line != group) {
        if line.starts_with('@') {
            allowed(line, calls);
        } else if !line.is_empty() {
            calls.insert(line.to_owned());
        }
    }
}

/// One instance with a check of each kind, one of them a script of another user.
fn configure(host: &Host) -> PathBuf {
    let script = host.file("check.sh");
    fs::write(&script, "#!/bin/sh\ntest -e /\n").unwrap();
    fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let checks = format!(
        "checks: [{{ name: s, script: {{ command: {}, user: nobody, timeout: 2s }}, interval: 500ms, on_failure: report }}, \
         {{ name: t, tcp: {{ port: 3306 }}, interval: 500ms, on_failure: report }}, {{ name: m, mysql: {{ address: \
         127.0.0.1, user: nobody, password: x }}, on_failure: report }}]",
        script.display()
    );
    let config = host.file("vrrp.yaml");
    let instances = [Instance::v3(100, "100ms").with(&checks)];
    fs::write(&config, with_control(host, &yaml("a", &instances))).unwrap();
    config
}

fn no_call_of_the_daemon_is_filtered_away() {
    let text = fs::read_to_string(unit()).unwrap();
    let filter = text.lines().find_map(|line| line.strip_prefix("SystemCallFilter=")).unwrap();
    let mut calls = BTreeSet::new();
    for word in filter.split_whitespace() {
        if word.starts_with('@') {
            allowed(word, &mut calls);
        } else {
            calls.insert(word.to_owned());
        }
    }
    let lab = Lab::pair("filter").unwrap();
    let host = lab.host("a");
    let config = configure(host);
    let (trace, program) = (host.file("trace"), binary().unwrap());
    let (trace_name, program, config) =
        (trace.to_string_lossy(), program.to_string_lossy(), config.to_string_lossy());
    let arguments = ["-f", "-qq", "-o", &trace_name, &program, "run", "--config", &config];
    let mut process = host.spawn("strace", Path::new("/usr/bin/strace"), &arguments).unwrap();
    let ours = "10.99.0.200".parse().unwrap();
    assert!(
        clock::wait_until(Duration::from_secs(30), || host.holds(ours).unwrap()),
        "no address under strace:\n{}",
        process.log()
    );
    let socket = socket(host);
    for arguments in [["status"], ["reload"]] {
        let output = Command::new(&*program).args(arguments).arg("--socket").arg(&socket).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    clock::sleep_ms(2_000);
    // The guard's way, too: what is killed are the traced ones, not the tracer.
    let tree = process.tree();
    let daemon = tree.iter().find(|id| {
        fs::read_to_string(format!("/proc/{id}/cmdline"))
            .is_ok_and(|line| line.contains("\0run\0") && !line.contains("strace"))
    });
    let daemon = i32::try_from(*daemon.unwrap()).ok().and_then(rustix::process::Pid::from_raw).unwrap();
    rustix::process::kill_process(daemon, rustix::process::Signal::KILL).unwrap();
    process.wait(Duration::from_secs(10));
    let text = fs::read_to_string(&trace).unwrap();
    let used: BTreeSet<String> = text
        .lines()
        .filter_map(|line| {
            let call = line.split_whitespace().nth(1)?.split_once('(')?.0;
            call.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_').then(|| call.to_owned())
        })
        .collect();
    println!("{} different calls", used.len());
    assert!(used.len() > 50 && used.contains("bpf") && used.contains("sendmmsg"), "{used:?}");
    let beyond: Vec<_> = used.difference(&calls).collect();
    assert!(beyond.is_empty(), "the unit's filter does not let through {beyond:?}");
}

/// Root as systemd would leave it: the bounding set of the unit, and no new privileges.
fn the_capabilities_of_the_unit_are_enough() {
    let text = fs::read_to_string(unit()).unwrap();
    let bounding = text.lines().find_map(|line| line.strip_prefix("CapabilityBoundingSet=")).unwrap();
    let kept = bounding
        .split_whitespace()
        .map(|name| format!(",+{}", name.trim_start_matches("CAP_").to_lowercase()));
    let kept = format!("--bounding-set=-all{}", kept.collect::<String>());
    let lab = Lab::pair("confined").unwrap();
    let host = lab.host("a");
    let capture = Capture::start(&lab, &["a"]).unwrap();
    let (program, config) = (binary().unwrap(), configure(host));
    let (program, config) = (program.to_string_lossy(), config.to_string_lossy());
    let arguments = [&kept, "--no-new-privs", &program, "run", "--config", &config];
    let mut process = host.spawn("confined", Path::new("/usr/bin/setpriv"), &arguments).unwrap();
    let ours = "10.99.0.200".parse().unwrap();
    let holds = || host.holds(ours).unwrap();
    assert!(clock::wait_until(Duration::from_secs(15), holds), "no address:\n{}", process.log());
    clock::sleep_ms(1_500);
    let log = process.log();
    assert!(log.contains("adverts are received by xdp"), "{log}");
    for complaint in [
        "not permitted",
        "ermission denied",
        "real-time",
        "SCHED_FIFO",
        "lock memory",
        "misconfigured: cannot",
    ] {
        assert!(!log.contains(complaint), "{complaint:?} in\n{log}");
    }
    // A script that ran as nobody, and ended well: no change to tell.
    assert!(!log.contains("check s:"), "{log}");
    let killed = clock::now_ns();
    process.kill();
    // The kernel would end the address's lifetime without any guard; priority 0 is nobody else's.
    let released = capture.wait_for(Duration::from_secs(15), |record| {
        record.time_ns > killed && record.advert().is_some_and(Advert::is_release)
    });
    assert!(released.is_some(), "the guard cannot act:\n{}", process.log());
    assert!(!host.holds(ours).unwrap(), "priority 0 with the address on:\n{}", process.log());
}
