//! A frame as the classifier sees it: bounded loads, nothing else.
//!
//! Owns the border between "bytes somewhere" and "a value or nothing". Refuses to know any protocol.

/// Behind the fixed part of an IPv4 header (RFC 791 §3.1).
pub const MAX_OPTIONS: usize = 40;

/// Bytes from the Ethernet destination on. Offsets handed to `half` are even, because every 16-bit field of
/// Ethernet, IP and VRRP sits at an even offset; this lets the kernel load each with one instruction.
pub trait Frame {
    /// Whether its IPv4 header is known to be without options: then it is known where every field lies.
    const PLAIN: bool = false;

    /// Makes the first `length` bytes loadable; false if the frame is shorter (or longer than any advert).
    #[must_use]
    fn fetch(&mut self, length: usize) -> bool;

    /// How much of it is at hand: all that was fetched, or more.
    fn at_hand(&self) -> usize;

    /// The byte at `offset`, 0 outside of what was fetched.
    fn byte(&self, offset: usize) -> u8;

    /// The 16 bits at the even `offset` as they lie in memory, 0 outside of what was fetched.
    fn half(&self, offset: usize) -> u16;

    /// Sum of the 16-bit words as they lie in memory, perhaps folded to 16 or 32 bits already (RFC 1071 §2: the
    /// order of bytes does not matter). `offset` is even, `length` a multiple of 4.
    fn sum(&self, offset: usize, length: usize) -> u64;

    /// [`Frame::sum`] of the options of an IPv4 header: at most [`MAX_OPTIONS`] bytes.
    fn sum_options(&self, offset: usize, length: usize) -> u64 {
        self.sum(offset, length.min(MAX_OPTIONS))
    }

    /// Four times [`Frame::half`], at an `offset` that the packet chooses.
    #[inline(always)]
    fn halves(&self, offset: usize) -> [u16; 4] {
        [self.half(offset), self.half(offset + 2), self.half(offset + 4), self.half(offset + 6)]
    }

    /// The 16 bits at the even `offset`, from network order.
    #[inline(always)]
    fn half_be(&self, offset: usize) -> u16 {
        u16::from_be(self.half(offset))
    }
}

/// A frame in memory.
pub struct Bytes<'a> {
    bytes: &'a [u8],
    fetched: usize,
}

impl<'a> Bytes<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, fetched: 0 }
    }

    /// The first `length` bytes, as far as the frame goes.
    pub fn first(&self, length: usize) -> &'a [u8] {
        &self.bytes[..length.min(self.bytes.len())]
    }
}

impl Frame for Bytes<'_> {
    fn fetch(&mut self, length: usize) -> bool {
        let there = length <= self.bytes.len() && length <= crate::abi::MAX_FRAME;
        if there {
            self.fetched = length;
        }
        there
    }

    fn at_hand(&self) -> usize {
        self.bytes.len().min(crate::abi::MAX_FRAME)
    }

    fn byte(&self, offset: usize) -> u8 {
        self.bytes[..self.fetched].get(offset).copied().unwrap_or(0)
    }

    fn half(&self, offset: usize) -> u16 {
        debug_assert!(offset.is_multiple_of(2), "field at odd offset {offset}");
        u16::from_ne_bytes([self.byte(offset), self.byte(offset + 1)])
    }

    fn sum(&self, offset: usize, length: usize) -> u64 {
        debug_assert!(length.is_multiple_of(4), "sum over {length} bytes");
        (offset..offset + length).step_by(2).map(|at| u64::from(self.half(at))).sum()
    }
}
