//! Section 4: the users of a tenant.

use api_ops::meta::command::{NewUser, People, QuotaCommand};
use api_ops::meta::outcome::Noun;
use api_ops::meta::query::people::{self, UserFilter};
use api_ops::meta::query::quota;
use api_ops::meta::table::people::{AdminRole, ProvisioningSource, User as Row, UserStatus};
use api_ops::meta::table::quota::{LimitType, Quota, QuotaTarget};
use api_ops::meta::{Answer, Command, Refusal, Remember, Scope};
use api_ops::{Call, OpError};
use api_types::v1::admin::{CreateUser, PatchUser, User, UserList, UsersQuery};
use axum::Json;
use axum::extract::{Path, State};
use node_base::{UserId, limits};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::answer::{CreatedAs, Done, Tagged};
use crate::error::ApiError;
use crate::extract::{Asked, Asking, Asks, bounds, not_null, path_id};
use crate::present;
use crate::state::ApiState;

pub(crate) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(list_users, create_user))
        .routes(routes!(get_user, update_user, delete_user))
        .routes(routes!(suspend_user))
        .routes(routes!(activate_user))
}

/// The users of the tenant.
#[utoipa::path(get, path = "/admin/users", tag = "people", params(UsersQuery),
    responses((status = 200, description = "A page of users.", body = UserList)))]
async fn list_users(
    State(state): State<ApiState>,
    Asking(call): Asking,
    Asks(query): Asks<UsersQuery>,
) -> Result<Json<UserList>, ApiError> {
    let (offset, limit) = bounds(query.limit, query.offset, limits::PAGE_MAX)?;
    let tenant = call.caller.tenant;
    let filter = UserFilter {
        search: query.search,
        status: query.status.map(present::people::user_status_row),
        is_admin: query.is_admin,
    };
    let (users, total) = state
        .ops
        .ask(&call, move |tables, viewer| {
            viewer.require_role(Scope::TenantAdmin, AdminRole::TenantAdmin)?;
            let page = people::users(tables, tenant, &filter, offset, limit)?;
            let mut users = Vec::with_capacity(page.items.len());
            for (id, row) in page.items {
                let limit = quota::quota(tables, QuotaTarget::User(tenant, id))?;
                let limit = limit.map(|limit| limit.limit_bytes);
                users.push(present::people::user(tenant, id, &row, limit));
            }
            Ok((users, page.total))
        })
        .await?;
    Ok(Json(UserList { users, total }))
}

async fn row(state: &ApiState, call: &Call, id: UserId) -> Result<(Row, Option<Quota>), OpError> {
    let tenant = call.caller.tenant;
    state
        .ops
        .ask(call, move |tables, viewer| {
            viewer.require_role(Scope::TenantAdmin, AdminRole::TenantAdmin)?;
            let row = people::user(tables, tenant, id)?;
            let row = row.filter(|row| row.status != UserStatus::Deleted);
            let limit = quota::quota(tables, QuotaTarget::User(tenant, id))?;
            Ok((row.ok_or(Refusal::NotFound(Noun::User))?, limit))
        })
        .await
}

async fn shown(state: &ApiState, call: &Call, id: UserId) -> Result<Tagged<Json<User>>, OpError> {
    let (row, limit) = row(state, call, id).await?;
    let limit = limit.map(|limit| limit.limit_bytes);
    let user = present::people::user(call.caller.tenant, id, &row, limit);
    Ok(Tagged(row.revision, Json(user)))
}

/// A call's second command: what the caller said of the first is said of that alone. It has a key
/// of its own, so that asking again does not undo what others have done meanwhile.
fn second(call: &Call) -> Call {
    let remember = call.remember.as_ref().map(|remember| Remember {
        key: node_base::sha256(format!("{} second", remember.key).as_bytes()).to_string(),
        request: remember.request,
    });
    Call { remember, if_revision: None, ..call.clone() }
}

/// Sets or takes away the limit of a user.
async fn set_limit(
    state: &ApiState,
    call: &Call,
    user: UserId,
    before: Option<Quota>,
    limit: Option<u64>,
) -> Result<(), OpError> {
    let target = QuotaTarget::User(call.caller.tenant, user);
    let command = match (limit, before) {
        (None, None) => return Ok(()),
        (None, Some(_)) => QuotaCommand::Remove { target },
        (Some(limit_bytes), before) => QuotaCommand::Set {
            target,
            limit_bytes,
            limit_type: before.as_ref().map_or(LimitType::Hard, |before| before.limit_type),
            warning_thresholds: before.as_ref().map_or([70, 85, 95], |b| b.warning_thresholds),
            grace_period_days: before.as_ref().map_or(7, |before| before.grace_period_days),
            grace_extra_percent: before.as_ref().map_or(10, |before| before.grace_extra_percent),
        },
    };
    state.ops.agree::<()>(&second(call), Command::Quota(command)).await
}

