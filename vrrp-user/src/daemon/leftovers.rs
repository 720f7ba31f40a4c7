//! Addresses that an earlier daemon left behind.
//!
//! Owns their removal at the start: a virtual address found on an interface before the election is nobody's right.

use crate::daemon::wiring::Wiring;
use crate::net::links::Picture;
use crate::net::netlink::{Netlink, NetlinkError, Vip};
use crate::net::packet::PacketSockets;

/// Takes them off and says priority 0 for each router that had any. True if there were some.
pub(super) fn clear(netlink: &mut Netlink, picture: &Picture, wiring: &Wiring) -> Result<bool, NetlinkError> {
    let mut found = false;
    for router in &wiring.routers {
        let mut had_any = false;
        for vip in &router.holding.vips {
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
        if had_any {
            found = true;
            if let Ok(sockets) = PacketSockets::open([router.ifindex]) {
                sockets.send(router.ifindex, std::iter::once(router.frames.release()));
            }
        }
    }
    Ok(found)
}
