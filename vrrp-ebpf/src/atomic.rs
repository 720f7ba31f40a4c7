//! The few atomic operations that a slot needs, on both kinds of target.
//!
//! Owns the difference between the host, where `core::sync::atomic` has them, and BPF, where `core` declares none
//! although the machine (instruction set v3, Linux 5.12) has them. Refuses to know what they protect.
//!
//! Each function needs a pointer that is valid, aligned, and only ever written through this file while shared.

#[cfg(not(target_arch = "bpf"))]
mod imp {
    use core::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering, fence};

    macro_rules! plain {
        ($load:ident, $store:ident, $integer:ty, $atomic:ty) => {
            /// # Safety
            /// See the head of this file.
            pub(crate) unsafe fn $load(at: *mut $integer) -> $integer {
                // SAFETY: the caller's promise.
                unsafe { <$atomic>::from_ptr(at) }.load(Ordering::Relaxed)
            }
            /// # Safety
            /// See the head of this file.
            pub(crate) unsafe fn $store(at: *mut $integer, value: $integer) {
                // SAFETY: the caller's promise.
                unsafe { <$atomic>::from_ptr(at) }.store(value, Ordering::Relaxed);
            }
        };
    }
    plain!(load_u8, store_u8, u8, AtomicU8);
    plain!(load_u16, store_u16, u16, AtomicU16);
    plain!(load_u32, store_u32, u32, AtomicU32);
    plain!(load_u64, store_u64, u64, AtomicU64);

    /// Sets `new` where `old` stands; false if something else stood there. Nothing after it moves before it.
    ///
    /// # Safety
    /// See the head of this file.
    pub(crate) unsafe fn exchange(at: *mut u32, old: u32, new: u32) -> bool {
        // SAFETY: the caller's promise.
        let at = unsafe { AtomicU32::from_ptr(at) };
        let taken = at.compare_exchange(old, new, Ordering::Acquire, Ordering::Relaxed).is_ok();
        // The stores that follow must not be seen before the odd number.
        fence(Ordering::Release);
        taken
    }

    /// Stores a value. Nothing before it moves after it.
    ///
    /// # Safety
    /// See the head of this file.
    pub(crate) unsafe fn publish(at: *mut u32, value: u32) {
        // SAFETY: the caller's promise.
        unsafe { AtomicU32::from_ptr(at) }.store(value, Ordering::Release);
    }
}

#[cfg(target_arch = "bpf")]
mod imp {
    use core::intrinsics::{AtomicOrdering, atomic_cxchg, atomic_xchg};

    macro_rules! load {
        ($load:ident, $integer:ty) => {
            /// # Safety
            /// See the head of this file.
            #[inline(always)]
            pub(crate) unsafe fn $load(at: *mut $integer) -> $integer {
                // SAFETY: the caller's promise. A volatile load of an aligned integer is one BPF instruction.
                unsafe { at.read_volatile() }
            }
        };
    }
    macro_rules! store {
        ($store:ident, $integer:ty) => {
            /// # Safety
            /// See the head of this file.
            #[inline(always)]
            pub(crate) unsafe fn $store(at: *mut $integer, value: $integer) {
                // SAFETY: the caller's promise. A volatile store of an aligned integer is one BPF instruction.
                unsafe { at.write_volatile(value) }
            }
        };
    }
    load!(load_u32, u32);
    load!(load_u64, u64);
    store!(store_u8, u8);
    store!(store_u16, u16);
    store!(store_u32, u32);
    store!(store_u64, u64);

    /// Sets `new` where `old` stands; false if something else stood there. A full barrier, as BPF_CMPXCHG is.
    ///
    /// # Safety
    /// See the head of this file.
    #[inline(always)]
    pub(crate) unsafe fn exchange(at: *mut u32, old: u32, new: u32) -> bool {
        // SAFETY: the caller's promise.
        unsafe {
            atomic_cxchg::<u32, { AtomicOrdering::SeqCst }, { AtomicOrdering::Relaxed }>(at, old, new).1
        }
    }

    /// Stores a value. Nothing before it moves after it: x86 keeps stores in order, and the volatile ones before it are
    /// in order for the compiler; elsewhere a full barrier, as BPF_XCHG is. (BPF has a store that releases, but only
    /// since Linux 6.15.)
    ///
    /// # Safety
    /// See the head of this file.
    #[inline(always)]
    pub(crate) unsafe fn publish(at: *mut u32, value: u32) {
        if cfg!(bpf_target_arch = "x86_64") {
            // SAFETY: the caller's promise.
            unsafe { at.write_volatile(value) };
        } else {
            // SAFETY: the caller's promise.
            let before = unsafe { atomic_xchg::<u32, { AtomicOrdering::SeqCst }>(at, value) };
            // Kept alive, or the compiler might choose an instruction without the barrier.
            let mut kept = 0;
            // SAFETY: a local variable.
            unsafe { (&raw mut kept).write_volatile(before) };
        }
    }
}

pub(crate) use imp::*;
