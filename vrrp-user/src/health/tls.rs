//! TLS to the databases: what is demanded of a server's certificate, and the client library's options for it.
//!
//! Owns the settings, reading the authorities, and what to do about a certificate that was refused. The authorities are read
//! here and not by the library while it connects: a disk that hangs, or a file that is not there, must not look like a server
//! that is gone. Refuses to know who connects where.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use mysql_async::{DriverError, IoError, SslOpts};
use thiserror::Error;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{self, CertificateError, RootCertStore};

/// Longer than the lists of all public authorities.
const MAX_FILE: u64 = 4 << 20;

/// For connections over TCP. Set, it is required: a server without TLS is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// PEM; the public ones if none is named.
    pub ca: Option<PathBuf>,
    /// What the certificate must say, if not the address.
    pub server_name: Option<String>,
    /// Off: any certificate will do.
    pub verify: bool,
}

impl Tls {
    /// A certificate by a public authority for the server's address.
    pub const fn public() -> Self {
        Self { ca: None, server_name: None, verify: true }
    }

    /// The client library's options, with the authorities as they are now. Reads a file, and so may block.
    pub fn load(&self) -> Result<SslOpts, TlsError> {
        let mut options = SslOpts::default();
        if let Some(name) = &self.server_name {
            options = options.with_danger_tls_hostname_override(Some(name.clone()));
        }
        if !self.verify {
            return Ok(trusting(options));
        }
        match &self.ca {
            Some(file) => {
                Ok(options.with_root_certs(vec![read(file)?.into()]).with_disable_built_in_roots(true))
            }
            None => Ok(options),
        }
    }
}

/// The authorities cannot be had.
#[derive(Debug, Error)]
pub enum TlsError {
    #[error("the CA file {} cannot be read: {source}; correct `ca` of `tls`, or put the file there", file.display())]
    Unreadable { file: PathBuf, source: io::Error },
    #[error("the CA file {} {what}; it wants the authority's certificate in PEM, with its line -----BEGIN CERTIFICATE-----", file.display())]
    Contents { file: PathBuf, what: &'static str },
}

/// Options for a login that has no password to lose. The handshake goes through: broken off, it would count against this host
/// (`max_connect_errors`).
pub fn trusting_anybody() -> SslOpts {
    trusting(SslOpts::default())
}

fn trusting(options: SslOpts) -> SslOpts {
    options.with_danger_accept_invalid_certs(true).with_danger_skip_domain_validation(true)
}

/// Options that trust nobody: a server that is gone is still found gone, and one that lives gets no further than its greeting.
pub fn trusting_nobody() -> SslOpts {
    SslOpts::default().with_disable_built_in_roots(true)
}

/// Whether a certificate can bear this name.
pub fn is_server_name(text: &str) -> bool {
    ServerName::try_from(text).is_ok()
}

/// What is wrong with TLS to a server that answered, and what to do about it; None: it is something else.
pub fn complaint(error: &mysql_async::Error) -> Option<String> {
    match error {
        mysql_async::Error::Io(IoError::Io(error)) => {
            let cause = error.get_ref()?.downcast_ref::<rustls::Error>()?;
            Some(format!("{cause}; {}", remedy(cause)))
        }
        mysql_async::Error::Io(IoError::Tls(error)) => Some(format!("{error}; correct `tls`")),
        mysql_async::Error::Driver(DriverError::NoClientSslFlagFromServer) => {
            Some("the server offers no TLS; enable it there, or leave `tls` out".to_owned())
        }
        mysql_async::Error::Driver(_)
        | mysql_async::Error::Server(_)
        | mysql_async::Error::Other(_)
        | mysql_async::Error::Url(_) => None,
    }
}

fn remedy(error: &rustls::Error) -> &'static str {
    let rustls::Error::InvalidCertificate(what) = error else {
        return "see the server's log; it must speak TLS 1.2 or later, and want no certificate of ours";
    };
    // The signature is bad if another authority of the same name signed it.
    if matches!(what, CertificateError::UnknownIssuer | CertificateError::BadSignature) {
        "its authority is not in `ca` of `tls`, or is no public one: name the file with the authority that signed it"
    } else if matches!(
        what,
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }
    ) {
        "set `server_name` of `tls` to a name that stands in it"
    } else if matches!(what, CertificateError::Expired | CertificateError::ExpiredContext { .. }) {
        "renew the server's certificate, or correct this host's clock"
    } else if matches!(what, CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. }) {
        "correct this host's clock"
    } else {
        "give the server a certificate of its own by an authority in `ca` of `tls`"
    }
}

fn read(file: &Path) -> Result<Vec<u8>, TlsError> {
    let unreadable = |source| TlsError::Unreadable { file: file.to_owned(), source };
    let contents = |what| TlsError::Contents { file: file.to_owned(), what };
    let opened = File::open(file).map_err(unreadable)?;
    if !opened.metadata().map_err(unreadable)?.is_file() {
        return Err(contents("is no ordinary file"));
    }
    let mut bytes = Vec::new();
    opened.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(contents("is longer than a list of authorities"));
    }
    let mut authorities = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&bytes) {
        let is_taken = certificate.is_ok_and(|certificate| authorities.add(certificate).is_ok());
        if !is_taken {
            return Err(contents("has a certificate in it that cannot be read"));
        }
    }
    if authorities.is_empty() {
        return Err(contents("has no certificate in it"));
    }
    Ok(bytes)
}

