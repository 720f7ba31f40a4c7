//! The packet socket of the fallback: untagged VRRP frames of all interfaces, each with the kernel's receive time.
//!
//! Owns the system calls that no safe crate wraps (packet address, classic filter, control messages). Refuses to know
//! what is in a frame.

use std::io;
use std::mem::zeroed;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use thiserror::Error;

use crate::net::stamp;

#[derive(Debug, Error)]
#[error("packet socket for adverts: {operation}: {source}; it needs root (CAP_NET_RAW)")]
pub struct SocketError {
    operation: &'static str,
    source: io::Error,
}

pub(in crate::net) struct Socket {
    fd: OwnedFd,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::net) struct Received {
    pub(in crate::net) length: usize,
    pub(in crate::net) ifindex: u32,
    /// ns of CLOCK_MONOTONIC.
    pub(in crate::net) arrived_ns: u64,
}

// libc has them wider than the fields that they are for.
const AF_PACKET: u16 = 17;
const ETH_P_ALL: u16 = 3;
const FILTER_LENGTH: u16 = 14;
const _: () = assert!(AF_PACKET as i32 == libc::AF_PACKET && ETH_P_ALL as i32 == libc::ETH_P_ALL);

/// Room for a burst of 4000 adverts while the thread is away; the kernel counts its own overhead in it.
const RECEIVE_BUFFER: libc::c_int = 4 * 1024 * 1024;

impl Socket {
    pub(in crate::net) fn open() -> Result<Self, SocketError> {
        let kind = libc::SOCK_RAW | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
        // Protocol 0 receives nothing until bind: no frame gets in before the filter is there.
        // SAFETY: no pointers.
        let fd = check("socket", unsafe { libc::socket(libc::AF_PACKET, kind, 0) })?;
        // SAFETY: a new descriptor that nobody else owns.
        let socket = Self { fd: unsafe { OwnedFd::from_raw_fd(fd) } };
        let mut filter = filter();
        let program = libc::sock_fprog { len: FILTER_LENGTH, filter: filter.as_mut_ptr() };
        socket.set("SO_ATTACH_FILTER", libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &program)?;
        socket.set("SO_TIMESTAMPNS", libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, &1_i32)?;
        socket.set("SO_RCVBUFFORCE", libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, &RECEIVE_BUFFER)?;
        socket.set("PACKET_IGNORE_OUTGOING", libc::SOL_PACKET, libc::PACKET_IGNORE_OUTGOING, &1_i32)?;

        // SAFETY: integers only, for which zero is a value.
        let mut address: libc::sockaddr_ll = unsafe { zeroed() };
        address.sll_family = AF_PACKET;
        address.sll_protocol = ETH_P_ALL.to_be();
        // SAFETY: the address and its size belong together.
        let bound = unsafe { libc::bind(fd, (&raw const address).cast(), length_of::<libc::sockaddr_ll>()) };
        check("bind", bound)?;
        Ok(socket)
    }

    /// What this host sends is heard, too.
    pub(in crate::net) fn hear_own(&self) -> Result<(), SocketError> {
        self.set("PACKET_IGNORE_OUTGOING", libc::SOL_PACKET, libc::PACKET_IGNORE_OUTGOING, &0_i32)
    }

    /// The oldest frame waiting; `None` if there is none. A frame longer than `buffer` is cut.
    pub(in crate::net) fn receive(&self, buffer: &mut [u8]) -> Option<Received> {
        loop {
            let mut control = stamp::Control::new();
            // SAFETY: integers only, for which zero is a value.
            let mut address: libc::sockaddr_ll = unsafe { zeroed() };
            let mut vector = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
            // SAFETY: null pointers and zeros are an empty message.
            let mut message: libc::msghdr = unsafe { zeroed() };
            message.msg_name = (&raw mut address).cast();
            message.msg_namelen = length_of::<libc::sockaddr_ll>();
            message.msg_iov = &raw mut vector;
            message.msg_iovlen = 1;
            control.lend_to(&mut message);
            // SAFETY: all pointers in the message live until the end of this round.
            let length = unsafe { libc::recvmsg(self.fd.as_raw_fd(), &raw mut message, libc::MSG_DONTWAIT) };
            let Ok(length) = usize::try_from(length) else {
                if io::Error::last_os_error().kind() == io::ErrorKind::Interrupted {
                    continue;
                }
                // Nothing there; or a passing error such as ENETDOWN, which this call has consumed.
                return None;
            };
            return Some(Received {
                length,
                ifindex: u32::try_from(address.sll_ifindex).unwrap_or(0),
                // SAFETY: the kernel filled in the message, and what it points to lives.
                arrived_ns: stamp::arrived_ns(unsafe { stamp::of(&message) }),
            });
        }
    }

