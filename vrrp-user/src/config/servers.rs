//! The servers of the file, held against its virtual addresses and against each other: a server that is another one
//! on each host, or the same one on all, decides nothing.
//!
//! Owns what a managed server, its peer and the server of a check must not be. Refuses to know this host's own addresses
//! (the daemon's wiring).

use std::collections::HashMap;
use std::net::IpAddr;

use super::fields::{Fields, Value};
use super::problem::Problems;
use super::role::Role;
use super::{Config, Instance};
use crate::database::Place;
use crate::health::settings::{Check, Kind, Mysql};

/// Each virtual address of the file, and whose it is.
type Vips<'c> = HashMap<IpAddr, &'c str>;

impl Config {
    /// Whether a check looks at this host's own server as far as the file tells: whatever it asks goes neither to a
    /// virtual address, where the server is that of whoever is MASTER, nor to the peer's.
    pub fn is_own_server(&self, instance: &Instance, mysql: &Mysql) -> bool {
        let mut vips = self.instances.iter().flat_map(|instance| &instance.virtual_addresses);
        let is_elsewhere = vips.any(|vip| IpAddr::V4(vip.address) == mysql.address);
        !asks_at_its_address(mysql) || !is_elsewhere && !is_peer(instance, mysql.address)
    }
}

/// By the socket alone, nothing is asked at the address.
const fn asks_at_its_address(mysql: &Mysql) -> bool {
    mysql.socket.is_none() || mysql.login.is_some()
}

pub(super) fn judge(fields: &Fields<'_>, config: &Config, problems: &mut Problems) {
    let Some(instances) = fields.find("instances") else { return };
    let vips: Vips<'_> = config
        .instances
        .iter()
        .flat_map(|instance| instance.virtual_addresses.iter().map(|vip| (vip, instance.name.as_str())))
        .map(|(vip, name)| (IpAddr::V4(vip.address), name))
        .collect();
    let mut managed = HashMap::new();
    for (index, instance) in config.instances.iter().enumerate() {
        let Some(value) = instances.item(index) else { continue };
        if let (Some(role), Some(mysql)) = (&instance.role, value.key("mysql")) {
            local(role, &mysql, &vips, problems);
            peer(role, &mysql, &vips, problems);
            alone(role, instance, &mysql, &mut managed, problems);
        }
        for (index, check) in instance.checks.iter().enumerate() {
            if let Some(settings) = value.key("checks").and_then(|checks| checks.item(index)) {
                checked(check, instance, &settings, &vips, problems);
            }
        }
    }
}

/// The server that is made read-only while this host is not MASTER.
fn local(role: &Role, mysql: &Value<'_>, vips: &Vips<'_>, problems: &mut Problems) {
    if let Place::Tcp(address, _) = role.local.place
        && let Some(owner) = vips.get(&address)
    {
        let message = format!(
            "{address} is a virtual address of {owner}: on the standby it leads to the active host's server, which the \
             standby would make read-only for ever; use `socket`, or an address that leads to this host's own server on \
             each host, as in 127.0.0.1"
        );
        problems.value(&mysql.key_or_itself("address").path, message);
    }
}

/// The server that is asked whether it still takes writes.
fn peer(role: &Role, mysql: &Value<'_>, vips: &Vips<'_>, problems: &mut Problems) {
    let Some(Place::Tcp(address, _)) = role.peer.as_ref().map(|peer| &peer.place) else { return };
    let is_local = role.peer.as_ref().is_some_and(|peer| peer.place == role.local.place);
    if vips.contains_key(address) || address.is_loopback() || is_local {
        let message = format!(
            "`peer` is at {address}, which leads to this host's own server: the gate would see that one, blame the peer for \
             its writes, and never open; write the other host's own address"
        );
        let peer = mysql.key_or_itself("peer");
        problems.value(&peer.key_or_itself("address").path, message);
    }
}

/// One server follows one MASTER.
fn alone<'c>(
    role: &'c Role,
    instance: &'c Instance,
    mysql: &Value<'_>,
    managed: &mut HashMap<&'c Place, &'c str>,
    problems: &mut Problems,
) {
    if let Some(other) = managed.insert(&role.local.place, &instance.name) {
        let message = format!(
            "the server at {} is already managed by {other}: one would make it read-only while the other needs it \
             writable; put the addresses of both into one instance, or leave `role: manage` to one of them",
            role.local.place
        );
        problems.value(&mysql.path, message);
    }
}

/// A check tells the hosts apart. At a virtual address all of them see the one server, whose end keeps out those who
/// should take over, too. That holds for another instance's address as well: who holds that one is another election's
/// business, and this host's view of it changes with the outcome. To report it is fine: that moves nothing.
fn checked(check: &Check, instance: &Instance, value: &Value<'_>, vips: &Vips<'_>, problems: &mut Problems) {
    let (key, address) = match &check.kind {
        Kind::Tcp(tcp) => ("tcp", tcp.address),
        Kind::Mysql(mysql) if asks_at_its_address(mysql) => ("mysql", mysql.address),
        Kind::Mysql(_) | Kind::Script(_) => return,
    };
    let remedy = "write an address of this host's own server, as in 127.0.0.1, or `on_failure: report`";
    let message = match vips.get(&address) {
        Some(owner) if !check.on_failure.only_report() => format!(
            "{address} is a virtual address of {owner}: all hosts see the same server there, so that its end keeps all of \
             them out and nobody takes over; {remedy}"
        ),
        // A weight is lost beside a peer that is dead, which matters to nobody.
        None if check.on_failure.release() && is_peer(instance, address) => format!(
            "{address} is the peer's address: its end would keep this host out, and nobody takes over; {remedy}"
        ),
        Some(_) | None => return,
    };
    let settings = value.key_or_itself(key);
    problems.value(&settings.key_or_itself("address").path, message);
}

/// A loopback address is nobody's but this host's, whatever is said of the peer.
fn is_peer(instance: &Instance, address: IpAddr) -> bool {
    if address.is_loopback() {
        return false;
    }
    let server = instance.role.as_ref().and_then(|role| role.peer.as_ref()).map(|peer| &peer.place);
    let server = matches!(server, Some(Place::Tcp(server, _)) if *server == address);
    // Of several one may be this host itself: a list that is alike on all of them.
    server || matches!(instance.peers[..], [peer] if IpAddr::V4(peer) == address)
}
