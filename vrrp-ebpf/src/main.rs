//! The kernel half: two entry points, `vrrp_xdp` and `vrrp_tcx`, over the same maps and the same code.
//!
//! Owns how a packet of the host gets to the library's `receive`, and nothing of what is decided there.
//! The first test costs a packet that is not VRRP a handful of instructions. Both are inlined into the entries that the
//! macros make: a call within a program costs as much as that test, where the kernel guards returns.
//!
//! Two more programs are never attached: `vrrp_nothing` and `vrrp_clock`, by which `vrrp bench xdp` knows what a run
//! of a program and one reading of the clock cost on this machine.
#![no_std]
#![no_main]

mod kernel;
mod maps;

use aya_ebpf::EbpfContext as _;
use aya_ebpf::bindings::{TC_ACT_SHOT, TC_ACT_UNSPEC, xdp_action};
use aya_ebpf::helpers::bpf_ktime_get_ns;
use aya_ebpf::helpers::generated::{bpf_skb_load_bytes, bpf_xdp_load_bytes};
use aya_ebpf::macros::{classifier, xdp};
use aya_ebpf::programs::{TcContext, XdpContext};
use vrrp_ebpf::abi::{ABI_MARK, ABI_VERSION};
use vrrp_ebpf::classify::{Family, GATE_LENGTH, IPV4_HEADS, IPV6_HEADS, gate, is_of_a_vlan};
use vrrp_ebpf::receive::{Fate, receive};

use crate::kernel::{Direct, Hook, Kernel, Recorded, Scratch};

/// By which userspace knows what this object speaks, before it loads it.
#[repr(C)]
pub struct AbiStamp {
    mark: [u8; ABI_MARK.len()],
    version: u16,
}

#[unsafe(no_mangle)]
pub static VRRP_ABI: AbiStamp = AbiStamp { mark: ABI_MARK, version: ABI_VERSION };

impl Hook for XdpContext {
    #[inline(always)]
    fn load(&self, to: *mut u8, length: u32) -> bool {
        // SAFETY: the caller hands a buffer of at least `length` bytes; the verifier checks it.
        unsafe { bpf_xdp_load_bytes(self.ctx, 0, to.cast(), length) == 0 }
    }
}

impl Hook for TcContext {
    #[inline(always)]
    fn load(&self, to: *mut u8, length: u32) -> bool {
        // The helper would clear what is there already.
        if length > self.len() {
            return false;
        }
        // SAFETY: the caller hands a buffer of at least `length` bytes; the verifier checks it.
        unsafe { bpf_skb_load_bytes(self.as_ptr(), 0, to.cast(), length) == 0 }
    }
}

#[xdp(frags)]
#[inline(always)]
fn vrrp_xdp(context: XdpContext) -> u32 {
    let (data, end) = (context.data(), context.data_end());
    let fate = match look(&context, data, end) {
        None => Fate::Pass,
        // SAFETY: `ctx` is the program's own context.
        Some(family) => take(&context, data, end, unsafe { (*context.ctx).ingress_ifindex }, family),
    };
    match fate {
        Fate::Pass => xdp_action::XDP_PASS,
        Fate::Drop => xdp_action::XDP_DROP,
    }
}

#[classifier]
#[inline(always)]
fn vrrp_tcx(context: TcContext) -> i32 {
    let (data, end) = (context.data(), context.data_end());
    let fate = match look(&context, data, end) {
        None => Fate::Pass,
        // SAFETY: `skb` is the program's own context.
        Some(family) => match unsafe { &*context.skb.skb } {
            // The tag has been taken off already: the frame belongs to the VLAN's own device. VLAN 0 is a priority alone.
            tagged if is_of_a_vlan(tagged.vlan_present, tagged.vlan_tci) => Fate::Pass,
            skb => take(&context, data, end, skb.ifindex, family),
        },
    };
    match fate {
        // TCX_NEXT: the programs after us have their say.
        Fate::Pass => TC_ACT_UNSPEC,
        Fate::Drop => TC_ACT_SHOT,
    }
}

/// The first test. A frame whose head is not directly readable (some drivers hand out nothing but fragments)
/// has it copied.
#[inline(always)]
fn look(hook: &impl Hook, data: usize, data_end: usize) -> Option<Family> {
    if data + GATE_LENGTH <= data_end {
        // SAFETY: just checked, and the verifier checks it again.
        gate(unsafe { &*(data as *const [u8; GATE_LENGTH]) })
    } else {
        #[expect(clippy::cast_possible_truncation, reason = "a small constant")]
        const LENGTH: u32 = GATE_LENGTH as u32;
        let mut head = [0; GATE_LENGTH];
        if hook.load(head.as_mut_ptr(), LENGTH) { gate(&head) } else { None }
    }
}

#[inline(always)]
fn take<H: Hook>(hook: &H, data: usize, end: usize, ifindex: u32, family: Family) -> Fate {
    // Each family by itself: the offsets of its fields are constants then.
    match family {
        Family::Ipv4 => {
            if let Some(mut frame) = Direct::<IPV4_HEADS>::new(data, end, Family::Ipv4) {
                return decide(hook, &mut frame, ifindex, Family::Ipv4);
            }
        }
        Family::Ipv6 => {
            if let Some(mut frame) = Direct::<IPV6_HEADS>::new(data, end, Family::Ipv6) {
                return decide(hook, &mut frame, ifindex, Family::Ipv6);
            }
        }
    }
    // Neither map can lack its only element; the verifier wants to see it asked.
    let Some(mut frame) = Scratch::new(hook, end - data) else { return Fate::Pass };
    decide(hook, &mut frame, ifindex, family)
}

#[inline(always)]
fn decide<H: Hook, F: Recorded>(hook: &H, frame: &mut F, ifindex: u32, family: Family) -> Fate {
    let Some(mut kernel) = Kernel::new(hook) else { return Fate::Pass };
    receive(&mut kernel, frame, ifindex, family)
}

/// What any program costs here.
#[xdp(frags)]
fn vrrp_nothing(_context: XdpContext) -> u32 {
    xdp_action::XDP_PASS
}

/// What the time of arrival costs here: the one helper that no advert can do without.
#[xdp(frags)]
fn vrrp_clock(_context: XdpContext) -> u32 {
    // SAFETY: no arguments.
    let now = unsafe { bpf_ktime_get_ns() };
    if now == 0 { xdp_action::XDP_DROP } else { xdp_action::XDP_PASS }
}

#[cfg(not(test))]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
