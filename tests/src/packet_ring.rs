//! A packet socket whose frames the kernel writes into shared memory (TPACKET_V3): a hundred thousand frames a second
//! cost their reader no system call each.
//!
//! Owns the mapping and its `unsafe`. Refuses to know what is in the frames.

use std::{
    io,
    os::fd::{AsRawFd, OwnedFd},
    ptr::{self, NonNull},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use crate::socket;

const BLOCK: usize = 1 << 20;
const BLOCKS: usize = 48;
/// A block that is not full is handed over after this.
const RETIRE: Duration = Duration::from_millis(10);

/// One frame in the ring.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RingFrame<'a> {
    /// CLOCK_REALTIME, the kernel's stamp.
    pub(crate) stamp_ns: u64,
    pub(crate) ifindex: u32,
    /// It leaves through this interface rather than arriving.
    pub(crate) outgoing: bool,
    /// As much of it as the filter let through.
    pub(crate) bytes: &'a [u8],
}

/// The socket and its memory.
#[derive(Debug)]
pub(crate) struct PacketRing {
    socket: OwnedFd,
    memory: NonNull<u8>,
    next: usize,
}

// SAFETY: the mapping belongs to the process, not to a thread, and only this value reads it.
unsafe impl Send for PacketRing {}

impl PacketRing {
    /// Takes a packet socket that is not bound yet, filter attached.
    pub(crate) fn new(socket: OwnedFd) -> io::Result<Self> {
        let version = libc::tpacket_versions::TPACKET_V3 as libc::c_int;
        socket::set_packet_option(&socket, libc::PACKET_VERSION, &version)?;
        // linux/net_tstamp.h: SOF_TIMESTAMPING_SOFTWARE.
        socket::set_packet_option(&socket, libc::PACKET_TIMESTAMP, &(1_i32 << 4))?;
        let number = |value: usize| u32::try_from(value).map_err(io::Error::other);
        let request = libc::tpacket_req3 {
            tp_block_size: number(BLOCK)?,
            tp_block_nr: number(BLOCKS)?,
            tp_frame_size: 2048,
            tp_frame_nr: number(BLOCK * BLOCKS / 2048)?,
            tp_retire_blk_tov: u32::try_from(RETIRE.as_millis()).map_err(io::Error::other)?,
            tp_sizeof_priv: 0,
            tp_feature_req_word: 0,
        };
        socket::set_packet_option(&socket, libc::PACKET_RX_RING, &request)?;
        // SAFETY: a fresh mapping of the ring just made, of exactly its size; the kernel chooses the place.
        let memory = unsafe {
            libc::mmap(
                ptr::null_mut(),
                BLOCK * BLOCKS,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                socket.as_raw_fd(),
                0,
            )
        };
        if memory == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let memory = NonNull::new(memory.cast()).ok_or_else(|| io::Error::other("mapped at address 0"))?;
        Ok(Self { socket, memory, next: 0 })
    }

    /// For polling, and for the drop counter.
    pub(crate) fn socket(&self) -> &OwnedFd {
        &self.socket
    }

    /// Hands each frame of the next block to `see` and gives the block back; false if none is ready.
    pub(crate) fn next_block(&mut self, mut see: impl FnMut(RingFrame<'_>)) -> bool {
        // SAFETY: `next` is less than BLOCKS, so the block lies within the mapping; blocks are page aligned.
        let block = unsafe { self.memory.as_ptr().add(self.next * BLOCK) };
        // SAFETY: linux/if_packet.h: a block begins with this descriptor; its status is shared with the kernel and only
        // ever accessed as one word.
        let status = unsafe {
            let header = block.cast::<libc::tpacket_block_desc>();
            AtomicU32::from_ptr(&raw mut (*header).hdr.bh1.block_status)
        };
        if status.load(Ordering::Acquire) & libc::TP_STATUS_USER == 0 {
            return false;
        }
        // SAFETY: the block is ours until its status says otherwise; the kernel filled the descriptor.
        let (count, first) = unsafe {
            let header = block.cast::<libc::tpacket_block_desc>();
            ((*header).hdr.bh1.num_pkts, (*header).hdr.bh1.offset_to_first_pkt)
        };
        let mut offset = first as usize;
        for _ in 0..count {
            // SAFETY: the kernel chains `count` frames within the block, each a header, a sockaddr_ll, and the bytes
            // at `tp_mac`; headers are aligned to 16.
            let (header, sender, bytes) = unsafe {
                let at = block.add(offset);
                let header = ptr::read(at.cast::<libc::tpacket3_hdr>());
                let sender =
                    ptr::read_unaligned(at.add(size_of::<libc::tpacket3_hdr>()).cast::<libc::sockaddr_ll>());
                let bytes = std::slice::from_raw_parts(
                    at.add(usize::from(header.tp_mac)),
                    header.tp_snaplen as usize,
                );
                (header, sender, bytes)
            };
            see(RingFrame {
                stamp_ns: u64::from(header.tp_sec) * 1_000_000_000 + u64::from(header.tp_nsec),
                ifindex: u32::try_from(sender.sll_ifindex).unwrap_or(0),
                outgoing: sender.sll_pkttype == libc::PACKET_OUTGOING,
                bytes,
            });
            offset += header.tp_next_offset as usize;
        }
        status.store(libc::TP_STATUS_KERNEL, Ordering::Release);
        self.next = (self.next + 1) % BLOCKS;
        true
    }
}

impl Drop for PacketRing {
    fn drop(&mut self) {
        // SAFETY: the mapping made in `new`, nobody else's; no reference into it outlives `next_block`.
        unsafe { libc::munmap(self.memory.as_ptr().cast(), BLOCK * BLOCKS) };
    }
}
