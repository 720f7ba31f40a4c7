//! The VRRP advertisement, versions 2 and 3, of IPv4 virtual routers: the message behind the IP header.
//!
//! Refuses to know Ethernet and IP (`frame`), which password is right, and whether anybody should believe the advert.
//!
//! ```text
//!  0                   1                   2                   3
//! +-------+-------+---------------+---------------+---------------+
//! |Version| Type  | Virtual Rtr ID|   Priority    | Address count |
//! +-------+-------+---------------+---------------+---------------+
//! | v2: Auth Type | Adver Int, s  |           Checksum            |
//! | v3: 0 | Max Adver Int, cs     |                               |
//! +---------------+---------------+---------------+---------------+
//! |                  count x 4 bytes of address                   |
//! |            v2 only: 8 bytes of authentication data            |
//! +---------------------------------------------------------------+
//! ```

use core::net::Ipv4Addr;

use super::checksum;
use super::interval::{AdvertInterval, Centiseconds, Seconds};

mod field {
    use core::ops::{Range, RangeFrom};

    pub(super) const VERSION_TYPE: usize = 0;
    pub(super) const VIRTUAL_ROUTER_ID: usize = 1;
    pub(super) const PRIORITY: usize = 2;
    pub(super) const COUNT: usize = 3;
    pub(super) const V2_AUTH_TYPE: usize = 4;
    pub(super) const V2_INTERVAL: usize = 5;
    pub(super) const V3_INTERVAL: Range<usize> = 4..6;
    pub(super) const CHECKSUM: Range<usize> = 6..8;
    pub(super) const ADDRESSES: RangeFrom<usize> = 8..;
}

const HEADER_LEN: usize = 8;
const AUTH_LEN: usize = 8;
const TYPE_ADVERTISEMENT: u8 = 1;
const AUTH_NONE: u8 = 0;
const AUTH_PASSWORD: u8 = 1;

/// The longest message there is: 255 addresses and version 2's authentication data.
pub const MAX_LEN: usize = HEADER_LEN + 255 * 4 + AUTH_LEN;

/// IP protocol number (RFC 9568 §5.1.1.4).
pub const IP_PROTOCOL: u8 = 112;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Version {
    V2,
    V3,
}

/// What a version 3 checksum over IPv4 covers. RFC 9568 §5.2.8 says the message alone; RFC 5798 was read as asking for
/// the pseudo-header too, and keepalived and FRR send that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ipv4Checksum {
    MessageOnly,
    PseudoHeader,
}

/// Version 2's authentication field (RFC 2338 §5.3.6; RFC 3768 keeps the field and removes the use).
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Authentication {
    None,
    /// Zero-filled.
    Password([u8; AUTH_LEN]),
}

// A password does not belong in a log, however weak its protection on the wire is.
impl core::fmt::Debug for Authentication {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::None => f.write_str("None"),
            Self::Password(_) => f.write_str("Password(..)"),
        }
    }
}

/// What differs between the versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    V2 {
        interval: Seconds,
        authentication: Authentication,
    },
    /// `checksum`: the form to write, or the form that was found.
    V3 {
        interval: Centiseconds,
        checksum: Ipv4Checksum,
    },
}

/// 1 to 255 addresses, as octets: so a received list is borrowed from the packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses<'a>(&'a [[u8; 4]]);

impl<'a> Addresses<'a> {
    /// None if there is no address, or more than the count field can say.
    pub const fn new(octets: &'a [[u8; 4]]) -> Option<Self> {
        match octets.len() {
            1..=255 => Some(Self(octets)),
            _ => None,
        }
    }

    pub fn iter(self) -> impl ExactSizeIterator<Item = Ipv4Addr> + 'a {
        self.0.iter().map(|octets| Ipv4Addr::from(*octets))
    }

    pub const fn as_octets(self) -> &'a [[u8; 4]] {
        self.0
    }
}

/// Why a message is not an advert.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("VRRP message of {actual} bytes: the shortest has {HEADER_LEN}")]
    Truncated { actual: usize },
    #[error("VRRP version {0}: only 2 and 3 are known")]
    Version(u8),
    #[error("VRRP type {0}: only 1, ADVERTISEMENT, is known")]
    Type(u8),
    #[error("VRRP advert without an address (RFC 9568 erratum 8299)")]
    NoAddress,
    #[error("VRRP message of {actual} bytes: its address count makes it {expected}")]
    Length { expected: usize, actual: usize },
    #[error("VRRP checksum fits neither the message nor the message with its pseudo-header")]
    Checksum,
    #[error("VRRP advert interval of zero")]
    Interval,
    #[error("VRRPv2 authentication type {0}: only 0, none, and 1, password, are known")]
    AuthenticationType(u8),
}

/// An advertisement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repr<'a> {
    pub virtual_router_id: u8,
    /// 0: the sender stops being master (RFC 9568 §5.2.4).
    pub priority: u8,
    pub dialect: Dialect,
    pub addresses: Addresses<'a>,
}

