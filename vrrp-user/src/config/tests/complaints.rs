//! One table row per complaint: what is written, where it must be found, what must be said.

use super::{RECIPE, parsed, refused};

/// `RECIPE` with one line of it replaced, and what must be said: place and path, then words of the message.
const IN_THE_RECIPE: &[(&str, &str, &str, &str)] = &[
    // Names and interfaces.
    ("name: VI_1", "name: VI 1", "3:11: instances[0].name:", "`VI 1` is not a name; use 1 to 64 letters"),
    (
        "name: VI_1",
        "name: 7",
        "3:11: instances[0].name:",
        "is a number to YAML, but text is wanted; put it in quotes",
    ),
    ("name: VI_1", "name:", "3:10: instances[0].name:", "is empty; text is wanted"),
    ("name: VI_1", "name: [a]", "3:11: instances[0].name:", "is a list; text is wanted"),
    (
        "interface: eth0",
        "interface: a-name-too-long-for-linux",
        "4:16: instances[0].interface:",
        "use 1 to 15 characters",
    ),
    (
        "interface: eth0",
        "interface: \"eth0:1\"",
        "4:16: instances[0].interface:",
        "without spaces, `/` and `:`",
    ),
    ("interface: eth0", "interface: lo", "4:16: instances[0].interface:", "`lo` reaches no other router"),
    ("mysql-ha", "\"mysql ha\"", "1:12: router_id:", "`mysql ha` is not a name"),
    // Numbers.
    (
        "virtual_router_id: 51",
        "virtual_router_id: 0",
        "5:24: instances[0].virtual_router_id:",
        "0 is not a virtual router ID; use 1 to 255",
    ),
    (
        "virtual_router_id: 51",
        "virtual_router_id: 256",
        "5:24: instances[0].virtual_router_id:",
        "256 is not a virtual router ID; use 1 to 255",
    ),
    (
        "virtual_router_id: 51",
        "virtual_router_id: \"51\"",
        "5:24: instances[0].virtual_router_id:",
        "use 1 to 255, without quotes",
    ),
    ("priority: 100", "priority: 300", "6:15: instances[0].priority:", "300 is not a priority; use 1 to 255"),
    ("priority: 100", "priority: -1", "6:15: instances[0].priority:", "-1 is not a priority; use 1 to 255"),
    ("priority: 100", "priority: 1.5", "6:15: instances[0].priority:", "1.5 is not a priority"),
    (
        "priority: 100",
        "priority: 99999999999999999999999999999999999999999",
        "6:15: instances[0].priority:",
        "is not a priority",
    ),
    (
        "priority: 100",
        "priority: 0",
        "6:15: instances[0].priority:",
        "when it gives up, not a priority; use 1 to 254, or 255",
    ),
    ("priority: 100", "priority: high", "6:15: instances[0].priority:", "`high` is text, not a priority"),
    ("priority: 100", "priority: true", "6:15: instances[0].priority:", "is `true`, not a priority"),
    ("version: 2", "version: 1", "7:14: instances[0].version:", "1 is not a version of VRRP; use 2 to 3"),
    // Intervals.
    ("1s", "1", "8:22: instances[0].advert_interval:", "1 has no unit; write 1s or 1ms"),
    ("1s", "0.1", "8:22: instances[0].advert_interval:", "0.1 has no unit"),
    ("1s", "-1", "8:22: instances[0].advert_interval:", "-1 is not a duration"),
    ("1s", "soon", "8:22: instances[0].advert_interval:", "`soon` is not a duration"),
    (
        "1s",
        "100ms",
        "8:22: instances[0].advert_interval:",
        "100ms is not an interval of version 2, which counts whole seconds; use 1s to 255s, or `version: 3`",
    ),
    ("1s", "0s", "8:22: instances[0].advert_interval:", "use 1s to 255s"),
    ("1s", "256s", "8:22: instances[0].advert_interval:", "use 1s to 255s"),
    (
        "preempt: false",
        "preempt: no",
        "9:14: instances[0].preempt:",
        "`no` is neither true nor false; use true or false",
    ),
    ("preempt: false", "preempt: 0", "9:14: instances[0].preempt:", "is a number; use true or false"),
    ("preempt: false", "startup_delay: 2", "9:20: instances[0].startup_delay:", "2 has no unit"),
    (
        "preempt: false",
        "startup_delay: 61m",
        "9:20: instances[0].startup_delay:",
        "3660s is out of range; use 0s to 3600s",
    ),
    (
        "preempt: false",
        "vip_deadline: 1ms",
        "9:19: instances[0].vip_deadline:",
        "1ms is out of range; use 10ms to 60s",
    ),
    (
        "preempt: false",
        "address_lifetime: 5s",
        "9:23: instances[0].address_lifetime:",
        "`5s` is not known here; use one of auto, off",
    ),
    (
        "preempt: false",
        "garp: { burst: 0 }",
        "9:20: instances[0].garp.burst:",
        "0 is not a number of frames; use 1 to 50",
    ),
    (
        "preempt: false",
        "garp: { refresh: 10ms }",
        "9:22: instances[0].garp.refresh:",
        "10ms is too often; use 1s to 3600s, or 0s for none",
    ),
    (
        "preempt: false",
        "garp: 5",
        "9:11: instances[0].garp:",
        "is a number; a mapping is wanted, with the keys burst, repeat_after, refresh",
    ),
    // Authentication, checksum, skew, peers.
    (
        "\"1111\"",
        "1111",
        "10:35: instances[0].auth.password:",
        "is a number to YAML, but text is wanted; put it in quotes",
    ),
    (
        "\"1111\"",
        "\"123456789\"",
        "10:35: instances[0].auth.password:",
        "has 9 bytes, but the protocol carries 8",
    ),
    ("\"1111\"", "\"\"", "10:35: instances[0].auth.password:", "is empty; use 1 to 8 bytes"),
    ("\"1111\"", "\"a\\0\"", "10:35: instances[0].auth.password:", "has a control character"),
    ("type: pass", "type: PASS", "10:19: instances[0].auth.type:", "write `pass` instead of `PASS`"),
    ("type: pass", "type: ah", "10:19: instances[0].auth.type:", "AH is not there"),
    ("type: pass", "type: none", "10:19: instances[0].auth.type:", "leave `auth` out"),
    ("type: pass, ", "", "10:11: instances[0].auth:", "`type` is missing; add it, as in `type: pass`"),
    (
        "version: 2",
        "version: 3",
        "10:5: instances[0].auth:",
        "version 3 has no authentication; leave `auth` out",
    ),
    ("preempt: false", "checksum: rfc9568", "9:5: instances[0].checksum:", "is for version 3"),
    (
        "preempt: false",
        "skew: none",
        "9:11: instances[0].skew:",
        "`none` needs exactly one other router, and `peers` names 0; add `peers: [ADDRESS]`",
    ),
    ("preempt: false", "peers: []", "9:12: instances[0].peers:", "names nobody"),
    (
        "preempt: false",
        "peers: 10.0.0.1",
        "9:12: instances[0].peers:",
        "a list is wanted, as in [192.168.1.11]",
    ),
    (
        "preempt: false",
        "peers: [10.0.0.1, 10.0.0.1]",
        "9:23: instances[0].peers[1]:",
        "10.0.0.1 stands here twice",
    ),
    (
        "preempt: false",
        "peers: [192.168.1.200]",
        "9:13: instances[0].peers[0]:",
        "192.168.1.200 is a virtual address",
    ),
    ("preempt: false", "peers: [db2]", "9:13: instances[0].peers[0]:", "`db2` is not an IPv4 address"),
    ("preempt: false", "peers: [224.0.0.18]", "9:13: instances[0].peers[0]:", "use a unicast address"),
    // Addresses.
    (
        "[192.168.1.200/24]",
        "192.168.1.200/24",
        "11:24: instances[0].virtual_addresses:",
        "is text; a list is wanted, as in [192.168.1.200/24]",
    ),
    (
        "[192.168.1.200/24]",
        "[]",
        "11:24: instances[0].virtual_addresses:",
        "has 0 addresses; an advert carries 1 to 255",
    ),
    (
        "192.168.1.200/24",
        "192.168.1.200/33",
        "11:25: instances[0].virtual_addresses[0]:",
        "`/33` is not a prefix length; use /1 to /32",
    ),
    (
        "192.168.1.200/24",
        "192.168.1.200/255.255.255.0",
        "11:25: instances[0].virtual_addresses[0]:",
        "is not a prefix length; use /1 to /32",
    ),
    (
        "192.168.1.200/24",
        "192.168.1.0/24",
        "11:25: instances[0].virtual_addresses[0]:",
        "network or the broadcast address of its /24",
    ),
    (
        "192.168.1.200/24",
        "192.168.1.255/24",
        "11:25: instances[0].virtual_addresses[0]:",
        "network or the broadcast address of its /24",
    ),
    (
        "192.168.1.200/24",
        "192.168.1.300",
        "11:25: instances[0].virtual_addresses[0]:",
        "is not an IPv4 address",
    ),
    ("192.168.1.200/24", "10", "11:25: instances[0].virtual_addresses[0]:", "is a number; write an address"),
    (
        "192.168.1.200/24",
        "\"2001:db8::1/64\"",
        "11:25: instances[0].virtual_addresses[0]:",
        "2001:db8::1 is an IPv6 address, and virtual routers are IPv4 only",
    ),
    (
        "192.168.1.200/24",
        "192.168.1.200/24 dev eth0",
        "11:25: instances[0].virtual_addresses[0]:",
        "is more than an address; write `{ address:",
    ),
    (
        "192.168.1.200/24",
        "192.168.1.200/24, 192.168.1.200",
        "11:43: instances[0].virtual_addresses[1]:",
        "192.168.1.200 on eth0 is already instances[0].virtual_addresses[0]",
    ),
    (
        "192.168.1.200/24",
        "{ address: 192.168.1.200, label: \"eth0:far-too-long\" }",
        "11:58: instances[0].virtual_addresses[0].label:",
        "the kernel takes 1 to 15",
    ),
    (
        "192.168.1.200/24",
        "{ address: 192.168.1.200, scope: planet }",
        "11:58: instances[0].virtual_addresses[0].scope:",
        "use one of global, site, link, host",
    ),
    (
        "192.168.1.200/24",
        "{ dev: eth1 }",
        "11:25: instances[0].virtual_addresses[0]:",
        "`address` is missing",
    ),
    (
        "192.168.1.200/24",
        "{ addres: 192.168.1.200 }",
        "11:27: instances[0].virtual_addresses[0].addres:",
        "did you mean `address`?",
    ),
    // Keys.
    (
        "priority: 100",
        "priorty: 100",
        "6:5: instances[0].priorty:",
        "is not a key of an instance; did you mean `priority`?",
    ),
    (
        "priority: 100",
        "colour: red",
        "6:5: instances[0].colour:",
        "is not a key of an instance; known are name, interface",
    ),
    (
        "priority: 100",
        "rx: xdp",
        "6:5: instances[0].rx:",
        "`rx` does not belong in an instance, but in the top level; move it there",
    ),
    (
        "preempt: false",
        "priority: 90",
        "9:5: instances[0].priority:",
        "`priority` stands here twice; keep one of them",
    ),
    (
        "router_id: mysql-ha",
        "priority: 90",
        "1:1: priority:",
        "`priority` does not belong in the top level, but in an instance",
    ),
    ("instances:", "instance:", "2:1: instance:", "write `instances`, a list"),
    (
        "    interface: eth0\n",
        "",
        "3:5: instances[0]:",
        "`interface` is missing; add it, as in `interface: eth0`",
    ),
    ("    virtual_router_id: 51\n", "", "3:5: instances[0]:", "`virtual_router_id` is missing"),
    (
        "router_id: mysql-ha",
        "rx: ebpf",
        "1:5: rx:",
        "`ebpf` is not known here; use one of auto, xdp, tcx, socket",
    ),
    (
        "router_id: mysql-ha",
        "realtime_priority: 100",
        "1:20: realtime_priority:",
        "100 is not a real-time priority; use 0 to 99",
    ),
    (
        "router_id: mysql-ha",
        "log: { level: loud }",
        "1:15: log.level:",
        "use one of error, warn, info, debug, trace",
    ),
];

