//! Does the virtual address lead to the server that takes writes, and is it ours to move?

use super::Context;
use crate::doctor::facts::Facts;
use crate::doctor::finding::Findings;
use crate::wire::MacAddress;

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

/// As the segment has it. Who answers twice, here and elsewhere or by two cards, is an address with two holders.
pub(super) fn claimed_elsewhere(facts: &Facts, _context: &Context, findings: &mut Findings) {
    const TWICE: &str = "address-held-twice";
    const TWO_HOLDERS: &str =
        "clients reach the one or the other by chance, and each takes what the other never sees";
    let Some(host) = &facts.host else { return };
    let (Some(claims), Some(addresses)) = (&host.claims, &host.addresses) else { return };
    for address in &claims.asked {
        let cards: Vec<MacAddress> =
            claims.found.iter().filter(|(claimed, _)| claimed == address).map(|(_, card)| *card).collect();
        let all = cards.iter().map(MacAddress::to_string).collect::<Vec<_>>().join(" and ");
        match (addresses.contains(address), cards.as_slice()) {
            (true, []) => {}
            (true, _) => findings.error(
                TWICE,
                format!("{address} is on this host, and {all} answers for it on the segment, too"),
                TWO_HOLDERS,
                "ip neighbour and vrrp scan tell whose card that is; take the address off where it does not belong",
            ),
            (false, [_, _, ..]) => findings.error(
                TWICE,
                format!("{all} answer for {address} on the segment"),
                TWO_HOLDERS,
                "ip neighbour and vrrp scan tell whose cards they are; take the address off where it does not belong",
            ),
            (false, [card]) if is_a_stranger(*card, &claims.peer) => findings.warn(
                "address-held-by-another",
                format!("{card} answers for {address}, which is not the card that answers for the peer's own address"),
                "if it is no other card of the peer, a third host has the address, and nobody here can take it",
                "ip neighbour tells whose card that is; choose an address that is free, or free it",
            ),
            (false, [_]) => {}
            (false, []) if host.has_daemon => findings.warn(
                "address-held-by-nobody",
                format!("nobody on the segment answers for {address}, and the daemon here does not hold it"),
                "clients reach nobody",
                "in a switch it passes: look again; else vrrp status on both hosts tells why neither takes it",
            ),
            (false, []) => {}
        }
    }
}

/// Virtual routers may answer with a card of their own (RFC 9568 §7.3), which tells nothing.
fn is_a_stranger(card: MacAddress, peer: &[MacAddress]) -> bool {
    !card.0.starts_with(&[0, 0, 0x5e, 0, 1]) && !peer.is_empty() && !peer.contains(&card)
}
