//! Passwords of the databases: where one comes from, and that it is shown nowhere.
//!
//! Owns reading it and the refusal of a file that others can read. Refuses to know who logs in with it.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::process::geteuid;
use thiserror::Error;

/// What stands in a password's place wherever somebody reads.
pub const HIDDEN: &str = "***";

/// A longer file holds no password.
const MAX_FILE: u64 = 4096;
/// Permissions that let anybody but the owner at the file.
const OTHERS: u32 = 0o077;

/// A password in memory. Only [`Secret::reveal`] shows it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// For whoever logs in, or hands it to who does.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

/// Where a password comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// None is sent: unix_socket authentication, or an account without one.
    Empty,
    /// Written into the configuration.
    Inline(Secret),
    /// The first line of a file that only its owner can read.
    File(PathBuf),
    /// An environment variable of the daemon.
    Environment(String),
}

#[derive(Debug, Error)]
pub enum SecretError {
    #[error("the password file {} cannot be read: {source}; create it with `install -m 600 /dev/null {}` and write the password into it", file.display(), file.display())]
    Unreadable { file: PathBuf, source: io::Error },
    #[error("the password file {} has mode {mode:04o}, so others can read it; `chmod 600 {}`", file.display(), file.display())]
    Open { file: PathBuf, mode: u32 },
    #[error("the password file {} belongs to user {owner}, who could change it; `chown root {}`", file.display(), file.display())]
    Owner { file: PathBuf, owner: u32 },
    #[error("the password file {} {what}; write the password alone into its first line", file.display())]
    Contents { file: PathBuf, what: &'static str },
    #[error(
        "the environment variable {name} is not set; set it for the daemon (Environment= in the unit), or use \
         `password_file`"
    )]
    Unset { name: String },
}

impl Source {
    /// The password as it is now: a file may have changed since.
    pub fn read(&self) -> Result<Option<Secret>, SecretError> {
        match self {
            Self::Empty => Ok(None),
            Self::Inline(secret) => Ok(Some(secret.clone())),
            Self::File(file) => from_file(file).map(Some),
            Self::Environment(name) => match std::env::var(name) {
                Ok(password) => Ok(Some(Secret::new(password))),
                Err(_missing_or_not_text) => Err(SecretError::Unset { name: name.clone() }),
            },
        }
    }
}

fn from_file(path: &Path) -> Result<Secret, SecretError> {
    let file = || path.to_owned();
    let unreadable = |source| SecretError::Unreadable { file: file(), source };
    let opened = File::open(path).map_err(unreadable)?;
    // Of what was opened, not of the path: it may be another file by now.
    let metadata = opened.metadata().map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(SecretError::Contents { file: file(), what: "is no ordinary file" });
    }
    let mode = metadata.mode() & 0o7777;
    if mode & OTHERS != 0 {
        return Err(SecretError::Open { file: file(), mode });
    }
    let owner = metadata.uid();
    if owner != 0 && owner != geteuid().as_raw() {
        return Err(SecretError::Owner { file: file(), owner });
    }
    let mut text = String::new();
    let contents = |what| SecretError::Contents { file: file(), what };
    match opened.take(MAX_FILE + 1).read_to_string(&mut text) {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            return Err(contents("is not UTF-8 text"));
        }
        Err(error) => return Err(unreadable(error)),
    }
    if text.len() as u64 > MAX_FILE {
        return Err(contents("is longer than a password"));
    }
    let line = text.lines().next().unwrap_or_default();
    if line.is_empty() {
        return Err(contents("begins with an empty line"));
    }
    Ok(Secret::new(line))
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn file(mode: u32, contents: &[u8]) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        fs::write(&path, contents).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        (folder, path)
    }

    #[test]
    fn a_file_that_only_its_owner_reads_is_the_password() {
        for mode in [0o600, 0o400] {
            let (_folder, path) = file(mode, b"hunter2 \n# not this\n");
            assert_eq!(Source::File(path).read().unwrap().unwrap().reveal(), "hunter2 ");
        }
    }

    #[test]
    fn a_file_that_others_can_read_is_refused_without_showing_it() {
        for mode in [0o640, 0o604, 0o620, 0o601] {
            let (_folder, path) = file(mode, b"hunter2\n");
            let message = Source::File(path).read().unwrap_err().to_string();
            assert!(message.contains(&format!("has mode {mode:04o}")), "{message}");
            assert!(message.contains("chmod 600") && !message.contains("hunter2"), "{message}");
        }
    }

    #[test]
    fn a_file_without_a_password_says_what_it_is() {
        for (contents, words) in [
            (&b""[..], "begins with an empty line"),
            (b"\nhunter2\n", "begins with an empty line"),
            (b"hunter2\xff", "is not UTF-8 text"),
            (&[b'x'; 5000], "is longer than a password"),
        ] {
            let (_folder, path) = file(0o600, contents);
            let message = Source::File(path).read().unwrap_err().to_string();
            assert!(message.contains(words) && !message.contains("hunter2"), "{message}");
        }
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), Permissions::from_mode(0o700)).unwrap();
        let message = Source::File(folder.path().to_owned()).read().unwrap_err().to_string();
        assert!(message.contains("is no ordinary file"), "{message}");
        let message = Source::File(folder.path().join("none")).read().unwrap_err().to_string();
        assert!(message.contains("cannot be read"), "{message}");
    }

    #[test]
    fn a_variable_that_is_not_set_is_named() {
        let name = "VRRP_TEST_NO_SUCH_VARIABLE".to_owned();
        let message = Source::Environment(name).read().unwrap_err().to_string();
        assert!(message.contains("VRRP_TEST_NO_SUCH_VARIABLE is not set"), "{message}");
    }

    #[test]
    fn debug_output_hides_it() {
        let shown = format!("{:?}", Source::Inline(Secret::new("hunter2")));
        assert_eq!(shown, "Inline(***)");
    }
}