/// Lines that an operator brings along from keepalived, and the words that help.
const FROM_KEEPALIVED: &[(&str, &str)] = &[
    ("state: MASTER", "every router starts as BACKUP"),
    ("nopreempt:", "write `preempt: false` instead"),
    ("advert_int: 1", "write `advert_interval` instead, with a unit"),
    ("authentication: { auth_type: PASS, auth_pass: 1111 }", "write `auth: { type: pass"),
    ("auth_pass: 1111", "write `auth: { type: pass"),
    ("virtual_ipaddress: [10.0.0.1]", "write `virtual_addresses` instead"),
    ("virtual_ipaddress_excluded: [10.0.0.1]", "list the addresses in `virtual_addresses`"),
    ("unicast_peer: [10.0.0.1]", "is not there yet"),
    ("unicast_peers: [10.0.0.1]", "is not there yet"),
    ("unicast_src_ip: 10.0.0.1", "is not there yet"),
    ("vrrp_sync_group: [a]", "is not there yet"),
    ("sync_groups: [a]", "is not there yet"),
    ("track_script: [a]", "write the script itself as an entry of `checks`"),
    ("track_interface: [a]", "no carrier there means FAULT"),
    ("use_vmac:", "is not there yet"),
    ("virtual_mac: true", "is not there yet"),
    ("native_ipv6:", "IPv4 only"),
    ("virtual_routes: [a]", "is not there yet"),
    ("virtual_rules: [a]", "is not there yet"),
    ("virtual_server: a", "balances no load"),
    ("notify_master: /bin/true", "write `notify: { master:"),
    ("garp_master_delay: 5", "write `garp: { repeat_after: 5s }`"),
    ("garp_master_refresh: 5", "write `garp: { refresh: 60s }`"),
    ("smtp_alert: true", "write `mail: {"),
    ("<<: { a: b }", "merge key"),
];

