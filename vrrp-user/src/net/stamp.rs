//! The kernel's receive time of a packet, as a control message of recvmsg(2) (SO_TIMESTAMPNS).
//!
//! Owns finding it among the control messages, and its way to the one clock. Refuses to know sockets and what was received.

use std::mem::MaybeUninit;

use rustix::time::{ClockId, Timespec, clock_gettime};

const CONTROL: usize = 128;

/// Room for control messages.
#[repr(align(8))]
pub(crate) struct Control([u8; CONTROL]);

impl Control {
    pub(crate) const fn new() -> Self {
        Self([0; CONTROL])
    }

    /// The kernel writes its control messages here; call it for each message anew.
    pub(crate) fn lend_to(&mut self, message: &mut libc::msghdr) {
        message.msg_control = self.0.as_mut_ptr().cast();
        message.msg_controllen = CONTROL as _;
    }
}

/// CLOCK_REALTIME of the arrival; `None` if the kernel has told none.
///
/// # Safety
/// recvmsg(2) has filled in the message, and its control buffer lives.
pub(crate) unsafe fn of(message: &libc::msghdr) -> Option<Timespec> {
    // SAFETY: the caller's promise.
    let mut header = unsafe { libc::CMSG_FIRSTHDR(message) };
    while !header.is_null() {
        // SAFETY: not null, so within the control buffer.
        let head = unsafe { *header };
        if head.cmsg_level == libc::SOL_SOCKET && head.cmsg_type == libc::SCM_TIMESTAMPNS {
            let mut stamp = MaybeUninit::<libc::timespec>::uninit();
            // SAFETY: this control message carries a timespec, perhaps unaligned; both sides have its size.
            let stamp = unsafe {
                std::ptr::copy_nonoverlapping(
                    libc::CMSG_DATA(header),
                    stamp.as_mut_ptr().cast::<u8>(),
                    size_of::<libc::timespec>(),
                );
                stamp.assume_init()
            };
            return Some(Timespec { tv_sec: stamp.tv_sec, tv_nsec: stamp.tv_nsec });
        }
        // SAFETY: the header lies within this message.
        header = unsafe { libc::CMSG_NXTHDR(message, header) };
    }
    None
}

/// The stamp moved to CLOCK_MONOTONIC: as long ago as it is on its own clock, and never in the future, whatever
/// somebody did to that clock meanwhile.
pub(crate) fn arrived_ns(stamp: Option<Timespec>) -> u64 {
    let now = nanoseconds(clock_gettime(ClockId::Monotonic));
    let age = stamp
        .map_or(0, |stamp| nanoseconds(clock_gettime(ClockId::Realtime)).saturating_sub(nanoseconds(stamp)));
    now.saturating_sub(age)
}

fn nanoseconds(time: Timespec) -> u64 {
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::{arrived_ns, nanoseconds};
    use rustix::time::{ClockId, Timespec, clock_gettime};

    #[test]
    fn stamp_keeps_its_age_across_clocks() {
        let mut stamp = clock_gettime(ClockId::Realtime);
        stamp.tv_sec -= 2;
        let age = nanoseconds(clock_gettime(ClockId::Monotonic)) - arrived_ns(Some(stamp));
        assert!((1_900_000_000..2_100_000_000).contains(&age), "{age}");
    }

    #[test]
    fn stamp_of_the_future_or_none_means_now() {
        let future = Timespec { tv_sec: i64::MAX / 2_000_000_000, tv_nsec: 0 };
        for stamp in [Some(future), None] {
            let before = nanoseconds(clock_gettime(ClockId::Monotonic));
            let arrived = arrived_ns(stamp);
            let after = nanoseconds(clock_gettime(ClockId::Monotonic));
            assert!((before..=after).contains(&arrived));
        }
    }
}
