//! The smallest XDP programs there are, by bpf(2) itself: to find out whether a machine takes one, to hold an interface
//! before others do, and to make live frames; and the kernel's own count of what programs cost.
//!
//! Owns loading, attaching, running and counting them. Refuses to know the project's own program.

use std::{
    io,
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
};

// linux/bpf.h
const PROG_LOAD: i64 = 5;
const TEST_RUN: i64 = 10;
const LINK_CREATE: i64 = 28;
const ENABLE_STATS: i64 = 32;
const TYPE_XDP: u32 = 6;
const ATTACH_XDP: u32 = 37;
/// BPF_F_TEST_XDP_LIVE_FRAMES, since Linux 5.18.
const LIVE_FRAMES: u32 = 1 << 1;
/// linux/if_link.h: XDP_FLAGS_SKB_MODE and XDP_FLAGS_DRV_MODE.
const GENERIC: u32 = 1 << 1;
const NATIVE: u32 = 1 << 2;

/// What a program says of every frame; linux/bpf.h: xdp_action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Pass = 2,
    /// Out of the interface that it came from.
    Transmit = 3,
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
    /// Named, because the kernel insists on zeroes here.
    padding: u32,
}

#[repr(C)]
#[derive(Default)]
struct EnableStats {
    /// BPF_STATS_RUN_TIME is 0.
    kind: u32,
}

/// xdp_md
#[repr(C)]
#[derive(Default)]
struct Context {
    data: u32,
    data_end: u32,
    data_meta: u32,
    ingress_ifindex: u32,
    rx_queue_index: u32,
    egress_ifindex: u32,
}

/// Loads `return verdict`.
pub fn load(verdict: Verdict) -> io::Result<OwnedFd> {
    // mov64 r0, verdict; exit
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
pub fn attach_native(program: &OwnedFd, ifindex: u32) -> io::Result<OwnedFd> {
    attach(program, ifindex, NATIVE)
}

/// Attaches generically, which every interface can; detached when the link is dropped.
pub fn attach_generic(program: &OwnedFd, ifindex: u32) -> io::Result<OwnedFd> {
    attach(program, ifindex, GENERIC)
}

fn attach(program: &OwnedFd, ifindex: u32, flags: u32) -> io::Result<OwnedFd> {
    let link = Link { prog_fd: raw(program)?, target_ifindex: ifindex, attach_type: ATTACH_XDP, flags };
    call(LINK_CREATE, &link).and_then(own)
}

/// Makes `count` copies of a frame that the program sees as received by this interface of the calling thread's
/// namespace, and does with each what the program says. A program that is attached nowhere waits 20 ms first.
pub fn run_live(program: &OwnedFd, ifindex: u32, frame: &[u8], count: u32) -> io::Result<()> {
    let length = u32::try_from(frame.len()).map_err(io::Error::other)?;
    let context = Context { data_end: length, ingress_ifindex: ifindex, ..Context::default() };
    let run = TestRun {
        prog_fd: raw(program)?,
        data_size_in: length,
        data_in: frame.as_ptr() as u64,
        repeat: count,
        ctx_size_in: u32::try_from(size_of::<Context>()).map_err(io::Error::other)?,
        ctx_in: std::ptr::from_ref(&context) as u64,
        flags: LIVE_FRAMES,
        ..TestRun::default()
    };
    call(TEST_RUN, &run).map(drop)
}

/// The kernel counts the runs of all programs, and their time, until this is dropped: at the latest when the process ends.
pub fn count_runs() -> io::Result<OwnedFd> {
    call(ENABLE_STATS, &EnableStats::default()).and_then(own)
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
