//! Which instances the operator has drained, on disk: it must outlive the daemon, or a restart in the middle of
//! somebody's maintenance would take the address back.
//!
//! Owns one small file in the state folder, replaced whole and never written over. Refuses to know what draining does.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;
use tokio::task::{JoinError, JoinHandle, spawn_blocking};
use tokio::time::timeout;

use crate::daemon::standing::{Holder, Standing};

/// Why a drained instance stays out.
pub(super) const REASON: &str = "drained by the operator";
const FILE: &str = "drained.json";

/// Why it cannot be read or kept.
#[derive(Debug, Error)]
pub(super) enum DrainedError {
    #[error("{operation} {}: {source}", path.display())]
    File { path: PathBuf, operation: &'static str, source: io::Error },
    #[error("{} is not what this program writes: {source}; correct it or remove it", path.display())]
    Form { path: PathBuf, source: serde_json::Error },
    #[error("{} is not on disk after {limit:?}; does its disk hang?", path.display())]
    Late { path: PathBuf, limit: Duration },
    #[error("writing {} was cut short: {source}", path.display())]
    Cut { path: PathBuf, source: JoinError },
}

/// What stands in the file.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    pub drained: BTreeSet<String>,
}

/// The way to the file. One writer at a time: what a disk that hung takes in at last must not come after something newer.
#[derive(Debug, Default)]
pub(super) struct Keeping(Option<JoinHandle<Result<(), DrainedError>>>);

impl Keeping {
    /// On the disk when it returns; not waited for longer than `limit`. A write that takes longer goes on, and one that would have
    /// had to wait for it that long is left out.
    pub(super) async fn keep(
        &mut self,
        folder: &Path,
        drained: BTreeSet<String>,
        limit: Duration,
    ) -> Result<(), DrainedError> {
        let path = folder.join(FILE);
        let kept = async {
            if let Some(former) = &mut self.0 {
                // Whoever waited for it has been told that it was late.
                drop(former.await);
                self.0 = None;
            }
            let folder = folder.to_owned();
            let outcome = self.0.insert(spawn_blocking(move || store(&folder, drained))).await;
            self.0 = None;
            outcome
        };
        match timeout(limit, kept).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(source)) => Err(DrainedError::Cut { path, source }),
            Err(_elapsed) => Err(DrainedError::Late { path, limit }),
        }
    }
}

/// What the disk says at a start: those that there are of them stay out from the beginning.
pub(super) fn recall(folder: &Path, standing: &Standing) -> BTreeSet<String> {
    let drained = load(folder).unwrap_or_else(|error| {
        tracing::error!("{error}; no instance counts as drained");
        BTreeSet::new()
    });
    for instance in &drained {
        if !standing.hold(instance, Holder::Operator, REASON.to_owned()) {
            tracing::warn!("{instance} was drained and is no longer configured");
        }
    }
    drained
}

/// Empty if nothing was ever drained.
fn load(folder: &Path) -> Result<BTreeSet<String>, DrainedError> {
    let path = folder.join(FILE);
    match fs::read(&path) {
        Ok(bytes) => serde_json::from_slice::<Content>(&bytes)
            .map(|content| content.drained)
            .map_err(|source| DrainedError::Form { path, source }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(BTreeSet::new()),
        Err(source) => Err(DrainedError::File { path, operation: "read", source }),
    }
}

/// On the disk when it returns.
fn store(folder: &Path, drained: BTreeSet<String>) -> Result<(), DrainedError> {
    let path = folder.join(FILE);
    let failed = |operation| {
        let path = path.clone();
        move |source| DrainedError::File { path, operation, source }
    };
    fs::create_dir_all(folder).map_err(failed("make the folder of"))?;
    let new = folder.join(format!("{FILE}.new"));
    let bytes = serde_json::to_vec(&Content { drained }).map_err(io::Error::from).map_err(failed("write"))?;
    let written = File::create(&new).and_then(|mut file| {
        file.write_all(&bytes)?;
        file.sync_all()
    });
    written.map_err(failed("write"))?;
    fs::rename(&new, &path).map_err(failed("replace"))?;
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed("put on disk"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_stored_is_loaded_and_nothing_is_no_error() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("state");
        assert_eq!(load(&folder).unwrap(), BTreeSet::new());
        let drained = BTreeSet::from(["VI_1".to_owned(), "VI_2".to_owned()]);
        store(&folder, drained.clone()).unwrap();
        assert_eq!(load(&folder).unwrap(), drained);
        store(&folder, BTreeSet::new()).unwrap();
        assert_eq!(load(&folder).unwrap(), BTreeSet::new());
    }

    /// A pipe that nobody reads: whoever opens it to write hangs, as on a disk that is gone.
    #[tokio::test]
    async fn a_disk_that_hangs_is_waited_for_no_longer_and_takes_in_nothing_out_of_turn() {
        let folder = tempfile::tempdir().unwrap();
        let (pipe, moved) = (folder.path().join(format!("{FILE}.new")), folder.path().join("pipe"));
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let drained = |name: &str| BTreeSet::from([name.to_owned()]);
        let (mut keeping, limit) = (Keeping::default(), Duration::from_millis(50));
        // Long enough for a new thread to reach the pipe: later it would find none there, and a disk that is well.
        let first = keeping.keep(folder.path(), drained("first"), limit * 40).await;
        // From here on the disk is well, but for the writer that hangs: nobody overtakes it.
        fs::rename(&pipe, &moved).unwrap();
        let second = keeping.keep(folder.path(), drained("second"), limit).await;
        let between = load(folder.path()).unwrap();
        // Lets the writer go, or the end of this test would wait for it.
        let mut reader = File::options().read(true).write(true).open(&moved).unwrap();
        let third = keeping.keep(folder.path(), drained("third"), limit * 200).await;
        for late in [first, second] {
            assert!(matches!(late, Err(DrainedError::Late { .. })), "{late:?}");
        }
        assert_eq!(between, BTreeSet::new());
        third.unwrap();
        assert_eq!(load(folder.path()).unwrap(), drained("third"));
        let mut written = [0; 64];
        let length = io::Read::read(&mut reader, &mut written).unwrap();
        assert!(String::from_utf8_lossy(&written[..length]).contains("first"));
    }

    #[test]
    fn a_spoilt_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(FILE), "{").unwrap();
        let error = load(folder.path()).unwrap_err().to_string();
        assert!(error.contains("drained.json") && error.contains("remove it"), "{error}");
    }
}