fn says(text: &str, place: &str, words: &str) {
    let message = refused(text);
    let wanted = format!("x.yaml:{place} ");
    assert!(
        message.lines().any(|line| line.starts_with(&wanted) && line.contains(words)),
        "wanted `{wanted}...{words}`, got\n{message}"
    );
}

#[test]
fn every_complaint_names_line_path_and_what_would_be_right() {
    for (line, with, place, words) in IN_THE_RECIPE {
        assert_eq!(RECIPE.matches(line).count(), 1, "{line} is not one place of the recipe");
        says(&RECIPE.replace(line, with), place, words);
    }
}

#[test]
fn one_mistake_is_one_complaint() {
    // But a required key that is misspelt is missing, too.
    for (line, with, place, _) in IN_THE_RECIPE {
        let message = refused(&RECIPE.replace(line, with));
        let twice = with.contains("instance:") || with.contains("addres:");
        assert_eq!(message.lines().count(), if twice { 2 } else { 1 }, "{place}\n{message}");
    }
}

#[test]
fn keys_of_keepalived_are_refused_by_name() {
    for (line, words) in FROM_KEEPALIVED {
        let key = line.split(':').next().unwrap();
        says(&RECIPE.replace("preempt: false", line), &format!("9:5: instances[0].{key}:"), words);
        says(&RECIPE.replace("router_id: mysql-ha", line), &format!("1:1: {key}:"), words);
    }
}

