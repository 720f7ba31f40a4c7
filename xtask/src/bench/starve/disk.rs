//! Where what is written goes to a disk: a file in memory is none, and takes the memory that others are to be short of.
//!
//! Owns the choice of the folder. Refuses to know what is written there.

use std::{
    env,
    path::{Path, PathBuf},
};

use rustix::fs::{FsWord, statfs};

/// TMPFS_MAGIC of linux/magic.h.
const TMPFS: FsWord = 0x0102_1994;

/// The folder for temporary files, or the one that outlives a reboot; None if both are in memory.
pub(super) fn folder() -> Option<PathBuf> {
    first([env::temp_dir(), PathBuf::from("/var/tmp")], is_on_disk)
}

fn first(folders: impl IntoIterator<Item = PathBuf>, is_on_disk: impl Fn(&Path) -> bool) -> Option<PathBuf> {
    folders.into_iter().find(|folder| is_on_disk(folder))
}

fn is_on_disk(folder: &Path) -> bool {
    statfs(folder).is_ok_and(|system| system.f_type != TMPFS)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_folder_in_memory_is_no_disk() {
        let mounts = fs::read_to_string("/proc/mounts").unwrap();
        let shared = mounts.lines().rfind(|line| line.split(' ').nth(1) == Some("/dev/shm"));
        let is_tmpfs = shared.is_some_and(|line| line.split(' ').nth(2) == Some("tmpfs"));
        assert!(!is_tmpfs || !is_on_disk(Path::new("/dev/shm")));
        assert!(is_on_disk(Path::new("/proc")));
        assert!(!is_on_disk(Path::new("/nowhere/at/all")));
    }

    #[test]
    fn the_next_folder_serves_where_the_first_is_in_memory() {
        let found = |disks: &[&str]| {
            let is_disk = |folder: &Path| disks.iter().any(|disk| folder == Path::new(disk));
            first(["/a", "/b"].map(PathBuf::from), is_disk)
        };
        assert_eq!(found(&["/a", "/b"]), Some("/a".into()));
        assert_eq!(found(&["/b"]), Some("/b".into()));
        assert_eq!(found(&[]), None);
    }
}
