//! A row in a heartbeat table, and the free space below it: what no ping shows.
//!
//! Writes only where this host holds the address and the server is writable; the space is looked at on a standby, too, which
//! may have to take over. A write that hangs is killed before the next one: a full disk must not fill the server with our sessions
//! too.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::statvfs;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout};

use super::Shared;
use super::line::{Line, Way};
use crate::health::judge::{Finding, Symptom, View};
use crate::health::settings::Write;
use crate::mysql::statements::{SEMI_SYNC_SETTINGS, SEMI_SYNC_STATE, VERSION};
use crate::mysql::{Flavour, SemiSync, ServerState};

/// A file system that does not answer within this is not waited for.
const STATVFS: Duration = Duration::from_millis(200);
const DIRECTORIES: &str = "SELECT @@global.datadir AS datadir, @@global.log_bin_basename AS log_bin";

/// Ends only with its task.
pub(super) async fn run(shared: Shared) {
    let Some(write) = &shared.settings.write else { return };
    let mut prober = Prober {
        line: Line::new(&shared.settings, &shared.settings.account, Way::Control, write.deadline),
        stuck: None,
        before: None,
        unfinished: false,
        beat: 0,
        directories: Vec::new(),
        looking: None,
    };
    loop {
        let began = Instant::now();
        let finding = prober.look(&shared, write).await;
        shared.desk.tell_since(began, View::Write, finding).await;
        sleep_until(began + write.interval).await;
    }
}

struct Prober {
    line: Line,
    /// A session of ours in which a write hangs, and what was said of it.
    stuck: Option<(u32, String)>,
    /// Semi-synchronous replication before the last write that was tried, or at the last look while it hung; None: there is none.
    before: Option<SemiSync>,
    /// The last write that was tried did not end in time.
    unfinished: bool,
    beat: u64,
    directories: Vec<PathBuf>,
    /// A look at the file systems that has not come back.
    looking: Option<JoinHandle<Vec<(PathBuf, u64, u64)>>>,
}

impl Prober {
    async fn look(&mut self, shared: &Shared, write: &Write) -> Finding {
        let wrote = match self.write(shared, write).await {
            Ok(wrote) => wrote,
            Err(finding) => {
                self.unfinished |= matches!(finding.symptom, Symptom::Timeout | Symptom::Stuck);
                return finding;
            }
        };
        let space = self.space(write).await;
        if wrote || space.symptom == Symptom::Good {
            self.unfinished = false;
        } else if self.unfinished {
            // Nothing is written here any more, and so nothing hangs; it would, if the address came back.
            return Finding::new(Symptom::Stuck, format!("the last write did not end, and {}", space.cause));
        }
        space
    }

