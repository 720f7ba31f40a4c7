//! The doorkeeper: while a service leaves this host, segments to it end here, before any socket sees them.
//!
//! At the traffic-control hook whatever receives the adverts: there every driver has it, and no packet pays for it in XDP.
//! Passes everything when nothing is blocked, after one look. It only drops; the answer to the client is userspace's
//! business, whose packet socket sees a frame before this hook does.
#![no_std]
#![no_main]

use aya_ebpf::bindings::{TC_ACT_SHOT, TC_ACT_UNSPEC};
use aya_ebpf::helpers::bpf_ktime_get_ns;
use aya_ebpf::helpers::generated::bpf_skb_load_bytes;
use aya_ebpf::macros::{classifier, map};
use aya_ebpf::maps::{Array, HashMap};
use aya_ebpf::programs::TcContext;
use vrrp_ebpf::block::{Block, HEAD, Service, TCP, service, tcp_offset};
use vrrp_ebpf::classify::is_of_a_vlan;

#[map]
static BLOCKED: HashMap<Service, Block> = HashMap::with_max_entries(64, 0);

/// The latest end of any block, in ns of CLOCK_MONOTONIC.
#[map]
static ARMED: Array<u64> = Array::with_max_entries(1, 0);

#[classifier]
fn vrrp_doorkeeper(context: TcContext) -> i32 {
    // SAFETY: `skb` is the program's own context.
    let skb = unsafe { &*context.skb.skb };
    match ARMED.get(0) {
        Some(0) | None => TC_ACT_UNSPEC,
        // PACKET_HOST is 0; a tagged frame belongs to the VLAN's own device.
        Some(_) if skb.pkt_type != 0 || is_of_a_vlan(skb.vlan_present, skb.vlan_tci) => TC_ACT_UNSPEC,
        Some(until) => {
            // SAFETY: the helper reads a clock.
            let now = unsafe { bpf_ktime_get_ns() };
            if now < *until && is_refused(&context, now) { TC_ACT_SHOT } else { TC_ACT_UNSPEC }
        }
    }
}

#[inline(always)]
fn is_refused(context: &TcContext, now: u64) -> bool {
    let mut head = [0; HEAD];
    let mut tcp = [0; TCP];
    if !load(context, 0, &mut head) {
        return false;
    }
    let Some(offset) = tcp_offset(&head) else { return false };
    if !load(context, offset, &mut tcp) {
        return false;
    }
    // SAFETY: a concurrent update replaces the element as a whole; a copy is taken at once.
    let block = unsafe { BLOCKED.get(service(&head, &tcp)) }.copied();
    block.is_some_and(|block| block.refuses(&tcp, now))
}

#[inline(always)]
fn load<const N: usize>(context: &TcContext, offset: u32, to: &mut [u8; N]) -> bool {
    #[expect(clippy::cast_possible_truncation, reason = "a small constant")]
    const fn length<const N: usize>() -> u32 {
        N as u32
    }
    // SAFETY: the buffer is as long as is said; the verifier checks it.
    unsafe { bpf_skb_load_bytes(context.skb.skb.cast(), offset, to.as_mut_ptr().cast(), length::<N>()) == 0 }
}

#[cfg(not(test))]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
