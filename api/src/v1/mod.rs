//! Version 1: one module for each section of the contract, each with the routes it adds.

pub mod admin;
mod apply;
pub mod audit;
pub mod auth;
pub mod batch;
pub mod cluster;
pub mod conflicts;
mod content;
pub mod devices;
mod entry;
pub mod files;
pub mod folders;
pub mod groups;
pub mod invitations;
pub mod me;
pub mod permissions;
mod place;
pub mod quotas;
pub mod realtime;
pub mod service;
pub mod shares;
pub mod sync;
pub mod trash;
pub mod uploads;
pub mod users;
pub mod versions;

use utoipa_axum::router::OpenApiRouter;

use crate::state::ApiState;

/// All routes below `/api/v1`.
pub(crate) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .merge(service::routes())
        .merge(cluster::routes())
        .merge(auth::routes())
        .merge(me::routes())
        .merge(admin::routes())
        .merge(users::routes())
        .merge(groups::routes())
        .merge(shares::routes())
        .merge(invitations::routes())
        .merge(permissions::routes())
        .merge(quotas::routes())
        .merge(audit::routes())
        .merge(folders::routes())
        .merge(files::routes())
        .merge(uploads::routes())
        .merge(batch::routes())
        .merge(versions::routes())
        .merge(trash::routes())
        .merge(devices::routes())
        .merge(sync::routes())
        .merge(conflicts::routes())
        .merge(realtime::routes())
}
