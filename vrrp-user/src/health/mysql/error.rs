//! From an error of the client library to a finding. Says what the server said, and never what we sent.

use std::io::ErrorKind;
use std::time::Duration;

use mysql_async::{DriverError, Error, IoError, ServerError};

use crate::health::judge::{Finding, Symptom};
use crate::health::{code, os, tls};

/// `doing` completes "while ...".
pub(super) fn finding(error: &Error, doing: &str) -> Finding {
    if let Some(complaint) = tls::complaint(error) {
        return Finding::new(Symptom::Wrong, format!("{doing}: TLS: {complaint}"));
    }
    match error {
        Error::Server(error) => server(error, doing),
        Error::Io(IoError::Io(error)) if error.kind() == ErrorKind::InvalidData => {
            Finding::new(Symptom::Wrong, format!("{doing}: {error}"))
        }
        Error::Io(IoError::Io(error)) => Finding::new(os::symptom(error), format!("{doing}: {error}")),
        Error::Driver(error) => driver(error, doing),
        Error::Io(IoError::Tls(_)) | Error::Url(_) | Error::Other(_) => {
            Finding::new(Symptom::Wrong, format!("{doing}: {error}"))
        }
    }
}

/// Nothing came within the deadline.
pub(super) fn silence(deadline: Duration, doing: &str) -> Finding {
    Finding::new(Symptom::Timeout, format!("{doing}: no answer within {deadline:?}"))
}

fn server(error: &ServerError, doing: &str) -> Finding {
    let ServerError { code: number, message, .. } = error;
    let remedy = code::remedy(*number).map(|remedy| format!("; {remedy}")).unwrap_or_default();
    Finding::new(code::symptom(*number), format!("{doing}: error {number}: {message}{remedy}"))
}

fn driver(error: &DriverError, doing: &str) -> Finding {
    // What is out of step on the wire is a connection lost, which the next one may contradict.
    if matches!(
        error,
        DriverError::ConnectionClosed | DriverError::PacketOutOfOrder | DriverError::UnexpectedPacket { .. }
    ) {
        return Finding::new(Symptom::Closed, format!("{doing}: {error}"));
    }
    Finding::new(Symptom::Wrong, format!("{doing}: {error}"))
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn what_is_not_the_kernels_word_is_our_mistake() {
        let of_io = |error: io::Error| finding(&Error::Io(IoError::Io(error)), "ping").symptom;
        assert_eq!(of_io(io::Error::from_raw_os_error(libc::ECONNREFUSED)), Symptom::Gone);
        // A certificate that is not trusted, as rustls says it.
        assert_eq!(of_io(io::Error::new(ErrorKind::InvalidData, "invalid peer certificate")), Symptom::Wrong);
    }

    #[test]
    fn a_server_s_error_is_quoted_with_the_next_step() {
        let error = Error::Server(ServerError {
            code: 1040,
            message: "Too many connections".into(),
            state: "08004".into(),
        });
        let finding = finding(&error, "login as app at 127.0.0.1:3306");
        assert_eq!(finding.symptom, Symptom::Impaired);
        assert_eq!(
            finding.cause,
            "login as app at 127.0.0.1:3306: error 1040: Too many connections; raise max_connections, or find who holds \
             them"
        );
    }

    #[test]
    fn a_connection_out_of_step_is_lost_and_a_missing_feature_is_ours() {
        let of = |error| finding(&Error::Driver(error), "x").symptom;
        assert_eq!(of(DriverError::PacketOutOfOrder), Symptom::Closed);
        assert_eq!(of(DriverError::NoClientSslFlagFromServer), Symptom::Wrong);
        assert_eq!(of(DriverError::UnknownAuthPlugin { name: "x".into() }), Symptom::Wrong);
    }
}
