//! The probes of one MySQL or MariaDB server: four views, each with its own connection and deadline.
//!
//! Owns their tasks. Refuses to know what their findings add up to (`judge`).

mod error;
mod fast;
mod line;
mod login;
mod seen;
mod state;
mod write;

use std::sync::Arc;

use tokio::sync::{Notify, watch};

use super::process::{self, Witness};
use super::settings::Mysql;
use super::watch::{Desk, Probes};
pub use seen::Seen;

/// What the probes of one server share.
#[derive(Clone)]
pub(super) struct Shared {
    /// Whose check it is, for the log.
    pub(super) instance: Arc<str>,
    pub(super) settings: Arc<Mysql>,
    pub(super) desk: Desk,
    /// Somebody has reason to look at once.
    pub(super) kick: Arc<Notify>,
    /// Whether this host holds the address.
    pub(super) active: watch::Receiver<bool>,
    /// A promotion of ours may be under way: then a read-only server where this host is MASTER is no trouble.
    pub(super) is_managed: bool,
    pub(super) seen: watch::Sender<Option<Seen>>,
}

/// Starts them all.
pub(super) fn start(probes: &mut Probes, shared: &Shared, witness: Option<Witness>) {
    let settings = &shared.settings;
    probes.add("fast", shared.clone(), fast::run);
    probes.add("sentinel", shared.clone(), fast::stand_sentinel);
    if settings.login.is_some() {
        probes.add("login", shared.clone(), login::run);
    }
    if settings.state.is_some() {
        probes.add("state", shared.clone(), state::run);
    }
    if settings.write.is_some() {
        probes.add("write", shared.clone(), write::run);
    }
    if settings.process {
        let listener = process::Listener {
            address: settings.address,
            port: settings.port.get(),
            socket: settings.socket.clone(),
        };
        let place =
            process::Place { listener, witness, desk: shared.desk.clone(), kick: Arc::clone(&shared.kick) };
        probes.add("process", place, process::run);
    }
}
