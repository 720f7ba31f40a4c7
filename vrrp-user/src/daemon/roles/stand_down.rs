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
use crate::role::driver::NoSockets;
use crate::role::{Driver, Occasion};

const LIMIT: Duration = Duration::from_secs(5);
/// Between two attempts: a commit that waits for its disk cannot be ended, only waited for.
const PAUSE: Duration = Duration::from_millis(200);

/// Makes the servers of these instances read-only, all at once; those that no role is managed of are left alone. What came of
/// it is in the log.
pub fn stand_down(config: &Config, names: &[String]) -> Result<(), DaemonError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|source| DaemonError::System { operation: "start a runtime", source })?;
    runtime.block_on(async {
        let mut servers = JoinSet::new();
        for instance in config.instances.iter().filter(|instance| names.contains(&instance.name)) {
            let Some(role) = &instance.role else { continue };
            let (local, error) = credentials(&role.local);
            if let Some(error) = error {
                tracing::error!(instance = instance.name, "the server stays as it is: {error}");
                continue;
            }
            let mut driver = Driver::new(&instance.name, role.settings.clone(), local, None, NoSockets);
            let name = instance.name.clone();
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
