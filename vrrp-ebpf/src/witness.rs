//! The witness: says that a watched process ends when its last thread begins to exit, before the kernel takes its memory
//! down and closes its sockets. That can take seconds for a database with a large buffer pool.
//!
//! Two programs, of which userspace attaches one: kernels whose tracepoint has no `group_dead` argument refuse the first,
//! and the second tells of every thread.
#![no_std]
#![no_main]

use aya_ebpf::bindings::BPF_RB_FORCE_WAKEUP;
use aya_ebpf::helpers::{bpf_get_current_pid_tgid, bpf_ktime_get_ns};
use aya_ebpf::macros::{map, raw_tracepoint};
use aya_ebpf::maps::{HashMap, RingBuf};
use aya_ebpf::programs::RawTracePointContext;
use vrrp_ebpf::exit::Exit;

#[map]
static WATCHED: HashMap<u32, u8> = HashMap::with_max_entries(256, 0);

#[map]
static EXITS: RingBuf = RingBuf::with_byte_size(4096, 0);

/// `sched_process_exit(task, group_dead)`.
#[raw_tracepoint(tracepoint = "sched_process_exit")]
fn vrrp_process_exit(context: RawTracePointContext) -> i32 {
    if context.arg::<u64>(1) & 0xff != 0 {
        tell();
    }
    0
}

/// `sched_process_exit(task)`, of older kernels.
#[raw_tracepoint(tracepoint = "sched_process_exit")]
fn vrrp_thread_exit(_context: RawTracePointContext) -> i32 {
    tell();
    0
}

#[inline(always)]
fn tell() {
    #[expect(clippy::cast_possible_truncation, reason = "the upper half is the process")]
    let process = (bpf_get_current_pid_tgid() >> 32) as u32;
    // SAFETY: the value is not used, so that it may change or go meanwhile.
    if unsafe { WATCHED.get(process) }.is_none() {
        return;
    }
    // SAFETY: the helper reads a clock.
    let at = unsafe { bpf_ktime_get_ns() };
    // A full ring loses nothing: a process's pidfd tells of it too.
    match EXITS.output::<Exit>(Exit { process, padding: 0, at }, u64::from(BPF_RB_FORCE_WAKEUP)) {
        Ok(()) | Err(_) => {}
    }
}

#[cfg(not(test))]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
