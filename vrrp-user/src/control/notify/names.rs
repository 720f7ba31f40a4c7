//! Names of hosts: our own, and addresses of others, asked for in a way that holds nothing up.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

/// As the kernel knows it.
pub(super) fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// A name service takes as long as it likes and cannot be interrupted. One question at a time, so that a thread is all
/// that a dead one costs.
#[derive(Clone, Debug)]
pub(super) struct Resolver(Arc<Semaphore>);

impl Default for Resolver {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(1)))
    }
}

impl Resolver {
    /// The first address. An address needs no name service.
    pub(super) async fn resolve(&self, host: &str, port: u16) -> io::Result<SocketAddr> {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        if let Ok(address) = bare.parse() {
            return Ok(SocketAddr::new(address, port));
        }
        let turn = Arc::clone(&self.0).acquire_owned().await.map_err(io::Error::other)?;
        let name = bare.to_owned();
        let found = spawn_blocking(move || {
            let found = (name.as_str(), port).to_socket_addrs();
            drop(turn);
            found
        });
        let mut found = found.await.map_err(io::Error::other)??;
        found.next().ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("{host} has no address")))
    }
}
