//! The control socket: who may connect, how many at once, and how long they may take.
//!
//! Owns the socket's file and the limits. A client that is slow, silent or talks rubbish costs one of a bounded number of
//! connections for a bounded time, and nobody else anything. Refuses to know what is asked (`routes`).

use std::convert::Infallible;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use thiserror::Error;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use super::desk::Desk;
use super::routes;

/// For root and its group.
const MODE: u32 = 0o660;
/// Connections at once; more wait to be accepted.
const CONNECTIONS: usize = 64;
/// A request's head is there within this time,
const HEAD_DEADLINE: Duration = Duration::from_secs(2);
/// and everything is over within this one, unless the answer has no end.
const CONNECTION_DEADLINE: Duration = Duration::from_secs(10);
/// Longest head of a request, and longest part of a body at once.
const BUFFER: usize = 16 * 1024;
/// After accepting failed, as for want of descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// Why there is no control socket.
#[derive(Debug, Error)]
pub enum ServerError {
    #[error(
        "control socket {}: another process answers there; give this one its own with `control: {{ socket: ... }}` or \
         --socket", path.display()
    )]
    InUse { path: PathBuf },
    #[error("control socket {}: {operation}: {source}", path.display())]
    System { path: PathBuf, operation: &'static str, source: io::Error },
}

/// A listening socket. Its file goes when it is dropped.
#[derive(Debug)]
pub struct Server {
    listener: UnixListener,
    path: PathBuf,
}

impl Server {
    /// Listens; a file that a dead process left there is replaced. Must be called inside a runtime.
    pub fn bind(path: &Path) -> Result<Self, ServerError> {
        let failed =
            |operation| move |source| ServerError::System { path: path.to_owned(), operation, source };
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(failed("make its folder"))?;
        }
        match std::os::unix::net::UnixStream::connect(path) {
            Ok(_) => return Err(ServerError::InUse { path: path.to_owned() }),
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                fs::remove_file(path).map_err(failed("remove what a dead process left"))?;
            }
            // Not there; or bind says what is wrong.
            Err(_) => {}
        }
        let listener = UnixListener::bind(path).map_err(failed("bind"))?;
        let server = Self { listener, path: path.to_owned() };
        fs::set_permissions(path, Permissions::from_mode(MODE)).map_err(failed("set its mode"))?;
        Ok(server)
    }

    /// Answers for as long as it is polled.
    pub async fn run(self, desk: Desk) {
        let places = Arc::new(Semaphore::new(CONNECTIONS));
        loop {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    let desk = desk.clone();
                    tokio::spawn(async move {
                        serve(stream, desk).await;
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::debug!("control socket: accept: {error}");
                    sleep(PAUSE).await;
                }
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::debug!("control socket: remove {}: {error}", self.path.display());
        }
    }
}

async fn serve(stream: UnixStream, desk: Desk) {
    let endless = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&endless);
    let service = service_fn(move |request: Request<Incoming>| {
        let desk = desk.clone();
        told.store(routes::is_endless(request.uri().path()), Ordering::Relaxed);
        async move { Ok::<_, Infallible>(routes::answer(request, &desk).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_DEADLINE)
        .max_buf_size(BUFFER)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let ended = match timeout(CONNECTION_DEADLINE, &mut connection).await {
        Err(_elapsed) if endless.load(Ordering::Relaxed) => Ok(connection.await),
        ended => ended,
    };
    match ended {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!("control socket: {error}"),
        Err(_elapsed) => tracing::debug!("control socket: a client took too long"),
    }
}
