//! Bad samples: each offence is found, on its line, for its reason; what only looks like one is not.

use super::*;

const NOTHING: [usize; 0] = [];

fn complaints(folder: &str, text: &str) -> Vec<(usize, String)> {
    offences(layer_of(Path::new(folder)).expect("a folder of the table"), text)
}

fn lines(folder: &str, text: &str) -> Vec<usize> {
    complaints(folder, text).into_iter().map(|(line, _)| line).collect()
}

#[test]
fn the_core_cannot_name_a_runtime_a_socket_or_a_clock() {
    for (word, _) in FORBIDDEN {
        let text = format!("//! Fine.\n\nfn f() {{ {word}::x() }}\n");
        assert_eq!(lines("vrrp/engine.rs", &text), [3], "{word} in the core");
        assert_eq!(lines("wire.rs", &text), [3], "{word} in the wire");
        assert_eq!(lines("net/xdp.rs", &text), NOTHING, "{word} outside the core");
    }
}

#[test]
fn a_group_import_hides_nothing() {
    let text =
        "use std::{\n    net::{Ipv4Addr, UdpSocket},\n    time::{Duration, Instant},\n    thread,\n};\n";
    assert_eq!(lines("wire/advert.rs", text), [2, 3, 4]);
    assert_eq!(lines("wire.rs", "use crate::{vrrp::Engine, wire::Advert};\n"), [1]);
    assert_eq!(lines("vrrp.rs", "use crate::{wire::{self, Advert}, net};\n"), [1]);
}

#[test]
fn a_folder_knows_only_those_above_it() {
    assert_eq!(lines("wire.rs", "use crate::vrrp::Engine;\n"), [1]);
    assert_eq!(lines("vrrp.rs", "use crate::wire::Advert;\n"), NOTHING);
    assert_eq!(lines("net/xdp.rs", "use crate::vrrp::Engine;\n"), NOTHING);
    assert_eq!(lines("net/xdp.rs", "\n\nfn f(c: &crate::config::Config) {}\n"), [3]);
    assert_eq!(lines("config.rs", "use crate::vrrp::Engine;\nuse crate::control::Status;\n"), [2]);
    assert_eq!(lines("control.rs", "use crate::daemon::Daemon;\n"), [1]);
    assert_eq!(lines("daemon.rs", "use crate::{control, net, vrrp};\n"), NOTHING);
}

#[test]
fn the_reason_is_told() {
    let told = complaints("vrrp/router.rs", "use std::time::Instant;\n");
    assert_eq!(
        told,
        [(1, "vrrp cannot name std::time::Instant: time is an argument of the core".to_owned())]
    );
}

#[test]
fn comments_strings_and_longer_words_are_no_offence() {
    let text = "//! No tokio, no unsafe.\n/* libc /* aya */ tokio */\nlet a = \"tokio \\\" libc\";\nlet unsafety = aya_like();\n\
                let quote = '\"'; // tokio\nlet b = \"x\";\nstruct Instant;\n";
    assert!(complaints("vrrp.rs", text).is_empty());
    assert_eq!(lines("vrrp.rs", "let quote = '\"'; tokio::spawn();\n"), [1], "the quote opens no string");
}

#[test]
fn files_outside_the_table_may_name_everything() {
    assert!(layer_of(Path::new("main.rs")).is_none());
    assert_eq!(layer_of(Path::new("wire/advert/tests.rs")).map(|layer| layer.name), Some("wire"));
}
