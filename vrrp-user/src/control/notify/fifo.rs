//! The FIFO, with keepalived's lines: `INSTANCE "VI_1" MASTER 100`, and `CHECK "VI_1" "port" dead`.
//!
//! Owns the file. It is opened for reading too, so that a reader may come and go; while it is full, news wait.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::{CWD, FileType, Mode, OFlags, fstat, mknodat, open};
use rustix::io::{Errno, write};
use tokio::time::sleep;

use super::outbox::Outbox;
use super::{News, Tally, What};

/// A FIFO that is full, or is none, is tried again after this.
const PAUSE: Duration = Duration::from_millis(100);
const REOPEN: Duration = Duration::from_secs(2);

/// Until the outbox is closed and empty.
pub(super) async fn run(path: PathBuf, outbox: Outbox<News>, tally: Arc<Tally>) {
    let mut fifo = None;
    let mut is_said = false;
    // At once: whoever reads it may be started now.
    prepare(&path, &mut fifo, &mut is_said);
    while let Some(news) = outbox.take().await {
        let is_written = deliver(&path, &mut fifo, &line(&news), &outbox, &mut is_said).await;
        tally.note(is_written);
    }
}

async fn deliver(
    path: &Path,
    fifo: &mut Option<OwnedFd>,
    line: &str,
    outbox: &Outbox<News>,
    is_said: &mut bool,
) -> bool {
    loop {
        prepare(path, fifo, is_said);
        let pause = match fifo.as_ref().map(|fifo| write(fifo, line.as_bytes())) {
            // Shorter than PIPE_BUF: all or nothing.
            Some(Ok(_)) => return true,
            Some(Err(Errno::AGAIN | Errno::INTR)) => PAUSE,
            Some(Err(error)) => {
                tracing::warn!("notify: fifo {}: {error}; opening it again", path.display());
                *fifo = None;
                REOPEN
            }
            None => REOPEN,
        };
        // Nobody reads, and the daemon ends or another FIFO is wanted.
        if outbox.is_closed() {
            return false;
        }
        sleep(pause).await;
    }
}

/// A complaint is made once until it has worked again.
fn prepare(path: &Path, fifo: &mut Option<OwnedFd>, is_said: &mut bool) {
    if fifo.is_some() {
        return;
    }
    match open_or_make(path) {
        Ok(opened) => {
            *fifo = Some(opened);
            *is_said = false;
        }
        Err(error) => {
            if !*is_said {
                tracing::error!("notify: fifo {}: {error}; it is tried again", path.display());
                *is_said = true;
            }
        }
    }
}

fn open_or_make(path: &Path) -> io::Result<OwnedFd> {
    match mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(error) => return Err(error.into()),
    }
    let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let opened = open(path, flags, Mode::empty())?;
    if FileType::from_raw_mode(fstat(&opened)?.st_mode) != FileType::Fifo {
        return Err(io::Error::other("there is another kind of file; name a path that is free, or a FIFO"));
    }
    Ok(opened)
}

pub(super) fn line(news: &News) -> String {
    let instance = &news.instance;
    match &news.what {
        What::State(_) => format!("INSTANCE \"{instance}\" {} {}\n", news.word(), news.priority),
        What::Check { check, verdict } => format!("CHECK \"{instance}\" \"{check}\" {}\n", verdict.name()),
    }
}
