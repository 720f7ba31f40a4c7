//! Ports and scripts, and what follows from them.

use std::{fs, net::TcpListener, path::PathBuf, time::Duration};

use vrrp_lab::{Lab, Requirement, clock, harness::Test, lab::Host, tests};

use super::site::{Site, VIP};

pub(crate) fn tests() -> Vec<Test> {
    use Requirement::{Daemon, Lab};
    tests![[Lab, Daemon];
        a_closed_port_costs_the_address_after_its_retries,
        a_script_decides_and_one_that_hangs_is_killed,
        a_weight_moves_the_address_and_brings_it_back,
        a_check_that_only_reports_moves_nothing,
        a_script_that_cannot_run_moves_nothing,
    ]
}

/// Listens in the namespace of that host.
fn listen(host: &Host, port: u16) -> TcpListener {
    host.namespace().enter(|| TcpListener::bind(("127.0.0.1", port))).unwrap().unwrap()
}

fn script(host: &Host, name: &str, body: &str) -> PathBuf {
    let path = host.file(name);
    fs::write(&path, format!("#!/bin/sh\n{body}\n")).unwrap();
    fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    path
}

fn a_closed_port_costs_the_address_after_its_retries() {
    let lab = Lab::pair("port").unwrap();
    let listeners = ["a", "b"].map(|host| listen(lab.host(host), 3306));
    let (down, up) = (lab.host("a").file("down"), lab.host("a").file("up"));
    let told = |name: &str, out: &PathBuf| {
        let body = format!("echo $VRRP_INSTANCE $VRRP_CHECK $VRRP_VERDICT $1 > {}", out.display());
        script(lab.host("a"), name, &body)
    };
    let (on_down, on_up) = (told("on-down", &down), told("on-up", &up));
    let check = format!(
        "{{ name: mysql-port, tcp: {{ port: 3306, connect_timeout: 10s, retries: 3, retry_delay: 100ms }}, interval: 200ms, \
         rise: 2, notify_down: \"{} x\", notify_up: {} }}",
        on_down.display(),
        on_up.display()
    );
    let site = Site::start(lab, &check, &check);
    clock::sleep_ms(500);
    let closed = clock::now_ns();
    let [a, _b] = listeners;
    drop(a);
    let until_advert = site.until_advert("b", closed);
    println!("b is master {until_advert:?} after the port was closed");
    assert!(until_advert >= Duration::from_millis(300), "three retries, 100 ms apart: {until_advert:?}");
    site.wait_for("b");
    site.wait_for_line("a", "check mysql-port: healthy -> dead: connect to 127.0.0.1:3306: ");
    site.wait_for_line("a", "; giving the addresses up");
    site.wait_until("the notification ran", || {
        fs::read_to_string(&down).is_ok_and(|text| text == "VI_1 mysql-port dead x\n")
    });
    let _again = listen(site.lab.host("a"), 3306);
    site.wait_for_line("a", "dead -> healthy");
    site.wait_until("the notification ran", || {
        fs::read_to_string(&up).is_ok_and(|text| text == "VI_1 mysql-port healthy\n")
    });
    clock::sleep_ms(500);
    assert_eq!(site.watch.holders(VIP).unwrap(), ["b"], "without preemption nothing comes back");
}

fn a_script_decides_and_one_that_hangs_is_killed() {
    let lab = Lab::pair("script").unwrap();
    let (flag, pids) = (lab.host("a").file("hang"), lab.host("a").file("pids"));
    let body =
        format!("[ -e {} ] || exit 0; sleep 1000 & echo $! >> {}; wait", flag.display(), pids.display());
    let path = script(lab.host("a"), "check", &body);
    let check = format!(
        "{{ script: {{ command: {}, timeout: 300ms }}, interval: 200ms, rise: 2, fall: 2 }}",
        path.display()
    );
    let site = Site::start(lab, &check, "");
    fs::write(&flag, "").unwrap();
    site.wait_for("b");
    site.wait_for_line("a", "no end within 300ms; its process group was killed");
    fs::remove_file(&flag).unwrap();
    site.wait_for_line("a", "dead -> healthy");
    let pids = fs::read_to_string(&pids).unwrap();
    assert!(pids.lines().count() >= 2, "{pids}");
    for pid in pids.lines() {
        let gone = || vrrp_lab::process::process_state(pid.parse().unwrap()).is_none_or(|state| state == 'Z');
        site.wait_until("the sleeper is gone", gone);
    }
}

fn a_weight_moves_the_address_and_brings_it_back() {
    let lab = Lab::pair("weight").unwrap();
    let flag = lab.host("a").file("fail");
    let path = script(lab.host("a"), "check", &format!("[ ! -e {} ]", flag.display()));
    let check = format!(
        "{{ name: chk, script: {{ command: {} }}, interval: 100ms, on_failure: {{ weight: -20 }} }}",
        path.display()
    );
    let site = Site::start_with(lab, &check, "", vrrp_lab::Instance::preempting);
    fs::write(&flag, "").unwrap();
    site.wait_for("b");
    site.wait_for_line("a", "check chk: healthy -> dead");
    site.wait_for_line("a", "; priority -20");
    fs::remove_file(&flag).unwrap();
    site.wait_for("a");
}

fn a_check_that_only_reports_moves_nothing() {
    let lab = Lab::pair("report").unwrap();
    let site = Site::start(lab, "{ tcp: { port: 3306 }, interval: 100ms, on_failure: report }", "");
    let began = clock::now_ns();
    site.wait_for_line("a", "check tcp: healthy -> dead");
    clock::sleep_ms(2000);
    site.assert_stayed("a", began);
    assert_eq!(site.a.log().matches("check tcp").count(), 1, "said once:\n{}", site.a.log());
}

fn a_script_that_cannot_run_moves_nothing() {
    let lab = Lab::pair("absent").unwrap();
    let writable = script(lab.host("a"), "writable", "exit 1");
    fs::set_permissions(&writable, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    let checks = format!(
        "{{ name: none, script: {{ command: /nowhere/check }}, interval: 100ms }}, {{ name: open, script: {{ command: {} }}, \
         interval: 100ms }}",
        writable.display()
    );
    let site = Site::start(lab, &checks, "");
    let began = clock::now_ns();
    site.wait_for_line("a", "check none: healthy -> misconfigured");
    site.wait_for_line("a", "can be written by others (mode 0777)");
    clock::sleep_ms(1000);
    site.assert_stayed("a", began);
}
