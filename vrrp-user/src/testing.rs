//! What unit tests of several layers need.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

/// A program that may be run. Another one writes it: a file that this process has open for writing is inherited by
/// whatever another test starts meanwhile, and the kernel runs no program that anybody may write to (ETXTBSY).
pub(crate) fn write_script(path: &Path, body: &str) {
    let mut shell = Command::new("sh");
    shell.args(["-c", "cat > \"$0\" && chmod 755 \"$0\""]).arg(path).stdin(Stdio::piped());
    let mut shell = shell.spawn().expect("a shell");
    let text = format!("#!/bin/sh\n{body}\n");
    shell.stdin.take().expect("piped").write_all(text.as_bytes()).expect("the shell reads");
    assert!(shell.wait().expect("a child").success(), "cannot write {}", path.display());
}
