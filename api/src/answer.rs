//! The forms answers take: 200 with a body, 201, 204, and metadata with its tag.

use axum::Json;
use axum::body::Body;
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
/// still so. The revision is the row's own; what is shown beside it, such as names of folders above,
/// is told apart by a digest.
pub struct Tagged<T>(pub u64, pub T);

impl<T: Serialize> IntoResponse for Tagged<Json<T>> {
    fn into_response(self) -> Response {
        let Json(shape) = self.1;
        let body = serde_json::to_vec(&shape).expect("answers are plain data");
        let tag = HeaderValue::from_str(&metadata_tag(self.0, &body));
        let json = HeaderValue::from_static("application/json");
        let mut response = Response::new(Body::from(body));
        response.headers_mut().insert(header::CONTENT_TYPE, json);
        response.headers_mut().insert(header::ETAG, tag.expect("digits are a header's text"));
        response
    }
}
