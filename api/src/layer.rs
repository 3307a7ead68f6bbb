//! What happens around every request: its id, the form of refusals, idle bodies, the log line.

use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use api_types::v1::error::ErrorCode;
use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::FutureExt;
use http::{HeaderValue, Method, StatusCode, header};
use hyper::body::{Frame, SizeHint};
use node_base::{Duration, TenantId};
use node_world::{BoxFuture, World};

use crate::error::ApiError;
use crate::repeat::{self, Keyed};
use crate::state::ApiState;

/// A request's id: the caller's own when it is a sane one.
#[derive(Debug, Clone)]
pub struct RequestId(pub String);

/// Whose request it is, once somebody has found out: put in before the handler runs, read after.
#[derive(Debug, Clone, Default)]
pub struct Whose(Arc<OnceLock<TenantId>>);

impl Whose {
    /// It is of a caller of this tenant.
    pub fn tell(&self, tenant: TenantId) {
        // Asked twice within one request, the answer is the same.
        let _ = self.0.set(tenant);
    }
}

/// Wraps every request.
pub async fn around(State(state): State<ApiState>, mut request: Request, next: Next) -> Response {
    let id = request_id(&request, &state.world);
    let (method, started) = (request.method().clone(), state.world.now());
    let path = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let whose = Whose::default();
    request.extensions_mut().insert(RequestId(id.clone()));
    request.extensions_mut().insert(whose.clone());
    let keyed = Keyed::default();
    request.extensions_mut().insert(keyed.clone());
    let limit = Duration::from_secs(state.settings.body_idle_seconds);
    let request =
        request.map(|body| Body::new(ImpatientBody::new(body, state.world.clone(), limit)));
    // A handler that panics is a bug; its caller gets an answer all the same.
    let known = request.headers().get(header::IF_NONE_MATCH).cloned();
    let wanted = request.headers().get(header::IF_MATCH).cloned();
    let response = match check_head(&request) {
        Ok(()) => {
            let handled = std::panic::AssertUnwindSafe(next.run(request)).catch_unwind().await;
            handled.unwrap_or_else(|_| {
                tracing::error!(request_id = %id, "a handler panicked");
                ApiError::new(ErrorCode::Internal, "The server made a mistake.").into_response()
            })
        }
        Err(error) => error.into_response(),
    };
    let response = Box::pin(repeat::settle(&state, &keyed, response)).await;
    let response = insist(response, &method, wanted.as_ref());
    let response = spare(response, &method, known.as_ref());
    let mut response = render(response, &method, &id, whose.0.get().copied());
    finish_head(&mut response, &id);
    let path = path.unwrap_or_else(|| "unmatched".to_owned());
    let took = state.world.now().since(started);
    state.metrics.request(&method, &path, response.status(), took);
    tracing::debug!(%method, path, status = response.status().as_u16(), request_id = %id, ?took);
    response
}

/// The longest address, and all that headers may have together. What is longer than the server's
/// buffer is refused before it gets here.
const ADDRESS_MAX: usize = 16 << 10;
const HEADERS_MAX: usize = 32 << 10;

fn check_head(request: &Request) -> Result<(), ApiError> {
    let address = request.uri().path_and_query().map_or(0, |address| address.as_str().len());
    if address > ADDRESS_MAX {
        return Err(ApiError::new(ErrorCode::UriTooLong, "The address is too long."));
    }
    let headers = request.headers().iter();
    let length: usize = headers.map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    if length > HEADERS_MAX {
        return Err(ApiError::new(ErrorCode::HeadersTooLarge, "The headers are too large."));
    }
    Ok(())
}

/// Refuses to show something else than what a caller wants to see (`If-Match`). What changes is
/// compared where it is changed.
fn insist(response: Response, method: &Method, wanted: Option<&HeaderValue>) -> Response {
    let asked = matches!(*method, Method::GET | Method::HEAD) && response.status().is_success();
    let Some(wanted) = wanted.filter(|_| asked) else { return response };
    let Some(tag) = response.headers().get(header::ETAG) else { return response };
    let (wanted, tag) = (wanted.to_str().unwrap_or_default(), tag.to_str().unwrap_or_default());
    if wanted.trim() == "*" || wanted.split(',').any(|other| other.trim() == tag) {
        return response;
    }
    let sentence = "It is not, or not any more, what If-Match names.";
    ApiError::new(ErrorCode::PreconditionFailed, sentence).into_response()
}