    /// Whether a row was written: not where somebody else holds the address. A server that is read-only where the address is
    /// does not do what the address promises, unless this daemon is about to make it writable.
    async fn write(&mut self, shared: &Shared, write: &Write) -> Result<bool, Finding> {
        if let Some((id, cause)) = self.stuck.clone() {
            // It may have to wait behind commits that wait for a replica: then the one that hangs is elsewhere.
            let semi_sync = self.semi_sync().await?;
            let waits = match (&self.before, &semi_sync) {
                (Some(before), Some(now)) => now.has_waited_in_vain_since(before),
                (None, _) | (_, None) => false,
            };
            // Another's commit that was acknowledged while this one waited tells of then only.
            self.before = semi_sync;
            let finding = if waits {
                let why =
                    "commits wait for a replica (semi-sync) that acknowledges none; see why it does not";
                Finding::new(Symptom::Impaired, format!("{cause}: {why}"))
            } else {
                Finding::new(Symptom::Timeout, format!("{cause}; it hangs still, and is being killed"))
            };
            // The kill takes effect when the write notices it; until then no other is begun.
            match self.line.execute(&format!("KILL CONNECTION {id}"), "end a write that hangs").await {
                Ok(()) => return Err(finding),
                // 1094, no such thread: it is gone.
                Err(failed) if failed.cause.contains("error 1094") => self.stuck = None,
                Err(failed) => return Err(failed),
            }
        }
        let asked = if self.directories.is_empty() { self.ask_directories().await } else { Ok(()) };
        if !*shared.active.borrow() {
            // Why a standby's server does not answer is for the other views to say.
            return Ok(false);
        }
        asked?;
        let version = self.line.rows(VERSION, "ask for its version").await?;
        let flavour = Flavour::of(version.first().and_then(|row| row.at(0)).unwrap_or_default());
        let identity = self.line.rows(&flavour.identity(), "ask whether it is writable").await?;
        let Some(server) = identity.first().and_then(ServerState::read) else { return Ok(false) };
        if !server.writability.is_writable() && shared.is_managed {
            return Ok(false);
        }
        if !server.writability.is_writable() {
            let cause = format!(
                "this host is MASTER, and its server refuses writes ({}); make it writable, or move the address with `vrrp \
                 drain`",
                server.writability
            );
            return Err(Finding::new(Symptom::Impaired, cause));
        }
        self.before = self.semi_sync().await?;
        let id = self.line.id();
        let (schema, table) = &write.table;
        self.beat += 1;
        let statement = flavour.beat(&format!("`{schema}`.`{table}`"), server.server_id, self.beat);
        let result = self.line.execute(&statement, &format!("write to {schema}.{table}")).await;
        if let Err(Finding { symptom: Symptom::Timeout, cause }) = &result {
            self.stuck = id.map(|id| (id, cause.clone()));
        }
        result.map(|()| true)
    }

    async fn semi_sync(&mut self) -> Result<Option<SemiSync>, Finding> {
        let settings = self.line.rows(SEMI_SYNC_SETTINGS, "ask for semi-sync").await?;
        let state = self.line.rows(SEMI_SYNC_STATE, "ask for semi-sync").await?;
        Ok(SemiSync::read(&settings, &state))
    }

    async fn ask_directories(&mut self) -> Result<(), Finding> {
        let rows = self.line.rows(DIRECTORIES, "ask for its directories").await?;
        let Some(row) = rows.first() else { return Ok(()) };
        let value = |name: &str| row.get(&[name]).map(PathBuf::from);
        let binlog = value("log_bin").and_then(|base| base.parent().map(Path::to_owned));
        self.directories = [value("datadir"), binlog].into_iter().flatten().collect();
        self.directories.dedup();
        Ok(())
    }

    /// Only where the server's directories are this host's too.
    async fn space(&mut self, write: &Write) -> Finding {
        let mut looking = match self.looking.take() {
            Some(looking) => looking,
            None => {
                let directories = self.directories.clone();
                tokio::task::spawn_blocking(move || measure(directories))
            }
        };
        let measured = match timeout(STATVFS, &mut looking).await {
            Ok(Ok(measured)) => measured,
            Ok(Err(_panicked)) => return Finding::good(),
            Err(_elapsed) => {
                self.looking = Some(looking);
                return Finding::new(
                    Symptom::Impaired,
                    "the server's file system does not say how full it is",
                );
            }
        };
        let short = measured.into_iter().find(|(_, free, total)| write.min_free.is_short(*free, *total));
        short.map_or_else(Finding::good, |(directory, free, total)| {
            let cause = format!(
                "{} has {} MiB free of {} MiB; free space, or lower `min_free`",
                directory.display(),
                free >> 20,
                total >> 20
            );
            Finding::new(Symptom::Impaired, cause)
        })
    }
}

fn measure(directories: Vec<PathBuf>) -> Vec<(PathBuf, u64, u64)> {
    directories
        .into_iter()
        .filter_map(|directory| {
            let found = statvfs(&directory).ok()?;
            let unit = found.f_frsize;
            Some((directory, found.f_bavail.saturating_mul(unit), found.f_blocks.saturating_mul(unit)))
        })
        .collect()
}
