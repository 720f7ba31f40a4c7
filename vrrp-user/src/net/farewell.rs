//! Tells clients of an address that leaves that it is not here any more: segments to it are answered with a reset.
//!
//! A neighbour's ARP entry leads here until the new owner has announced itself; a SYN that comes meanwhile would be lost, and
//! the client's kernel sends the next one a second later. Owns a packet socket per interface, for as long as it is needed.
//! Receives TCP alone. Refuses to know when an address goes, and to block anything.

use std::io;
use std::mem::zeroed;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};

use super::clock;
use crate::vrrp::Instant;
use crate::wire::reset::Segment;

// libc has them wider than the fields that they are for.
const AF_PACKET: u16 = 17;
const ETH_P_IP: u16 = 0x0800;
const ETH_P_ALL: u16 = 3;
const _: () = assert!(
    AF_PACKET as i32 == libc::AF_PACKET
        && ETH_P_IP as i32 == libc::ETH_P_IP
        && ETH_P_ALL as i32 == libc::ETH_P_ALL
);

/// As much of a segment as has to be read.
const SNAP: usize = 128;
/// Answers in one [`BREATH`] at most: whoever wants more is no client.
const MOST: u32 = 500;
/// Segments read before others have their turn.
const TURN: u32 = 64;
const BREATH: Duration = Duration::from_millis(100);

/// What is answered, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places {
    /// Interface and address.
    pub addresses: Vec<(u32, Ipv4Addr)>,
    pub ports: Vec<u16>,
}

/// Answers as long as it lives, and no longer than it was told.
#[derive(Debug)]
pub struct Farewell {
    tasks: Vec<AbortHandle>,
    terms: Arc<Terms>,
}

/// What can change while it answers.
#[derive(Debug)]
struct Terms {
    is_whole: AtomicBool,
    /// Its end, in ns of CLOCK_MONOTONIC.
    until: AtomicU64,
}

impl Terms {
    fn left(&self) -> Duration {
        Instant::from_nanos(self.until.load(Ordering::Relaxed)).since(clock::now())
    }
}

impl Farewell {
    /// Begins; must be called inside a runtime. An interface that is gone needs no answers. `is_whole`: every segment is
    /// answered, not only requests to open a connection.
    pub fn begin(places: &Places, until: Instant, is_whole: bool) -> Self {
        let (is_whole, until) = (AtomicBool::new(is_whole), AtomicU64::new(until.as_nanos()));
        let terms = Arc::new(Terms { is_whole, until });
        let mut interfaces: Vec<u32> = places.addresses.iter().map(|(ifindex, _)| *ifindex).collect();
        interfaces.sort_unstable();
        interfaces.dedup();
        let tasks = interfaces.into_iter().filter_map(|ifindex| {
            let here = places.addresses.iter().filter(|(index, _)| *index == ifindex);
            let addresses: Vec<Ipv4Addr> = here.map(|(_, address)| *address).collect();
            let socket = open(ifindex).and_then(|socket| {
                // SAFETY: an OwnedFd is open until it is dropped and always says the same number, and the AsyncFd owns it.
                unsafe { AsyncFd::register_with_interest(socket, Interest::READABLE) }
                    .map_err(io::Error::from)
            });
            match socket {
                Ok(socket) => {
                    let (ports, terms) = (places.ports.clone(), Arc::clone(&terms));
                    let answering = async move {
                        // It may have been put off meanwhile.
                        while !terms.left().is_zero() {
                            let answering = answer(&socket, &addresses, &ports, &terms.is_whole);
                            if let Ok(Err(error)) = timeout(terms.left(), answering).await {
                                tracing::debug!("late clients are not answered any more: {error}");
                                break;
                            }
                        }
                    };
                    Some(tokio::spawn(answering).abort_handle())
                }
                Err(error) => {
                    tracing::debug!("late clients are not answered: {error}");
                    None
                }
            }
        });
        Self { tasks: tasks.collect(), terms }
    }

    /// Goes on until then at least, and answers every segment from now on if that is asked. False: its time is over.
    pub fn go_on(&self, until: Instant, is_whole: bool) -> bool {
        self.terms.is_whole.fetch_or(is_whole, Ordering::Relaxed);
        let was_due = self.terms.until.fetch_max(until.as_nanos(), Ordering::Relaxed);
        Instant::from_nanos(was_due) > clock::now() && !self.tasks.iter().all(AbortHandle::is_finished)
    }
}

