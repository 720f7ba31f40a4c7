//! What is left to do for a server whose daemon died or froze under its address: losing, without anybody who watches.
//!
//! Runs in a process of its own, which the guard starts once the address is off. Until the server is read-only, the other
//! host's gate stays shut. Refuses to outlive its deadline: the daemon is started again, and sees to it at its start.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::keeper::credentials;
use crate::config::Config;
use crate::daemon::DaemonError;
use crate::database::Login;
use crate::role::driver::NoSockets;
use crate::role::{Driver, Occasion};

const LIMIT: Duration = Duration::from_secs(5);
/// Between two attempts: a commit that waits for its disk cannot be ended, only waited for.
const PAUSE: Duration = Duration::from_millis(200);

/// Makes the servers of these instances read-only, all at once. What came of it is in the log.
pub fn stand_down(config: &Config, names: &[String]) -> Result<(), DaemonError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|source| DaemonError::System { operation: "start a runtime", source })?;
    runtime.block_on(async {
        let mut servers = JoinSet::new();
        for name in names {
            let instance = config.instances.iter().find(|instance| instance.name == *name);
            let Some(role) = instance.and_then(|instance| instance.role.as_ref()) else {
                tracing::error!(
                    instance = name,
                    "the server stays as it is: the configuration has no such instance with `role: manage`"
                );
                continue;
            };
            let (local, error) = credentials(&role.local);
            if let Some(error) = error {
                tracing::error!(instance = name, "the server stays as it is: {error}");
                continue;
            }
            // Nobody asks it; the peer's daemon, which is about to ask here, is known by its user and spared.
            let peer = role.peer.as_ref().map(|peer| {
                let (place, user) = (peer.place.clone(), peer.account.user.clone());
                Login { place, user, password: None, tls: None }.into()
            });
            let mut driver = Driver::new(name, role.settings.clone(), local, peer, NoSockets);
            let name = name.clone();
            servers.spawn(async move {
                let lose = async {
                    let lost = driver.lose(Occasion::Forced).await;
                    let mut is_done = lost.is_read_only || lost.is_gone;
                    while !is_done {
                        sleep(PAUSE).await;
                        is_done = driver.refuse_writes().await.is_ok();
                    }
                };
                match timeout(LIMIT, lose).await {
                    Ok(()) => {}
                    Err(_elapsed) => tracing::error!(
                        instance = name,
                        "the server may still take writes without its address, and no daemon is there"
                    ),
                }
            });
        }
        servers.join_all().await;
    });
    Ok(())
}