    fn set<T>(&self, name: &'static str, level: i32, option: i32, value: &T) -> Result<(), SocketError> {
        // SAFETY: the pointer is valid for the size given; the kernel only reads.
        let set = unsafe {
            libc::setsockopt(
                self.fd.as_raw_fd(),
                level,
                option,
                std::ptr::from_ref(value).cast(),
                length_of::<T>(),
            )
        };
        check(name, set).map(|_| ())
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

#[expect(clippy::cast_possible_truncation, reason = "sizes of small structs")]
const fn length_of<T>() -> libc::socklen_t {
    size_of::<T>() as libc::socklen_t
}

fn check(operation: &'static str, result: libc::c_int) -> Result<libc::c_int, SocketError> {
    if result < 0 { Err(SocketError { operation, source: io::Error::last_os_error() }) } else { Ok(result) }
}

/// Classic BPF, which every kernel has: untagged IPv4 or IPv6 whose next protocol is VRRP. The same test as
/// `vrrp_ebpf::classify::gate`, so that the rest of the host's traffic wakes nobody.
fn filter() -> [libc::sock_filter; FILTER_LENGTH as usize] {
    // BPF_LD | BPF_B | BPF_ABS and so on: <linux/bpf_common.h>.
    const LOAD_BYTE: u16 = 0x30;
    const LOAD_HALF: u16 = 0x28;
    const AND: u16 = 0x54;
    const EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    const ETHER_TYPE: u32 = 12;
    const IPV4_PROTOCOL: u32 = 23;
    const IPV6_NEXT_HEADER: u32 = 20;
    const VRRP: u32 = vrrp_ebpf::abi::IPPROTO_VRRP as u32;
    const ALL: u32 = 0x4_0000;
    const VLAN_ID: u32 = 0xfff;
    // Linux 5.0 to 6.1 leave the tag behind when they hand a frame to the VLAN's own device, and clear the bit alone.
    let has_tag = (libc::SKF_AD_OFF + libc::SKF_AD_VLAN_TAG_PRESENT).cast_unsigned();
    let vlan_tag = (libc::SKF_AD_OFF + libc::SKF_AD_VLAN_TAG).cast_unsigned();

    let instruction = |code: u16, k: u32, jt: u8, jf: u8| libc::sock_filter { code, jt, jf, k };
    [
        instruction(LOAD_BYTE, has_tag, 0, 0),
        instruction(EQUAL, 0, 3, 0),
        instruction(LOAD_HALF, vlan_tag, 0, 0),
        instruction(AND, VLAN_ID, 0, 0),
        instruction(EQUAL, 0, 0, 8),
        instruction(LOAD_HALF, ETHER_TYPE, 0, 0),
        instruction(EQUAL, 0x0800, 0, 2),
        instruction(LOAD_BYTE, IPV4_PROTOCOL, 0, 0),
        instruction(EQUAL, VRRP, 3, 4),
        instruction(EQUAL, 0x86dd, 0, 3),
        instruction(LOAD_BYTE, IPV6_NEXT_HEADER, 0, 0),
        instruction(EQUAL, VRRP, 0, 1),
        instruction(RETURN, ALL, 0, 0),
        instruction(RETURN, 0, 0, 0),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the kernel would do with it: whether the frame gets through.
    fn passes(frame: &[u8], (has_tag, tag): (u32, u32)) -> bool {
        let program = filter();
        let extension = |which: libc::c_int| (libc::SKF_AD_OFF + which).cast_unsigned();
        let load = |at: u32, length: usize| {
            if at == extension(libc::SKF_AD_VLAN_TAG_PRESENT) {
                return has_tag;
            }
            if at == extension(libc::SKF_AD_VLAN_TAG) {
                return tag;
            }
            frame[at as usize..][..length].iter().fold(0, |value, byte| value << 8 | u32::from(*byte))
        };
        let (mut accumulator, mut at) = (0, 0);
        loop {
            let libc::sock_filter { code, jt, jf, k } = program[at];
            at += 1;
            match code {
                0x30 => accumulator = load(k, 1),
                0x28 => accumulator = load(k, 2),
                0x54 => accumulator &= k,
                0x15 => at += usize::from(if accumulator == k { jt } else { jf }),
                0x06 => return k != 0,
                _ => panic!("an instruction {code:#x}"),
            }
        }
    }

    #[test]
    fn the_filter_asks_whether_there_is_a_tag_before_it_asks_which() {
        let frame = |ether_type: u16, place: usize, protocol: u8| {
            let mut frame = [0; 64];
            frame[12..14].copy_from_slice(&ether_type.to_be_bytes());
            frame[place] = protocol;
            frame
        };
        let (advert, advert_v6) = (frame(0x0800, 23, 112), frame(0x86dd, 20, 112));
        let priority_6 = 6 << 13;
        for (tag, expected, why) in [
            ((0, 0), true, "untagged"),
            ((0, 20), true, "the VLAN's own device gets it with the tag that it had"),
            ((0, priority_6 | 20), true, "the same"),
            ((1, 0), true, "priority 0 alone is no VLAN"),
            ((1, priority_6), true, "nor any other"),
            ((1, 20), false, "a VLAN's, seen at the interface below"),
            ((1, priority_6 | 20), false, "the same"),
        ] {
            assert_eq!(passes(&advert, tag), expected, "{tag:?}: {why}");
            assert_eq!(passes(&advert_v6, tag), expected, "{tag:?}: {why}");
            for other in [frame(0x0800, 23, 6), frame(0x86dd, 20, 6), frame(0x0806, 23, 112)] {
                assert!(!passes(&other, tag), "{tag:?}");
            }
        }
    }
}
