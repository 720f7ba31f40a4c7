//! The other end of the control socket, for the commands.
//!
//! Owns one question and its answer. Refuses to know what the answer means to whoever asked.

use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use thiserror::Error;
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::desk::DRAIN_DEADLINE;
use super::message::{Done, Failure, Selection};
use super::sight::Sight;
use super::snapshot::Snapshot;

/// Longer than the daemon takes to say that it does not answer.
const DEADLINE: Duration = Duration::from_secs(8);
const DRAIN: Duration = DRAIN_DEADLINE.saturating_add(Duration::from_secs(3));

/// Why there is no answer, or not the one wanted.
#[derive(Debug, Error)]
pub enum ClientError {
    #[error(
        "no daemon answers at {}: {source}; start it (systemctl start vrrp), or name its socket with --socket",
        socket.display()
    )]
    Connect { socket: PathBuf, source: io::Error },
    #[error("{0}")]
    Refused(String),
    #[error("the daemon at {} broke off: {reason}; see its log", socket.display())]
    Broken { socket: PathBuf, reason: String },
    #[error("cannot start: {0}")]
    Runtime(io::Error),
}

/// A daemon, by its socket.
#[derive(Clone, Debug)]
pub struct Client {
    socket: PathBuf,
}

impl Client {
    pub fn new(socket: &Path) -> Self {
        Self { socket: socket.to_owned() }
    }

    pub fn status(&self) -> Result<Snapshot, ClientError> {
        self.ask(Method::GET, "/v1/status", Vec::new(), DEADLINE)
    }

    pub fn drain(&self, selection: &Selection) -> Result<Done, ClientError> {
        self.ask(Method::POST, "/v1/drain", self.body(selection)?, DRAIN)
    }

    pub fn resume(&self, selection: &Selection) -> Result<Done, ClientError> {
        self.ask(Method::POST, "/v1/resume", self.body(selection)?, DEADLINE)
    }

    pub fn reload(&self) -> Result<Done, ClientError> {
        self.ask(Method::POST, "/v1/reload", Vec::new(), DEADLINE)
    }

    /// Every sight from now on, until whoever asked says that it is enough, or for so long.
    pub fn watch(
        &self,
        time: Option<Duration>,
        mut each: impl FnMut(Sight) -> ControlFlow<()>,
    ) -> Result<(), ClientError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.map_err(ClientError::Runtime)?.block_on(async {
            let watched = self.follow(&mut each);
            match time {
                Some(time) => timeout(time, watched).await.unwrap_or(Ok(())),
                None => watched.await,
            }
        })
    }

    async fn follow(&self, each: &mut impl FnMut(Sight) -> ControlFlow<()>) -> Result<(), ClientError> {
        let asked = timeout(DEADLINE, self.send(Method::GET, "/v1/watch", Vec::new())).await;
        let answer = asked.unwrap_or_else(|_elapsed| Err(self.broken(&"it takes too long")))?;
        if answer.status() != StatusCode::OK {
            let body = answer.into_body().collect().await.map_err(|error| self.broken(&error))?;
            return Err(self.failure(&body.to_bytes()));
        }
        let (mut body, mut rest) = (answer.into_body(), Vec::new());
        while let Some(part) = body.frame().await {
            let part = part.map_err(|error| self.broken(&error))?;
            rest.extend_from_slice(part.data_ref().map_or(&[], |data| data.as_ref()));
            while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = rest.drain(..=end).collect();
                let sight = serde_json::from_slice(&line).map_err(|error| self.broken(&error))?;
                if each(sight).is_break() {
                    return Ok(());
                }
            }
        }
        Err(self.broken(&"it has ended, or this client was too slow"))
    }

    fn body(&self, selection: &Selection) -> Result<Vec<u8>, ClientError> {
        serde_json::to_vec(selection).map_err(|error| self.broken(&error))
    }

    fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Vec<u8>,
        deadline: Duration,
    ) -> Result<T, ClientError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(ClientError::Runtime)?;
        let (status, answer) = runtime.block_on(async {
            match timeout(deadline, self.exchange(method, path, body)).await {
                Ok(answer) => answer,
                Err(_elapsed) => Err(self.broken(&"it takes too long")),
            }
        })?;
        if status != StatusCode::OK {
            return Err(self.failure(&answer));
        }
        serde_json::from_slice(&answer).map_err(|error| self.broken(&error))
    }

    fn failure(&self, answer: &[u8]) -> ClientError {
        let failure: Result<Failure, _> = serde_json::from_slice(answer);
        failure.map_or_else(|error| self.broken(&error), |Failure { error }| ClientError::Refused(error))
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Vec<u8>,
    ) -> Result<(StatusCode, Bytes), ClientError> {
        let answer = self.send(method, path, body).await?;
        let status = answer.status();
        let body = answer.into_body().collect().await.map_err(|error| self.broken(&error))?;
        Ok((status, body.to_bytes()))
    }

    /// The connection lasts as long as the answer is read, and no longer than the runtime.
    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Vec<u8>,
    ) -> Result<Response<Incoming>, ClientError> {
        let stream = UnixStream::connect(&self.socket).await;
        let stream = stream.map_err(|source| ClientError::Connect { socket: self.socket.clone(), source })?;
        let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = handshake.map_err(|error| self.broken(&error))?;
        drop(tokio::spawn(connection));
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, "vrrp")
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body)))
            .map_err(|error| self.broken(&error))?;
        sender.send_request(request).await.map_err(|error| self.broken(&error))
    }

    fn broken(&self, reason: &dyn std::fmt::Display) -> ClientError {
        ClientError::Broken { socket: self.socket.clone(), reason: reason.to_string() }
    }
}
