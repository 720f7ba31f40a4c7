//! The plain recipe: whether a port accepts connections. A frozen server's does, so this is no sign of life.

use std::io::{Error, ErrorKind};
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::judge::{Finding, Symptom, View};
use super::os;
use super::settings::Tcp;
use super::watch::Desk;

/// Ends only with its task.
pub(super) async fn run((settings, desk): (Tcp, Desk)) {
    loop {
        let began = Instant::now();
        let finding = look(&settings).await;
        desk.tell_since(began, View::Plain, finding).await;
        // Where retries took longer than the interval, the next one follows at once, but not without a pause.
        sleep_until((began + settings.interval).max(Instant::now() + Duration::from_millis(1))).await;
    }
}

/// One result: as many tries as it takes to be sure.
pub(super) async fn look(settings: &Tcp) -> Finding {
    let mut finding = connect(settings).await;
    for _ in 0..settings.retries {
        if finding.symptom == Symptom::Good {
            break;
        }
        sleep(settings.retry_delay).await;
        finding = connect(settings).await;
    }
    finding
}

/// A router between may say that the host is not there; else only what this host lacks is no word on the server.
fn symptom(error: &Error) -> Symptom {
    if error.kind() == ErrorKind::HostUnreachable { Symptom::Gone } else { os::symptom(error) }
}

async fn connect(settings: &Tcp) -> Finding {
    let place = SocketAddr::new(settings.address, settings.port.get());
    let doing = format!("connect to {place}");
    match timeout(settings.connect_timeout, TcpStream::connect(place)).await {
        Ok(Ok(_)) => Finding::good(),
        Ok(Err(error)) => Finding::new(symptom(&error), format!("{doing}: {error}")),
        Err(_elapsed) => {
            Finding::new(Symptom::Timeout, format!("{doing}: nothing within {:?}", settings.connect_timeout))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU16;

    use tokio::net::TcpListener;

    use super::*;

    fn settings(port: u16, retries: u8) -> Tcp {
        Tcp {
            address: std::net::Ipv4Addr::LOCALHOST.into(),
            port: NonZeroU16::new(port).unwrap(),
            interval: Duration::from_secs(1),
            connect_timeout: Duration::from_secs(5),
            retries,
            retry_delay: Duration::from_millis(20),
        }
    }

    #[tokio::test]
    async fn a_listening_port_is_good_and_a_closed_one_is_refused_after_all_retries() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        assert_eq!(look(&settings(port, 0)).await, Finding::good());
        drop(listener);
        let began = Instant::now();
        let finding = look(&settings(port, 3)).await;
        assert_eq!(finding.symptom, Symptom::Gone);
        assert!(finding.cause.starts_with(&format!("connect to 127.0.0.1:{port}: ")), "{}", finding.cause);
        assert!(began.elapsed() >= Duration::from_millis(60), "three retries, 20 ms apart");
    }

    #[tokio::test]
    async fn what_this_host_lacks_is_no_word_on_the_server() {
        for (number, expected) in [
            (libc::EADDRNOTAVAIL, Symptom::Wrong),
            (libc::EMFILE, Symptom::Wrong),
            (libc::ENETUNREACH, Symptom::Wrong),
            (libc::EHOSTUNREACH, Symptom::Gone),
            (libc::ECONNREFUSED, Symptom::Gone),
        ] {
            assert_eq!(symptom(&Error::from_raw_os_error(number)), expected, "{number}");
        }
        // A broadcast address: the kernel lets nobody connect there.
        let nowhere = Tcp { address: std::net::Ipv4Addr::BROADCAST.into(), ..settings(1, 0) };
        assert_eq!(look(&nowhere).await.symptom, Symptom::Wrong);
    }

    #[tokio::test]
    async fn a_port_that_opens_between_two_tries_is_good() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let settings = Tcp { retry_delay: Duration::from_secs(1), ..settings(address.port(), 1) };
        let (found, listener) = tokio::join!(look(&settings), async {
            sleep(Duration::from_millis(50)).await;
            TcpListener::bind(address).await
        });
        assert!(listener.is_ok());
        assert_eq!(found, Finding::good());
    }
}
