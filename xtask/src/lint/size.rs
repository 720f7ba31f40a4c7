//! No Rust file is longer than can be read at a sitting.
//!
//! Owns the cap and the walk over our sources. Refuses to judge what is in them.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

/// Lines, everything included.
const CAP: usize = 600;

/// `file: why` for each file over the cap.
pub(super) fn check(workspace: &Path) -> Result<Vec<String>> {
    let mut complaints = Vec::new();
    for file in rust_files(workspace)? {
        let lines = read(&file)?.lines().count();
        if lines > CAP {
            let shown = file.strip_prefix(workspace).unwrap_or(&file).display();
            complaints.push(format!("{shown}: {lines} lines, the cap is {CAP}: split it by noun"));
        }
    }
    Ok(complaints)
}

/// All `.rs` files below a folder, without build output and hidden folders, in order.
pub(super) fn rust_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).with_context(|| format!("list {}", folder.display()))?;
        for entry in entries {
            let path = entry.with_context(|| format!("list {}", folder.display()))?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() && name != "target" && !name.starts_with('.') {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

pub(super) fn read(file: &Path) -> Result<String> {
    fs::read_to_string(file).with_context(|| format!("read {}", file.display()))
}
