//! The same request again under one idempotency key is told what it was told first.
//!
//! Commands themselves are not done twice: their outcomes are remembered. This looks at what is
//! said of them, once a handler has ended: what it read beside the outcome is kept the first time,
//! and stands in for whatever it says, or is refused, later.

use std::sync::{Arc, OnceLock};

use api_ops::meta::Refusal;
use api_ops::{Call, Consistency, OpError, Told};
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use hyper::body::Body as _;
use node_base::limits;

use crate::error::ApiError;
use crate::state::ApiState;

/// The call that a request with a key has become: put in before the handler runs, read after.
#[derive(Debug, Clone, Default)]
pub struct Keyed(Arc<OnceLock<Repeatable>>);

#[derive(Debug)]
struct Repeatable {
    call: Call,
    /// Whether the key stands for the body as well: of some, it is read by the handler.
    is_whole: bool,
}

impl Keyed {
    /// It is this call.
    pub fn tell(&self, call: &Call, is_whole: bool) {
        if call.remember.is_some() {
            // A request has one extractor of calls.
            let call = Call { consistency: Consistency::Linearizable, ..call.clone() };
            let _ = self.0.set(Repeatable { call, is_whole });
        }
    }
}

/// The answer that goes out.
pub async fn settle(state: &ApiState, keyed: &Keyed, response: Response) -> Response {
    let Some(repeatable) = keyed.0.get() else { return response };
    let (status, call) = (response.status(), &repeatable.call);
    if status.is_success() && call.is_to_be_kept() {
        return keep(state, call, response).await;
    }
    if !status.is_client_error() || !call.may_be_known() {
        return response;
    }
    match state.ops.kept_answer(call).await {
        Ok(Some(told)) => again(told),
        Err(error @ OpError::Refused(Refusal::KeyReused)) if repeatable.is_whole => {
            ApiError::from(error).into_response()
        }
        Ok(None) | Err(_) => response,
    }
}

async fn keep(state: &ApiState, call: &Call, response: Response) -> Response {
    let length = response.body().size_hint().exact();
    if length.is_none_or(|length| length > limits::ANSWER_KEPT_MAX as u64) {
        return response;
    }
    let (parts, body) = response.into_parts();
    let Ok(body) = axum::body::to_bytes(body, limits::ANSWER_KEPT_MAX).await else {
        // What handlers say of rows lies in memory.
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let etag = parts.headers.get(header::ETAG).and_then(|tag| tag.to_str().ok());
    let told =
        Told { status: parts.status.as_u16(), etag: etag.map(str::to_owned), body: body.to_vec() };
    match state.ops.keep_answer(call, told).await {
        Ok(Some(first)) => again(first),
        Ok(None) => Response::from_parts(parts, Body::from(body)),
        Err(error) => {
            // It was done all the same; asking again, the caller is told how things are then.
            tracing::debug!(error = &error as &dyn std::error::Error, "an answer is not kept");
            Response::from_parts(parts, Body::from(body))
        }
    }
}

fn again(told: Told) -> Response {
    let is_json = !told.body.is_empty();
    let mut response = Response::new(Body::from(told.body));
    *response.status_mut() = StatusCode::from_u16(told.status).unwrap_or(StatusCode::OK);
    if is_json {
        let json = HeaderValue::from_static("application/json");
        response.headers_mut().insert(header::CONTENT_TYPE, json);
    }
    if let Some(tag) = told.etag.and_then(|tag| HeaderValue::from_str(&tag).ok()) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}
