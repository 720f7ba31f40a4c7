//! The text of the configuration in effect, for whoever acts by it when the daemon is gone: the file may say something else by
//! then.
//!
//! Owns memory without a name, which lives as long as somebody has it open; no disk and no process list shows what is in it.
//! Refuses to know what the text says.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;

use rustix::fs::{MemfdFlags, memfd_create};
use thiserror::Error;

/// Why it cannot be left.
#[derive(Debug, Error)]
#[error("the configuration cannot be kept for the guard: {0}")]
pub struct TestamentError(#[from] io::Error);

/// See the file's head. A clone is the same one.
#[derive(Clone, Debug)]
pub struct Testament(Arc<File>);

impl Testament {
    pub fn write(text: &str) -> Result<Self, TestamentError> {
        let memory = memfd_create("vrrp-config", MemfdFlags::CLOEXEC).map_err(io::Error::from)?;
        let mut file = File::from(memory);
        file.write_all(text.as_bytes())?;
        Ok(Self(Arc::new(file)))
    }

    /// In this process.
    pub(super) fn fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}
