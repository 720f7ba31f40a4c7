//! Why a configuration cannot be used, in the words the operator reads.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use super::problem::Finding;

/// Nothing was touched: the daemon exits with code 2.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("{}: there is no such file; name one with --config FILE", file.display())]
    Missing { file: PathBuf },
    #[error("{}: cannot be read: {source}; run as root, or make it readable", file.display())]
    Denied { file: PathBuf, source: io::Error },
    #[error("{}: cannot be read: {source}", file.display())]
    Unreadable { file: PathBuf, source: io::Error },
    #[error("{}: is a directory; name the file in it", file.display())]
    Directory { file: PathBuf },
    #[error("{}: is longer than 16 MiB; is this the right file?", file.display())]
    TooLong { file: PathBuf },
    #[error("{}:{line}: is not UTF-8 text from here on; save it as UTF-8", file.display())]
    NotUtf8 { file: PathBuf, line: usize },
    #[error("{}: is empty; it needs at least `instances:` with one virtual router", file.display())]
    Empty { file: PathBuf },
    /// Not YAML at all: there is one error, and no more can be known.
    #[error("{0}")]
    Syntax(Finding),
    /// YAML, but not a configuration. In the order of the file; `more` were left out.
    #[error("{}", Lines(findings, *more))]
    Invalid { findings: Vec<Finding>, more: usize },
}

impl ConfigError {
    pub(super) fn read(file: &Path, source: io::Error) -> Self {
        let file = file.to_owned();
        if source.kind() == io::ErrorKind::NotFound {
            Self::Missing { file }
        } else if source.kind() == io::ErrorKind::PermissionDenied {
            Self::Denied { file, source }
        } else {
            Self::Unreadable { file, source }
        }
    }
}

struct Lines<'f>(&'f [Finding], usize);

impl fmt::Display for Lines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(findings, more) = self;
        for (index, finding) in findings.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            write!(f, "{finding}")?;
        }
        if *more > 0 {
            write!(f, "\nand {more} more")?;
        }
        Ok(())
    }
}
