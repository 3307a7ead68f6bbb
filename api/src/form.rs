//! Forms of several parts, which may be of any size but are never held: a sender that brings no
//! part for long, or a text without an end, is stopped.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use api_types::v1::error::ErrorCode;
use axum::body::{Body, BodyDataStream};
use axum::extract::multipart::{Field, MultipartError};
use axum::extract::{FromRequest, Multipart, Request};
use bytes::Bytes;
use futures_util::Stream;

use crate::error::ApiError;
use crate::state::ApiState;

/// A field that is not a file's content.
const TEXT_MAX: usize = 64 << 10;
/// Bytes that come without a handler seeing any: before the first part, between parts, in a part's
/// head, in one read of the connection.
const UNSEEN_MAX: usize = 4 << 20;

/// A request whose body is a form.
pub(crate) struct Form {
    parts: Multipart,
    unseen: Arc<AtomicUsize>,
}

impl FromRequest<ApiState> for Form {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &ApiState) -> Result<Self, ApiError> {
        let unseen = Arc::new(AtomicUsize::new(0));
        let doled = |body: Body| {
            let unseen = Arc::clone(&unseen);
            Body::from_stream(Doled { body: body.into_data_stream(), unseen, paused: false })
        };
        let parts = Multipart::from_request(request.map(doled), state).await;
        let parts = parts.map_err(|_| {
            ApiError::new(ErrorCode::UnsupportedMediaType, "The body must be multipart/form-data.")
        })?;
        Ok(Self { parts, unseen })
    }
}

impl Form {
    /// The next part; what is left of the last one is passed over.
    pub(crate) async fn next(&mut self) -> Result<Option<Part<'_>>, ApiError> {
        let field = self.parts.next_field().await.map_err(|error| broken(&error))?;
        self.unseen.store(0, Ordering::Relaxed);
        Ok(field.map(|field| Part { field, unseen: &self.unseen }))
    }
}

/// A part of a form.
pub(crate) struct Part<'a> {
    field: Field<'a>,
    unseen: &'a AtomicUsize,
}

impl Part<'_> {
    pub(crate) fn name(&self) -> &str {
        self.field.name().unwrap_or_default()
    }

    pub(crate) fn file_name(&self) -> Option<&str> {
        self.field.file_name()
    }

    pub(crate) fn content_type(&self) -> Option<&str> {
        self.field.content_type()
    }

    /// What came of its content.
    pub(crate) async fn chunk(&mut self) -> Result<Option<Bytes>, ApiError> {
        let chunk = self.field.chunk().await.map_err(|error| broken(&error))?;
        self.unseen.store(0, Ordering::Relaxed);
        Ok(chunk)
    }

    /// All of its content, which is a text.
    pub(crate) async fn text(mut self) -> Result<String, ApiError> {
        let mut text = Vec::new();
        while let Some(bytes) = self.chunk().await? {
            if text.len() + bytes.len() > TEXT_MAX {
                let sentence = format!("A field of a form may have at most {TEXT_MAX} bytes.");
                return Err(ApiError::new(ErrorCode::PayloadTooLarge, sentence));
            }
            text.extend_from_slice(&bytes);
        }
        String::from_utf8(text).map_err(|_| {
            let name = self.field.name().unwrap_or_default();
            ApiError::invalid("body", &[name], "is not UTF-8")
        })
    }
}

fn broken(error: &MultipartError) -> ApiError {
    let code = match error.status().as_u16() {
        413 => ErrorCode::PayloadTooLarge,
        _ => ErrorCode::BadRequest,
    };
    ApiError::new(code, "The form cannot be read to its end.")
}

/// A body that is handed on piece by piece. Who takes a form apart reads on until nothing is ready;
/// here that is after each piece.
struct Doled {
    body: BodyDataStream,
    unseen: Arc<AtomicUsize>,
    paused: bool,
}

/// Too much came of which no part was made.
#[derive(Debug, thiserror::Error)]
#[error("more than {UNSEEN_MAX} bytes belong to no part of the form")]
struct NoParts;

impl Stream for Doled {
    type Item = Result<Bytes, axum::BoxError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if std::mem::take(&mut self.paused) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let next = std::task::ready!(Pin::new(&mut self.body).poll_next(cx));
        self.paused = true;
        Poll::Ready(next.map(|bytes| {
            let bytes = bytes?;
            let before = self.unseen.fetch_add(bytes.len(), Ordering::Relaxed);
            // One piece is as large as the connection made it.
            if before > UNSEEN_MAX { Err(NoParts.into()) } else { Ok(bytes) }
        }))
    }
}
