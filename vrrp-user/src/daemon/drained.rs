//! Which instances the operator has drained, on disk: it must outlive the daemon, or a restart in the middle of
//! somebody's maintenance would take the address back.
//!
//! Owns one small file in the state folder, replaced whole and never written over. Refuses to know what draining does.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use thiserror::Error;

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
}

/// What stands in the file.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    pub drained: BTreeSet<String>,
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
pub(super) fn store(folder: &Path, drained: BTreeSet<String>) -> Result<(), DrainedError> {
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

    #[test]
    fn a_spoilt_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(FILE), "{").unwrap();
        let error = load(folder.path()).unwrap_err().to_string();
        assert!(error.contains("drained.json") && error.contains("remove it"), "{error}");
    }
}
