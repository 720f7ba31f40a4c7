//! How the advert thread sleeps: until something happens on a descriptor, or until a deadline in nanoseconds.
//!
//! Owns the epoll set and the one timer. Refuses to know what a wake is for.

use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use rustix::event::{Timespec, epoll};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, timerfd_create, timerfd_settime,
};

use super::AdvertThreadError;
use crate::vrrp::Instant;

#[derive(Debug)]
pub(super) struct Waker {
    poller: OwnedFd,
    timer: OwnedFd,
    /// What the timer is set for.
    armed: Option<Instant>,
}

impl Waker {
    /// Wakes for these from now on.
    pub(super) fn new(sources: &[BorrowedFd<'_>]) -> Result<Self, AdvertThreadError> {
        let failed = |operation| {
            move |errno: rustix::io::Errno| AdvertThreadError::System { operation, source: errno.into() }
        };
        let poller = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(failed("epoll_create"))?;
        let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK)
            .map_err(failed("timerfd_create"))?;
        for fd in sources.iter().copied().chain([timer.as_fd()]) {
            // Edges: the ring holds records that were not worth a wake-up, and a level would call for them at once. And
            // a bell need not be read to ring again.
            let flags = epoll::EventFlags::IN | epoll::EventFlags::ET;
            epoll::add(&poller, fd, epoll::EventData::new_u64(0), flags).map_err(failed("epoll_ctl"))?;
        }
        Ok(Self { poller, timer, armed: None })
    }

    /// Sleeps until something happens or the deadline has come; `more`: not at all. Returns the time it asked to be woken at.
    pub(super) fn wait(&mut self, deadline: Option<Instant>, more: bool) -> Option<Instant> {
        // A timer that is set for this very time is left alone: it is ahead, or its edge is waiting for us.
        if deadline != self.armed {
            if let Err(error) = arm(&self.timer, deadline) {
                // A timer that cannot be armed must not become a thread that never wakes: look again at once.
                debug_assert!(false, "timerfd_settime: {error}");
                return None;
            }
            self.armed = deadline;
        }
        let mut events = [MaybeUninit::<epoll::Event>::uninit(); 8];
        let timeout = Timespec { tv_sec: 0, tv_nsec: 0 };
        // An event, a signal, the deadline: the loop looks at everything in any case.
        match epoll::wait(&self.poller, &mut events, more.then_some(&timeout)) {
            Ok(_) | Err(_) => deadline,
        }
    }
}

fn arm(timer: &OwnedFd, at: Option<Instant>) -> Result<(), rustix::io::Errno> {
    let at = at.map_or(0, Instant::as_nanos);
    let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
    let it_value = Timespec {
        tv_sec: i64::try_from(at / 1_000_000_000).unwrap_or(i64::MAX),
        tv_nsec: i64::try_from(at % 1_000_000_000).unwrap_or(0),
    };
    let timer_spec = Itimerspec { it_interval: zero, it_value };
    timerfd_settime(timer, TimerfdTimerFlags::ABSTIME, &timer_spec).map(|_before| ())
}
