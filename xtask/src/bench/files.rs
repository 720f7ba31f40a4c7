//! The report as files: `report.json` and `report.html`, whole or not at all.
//!
//! Owns their names and how they come into being. Refuses to know what is in them.

use std::{
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

use super::{html, report::Report};

impl Report {
    /// Writes both into the folder, which is made if it is not there; where they are: JSON, HTML.
    pub(crate) fn write(&self, folder: &Path) -> Result<(PathBuf, PathBuf)> {
        fs::create_dir_all(folder).with_context(|| format!("make the folder {}", folder.display()))?;
        let mut json = serde_json::to_string(self).context("put the report into JSON")?;
        json.push('\n');
        // The numbers first: a page can be made again from them, never the other way round.
        let json = replace(folder, "report.json", &json)?;
        let html = replace(folder, "report.html", &html::page(self))?;
        Ok((json, html))
    }
}

/// A reader sees the old file or the new one: it is written under another name, and that is exchanged.
fn replace(folder: &Path, name: &str, text: &str) -> Result<PathBuf> {
    let path = folder.join(name);
    let partial = folder.join(format!(".{name}.partial"));
    let written = File::create(&partial)
        .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&partial, &path));
    if let Err(error) = written {
        // What is left of it is no use to anybody; if it cannot even be removed, the first error says why.
        drop(fs::remove_file(&partial));
        return Err(error).with_context(|| format!("write {}", path.display()));
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::html::example::report;

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("vrrp-bench-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    #[test]
    fn both_files_are_whole_and_replace_older_ones() {
        let folder = folder("files");
        fs::write(folder.join("report.json"), "old").unwrap();
        let (json, html) = report().write(&folder.join("")).unwrap();
        let value: serde_json::Value = serde_json::from_str(&fs::read_to_string(json).unwrap()).unwrap();
        assert_eq!(value["schema"], crate::bench::report::SCHEMA);
        assert_eq!(value["goals"][0]["reached"], "reached");
        let page = fs::read_to_string(html).unwrap();
        assert!(page.starts_with("<!DOCTYPE html>") && page.ends_with("</html>\n"));
        let mut names: Vec<_> =
            fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["report.html", "report.json"]);
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_file_that_cannot_be_written_is_named_and_leaves_nothing() {
        let folder = folder("obstacle");
        fs::create_dir_all(folder.join("report.json/in the way")).unwrap();
        let error = format!("{:#}", report().write(&folder).unwrap_err());
        assert!(error.contains("report.json"), "{error}");
        assert!(!folder.join(".report.json.partial").exists());
        fs::remove_dir_all(folder).unwrap();
    }
}