#[test]
fn version_3_counts_hundredths_of_a_second() {
    let recipe = RECIPE.replace("version: 2", "version: 3").replace("    auth", "    # auth");
    for interval in ["5ms", "0s", "15ms", "40960ms", "1.001s"] {
        says(
            &recipe.replace("1s", interval),
            "8:22: instances[0].advert_interval:",
            "use 10ms to 40950ms in steps of 10ms",
        );
    }
}

#[test]
fn version_3_knows_two_checksums() {
    let recipe =
        RECIPE.replace("version: 2", "version: 3\n    checksum: crc32").replace("    auth", "    # auth");
    says(&recipe, "8:15: instances[0].checksum:", "`crc32` is not known here; use one of rfc5798, rfc9568");
}

#[test]
fn all_complaints_come_at_once_in_the_order_of_the_file() {
    let message = refused(
        "instances:\n\
         - name: a\n  \
           priority: 300\n  \
           interface: eth0\n  \
           virtual_router_id: 1\n  \
           virtual_addresses: [10.0.0.1]\n\
         - name: a\n  \
           interface: eth0\n  \
           virtual_router_id: 1\n  \
           virtual_addresses: [10.0.0.2, 10.0.0.1/24]\n  \
           state: MASTER\n\
         rx: wire\n",
    );
    let starts: Vec<String> =
        message.lines().map(|line| line.split(": ").take(2).collect::<Vec<_>>().join(": ")).collect();
    assert_eq!(
        starts,
        [
            "x.yaml:3:13: instances[0].priority",
            "x.yaml:7:9: instances[1].name",
            "x.yaml:9:22: instances[1].virtual_router_id",
            "x.yaml:10:33: instances[1].virtual_addresses[1]",
            "x.yaml:11:3: instances[1].state",
            "x.yaml:12:5: rx",
        ],
        "{message}"
    );
    assert!(message.contains("`a` is already the name of instances[0]"), "{message}");
    assert!(message.contains("1 on eth0 is already the virtual router of instances[0]"), "{message}");
    assert!(message.contains("10.0.0.1 on eth0 is already instances[0].virtual_addresses[0]"), "{message}");
}

