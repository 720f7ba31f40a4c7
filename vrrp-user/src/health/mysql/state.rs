//! Role, replication and positions, as the server tells them.

use tokio::time::{Instant, sleep_until};

use super::Shared;
use super::line::{Fields, Line, Way};
use super::server::{Identity, SEMI_SYNC, ServerState, VERSION};
use crate::health::judge::{Finding, Symptom, View};
use crate::health::settings::State;

/// Ends only with its task.
pub(super) async fn run(shared: Shared) {
    let Some(state) = shared.settings.state else { return };
    let mut line = Line::new(&shared.settings, &shared.settings.account, Way::Control, state.deadline);
    loop {
        let began = Instant::now();
        let finding = match look(&mut line).await {
            Ok(seen) => {
                let finding = judge(&seen, state);
                shared.state.send_replace(Some(seen));
                finding
            }
            Err(finding) => {
                // Old news would be taken for new.
                shared.state.send_replace(None);
                finding
            }
        };
        shared.desk.tell(View::State, finding).await;
        sleep_until(began + state.interval).await;
    }
}

fn judge(seen: &ServerState, state: State) -> Finding {
    match seen.trouble(state.max_lag) {
        Some(trouble) => Finding::new(Symptom::Impaired, trouble),
        None => Finding::good(),
    }
}

async fn look(line: &mut Line) -> Result<ServerState, Finding> {
    let version = first(line.rows(VERSION, "ask for its version").await?);
    let value = |name: &str| version.get(name).cloned().flatten().unwrap_or_default();
    let Some(identity) = Identity::parse(&value("version"), &value("comment")) else {
        let cause = format!("the server calls its version \"{}\", which is none", value("version"));
        return Err(Finding::new(Symptom::Wrong, cause));
    };
    let variables = first(line.rows(identity.variables(), "ask for its role").await?);
    let replication = line.rows(identity.replication(), "ask for its replication").await?;
    let semi_sync = line.rows(SEMI_SYNC, "ask for semi-sync").await?;
    Ok(ServerState::read(identity, &variables, &replication, &semi_sync))
}

fn first(rows: Vec<Fields>) -> Fields {
    rows.into_iter().next().unwrap_or_default()
}
