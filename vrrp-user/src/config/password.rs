//! The version 2 password: eight bytes that no log, status or debug output may show.

use std::fmt;

/// RFC 2338 §5.3.10: the field's size.
const LENGTH: usize = 8;

/// What is shown in its place.
pub(super) const HIDDEN: &str = "***";

/// Simple text password (RFC 2338 §5.3.6), zero-filled as it travels.
#[derive(Clone, PartialEq, Eq)]
pub struct Password([u8; LENGTH]);

impl Password {
    pub(super) fn new(text: &str) -> Result<Self, String> {
        let bytes = text.as_bytes();
        if bytes.is_empty() {
            return Err("is empty; use 1 to 8 bytes, or leave `auth` out".into());
        }
        if bytes.len() > LENGTH {
            return Err(format!(
                "has {} bytes, but the protocol carries 8; use 1 to 8 bytes. keepalived cuts a longer one off at 8 \
                 without asking: to match such a router, write the first 8 bytes of its auth_pass",
                bytes.len()
            ));
        }
        if text == HIDDEN {
            return Err(format!(
                "`{HIDDEN}` is what `vrrp check` prints in its place; write the password itself"
            ));
        }
        if text.chars().any(char::is_control) {
            return Err("has a control character in it; use printable ones".into());
        }
        let mut filled = [0; LENGTH];
        filled[..bytes.len()].copy_from_slice(bytes);
        Ok(Self(filled))
    }

    /// As in the advert's Authentication Data.
    pub fn zero_filled(&self) -> [u8; LENGTH] {
        self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

impl fmt::Display for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}
