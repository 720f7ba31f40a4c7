//! The checks: what each key becomes, what is refused, and the arithmetic of weights.

use super::{RECIPE, parsed, refused};
use crate::config::explain;
use crate::health::secret::Source;
use crate::health::settings::{Check, Kind, MinFree, Mysql, Reaction, Reactions};
use std::num::NonZeroU8;
use std::path::Path;
use std::time::Duration;

const ALL: &str = r#"
    checks:
      - name: mysql-port
        tcp: { address: 127.0.0.1, port: 3306, connect_timeout: 10s, retries: 3, retry_delay: 3s }
        interval: 2s
        rise: 1
        fall: 1
        on_failure: release
        notify_down: "/etc/vrrp/down.sh 'one argument' two"
      - script: { command: "/usr/local/bin/check arg", timeout: 5s, user: nobody, init_fail: true }
        interval: 1s
        rise: 2
        fall: 3
        hold_down: 10s
        on_failure: report
        notify_up: /etc/vrrp/up.sh
      - mysql:
          address: "::1"
          port: 3307
          socket: /run/mysqld/mysqld.sock
          user: vrrp
          password_file: /etc/vrrp/mysql.password
          tls: { ca: /etc/mysql/ca.pem, server_name: db1, verify: true }
          fast: { interval: 20ms, deadline: 100ms, fall: 5 }
          login: { user: probe, password_env: PROBE_PASSWORD, interval: 500ms, deadline: 2s }
          state: { interval: 2s, deadline: 500ms, max_lag: 30s }
          write: { interval: 3s, deadline: 4s, table: ha.beat_1, min_free: 10GiB }
          process: false
        rise: 10
        hold_down: 1s
        on_failure: { dead: release, hung: report, leaving: release, degraded: { weight: -3 } }
"#;

fn with(checks: &str) -> String {
    format!("{}{checks}", RECIPE.trim_end_matches('\n'))
}

/// One entry of `checks`, in one line, in an instance that preempts.
fn entry(check: &str) -> String {
    with(&format!("\n    checks: [{check}]\n")).replace("preempt: false", "preempt: true")
}

fn checks(text: &str) -> Vec<Check> {
    parsed(text).config.instances.remove(0).checks
}

fn only(check: &str) -> Check {
    checks(&entry(check)).remove(0)
}

fn mysql(check: &Check) -> &Mysql {
    let Kind::Mysql(mysql) = &check.kind else { panic!("{check:?}") };
    mysql
}

const MILLISECOND: Duration = Duration::from_millis(1);

#[test]
fn every_key_of_a_check_reaches_its_value() {
    let checks = checks(&with(ALL));
    let [tcp, script, server] = checks.as_slice() else { panic!("{checks:?}") };

    assert_eq!((tcp.name.as_str(), tcp.rise.get(), tcp.fall.get()), ("mysql-port", 1, 1));
    assert_eq!(tcp.on_failure, Reactions::all(Reaction::Release));
    let down = tcp.notify_down.as_ref().unwrap();
    assert_eq!(
        (down.program.as_path(), down.arguments.as_slice()),
        (Path::new("/etc/vrrp/down.sh"), &["one argument".to_owned(), "two".to_owned()][..])
    );
    let Kind::Tcp(tcp) = &tcp.kind else { panic!("{tcp:?}") };
    assert_eq!((tcp.address.to_string().as_str(), tcp.port.get(), tcp.retries), ("127.0.0.1", 3306, 3));
    assert_eq!(
        [tcp.interval, tcp.connect_timeout, tcp.retry_delay],
        [2000, 10_000, 3000].map(Duration::from_millis)
    );

    assert_eq!((script.name.as_str(), script.rise.get(), script.fall.get()), ("script", 2, 3));
    assert_eq!((script.hold_down, script.on_failure.dead), (Duration::from_secs(10), Reaction::Report));
    assert!(script.notify_down.is_none() && script.notify_up.is_some());
    let Kind::Script(script) = &script.kind else { panic!("{script:?}") };
    assert_eq!(
        (script.user.as_deref(), script.init_fail, script.timeout),
        (Some("nobody"), true, MILLISECOND * 5000)
    );
    assert_eq!(script.interval, MILLISECOND * 1000);

    assert_eq!((server.name.as_str(), server.rise.get()), ("mysql", 10));
    let reactions = server.on_failure;
    assert_eq!(
        [reactions.dead, reactions.hung, reactions.leaving, reactions.degraded],
        [Reaction::Release, Reaction::Report, Reaction::Release, Reaction::Weight(-3)]
    );
    let server = mysql(server);
    assert_eq!((server.address.to_string().as_str(), server.port.get()), ("::1", 3307));
    assert_eq!(server.socket.as_deref(), Some(Path::new("/run/mysqld/mysqld.sock")));
    assert_eq!(server.account.password, Source::File("/etc/vrrp/mysql.password".into()));
    let tls = server.tls.as_ref().unwrap();
    assert_eq!((tls.server_name.as_deref(), tls.verify), (Some("db1"), true));
    assert_eq!(
        (server.fast.interval, server.fast.deadline, server.fast.fall.get()),
        (MILLISECOND * 20, MILLISECOND * 100, 5)
    );
    let login = server.login.as_ref().unwrap();
    assert_eq!(login.account.password, Source::Environment("PROBE_PASSWORD".into()));
    assert_eq!(
        (login.account.user.as_str(), login.interval, login.deadline),
        ("probe", MILLISECOND * 500, MILLISECOND * 2000)
    );
    let state = server.state.unwrap();
    assert_eq!(
        (state.interval, state.deadline, state.max_lag),
        (MILLISECOND * 2000, MILLISECOND * 500, Some(MILLISECOND * 30_000))
    );
    let write = server.write.as_ref().unwrap();
    assert_eq!(write.table, ("ha".to_owned(), "beat_1".to_owned()));
    assert_eq!(
        (write.interval, write.deadline, write.min_free),
        (MILLISECOND * 3000, MILLISECOND * 4000, MinFree::Bytes(10 << 30))
    );
    assert!(!server.process);
}

