//! The kernel's receive time of a packet, as a control message of recvmsg(2) (SO_TIMESTAMPNS).
//!
//! Owns finding it among the control messages, and its way to the one clock. Refuses to know sockets and what was received.

use rustix::time::{ClockId, Timespec, clock_gettime};

const CONTROL: usize = 128;
const HEADER: usize = size_of::<libc::cmsghdr>();
// On every machine with 64 bits; `find` reads them so.
const _: () = assert!(HEADER == 16 && size_of::<libc::timespec>() == 16);

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
    if message.msg_control.is_null() {
        return None;
    }
    // SAFETY: the caller's promise: so many bytes are there, and nobody writes to them meanwhile.
    let control = unsafe { std::slice::from_raw_parts(message.msg_control.cast(), message.msg_controllen) };
    find(control)
}

/// The stamp among control messages as they lie in memory: cmsg(3).
pub fn find(control: &[u8]) -> Option<Timespec> {
    let mut rest = control;
    loop {
        let (length, after) = rest.split_first_chunk()?;
        let (level, after) = after.split_first_chunk()?;
        let (kind, after) = after.split_first_chunk()?;
        // Its own header included.
        let data = after.get(..usize::from_ne_bytes(*length).checked_sub(HEADER)?)?;
        if i32::from_ne_bytes(*level) == libc::SOL_SOCKET
            && i32::from_ne_bytes(*kind) == libc::SCM_TIMESTAMPNS
        {
            let (seconds, data) = data.split_first_chunk()?;
            let (nanoseconds, _) = data.split_first_chunk()?;
            let (tv_sec, tv_nsec) = (i64::from_ne_bytes(*seconds), i64::from_ne_bytes(*nanoseconds));
            return Some(Timespec { tv_sec, tv_nsec });
        }
        rest = after.get(data.len().next_multiple_of(size_of::<usize>())..)?;
    }
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
    use super::{arrived_ns, find, nanoseconds};
    use rustix::time::{ClockId, Timespec, clock_gettime};

    #[test]
    fn stamp_keeps_its_age_across_clocks() {
        let mut stamp = clock_gettime(ClockId::Realtime);
        stamp.tv_sec -= 2;
        let age = nanoseconds(clock_gettime(ClockId::Monotonic)) - arrived_ns(Some(stamp));
        assert!((1_900_000_000..2_100_000_000).contains(&age), "{age}");
    }

    fn message(level: i32, kind: i32, data: &[u8]) -> Vec<u8> {
        let length = 16 + data.len();
        let mut bytes = length.to_ne_bytes().to_vec();
        bytes.extend(level.to_ne_bytes());
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(data);
        bytes.resize(length.next_multiple_of(8), 0);
        bytes
    }

    #[test]
    fn the_stamp_is_found_behind_others_and_only_if_it_is_whole() {
        let stamp = [7_i64.to_ne_bytes(), 9_i64.to_ne_bytes()].concat();
        let stamp = message(libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS, &stamp);
        let other = message(libc::SOL_PACKET, 8, &[1; 5]);
        let both = [other.clone(), stamp.clone()].concat();
        assert_eq!(find(&both).map(|stamp| (stamp.tv_sec, stamp.tv_nsec)), Some((7, 9)));
        for length in 0..both.len() {
            assert!(find(&both[..length]).is_none(), "{length}");
        }
        assert!(find(&other).is_none());
        let mut endless = other;
        endless[..8].copy_from_slice(&0_usize.to_ne_bytes());
        assert!(find(&[endless, stamp].concat()).is_none());
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
