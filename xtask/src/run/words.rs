//! What a daemon itself says is wrong: the new lines of its log that are errors.
//!
//! Owns how far a log has been read. Refuses to interpret what it says.

use std::{
    fs::File,
    io::{Read, Seek, SeekFrom},
};

use vrrp_lab::Process;

/// So many at one look; a daemon that says more is read in its log.
const LIMIT: usize = 4;

/// How far one log has been read.
#[derive(Debug, Default)]
pub(super) struct Words {
    read: u64,
}

impl Words {
    /// The errors since the last look, without their time.
    pub(super) fn look(&mut self, process: &Process) -> Vec<String> {
        if process.log_len() <= self.read {
            return Vec::new();
        }
        let mut text = Vec::new();
        let read = File::open(process.log_file()).and_then(|mut file| {
            file.seek(SeekFrom::Start(self.read))?;
            file.read_to_end(&mut text)
        });
        if read.is_err() {
            return Vec::new();
        }
        // A line that is being written is read when it is whole.
        let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
        self.read += whole as u64;
        let text = String::from_utf8_lossy(text.get(..whole).unwrap_or_default()).into_owned();
        text.lines().filter_map(error).take(LIMIT).collect()
    }
}

/// The text of an error in the daemon's log: time, level, text, fields.
fn error(line: &str) -> Option<String> {
    let (_, rest) = line.split_once("Z ")?;
    let text = rest.trim_start().strip_prefix("ERROR ")?;
    Some(text.split_once(" instance=").map_or(text, |(text, _)| text).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_told_and_nothing_else() {
        let line = "2026-01-01T07:08:42.912754Z ERROR the servers differ instance=\"VI_1\"";
        assert_eq!(error(line), Some("the servers differ".to_owned()));
        assert_eq!(error("2026-01-01T07:08:42.912754Z ERROR VI_1: no"), Some("VI_1: no".to_owned()));
        assert_eq!(error("2026-01-01T07:08:42.912754Z  WARN all is ERROR here"), None);
        assert_eq!(error("thread 'main' panicked"), None);
    }
}
