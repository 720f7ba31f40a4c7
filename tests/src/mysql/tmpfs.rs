//! A file system of a few megabytes, to be filled up.
//!
//! Owns the mount; it is gone when dropped, also with files open in it. Refuses to know who runs out of space.

use std::{
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use rustix::fs::statvfs;

use crate::namespace::run;

const FILLER: &str = "filler";

/// A mounted tmpfs.
#[derive(Debug)]
pub struct Tmpfs {
    folder: PathBuf,
}

impl Tmpfs {
    /// Mounts one of that many megabytes at `folder`, which is made.
    pub fn mount(folder: &Path, megabytes: u32) -> Result<Self> {
        fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
        let options = format!("size={megabytes}m,mode=0755");
        run("mount", &["-t", "tmpfs", "-o", &options, "lab", &folder.to_string_lossy()])?;
        Ok(Self { folder: folder.to_owned() })
    }

    /// Where it is mounted.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    fn filler(&self) -> Result<(File, PathBuf)> {
        let path = self.folder.join(FILLER);
        let file = File::options().create(true).append(true).open(&path);
        let file = file.with_context(|| format!("open {}", path.display()))?;
        Ok((file, path))
    }

    /// Leaves no byte free.
    pub fn fill(&self) -> Result<()> {
        let (mut file, path) = self.filler()?;
        // Big blocks first, then the last page.
        for size in [1 << 20, 4096, 1] {
            let block = vec![0x55; size];
            loop {
                match file.write(&block) {
                    Ok(0) => break,
                    Ok(_) => {}
                    Err(error) if error.kind() == std::io::ErrorKind::StorageFull => break,
                    Err(error) => return Err(error).with_context(|| format!("fill {}", path.display())),
                }
            }
        }
        Ok(())
    }

    /// Leaves that many megabytes free, or less.
    pub fn fill_but(&self, megabytes: u64) -> Result<()> {
        let (mut file, path) = self.filler()?;
        let block = vec![0x55; 1 << 20];
        loop {
            let space = statvfs(&self.folder).with_context(|| format!("ask {}", self.folder.display()))?;
            if space.f_bavail.saturating_mul(space.f_frsize) <= megabytes << 20 {
                return Ok(());
            }
            file.write_all(&block).with_context(|| format!("fill {}", path.display()))?;
        }
    }

    /// Gives back what was filled.
    pub fn free(&self) -> Result<()> {
        let path = self.folder.join(FILLER);
        fs::remove_file(&path).with_context(|| format!("remove {}", path.display()))
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        // Lazy: a server that was killed a moment ago may still hold its files.
        if let Err(error) = run("umount", &["--lazy", &self.folder.to_string_lossy()]) {
            eprintln!("lab: {error:#}");
        }
    }
}

/// Unmounts what is mounted below `folder`: a run that was killed could not.
pub(crate) fn unmount_below(folder: &Path) {
    let Ok(table) = fs::read_to_string("/proc/self/mounts") else { return };
    for mounted in table.lines().filter_map(|line| line.split(' ').nth(1)) {
        if Path::new(mounted).starts_with(folder)
            && let Err(error) = run("umount", &["--lazy", mounted])
        {
            eprintln!("lab: {error:#}");
        }
    }
}
