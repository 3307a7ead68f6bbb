//! The whole surface, put together: every route with its specification.

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use axum::routing::get;
use http::header;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;

use crate::state::ApiState;
use crate::{docs, issuer, layer, openapi, v1};

/// Everything that the public listener serves.
pub fn router(state: ApiState) -> Router {
    let (specified, _) = specified();
    specified
        .route("/api/v1/openapi.json", get(openapi_json))
        .route("/api/docs", get(docs::page))
        .merge(issuer::routes())
        // Each route bounds its own body, while it comes.
        .layer(DefaultBodyLimit::disable())
        .layer(from_fn_with_state(state.clone(), layer::around))
        .with_state(state)
}

/// The specification of the routes, without the issuer's, which OpenID Connect specifies.
pub fn document() -> OpenApi {
    specified().1
}

fn specified() -> (Router<ApiState>, OpenApi) {
    let (routes, mut document) = OpenApiRouter::with_openapi(openapi::head())
        .merge(v1::service::root_routes())
        .nest("/api/v1", v1::routes())
        .split_for_parts();
    openapi::complete(&mut document);
    (routes, document)
}

async fn openapi_json() -> impl axum::response::IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], openapi::text())
}
