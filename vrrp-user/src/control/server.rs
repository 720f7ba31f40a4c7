//! Who listens: sockets of the file system and of TCP, how many may connect at once, and how long they may take.
//!
//! Owns the sockets, the files of those that have one, and the limits. A client that is slow, silent or talks rubbish costs
//! one of a bounded number of connections for a bounded time, and nobody else anything. Refuses to know what is asked
//! (`routes`).

use std::convert::Infallible;
use std::fmt;
use std::fs::{self, Permissions};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::Semaphore;
use tokio::time::sleep;

use super::patience::Patience;
use super::routes::{self, Surface};

/// For root and its group.
const MODE: u32 = 0o660;
/// Connections at once; more wait to be accepted.
const CONNECTIONS: usize = 64;
/// A request's head is there within this time.
const HEAD_DEADLINE: Duration = Duration::from_secs(2);
/// Longest head of a request, and longest part of a body at once.
const BUFFER: usize = 16 * 1024;
/// After accepting failed, as for want of descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// Why nobody listens.
#[derive(Debug, Error)]
pub enum ServerError {
    #[error(
        "{what} {}: another process answers there; give this one its own (`control: {{ socket: ... }}` or --socket, \
         `metrics: {{ socket: ... }}`)", path.display()
    )]
    InUse { what: &'static str, path: PathBuf },
    #[error("{what} {}: {operation}: {source}", path.display())]
    System { what: &'static str, path: PathBuf, operation: &'static str, source: io::Error },
    #[error("{what} on {address}: {source}; correct `listen`, or see with `ss -ltnp` who has that port")]
    Listen { what: &'static str, address: SocketAddr, source: io::Error },
}

/// A listening socket. Its file, if it has one, goes when it is dropped.
#[derive(Debug)]
pub struct Server {
    what: &'static str,
    listener: Listener,
}

#[derive(Debug)]
enum Listener {
    Unix { listener: UnixListener, path: PathBuf },
    Tcp(TcpListener),
}

impl Server {
    /// Listens in the file system; a file that a dead process left there is replaced. Must be called inside a runtime.
    pub fn bind(what: &'static str, path: &Path) -> Result<Self, ServerError> {
        let failed =
            |operation| move |source| ServerError::System { what, path: path.to_owned(), operation, source };
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(failed("make its folder"))?;
        }
        match std::os::unix::net::UnixStream::connect(path) {
            Ok(_) => return Err(ServerError::InUse { what, path: path.to_owned() }),
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                fs::remove_file(path).map_err(failed("remove what a dead process left"))?;
            }
            // Not there; or bind says what is wrong.
            Err(_) => {}
        }
        let listener = UnixListener::bind(path).map_err(failed("bind"))?;
        let server = Self { what, listener: Listener::Unix { listener, path: path.to_owned() } };
        fs::set_permissions(path, Permissions::from_mode(MODE)).map_err(failed("set its mode"))?;
        Ok(server)
    }

    /// Listens on TCP.
    pub async fn listen(what: &'static str, address: SocketAddr) -> Result<Self, ServerError> {
        let listener = TcpListener::bind(address).await;
        let listener = listener.map_err(|source| ServerError::Listen { what, address, source })?;
        Ok(Self { what, listener: Listener::Tcp(listener) })
    }

    /// Answers for as long as it is polled.
    pub async fn run(self, surface: Surface) {
        let places = Arc::new(Semaphore::new(CONNECTIONS));
        loop {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
            let (surface, what) = (surface.clone(), self.what);
            let accepted = match &self.listener {
                Listener::Unix { listener, .. } => listener.accept().await.map(|(stream, _)| {
                    tokio::spawn(async move {
                        serve(what, stream, surface).await;
                        drop(place);
                    })
                }),
                Listener::Tcp(listener) => listener.accept().await.map(|(stream, _)| {
                    tokio::spawn(async move {
                        serve(what, stream, surface).await;
                        drop(place);
                    })
                }),
            };
            if let Err(error) = accepted {
                tracing::debug!("{what}: accept: {error}");
                sleep(PAUSE).await;
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Listener::Unix { path, .. } = &self.listener
            && let Err(error) = fs::remove_file(path)
        {
            tracing::debug!("{}: remove {}: {error}", self.what, path.display());
        }
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.listener {
            Listener::Unix { path, .. } => write!(f, "{} {}", self.what, path.display()),
            Listener::Tcp(listener) => match listener.local_addr() {
                Ok(address) => write!(f, "{} on http://{address}/", self.what),
                Err(_) => f.write_str(self.what),
            },
        }
    }
}

async fn serve<S>(what: &'static str, stream: S, surface: Surface)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let patience = Patience::default();
    let service = service_fn(|request| {
        let (surface, patience) = (surface.clone(), patience.clone());
        async move { Ok::<_, Infallible>(routes::answer(request, &surface, patience).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_DEADLINE)
        .max_buf_size(BUFFER)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        served = connection => match served {
            Ok(()) => {}
            Err(error) => tracing::debug!("{what}: {error}"),
        },
        () = patience.exhausted() => tracing::debug!("{what}: a client took too long"),
    }
}
