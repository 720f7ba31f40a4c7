//! Checks: scripts that are tracked, and local servers of `virtual_server`.

use super::*;
use Grade::{Error, Ignored, Warning};

fn server(inside: &str) -> String {
    format!("{}virtual_server 10.0.0.9 3306 {{\n{inside}\n}}\n", instance(""))
}

#[test]
fn a_tracked_script_becomes_a_check_with_its_timings() {
    let script = "vrrp_script chk {\nscript \"/usr/bin/check -x 'a b'\" # how\ninterval 3\ntimeout 2\nweight -20 # less\n\
                  rise 2\nfall 3\nuser nobody\ninit_fail\n}\n";
    let yaml = draft(&format!("{script}{}", instance("track_script {\nchk # why\n}")));
    assert!(
        yaml.ends_with(
            "    checks:\n      - name: chk # why\n        script:\n          command: \"/usr/bin/check -x 'a b'\" # how\n          \
             timeout: 2s\n          user: nobody\n          init_fail: true\n        interval: 3s\n        rise: 2\n        \
             fall: 3\n        on_failure: { weight: -20 } # less\n"
        ),
        "{yaml}"
    );
}

#[test]
fn weights_are_those_of_the_line_that_tracks_or_of_the_script() {
    let script = "vrrp_script chk {\nscript killall\nuser a\nweight 7\n}\n";
    for (line, expected) in [
        ("chk", "on_failure: { weight: 7 }"),
        ("chk weight -3", "on_failure: { weight: -3 }"),
        ("chk weight +3 no_reverse", "on_failure: { weight: 3 }"),
        // FAULT.
        ("chk weight 0", "on_failure: release"),
    ] {
        let yaml = draft(&format!("{script}{}", instance(&format!("track_script {{\n{line}\n}}"))));
        assert!(yaml.contains(expected), "{line}\n{yaml}");
        assert!(yaml.contains("command: \"/usr/bin/env killall\""), "{yaml}");
        assert!(yaml.contains("interval: 1s"), "{yaml}");
    }
}

#[test]
fn what_cannot_be_tracked_is_said() {
    for (script, line, grade, place, what) in [
        ("script /x\nuser a", "chk weight 5 reverse", Error, 10, "track_script"),
        ("script /x\nweight 5 reverse", "chk", Error, 3, "track_script"),
        ("script /x", "other", Warning, 9, "track_script"),
        ("interval 2", "chk", Warning, 1, "vrrp_script"),
        ("script \"/x | /y\"\nuser a", "chk", Warning, 2, "script"),
        ("script /x", "chk", Warning, 2, "script"),
        ("script /x\nuser a\nwhat 5", "chk", Warning, 4, "what"),
    ] {
        let text = format!(
            "vrrp_script chk {{\n{script}\n}}\n{}",
            instance(&format!("track_script {{\n{line}\n}}"))
        );
        let imported = imported(&text);
        assert!(findings(&imported).contains(&(grade, place, what)), "{text}\n{}", imported.report);
    }
}

#[test]
fn nopreempt_with_a_weight_is_the_trap_that_is_named() {
    let script = "vrrp_script chk {\nscript /x\nuser a\nweight -20\n}\n";
    let imported = imported(&format!("{script}{}", instance("nopreempt\ntrack_script {\nchk\n}")));
    let said = imported.report.findings();
    let trap = said.iter().find(|found| found.what == "weight" && found.grade == Warning).unwrap();
    assert_eq!(trap.place.line(), 4);
    assert!(trap.why.contains("never moves the address together with nopreempt"), "{}", trap.why);
}

