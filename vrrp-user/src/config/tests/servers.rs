//! Servers at addresses that lead to another server, or to one and the same from everywhere.

use super::{parsed, refused};

const PEER: &str = "peer: { address: 192.168.1.12, user: p }";
const ROLE: &str = "role: manage, checks: [{ mysql: { user: u, login: { user: a } } }]";

/// Two instances; the first with these keys more.
fn file(keys: &str) -> String {
    let instance = |name: &str, id: u8, more: &str| {
        format!(
            "  - {{ name: {name}, interface: eth0, virtual_router_id: {id}, virtual_addresses: [192.168.1.{id}/24]{more} }}\n"
        )
    };
    format!("instances:\n{}{}", instance("A", 200, &format!(", {keys}")), instance("B", 201, ""))
}

/// One complaint, at this key, with these words.
fn complains(keys: &str, key: &str, words: &str) {
    let said = refused(&file(keys));
    assert!(said.contains(&format!(" instances[0].{key}: ")) && said.contains(words), "{keys}: {said}");
    assert_eq!(said.lines().count(), 1, "{said}");
}

fn is_accepted(keys: &str) {
    let loaded = parsed(&file(keys));
    assert!(loaded.warnings.is_empty(), "{keys}: {:?}", loaded.warnings);
}

#[test]
fn an_own_server_at_a_virtual_address_is_refused_in_any_spelling() {
    let managed = |address: &str| format!("{ROLE}, mysql: {{ user: u, address: \"{address}\", {PEER} }}");
    for (address, owner) in [
        ("192.168.1.200", "A"),
        ("::ffff:192.168.1.200", "A"),
        ("::ffff:c0a8:1c9", "B"),
        ("192.168.1.201", "B"),
    ] {
        let words =
            format!("is a virtual address of {owner}: on the standby it leads to the active host's server");
        complains(&managed(address), "mysql.address", &words);
    }
    is_accepted(&managed("192.168.1.11"));
    is_accepted(&managed("::1"));
}

#[test]
fn a_peer_that_is_this_host_is_refused_in_any_spelling() {
    let managed = |own: &str, peer: &str| {
        format!("{ROLE}, mysql: {{ user: u, {own}, peer: {{ user: p, address: \"{peer}\" }} }}")
    };
    let own = "address: 192.168.1.11";
    for peer in [
        "127.0.0.1",
        "127.9.9.9",
        "::1",
        "::ffff:127.0.0.1",
        "192.168.1.200",
        "::ffff:192.168.1.200",
        "192.168.1.201",
        "192.168.1.11",
        "::ffff:192.168.1.11",
    ] {
        complains(&managed(own, peer), "mysql.peer.address", "which leads to this host's own server");
    }
    complains(&managed("address: \"fd00::1\"", "fd00:0::1"), "mysql.peer.address", "this host's own server");
    is_accepted(&managed(own, "192.168.1.12"));
    is_accepted(&managed("socket: /s", "fd00::2"));
}

#[test]
fn a_check_that_moves_the_address_and_asks_a_virtual_one_is_refused() {
    let words = "all hosts see the same server there";
    for (address, owner) in [("192.168.1.200", "A"), ("192.168.1.201", "B"), ("::ffff:192.168.1.200", "A")] {
        for reaction in ["release", "{ weight: -20 }", "{ weight: 20 }"] {
            let tcp = format!(
                "checks: [{{ tcp: {{ port: 1 }} }}, {{ name: b, tcp: {{ port: 1, address: \"{address}\" }}, on_failure: {reaction} }}]"
            );
            complains(&tcp, "checks[1].tcp.address", words);
            complains(&tcp, "checks[1].tcp.address", &format!("is a virtual address of {owner}: "));
        }
        is_accepted(&format!(
            "checks: [{{ tcp: {{ port: 1, address: \"{address}\" }}, on_failure: report }}]"
        ));
    }
    let mysql = |more: &str, reaction: &str| {
        format!("checks: [{{ mysql: {{ user: u, address: 192.168.1.200{more} }}, on_failure: {reaction} }}]")
    };
    let login = ", login: { user: a }";
    let socket_and_login = format!(", socket: /s{login}");
    complains(&mysql(login, "release"), "checks[0].mysql.address", words);
    complains(
        &mysql(login, "{ dead: report, hung: report, leaving: release }"),
        "checks[0].mysql.address",
        words,
    );
    // The listener that clients use is asked where the socket is not.
    complains(&mysql(&socket_and_login, "release"), "checks[0].mysql.address", words);
    is_accepted(&mysql(login, "report"));
    parsed(&file(&mysql(", socket: /s", "release")));
}

#[test]
fn a_check_that_gives_the_address_up_when_the_peer_dies_is_refused() {
    let words = "is the peer's address: its end would keep this host out";
    let tcp = |reaction: &str| {
        format!("checks: [{{ tcp: {{ port: 1, address: 192.168.1.12 }}, on_failure: {reaction} }}]")
    };
    complains(&format!("peers: [192.168.1.12], {}", tcp("release")), "checks[0].tcp.address", words);
    // One of them may be this host itself.
    is_accepted(&format!("peers: [192.168.1.11, 192.168.1.12], {}", tcp("release")));
    is_accepted(&format!("peers: [192.168.1.12], {}", tcp("report")));
    is_accepted(&format!("peers: [192.168.1.12], {}", tcp("{ weight: -20 }")));
    is_accepted(&format!("peers: [192.168.1.11], {}", tcp("release")));
    let mysql = "checks: [{ mysql: { user: u, address: 192.168.1.12, login: { user: a } } }]";
    complains(
        &format!("role: manage, {mysql}, mysql: {{ user: u, {PEER} }}"),
        "checks[0].mysql.address",
        words,
    );
}
