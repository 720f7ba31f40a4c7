//! The few socket calls that no safe wrapper offers: packet sockets with a filter, `recvmsg` with kernel stamps, and
//! `sendmmsg`.
//!
//! Owns the `unsafe` of the lab's sockets. Refuses to know what is in the packets.

use std::{
    io, mem,
    os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd},
    ptr,
    time::Duration,
};

/// Room for one stamp or one namespace id beside its header.
const CONTROL: usize = 128;

/// What came with a received message.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Received {
    pub(crate) length: usize,
    /// SO_TIMESTAMPNS: CLOCK_REALTIME, if asked for.
    pub(crate) stamp_ns: Option<u64>,
    /// NETLINK_LISTEN_ALL_NSID: the namespace it is about; none for the socket's own.
    pub(crate) nsid: Option<i32>,
    /// Interface it came from, for packet sockets.
    pub(crate) ifindex: i32,
}

/// A packet socket on all interfaces that hears nothing yet.
pub(crate) fn packet_socket() -> io::Result<OwnedFd> {
    // SAFETY: socket(2) takes no pointers.
    let fd = unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: `fd` was just opened and nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Binds a packet socket to an interface (0: all of them) and a protocol (0: none, for senders).
pub(crate) fn bind_packet(socket: &OwnedFd, ifindex: u32, protocol: u16) -> io::Result<()> {
    let mut address = link_address(ifindex)?;
    address.sll_protocol = protocol.to_be();
    let length = size_of_u32::<libc::sockaddr_ll>();
    // SAFETY: the pointer and length describe `address`, which outlives the call.
    check(unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), length) })
}

/// Attaches a classic BPF filter.
pub(crate) fn attach_filter(socket: &OwnedFd, program: &mut [libc::sock_filter]) -> io::Result<()> {
    let len = u16::try_from(program.len()).map_err(io::Error::other)?;
    let filter = libc::sock_fprog { len, filter: program.as_mut_ptr() };
    set_option(socket.as_raw_fd(), libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &filter)
}

/// Kernel stamps with each message.
pub(crate) fn want_stamps(socket: &OwnedFd) -> io::Result<()> {
    set_option(socket.as_raw_fd(), libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, &1_i32)
}

/// Frames go to the driver past the queueing discipline.
pub(crate) fn bypass_queues(socket: &OwnedFd) -> io::Result<()> {
    set_option(socket.as_raw_fd(), libc::SOL_PACKET, libc::PACKET_QDISC_BYPASS, &1_i32)
}

/// A receive buffer beyond the system's limit (needs CAP_NET_ADMIN).
pub(crate) fn force_receive_buffer(socket: RawFd, bytes: i32) -> io::Result<()> {
    set_option(socket, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, &bytes)
}

/// A receive that waits no longer than that ends with `WouldBlock`.
pub(crate) fn limit_wait(socket: RawFd, limit: Duration) -> io::Result<()> {
    let time = libc::timeval {
        tv_sec: i64::try_from(limit.as_secs()).map_err(io::Error::other)?,
        tv_usec: i64::from(limit.subsec_micros()),
    };
    set_option(socket, libc::SOL_SOCKET, libc::SO_RCVTIMEO, &time)
}

/// Packets that the socket's buffer had no room for since the last call.
pub(crate) fn packet_drops(socket: &OwnedFd) -> io::Result<u32> {
    let mut statistics = libc::tpacket_stats { tp_packets: 0, tp_drops: 0 };
    let mut length = size_of_u32::<libc::tpacket_stats>();
    // SAFETY: pointer and length describe `statistics`, which the kernel fills; `length` outlives the call.
    check(unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            libc::PACKET_STATISTICS,
            (&raw mut statistics).cast(),
            &raw mut length,
        )
    })?;
    Ok(statistics.tp_drops)
}

/// [`packet_drops`] of a socket with a TPACKET_V3 ring, whose answer is longer.
pub(crate) fn packet_drops_v3(socket: &OwnedFd) -> io::Result<u32> {
    let mut statistics = libc::tpacket_stats_v3 { tp_packets: 0, tp_drops: 0, tp_freeze_q_cnt: 0 };
    let mut length = size_of_u32::<libc::tpacket_stats_v3>();
    // SAFETY: pointer and length describe `statistics`, which the kernel fills; `length` outlives the call.
    check(unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            libc::PACKET_STATISTICS,
            (&raw mut statistics).cast(),
            &raw mut length,
        )
    })?;
    Ok(statistics.tp_drops)
}

/// An option of the packet layer.
pub(crate) fn set_packet_option<T>(socket: &OwnedFd, name: i32, value: &T) -> io::Result<()> {
    set_option(socket.as_raw_fd(), libc::SOL_PACKET, name, value)
}

