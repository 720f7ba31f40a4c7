//! What the peer's server had when it was last seen, on disk: a daemon that starts beside a dead peer has nobody to ask.
//!
//! Owns one small file, replaced whole, at most once a second and off the runtime's own thread. Unless the peer was rebuilt since,
//! what it says is less than what the peer came to have. Refuses to know what follows from a position.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::mysql::{Position, PositionError};
use crate::net::clock;
use crate::vrrp::Instant;

const PAUSE: Duration = Duration::from_secs(1);
/// What has not changed is written again after this: its age is what people decide by.
const FRESH: Duration = Duration::from_secs(60);

/// What the peer's server had, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub position: Position,
    /// By the host's clock, for people: ms since 1970.
    pub at: u64,
    /// By the clock that nobody sets. None: by the process before this one.
    pub heard: Option<Instant>,
}

impl Seen {
    /// Just now.
    pub fn now(position: Position) -> Self {
        Self { position, at: clock::unix_ms(), heard: Some(clock::now()) }
    }

    /// Nothing, if the clock was set back since.
    pub fn age(&self) -> Duration {
        Duration::from_millis(clock::unix_ms().saturating_sub(self.at))
    }
}

impl core::fmt::Display for Seen {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let age = self.age();
        // Nobody reads milliseconds of an hour.
        let age = if age < Duration::from_secs(10) { age } else { Duration::from_secs(age.as_secs()) };
        write!(f, "{age:?} ago it was at {}", self.position)
    }
}

/// Why nothing is remembered.
#[derive(Debug, Error)]
pub enum MemoryError {
    #[error("{operation} {}: {source}", path.display())]
    File { path: PathBuf, operation: &'static str, source: io::Error },
    #[error("{} is not what this program writes: {source}; it is ignored", path.display())]
    Form { path: PathBuf, source: serde_json::Error },
    #[error("{}: {source}; it is ignored", path.display())]
    Position { path: PathBuf, source: PositionError },
}

/// What stands in the file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    /// Ms since 1970.
    seen_at: u64,
    product: Kind,
    position: String,
    /// MariaDB's gtid_strict_mode.
    is_strict: bool,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    MariaDb,
    MySql,
}

/// One write at a time, of all instances: a disk that hangs has one thread of the few there are.
pub type Turn = Arc<AtomicBool>;

/// The file, and what of it is on the way.
#[derive(Debug)]
pub(super) struct Memory {
    file: PathBuf,
    kept: Option<Position>,
    kept_at: Option<Instant>,
    turn: Turn,
    /// And somebody was told.
    has_failed: Arc<AtomicBool>,
}

impl Memory {
    /// With what the process before left there. A file that cannot be read is said, and is as good as none.
    pub(super) fn recall(instance: &str, file: PathBuf, turn: Turn) -> (Self, Option<Seen>) {
        let seen = load(&file).unwrap_or_else(|error| {
            tracing::error!("{instance}: what the peer's server had is not known from before: {error}");
            None
        });
        (Self { file, kept: None, kept_at: None, turn, has_failed: Arc::default() }, seen)
    }

    /// On its way to the disk, if it is news and the last time was long enough ago, or `is_urgent`. Else a later call sees
    /// to it.
    pub(super) fn keep(&mut self, instance: &str, seen: &Seen, is_urgent: bool) {
        let now = clock::now();
        let is_early = !is_urgent && self.kept_at.is_some_and(|at| now.since(at) < PAUSE);
        let is_fresh = self.kept_at.is_some_and(|at| now.since(at) < FRESH);
        let is_kept = self.kept.as_ref() == Some(&seen.position) && is_fresh;
        // What was only remembered is there already.
        let is_old = seen.heard.is_none() || is_kept && !self.has_failed.load(Ordering::Acquire);
        if is_old || is_early || self.turn.swap(true, Ordering::AcqRel) {
            return;
        }
        (self.kept, self.kept_at) = (Some(seen.position.clone()), Some(now));
        let (turn, has_failed) = (Arc::clone(&self.turn), Arc::clone(&self.has_failed));
        let (file, seen) = (self.file.clone(), seen.clone());
        let instance = instance.to_owned();
        tokio::task::spawn_blocking(move || {
            match store(&file, &seen) {
                Ok(()) => has_failed.store(false, Ordering::Release),
                Err(error) if !has_failed.swap(true, Ordering::AcqRel) => tracing::warn!(
                    "{instance}: {error}; a daemon that is restarted beside a dead peer will not know what that had"
                ),
                Err(error) => tracing::debug!("{instance}: {error}"),
            }
            turn.store(false, Ordering::Release);
        });
    }
}

