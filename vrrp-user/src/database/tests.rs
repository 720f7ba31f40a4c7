//! What a failed login means, with TLS and without.

use mysql_async::{DriverError, Error, IoError, Opts, ServerError};

use super::*;

const LIMIT: Duration = Duration::from_millis(200);

fn login(tls: Option<Trust>) -> Login {
    let place = Place::Tcp(IpAddr::from([10, 0, 0, 1]), NonZeroU16::MIN);
    Login { place, user: "vrrp_peer".to_owned(), password: None, tls }
}

fn without_ca() -> Trust {
    let tls = Tls { ca: Some("/nonexistent/ca.pem".into()), ..Tls::public() };
    tls.load().map_err(Arc::new)
}

fn refused(code: u16, login: &Login) -> String {
    let message = "no".to_owned();
    let error = Error::Server(ServerError { code, message, state: String::new() });
    turned_away(error, login, LIMIT).to_string()
}

#[test]
fn only_who_is_not_there_is_gone_with_tls_as_without() {
    for tls in [None, Some(Tls::public().load().map_err(Arc::new)), Some(without_ca())] {
        let login = login(tls);
        for kind in [ErrorKind::ConnectionRefused, ErrorKind::HostUnreachable, ErrorKind::NotFound] {
            let error = turned_away(io::Error::from(kind).into(), &login, LIMIT);
            assert!(matches!(error, DatabaseError::Unreachable { .. }), "{error:?}");
        }
        let error = turned_away(Error::Driver(DriverError::ConnectionClosed), &login, LIMIT);
        assert!(matches!(error, DatabaseError::Unreachable { .. }), "{error:?}");
    }
}

#[test]
fn who_breaks_tls_off_or_has_none_is_not_gone() {
    let login = login(Some(Tls::public().load().map_err(Arc::new)));
    for error in [
        io::Error::from(ErrorKind::UnexpectedEof).into(),
        io::Error::from(ErrorKind::ConnectionReset).into(),
        Error::Driver(DriverError::NoClientSslFlagFromServer),
    ] {
        let error = turned_away(error, &login, LIMIT);
        assert!(matches!(error, DatabaseError::Tls { .. }) && error.is_about_credentials(), "{error:?}");
    }
}

#[tokio::test]
async fn authorities_that_cannot_be_read_are_named_and_hide_no_death() {
    let login = login(Some(without_ca()));
    // What the client library says once a server has answered.
    assert_eq!(Opts::from(options(&login)).ssl_opts(), Some(&tls::trusting_nobody()));
    let alive = Error::Driver(DriverError::NoClientSslFlagFromServer);
    let said = turned_away(alive, &login, LIMIT).to_string();
    assert!(said.contains("the CA file /nonexistent/ca.pem cannot be read"), "{said}");
    let gone = turned_away(io::Error::from(ErrorKind::ConnectionRefused).into(), &login, LIMIT);
    assert!(matches!(gone, DatabaseError::Unreachable { .. }), "{gone:?}");
}

#[test]
fn a_server_that_demands_tls_is_told_apart_and_the_next_step_named() {
    let plain = login(None);
    assert!(refused(3159, &plain).contains("3159 no; set `tls` for this server"));
    assert!(refused(1045, &plain).contains("the account may have REQUIRE SSL, or the server require"));
    assert!(!refused(1040, &plain).contains(';'));
    let local = Login { place: Place::Socket("/s".into()), ..plain };
    assert!(refused(1045, &local).contains("cannot log in by the socket"));
    let secret = login(Some(Tls::public().load().map_err(Arc::new)));
    assert!(refused(1045, &secret).ends_with("1045 no (log in)"));
    // The library has no TLS over a socket, and needs none.
    let local = Login { place: Place::Socket("/s".into()), ..secret };
    assert_eq!(Opts::from(options(&local)).ssl_opts(), None);
    assert!(matches!(
        turned_away(Error::Io(IoError::Io(ErrorKind::ConnectionReset.into())), &local, LIMIT),
        DatabaseError::Unreachable { .. }
    ));
}

/// What a connection that was kept says once somebody has killed it, or its server was restarted.
#[test]
fn what_only_a_connection_says_of_itself_is_told_apart() {
    let said = |error: Error| named(error, login(None).place, "test", LIMIT).is_about_connection();
    let code = |code| Error::Server(ServerError { code, message: "no".to_owned(), state: String::new() });
    for killed in [1317, 1927, 3168, 4031] {
        assert!(said(code(killed)), "{killed}");
    }
    for other in [1040, 1045, 1053, 1142, 1205, 1290, 1969, 3024] {
        assert!(!said(code(other)), "{other}");
    }
    assert!(said(io::Error::from(ErrorKind::UnexpectedEof).into()));
    assert!(said(Error::Driver(DriverError::ConnectionClosed)));
    assert!(said(Error::Driver(DriverError::PacketOutOfOrder)));
    assert!(!said(io::Error::from(ErrorKind::TimedOut).into()), "whoever hangs is not asked twice");
}

#[test]
fn an_error_of_the_system_is_said_once() {
    let socket = Place::Socket("/s".into());
    let gone = named(io::Error::from_raw_os_error(libc::ENOENT).into(), socket, "log in", LIMIT).to_string();
    assert!(
        gone.starts_with("/s cannot be reached: No such file or directory (os error 2) (log in)"),
        "{gone}"
    );
}

#[tokio::test]
async fn a_ca_file_that_is_put_in_place_later_is_taken_at_the_next_renewal() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.pem");
    let tls = Tls { ca: Some(file.clone()), ..Tls::public() };
    let place = login(None).place;
    let (mut credentials, error) = Credentials::read(place, "vrrp", Source::Empty, Some(tls));
    assert!(error.is_none() && matches!(credentials.login.tls, Some(Err(_))));
    assert!(!credentials.renew(LIMIT * 10).await);
    std::fs::write(&file, tls::tests::AUTHORITY).unwrap();
    assert!(credentials.renew(LIMIT * 10).await);
    assert!(matches!(credentials.login.tls, Some(Ok(_))));
    assert!(!credentials.renew(LIMIT * 10).await, "it is the same");
}

/// A pipe that nobody writes to: whoever opens it to read hangs, as on a disk that is gone.
#[tokio::test]
async fn a_disk_that_hangs_holds_up_no_login_and_is_asked_once() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.pem");
    std::fs::write(&file, tls::tests::AUTHORITY).unwrap();
    let tls = Tls { ca: Some(file.clone()), ..Tls::public() };
    let (mut credentials, _) = Credentials::read(login(None).place, "vrrp", Source::Empty, Some(tls));
    std::fs::remove_file(&file).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(&file).status().unwrap().success());
    for _ in 0..3 {
        assert!(!credentials.renew(Duration::from_millis(20)).await);
        assert!(credentials.reading.as_ref().is_some_and(|reading| !reading.is_finished()));
    }
    assert!(matches!(credentials.login.tls, Some(Ok(_))), "what was read before still counts");
    // Lets the reader go: it stands in the open of this one pipe.
    std::fs::OpenOptions::new().write(true).open(&file).unwrap();
    assert!(!credentials.renew(LIMIT * 10).await);
    assert!(credentials.reading.is_none());
}
