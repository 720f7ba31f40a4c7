//! What is answered, and to whom: the tables of paths.
//!
//! To add one: a line in `control`, and in [`PATHS`], which is what a wrong path is told. Orders are taken only there:
//! what listens on TCP can be read and nothing else. Refuses to know about connections (`server`) and how things are
//! done (`desk`).

use std::convert::Infallible;
use std::net::IpAddr;

use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Body, Bytes, Incoming};
use hyper::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, HeaderValue, X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Method, Request, Response, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::desk::{Desk, Refusal, What};
use super::message::{Failure, Selection};
use super::metrics;
use super::page::{self, Feed};
use super::patience::Patience;
use super::watch;

/// What there is.
pub const PATHS: &str =
    "GET /v1/status, GET /v1/watch, GET /metrics, POST /v1/drain, POST /v1/resume, POST /v1/reload";
/// A request's body is no longer than this.
const MAX_BODY: usize = 64 * 1024;

type Answer = Response<UnsyncBoxBody<Bytes, Infallible>>;

/// What a listener is for.
#[derive(Clone, Debug)]
pub enum Surface {
    /// Everything: whoever may connect may give orders.
    Control(Desk),
    /// `GET /metrics` alone. `on_loopback`: see `names_this_host`.
    Metrics { desk: Desk, on_loopback: bool },
    /// The status page and what it needs.
    Page { desk: Desk, feed: Feed, on_loopback: bool },
}

/// The answer to one request, whatever it is.
pub(super) async fn answer(request: Request<Incoming>, surface: &Surface, patience: Patience) -> Answer {
    match surface {
        Surface::Control(desk) => control(request, desk, patience).await,
        Surface::Metrics { on_loopback: true, .. } | Surface::Page { on_loopback: true, .. }
            if !names_this_host(&request) =>
        {
            failure(StatusCode::FORBIDDEN, FOREIGN_NAME.to_owned())
        }
        Surface::Metrics { desk, .. } => match (request.method(), request.uri().path()) {
            (&Method::GET, "/metrics") => metrics(desk).await.unwrap_or_else(refused),
            (_, _) => failure(StatusCode::NOT_FOUND, "there is GET /metrics here".to_owned()),
        },
        Surface::Page { desk, feed, .. } => match (request.method(), request.uri().path()) {
            (&Method::GET, "/") => status_page(),
            (&Method::GET, "/events") => match feed.watch(patience) {
                Some(events) => stream_of("text/event-stream", events),
                None => failure(StatusCode::SERVICE_UNAVAILABLE, "too many watch already".to_owned()),
            },
            (&Method::GET, "/v1/status") => status(desk).await.unwrap_or_else(refused),
            (&Method::GET, "/metrics") => metrics(desk).await.unwrap_or_else(refused),
            (_, _) => {
                failure(StatusCode::NOT_FOUND, "there is GET / here, and nothing to be ordered".to_owned())
            }
        },
    }
}

fn status_page() -> Answer {
    let mut answer = text_of("text/html; charset=utf-8", page::PAGE);
    let headers = answer.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(page::POLICY));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    answer
}

