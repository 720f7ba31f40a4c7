//! What must be put right on the interfaces before the election.
//!
//! Owns the removal of virtual addresses that an earlier daemon left behind (found before the election, they are
//! nobody's right), and the setting without which a removal could take the host's own addresses along.

use std::collections::BTreeSet;
use std::fs;

use crate::daemon::wiring::Wiring;
use crate::net::links::Picture;
use crate::net::netlink::{Netlink, NetlinkError, Vip};
use crate::net::packet::PacketSockets;

/// Makes the kernel keep an interface's other addresses when one is removed that happens to be the first of its subnet,
/// as a virtual address is after the network was restarted under it.
pub(super) fn keep_others(wiring: &Wiring, picture: &Picture) {
    let vips = wiring.routers.iter().flat_map(|router| &router.holding.vips);
    let devices: BTreeSet<u32> = vips.map(|vip| vip.ifindex).collect();
    for link in picture.links.iter().filter(|link| devices.contains(&link.ifindex)) {
        let setting = format!("/proc/sys/net/ipv4/conf/{}/promote_secondaries", link.name);
        if fs::read_to_string(&setting).is_ok_and(|value| value.trim() == "1") {
            continue;
        }
        match fs::write(&setting, "1") {
            Ok(()) => tracing::info!(interface = link.name, "promote_secondaries is on now"),
            Err(error) => tracing::warn!(
                interface = link.name,
                "cannot set {setting} to 1 ({error}): if a virtual address becomes the first of its subnet, removing it \
                 removes the host's own; set it with sysctl"
            ),
        }
    }
}

/// Takes them off and says priority 0 for each router that had any. True if there were some. What routers of `living`
/// have is not left over, but may be held.
pub(super) fn clear(
    netlink: &mut Netlink,
    picture: &Picture,
    wiring: &Wiring,
    living: Option<&Wiring>,
) -> Result<bool, NetlinkError> {
    let mut found = false;
    let known = living.map(|living| &living.interest.vips);
    for router in &wiring.routers {
        let mut had_any = false;
        for vip in &router.holding.vips {
            if known.is_some_and(|known| known.contains(&(vip.ifindex, vip.address))) {
                continue;
            }
            // Whatever prefix it has: a changed configuration must not leave the old form behind.
            let left = picture
                .addresses
                .iter()
                .filter(|held| (held.ifindex, held.address) == (vip.ifindex, vip.address));
            for held in left {
                let left = Vip { prefix: held.prefix, ..vip.clone() };
                netlink.remove_address(&left)?;
                tracing::warn!(
                    instance = router.name,
                    "{}/{} was on {} before the election: taken off",
                    held.address,
                    held.prefix,
                    router.interface,
                );
                had_any = true;
            }
        }
        let lives = living.is_some_and(|living| living.router(router.router).is_some());
        found |= had_any;
        if had_any
            && !lives
            && let Ok(sockets) = PacketSockets::open([router.ifindex])
        {
            sockets.send(router.ifindex, std::iter::once(router.frames.release()), |_| ());
        }
    }
    Ok(found)
}
