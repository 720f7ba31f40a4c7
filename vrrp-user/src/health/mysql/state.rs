//! Role, replication and positions, as the server tells them.

use tokio::time::{Instant, sleep_until};

use super::Shared;
use super::line::{Line, Way};
use super::seen::Seen;
use crate::health::judge::{Finding, Symptom, View};
use crate::mysql::statements::{SEMI_SYNC_SETTINGS, SEMI_SYNC_STATE, VERSION};
use crate::mysql::{Flavour, ReplicaStatus, SemiSync, ServerState};

/// Ends only with its task.
pub(super) async fn run(shared: Shared) {
    let Some(state) = shared.settings.state else { return };
    let mut line = Line::new(&shared.settings, &shared.settings.account, Way::Control, state.deadline);
    loop {
        let began = Instant::now();
        let (seen, finding) = match look(&mut line).await {
            Ok(seen) => {
                let finding = seen
                    .trouble(state.max_lag)
                    .map_or_else(Finding::good, |trouble| Finding::new(Symptom::Impaired, trouble));
                (Some(seen), finding)
            }
            // What was seen before would be taken for what is now.
            Err(finding) => (None, finding),
        };
        shared.seen.send_replace(seen);
        shared.desk.tell_since(began, View::State, finding).await;
        sleep_until(began + state.interval).await;
    }
}

async fn look(line: &mut Line) -> Result<Seen, Finding> {
    let version = line.rows(VERSION, "ask for its version").await?;
    let flavour = Flavour::of(version.first().and_then(|row| row.at(0)).unwrap_or_default());
    let identity = line.rows(&flavour.identity(), "ask for its role").await?;
    let Some(server) = identity.first().and_then(ServerState::read) else {
        let cause =
            format!("{flavour} does not say its server_id and read_only; is it a MySQL or MariaDB server?");
        return Err(Finding::new(Symptom::Wrong, cause));
    };
    let replicas = line.rows(flavour.replica_status(), "ask for its replication").await?;
    let settings = line.rows(SEMI_SYNC_SETTINGS, "ask for semi-sync").await?;
    let semi_sync = line.rows(SEMI_SYNC_STATE, "ask for semi-sync").await?;
    Ok(Seen {
        server,
        replicas: replicas.iter().map(ReplicaStatus::read).collect(),
        semi_sync: SemiSync::read(&settings, &semi_sync),
    })
}
