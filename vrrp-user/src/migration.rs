//! `vrrp import`: the importer with a disk, a terminal and an exit code.
//!
//! Owns where the YAML goes. Refuses to overwrite anything unasked.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use thiserror::Error;
use vrrp_user::import::{self, Disk, Grade, Options, Report};

use crate::cli::Import;

const WITH_WARNINGS: u8 = 1;
const WITH_ERRORS: u8 = 2;
const NOTHING_WRITTEN: u8 = 3;

#[derive(Debug, Error)]
enum WriteError {
    #[error("{} is there already and stays as it is; name another file, or say --force", file.display())]
    Exists { file: PathBuf },
    #[error("cannot write {}: {source}", file.display())]
    Failed { file: PathBuf, source: io::Error },
    #[error("cannot write to standard output: {0}")]
    Output(io::Error),
}

pub(crate) fn run(wanted: &Import) -> ExitCode {
    let options = Options {
        config_id: wanted.config_id.clone().unwrap_or_else(import::name),
        local: if wanted.local.is_empty() { import::local_addresses() } else { wanted.local.clone() },
    };
    let imported = match import::import(&wanted.file, &Disk, &options) {
        Ok(imported) => imported,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(NOTHING_WRITTEN);
        }
    };
    eprint!("{}", imported.report);
    let Some(yaml) = &imported.yaml else {
        eprintln!("{}; nothing is written", Sum(&imported.report));
        return ExitCode::from(NOTHING_WRITTEN);
    };
    let written = match &wanted.output {
        None => io::stdout().write_all(yaml.as_bytes()).map_err(WriteError::Output),
        Some(file) => write(file, yaml, wanted.force),
    };
    if let Err(error) = written {
        eprintln!("{error}");
        return ExitCode::from(NOTHING_WRITTEN);
    }
    eprintln!("{}", Sum(&imported.report));
    let has = |grade| imported.report.count(grade) > 0;
    if has(Grade::Error) {
        ExitCode::from(WITH_ERRORS)
    } else if has(Grade::Warning) {
        ExitCode::from(WITH_WARNINGS)
    } else {
        ExitCode::SUCCESS
    }
}

/// Whole or not at all: beside it first, and then in its place. Its password is nobody else's business.
fn write(file: &Path, yaml: &str, force: bool) -> Result<(), WriteError> {
    let failed = |source| WriteError::Failed { file: file.to_owned(), source };
    let name = file.file_name().ok_or_else(|| failed(io::ErrorKind::InvalidInput.into()))?;
    let mut hidden = std::ffi::OsString::from(".");
    hidden.push(name);
    hidden.push(format!(".{}", std::process::id()));
    let beside = file.with_file_name(hidden);
    let put = || {
        let mut open: File = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
        open.write_all(yaml.as_bytes())?;
        open.sync_all()?;
        if force {
            return fs::rename(&beside, file);
        }
        // A link, unlike a rename, never replaces what is there.
        fs::hard_link(&beside, file)?;
        fs::remove_file(&beside)
    };
    put().map_err(|source| {
        // What is left of a try that failed is not worth a message of its own.
        fs::remove_file(&beside).unwrap_or_default();
        if source.kind() == io::ErrorKind::AlreadyExists {
            WriteError::Exists { file: file.to_owned() }
        } else {
            failed(source)
        }
    })
}

/// The last line.
struct Sum<'r>(&'r Report);

impl std::fmt::Display for Sum<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let count = |grade| self.0.count(grade);
        let plural = |count: usize| if count == 1 { "" } else { "s" };
        let (errors, warnings, ignored) = (count(Grade::Error), count(Grade::Warning), count(Grade::Ignored));
        write!(
            f,
            "{errors} error{}, {warnings} warning{}, {ignored} ignored",
            plural(errors),
            plural(warnings)
        )
    }
}
