//! The kernel half's library: the ABI that both halves share, the pure packet classifier, and what is done with an
//! accepted advert. The same code runs in the kernel, in the fallback without BPF, and in the tests.
//!
//! Refuses to know maps, program types, sockets and clocks: they come in through the traits [`Frame`](frame::Frame),
//! [`Rules`](classify::Rules) and [`Environment`](receive::Environment).
#![no_std]
// `core` offers no compare-exchange for BPF targets; `atomic.rs` is the only user.
#![cfg_attr(target_arch = "bpf", feature(core_intrinsics))]
#![cfg_attr(target_arch = "bpf", expect(internal_features, reason = "atomic.rs"))]

#[cfg(any(test, feature = "samples"))]
extern crate std;

pub mod abi;
pub mod address;
mod atomic;
pub mod block;
pub mod bucket;
pub mod classify;
pub mod exit;
pub mod frame;
pub mod receive;
#[cfg(any(test, feature = "samples"))]
#[expect(clippy::unwrap_used, reason = "test support: a sample that cannot be built is a broken test")]
pub mod samples;
pub mod slot;
pub mod table;
