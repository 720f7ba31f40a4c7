//! Bytes on the wire to typed values and back.
