//! Passwords of a managed server: nowhere in what an operator, a script or another process on the host can see.

use std::{
    fs::{self, Permissions},
    io::{Read as _, Write as _},
    net::{Ipv4Addr, TcpStream},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use mysql::prelude::Queryable as _;
use vrrp_lab::{
    Daemon, Host, Instance, Lab, Requirement, clock,
    daemon::{binary, socket, with_control, yaml},
    harness::Test,
    mysql::{Flavour, Pair, Server, managed},
    tests,
};

use super::duo::{LIMIT, VIP};

/// Of the own account, of the peer's, of the probes', and of the application's.
const SECRETS: [&str; 4] = ["change-me-vrrp", "change-me-peer", "change-me-probe", "app-password"];
/// Where the probes' password comes from. A daemon's own children have it as the daemon has.
const VARIABLE: &str = "LAB_PROBE_PASSWORD";
const METRICS: u16 = 9112;
const PAGE: u16 = 8112;

pub(crate) fn tests() -> Vec<Test> {
    use Requirement::{Daemon, Lab, MariaDb};
    tests![[Lab, Daemon, MariaDb]; passwords_of_a_managed_server_are_shown_nowhere]
}

fn passwords_of_a_managed_server_are_shown_nowhere() {
    let lab = Lab::pair("hidden").unwrap();
    let mut pair = Pair::start(&lab, Flavour::MariaDb).unwrap();
    let mut a = start(&lab, &pair.a, 100, "b");
    wait_until("a holds the address", &a, || lab.host("a").holds(VIP).unwrap());
    let mut b = start(&lab, &pair.b, 90, "a");
    wait_until("the pair is whole", &a, || status(&lab, "a", &[]).contains("the peer follows"));
    look_everywhere(&lab, &a, "a");
    look_everywhere(&lab, &b, "b");

    // What is said of a wrong one: of the peer's account by both, of the own one by who tries to go on and by who starts.
    change_password(&pair, "'vrrp_peer'@'10.99.0.%'");
    wait_until("a may not ask the peer", &a, || a.log().contains("Access denied for user 'vrrp_peer'@"));
    wait_until("nor may b", &b, || status(&lab, "b", &[]).contains("Access denied for user 'vrrp_peer'@"));
    look_everywhere(&lab, &a, "a");
    look_everywhere(&lab, &b, "b");
    change_password(&pair, "'vrrp'@'localhost'");
    wait_until("a may not ask its own", &a, || status(&lab, "a", &[]).contains("the server does not answer"));
    b.restart(lab.host("b")).unwrap();
    wait_until("b may not, either", &b, || b.log().contains("Access denied for user 'vrrp'@"));
    let refused = vrrp(&lab, "a", &["drain", "VI_1"]);
    assert!(refused.contains("VI_1"), "{refused}\n{}", a.log());
    assert_hides("what a refused drain says", &refused);
    look_everywhere(&lab, &a, "a");
    look_everywhere(&lab, &b, "b");

    // It waits for an answer for seconds, in which anybody can look at it.
    pair.a.freeze();
    a.kill();
    let mut seen = Vec::new();
    wait_until("the guard has started somebody for the server", &a, || {
        seen = processes(lab.host("a"));
        seen.iter().any(|(line, _)| line.contains("stand-down"))
    });
    for (line, environment) in &seen {
        assert_hides(line, line);
        assert_hides(line, environment);
    }
    pair.a.thaw();
    assert_hides("the guard's log", &a.log());
}

/// Of that account on both servers, behind the daemons' backs.
fn change_password(pair: &Pair, account: &str) {
    for server in [&pair.a, &pair.b] {
        let mut root = server.connect().unwrap();
        root.query_drop("SET SESSION sql_log_bin = 0").unwrap();
        root.query_drop(format!("SET PASSWORD FOR {account} = PASSWORD('another')")).unwrap();
        let sessions = "SELECT id FROM information_schema.processlist WHERE user IN ('vrrp', 'vrrp_peer')";
        for row in server.rows(sessions).unwrap() {
            // It may have ended by itself meanwhile.
            drop(server.sql(&format!("KILL CONNECTION {}", row["id"])));
        }
    }
}

/// The probes' password comes from the environment, the peer's from a file, the others from the configuration.
fn start(lab: &Lab, server: &Server, priority: u8, other: &str) -> Daemon {
    let (host, peer) = (lab.host(server.host()), lab.host(other).address());
    let (told, file) = (told(host), host.file("peer-password"));
    let notify = write_script(
        host,
        "notify",
        &format!("(env; ps axwwe | grep -v mariadbd; echo \"$@\") > {0}.new; mv {0}.new {0}", told.display()),
    );
    let program = write_script(host, "vrrp-run", &format!("exec {} \"$@\"", binary().unwrap().display()));
    let program_text = fs::read_to_string(&program).unwrap();
    let export = format!("#!/bin/sh\nexport {VARIABLE}={}\n", SECRETS[2]);
    fs::write(&program, program_text.replacen("#!/bin/sh\n", &export, 1)).unwrap();
    fs::write(&file, SECRETS[1]).unwrap();
    fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
    let from_file = format!("password_file: {}", file.display());
    let role = managed::role(server, peer, "").replacen(&format!("password: {}", SECRETS[1]), &from_file, 1);
    let from_environment = format!("password_env: {VARIABLE}");
    let checks =
        managed::checks(server, "").replacen(&format!("password: {}", SECRETS[2]), &from_environment, 1);
    assert!(role.contains(&from_file) && checks.contains(&from_environment), "{role}\n{checks}");
    let instance = Instance::v2(priority).with(&format!("peers: [{peer}]")).with("skew: none");
    let instance = instance.with("role: manage").with(&role).with(&checks);
    let instance = instance.with(&format!(
        "notify: {{ any: {{ command: {0}, user: root }}, health: {{ command: {0}, user: root }} }}",
        notify.display()
    ));
    let text = yaml(host.name(), &[instance])
        + &format!(
            "log: {{ level: debug }}\nmetrics: {{ listen: {METRICS} }}\nstatus_page: {{ listen: {PAGE} }}\n"
        );
    let config = host.file("vrrp.yaml");
    fs::write(&config, with_control(host, &text)).unwrap();
    let daemon = Daemon::start_with_file(host, &program, &config).unwrap();
    wait_until("it listens", &daemon, || daemon.log().contains("-> BACKUP"));
    daemon
}

/// What a notify script saw last.
fn told(host: &Host) -> PathBuf {
    host.file("told")
}

fn write_script(host: &Host, name: &str, body: &str) -> PathBuf {
    let path = host.file(name);
    fs::write(&path, format!("#!/bin/sh\n{body}\n")).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
    path
}

fn look_everywhere(lab: &Lab, daemon: &Daemon, name: &str) {
    let host = lab.host(name);
    let config = daemon.config().to_string_lossy().into_owned();
    let views = [
        ("status", status(lab, name, &[]), "VI_1"),
        ("status --json", status(lab, name, &["--json"]), "VI_1"),
        ("check", run(host, &["check", "--config", &config]), "VI_1"),
        ("metrics", get(host, METRICS, "/metrics"), "vrrp_"),
        ("status page", get(host, PAGE, "/"), "<html"),
        ("what the page shows", get(host, PAGE, "/v1/status"), "VI_1"),
        ("what the page is sent", get(host, PAGE, "/events"), "HTTP/1.1 200"),
        ("log", daemon.log(), "DEBUG"),
    ];
    for (what, shown, known) in &views {
        assert!(shown.contains(known), "{name}: {what} is empty:\n{shown}");
        assert_hides(what, shown);
    }
    let told = told(host);
    wait_until("a script was run", daemon, || {
        fs::read_to_string(&told).is_ok_and(|text| text.contains("VI_1"))
    });
    let told = fs::read_to_string(&told).unwrap();
    let (environment, _) = told.split_once("PID").unwrap();
    assert!(environment.contains("VRRP_INSTANCE="), "{told}");
    assert!(!environment.contains(VARIABLE), "a script has the daemon's environment:\n{environment}");
    assert_hides("a script's environment and process list", &told);
    let seen = processes(host);
    assert!(seen.iter().any(|(line, _)| line.ends_with(" guard")), "{seen:?}");
    for (line, environment) in &seen {
        assert_hides(line, line);
        assert_hides(line, environment);
    }
}

/// Command line and environment of everybody on that host but the database server.
fn processes(host: &Host) -> Vec<(String, String)> {
    let read = |pid: u32, what: &str| {
        let bytes = fs::read(Path::new("/proc").join(pid.to_string()).join(what)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).replace('\0', " ").trim_end().to_owned()
    };
    let all = host.namespace().processes().into_iter();
    let all = all.map(|pid| (read(pid, "cmdline"), read(pid, "environ")));
    all.filter(|(line, _)| !line.contains("--defaults-file")).collect()
}

fn assert_hides(what: &str, shown: &str) {
    let shown = shown.replace(&format!("{VARIABLE}={}", SECRETS[2]), "");
    for secret in SECRETS {
        assert!(!shown.contains(secret), "{what} shows {secret}:\n{shown}");
    }
}

fn status(lab: &Lab, host: &str, arguments: &[&str]) -> String {
    vrrp(lab, host, &[&["status"], arguments].concat())
}

/// At that host's daemon; what was said, well or not.
fn vrrp(lab: &Lab, host: &str, arguments: &[&str]) -> String {
    let socket = socket(lab.host(host)).to_string_lossy().into_owned();
    run(lab.host(host), &[arguments, &["--socket", &socket]].concat())
}

fn run(host: &Host, arguments: &[&str]) -> String {
    let mut command = Command::new("ip");
    command.args(["netns", "exec", host.namespace().name()]).arg(binary().unwrap()).args(arguments);
    let output = command.env(VARIABLE, SECRETS[2]).output().unwrap();
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// All of it, or what comes within a second.
fn get(host: &Host, port: u16, path: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n");
    let work = move || {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let (mut answer, mut block) = (Vec::new(), [0; 4096]);
        let until = clock::now_ns() + clock::SECOND;
        // Of a page's events there is no end.
        while let Ok(length @ 1..) = stream.read(&mut block) {
            answer.extend_from_slice(&block[..length]);
            if path == "/events" && clock::now_ns() > until {
                break;
            }
        }
        String::from_utf8_lossy(&answer).into_owned()
    };
    host.namespace().enter(work).unwrap()
}

fn wait_until(what: &str, daemon: &Daemon, condition: impl FnMut() -> bool) {
    assert!(clock::wait_until(LIMIT, condition), "in vain: waited until {what}\n{}", daemon.log());
}