/// None: nothing was ever kept.
fn load(file: &Path) -> Result<Option<Seen>, MemoryError> {
    let path = file.to_owned();
    let bytes = match fs::read(file) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(MemoryError::File { path, operation: "read", source }),
    };
    let content: Content = match serde_json::from_slice(&bytes) {
        Ok(content) => content,
        Err(source) => return Err(MemoryError::Form { path, source }),
    };
    let position = match content.product {
        Kind::MariaDb => Position::parse_mariadb(&content.position)
            .map(|position| position.clone().joined_with(&position, content.is_strict)),
        Kind::MySql => Position::parse_mysql(&content.position),
    };
    match position {
        Ok(position) => Ok(Some(Seen { position, at: content.seen_at, heard: None })),
        Err(source) => Err(MemoryError::Position { path, source }),
    }
}

fn store(file: &Path, seen: &Seen) -> Result<(), MemoryError> {
    let failed = |operation| move |source| MemoryError::File { path: file.to_owned(), operation, source };
    let (product, is_strict) = match &seen.position {
        Position::MariaDb { is_linear, .. } => (Kind::MariaDb, *is_linear),
        Position::MySql(_) => (Kind::MySql, false),
    };
    let content = Content { seen_at: seen.at, product, position: seen.position.to_string(), is_strict };
    let bytes = serde_json::to_vec(&content).map_err(io::Error::from).map_err(failed("write"))?;
    file.parent().map_or(Ok(()), fs::create_dir_all).map_err(failed("make the folder of"))?;
    // In front: behind it would be the name of another instance's file.
    let mut name = std::ffi::OsString::from("new-");
    name.push(file.file_name().unwrap_or_default());
    let new = file.with_file_name(name);
    // Else the name may be on disk before the bytes, and a host that lost its power remembers nothing.
    let written = File::create(&new).and_then(|mut file| {
        file.write_all(&bytes)?;
        file.sync_data()
    });
    written.map_err(failed("write"))?;
    fs::rename(&new, file).map_err(failed("replace"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const UUID: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";

    fn maria(text: &str) -> Position {
        Position::parse_mariadb(text).unwrap()
    }

    #[test]
    fn what_was_stored_is_recalled_as_older_knowledge() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("state").join("peer-position-VI_1");
        assert_eq!(load(&file).unwrap(), None);
        let strict = maria("0-1-9,0-2-5").joined_with(&maria(""), true);
        for position in [maria(""), strict, Position::parse_mysql(&format!("{UUID}:1-5:7")).unwrap()] {
            let seen = Seen { position, at: 1_000, heard: Some(clock::now()) };
            store(&file, &seen).unwrap();
            assert_eq!(load(&file).unwrap(), Some(Seen { heard: None, ..seen }));
        }
    }

    #[test]
    fn a_spoilt_file_is_named_and_as_good_as_none() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("peer-position-VI_1");
        for spoilt in [
            "",
            "{",
            r#"{"seen_at":1,"product":"mariadb","position":"0-1","is_strict":true}"#,
            r#"{"seen_at":1,"product":"other","position":"0-1-1","is_strict":true}"#,
            r#"{"position":"0-1-1"}"#,
        ] {
            fs::write(&file, spoilt).unwrap();
            let error = load(&file).unwrap_err().to_string();
            assert!(error.contains("peer-position-VI_1") && error.contains("ignored"), "{error}");
            assert_eq!(Memory::recall("VI_1", file.clone(), Turn::default()).1, None);
        }
    }

    /// Reads what is in the file once the write that may be on its way is over.
    async fn settled(memory: &Memory) -> Option<Position> {
        while memory.turn.load(Ordering::Acquire) {
            tokio::task::yield_now().await;
        }
        load(&memory.file).unwrap().map(|seen| seen.position)
    }

    #[tokio::test]
    async fn it_is_kept_at_most_once_a_second_unless_the_role_changes() {
        let folder = tempfile::tempdir().unwrap();
        let (mut memory, seen) = Memory::recall("VI_1", folder.path().join("peer"), Turn::default());
        assert_eq!(seen, None);
        memory.keep("VI_1", &Seen::now(maria("0-1-1")), false);
        assert_eq!(settled(&memory).await, Some(maria("0-1-1")));
        // Whatever the machine's speed: a second has not passed by this clock.
        memory.kept_at = Some(clock::now() + PAUSE);
        memory.keep("VI_1", &Seen::now(maria("0-1-2")), false);
        assert_eq!(settled(&memory).await, Some(maria("0-1-1")));
        memory.keep("VI_1", &Seen::now(maria("0-1-3")), true);
        assert_eq!(settled(&memory).await, Some(maria("0-1-3")));
        memory.kept_at = None;
        memory.keep("VI_1", &Seen::now(maria("0-1-4")), false);
        assert_eq!(settled(&memory).await, Some(maria("0-1-4")));
    }

    #[tokio::test]
    async fn what_was_only_remembered_gets_no_younger_by_being_kept() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("peer");
        let seen = Seen { position: maria("0-1-9"), at: 1_000, heard: Some(clock::now()) };
        store(&file, &seen).unwrap();
        let (mut memory, recalled) = Memory::recall("VI_1", file.clone(), Turn::default());
        memory.keep("VI_1", &recalled.unwrap(), true);
        settled(&memory).await;
        assert_eq!(load(&file).unwrap().map(|seen| seen.at), Some(1_000));
    }
}