#[cfg(test)]
pub(crate) mod tests {
    use std::fs;

    use super::*;

    /// An authority that signed nothing.
    pub(crate) const AUTHORITY: &str = "-----BEGIN CERTIFICATE-----
MIIBfzCCASWgAwIBAgIUE6+RkIhHVTq2yWRgU7Js4A3EvvMwCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJYXV0aG9yaXR5MCAXDTI2MTEyNzE3MDk0NVoYDzIxMjYxMTAz
MTcwOTQ1WjAUMRIwEAYDVQQDDAlhdXRob3JpdHkwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAARcdizHdHyUT1978MOSzEBfkY3kbq4pArIIFZmybSu/a1w8tEmVDxPg
J9P4xcoWZ0GvwMPghdN8m4Qdbj3bQiHwo1MwUTAdBgNVHQ4EFgQU25mt90Ymq4b7
I49j/uPtzxfQcVIwHwYDVR0jBBgwFoAU25mt90Ymq4b7I49j/uPtzxfQcVIwDwYD
VR0TAQH/BAUwAwEB/zAKBggqhkjOPQQDAgNIADBFAiEA4F9Fmx/9T7PHHW7KKqlf
k50yYzg3t1y9fbHFF/kqlVsCICRP95fn1keeZdT9GqKZuPys9gh30iASlJ+2pLpF
gWII
-----END CERTIFICATE-----
";

    fn with_ca(file: &Path) -> Tls {
        Tls { ca: Some(file.to_owned()), ..Tls::public() }
    }

    #[test]
    fn a_named_authority_is_the_only_one_and_is_held_in_memory() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ca.pem");
        fs::write(&file, AUTHORITY).unwrap();
        let named = Tls { server_name: Some("db.example".into()), ..with_ca(&file) }.load().unwrap();
        fs::remove_file(&file).unwrap();
        assert!(named.disable_built_in_roots());
        assert_eq!(named.root_certs(), [AUTHORITY.as_bytes().to_vec().into()]);
        assert_eq!(named.tls_hostname_override(), Some("db.example"));
        assert!(!named.accept_invalid_certs() && !named.skip_domain_validation());
    }

    #[test]
    fn without_one_the_public_ones_count_and_without_verify_none() {
        let public = Tls::public().load().unwrap();
        assert!(!public.disable_built_in_roots() && !public.accept_invalid_certs());
        assert!(public.root_certs().is_empty());
        // A file that is not asked for is not read.
        let any = Tls { verify: false, ..with_ca(Path::new("/nonexistent")) }.load().unwrap();
        assert!(any.accept_invalid_certs() && any.skip_domain_validation());
        assert!(trusting_nobody().disable_built_in_roots() && trusting_nobody().root_certs().is_empty());
    }

    #[test]
    fn a_file_without_an_authority_says_what_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ca.pem");
        for (contents, words) in [
            (String::new(), "has no certificate in it"),
            ("hello\n".to_owned(), "has no certificate in it"),
            (AUTHORITY.replacen("MII", "AAA", 1), "has a certificate in it that cannot be read"),
            ("x".repeat(5 << 20), "is longer than a list of authorities"),
        ] {
            fs::write(&file, contents).unwrap();
            let message = with_ca(&file).load().unwrap_err().to_string();
            assert!(message.contains(words) && message.contains("ca.pem"), "{message}");
        }
        let message = with_ca(folder.path()).load().unwrap_err().to_string();
        assert!(message.contains("is no ordinary file"), "{message}");
        let message = with_ca(&folder.path().join("none")).load().unwrap_err().to_string();
        assert!(message.contains("cannot be read") && message.contains("correct `ca`"), "{message}");
    }

    #[test]
    fn a_refused_certificate_says_what_mends_it() {
        let of = |what| {
            let inner = rustls::Error::InvalidCertificate(what);
            complaint(&io::Error::new(io::ErrorKind::InvalidData, inner).into()).unwrap()
        };
        assert!(of(CertificateError::UnknownIssuer).contains("name the file with the authority"));
        assert!(of(CertificateError::NotValidForName).contains("set `server_name`"));
        assert!(of(CertificateError::Expired).contains("renew the server's certificate"));
        assert!(of(CertificateError::BadSignature).contains("name the file with the authority"));
        assert!(of(CertificateError::BadEncoding).contains("a certificate of its own"));
        let none = mysql_async::Error::Driver(DriverError::NoClientSslFlagFromServer);
        assert!(complaint(&none).unwrap().contains("offers no TLS"));
    }

    #[test]
    fn what_says_that_nobody_is_there_is_no_complaint_about_tls() {
        for kind in [io::ErrorKind::ConnectionRefused, io::ErrorKind::NotFound, io::ErrorKind::UnexpectedEof]
        {
            assert_eq!(complaint(&io::Error::from(kind).into()), None, "{kind}");
        }
        assert_eq!(complaint(&mysql_async::Error::Driver(DriverError::ConnectionClosed)), None);
    }

    #[test]
    fn a_server_name_is_a_name_or_an_address() {
        for good in ["db1", "db.example", "10.0.0.1", "fd00::1"] {
            assert!(is_server_name(good), "{good}");
        }
        for bad in ["", "a b", "db:3306", "-"] {
            assert!(!is_server_name(bad), "{bad}");
        }
    }
}
