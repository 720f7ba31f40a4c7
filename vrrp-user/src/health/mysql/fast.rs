//! Ping on a connection that stays, and a sentinel that hears the server close.
//!
//! The library's connection does not notice a close before the next command, and hands out no descriptor to wait on:
//! so the sentinel keeps a statement pending that ends when the server does. Its end alone is no verdict. It may have
//! been killed by somebody: it makes the ping look at once.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};

use super::Shared;
use super::line::{Line, Way};
use crate::health::judge::{Finding, Symptom, View};

/// A login that fails is not tried again at the pace of pings: servers block hosts and fill logs.
const MISTAKE_PAUSE: Duration = Duration::from_secs(2);
/// Nor is a full server asked for one more connection all the time.
const FULL_PAUSE: Duration = Duration::from_millis(250);
/// Below any server's own bound on statements that is worth having.
const SENTINEL: &str = "DO SLEEP(3600)";
const SENTINEL_PAUSE: Duration = Duration::from_millis(500);
/// An idle sentinel's login may take longer than a ping.
const SENTINEL_LOGIN: Duration = Duration::from_secs(2);

/// The ping. Ends only with its task.
pub(super) async fn run(shared: Shared) {
    let fast = shared.settings.fast;
    let mut line = Line::new(&shared.settings, &shared.settings.account, Way::Control, fast.deadline);
    loop {
        let began = Instant::now();
        let finding = look(&mut line, &shared).await;
        let pause = match finding.symptom {
            Symptom::Wrong => MISTAKE_PAUSE,
            Symptom::Impaired => FULL_PAUSE,
            Symptom::Good
            | Symptom::Timeout
            | Symptom::Stuck
            | Symptom::Closed
            | Symptom::Leaving
            | Symptom::Gone => fast.interval,
        };
        shared.desk.tell_since(began, View::Fast, finding).await;
        // A silence has taken its time already.
        let next = (began + pause.max(fast.interval)).max(Instant::now() + Duration::from_millis(1));
        if timeout_at(next, shared.kick.notified()).await.is_ok() {
            tracing::trace!("ping: looking at once");
        }
    }
}

async fn look(line: &mut Line, shared: &Shared) -> Finding {
    let was_open = line.is_open();
    let finding = match line.ping().await {
        Ok(()) => return Finding::good(),
        Err(finding) => finding,
    };
    // A close may have been an idle timeout or somebody's KILL: a new connection knows.
    let finding = if was_open && finding.symptom == Symptom::Closed {
        match line.ping().await {
            Ok(()) => return Finding::good(),
            Err(finding) => finding,
        }
    } else {
        finding
    };
    if finding.symptom == Symptom::Gone && shared.settings.socket.is_some() {
        return doubt_the_path(shared, finding).await;
    }
    finding
}

/// A socket that is not there beside a port that answers is a wrong path, not a dead server: a server that ends closes
/// its port first.
async fn doubt_the_path(shared: &Shared, finding: Finding) -> Finding {
    let settings = &shared.settings;
    let Some(path) = settings.socket.as_ref().filter(|path| !path.exists()) else { return finding };
    let until = Instant::now() + settings.fast.deadline;
    let connecting = tokio::net::TcpStream::connect((settings.address, settings.port.get()));
    match timeout_at(until, connecting).await {
        Ok(Ok(_)) => Finding::new(
            Symptom::Wrong,
            format!(
                "there is no socket {}, but {} accepts connections; correct `socket` in this check",
                path.display(),
                settings.listener()
            ),
        ),
        Ok(Err(_)) | Err(_) => finding,
    }
}

/// The sentinel. Ends only with its task.
pub(super) async fn stand_sentinel(shared: Shared) {
    let mut line = Line::new(&shared.settings, &shared.settings.account, Way::Control, SENTINEL_LOGIN);
    loop {
        match line.open().await {
            Ok(()) => {
                let ended = line.wait(SENTINEL, "wait for the server's end").await;
                tracing::debug!("the sentinel's statement ended: {}", ended.cause);
                if ended.symptom != Symptom::Good {
                    shared.kick.notify_one();
                }
            }
            Err(finding) => {
                if finding.symptom == Symptom::Wrong {
                    sleep(MISTAKE_PAUSE).await;
                }
            }
        }
        sleep(SENTINEL_PAUSE).await;
    }
}
