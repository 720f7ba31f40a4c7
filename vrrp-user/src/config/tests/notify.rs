//! Who is told, and who may read.

use super::*;
use crate::config::{Topic, explain};

const INSTANCE: &str =
    "instances:\n- name: VI_1\n  interface: eth0\n  virtual_router_id: 1\n  virtual_addresses: [10.0.0.9]\n";

fn with(global: &str, instance: &str) -> String {
    format!("{global}\n{INSTANCE}{instance}\n")
}

#[test]
fn what_will_not_do_is_refused_with_the_remedy() {
    for (global, instance, message) in [
        ("", "  notify: /bin/true", "a mapping is wanted"),
        ("", "  notify: { master: x }", "has no path"),
        ("", "  notify: { master: \"/bin/sh -c 'a' | b\" }", "no shell reads this"),
        ("", "  notify: { fifo: /x }", "does not belong"),
        ("", "  notify: { mail: [owner] }", "master, backup, fault, stop, health"),
        ("", "  notify: { any: { command: /bin/true, user: \"a b\" } }", "not the name of a user"),
        ("", "  notify: { any: { command: /bin/true, timeout: 0s } }", "100ms to 3600s"),
        ("notify: { fifo: fifo }", "", "no absolute path"),
        ("notify: { webhook: { url: \"ftp://x/\" } }", "", "neither http nor https"),
        ("notify: { webhook: { url: \"http://user:secret@x/\" } }", "", "no user name"),
        ("notify: { webhook: { on: [master] } }", "", "`url` is missing"),
        ("mail: { from: a@b.example }", "", "`to` is missing"),
        ("mail: { to: [] }", "", "has 0 addresses"),
        ("mail: { to: [root] }", "", "`root` is no mail address"),
        ("mail: { to: [a@b.example], server: \"a b\" }", "", "neither a host's name nor an address"),
        ("mail: { to: [a@b.example], port: 0 }", "", "use 1 to 65535"),
        ("mail: { to: [a@b.example], on: master }", "", "a list is wanted"),
        ("metrics: {}", "", "does not say where"),
        ("metrics: { listen: localhost }", "", "no address with a port"),
        ("metrics: { listen: 70000 }", "", "is no port"),
        ("metrics: { listen: \"127.0.0.1:0\" }", "", "has no port"),
        ("metrics: { socket: /run/vrrp/vrrp.sock }", "", "is the control socket"),
    ] {
        let text = with(global, instance);
        assert!(refused(&text).contains(message), "{text}\n{}", refused(&text));
    }
}

#[test]
fn defaults_are_keepalived_s_and_this_host_s() {
    let text = with(
        "metrics: { listen: 9112 }\nmail: { to: [\"Root <root@localhost>\"] }",
        "  notify: { any: /bin/true }",
    );
    let config = parsed(&text).config;
    assert_eq!(config.metrics.listen.unwrap().to_string(), "127.0.0.1:9112");
    let mail = config.mail.as_ref().unwrap();
    assert_eq!((mail.server.as_str(), mail.port, mail.connect_timeout.as_secs()), ("127.0.0.1", 25, 30));
    assert_eq!(mail.on, Topic::ALL);
    let any = config.instances[0].notify.as_ref().unwrap().scripts.any.as_ref().unwrap();
    assert_eq!((any.timeout.as_secs(), &any.user), (60, &None));
    assert_eq!(parsed(&explain(&config)).config, config);
    assert!(
        parsed(&with("", "")).config.mail.is_none() && parsed(&with("", "")).config.metrics.listen.is_none()
    );
}

#[test]
fn what_is_odd_is_said() {
    for (global, instance, message) in [
        ("metrics: { listen: \"0.0.0.0:9112\" }", "", "can be reached from other hosts"),
        ("", "  notify: { mail: [master] }", "no effect without a global `mail"),
    ] {
        let warnings = parsed(&with(global, instance)).warnings;
        assert!(warnings.iter().any(|warning| warning.message.contains(message)), "{warnings:?}");
    }
}
