//! Section 20: whether the node serves, and what it offers.

use api_types::v1::service::{
    CheckStatus, Features, Health, HealthStatus, Ready, ReadyChecks, ReadyStatus, ServiceConfig,
    ServiceLimits,
};
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use node_base::{Duration, limits};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::issuer;
use crate::state::ApiState;

/// How long one check may take.
const CHECK_LIMIT: Duration = Duration::from_secs(2);

/// The one route that stands outside `/api/v1` as well.
pub(crate) fn root_routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(get_root_health))
}

pub(crate) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(get_health))
        .routes(routes!(get_ready))
        .routes(routes!(get_config))
}

fn health(state: &ApiState) -> Json<Health> {
    Json(Health { status: HealthStatus::Healthy, version: state.version.to_owned() })
}

/// Whether the process serves.
#[utoipa::path(get, path = "/health", tag = "service", security(()),
    responses((status = 200, description = "It does.", body = Health)))]
async fn get_root_health(State(state): State<ApiState>) -> Json<Health> {
    health(&state)
}

/// Whether the process serves.
#[utoipa::path(get, path = "/health", tag = "service", security(()),
    responses((status = 200, description = "It does.", body = Health)))]
async fn get_health(State(state): State<ApiState>) -> Json<Health> {
    health(&state)
}

/// Whether the node can do its work: each part is really asked.
#[utoipa::path(get, path = "/ready", tag = "service", security(()),
    responses(
        (status = 200, description = "It can.", body = Ready),
        (status = 503, description = "A part cannot, or the node stops.", body = Ready)))]
async fn get_ready(State(state): State<ApiState>) -> Response {
    let agrees = state.world.within(CHECK_LIMIT, state.ops.look_now(|_| Ok(()))).await;
    let signs_in = state.world.within(CHECK_LIMIT, identity(&state)).await;
    let stats = state.ops.store.stats();
    let stores = stats.drives.iter().any(|drive| drive.free_bytes.is_some() && !drive.is_suspect);
    let checks = ReadyChecks {
        raft: status(matches!(agrees, Ok(Ok(())))),
        storage: status(stores),
        identity: status(signs_in == Ok(true)),
        // There is no index beside the tables yet.
        search: CheckStatus::Off,
    };
    let all = [checks.raft, checks.storage, checks.identity, checks.search];
    let works = all.into_iter().all(|check| check != CheckStatus::Failed);
    if works && !state.ops.is_leaving() {
        Json(Ready { status: ReadyStatus::Ready, checks }).into_response()
    } else {
        let unready = Json(Ready { status: ReadyStatus::Unready, checks });
        (StatusCode::SERVICE_UNAVAILABLE, unready).into_response()
    }
}

const fn status(works: bool) -> CheckStatus {
    if works { CheckStatus::Ok } else { CheckStatus::Failed }
}

/// Whether somebody could sign in: an outside issuer answers, or ours reads its keys.
async fn identity(state: &ApiState) -> bool {
    match (state.identity.own(), state.identity.outside()) {
        (_, Some(outside)) => outside.discovery().await.is_ok(),
        (Some(_), None) => issuer::published(&state.ops).await.is_ok(),
        (None, None) => false,
    }
}

/// What this installation offers and takes.
#[utoipa::path(get, path = "/config", tag = "service", security(()),
    responses((status = 200, description = "Features and limits.", body = ServiceConfig)))]
async fn get_config(State(state): State<ApiState>) -> Json<ServiceConfig> {
    let features = Features {
        semantic_search: false,
        external_sharing: false,
        smb_connector: false,
        sharepoint_connector: false,
    };
    let limits = ServiceLimits {
        max_file_size_bytes: limits::FILE_MAX_DEFAULT,
        max_upload_chunk_size_bytes: limits::CHUNK_MAX as u64,
    };
    Json(ServiceConfig { version: state.version.to_owned(), features, limits })
}