/// One message, with what the kernel says about it.
pub(crate) fn receive(socket: RawFd, buffer: &mut [u8]) -> io::Result<Received> {
    let mut part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    let mut control = [0_u64; CONTROL / 8];
    // SAFETY: sockaddr_ll is plain data for which all zeroes is a valid value.
    let mut sender: libc::sockaddr_ll = unsafe { mem::zeroed() };
    // SAFETY: msghdr likewise; null pointers with zero lengths mean "absent".
    let mut message: libc::msghdr = unsafe { mem::zeroed() };
    message.msg_name = (&raw mut sender).cast();
    message.msg_namelen = size_of_u32::<libc::sockaddr_ll>();
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = CONTROL;
    // SAFETY: every pointer in `message` is to a local or to `buffer`, with its length; all outlive the call.
    let length = unsafe { libc::recvmsg(socket, &raw mut message, 0) };
    let length = usize::try_from(length).map_err(|_negative| io::Error::last_os_error())?;
    // The address of a netlink socket is shorter and has no interface; its bytes mean something else.
    let is_packet = i32::from(sender.sll_family) == libc::AF_PACKET;
    let mut received = Received { length, ..Received::default() };
    received.ifindex = if is_packet { sender.sll_ifindex } else { 0 };
    // SAFETY: `message` was filled by recvmsg and its control buffer is alive and aligned for cmsghdr.
    let mut header = unsafe { libc::CMSG_FIRSTHDR(&raw const message) };
    while !header.is_null() {
        // SAFETY: non-null results of CMSG_FIRSTHDR and CMSG_NXTHDR point to a whole header inside the control buffer.
        let (level, kind) = unsafe { ((*header).cmsg_level, (*header).cmsg_type) };
        // SAFETY: as above; the data follows its header.
        let data = unsafe { libc::CMSG_DATA(header) };
        if (level, kind) == (libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS) {
            // SAFETY: a message of this kind carries a timespec; the read assumes no alignment.
            let time: libc::timespec = unsafe { ptr::read_unaligned(data.cast()) };
            let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
            received.stamp_ns = Some(seconds * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0));
        } else if (level, kind) == (libc::SOL_NETLINK, libc::NETLINK_LISTEN_ALL_NSID) {
            // SAFETY: a message of this kind carries an int; the read assumes no alignment.
            received.nsid = Some(unsafe { ptr::read_unaligned(data.cast()) });
        }
        // SAFETY: `message` and `header` belong together and are alive.
        header = unsafe { libc::CMSG_NXTHDR(&raw const message, header) };
    }
    Ok(received)
}

/// Sends the frames with as few system calls as the kernel allows; how many it took.
pub(crate) fn send_all(socket: &OwnedFd, frames: &[Vec<u8>]) -> io::Result<usize> {
    let mut parts: Vec<libc::iovec> = frames
        .iter()
        .map(|frame| libc::iovec { iov_base: frame.as_ptr().cast_mut().cast(), iov_len: frame.len() })
        .collect();
    let mut messages: Vec<libc::mmsghdr> = parts
        .iter_mut()
        .map(|part| {
            // SAFETY: mmsghdr is plain data for which all zeroes is a valid value.
            let mut message: libc::mmsghdr = unsafe { mem::zeroed() };
            message.msg_hdr.msg_iov = part;
            message.msg_hdr.msg_iovlen = 1;
            message
        })
        .collect();
    let count = u32::try_from(messages.len()).map_err(io::Error::other)?;
    // SAFETY: each message points to one element of `parts`, which points to one frame; the kernel only reads the
    // frames, and all three outlive the call.
    let sent = unsafe { libc::sendmmsg(socket.as_raw_fd(), messages.as_mut_ptr(), count, 0) };
    usize::try_from(sent).map_err(|_negative| io::Error::last_os_error())
}

/// Real-time priority for the calling thread, so that its stamps are late as seldom as the machine allows.
pub(crate) fn become_realtime() -> io::Result<()> {
    let parameters = libc::sched_param { sched_priority: 90 };
    // SAFETY: 0 is the calling thread; `parameters` outlives the call.
    check(unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const parameters) })
}

fn link_address(ifindex: u32) -> io::Result<libc::sockaddr_ll> {
    // SAFETY: sockaddr_ll is plain data for which all zeroes is a valid value.
    let mut address: libc::sockaddr_ll = unsafe { mem::zeroed() };
    address.sll_family = u16::try_from(libc::AF_PACKET).map_err(io::Error::other)?;
    address.sll_ifindex = i32::try_from(ifindex).map_err(io::Error::other)?;
    Ok(address)
}

fn set_option<T>(socket: RawFd, level: i32, name: i32, value: &T) -> io::Result<()> {
    let length = size_of_u32::<T>();
    // SAFETY: the pointer and length describe `value`, which outlives the call.
    check(unsafe { libc::setsockopt(socket, level, name, ptr::from_ref(value).cast(), length) })
}

#[expect(clippy::cast_possible_truncation, reason = "socket structures are a few bytes")]
const fn size_of_u32<T>() -> u32 {
    size_of::<T>() as u32
}

fn check(result: i32) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