#[test]
fn a_mysql_check_needs_no_more_than_a_user() {
    let check = only("{ mysql: { user: vrrp, login: { user: app } } }");
    assert_eq!((check.rise.get(), check.fall.get(), check.hold_down), (3, 3, Duration::from_secs(5)));
    assert_eq!(check.on_failure.degraded, Reaction::Report);
    let server = mysql(&check);
    assert_eq!((server.address.to_string().as_str(), server.port.get()), ("127.0.0.1", 3306));
    assert_eq!(
        (server.fast.interval, server.fast.deadline, server.fast.fall.get()),
        (MILLISECOND * 50, MILLISECOND * 200, 3)
    );
    assert_eq!((server.state.unwrap().interval, server.write.as_ref()), (Duration::from_secs(1), None));
    assert_eq!((server.account.password.clone(), server.process, &server.tls), (Source::Empty, true, &None));
}

#[test]
fn an_explained_check_reads_back_as_itself() {
    let odd = r#"
    peer_priority: 90
    checks:
      - { tcp: { address: "fe80::1", port: 1 }, on_failure: { weight: 7 } }
      - { name: "on", script: { command: "/bin/x '' 'it''s' \"a \\\" b\"" } }
      - { mysql: { user: "a b", tls: true, state: false, login: { user: "null", password_file: "/a b" },
                   write: { table: a.b, min_free: 1% } }, on_failure: { weight: -11 } }
"#;
    for text in [with(ALL), with(odd).replace("preempt: false", "preempt: true")] {
        let loaded = parsed(&text);
        let explained = explain(&loaded.config).replace("***", "1111");
        assert_eq!(parsed(&explained).config, loaded.config, "{explained}");
    }
}

#[test]
fn explained_weights_are_added_up() {
    let text = entry(
        "{ tcp: { port: 1 }, on_failure: { weight: -20 } }, { name: b, tcp: { port: 2 }, on_failure: { weight: 5 } }",
    );
    let explained = explain(&parsed(&text).config);
    for line in [
        "    # while tcp is dead: priority 100 - 20 = 85\n",
        "    # while b is dead: priority 100 without +5 = 100\n",
        "    # while all is well: priority 105\n",
        "    # not compared with the peer's: write its priority as `peer_priority`\n",
    ] {
        assert!(explained.contains(line), "{line}not in\n{explained}");
    }
    // What a port cannot be tells nobody anything.
    assert!(!explained.contains("is hung") && !explained.contains("is leaving"), "{explained}");
    let mysql = text.replace("tcp: { port: 1 }", "mysql: { user: u }");
    let mysql = explain(&parsed(&mysql).config);
    assert!(mysql.contains("while mysql is hung: priority 100 - 20 = 85\n"), "{mysql}");
    let compared =
        explain(&parsed(&text.replace("priority: 100", "priority: 100\n    peer_priority: 90")).config);
    assert!(!compared.contains("not compared"), "{compared}");
}

