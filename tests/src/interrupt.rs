//! SIGINT, SIGTERM and SIGHUP of the program that runs the lab: noticed here, so that nothing is left behind.
//!
//! Owns the handler and the flag it sets. Refuses to know what has to be cleaned up.

use std::{
    io, ptr,
    sync::atomic::{AtomicI32, Ordering},
    thread,
    time::Duration,
};

static CAUGHT: AtomicI32 = AtomicI32::new(0);

/// The signal that asked this program to stop, if one has.
pub fn caught() -> Option<i32> {
    match CAUGHT.load(Ordering::Acquire) {
        0 => None,
        signal => Some(signal),
    }
}

/// From now on a request to stop only sets the flag that [`caught`] reads.
pub fn catch_signals() -> io::Result<()> {
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
        // SAFETY: sigaction is plain data for which all zeroes is a valid value (no flags, empty mask).
        let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
        action.sa_sigaction = note as extern "C" fn(libc::c_int) as libc::sighandler_t;
        action.sa_flags = libc::SA_RESTART;
        // SAFETY: `action` is initialised and outlives the call; the handler only stores to an atomic, which is
        // async-signal-safe; a null third argument is allowed.
        if unsafe { libc::sigaction(signal, &raw const action, ptr::null_mut()) } != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// Catches the signals and ends the program with the shell's code for them, after `clean_up`.
pub fn exit_after(clean_up: fn()) -> io::Result<()> {
    catch_signals()?;
    thread::Builder::new().name("interrupt".into()).spawn(move || {
        loop {
            if let Some(signal) = caught() {
                eprintln!("\nstopped by signal {signal}: cleaning up");
                clean_up();
                std::process::exit(128 + signal);
            }
            thread::sleep(Duration::from_millis(20));
        }
    })?;
    Ok(())
}

extern "C" fn note(signal: libc::c_int) {
    CAUGHT.store(signal, Ordering::Release);
}
