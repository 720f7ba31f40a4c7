//! A fact that outlives the process: a file that is there as long as it holds.
//!
//! Owns that file. Refuses to know what the fact is, and to have anybody wait for the disk.

use std::fs;
use std::io;
use std::path::PathBuf;

/// See the file's head.
#[derive(Debug)]
pub struct Flag {
    is_set: bool,
    /// None: it ends with the process.
    file: Option<PathBuf>,
    /// What a restart forgets if the file cannot be written.
    what: &'static str,
}

impl Flag {
    /// Not set, and never kept.
    pub const fn unkept(what: &'static str) -> Self {
        Self { is_set: false, file: None, what }
    }

    /// As the process before left it.
    pub fn kept(file: PathBuf, what: &'static str) -> Self {
        Self { is_set: file.exists(), file: Some(file), what }
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
        let (instance, what) = (instance.to_owned(), self.what);
        tokio::task::spawn_blocking(move || {
            let kept = match is_set {
                true => file.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::write(&file, b"")),
                false => fs::remove_file(&file),
            };
            if let Err(error) = kept
                && error.kind() != io::ErrorKind::NotFound
            {
                tracing::warn!(
                    "{instance}: {}: {error}; a restart of the daemon forgets {what}",
                    file.display()
                );
            }
        });
    }
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
