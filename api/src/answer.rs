//! The forms answers take: 200 with a body, 201, 204, and metadata with its tag.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;

use crate::extract::metadata_tag;

/// Something was made.
pub struct Created<T>(pub T);

impl<T: Serialize> IntoResponse for Created<T> {
    fn into_response(self) -> Response {
        CreatedAs(Json(self.0)).into_response()
    }
}

/// Something was made, as the answer inside shows it.
pub struct CreatedAs<T>(pub T);

impl<T: IntoResponse> IntoResponse for CreatedAs<T> {
    fn into_response(self) -> Response {
        let mut response = self.0.into_response();
        *response.status_mut() = StatusCode::CREATED;
        response
    }
}

/// It is done, and there is nothing to say about it.
pub struct Done;

impl IntoResponse for Done {
    fn into_response(self) -> Response {
        StatusCode::NO_CONTENT.into_response()
    }
}

/// Metadata at a revision: the tag lets a caller ask again for nothing, or change it only if it is
/// still so.
pub struct Tagged<T>(pub u64, pub T);

impl<T: IntoResponse> IntoResponse for Tagged<T> {
    fn into_response(self) -> Response {
        let tag =
            HeaderValue::from_str(&metadata_tag(self.0)).expect("a number is a header's text");
        let mut response = self.1.into_response();
        response.headers_mut().insert(header::ETAG, tag);
        response
    }
}