impl<'a> Repr<'a> {
    /// Checks what RFC 9568 §7.1 and RFC 3768 §7.1 check without a configuration. A message longer than its own address
    /// count is refused too, as keepalived does: what follows might be an authentication that we did not verify.
    pub fn parse(message: &'a [u8], source: Ipv4Addr, destination: Ipv4Addr) -> Result<Self, Error> {
        let actual = message.len();
        let Some((header, rest)) = message.split_first_chunk::<HEADER_LEN>() else {
            return Err(Error::Truncated { actual });
        };
        let version = match header[field::VERSION_TYPE] >> 4 {
            2 => Version::V2,
            3 => Version::V3,
            other => return Err(Error::Version(other)),
        };
        match header[field::VERSION_TYPE] & 0x0f {
            TYPE_ADVERTISEMENT => (),
            other => return Err(Error::Type(other)),
        }
        let count = usize::from(header[field::COUNT]);
        if count == 0 {
            return Err(Error::NoAddress);
        }
        let expected = message_len(version, count);
        if actual != expected {
            return Err(Error::Length { expected, actual });
        }
        let (octets, authentication) = rest.split_at(count * 4);
        let addresses = Addresses::new(octets.as_chunks::<4>().0).ok_or(Error::NoAddress)?;

        let plain = checksum::sum(message);
        let dialect = match version {
            Version::V2 => {
                if checksum::fold(plain) != checksum::CORRECT {
                    return Err(Error::Checksum);
                }
                let interval = Seconds::new(header[field::V2_INTERVAL]).ok_or(Error::Interval)?;
                let authentication = match header[field::V2_AUTH_TYPE] {
                    AUTH_NONE => Authentication::None,
                    AUTH_PASSWORD => {
                        let mut password = [0; AUTH_LEN];
                        password.copy_from_slice(authentication);
                        Authentication::Password(password)
                    }
                    other => return Err(Error::AuthenticationType(other)),
                };
                Dialect::V2 { interval, authentication }
            }
            Version::V3 => {
                let pseudo = pseudo_header_sum(source, destination, actual);
                let checksum = if checksum::fold(plain) == checksum::CORRECT {
                    Ipv4Checksum::MessageOnly
                } else if checksum::fold(plain + pseudo) == checksum::CORRECT {
                    Ipv4Checksum::PseudoHeader
                } else {
                    return Err(Error::Checksum);
                };
                // The four reserved bits are ignored on receive (RFC 9568 §5.2.6).
                let number = u16::from_be_bytes([header[4], header[5]]) & Centiseconds::MAX;
                Dialect::V3 { interval: Centiseconds::new(number).ok_or(Error::Interval)?, checksum }
            }
        };
        Ok(Self {
            virtual_router_id: header[field::VIRTUAL_ROUTER_ID],
            priority: header[field::PRIORITY],
            dialect,
            addresses,
        })
    }

    pub const fn version(&self) -> Version {
        match self.dialect {
            Dialect::V2 { .. } => Version::V2,
            Dialect::V3 { .. } => Version::V3,
        }
    }

    pub const fn advert_interval(&self) -> AdvertInterval {
        match self.dialect {
            Dialect::V2 { interval, .. } => AdvertInterval::V2(interval),
            Dialect::V3 { interval, .. } => AdvertInterval::V3(interval),
        }
    }

    pub const fn buffer_len(&self) -> usize {
        message_len(self.version(), self.addresses.0.len())
    }

    /// Writes the first [`Self::buffer_len`] bytes of `buffer`; the addresses of the IP header are for the pseudo-header.
    pub fn emit(&self, source: Ipv4Addr, destination: Ipv4Addr, buffer: &mut [u8]) {
        let length = self.buffer_len();
        let message = &mut buffer[..length];
        message[field::VIRTUAL_ROUTER_ID] = self.virtual_router_id;
        message[field::PRIORITY] = self.priority;
        message[field::COUNT] = self.addresses.count();
        message[field::CHECKSUM].fill(0);
        let (octets, authentication) = message[field::ADDRESSES].split_at_mut(self.addresses.0.len() * 4);
        octets.copy_from_slice(self.addresses.0.as_flattened());

        let pseudo = match self.dialect {
            Dialect::V2 { interval, authentication: kind } => {
                let (auth_type, data) = match kind {
                    Authentication::None => (AUTH_NONE, [0; AUTH_LEN]),
                    Authentication::Password(password) => (AUTH_PASSWORD, password),
                };
                authentication.copy_from_slice(&data);
                message[field::VERSION_TYPE] = 2 << 4 | TYPE_ADVERTISEMENT;
                message[field::V2_AUTH_TYPE] = auth_type;
                message[field::V2_INTERVAL] = interval.get();
                0
            }
            Dialect::V3 { interval, checksum } => {
                message[field::VERSION_TYPE] = 3 << 4 | TYPE_ADVERTISEMENT;
                message[field::V3_INTERVAL].copy_from_slice(&interval.get().to_be_bytes());
                match checksum {
                    Ipv4Checksum::MessageOnly => 0,
                    Ipv4Checksum::PseudoHeader => pseudo_header_sum(source, destination, length),
                }
            }
        };
        let sum = !checksum::fold(checksum::sum(message) + pseudo);
        message[field::CHECKSUM].copy_from_slice(&sum.to_be_bytes());
    }
}

impl Addresses<'_> {
    /// The count field.
    fn count(self) -> u8 {
        u8::try_from(self.0.len()).unwrap_or(u8::MAX)
    }
}

const fn message_len(version: Version, addresses: usize) -> usize {
    match version {
        Version::V2 => HEADER_LEN + addresses * 4 + AUTH_LEN,
        Version::V3 => HEADER_LEN + addresses * 4,
    }
}

/// Source, destination, zero and protocol, length (RFC 5798 §5.2.8).
fn pseudo_header_sum(source: Ipv4Addr, destination: Ipv4Addr, length: usize) -> u32 {
    let length = u32::try_from(length).unwrap_or(u32::MAX) & 0xffff;
    checksum::sum(&source.octets()) + checksum::sum(&destination.octets()) + u32::from(IP_PROTOCOL) + length
}

#[cfg(test)]
mod tests;
