//! The kernel half's witness of process exits: loaded and attached, told whom to watch, read.
//!
//! Owns the second BPF object. Refuses to know what a process was for. It may fail as a whole: then a pidfd has to do,
//! which for a process with much memory speaks later.

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, OwnedFd};

use aya::maps::{HashMap, MapData, MapError, RingBuf};
use aya::programs::{ProgramError, RawTracePoint};
use aya::{Ebpf, EbpfError};
use thiserror::Error;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use vrrp_ebpf::exit::Exit;

static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/vrrp-witness.o"));

const TRACEPOINT: &str = "sched_process_exit";
/// The better one first: of a process, not of each of its threads.
const PROGRAMS: [&str; 2] = ["vrrp_process_exit", "vrrp_thread_exit"];

#[derive(Debug, Error)]
pub enum ExitsError {
    #[error(
        "this binary was built without its kernel half; install a BPF toolchain with `cargo xtask setup`, build again"
    )]
    NotBuilt,
    #[error(
        "load the witness of process exits: {0}; it needs root (CAP_BPF, CAP_PERFMON) and Linux 5.8 or newer"
    )]
    Load(#[from] EbpfError),
    #[error("attach the witness of process exits to {TRACEPOINT}: {0}; it needs root (CAP_BPF, CAP_PERFMON)")]
    Attach(ProgramError),
    #[error("the witness has no {0}: it was not built from this version's sources")]
    Missing(&'static str),
    #[error("the witness's map of processes: {0}")]
    Map(#[from] MapError),
    #[error("wait for the witness: {0}")]
    Wait(#[from] io::Error),
}

/// See the file's head. Dropping it detaches.
pub struct Exits {
    watched: HashMap<MapData, u32, u8>,
    exits: RingBuf<MapData>,
    bell: AsyncFd<OwnedFd>,
    #[expect(dead_code, reason = "held: dropping it detaches")]
    bpf: Ebpf,
}

impl Exits {
    /// Must be called inside a runtime.
    pub fn attach() -> Result<Self, ExitsError> {
        if OBJECT.is_empty() {
            return Err(ExitsError::NotBuilt);
        }
        let mut bpf = Ebpf::load(OBJECT)?;
        attach(&mut bpf)?;
        let watched = bpf.take_map("WATCHED").ok_or(ExitsError::Missing("map WATCHED"))?;
        let exits = bpf.take_map("EXITS").ok_or(ExitsError::Missing("map EXITS"))?;
        let exits = RingBuf::try_from(exits)?;
        // SAFETY: the ring's descriptor stays open while `exits` is borrowed, that is for this line.
        let bell = unsafe { BorrowedFd::borrow_raw(exits.as_raw_fd()) }.try_clone_to_owned()?;
        // SAFETY: an OwnedFd is open until it is dropped and always says the same number, and the AsyncFd owns it.
        let bell =
            unsafe { AsyncFd::register_with_interest(bell, Interest::READABLE) }.map_err(io::Error::from)?;
        Ok(Self { watched: HashMap::try_from(watched)?, exits, bell, bpf })
    }

    pub fn watch(&mut self, process: u32) -> Result<(), ExitsError> {
        Ok(self.watched.insert(process, 1, 0)?)
    }

    /// One that is not watched is no error.
    pub fn forget(&mut self, process: u32) {
        if let Err(error) = self.watched.remove(&process) {
            tracing::trace!("process {process} was not watched: {error}");
        }
    }

    /// Waits until a watched process exits.
    pub async fn next(&mut self) -> Result<u32, ExitsError> {
        loop {
            if let Some(exit) = self.exits.next().and_then(|record| Exit::from_bytes(&record)) {
                return Ok(exit.process);
            }
            let mut ready = self.bell.readable().await?;
            ready.clear_ready();
            // What came before the bell was silenced rings no more.
            if let Some(exit) = self.exits.next().and_then(|record| Exit::from_bytes(&record)) {
                return Ok(exit.process);
            }
        }
    }
}

/// A tracepoint with fewer arguments than the program reads is refused by the kernel.
fn attach(bpf: &mut Ebpf) -> Result<(), ExitsError> {
    let mut refused = None;
    for name in PROGRAMS {
        let program = bpf.program_mut(name).ok_or(ExitsError::Missing(name))?;
        let program: &mut RawTracePoint = program.try_into().map_err(ExitsError::Attach)?;
        match program.load().and_then(|()| program.attach(TRACEPOINT)) {
            Ok(_held_by_the_program) => return Ok(()),
            Err(error) => refused = Some(error),
        }
    }
    Err(refused.map_or(ExitsError::Missing("program"), ExitsError::Attach))
}
