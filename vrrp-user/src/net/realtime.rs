//! Real-time priority and locked memory for the calling thread and process.
//!
//! Owns the system calls and the words for what was refused. Whoever asks goes on without what it did not
//! get, and says so.

use std::io;

use rustix::mm::{MlockAllFlags, mlockall};
use thiserror::Error;

/// What the system did not grant.
#[derive(Debug, Error)]
pub enum RealtimeError {
    #[error(
        "real-time priority {priority} refused ({source}): adverts compete with everything else on this host; \
         give the service CAP_SYS_NICE or LimitRTPRIO={priority}"
    )]
    Priority { priority: u8, source: io::Error },
    #[error(
        "memory lock refused ({source}): a page fault can delay an advert; give the service CAP_IPC_LOCK or \
         LimitMEMLOCK=infinity"
    )]
    Memory { source: io::Error },
}

/// Puts the calling thread under SCHED_FIFO at `priority` (1 to 99).
pub fn raise_priority(priority: u8) -> Result<(), RealtimeError> {
    // SAFETY: a sched_param is integers only; zero is a value for each.
    let mut parameter: libc::sched_param = unsafe { std::mem::zeroed() };
    parameter.sched_priority = i32::from(priority);
    // RESET_ON_FORK: a notify script or a guard does not inherit what only this thread needs.
    let policy = libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK;
    // SAFETY: pid 0 is the calling thread; the parameter outlives the call.
    if unsafe { libc::sched_setscheduler(0, policy, &raw const parameter) } == 0 {
        Ok(())
    } else {
        Err(RealtimeError::Priority { priority, source: io::Error::last_os_error() })
    }
}

/// Blocks of this size and more, in bytes, are the kernel's again as soon as they are freed.
const LARGE: libc::c_int = 128 * 1024;

/// To be called before anything large is read. What is locked is resident whether it is used or not, and glibc by itself moves
/// its limit up with the largest block freed so far: a configuration of thousands of routers, once read, would hold its room
/// for ever.
pub fn return_large_blocks() {
    // SAFETY: no pointers; glibc takes its own lock.
    if unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE) } == 0 {
        tracing::debug!("the allocator keeps what it has once had");
    }
}

/// Locks all memory of the process: what it has is brought in now, what it will get stays once touched.
pub fn lock_memory() -> Result<(), RealtimeError> {
    mlockall(MlockAllFlags::CURRENT)
        // ONFAULT: otherwise every new thread's whole stack and every reserve of the allocator would become resident.
        .and_then(|()| mlockall(MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT))
        .map_err(|errno| RealtimeError::Memory { source: errno.into() })
}