#[test]
fn what_is_wrong_with_a_check_is_said_at_its_place() {
    for (check, path, words) in [
        ("{ interval: 1s }", "checks[0]:", "does not say what is checked; add `tcp: {...}`"),
        ("{ tcp: { port: 1 }, mysql: { user: a } }", "checks[0].mysql:", "write two entries"),
        (
            "{ tcp: { port: 1 } }, { tcp: { port: 2 } }",
            "checks[1]:",
            "`tcp` is already the name of instances[0].checks[0]",
        ),
        ("{ tcp: {} }", "checks[0].tcp:", "`port` is missing"),
        ("{ tcp: { port: 0 } }", "tcp.port:", "0 is not a port; use 1 to 65535"),
        ("{ tcp: { port: \"3306\" } }", "tcp.port:", "use 1 to 65535, without quotes"),
        ("{ tcp: { port: 1, address: db1 } }", "tcp.address:", "`db1` is not an IP address"),
        ("{ tcp: { port: 1, address: 0.0.0.0 } }", "tcp.address:", "is not the address of a server"),
        ("{ tcp: { port: 1, nb_get_retry: 3 } }", "tcp.nb_get_retry:", "write `retries`"),
        ("{ tcp: { port: 1 }, delay_loop: 2 }", "checks[0].delay_loop:", "write `interval` in the check"),
        ("{ tcp: { port: 1 }, interval: 2 }", "checks[0].interval:", "2 has no unit"),
        ("{ tcp: { port: 1 }, interval: 1ms }", "checks[0].interval:", "use 10ms to 3600s"),
        ("{ tcp: { port: 1 }, rise: 0 }", "checks[0].rise:", "use 1 to 255"),
        ("{ tcp: { port: 1 }, on_failure: fault }", "on_failure:", "use release, report or { weight: -20 }"),
        ("{ tcp: { port: 1 }, on_failure: -20 }", "on_failure:", "write { weight: -20 }"),
        ("{ tcp: { port: 1 }, on_failure: { weight: 0 } }", "on_failure.weight:", "0 changes nothing"),
        ("{ tcp: { port: 1 }, on_failure: { weight: -300 } }", "on_failure.weight:", "use -253 to 253"),
        (
            "{ tcp: { port: 1 }, on_failure: { dead: release } }",
            "on_failure:",
            "only a mysql check tells dead from hung",
        ),
        ("{ script: { command: check } }", "script.command:", "write the whole of it, as in /usr/bin/check"),
        ("{ script: { command: \"/bin/a | b\" } }", "script.command:", "no shell reads this, so `|`"),
        ("{ script: { command: \"/bin/a 'b\" } }", "script.command:", "a quote that is not closed"),
        ("{ script: { command: \"\" } }", "script.command:", "is empty; write a program"),
        ("{ script: { command: /bin/a, user: \"a:b\" } }", "script.user:", "is not the name of a user"),
        ("{ mysql: {} }", "mysql:", "`user` is missing"),
        ("{ mysql: { user: a@b } }", "mysql.user:", "has a host in it"),
        (
            "{ mysql: { user: a, password: b, password_file: /c } }",
            "mysql.password_file:",
            "are two passwords; keep one",
        ),
        ("{ mysql: { user: a, password_file: c } }", "mysql.password_file:", "is not an absolute path"),
        (
            "{ mysql: { user: a, password_env: \"a b\" } }",
            "mysql.password_env:",
            "is not the name of an environment variable",
        ),
        (
            "{ mysql: { user: a }, interval: 1s }",
            "checks[0].interval:",
            "each probe of a mysql check has its own",
        ),
        (
            "{ mysql: { user: a }, on_failure: { misconfigured: release } }",
            "on_failure.misconfigured:",
            "never moves an address",
        ),
        (
            "{ mysql: { user: a }, on_failure: { dead: { weight: 5 } } }",
            "dead.weight:",
            "is a loss: use -253 to -1",
        ),
        (
            "{ mysql: { user: a }, on_failure: { dead: release, weight: 5 } }",
            "on_failure.dead:",
            "use either one `weight`",
        ),
        ("{ mysql: { user: a, write: { table: x } } }", "write.table:", "`x` is not a table"),
        ("{ mysql: { user: a, write: { table: \"a.b; drop\" } } }", "write.table:", "is not a table"),
        ("{ mysql: { user: a, write: { table: a.b, min_free: 5 } } }", "write.min_free:", "text is wanted"),
        ("{ mysql: { user: a, write: { table: a.b, min_free: 100% } } }", "write.min_free:", "use 0% to 99%"),
        ("{ mysql: { user: a, fast: { interval: 1ms } } }", "fast.interval:", "use 5ms to 60s"),
        ("{ mysql: { user: a, tls: { verfy: false } } }", "tls.verfy:", "did you mean `verify`?"),
        ("{ mysql: { user: a, tls: { server_name: \"db1:3306\" } } }", "tls.server_name:", "no name that a"),
        ("{ mysql: { user: a, tls: { ca: ca.pem } } }", "tls.ca:", "is not an absolute path"),
    ] {
        let message = refused(&entry(check));
        assert!(message.contains(&format!("{path} ")) && message.contains(words), "{check}\n{message}");
        assert_eq!(message.lines().count(), 1, "{message}");
    }
}

