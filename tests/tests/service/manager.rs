//! What a service manager hears (sd_notify), on a socket as it would make one.

use std::{
    fs,
    net::Ipv4Addr,
    os::unix::net::UnixDatagram,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use rustix::process::Signal;
use vrrp_lab::{
    Daemon, Instance, Lab, Process, Requirement,
    clock::{self, now_ns},
    daemon::{binary, socket, with_control, yaml},
    harness::Test,
    tests,
};

const VIP: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 200);
const LIMIT: Duration = Duration::from_secs(15);

pub(crate) fn tests() -> Vec<Test> {
    tests![[Requirement::Lab, Requirement::Daemon];
        it_is_ready_alive_reloading_and_stopping_when_it_says_so,
        a_frozen_daemon_gives_no_sign_of_life,
        a_long_hand_over_is_asked_time_for,
        an_interface_that_is_replaced_ends_no_service,
        it_runs_the_same_where_nobody_listens,
    ]
}

/// The manager's end.
struct Manager {
    socket: UnixDatagram,
    heard: Vec<String>,
}

impl Manager {
    fn listen(path: &Path) -> Self {
        let socket = UnixDatagram::bind(path).unwrap();
        socket.set_nonblocking(true).unwrap();
        Self { socket, heard: Vec::new() }
    }

    fn hear(&mut self) {
        let mut buffer = [0; 4096];
        while let Ok(length) = self.socket.recv(&mut buffer) {
            self.heard.push(String::from_utf8(buffer[..length].to_vec()).unwrap());
        }
    }

    /// Waits until something with this in it has come, and forgets all up to there.
    fn wait_for(&mut self, words: &str, log: &dyn Fn() -> String) -> String {
        let mut found = None;
        let came = clock::wait_until(LIMIT, || {
            self.hear();
            found = self.heard.iter().position(|message| message.contains(words));
            found.is_some()
        });
        assert!(came, "{words:?} never came, only {:?}\n{}", self.heard, log());
        self.heard.drain(..=found.unwrap()).next_back().unwrap()
    }
}

struct Site {
    process: Process,
    config: PathBuf,
    manager: Manager,
    lab: Lab,
}

/// The daemon on host `a`, told of the socket and of a watchdog.
fn start(name: &str, watchdog_us: u64) -> Site {
    start_with(name, watchdog_us, Instance::v3(100, "100ms"))
}

fn start_with(name: &str, watchdog_us: u64, instance: Instance) -> Site {
    let lab = Lab::pair(name).unwrap();
    let host = lab.host("a");
    let path = host.file("notify");
    let manager = Manager::listen(&path);
    let config = host.file("vrrp.yaml");
    fs::write(&config, with_control(host, &yaml("a", &[instance]))).unwrap();
    let program = binary().unwrap();
    let (notify, watchdog) =
        (format!("NOTIFY_SOCKET={}", path.display()), format!("WATCHDOG_USEC={watchdog_us}"));
    let arguments =
        [&notify, &watchdog, &*program.to_string_lossy(), "run", "--config", &config.to_string_lossy()];
    let process = host.spawn("vrrp", Path::new("/usr/bin/env"), &arguments).unwrap();
    Site { process, config, manager, lab }
}

fn it_is_ready_alive_reloading_and_stopping_when_it_says_so() {
    let Site { mut process, config, mut manager, lab } = start("notify", 3_000_000);
    let host = lab.host("a");
    let file = process.log_file();
    let log = || fs::read_to_string(&file).unwrap();
    let ready = manager.wait_for("READY=1", &log);
    assert!(ready.contains("\nSTATUS=VI_1 "), "{ready:?}");
    assert!(log().contains("adverts are received by"), "ready before it can hear:\n{}", log());
    manager.wait_for("STATUS=VI_1 MASTER", &log);
    let first = now_ns();
    for _ in 0..3 {
        manager.wait_for("WATCHDOG=1", &log);
    }
    let every = Duration::from_nanos((now_ns() - first) / 2);
    assert!(every < Duration::from_millis(2_500), "a sign of life each {every:?} for a watchdog of 3 s");

    let reload = |text: &str| {
        fs::write(&config, with_control(host, text)).unwrap();
        Command::new(binary().unwrap()).arg("reload").arg("--socket").arg(socket(host)).output().unwrap()
    };
    assert!(reload(&yaml("a", &[Instance::v3(110, "100ms")])).status.success());
    let reloading = manager.wait_for("RELOADING=1", &log);
    let stamp: u64 = reloading.split_once("MONOTONIC_USEC=").unwrap().1.parse().unwrap();
    assert!(now_ns() / 1_000 - stamp < 10_000_000, "{reloading}");
    manager.wait_for("READY=1", &log);
    assert!(!reload("nonsense").status.success());
    manager.wait_for("RELOADING=1", &log);
    manager.wait_for("READY=1", &log);
    process.signal(Signal::HUP);
    manager.wait_for("RELOADING=1", &log);
    manager.wait_for("READY=1", &log);

    process.terminate();
    manager.wait_for("STOPPING=1", &log);
    let status = process.wait(LIMIT).unwrap();
    assert!(status.success() && !host.holds(VIP).unwrap(), "{status}\n{}", log());
}

