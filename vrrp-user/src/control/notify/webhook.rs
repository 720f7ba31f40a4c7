//! A webhook: one POST of JSON for each of the news.
//!
//! Owns the body's fields, which are an interface, and the tries.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HOST, USER_AGENT};
use hyper::{Method, Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::names::{self, Resolver};
use super::outbox::Outbox;
use super::{News, Tally, What};
use crate::config::Webhook;

const PAUSES: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(5), Duration::from_secs(15)];
/// What it answers is of no interest beyond the status.
const MAX_ANSWER: usize = 64 * 1024;

#[derive(Debug, Serialize)]
struct Body<'n> {
    router_id: &'n str,
    host: &'n str,
    time_unix_ms: u64,
    instance: &'n str,
    /// MASTER, BACKUP, FAULT, STOP; null of a check.
    state: Option<&'n str>,
    check: Option<&'n str>,
    verdict: Option<&'n str>,
    priority: u8,
    why: &'n str,
}

/// Until the outbox is closed and empty.
pub(super) async fn run(router_id: String, settings: Webhook, outbox: Outbox<News>, tally: Arc<Tally>) {
    let resolver = Resolver::default();
    while let Some(news) = outbox.take().await {
        let mut pauses = PAUSES.iter();
        let is_sent = loop {
            let sent = timeout(settings.timeout, post(&router_id, &settings.url, &resolver, &news)).await;
            let sent = sent.unwrap_or_else(|_elapsed| Err(format!("not done within {:?}", settings.timeout)));
            let Err(error) = sent else { break true };
            let (instance, word, url) = (news.instance.as_str(), news.word(), &settings.url);
            match pauses.next().filter(|_| !outbox.is_closed()) {
                Some(pause) => {
                    tracing::warn!(instance, "{word}: webhook {url}: {error}; again in {pause:?}");
                    sleep(*pause).await;
                }
                None => {
                    tracing::error!(instance, "{word}: webhook {url}: {error}; given up");
                    break false;
                }
            }
        };
        tally.note(is_sent);
    }
}

async fn post(router_id: &str, url: &str, resolver: &Resolver, news: &News) -> Result<(), String> {
    let uri: Uri = url.parse().map_err(|error| format!("{error}"))?;
    let host = uri.host().ok_or("it names no host")?;
    let is_tls = uri.scheme_str() == Some("https");
    let port = uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
    let place = resolver.resolve(host, port).await.map_err(|error| error.to_string())?;
    let stream = TcpStream::connect(place).await.map_err(|error| format!("connect to {place}: {error}"))?;
    let request = request(router_id, &uri, news)?;
    if is_tls {
        let stream = secure(host, stream).await.map_err(|error| format!("TLS with {host}: {error}"))?;
        exchange(stream, request).await
    } else {
        exchange(stream, request).await
    }
}

async fn secure(host: &str, stream: TcpStream) -> io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
    let roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let bare = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    let name = ServerName::try_from(bare).map_err(io::Error::other)?;
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

fn request(router_id: &str, uri: &Uri, news: &News) -> Result<Request<Full<Bytes>>, String> {
    let host = names::host();
    let (state, check, verdict) = match &news.what {
        What::State(_) => (Some(news.word()), None, None),
        What::Check { check, verdict } => (None, Some(check.as_str()), Some(verdict.name())),
    };
    let body = Body {
        router_id,
        host: &host,
        time_unix_ms: news.time_unix_ms,
        instance: &news.instance,
        state,
        check,
        verdict,
        priority: news.priority,
        why: &news.why,
    };
    let body = serde_json::to_vec(&body).map_err(|error| error.to_string())?;
    Request::builder()
        .method(Method::POST)
        .uri(uri.path_and_query().map_or("/", |path| path.as_str()))
        .header(HOST, uri.authority().map(ToString::to_string).unwrap_or_default())
        .header(USER_AGENT, concat!("vrrp/", env!("CARGO_PKG_VERSION")))
        .header(CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(body)))
        .map_err(|error| error.to_string())
}

async fn exchange<S>(stream: S, request: Request<Full<Bytes>>) -> Result<(), String>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let failed = |error: hyper::Error| error.to_string();
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(failed)?;
    // Ends with the sender, and with this future when its time is over.
    let talk = async {
        let answer = sender.send_request(request).await.map_err(failed)?;
        let status = answer.status();
        Limited::new(answer.into_body(), MAX_ANSWER).collect().await.map_err(|error| error.to_string())?;
        Ok::<_, String>(status)
    };
    tokio::pin!(talk);
    let status = tokio::select! {
        status = &mut talk => status?,
        // The answer may have come with the end of the connection.
        ended = connection => match ended {
            Ok(()) => talk.await?,
            Err(error) => return Err(failed(error)),
        },
    };
    if status.is_success() { Ok(()) } else { Err(refused(status)) }
}

fn refused(status: StatusCode) -> String {
    format!("it answers {status}")
}
