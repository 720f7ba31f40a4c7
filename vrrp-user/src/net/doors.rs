//! The way in to one router's services: open, shut to those who come, shut to everybody.
//!
//! Owns what has to happen together: the kernel's block, the answers to whoever runs into it, and the end of connections that
//! are there. While an address leaves, a connection that gets through would be one to nobody: its client waits until its own
//! timeout. Refuses to know when a service leaves.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use vrrp_ebpf::block::Service;

use super::clock;
use super::doorkeeper::Doorkeeper;
use super::farewell::{Farewell, Places};
use super::sockets::{self, SocketsError};
use crate::vrrp::Instant;

/// One per daemon; None: it cannot be had here.
pub type SharedDoorkeeper = Option<Arc<Mutex<Doorkeeper>>>;

/// By then every neighbour that is going to knows the new owner.
const LINGER: Duration = Duration::from_secs(3);

/// A handle: clones are of the same doors.
#[derive(Clone)]
pub struct Doors {
    places: Arc<Places>,
    doorkeeper: SharedDoorkeeper,
    farewell: Arc<Mutex<Option<Farewell>>>,
}

impl Doors {
    pub fn new(places: Places, doorkeeper: SharedDoorkeeper) -> Self {
        Self { places: Arc::new(places), doorkeeper, farewell: Arc::default() }
    }

    /// Whoever asks for a connection is refused, as if nobody listened; connections that are there go on. Without the kernel's
    /// block nothing happens: two answers, ours and the server's, would be worse than one. Inside a runtime. `span`: by then the
    /// address has left. True: they are.
    pub fn refuse_new(&self, span: Duration) -> bool {
        if self.doorkeeper.is_none() {
            return false;
        }
        self.shut(false, span + LINGER)
    }

    /// Whatever comes is answered with a reset, until everybody knows the new owner. Inside a runtime.
    pub fn refuse_all(&self) {
        self.shut(true, LINGER);
    }

    /// Ends the connections that are there and lets nobody in behind them; how many there were. To be called while the address
    /// is still here: the reset is sent from it. Inside a runtime.
    pub fn clear(&self) -> Result<usize, SocketsError> {
        self.refuse_all();
        let addresses: Vec<_> = self.places.addresses.iter().map(|(_, address)| *address).collect();
        sockets::destroy(&addresses, &self.places.ports)
    }

    /// Everybody may come in.
    pub fn open(&self) {
        if let Some(mut doorkeeper) = self.doorkeeper() {
            for service in self.services() {
                doorkeeper.open(&service);
            }
        }
        *lock(&self.farewell) = None;
    }

    #[cfg(test)]
    pub fn is_open(&self) -> bool {
        lock(&self.farewell).is_none()
    }

    /// In this order, and to the same end: who runs into the block must hear of it. False: not all of them are blocked.
    fn shut(&self, is_whole: bool, span: Duration) -> bool {
        let until = clock::now() + span;
        self.answer(is_whole, until);
        self.block(is_whole, until)
    }

    fn block(&self, is_whole: bool, until: Instant) -> bool {
        let Some(mut doorkeeper) = self.doorkeeper() else { return false };
        let mut are_blocked = true;
        for service in self.services() {
            if let Err(error) = doorkeeper.block(service, is_whole, until) {
                tracing::warn!("new connections are not blocked while the address leaves: {error}");
                are_blocked = false;
            }
        }
        are_blocked
    }

    fn answer(&self, is_whole: bool, until: Instant) {
        let mut farewell = lock(&self.farewell);
        if !farewell.as_ref().is_some_and(|under_way| under_way.go_on(until, is_whole)) {
            *farewell = Some(Farewell::begin(&self.places, until, is_whole));
        }
    }

    fn services(&self) -> impl Iterator<Item = Service> + '_ {
        self.places.addresses.iter().flat_map(|(_, address)| {
            let service =
                |port: &u16| Service { address: address.octets(), port: port.to_be_bytes(), padding: 0 };
            self.places.ports.iter().map(service)
        })
    }

    fn doorkeeper(&self) -> Option<MutexGuard<'_, Doorkeeper>> {
        self.doorkeeper.as_ref().map(|doorkeeper| lock(doorkeeper))
    }
}

/// What is behind these locks is whole at any time.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
