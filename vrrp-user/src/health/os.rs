//! What the kernel's error of a connection says about the server at its other end.
//!
//! The rule: only a refusal is word of its end; what this host itself lacks or forbids is our own mistake.

use std::io::{Error, ErrorKind};

use super::judge::Symptom;

pub(super) fn symptom(error: &Error) -> Symptom {
    let (kind, number) = (error.kind(), error.raw_os_error());
    // Many kinds have no name in std: what is not known to say more is silence, which other views may contradict.
    if kind == ErrorKind::ConnectionRefused || kind == ErrorKind::NotFound {
        Symptom::Gone
    } else if [
        ErrorKind::UnexpectedEof,
        ErrorKind::ConnectionReset,
        ErrorKind::ConnectionAborted,
        ErrorKind::BrokenPipe,
        ErrorKind::NotConnected,
    ]
    .contains(&kind)
    {
        Symptom::Closed
    } else if [
        ErrorKind::PermissionDenied,
        ErrorKind::AddrNotAvailable,
        ErrorKind::NetworkUnreachable,
        ErrorKind::HostUnreachable,
        ErrorKind::InvalidInput,
    ]
    .contains(&kind)
        || matches!(number, None | Some(libc::EMFILE | libc::ENFILE))
    {
        // Without a number it is not the kernel that speaks, but the client library or TLS in its words.
        Symptom::Wrong
    } else {
        Symptom::Timeout
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_says_is_told_apart() {
        for (number, expected) in [
            (libc::ECONNREFUSED, Symptom::Gone),
            (libc::ENOENT, Symptom::Gone),
            (libc::ECONNRESET, Symptom::Closed),
            (libc::EPIPE, Symptom::Closed),
            (libc::EACCES, Symptom::Wrong),
            (libc::ENETUNREACH, Symptom::Wrong),
            (libc::EADDRNOTAVAIL, Symptom::Wrong),
            (libc::EMFILE, Symptom::Wrong),
            (libc::ENFILE, Symptom::Wrong),
            // The backlog of a Unix socket is full.
            (libc::EAGAIN, Symptom::Timeout),
            (libc::ETIMEDOUT, Symptom::Timeout),
        ] {
            assert_eq!(symptom(&Error::from_raw_os_error(number)), expected, "{number}");
        }
        assert_eq!(symptom(&ErrorKind::UnexpectedEof.into()), Symptom::Closed);
        assert_eq!(symptom(&Error::other("whatever")), Symptom::Wrong);
    }
}
