//! Version 1: one module for each section of the contract, each with the routes it adds.

pub mod auth;
pub mod batch;
mod content;
pub mod files;
pub mod folders;
mod place;
pub mod service;
pub mod uploads;

use utoipa_axum::router::OpenApiRouter;

use crate::state::ApiState;

/// All routes below `/api/v1`.
pub(crate) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .merge(service::routes())
        .merge(auth::routes())
        .merge(folders::routes())
        .merge(files::routes())
        .merge(uploads::routes())
        .merge(batch::routes())
}
