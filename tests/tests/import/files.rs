//! What `vrrp import` makes of files, and that `vrrp check` takes it.

use std::{fs, net::Ipv4Addr};

use vrrp_lab::{Lab, Requirement, harness::Test, tests};

use super::site::{SCRIPT, folder, published, vrrp};

pub(crate) fn tests() -> Vec<Test> {
    use Requirement::{Daemon, Lab};
    tests![[Lab, Daemon];
        the_recipe_s_files_come_through_with_their_timings,
        scripts_and_servers_become_checks_with_the_same_timings,
    ]
}

fn the_recipe_s_files_come_through_with_their_timings() {
    let lab = Lab::pair("imported").unwrap();
    for (host, local) in [("a", "192.168.1.201"), ("b", "192.168.1.202")] {
        let file = folder(lab.host(host), published(host));
        let yaml = lab.host(host).file("imported.yaml");
        let (from, to) = (file.to_string_lossy(), yaml.to_string_lossy());
        let output = vrrp(&["import", &from, "--local", local, "--output", &to]);
        let report = String::from_utf8(output.stderr).unwrap();
        // The mail of a changed server is the one thing that may be missing.
        let errors = report.lines().filter(|line| line.starts_with("error"));
        let others: Vec<_> = errors.filter(|line| !line.contains("notification_email")).collect();
        assert!(others.is_empty(), "{report}");
        assert!(report.contains("has no closing brace"), "{report}");
        let written = fs::read_to_string(&yaml).unwrap();
        for line in [
            "router_id: MySQL-ha",
            "virtual_router_id: 51",
            "preempt: false",
            "192.168.1.200",
            "port: 3306",
            "connect_timeout: 10s",
            "retries: 3",
            "retry_delay: 3s",
            "interval: 2s",
            "on_failure: release",
        ] {
            assert!(written.contains(line), "{line:?} is not in\n{written}");
        }
        assert!(written.contains(&format!("address: {local}")), "{written}");
        assert!(!written.contains("notify_down"), "what {SCRIPT:?} does is in on_failure:\n{written}");
        let checked = vrrp(&["check", "--config", &to]);
        let said = String::from_utf8_lossy(&checked.stdout).into_owned();
        assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
        assert!(said.contains("VI_1") && said.contains("192.168.1.200/32"), "{said}");

        let again = vrrp(&["import", &from, "--output", &to]);
        assert_eq!(again.status.code(), Some(3), "what is there stays");
        assert_eq!(fs::read_to_string(&yaml).unwrap(), written);
    }
}

fn scripts_and_servers_become_checks_with_the_same_timings() {
    let lab = Lab::pair("converted").unwrap();
    let host = lab.host("a");
    let script = host.file("check.sh");
    fs::write(&script, "#!/bin/sh\nexit 0\n").unwrap();
    let script = script.to_string_lossy();
    let text = format!(
        "vrrp_script chk {{\nscript \"{script} x\"\ninterval 3\ntimeout 2\nweight -20\nrise 2\nfall 3\nuser root\n}}\n\
         vrrp_instance VI_1 {{\ninterface eth0\nvirtual_router_id 51\npriority 100\nadvert_int 1\n\
         track_script {{\nchk\n}}\nvirtual_ipaddress {{\n10.99.0.200\n}}\n}}\n\
         virtual_server 10.99.0.200 3306 {{\ndelay_loop 4\nreal_server 127.0.0.1 3306 {{\nMISC_CHECK {{\n\
         misc_path \"{script} y\"\nmisc_timeout 3\nuser root\n}}\nTCP_CHECK {{\nconnect_timeout 7\nretry 2\n\
         delay_before_retry 1\n}}\n}}\n}}\n"
    );
    let file = folder(host, &text);
    let yaml = host.file("imported.yaml");
    let (from, to) = (file.to_string_lossy(), yaml.to_string_lossy());
    let local = Ipv4Addr::new(10, 99, 0, 1).to_string();
    let output = vrrp(&["import", &from, "--local", &local, "--output", &to]);
    let report = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(matches!(output.status.code(), Some(0 | 1)), "{report}");
    let checked = vrrp(&["check", "--config", &to]);
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    let written = fs::read_to_string(&yaml).unwrap();
    let after = |name: &str| {
        let start = written.find(name).unwrap_or_else(|| panic!("no {name:?} in\n{written}"));
        let rest = &written[start + name.len()..];
        rest.split("- name:").next().unwrap().to_owned()
    };
    let tracked = after("- name: chk");
    for part in ["timeout: 2s", "interval: 3s", "rise: 2", "fall: 3", "weight: -20"] {
        assert!(tracked.contains(part), "{part:?} in\n{tracked}");
    }
    let misc = after("- name: a-check.sh");
    for part in ["timeout: 3s", "interval: 4s", " y\""] {
        assert!(misc.contains(part), "{part:?} in\n{misc}");
    }
    let tcp = after("- name: tcp-3306");
    for part in ["connect_timeout: 7s", "retries: 2", "retry_delay: 1s", "interval: 4s"] {
        assert!(tcp.contains(part), "{part:?} in\n{tcp}");
    }
}