#[test]
fn a_database_password_is_never_shown() {
    for wrong in [
        "password: [hunter2]",
        "password: 1234567.5",
        "password_env: \"hunter2!\"",
        "password_file: hunter2",
        "passwort: hunter2",
    ] {
        let message = refused(&entry(&format!("{{ mysql: {{ user: a, {wrong} }} }}")));
        assert!(!message.contains("hunter2") && !message.contains("1234567"), "{message}");
    }
    let loaded =
        parsed(&entry("{ mysql: { user: a, password: hunter2, login: { user: b, password: hunter2 } } }"));
    let explained = explain(&loaded.config);
    assert!(!format!("{loaded:?}{explained}").contains("hunter2"), "{loaded:?}{explained}");
    assert!(refused(&explained).contains("write the password itself"));
}

fn warnings(text: &str) -> Vec<String> {
    parsed(text).warnings.iter().map(ToString::to_string).collect()
}

#[test]
fn weights_that_can_do_nothing_are_warned_about() {
    let weight = |weight| entry(&format!("{{ tcp: {{ port: 1 }}, on_failure: {{ weight: {weight} }} }}"));
    for (text, words) in [
        (weight(-20).replace("preempt: true", "preempt: false"), "with `preempt: false` the peer waits"),
        (weight(-20).replace("priority: 100", "priority: 255"), "255 owns the address"),
        (
            weight(-20).replace("priority: 100", "priority: 1"),
            "the priority is 1 with it and without (1 - 20)",
        ),
        (
            weight(20).replace("priority: 100", "priority: 254"),
            "the priority is 254 with it and without (254 without +20)",
        ),
    ] {
        let warnings = warnings(&text);
        let [warning] = warnings.as_slice() else { panic!("{warnings:?}\n{text}") };
        assert!(
            warning.starts_with("x.yaml:12:14: instances[0].checks[0]:") && warning.contains(words),
            "{warning}"
        );
    }
    assert!(warnings(&weight(-20)).is_empty());
    assert!(warnings(&entry("{ tcp: { port: 1 } }").replace("preempt: true", "preempt: false")).is_empty());
}

#[test]
fn a_failing_router_that_still_outranks_its_peer_is_warned_about() {
    for (weight, peer, warned) in
        [(-10, 90, true), (-11, 90, false), (10, 90, true), (11, 90, false), (-5, 90, true), (-1, 101, false)]
    {
        let check = format!("{{ tcp: {{ port: 1 }}, on_failure: {{ weight: {weight} }} }}");
        let text =
            entry(&check).replace("priority: 100", &format!("priority: 100\n    peer_priority: {peer}"));
        let warnings = warnings(&text);
        assert_eq!(warnings.len(), usize::from(warned), "{weight} against {peer}: {warnings:?}");
        if weight == -5 {
            assert!(
                warnings[0].contains("100 - 5 = 95, and the healthy peer has 90; use a weight below -10"),
                "{warnings:?}"
            );
        }
    }
    let text = entry("{ tcp: { port: 1 }, on_failure: { weight: -30 } }");
    let instance = parsed(&text.replace("priority: 100", "priority: 100\n    peer_priority: 90"))
        .config
        .instances
        .remove(0);
    assert_eq!(instance.peer_priority, NonZeroU8::new(90));
}

#[test]
fn a_mysql_check_without_the_view_of_an_application_is_warned_about() {
    let warnings = warnings(&entry("{ mysql: { user: a } }"));
    assert!(warnings.len() == 1 && warnings[0].contains("no `login` probe"), "{warnings:?}");
}

#[test]
fn a_readable_file_with_a_database_password_is_warned_about() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("x.yaml");
    let account = "user: a, login: { user: b, password: hunter2 }";
    for (check, mode, warned) in [
        (account, 0o644, true),
        (account, 0o640, true),
        (account, 0o600, false),
        (account.replace("password: hunter2", "password_file: /x").as_str(), 0o644, false),
    ] {
        std::fs::write(&file, entry(&format!("{{ mysql: {{ {check} }} }}"))).unwrap();
        std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
        let warnings = crate::config::Config::load(&file).unwrap().warnings;
        assert_eq!(warnings.len(), usize::from(warned), "{mode:o} {check}: {warnings:?}");
        if warned {
            let warning = warnings[0].to_string();
            assert!(
                warning.contains(&format!("mode {mode:04o}")) && !warning.contains("hunter2"),
                "{warning}"
            );
        }
    }
}