#[test]
fn the_same_address_may_stand_on_another_device() {
    let loaded = parsed(&RECIPE.replace("200/24]", "200/24, { address: 192.168.1.200, dev: lo }]"));
    assert_eq!(loaded.config.address_count(), 2);
}

#[test]
fn the_same_router_id_may_stand_on_another_interface() {
    let second = "  - { name: b, interface: eth1, virtual_router_id: 51, virtual_addresses: [10.0.0.1] }\n";
    assert_eq!(parsed(&format!("{RECIPE}{second}")).config.instances.len(), 2);
}

#[test]
fn skew_none_wants_one_peer_not_two() {
    let with = |peers| RECIPE.replace("preempt: false", &format!("skew: none\n    peers: {peers}"));
    assert_eq!(parsed(&with("[10.0.0.1]")).config.instances[0].peers.len(), 1);
    says(&with("[10.0.0.1, 10.0.0.2]"), "9:11: instances[0].skew:", "`peers` names 2");
}

#[test]
fn more_complaints_than_anybody_reads_are_counted() {
    let text = format!("instances: [{}]", "{ a: b }, ".repeat(100));
    let message = refused(&text);
    assert_eq!(message.lines().count(), super::super::problem::MAX_SHOWN + 1, "{message}");
    assert!(message.ends_with("\nand 450 more"), "{message}");
}

