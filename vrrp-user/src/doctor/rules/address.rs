//! Does the virtual address lead to the server that takes writes, and is it ours to move?

use super::Context;
use crate::doctor::facts::Facts;
use crate::doctor::finding::Findings;

/// On this host; the peer's says nothing of its addresses. During a planned switch both halves are apart for a moment.
pub(super) fn goes_with_the_writer(
    local: &Facts,
    peer: Option<&Facts>,
    context: &Context,
    findings: &mut Findings,
) {
    const CHECK: &str = "address-and-writer";
    let Some(host) = &local.host else { return };
    let Some(addresses) = &host.addresses else { return };
    if context.service_addresses.is_empty() {
        return;
    }
    let all = context.service_addresses.join(", ");
    let is_here = context.service_addresses.iter().any(|address| addresses.contains(address));
    let peer_writes = peer.map(|peer| peer.state.writability.is_writable());
    match (is_here, local.state.writability.is_writable()) {
        (true, true) | (false, false) => {}
        (true, false) if peer_writes == Some(true) => findings.error(
            CHECK,
            format!("{all} is on this host, whose server is read-only; the peer's takes writes"),
            "clients reach a server that refuses their writes (1290), and the other one collects strays",
            "vrrp status tells why; without the daemon: SET GLOBAL read_only = 1 there, then read_only = 0 here",
        ),
        (true, false) => findings.warn(
            CHECK,
            format!("{all} is on this host, whose server is read-only"),
            "clients reach a server that refuses their writes (1290)",
            "in a planned switch it passes: look again; else vrrp status tells why",
        ),
        // Two writers are an error of the pair's.
        (false, true) if peer_writes == Some(true) => {}
        (false, true) if host.has_daemon => findings.warn(
            CHECK,
            format!("the server takes writes, and {all} is not on this host"),
            "whoever writes here directly writes past the pair",
            "in a switch it passes: look again; else SET GLOBAL read_only = 1, once the other one is seen to be writable",
        ),
        (false, true) => findings.info(
            CHECK,
            format!("the server takes writes, {all} is not on this host, and no daemon runs here"),
            "with role: manage the daemon makes it read-only when it starts, until the address is here",
            "nothing before the daemon is started",
        ),
    }
}

pub(super) fn without_daemon(facts: &Facts, context: &Context, findings: &mut Findings) {
    let Some(host) = facts.host.as_ref().filter(|host| !host.has_daemon) else { return };
    let held = |address: &&String| host.addresses.iter().any(|addresses| addresses.contains(address));
    let held: Vec<&str> =
        context.virtual_addresses.iter().filter(held).map(|address| address.as_str()).collect();
    if held.is_empty() {
        return;
    }
    let suspects = match host.other_managers.as_slice() {
        [] => String::new(),
        some => format!(" ({} does)", some.join(", ")),
    };
    findings.error(
        "address-without-daemon",
        format!("{} is on this host, and no vrrp daemon runs here{suspects}", held.join(", ")),
        "nobody takes it off when the other host wins it: an address with two holders",
        "stop what put it there (keepalived, the interface's own settings), then ip address del, then start vrrp",
    );
}
