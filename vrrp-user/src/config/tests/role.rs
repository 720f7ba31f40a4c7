//! `role` and `mysql` of an instance.

use super::{RECIPE, parsed, refused};
use crate::config::explain;
use crate::config::role::MYSQL;
use crate::health::tls::Tls;
use crate::role::{Behind, Divergence, SemiSyncPolicy, Settings, Split, Stuck};
use std::time::Duration;

const CHECKS: &str = "\n    checks: [{ mysql: { user: probe, login: { user: probe } } }]";
const PEER: &str = "peer: { address: 192.168.1.12, user: vrrp_peer, password_env: PEER }";
const ALL: &str = r#"
    role: manage
    mysql:
      socket: /run/mysqld/mysqld.sock
      port: 3307
      user: vrrp
      password_file: /etc/vrrp/mysql.password
      service_ports: [3307, 6033]
      peer: { address: 192.168.1.12, port: 3308, user: vrrp_peer, password_env: PEER_PASSWORD }
      split: promote
      behind: refuse
      diverged: read_only
      semi_sync: keep
      stuck: kill
      peer_limit: 100ms
      split_wait: 2s
      statement_limit: 200ms
      catch_up: 4s
      stall: 300ms
      write_limit: 1s
      heartbeat_table: ha.beat
      handover_timeout: 9s
"#;

const GUIDE: &str = include_str!("../../../../docs/mysql.md");

fn with(role: &str) -> String {
    format!("{}{CHECKS}{role}", RECIPE.trim_end_matches('\n'))
}

