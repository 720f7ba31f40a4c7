//! A fact that outlives the process: a file that is there as long as it holds.
//!
//! Owns that file. Refuses to know what the fact is, and to have anybody wait for the disk.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// See the file's head.
#[derive(Debug)]
pub struct Flag {
    is_set: bool,
    /// None: it ends with the process.
    file: Option<PathBuf>,
    way: Arc<Way>,
    /// What a restart forgets if the file cannot be written.
    what: &'static str,
}

/// However many writes are on it, the last one writes the last word.
#[derive(Debug, Default)]
struct Way {
    wanted: AtomicBool,
    turn: Mutex<()>,
}

impl Flag {
    /// Not set, and never kept.
    pub fn unkept(what: &'static str) -> Self {
        Self { is_set: false, file: None, way: Arc::default(), what }
    }

    /// As the process before left it.
    pub fn kept(file: PathBuf, what: &'static str) -> Self {
        Self { is_set: file.exists(), file: Some(file), way: Arc::default(), what }
    }

    pub const fn is_set(&self) -> bool {
        self.is_set
    }

    /// Must be called inside the runtime.
    pub fn set(&mut self, instance: &str, is_set: bool) {
        if self.is_set == is_set {
            return;
        }
        self.is_set = is_set;
        let Some(file) = self.file.clone() else { return };
        let (instance, what, way) = (instance.to_owned(), self.what, Arc::clone(&self.way));
        way.wanted.store(is_set, Ordering::Release);
        tokio::task::spawn_blocking(move || {
            let _turn = way.turn.lock().unwrap_or_else(PoisonError::into_inner);
            if let Err(error) = write(&file, way.wanted.load(Ordering::Acquire)) {
                tracing::warn!(
                    "{instance}: {}: {error}; a restart of the daemon forgets {what}",
                    file.display()
                );
            }
        });
    }
}

fn write(file: &Path, is_set: bool) -> io::Result<()> {
    if !is_set {
        return match fs::remove_file(file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(()),
        };
    }
    file.parent().map_or(Ok(()), fs::create_dir_all)?;
    // A host that loses its power forgets nothing that is in its folder.
    File::create(file)?.sync_all()?;
    file.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_outlives_whoever_set_it_and_no_longer_once_it_is_taken_back() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("state").join("flag");
        for is_set in [true, false] {
            let mut flag = Flag::kept(file.clone(), "it");
            assert_eq!(flag.is_set(), !is_set);
            flag.set("VI_1", is_set);
            assert_eq!(flag.is_set(), is_set);
            while file.exists() != is_set {
                tokio::task::yield_now().await;
            }
        }
        assert!(!Flag::kept(file, "it").is_set());
    }
}
