//! The smallest XDP program there is, by bpf(2) itself: to find out whether a machine takes one,
//! and to hold an interface before others do.
//!
//! Owns loading it and attaching it. Refuses to know the project's own program.

use std::{
    io,
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
};

// linux/bpf.h
const PROG_LOAD: i64 = 5;
const LINK_CREATE: i64 = 28;
const TYPE_XDP: u32 = 6;
const ATTACH_XDP: u32 = 37;
/// linux/if_link.h: XDP_FLAGS_DRV_MODE.
const NATIVE: u32 = 1 << 2;

#[repr(C)]
#[derive(Default)]
struct Load {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buf: u64,
    kern_version: u32,
    prog_flags: u32,
    prog_name: [u8; 16],
    prog_ifindex: u32,
    expected_attach_type: u32,
}

#[repr(C)]
#[derive(Default)]
struct Link {
    prog_fd: u32,
    target_ifindex: u32,
    attach_type: u32,
    flags: u32,
}

/// Loads `return XDP_PASS`.
pub fn load_pass() -> io::Result<OwnedFd> {
    // mov64 r0, XDP_PASS; exit
    let program: [u64; 2] = [0xb7 | 2 << 32, 0x95];
    let load = Load {
        prog_type: TYPE_XDP,
        insn_cnt: 2,
        insns: program.as_ptr() as u64,
        license: c"GPL".as_ptr() as u64,
        expected_attach_type: ATTACH_XDP,
        ..Load::default()
    };
    call(PROG_LOAD, &load).and_then(own)
}

/// Attaches natively; detached when the link is dropped.
pub fn attach_native(program: &OwnedFd, ifindex: u32) -> io::Result<OwnedFd> {
    let link =
        Link { prog_fd: raw(program)?, target_ifindex: ifindex, attach_type: ATTACH_XDP, flags: NATIVE };
    call(LINK_CREATE, &link).and_then(own)
}

fn call<T>(command: i64, attribute: &T) -> io::Result<i64> {
    // SAFETY: `attribute` is one of the repr(C) structures above, laid out as the kernel's union for that command; the
    // pointers in it are to memory that the callers keep alive during the call, and the kernel only reads them.
    let result =
        unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_ref(attribute), size_of::<T>()) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

fn own(fd: i64) -> io::Result<OwnedFd> {
    let fd = i32::try_from(fd).map_err(io::Error::other)?;
    // SAFETY: the kernel just returned it as a new descriptor; nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn raw(fd: &OwnedFd) -> io::Result<u32> {
    u32::try_from(fd.as_raw_fd()).map_err(io::Error::other)
}
