//! What our daemon's file says about a server of the lab: its checks, and the role that goes with the address.
//!
//! Owns these lines, with the accounts of `config/`. Refuses to know the rest of the file.

use std::net::Ipv4Addr;

use super::Server;

/// `mysql:` of an instance with `role: manage`; `more` are further keys, each with a comma behind it.
pub fn role(server: &Server, peer: Ipv4Addr, more: &str) -> String {
    format!(
        "mysql: {{ {more} socket: {}, user: vrrp, password: change-me-vrrp, peer: {{ address: {peer}, user: vrrp_peer, \
         password: change-me-peer }} }}",
        server.socket().display()
    )
}

/// The same with its own server asked by its address, over TCP.
pub fn role_by_address(peer: Ipv4Addr, more: &str, peer_more: &str) -> String {
    format!(
        "mysql: {{ {more} address: 127.0.0.1, user: vrrp, password: change-me-vrrp, peer: {{ {peer_more} address: {peer}, user: \
         vrrp_peer, password: change-me-peer }} }}"
    )
}

/// `checks:` of an instance: the server's process, ping, and a login as the application has it; `more` as in [`role`].
pub fn checks(server: &Server, more: &str) -> String {
    format!(
        "checks: [{{ mysql: {{ {more} socket: {}, user: vrrp_probe, password: change-me-probe, login: {{ user: app, \
         password: app-password, interval: 200ms, deadline: 2s }} }}, hold_down: 300ms }}]",
        server.socket().display()
    )
}