/// Spares a caller what it has already (`If-None-Match`).
fn spare(response: Response, method: &Method, known: Option<&HeaderValue>) -> Response {
    let asked = matches!(*method, Method::GET | Method::HEAD);
    let Some(known) = known.and_then(|known| known.to_str().ok()).filter(|_| asked) else {
        return response;
    };
    let tag = response.headers().get(header::ETAG).and_then(|tag| tag.to_str().ok());
    let Some(tag) = tag.filter(|_| response.status().is_success()) else { return response };
    let weak = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    if known.trim() != "*" && !known.split(',').any(|other| weak(other) == weak(tag)) {
        return response;
    }
    let (mut parts, _) = response.into_parts();
    parts.status = StatusCode::NOT_MODIFIED;
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.headers.remove(header::CONTENT_TYPE);
    Response::from_parts(parts, Body::empty())
}

/// What every answer's head has.
fn finish_head(response: &mut Response, id: &str) {
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(id) {
        headers.insert("x-request-id", value);
    }
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // Answers are for who asked; a tag spares the transfer, but not the question.
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("private, no-cache"));
}

fn request_id(request: &Request, world: &World) -> String {
    let given = request.headers().get("x-request-id").and_then(|value| value.to_str().ok());
    let sane = |id: &&str| {
        (1..=64).contains(&id.len())
            && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
    };
    given.filter(sane).map_or_else(|| format!("{:032x}", world.random()), str::to_owned)
}

/// Gives a refusal its body.
fn render(mut response: Response, method: &Method, id: &str, tenant: Option<TenantId>) -> Response {
    let status = response.status();
    if !status.is_client_error() && !status.is_server_error() {
        return response;
    }
    let error = response.extensions_mut().remove::<ApiError>();
    let Some(error) = error.or_else(|| framework_error(&response)) else { return response };
    let code = error.code.status();
    let body = serde_json::to_vec(&error.body(id, tenant)).expect("refusals are plain data");
    let (mut parts, _) = response.into_parts();
    parts.status = StatusCode::from_u16(code).unwrap_or(status);
    parts.headers.remove(header::CONTENT_LENGTH);
    let json = HeaderValue::from_static("application/json");
    parts.headers.insert(header::CONTENT_TYPE, json);
    let body = if method == Method::HEAD { Body::empty() } else { Body::from(body) };
    Response::from_parts(parts, body)
}

/// What the router says without asking us, in our form. Pages and OAuth's refusals stay as they
/// are.
fn framework_error(response: &Response) -> Option<ApiError> {
    let kind = response.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    if kind.is_some_and(|kind| !kind.starts_with("text/plain")) {
        return None;
    }
    let (code, sentence) = match response.status() {
        StatusCode::NOT_FOUND => (ErrorCode::NotFound, "There is nothing at this address."),
        StatusCode::METHOD_NOT_ALLOWED => {
            (ErrorCode::MethodNotAllowed, "This address does not take this method.")
        }
        StatusCode::PAYLOAD_TOO_LARGE => (ErrorCode::PayloadTooLarge, "The body is too large."),
        StatusCode::URI_TOO_LONG => (ErrorCode::UriTooLong, "The address is too long."),
        StatusCode::UNSUPPORTED_MEDIA_TYPE => {
            (ErrorCode::UnsupportedMediaType, "The body is of a type that is not taken here.")
        }
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => {
            (ErrorCode::HeadersTooLarge, "The headers are too large.")
        }
        StatusCode::BAD_REQUEST => (ErrorCode::BadRequest, "The request cannot be read."),
        StatusCode::UPGRADE_REQUIRED => (ErrorCode::BadRequest, "This address is for WebSockets."),
        _ => return None,
    };
    Some(ApiError::new(code, sentence))
}

/// A request body that fails when nothing comes for too long.
struct ImpatientBody {
    body: Body,
    world: World,
    limit: Duration,
    patience: Option<BoxFuture<()>>,
}

impl ImpatientBody {
    fn new(body: Body, world: World, limit: Duration) -> Self {
        Self { body, world, limit, patience: None }
    }
}

/// Nothing of a request's body came for too long.
#[derive(Debug, thiserror::Error)]
#[error("the rest of the body did not come")]
struct Dawdled;

impl hyper::body::Body for ImpatientBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            self.patience = None;
            return Poll::Ready(frame);
        }
        let (world, limit) = (self.world.clone(), self.limit);
        let patience =
            self.patience.get_or_insert_with(|| Box::pin(async move { world.sleep(limit).await }));
        match patience.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Some(Err(axum::Error::new(Dawdled)))),
            Poll::Pending => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