#[test]
fn what_is_no_yaml_names_the_line_and_a_next_step() {
    for (text, place, words) in [
        ("instances:\n\t- a: b\n", "2:1: ", "YAML is indented with spaces"),
        ("instances: [\n", "2:1: ", "check the indentation"),
        ("a: b: c\n", "1:5: ", "check the indentation"),
        ("a: *b\n", "1:4: ", "unknown anchor"),
        ("instances: !include x\n", "1:12: ", "a YAML tag such as `!name` means nothing here"),
        ("? [a]\n: b\n", "1:3: ", "expected the name of a key"),
        ("vrrp_instance VI_1 {\n  state MASTER\n}\n", "1:1: ", "looks like a keepalived.conf"),
        ("a: b\n---\nc: d\n", " ", "more than one document"),
    ] {
        let message = refused(text);
        assert!(message.starts_with(&format!("x.yaml:{place}")), "{message}");
        assert!(message.contains(words), "{message}");
    }
}

#[test]
fn a_document_of_the_wrong_kind_is_told_so() {
    for (text, words) in [("- a\n", "is a list"), ("just words\n", "is text"), ("5\n", "is a number")] {
        says(text, "1:1:", words);
        says(text, "1:1:", "a mapping is wanted, with the keys router_id");
    }
}

#[test]
fn a_bomb_of_aliases_does_not_go_off() {
    let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
    for n in 1..12 {
        let before = n - 1;
        let items = vec![format!("*a{before}"); 9].join(", ");
        text.push_str(&format!("a{n}: &a{n} [{items}]\n"));
    }
    assert!(refused(&text).contains("limit exceeded"));
}

#[test]
fn deep_nesting_is_refused_without_delay() {
    assert!(refused(&"[".repeat(20_000)).starts_with("x.yaml:"));
    let closed = format!("a: {}{}", "[".repeat(500), "]".repeat(500));
    assert!(refused(&closed).contains("recursion limit exceeded"));
}

#[test]
fn an_alias_may_share_a_value() {
    let text = RECIPE.replace("auth: {", "auth: &auth {");
    let second = "  - { name: b, interface: eth1, virtual_router_id: 51, auth: *auth, virtual_addresses: [10.0.0.1] }\n";
    let config = parsed(&format!("{text}{second}")).config;
    assert_eq!(config.instances[0].protocol, config.instances[1].protocol);
}

#[test]
fn warnings_have_a_place_and_a_next_step() {
    for (line, with, start, words) in [
        ("priority: 100", "priority: 255", "x.yaml:9:14: instances[0].preempt:", "use a priority below 255"),
        (
            "192.168.1.200/24",
            "{ address: 192.168.1.200, label: vip }",
            "x.yaml:11:58: instances[0].virtual_addresses[0].label:",
            "does not begin with `eth0:`",
        ),
        (
            "router_id: mysql-ha\ninstances:",
            "guard: false\ninstances:\n  # off\n",
            "x.yaml:1:8: guard:",
            "use `guard: true`, or `address_lifetime: auto`",
        ),
    ] {
        let mut text = RECIPE.replace(line, with);
        if with.contains("guard") {
            text.push_str("    address_lifetime: off\n");
        }
        let warnings = parsed(&text).warnings;
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        let message = warnings[0].to_string();
        assert!(message.starts_with(start) && message.contains(words), "{message}");
    }
}

#[test]
fn settings_that_do_not_go_together_are_warned_about() {
    let fast =
        RECIPE.replace("version: 2", "version: 3").replace("1s", "10ms").replace("    auth", "    # auth");
    for (text, start, words) in [
        (format!("{fast}realtime_priority: 0\n"), "x.yaml:12:20: realtime_priority:", "use 1 to 99"),
        (format!("{RECIPE}consume: true\nrx: socket\n"), "x.yaml:12:10: consume:", "use another rx"),
        (
            RECIPE.replace("preempt: false", "startup_delay: 9s").replace("priority: 100", "priority: 255"),
            "x.yaml:9:20: instances[0].startup_delay:",
            "claims at once",
        ),
    ] {
        let warnings = parsed(&text).warnings;
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        let message = warnings[0].to_string();
        assert!(message.starts_with(start) && message.contains(words), "{message}");
    }
}