fn stream_of<B>(kind: &'static str, body: B) -> Answer
where
    B: Body<Data = Bytes, Error = Infallible> + Send + 'static,
{
    let mut answer = Response::new(body.boxed_unsync());
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

async fn status(desk: &Desk) -> Result<Answer, Refusal> {
    desk.snapshot().await.map(|snapshot| json(StatusCode::OK, &*snapshot))
}

const FOREIGN_NAME: &str = "this listener is for this host alone: call it localhost or by its address";

/// A web page of somebody else's can have a browser on this host ask here under a name of its own (DNS rebinding), and
/// then read the answer. An address or `localhost` cannot be such a name.
fn names_this_host(request: &Request<Incoming>) -> bool {
    let Some(host) = request.headers().get(HOST).and_then(|host| host.to_str().ok()) else { return true };
    is_local_name(host)
}

fn is_local_name(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok()
}

async fn metrics(desk: &Desk) -> Result<Answer, Refusal> {
    let text = metrics::render(&*desk.snapshot().await?);
    Ok(text_of(metrics::CONTENT_TYPE, text))
}

fn text_of(kind: &'static str, text: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(text.into()).boxed_unsync());
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    answer
}

async fn control(request: Request<Incoming>, desk: &Desk, patience: Patience) -> Answer {
    let (head, body) = request.into_parts();
    let answered = match (&head.method, head.uri.path()) {
        (&Method::GET, "/v1/status") => status(desk).await,
        (&Method::GET, "/v1/watch") => {
            desk.watch().map(|sights| stream_of("application/x-ndjson", watch::follow(sights, patience)))
        }
        (&Method::GET, "/metrics") => metrics(desk).await,
        (&Method::POST, "/v1/drain") => match selection(body).await {
            Ok(selection) => done(desk, What::Drain(selection)).await,
            Err(answer) => Ok(answer),
        },
        (&Method::POST, "/v1/resume") => match selection(body).await {
            Ok(selection) if selection.force => {
                Ok(failure(StatusCode::BAD_REQUEST, "`force` is for draining".to_owned()))
            }
            Ok(selection) => done(desk, What::Resume(selection)).await,
            Err(answer) => Ok(answer),
        },
        (&Method::POST, "/v1/reload") => done(desk, What::Reload).await,
        (_, "/v1/status" | "/v1/watch" | "/metrics" | "/v1/drain" | "/v1/resume" | "/v1/reload") => {
            Ok(failure(
                StatusCode::METHOD_NOT_ALLOWED,
                format!("{} is not for this path; there is {PATHS}", head.method),
            ))
        }
        (_, _) => Ok(failure(StatusCode::NOT_FOUND, format!("there is no such path; there is {PATHS}"))),
    };
    answered.unwrap_or_else(refused)
}

#[expect(clippy::needless_pass_by_value, reason = "what unwrap_or_else hands over")]
fn refused(refusal: Refusal) -> Answer {
    let status = match refusal {
        Refusal::NotFound(_) => StatusCode::NOT_FOUND,
        Refusal::Refused(_) => StatusCode::CONFLICT,
        Refusal::TooMany | Refusal::NoAnswer => StatusCode::SERVICE_UNAVAILABLE,
    };
    failure(status, refusal.to_string())
}

async fn done(desk: &Desk, what: What) -> Result<Answer, Refusal> {
    desk.order(what).await.map(|done| json(StatusCode::OK, &done))
}

async fn selection(body: Incoming) -> Result<Selection, Answer> {
    let selection: Selection = read(body).await?;
    if selection.all == selection.instances.is_empty() {
        return Ok(selection);
    }
    let error = "name the instances, as in {\"instances\":[\"VI_1\"]}, or say {\"all\":true}";
    Err(failure(StatusCode::BAD_REQUEST, error.to_owned()))
}

async fn read<T: DeserializeOwned>(body: Incoming) -> Result<T, Answer> {
    let bytes = Limited::new(body, MAX_BODY).collect().await;
    let bytes =
        bytes.map_err(|error| failure(StatusCode::BAD_REQUEST, format!("the request's body: {error}")))?;
    serde_json::from_slice(&bytes.to_bytes()).map_err(|error| {
        failure(
            StatusCode::BAD_REQUEST,
            format!("the request's body is not the JSON that is wanted: {error}"),
        )
    })
}

fn failure(status: StatusCode, error: String) -> Answer {
    json(status, &Failure { error })
}

fn json(status: StatusCode, value: &impl Serialize) -> Answer {
    let bytes = serde_json::to_vec(value).unwrap_or_else(|error| error.to_string().into_bytes());
    let mut answer = Response::new(Full::new(Bytes::from(bytes)).boxed_unsync());
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}

#[cfg(test)]
mod tests {
    use super::is_local_name;

    #[test]
    fn only_addresses_and_localhost_are_names_that_nobody_else_can_own() {
        for host in ["127.0.0.1", "127.0.0.1:9112", "localhost", "LocalHost:80", "[::1]:9112", "10.0.0.1"] {
            assert!(is_local_name(host), "{host}");
        }
        for host in ["evil.example", "localhost.evil.example:80", "127.0.0.1.evil.example", "", "[evil]"] {
            assert!(!is_local_name(host), "{host}");
        }
    }
}
