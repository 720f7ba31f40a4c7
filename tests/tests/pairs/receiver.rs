//! How adverts reach the daemon: through native XDP, and through no socket.

use std::fs;

use vrrp_lab::{clock, harness::Test, tests};

use super::{
    case::{Case, Measured, NEEDS_KEEPALIVED, V2, V3_100, each_once, keepalived_then_ours},
    pair::{Pair, USUAL},
};

pub(crate) fn tests() -> Vec<Test> {
    tests![NEEDS_KEEPALIVED; adverts_come_through_native_xdp_and_no_socket_receives_them]
}

/// keepalived is the MASTER: its own sockets show that the look at /proc would find one.
fn adverts_come_through_native_xdp_and_no_socket_receives_them() {
    let cases = keepalived_then_ours().into_iter().filter(|case| [V2, V3_100].contains(&case.setting));
    each_once(&cases.collect::<Vec<_>>(), |case: Case| -> Measured {
        let mut pair = Pair::elected(case, USUAL);
        let link = pair.lab.host("b").namespace().ip(&["-d", "link", "show", "dev", "eth0"]).unwrap();
        assert!(link.contains("prog/xdp id"), "no XDP program on eth0:\n{link}");
        let first = link.lines().next().unwrap_or_default();
        assert!(first.contains(" xdp ") && !link.contains("xdpgeneric"), "not in native mode:\n{link}");

        let keepalived = *pair.process("a").tree().first().unwrap();
        assert_ne!(receivers(keepalived), Vec::<String>::new(), "keepalived listens on a raw socket");
        for pid in pair.process("b").tree() {
            assert_eq!(receivers(pid), Vec::<String>::new(), "sockets that receive adverts");
        }

        // And yet they arrive: nothing else keeps b from claiming the address.
        let from = clock::now_ns();
        std::thread::sleep(pair.down_interval("b") * 2);
        assert_eq!(pair.adverts_after("b", from), [], "b heard nothing");
        // It is a's adverts that do it: without them b speaks.
        let killed = pair.kill("a");
        pair.claim_after("b", killed);
        // The link of the program goes with the process.
        pair.stop("b");
        let link = pair.lab.host("b").namespace().ip(&["-d", "link", "show", "dev", "eth0"]).unwrap();
        assert!(!link.contains("xdp"), "left behind:\n{link}");
        Measured::new()
    });
}

/// Sockets in the namespace of a process that the kernel would hand adverts to.
fn receivers(pid: u32) -> Vec<String> {
    let raw = fs::read_to_string(format!("/proc/{pid}/net/raw")).unwrap();
    // "sl local_address ...": a raw socket's protocol stands where others have the port; 112 is 0x70.
    let raw = raw.lines().skip(1).filter(|line| {
        let local = line.split_whitespace().nth(1).unwrap_or_default();
        // 255, IPPROTO_RAW, only sends.
        !local.ends_with(":00FF")
    });
    let packet = fs::read_to_string(format!("/proc/{pid}/net/packet")).unwrap();
    // "sk RefCnt Type Proto ...": one bound to protocol 0 receives nothing.
    let packet = packet.lines().skip(1).filter(|line| line.split_whitespace().nth(3) != Some("0000"));
    raw.map(|line| format!("raw {line}")).chain(packet.map(|line| format!("packet {line}"))).collect()
}
