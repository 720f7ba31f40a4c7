//! What an operator sees and says: the status, the socket it is asked for on, and the words on both sides.
//!
//! Owns the form of all that; how it comes about is told by whoever serves it (`daemon`), through a [`desk`].
//!
//! The protocol is HTTP/1.1 over a Unix socket with bodies of JSON; [`routes`] lists what there is. It can be asked by
//! hand: `curl --unix-socket /run/vrrp/vrrp.sock http://vrrp/v1/status`.

pub mod client;
pub mod desk;
pub mod message;
pub mod metrics;
pub mod notify;
pub mod page;
mod patience;
pub mod pcap;
pub mod routes;
pub mod server;
pub mod sight;
pub mod snapshot;
pub mod table;
pub mod watch;
