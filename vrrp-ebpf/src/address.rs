//! An IP address of either family: sixteen bytes, IPv4 in the last four.
//!
//! Owns its shape in registers: two words as they lie in memory. As an array of bytes it would be taken apart and
//! put together again byte by byte on a machine without unaligned loads, which BPF is.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Address {
    pub(crate) first: u64,
    pub(crate) second: u64,
}

impl Address {
    /// From the 16-bit words as they lie in memory.
    #[inline(always)]
    pub(crate) const fn from_halves(halves: [u16; 8]) -> Self {
        let [a, b, c, d, e, f, g, h] = halves;
        Self { first: word(a, b, c, d), second: word(e, f, g, h) }
    }

    #[inline(always)]
    pub const fn from_octets(octets: [u8; 16]) -> Self {
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = octets;
        Self {
            first: u64::from_ne_bytes([a, b, c, d, e, f, g, h]),
            second: u64::from_ne_bytes([i, j, k, l, m, n, o, p]),
        }
    }

    #[inline(always)]
    pub const fn octets(self) -> [u8; 16] {
        let [a, b, c, d, e, f, g, h] = self.first.to_ne_bytes();
        let [i, j, k, l, m, n, o, p] = self.second.to_ne_bytes();
        [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p]
    }

    /// The last four bytes as a number: all of an IPv4 address.
    #[inline(always)]
    pub const fn low(self) -> u32 {
        (u64::from_be(self.second) & 0xffff_ffff) as u32
    }

    /// As an address of this family.
    pub fn ip(self, family: u8) -> IpAddr {
        if family == crate::abi::FAMILY_IPV4 {
            Ipv4Addr::from_bits(self.low()).into()
        } else {
            Ipv6Addr::from_octets(self.octets()).into()
        }
    }
}

/// Eight bytes from the 16-bit words as they lie in memory.
#[inline(always)]
pub(crate) const fn word(a: u16, b: u16, c: u16, d: u16) -> u64 {
    let (a, b, c, d) = (a as u64, b as u64, c as u64, d as u64);
    if cfg!(target_endian = "little") {
        a | b << 16 | c << 32 | d << 48
    } else {
        a << 48 | b << 32 | c << 16 | d
    }
}

impl From<Ipv4Addr> for Address {
    fn from(address: Ipv4Addr) -> Self {
        let mut octets = [0; 16];
        octets[12..].copy_from_slice(&address.octets());
        Self::from_octets(octets)
    }
}

impl From<Ipv6Addr> for Address {
    fn from(address: Ipv6Addr) -> Self {
        Self::from_octets(address.octets())
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == 0 {
            fmt::Debug::fmt(&Ipv4Addr::from_bits(self.low()), formatter)
        } else {
            fmt::Debug::fmt(&Ipv6Addr::from_octets(self.octets()), formatter)
        }
    }
}

#[cfg(test)]
mod tests {
    use core::net::{Ipv4Addr, Ipv6Addr};

    use super::Address;
    use crate::abi::{FAMILY_IPV4, FAMILY_IPV6};

    #[test]
    fn ipv4_sits_in_the_last_four_bytes() {
        let address = Address::from(Ipv4Addr::new(192, 0, 2, 251));
        assert_eq!(address.octets(), [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 192, 0, 2, 251]);
        assert_eq!(address.low(), 0xc000_02fb);
        assert_eq!(address.ip(FAMILY_IPV4), Ipv4Addr::new(192, 0, 2, 251));
    }

    #[test]
    fn halves_as_they_lie_in_memory_make_the_same_address() {
        let address: Ipv6Addr = "fe80:102:304:506:708:90a:b0c:d0e".parse().unwrap();
        let octets = address.octets();
        let halves = core::array::from_fn(|i| u16::from_ne_bytes([octets[2 * i], octets[2 * i + 1]]));
        assert_eq!(Address::from_halves(halves), Address::from(address));
        assert_eq!(Address::from_halves(halves).ip(FAMILY_IPV6), address);
        assert_eq!(Address::from_octets(octets).octets(), octets);
    }
}
