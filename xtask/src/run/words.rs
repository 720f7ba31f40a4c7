//! What a daemon itself warns of: the new lines of its log that are warnings or errors.
//!
//! Owns how far a log has been read. Refuses to interpret what it says.

use std::{
    fs::File,
    io::{Read, Seek, SeekFrom},
};

use vrrp_lab::Process;

use super::stage::Kind;

/// So many at one look; a daemon that says more is read in its log.
const LIMIT: usize = 4;

/// How far one log has been read.
#[derive(Debug, Default)]
pub(super) struct Words {
    read: u64,
}

impl Words {
    /// The warnings and errors since the last look, without their time.
    pub(super) fn look(&mut self, process: &Process) -> Vec<(Kind, String)> {
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
        text.lines().filter_map(grave).take(LIMIT).collect()
    }
}

/// A line of the daemon's log: time, level, text, fields.
fn grave(line: &str) -> Option<(Kind, String)> {
    let (_, rest) = line.split_once("Z ")?;
    let (level, text) = rest.trim_start().split_once(' ')?;
    let kind = match level {
        "WARN" => Kind::Done,
        "ERROR" => Kind::Trouble,
        _ => return None,
    };
    let text = text.split_once(" instance=").map_or(text, |(text, _)| text);
    Some((kind, text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_and_errors_are_told_and_nothing_else() {
        let error = "2026-01-01T07:08:42.912754Z ERROR the servers differ instance=\"VI_1\"";
        assert_eq!(grave(error), Some((Kind::Trouble, "the servers differ".to_owned())));
        let warning = "2026-01-01T07:08:42.912754Z  WARN VI_1: no answer";
        assert_eq!(grave(warning), Some((Kind::Done, "VI_1: no answer".to_owned())));
        assert_eq!(grave("2026-01-01T07:08:42.912754Z  INFO all is well"), None);
        assert_eq!(grave("thread 'main' panicked"), None);
    }
}
