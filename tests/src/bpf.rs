//! The two smallest XDP programs there are, by bpf(2) itself: one that passes everything, one that sends it back.
//!
//! Owns loading, attaching and running them, for probing a machine and for the fastest packet generator Linux has.
//! Refuses to know the project's own program.

use std::{
    io,
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
};

// linux/bpf.h
const PROG_LOAD: i64 = 5;
const PROG_TEST_RUN: i64 = 10;
const LINK_CREATE: i64 = 28;
const TYPE_XDP: u32 = 6;
const ATTACH_XDP: u32 = 37;
const TEST_XDP_LIVE_FRAMES: u32 = 1 << 1;
/// linux/if_link.h: XDP_FLAGS_DRV_MODE.
const NATIVE: u32 = 1 << 2;

/// What a program does with every packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Pass = 2,
    SendBack = 3,
}

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

#[repr(C)]
#[derive(Default)]
struct TestRun {
    prog_fd: u32,
    retval: u32,
    data_size_in: u32,
    data_size_out: u32,
    data_in: u64,
    data_out: u64,
    repeat: u32,
    duration: u32,
    ctx_size_in: u32,
    ctx_size_out: u32,
    ctx_in: u64,
    ctx_out: u64,
    flags: u32,
    cpu: u32,
    batch_size: u32,
    padding: u32,
}

/// struct xdp_md.
#[repr(C)]
#[derive(Default)]
struct XdpContext {
    data: u32,
    data_end: u32,
    data_meta: u32,
    ingress_ifindex: u32,
    rx_queue_index: u32,
    egress_ifindex: u32,
}

/// Loads `return verdict`.
pub(crate) fn load_xdp(verdict: Verdict) -> io::Result<OwnedFd> {
    // mov64 r0, imm; exit
    let program: [u64; 2] = [0xb7 | (verdict as u64) << 32, 0x95];
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
pub(crate) fn attach_native(program: &OwnedFd, ifindex: u32) -> io::Result<OwnedFd> {
    let link =
        Link { prog_fd: raw(program)?, target_ifindex: ifindex, attach_type: ATTACH_XDP, flags: NATIVE };
    call(LINK_CREATE, &link).and_then(own)
}

/// Runs the program on `repeat` copies of `frame` as if they had come in through `ifindex`, with real consequences: sent
/// back, they leave through that interface without a socket or a buffer of their own.
pub(crate) fn run_live(program: &OwnedFd, ifindex: u32, frame: &[u8], repeat: u32) -> io::Result<()> {
    let length = u32::try_from(frame.len()).map_err(io::Error::other)?;
    let context = XdpContext { data_end: length, ingress_ifindex: ifindex, ..XdpContext::default() };
    let test = TestRun {
        prog_fd: raw(program)?,
        data_size_in: length,
        data_in: frame.as_ptr() as u64,
        repeat,
        ctx_size_in: u32::try_from(size_of::<XdpContext>()).map_err(io::Error::other)?,
        ctx_in: (&raw const context) as u64,
        flags: TEST_XDP_LIVE_FRAMES,
        ..TestRun::default()
    };
    call(PROG_TEST_RUN, &test).map(drop)
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