fn warnings(role: &str) -> String {
    parsed(&with(role)).warnings.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

#[test]
fn every_key_becomes_what_it_says_and_reads_back_as_itself() {
    let config = parsed(&with(ALL)).config;
    let role = config.instances[0].role.clone().unwrap();
    let ms = Duration::from_millis;
    assert_eq!(
        role.settings,
        Settings {
            split: Split::Promote,
            behind: Behind::Refuse,
            diverged: Divergence::ReadOnly,
            semi_sync: SemiSyncPolicy::Keep,
            stuck: Stuck::Kill,
            peer_limit: ms(100),
            split_wait: ms(2_000),
            statement_limit: ms(200),
            catch_up: ms(4_000),
            stall: ms(300),
            write_limit: ms(1_000),
            heartbeat_table: "ha.beat".to_owned(),
        }
    );
    assert_eq!(role.local.place.to_string(), "/run/mysqld/mysqld.sock");
    assert_eq!(role.peer.as_ref().unwrap().place.to_string(), "192.168.1.12:3308");
    assert_eq!(role.handover_timeout, ms(9_000));
    assert_eq!(parsed(&explain(&config).replace("***", "1111")).config, config);
}

#[test]
fn what_is_left_out_is_the_default_and_a_whole_section_warns_of_nothing() {
    let text = format!("\n    role: manage\n    mysql: {{ user: vrrp, {PEER} }}\n");
    assert_eq!(warnings(&text), "");
    let config = parsed(&with(&text)).config;
    let role = config.instances[0].role.clone().unwrap();
    assert_eq!(role.settings, Settings::default());
    assert_eq!(role.local.place.to_string(), "127.0.0.1:3306");
    assert_eq!(role.service_ports.iter().map(|port| port.get()).collect::<Vec<_>>(), [3306]);
    assert!(role.settings.longest_lose() <= role.handover_timeout);
    assert_eq!(parsed(&explain(&config).replace("***", "1111")).config, config);
    assert_eq!(parsed(&with("\n    role: observe\n")).config.instances[0].role, None);
}

/// Of both servers, our own first.
fn tls_of(mysql: &str) -> [Option<Tls>; 2] {
    let config = parsed(&with(&format!("\n    role: manage\n    mysql: {{ user: vrrp, {mysql} }}\n"))).config;
    assert_eq!(parsed(&explain(&config).replace("***", "1111")).config, config, "{}", explain(&config));
    let role = config.instances[0].role.clone().unwrap();
    [role.local.tls, role.peer.unwrap().tls]
}

#[test]
fn the_peer_takes_over_the_tls_of_its_section_unless_it_has_its_own() {
    let peer = |tls: &str| format!("peer: {{ address: 192.168.1.12, user: p{tls} }}");
    let public = Some(Tls::public());
    let private = Some(Tls { ca: Some("/ca.pem".into()), server_name: Some("db".into()), verify: true });
    let any = Some(Tls { verify: false, ..Tls::public() });
    for (mysql, own, peers) in [
        (peer(""), None, None),
        (format!("tls: true, {}", peer("")), public.clone(), public.clone()),
        (format!("tls: true, {}", peer(", tls: false")), public.clone(), None),
        (format!("tls: {{ ca: /ca.pem, server_name: db }}, {}", peer("")), private.clone(), private.clone()),
        (
            format!("tls: {{ ca: /ca.pem, server_name: db }}, {}", peer(", tls: true")),
            private.clone(),
            public.clone(),
        ),
        (peer(", tls: { verify: false }"), None, any),
        // The own server is asked by its socket, where there is none.
        (format!("socket: /s, tls: true, {}", peer("")), None, public.clone()),
    ] {
        assert_eq!(tls_of(&mysql), [own, peers], "{mysql}");
    }
}

#[test]
fn tls_that_can_do_nothing_is_warned_about_and_what_it_means_is_explained() {
    let managed = |more: &str| format!("\n    role: manage\n    mysql: {{ user: vrrp, {more} }}\n");
    let peer = |tls: &str| format!("peer: {{ address: 192.168.1.12, user: p, tls: {tls} }}");
    let idle = warnings(&managed(&format!("socket: /s, tls: true, {}", peer("false"))));
    assert!(idle.contains("mysql.tls") && idle.contains("the own server is reached by `socket`"), "{idle}");
    assert_eq!(warnings(&managed(&format!("tls: true, {}", peer("false")))), "");
    let both = warnings(&managed(&peer("{ ca: /a, verify: false }")));
    assert!(both.contains("has no effect with `verify: false`"), "{both}");
    for (tls, words) in [("true", "counts as alive"), ("{ verify: false }", "whatever certificate it has")] {
        let shown = explain(&parsed(&with(&managed(&peer(tls)))).config);
        assert!(shown.contains(words), "{shown}");
    }
}

#[test]
fn what_does_not_fit_together_is_refused() {
    for (role, message) in [
        ("role: manage", "needs to know the server and its peer"),
        ("mysql: { user: vrrp }", "add `role: manage`, or leave it out"),
        ("role: lead", "`lead` is not known here; use one of observe, manage"),
        ("role: manage\n    mysql: { socket: /s, address: 127.0.0.1, user: vrrp }", "keep one of them"),
        ("role: manage\n    mysql: { socket: /s }", "`user` is missing"),
        ("role: manage\n    mysql: { user: u, split: maybe }", "use one of hold, promote"),
        ("role: manage\n    mysql: { user: u, diverged: repair }", "use one of serve, read_only"),
        ("role: manage\n    mysql: { user: u, service_ports: [] }", "has no port in it"),
        ("role: manage\n    mysql: { user: u, heartbeat_table: x }", "write schema and table"),
        ("role: manage\n    mysql: { user: u, peer: { user: p, address: db2 } }", "is not an IP address"),
        ("role: manage\n    mysql: { user: u, password: a, password_env: B }", "are two passwords"),
        ("role: manage\n    mysql: { user: u, password: 5 }", "put it in quotes"),
        ("role: manage\n    mysql: { user: u, tls: { ca: ca.pem } }", "is not an absolute path"),
        ("role: manage\n    mysql: { user: u, tls: yes please }", "mysql.tls: is text; a mapping is wanted"),
        (
            "role: manage\n    mysql: { user: u, peer: { user: p, address: 10.0.0.1, tls: { verfy: true } } }",
            "did you mean `verify`?",
        ),
        (
            "role: manage\n    mysql: { user: u, peer: { user: p, address: 10.0.0.1, tls: { server_name: \"a b\" } } }",
            "is no name that a certificate bears",
        ),
    ] {
        let said = refused(&with(&format!("\n    {role}\n")));
        assert!(said.contains(message), "{role}: {said}");
    }
}

#[test]
fn what_leaves_a_hole_is_warned_about() {
    let managed = |more: &str| format!("\n    role: manage\n    mysql: {{ user: vrrp, {more} }}\n");
    assert!(warnings(&managed("")).contains("the gate cannot ask"));
    let short = warnings(&managed(&format!("{PEER}, handover_timeout: 2s")));
    assert!(short.contains("is cut off then"), "{short}");
    let bare = format!("{}{}", RECIPE.trim_end_matches('\n'), managed(PEER));
    let said = parsed(&bare).warnings.iter().map(ToString::to_string).collect::<String>();
    assert!(said.contains("the address does not follow the server"), "{said}");
    let only_told =
        format!("{bare}    checks: [{{ mysql: {{ user: p, login: {{ user: p }} }}, on_failure: report }}]\n");
    let said = parsed(&only_told).warnings.iter().map(ToString::to_string).collect::<String>();
    assert!(said.contains("no check does more than report a dead server"), "{said}");
    let weighed =
        only_told.replace("on_failure: report", "on_failure: { dead: { weight: -20 }, hung: report }");
    let weighed = parsed(&weighed.replace("preempt: false", "preempt: true")).warnings;
    assert!(weighed.is_empty(), "{weighed:?}");
    let other = |port: &str| {
        let text = managed(PEER).replace("user: vrrp,", &format!("user: vrrp, {port}"));
        warnings(&text)
    };
    assert!(
        other("port: 3307, ").contains("no `mysql` check has this server's port"),
        "{}",
        other("port: 3307, ")
    );
    assert_eq!(other("port: 3306, "), "");
    assert_eq!(other("socket: /s, port: 3307, "), "");
    let writes = "\n    checks: [{ mysql: { user: p, login: { user: p }, write: { table: a.b } } }]\n    role: observe\n";
    let said = parsed(&format!("{}{writes}", RECIPE.trim_end_matches('\n'))).warnings;
    assert!(said.iter().any(|warning| warning.to_string().contains("leave one of them out")), "{said:?}");
    let implied = writes.replace("    role: observe\n", "");
    let said = parsed(&format!("{}{implied}", RECIPE.trim_end_matches('\n'))).warnings;
    assert!(said.iter().any(|warning| warning.to_string().contains("which is observe then")), "{said:?}");
    let kept = |more| warnings(&managed(&format!("{PEER}, semi_sync: keep{more}")));
    assert!(kept("").contains("so that no promotion succeeds"), "{}", kept(""));
    assert_eq!(kept(", write_limit: 11s"), "");
}

#[test]
fn two_instances_that_manage_one_server_are_refused() {
    let instance = |name: &str, id: u8, server: &str| {
        format!(
            "  - {{ name: {name}, interface: eth0, virtual_router_id: {id}, virtual_addresses: [10.0.0.{id}], role: manage, \
             mysql: {{ {server}, user: vrrp }} }}\n"
        )
    };
    let both = |one: &str, other: &str| {
        format!("instances:\n{}{}", instance("first", 1, one), instance("second", 2, other))
    };
    for (one, other, place) in [
        ("socket: /run/mysqld/mysqld.sock", "socket: /run/mysqld/mysqld.sock", "/run/mysqld/mysqld.sock"),
        ("port: 3306", "address: 127.0.0.1", "127.0.0.1:3306"),
    ] {
        let said = refused(&both(one, other));
        let words = format!("the server at {place} is already managed by first");
        assert!(said.contains(&words) && said.contains("instances[1]"), "{said}");
    }
    assert_eq!(parsed(&both("port: 3306", "port: 3307")).config.instances.len(), 2);
}

#[test]
fn no_password_of_a_role_is_shown() {
    let text = with(
        "\n    role: manage\n    mysql: { user: u, password: hunter2, peer: { address: 10.0.0.1, user: p, password: hunter3 } }\n",
    );
    let config = parsed(&text).config;
    let shown = format!("{config:?}\n{}", explain(&config));
    assert!(!shown.contains("hunter"), "{shown}");
}

#[test]
fn the_guide_has_every_key_with_its_default() {
    let text = format!("\n    role: manage\n    mysql: {{ user: vrrp, {PEER} }}\n");
    let effective = explain(&parsed(&with(&text)).config);
    let rows = GUIDE.lines().filter(|line| line.starts_with("| `"));
    let rows: Vec<Vec<&str>> = rows.map(|line| line.split(" | ").collect()).collect();
    for key in MYSQL.keys {
        let row = rows.iter().find(|row| row[0].contains(&format!("`{key}`")));
        let row = row.unwrap_or_else(|| panic!("docs/mysql.md has no row for `{key}`"));
        let default = row[2].trim_end_matches(" |");
        // Of the policies and times the file in effect has the same word.
        if row[0] == format!("| `{key}`") && !["peer", "service_ports"].contains(key) {
            let line = format!("      {key}: {default}\n");
            assert!(
                effective.replace('"', "").contains(&line),
                "docs/mysql.md: `{key}`: {default}\n{effective}"
            );
        }
    }
}