/// No server is there to be handed over; what is asked for goes by the file.
fn a_long_hand_over_is_asked_time_for() {
    let role = "{ socket: /nowhere/mysqld.sock, user: vrrp, handover_timeout: 50s }";
    let instance = Instance::v3(100, "100ms").with("role: manage").with(&format!("mysql: {role}"));
    // The lab lives as long as its folder is read.
    let Site { mut process, mut manager, lab: _lab, .. } = start_with("longer", 30_000_000, instance);
    let file = process.log_file();
    let log = || fs::read_to_string(&file).unwrap();
    manager.wait_for("READY=1", &log);
    process.terminate();
    let stopping = manager.wait_for("STOPPING=1", &log);
    let asked = stopping.lines().find_map(|line| line.strip_prefix("EXTEND_TIMEOUT_USEC=")).unwrap();
    let asked = Duration::from_micros(asked.parse().unwrap());
    assert!(asked > Duration::from_secs(52), "{stopping:?}");
    assert!(process.wait(LIMIT).unwrap().success(), "{}", log());
}

fn an_interface_that_is_replaced_ends_no_service() {
    let Site { mut process, mut manager, lab, .. } = start("replaced", 30_000_000);
    let host = lab.host("a");
    let file = process.log_file();
    let log = || fs::read_to_string(&file).unwrap();
    manager.wait_for("STATUS=VI_1 MASTER", &log);
    host.namespace().ip(&["link", "del", "dev", "eth0"]).unwrap();
    clock::sleep_ms(700);
    let peer = ["peer", "name", "eth0", "address", "02:00:0a:63:00:01", "netns", host.namespace().name()];
    let ways = [&["link", "add", "name", "a", "type", "veth"], peer.as_slice()].concat();
    lab.bridge().ip(&ways).unwrap();
    lab.bridge().ip(&["link", "set", "dev", "a", "master", "br0", "up"]).unwrap();
    host.namespace().ip(&["address", "add", "10.99.0.1/24", "dev", "eth0"]).unwrap();
    host.namespace().ip(&["link", "set", "dev", "eth0", "up"]).unwrap();
    let mut heard = Vec::new();
    let came = clock::wait_until(LIMIT, || {
        manager.hear();
        heard.append(&mut manager.heard);
        heard.iter().any(|message| message.contains("READY=1")) && host.holds(VIP).unwrap()
    });
    assert!(came && log().contains("starting over"), "{heard:?}\n{}", log());
    assert!(!heard.iter().any(|message| message.contains("STOPPING=1")), "{heard:?}");
    process.terminate();
    manager.wait_for("STOPPING=1", &log);
}

fn a_frozen_daemon_gives_no_sign_of_life() {
    let Site { mut process, mut manager, lab, .. } = start("frozen", 1_500_000);
    let file = process.log_file();
    let log = || fs::read_to_string(&file).unwrap();
    manager.wait_for("STATUS=VI_1 MASTER", &log);
    manager.wait_for("WATCHDOG=1", &log);
    process.freeze();
    clock::sleep_ms(100);
    manager.hear();
    manager.heard.clear();
    clock::sleep_ms(3_000);
    manager.hear();
    assert_eq!(manager.heard, Vec::<String>::new());
    assert!(!lab.host("a").holds(VIP).unwrap(), "the guard has acted long before");
    process.thaw();
    manager.wait_for("WATCHDOG=1", &log);
}

fn it_runs_the_same_where_nobody_listens() {
    let lab = Lab::pair("unheard").unwrap();
    let host = lab.host("a");
    let config = host.file("vrrp.yaml");
    fs::write(&config, with_control(host, &yaml("a", &[Instance::v3(100, "100ms")]))).unwrap();
    let program = binary().unwrap().to_string_lossy().into_owned();
    let arguments = [
        "NOTIFY_SOCKET=/nowhere/notify",
        "WATCHDOG_USEC=1000000",
        &program,
        "run",
        "--config",
        &config.to_string_lossy(),
    ];
    let mut process = host.spawn("vrrp", Path::new("/usr/bin/env"), &arguments).unwrap();
    assert!(clock::wait_until(LIMIT, || host.holds(VIP).unwrap()), "{}", process.log());
    process.terminate();
    assert!(process.wait(LIMIT).unwrap().success(), "{}", process.log());

    // Plain supervision: no manager at all.
    let mut plain = Daemon::start(host, &[Instance::v3(100, "100ms")]).unwrap();
    assert!(clock::wait_until(LIMIT, || host.holds(VIP).unwrap()), "{}", plain.log());
    plain.stop().unwrap();
}