impl Drop for Farewell {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

async fn answer(
    socket: &AsyncFd<OwnedFd>,
    addresses: &[Ipv4Addr],
    ports: &[u16],
    is_whole: &AtomicBool,
) -> io::Result<()> {
    let mut buffer = [0; SNAP];
    let (mut answered, mut read) = (0, 0_u32);
    loop {
        read = read.wrapping_add(1);
        if read.is_multiple_of(TURN) {
            // Other services' traffic comes here, too, and this task shares its thread.
            tokio::task::yield_now().await;
        }
        let mut ready = socket.readable().await?;
        match rustix::io::read(socket.get_ref(), &mut buffer) {
            Ok(length) => {
                let segment = buffer.get(..length).and_then(Segment::parse);
                let ours = segment.filter(|to| addresses.contains(&to.to) && ports.contains(&to.to_port));
                let ours = ours.filter(|to| is_whole.load(Ordering::Relaxed) || to.is_opening());
                let Some(frame) = ours.and_then(|segment| segment.refusal()) else { continue };
                // A full queue: the client asks again.
                rustix::io::write(socket.get_ref(), &frame).unwrap_or_default();
                answered += 1;
                if answered >= MOST {
                    answered = 0;
                    sleep(BREATH).await;
                }
            }
            Err(rustix::io::Errno::AGAIN) => ready.clear_ready(),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn open(ifindex: u32) -> io::Result<OwnedFd> {
    let kind = libc::SOCK_RAW | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // Protocol 0 receives nothing until bind: no frame gets in before the filter is there.
    // SAFETY: no pointers.
    let fd = check(unsafe { libc::socket(libc::AF_PACKET, kind, 0) })?;
    // SAFETY: a new descriptor that nobody else owns.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    let mut filter = filter();
    let program = libc::sock_fprog { len: LENGTH, filter: filter.as_mut_ptr() };
    set(&socket, libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &program)?;
    set(&socket, libc::SOL_PACKET, libc::PACKET_IGNORE_OUTGOING, &1_i32)?;
    // SAFETY: integers only, for which zero is a value.
    let mut address: libc::sockaddr_ll = unsafe { zeroed() };
    address.sll_family = AF_PACKET;
    // A socket for all protocols sees a frame before the traffic-control hook, where the doorkeeper drops it; one for IPv4
    // alone would see it after.
    address.sll_protocol = ETH_P_ALL.to_be();
    address.sll_ifindex = i32::try_from(ifindex).map_err(io::Error::other)?;
    // SAFETY: the address and its size belong together.
    check(unsafe { libc::bind(fd, (&raw const address).cast(), length_of::<libc::sockaddr_ll>()) })?;
    Ok(socket)
}

fn set<T>(socket: &OwnedFd, level: i32, option: i32, value: &T) -> io::Result<()> {
    let value = std::ptr::from_ref(value).cast();
    // SAFETY: the pointer is valid for the size given; the kernel only reads.
    check(unsafe { libc::setsockopt(socket.as_raw_fd(), level, option, value, length_of::<T>()) }).map(drop)
}

#[expect(clippy::cast_possible_truncation, reason = "sizes of small structs")]
const fn length_of<T>() -> libc::socklen_t {
    size_of::<T>() as libc::socklen_t
}

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

const LENGTH: u16 = 8;

/// Classic BPF, which every kernel has: TCP over IPv4, untagged and for this host.
fn filter() -> [libc::sock_filter; LENGTH as usize] {
    // BPF_LD | BPF_B | BPF_ABS and so on: <linux/bpf_common.h>.
    const LOAD_BYTE: u16 = 0x30;
    const LOAD_HALF: u16 = 0x28;
    const EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    const ETHER_TYPE: u32 = 12;
    const IPV4_PROTOCOL: u32 = 23;
    const TCP: u32 = 6;
    #[expect(clippy::cast_possible_truncation, reason = "128")]
    const WANTED: u32 = SNAP as u32;
    let packet_type = (libc::SKF_AD_OFF + libc::SKF_AD_PKTTYPE).cast_unsigned();
    let instruction = |code: u16, k: u32, jt: u8, jf: u8| libc::sock_filter { code, jt, jf, k };
    [
        // PACKET_HOST is 0.
        instruction(LOAD_BYTE, packet_type, 0, 0),
        instruction(EQUAL, 0, 0, 5),
        instruction(LOAD_HALF, ETHER_TYPE, 0, 0),
        instruction(EQUAL, ETH_P_IP as u32, 0, 3),
        instruction(LOAD_BYTE, IPV4_PROTOCOL, 0, 0),
        instruction(EQUAL, TCP, 0, 1),
        instruction(RETURN, WANTED, 0, 0),
        instruction(RETURN, 0, 0, 0),
    ]
}