/// Makes a user, with a personal share.
#[utoipa::path(post, path = "/admin/users", tag = "people", request_body = CreateUser,
    responses((status = 201, description = "The user is made.", body = User)))]
async fn create_user(
    State(state): State<ApiState>,
    Asked(call, new): Asked<CreateUser>,
) -> Result<CreatedAs<Tagged<Json<User>>>, ApiError> {
    let name = new.name.or_else(|| new.display_name.clone()).unwrap_or_else(|| new.email.clone());
    let command = People::CreateUser(NewUser {
        tenant: call.caller.tenant,
        email: new.email,
        display_name: new.display_name.unwrap_or_else(|| name.clone()),
        name,
        admin_role: new.admin_role.map(present::people::admin_role_row),
        source: ProvisioningSource::Admin,
        is_service_account: false,
        subject: None,
        password: None,
    });
    let Answer::User { user, .. } = state.ops.agree(&call, Command::People(command)).await? else {
        return Err(OpError::Unknown.into());
    };
    set_limit(&state, &call, user, None, new.quota_bytes).await?;
    Ok(CreatedAs(shown(&state, &call, user).await?))
}

/// A user.
#[utoipa::path(get, path = "/admin/users/{id}", tag = "people",
    responses((status = 200, description = "The user.", body = User)))]
async fn get_user(
    State(state): State<ApiState>,
    Path(id): Path<String>,
    Asking(call): Asking,
) -> Result<Tagged<Json<User>>, ApiError> {
    Ok(shown(&state, &call, path_id(&id, Noun::User)?).await?)
}

/// Changes a user.
#[utoipa::path(patch, path = "/admin/users/{id}", tag = "people", request_body = PatchUser,
    responses((status = 200, description = "The user as it is now.", body = User)))]
async fn update_user(
    State(state): State<ApiState>,
    Path(id): Path<String>,
    Asked(call, patch): Asked<PatchUser>,
) -> Result<Tagged<Json<User>>, ApiError> {
    let user: UserId = path_id(&id, Noun::User)?;
    let (before, limit) = row(&state, &call, user).await?;
    let display_name = patch.display_name.into_option();
    let command = People::UpdateUser {
        user,
        // Without a name of its own it is shown by the one it came with.
        display_name: display_name.map(|name| name.unwrap_or(before.name)),
        email: not_null("email", patch.email)?,
        admin_role: patch
            .admin_role
            .into_option()
            .map(|role| role.map(present::people::admin_role_row)),
    };
    state.ops.agree::<Answer>(&call, Command::People(command)).await?;
    if let Some(wanted) = patch.quota_bytes.into_option() {
        set_limit(&state, &call, user, limit, wanted).await?;
    }
    Ok(shown(&state, &call, user).await?)
}

/// Deletes a user. What the user made stays.
#[utoipa::path(delete, path = "/admin/users/{id}", tag = "people",
    responses((status = 204, description = "The user is gone.")))]
async fn delete_user(
    State(state): State<ApiState>,
    Path(id): Path<String>,
    Asking(call): Asking,
) -> Result<Done, ApiError> {
    let command = People::DeleteUser { user: path_id(&id, Noun::User)? };
    state.ops.agree::<()>(&call, Command::People(command)).await?;
    Ok(Done)
}

async fn set_suspended(
    state: &ApiState,
    call: &Call,
    id: &str,
    suspended: bool,
) -> Result<Tagged<Json<User>>, ApiError> {
    let user = path_id(id, Noun::User)?;
    let command = People::SetSuspended { user, suspended };
    state.ops.agree::<Answer>(call, Command::People(command)).await?;
    Ok(shown(state, call, user).await?)
}

/// Suspends a user: sessions and sync end at once, on every node.
#[utoipa::path(post, path = "/admin/users/{id}/suspend", tag = "people",
    responses((status = 200, description = "The user as it is now.", body = User)))]
async fn suspend_user(
    State(state): State<ApiState>,
    Path(id): Path<String>,
    Asking(call): Asking,
) -> Result<Tagged<Json<User>>, ApiError> {
    set_suspended(&state, &call, &id, true).await
}

/// Lets a suspended user in again.
#[utoipa::path(post, path = "/admin/users/{id}/activate", tag = "people",
    responses((status = 200, description = "The user as it is now.", body = User)))]
async fn activate_user(
    State(state): State<ApiState>,
    Path(id): Path<String>,
    Asking(call): Asking,
) -> Result<Tagged<Json<User>>, ApiError> {
    set_suspended(&state, &call, &id, false).await
}
