//! What the socket answers to: the one table of paths.
//!
//! To add one: a line in [`answer`], and in [`PATHS`], which is what a wrong path is told. Refuses to know about
//! connections (`server`) and how things are done (`desk`).

use std::convert::Infallible;

use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::desk::{Desk, Refusal, What};
use super::message::{Failure, Selection};
use super::watch;

/// What there is.
pub const PATHS: &str = "GET /v1/status, GET /v1/watch, POST /v1/drain, POST /v1/resume, POST /v1/reload";
/// A request's body is no longer than this.
const MAX_BODY: usize = 64 * 1024;

type Answer = Response<UnsyncBoxBody<Bytes, Infallible>>;

/// Whether the answer to that path has no end of its own.
pub fn is_endless(path: &str) -> bool {
    path == "/v1/watch"
}

/// The answer to one request, whatever it is.
pub async fn answer(request: Request<Incoming>, desk: &Desk) -> Answer {
    let (head, body) = request.into_parts();
    let answered = match (&head.method, head.uri.path()) {
        (&Method::GET, "/v1/status") => {
            desk.snapshot().await.map(|snapshot| json(StatusCode::OK, &*snapshot))
        }
        (&Method::GET, "/v1/watch") => desk.watch().map(|sights| {
            let mut answer = Response::new(watch::follow(sights).boxed_unsync());
            let kind = HeaderValue::from_static("application/x-ndjson");
            answer.headers_mut().insert(CONTENT_TYPE, kind);
            answer
        }),
        (&Method::POST, "/v1/drain") => match selection(body).await {
            Ok(selection) => done(desk, What::Drain(selection)).await,
            Err(answer) => Ok(answer),
        },
        (&Method::POST, "/v1/resume") => match selection(body).await {
            Ok(selection) => done(desk, What::Resume(selection)).await,
            Err(answer) => Ok(answer),
        },
        (&Method::POST, "/v1/reload") => done(desk, What::Reload).await,
        (_, "/v1/status" | "/v1/watch" | "/v1/drain" | "/v1/resume" | "/v1/reload") => Ok(failure(
            StatusCode::METHOD_NOT_ALLOWED,
            format!("{} is not for this path; there is {PATHS}", head.method),
        )),
        (_, _) => Ok(failure(StatusCode::NOT_FOUND, format!("there is no such path; there is {PATHS}"))),
    };
    answered.unwrap_or_else(|refusal| {
        let status = match refusal {
            Refusal::NotFound(_) => StatusCode::NOT_FOUND,
            Refusal::Refused(_) => StatusCode::CONFLICT,
            Refusal::TooMany | Refusal::NoAnswer => StatusCode::SERVICE_UNAVAILABLE,
        };
        failure(status, refusal.to_string())
    })
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