#[test]
fn settings_are_inherited_and_defaults_are_keepalived_s() {
    let tcp = |inside: &str| {
        let yaml = draft(&server(inside));
        let start = yaml.find("        tcp: ").unwrap();
        yaml[start..].lines().take(2).map(str::trim).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(
        tcp("real_server 127.0.0.1 3307 {\nTCP_CHECK {\n}\n}"),
        "tcp: { address: 127.0.0.1, port: 3307, connect_timeout: 5s, retries: 1, retry_delay: 1s } interval: 60s"
    );
    assert_eq!(
        tcp(
            "delay_loop 2\nretry 5\nconnect_timeout 4\nreal_server 127.0.0.1 {\nretry 0\nTCP_CHECK {\nconnect_ip 10.1.1.1\n}\n}"
        ),
        "tcp: { address: 10.1.1.1, port: 3306, connect_timeout: 4s, retries: 0 } interval: 2s"
    );
    assert_eq!(
        tcp(
            "real_server 127.0.0.1 3306 {\nTCP_CHECK {\nnb_get_retry 3\ndelay_before_retry 1.5\nconnect_port 99\n}\n}"
        ),
        "tcp: { address: 127.0.0.1, port: 99, connect_timeout: 5s, retries: 3, retry_delay: 1500ms } interval: 60s"
    );
}

#[test]
fn a_script_check_keeps_its_path_user_and_timeout() {
    let yaml = draft(&server(
        "delay_loop 4\nreal_server 127.0.0.1 3306 {\nMISC_CHECK {\nmisc_path \"/opt/check.sh a\"\nmisc_timeout 3\nuser mysql\n}\n}",
    ));
    let expected = "      - name: check.sh\n        script: { command: \"/opt/check.sh a\", timeout: 3s, user: mysql }\n        \
                    interval: 4s\n        on_failure: report\n";
    assert!(yaml.contains(expected), "{yaml}");
    let text = server(
        "delay_loop 4\nreal_server 127.0.0.1 3306 {\nMISC_CHECK {\nmisc_path /x\nretry 2\nuser a\n}\n}",
    );
    assert!(draft(&text).contains("fall: 3\n"), "{}", draft(&text));
    assert!(findings(&imported(&text)).contains(&(Warning, 12, "retry")));
}

#[test]
fn what_happens_on_failure_is_what_the_script_did() {
    let files = |script: &str| {
        let down = "real_server 127.0.0.1 3306 {\nnotify_down \"/opt/down.sh 5\" # tell\nTCP_CHECK {\n}\n}";
        let files = Memory::default().with(FILE, server(down));
        if script.is_empty() { files } else { files.with("/opt/down.sh", script) }
    };
    let run = "notify_down: \"/opt/down.sh 5\" # tell\n";
    for (script, reaction, still_runs) in [
        ("#!/bin/sh\npkill keepalived\n", "on_failure: release # tell\n", false),
        ("#!/bin/sh\nlogger gone\nsystemctl stop keepalived\n", "on_failure: release\n", true),
        ("#!/bin/sh\nmail root\n", "on_failure: report\n", true),
        ("", "on_failure: release\n", true),
    ] {
        let yaml = draft_of(&files(script), &[]);
        assert!(yaml.contains(reaction), "{script}\n{yaml}");
        assert_eq!(yaml.contains(run), still_runs, "{script}\n{yaml}");
        let imported = with(files(script), &Options::default());
        assert!(findings(&imported).contains(&(Warning, 9, "notify_down")), "{script}\n{}", imported.report);
    }
}

#[test]
fn servers_elsewhere_are_not_supported_and_a_sole_one_is_taken_for_local() {
    let two = server(
        "real_server 10.0.0.1 3306 {\nTCP_CHECK {\n}\n}\nreal_server 10.0.0.2 3306 {\nTCP_CHECK {\n}\n}",
    );
    let local = ["10.0.0.2".parse().unwrap()];
    let options = Options { local: local.to_vec(), ..Options::default() };
    let imported = with(Memory::default().with(FILE, two.as_str()), &options);
    assert!(findings(&imported).contains(&(Error, 8, "real_server")), "{}", imported.report);
    let yaml = draft_of(&Memory::default().with(FILE, two.as_str()), &["10.0.0.2"]);
    assert!(yaml.contains("address: 10.0.0.2") && !yaml.contains("address: 10.0.0.1"), "{yaml}");

    let nobody = super::imported(&two);
    let elsewhere = findings(&nobody);
    assert!(
        elsewhere.contains(&(Error, 8, "real_server")) && elsewhere.contains(&(Error, 12, "real_server"))
    );

    let sole = server("real_server 10.0.0.7 3306 {\nTCP_CHECK {\n}\n}");
    assert!(draft(&sole).contains("address: 10.0.0.7"));
    assert!(findings(&super::imported(&sole)).contains(&(Warning, 8, "real_server")));
}

/// The standby would ask the active host's server, and die with it.
#[test]
fn a_check_of_a_virtual_address_is_left_out_and_said_also_of_another_instance_s() {
    let two = format!(
        "{}vrrp_instance B {{\ninterface eth0\nvirtual_router_id 5\nvirtual_ipaddress {{ 10.0.0.5 }}\n}}\n",
        instance("")
    );
    let down = "notify_down \"/usr/bin/pkill keepalived\"";
    for (server, checker, place) in [
        ("10.0.0.9", "", (Error, 13, "real_server")),
        ("127.0.0.1", "connect_ip 10.0.0.9\n", (Error, 16, "connect_ip")),
        ("127.0.0.1", "connect_ip 10.0.0.5\n", (Error, 16, "connect_ip")),
    ] {
        let text = format!(
            "{two}virtual_server 10.0.0.9 80 {{\nreal_server {server} 80 {{\n{down}\nTCP_CHECK {{\n{checker}}}\nTCP_CHECK \
             {{\nconnect_ip 127.0.0.1\nconnect_port 81\n}}\n}}\n}}\n"
        );
        let imported = imported(&text);
        assert!(findings(&imported).contains(&place), "{text}\n{}", imported.report);
        let said = imported.report.findings().iter().find(|found| found.grade == Error).unwrap();
        assert!(
            said.why.contains("all hosts see the same server") && said.why.ends_with("(left out)"),
            "{}",
            said.why
        );
        let config = parsed(imported.yaml.as_deref().unwrap()).config;
        let checks: Vec<usize> = config.instances.iter().map(|instance| instance.checks.len()).collect();
        assert_eq!(checks, [1, 0], "{text}\n{}", imported.report);
        // What only tells somebody moves nothing, and stays.
        let report = imported_yaml(&text.replace(down, ""));
        assert_eq!(parsed(&report).config.instances[0].checks.len(), 2, "{report}");
    }
}

fn imported_yaml(text: &str) -> String {
    imported(text).yaml.unwrap()
}

#[test]
fn what_is_only_about_balancing_is_left_out_and_listed() {
    let text = server(
        "lb_algo rr\nlb_kind DR\nprotocol TCP\nsorry_server 10.0.0.3 80\nreal_server 127.0.0.1 80 {\nweight 1\nHTTP_GET {\n}\n}",
    );
    let imported = imported(&text);
    let said = findings(&imported);
    for expected in [
        (Ignored, 8, "lb_algo"),
        (Ignored, 9, "lb_kind"),
        (Ignored, 10, "protocol"),
        (Error, 11, "sorry_server"),
        (Ignored, 13, "weight"),
        (Error, 14, "HTTP_GET"),
    ] {
        assert!(said.contains(&expected), "{expected:?}\n{}", imported.report);
    }
    for head in ["virtual_server fwmark 3", "virtual_server group g", "virtual_server"] {
        let imported = super::imported(&format!("{}{head} {{\n}}\n", instance("")));
        assert!(findings(&imported).contains(&(Error, 7, "virtual_server")), "{head}");
    }
}

#[test]
fn a_server_belongs_to_the_instance_that_has_its_address() {
    let two = format!(
        "{}vrrp_instance B {{\ninterface eth0\nvirtual_router_id 5\nvirtual_ipaddress {{ 10.0.0.5 }}\n}}\n",
        instance("")
    );
    let check = "{\nreal_server 127.0.0.1 80 {\nTCP_CHECK {\n}\n}\n}\n";
    let yaml = draft(&format!("{two}virtual_server 10.0.0.5 80 {check}"));
    assert!(yaml.find("name: B").unwrap() < yaml.find("checks:").unwrap(), "{yaml}");
    let lost = imported(&format!("{two}virtual_server 10.0.0.77 80 {check}"));
    assert!(findings(&lost).contains(&(Error, 12, "virtual_server")), "{}", lost.report);
}

#[test]
fn checks_of_one_name_are_told_apart() {
    let check = "TCP_CHECK {\n}\nTCP_CHECK {\n}\n";
    let yaml = draft(&server(&format!("real_server 127.0.0.1 80 {{\n{check}}}")));
    assert!(yaml.contains("name: tcp-80\n") && yaml.contains("name: tcp-80-2\n"), "{yaml}");
}

/// Becomes right by itself when the parser learns the key.
#[test]
fn checks_are_written_as_soon_as_the_parser_takes_them() {
    let text = server("delay_loop 2\nreal_server 127.0.0.1 80 {\nTCP_CHECK {\n}\n}");
    let imported = imported(&text);
    let yaml = imported.yaml.as_deref().unwrap();
    let is_written = knows("checks: [{ tcp: { port: 80 } }]");
    assert_eq!(yaml.contains("checks:"), is_written, "{yaml}");
    assert_eq!(
        findings(&imported).iter().any(|(grade, _, _)| *grade == Error),
        !is_written,
        "{}",
        imported.report
    );
}

#[test]
fn scripts_of_transitions_keep_command_and_user() {
    let yaml = draft(&format!(
        "global_defs {{\nscript_user ops\n}}\n{}",
        instance("notify_master \"/opt/m.sh a\" # up\nnotify_backup /opt/b.sh bob staff\nnotify /opt/any.sh")
    ));
    let expected = "    notify:\n      master: { command: \"/opt/m.sh a\", user: ops } # up\n      backup: { command: \
                    \"/opt/b.sh\", user: bob }\n      any: { command: \"/opt/any.sh\", user: ops }\n";
    assert!(yaml.contains(expected), "{yaml}");
}

#[test]
fn notifications_are_carried_over_and_mean_the_same() {
    let text = format!(
        "global_defs {{\nnotification_email {{\nroot@localhost\n}}\nsmtp_server 10.0.0.25 2525\nsmtp_helo_name db1\n\
         vrrp_notify_fifo /run/ha.fifo # read by ha\nscript_user nobody\n}}\n{}",
        instance("notify_master \"/opt/m.sh a\"\nnotify /opt/any.sh\nnotify_stop /opt/s.sh root\nsmtp_alert")
    );
    let imported = imported(&text);
    let yaml = imported.yaml.as_deref().unwrap();
    let config = parsed(yaml).config;
    assert_eq!(config.notify.fifo.as_deref(), Some(Path::new("/run/ha.fifo")), "{yaml}");
    let mail = config.mail.unwrap();
    assert_eq!(
        (mail.to.as_slice(), mail.server.as_str(), mail.port),
        (["root@localhost".to_owned()].as_slice(), "10.0.0.25", 2525)
    );
    let notify = config.instances[0].notify.as_ref().unwrap();
    let master = notify.scripts.master.as_ref().unwrap();
    assert_eq!(
        (master.line.arguments.as_slice(), master.user.as_deref()),
        (["a".to_owned()].as_slice(), Some("nobody"))
    );
    assert_eq!(notify.scripts.stop.as_ref().unwrap().user.as_deref(), Some("root"));
    assert!(notify.scripts.any.is_some() && notify.scripts.backup.is_none());
    assert_eq!(notify.mail.as_deref(), Some(Topic::ALL.as_slice()), "{yaml}");
    assert!(!findings(&imported).iter().any(|(grade, _, _)| *grade == Error), "{}", imported.report);
}
