//! A capture file that tcpdump and Wireshark read: the classic format, with nanoseconds.
//!
//! Owns the two headers. Refuses to know what is in a frame.

use std::io::{self, Write};

/// Of the form with nanoseconds, in the writer's order of bytes.
const MAGIC: u32 = 0xa1b2_3c4d;
const ETHERNET: u32 = 1;
/// No frame here is longer.
const SNAP: u32 = 65_535;

/// A capture that is being written; complete after each frame.
#[derive(Debug)]
pub struct Capture<W> {
    out: W,
}

impl<W: Write> Capture<W> {
    /// Writes the file's head.
    pub fn begin(mut out: W) -> io::Result<Self> {
        let mut head = [0; 24];
        head[..4].copy_from_slice(&MAGIC.to_ne_bytes());
        head[4..6].copy_from_slice(&2_u16.to_ne_bytes());
        head[6..8].copy_from_slice(&4_u16.to_ne_bytes());
        head[16..20].copy_from_slice(&SNAP.to_ne_bytes());
        head[20..].copy_from_slice(&ETHERNET.to_ne_bytes());
        out.write_all(&head)?;
        out.flush()?;
        Ok(Self { out })
    }

    /// Writes one frame, which had `length` bytes on the wire.
    pub fn frame(&mut self, time_unix_ns: u64, length: usize, bytes: &[u8]) -> io::Result<()> {
        let number = |number: u64| u32::try_from(number).unwrap_or(u32::MAX).to_ne_bytes();
        let kept = bytes.len() as u64;
        let mut record = Vec::with_capacity(16 + bytes.len());
        record.extend(number(time_unix_ns / 1_000_000_000));
        record.extend(number(time_unix_ns % 1_000_000_000));
        record.extend(number(kept));
        record.extend(number(kept.max(length as u64)));
        record.extend(bytes);
        self.out.write_all(&record)?;
        self.out.flush()
    }
}
