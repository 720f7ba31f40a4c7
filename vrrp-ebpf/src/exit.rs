//! What the witness of process exits says to userspace: one record for each watched process whose last thread exits.
//!
//! Owns the record's shape. The maps are `WATCHED` (process id to anything) and `EXITS` (a ring of records).

use core::mem::size_of;

/// The process's last thread has begun to exit; its memory and descriptors may be there for seconds yet.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exit {
    /// In the initial PID namespace.
    pub process: u32,
    pub padding: u32,
    /// CLOCK_MONOTONIC, in ns.
    pub at: u64,
}

const _: () = assert!(size_of::<Exit>() == 16);

impl Exit {
    /// None if the record is of another shape: the object was not built from this source.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; size_of::<Self>()] = bytes.try_into().ok()?;
        let [p0, p1, p2, p3, q0, q1, q2, q3, at @ ..] = *bytes;
        Some(Self {
            process: u32::from_ne_bytes([p0, p1, p2, p3]),
            padding: u32::from_ne_bytes([q0, q1, q2, q3]),
            at: u64::from_ne_bytes(at),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_as_it_lies_in_memory() {
        let mut bytes = [0; 16];
        bytes[..4].copy_from_slice(&7_u32.to_ne_bytes());
        bytes[8..].copy_from_slice(&9_u64.to_ne_bytes());
        assert_eq!(Exit::from_bytes(&bytes), Some(Exit { process: 7, padding: 0, at: 9 }));
        assert_eq!(Exit::from_bytes(&bytes[..12]), None);
        assert_eq!(Exit::from_bytes(&[0; 24]), None);
    }
}
