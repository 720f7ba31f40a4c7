//! A fresh login over the clients' listener, with an ordinary account: what an application sees.

use tokio::time::{Instant, sleep_until};

use super::Shared;
use super::line::{Line, Way};
use crate::health::judge::{Finding, View};

/// Ends only with its task.
pub(super) async fn run(shared: Shared) {
    let Some(login) = &shared.settings.login else { return };
    loop {
        let began = Instant::now();
        let mut line = Line::new(&shared.settings, &login.account, Way::Clients, login.deadline);
        let finding = match line.execute("SELECT 1", "SELECT 1").await {
            Ok(()) => Finding::good(),
            Err(finding) => finding,
        };
        shared.desk.tell_since(began, View::Login, finding).await;
        line.leave().await;
        sleep_until(began + login.interval).await;
    }
}
