//! Role, replication and positions, as the server tells them.

use tokio::time::{Instant, sleep_until};

use super::Shared;
use super::line::{Line, Way};
use super::seen::{Part, Seen};
use crate::health::judge::{Finding, Symptom, View};
use crate::mysql::statements::{SEMI_SYNC_SETTINGS, SEMI_SYNC_STATE, VERSION};
use crate::mysql::{Flavour, ReplicaStatus, SemiSync, ServerState};

/// Ends only with its task.
pub(super) async fn run(shared: Shared) {
    let Some(state) = shared.settings.state else { return };
    let mut line = Line::new(&shared.settings, &shared.settings.account, Way::Control, state.deadline);
    let mut watch = Waiting::default();
    loop {
        let began = Instant::now();
        let part = Part {
            is_active: *shared.active.borrow(),
            is_managed: shared.is_managed,
            max_lag: state.max_lag,
        };
        let (seen, finding) = match look(&mut line).await {
            Ok(seen) => {
                let finding = seen
                    .trouble(part)
                    .map_or_else(Finding::good, |trouble| Finding::new(Symptom::Impaired, trouble));
                if let Some(line) = watch.hear(&seen, part.is_active) {
                    tracing::warn!(instance = &*shared.instance, "{line}");
                }
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

/// Whether commits wait for a replica, and whether it was said that they do not.
#[derive(Debug, Default)]
struct Waiting {
    has_said: bool,
}

impl Waiting {
    /// A line for the log, once for each fallback.
    fn hear(&mut self, seen: &Seen, is_active: bool) -> Option<&'static str> {
        let has_fallen_back = is_active && seen.server.writability.is_writable() && seen.has_fallen_back();
        let is_news = has_fallen_back && !self.has_said;
        self.has_said = has_fallen_back;
        is_news.then_some(
            "semi-synchronous replication has fallen back to asynchronous: commits are acknowledged before a replica has \
             them, and may be lost with this host",
        )
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
