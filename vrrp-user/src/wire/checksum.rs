//! The Internet checksum (RFC 1071). Refuses to know what it is computed over.

/// Ones' complement sum of big-endian 16-bit words, not folded. An odd last byte counts as if a zero followed.
///
/// Exact for up to 128 KiB: no packet is longer.
pub(super) fn sum(bytes: &[u8]) -> u32 {
    let (words, rest) = bytes.as_chunks::<2>();
    let even: u32 = words.iter().map(|word| u32::from(u16::from_be_bytes(*word))).sum();
    even + rest.first().map_or(0, |last| u32::from(*last) << 8)
}

/// Folds the carries back in.
pub(super) fn fold(mut sum: u32) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    (sum & 0xffff) as u16
}

/// The sum of bytes that contain their own, correct checksum.
pub(super) const CORRECT: u16 = 0xffff;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_rfc1071_sums_to_ddf2() {
        assert_eq!(fold(sum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7])), 0xddf2);
    }

    #[test]
    fn an_odd_last_byte_is_the_high_half_of_a_word() {
        assert_eq!(sum(&[0x12, 0x34, 0x56]), 0x1234 + 0x5600);
    }

    #[test]
    fn carries_are_folded_until_none_is_left() {
        assert_eq!(fold(0xffff_ffff), 0xffff);
        assert_eq!(fold(0x0001_ffff), 1);
    }
}
