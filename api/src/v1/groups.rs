//! Section 4: groups, and who is in them.

use api_ops::meta::command::People;
use api_ops::meta::outcome::Noun;
use api_ops::meta::query::people;
use api_ops::meta::table;
use api_ops::meta::table::people::{AdminRole, Groups};
use api_ops::meta::{Command, Reader, Refusal, Scope, TableError};
use api_ops::{Call, OpError};
use api_types::v1::PageQuery;
use api_types::v1::admin::{
    AddGroupMember, CreateGroup, Group, GroupList, GroupMember, GroupMemberList, PatchGroup,
};
use axum::Json;
use axum::extract::{Path, State};
use node_base::{GroupId, TenantId, UserId, limits};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::answer::{CreatedAs, Done, Tagged};
use crate::error::ApiError;
use crate::extract::{Asked, Asking, Asks, bounds, id as body_id, not_null, path_id};
use crate::present;
use crate::state::ApiState;

pub(crate) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(list_groups, create_group))
        .routes(routes!(get_group, update_group, delete_group))
        .routes(routes!(list_group_members, add_group_member))
        .routes(routes!(remove_group_member))
}

fn count(tables: &dyn Reader, tenant: TenantId, group: GroupId) -> Result<u64, TableError> {
    Ok(people::group_members(tables, tenant, group, 0, 0)?.total)
}

/// The groups of the tenant.
#[utoipa::path(get, path = "/admin/groups", tag = "people", params(PageQuery),
    responses((status = 200, description = "A page of groups.", body = GroupList)))]
async fn list_groups(
    State(state): State<ApiState>,
    Asking(call): Asking,
    Asks(query): Asks<PageQuery>,
) -> Result<Json<GroupList>, ApiError> {
    let (offset, limit) = bounds(query.limit, query.offset, limits::PAGE_MAX)?;
    let tenant = call.caller.tenant;
    let (groups, total) = state
        .ops
        .ask(&call, move |tables, viewer| {
            viewer.require_role(Scope::TenantAdmin, AdminRole::TenantAdmin)?;
            let page = people::groups(tables, tenant, None, offset, limit)?;
            let mut groups = Vec::with_capacity(page.items.len());
            for (id, row) in page.items {
                let members = count(tables, tenant, id)?;
                groups.push(present::people::group(tenant, id, &row, members));
            }
            Ok((groups, page.total))
        })
        .await?;
    Ok(Json(GroupList { groups, total }))
}

async fn shown(state: &ApiState, call: &Call, id: GroupId) -> Result<Tagged<Json<Group>>, OpError> {
    let tenant = call.caller.tenant;
    state
        .ops
        .ask(call, move |tables, viewer| {
            viewer.require_role(Scope::TenantAdmin, AdminRole::TenantAdmin)?;
            let row = people::group(tables, tenant, id)?.ok_or(Refusal::NotFound(Noun::Group))?;
            let members = count(tables, tenant, id)?;
            let group = present::people::group(tenant, id, &row, members);
            Ok(Tagged(table::mark::<Groups>(&row)?, Json(group)))
        })
        .await
}

/// Makes a group.
#[utoipa::path(post, path = "/admin/groups", tag = "people", request_body = CreateGroup,
    responses((status = 201, description = "It is made.", body = Group)))]
async fn create_group(
    State(state): State<ApiState>,
    Asked(call, new): Asked<CreateGroup>,
) -> Result<CreatedAs<Tagged<Json<Group>>>, ApiError> {
    let description = new.description.unwrap_or_default();
    let command = People::CreateGroup { name: new.name, description };
    let id = state.ops.agree(&call, Command::People(command)).await?;
    Ok(CreatedAs(shown(&state, &call, id).await?))
}

/// A group.
#[utoipa::path(get, path = "/admin/groups/{id}", tag = "people",
    responses((status = 200, description = "The group.", body = Group)))]
async fn get_group(
    State(state): State<ApiState>,
    Path(id): Path<String>,
    Asking(call): Asking,
) -> Result<Tagged<Json<Group>>, ApiError> {
    Ok(shown(&state, &call, path_id(&id, Noun::Group)?).await?)
}

/// Changes a group.
#[utoipa::path(patch, path = "/admin/groups/{id}", tag = "people", request_body = PatchGroup,
    responses((status = 200, description = "The group as it is now.", body = Group)))]
async fn update_group(
    State(state): State<ApiState>,
    Path(id): Path<String>,
    Asked(call, patch): Asked<PatchGroup>,
) -> Result<Tagged<Json<Group>>, ApiError> {
    let command = People::UpdateGroup {
        group: path_id(&id, Noun::Group)?,
        name: not_null("name", patch.name)?,
        description: patch.description.into_option().map(Option::unwrap_or_default),
    };
    let id = state.ops.agree(&call, Command::People(command)).await?;
    Ok(shown(&state, &call, id).await?)
}

/// Deletes a group. Its memberships in shares go with it.
#[utoipa::path(delete, path = "/admin/groups/{id}", tag = "people",
    responses((status = 204, description = "It is gone.")))]
async fn delete_group(
    State(state): State<ApiState>,
    Path(id): Path<String>,
    Asking(call): Asking,
) -> Result<Done, ApiError> {
    let command = People::DeleteGroup { group: path_id(&id, Noun::Group)? };
    state.ops.agree::<()>(&call, Command::People(command)).await?;
    Ok(Done)
}

/// The users in a group.
#[utoipa::path(get, path = "/admin/groups/{id}/members", tag = "people", params(PageQuery),
    responses((status = 200, description = "A page of users.", body = GroupMemberList)))]
async fn list_group_members(
    State(state): State<ApiState>,
    Path(id): Path<String>,
    Asking(call): Asking,
    Asks(query): Asks<PageQuery>,
) -> Result<Json<GroupMemberList>, ApiError> {
    let group: GroupId = path_id(&id, Noun::Group)?;
    let (offset, limit) = bounds(query.limit, query.offset, limits::PAGE_MAX)?;
    let tenant = call.caller.tenant;
    let page = state
        .ops
        .ask(&call, move |tables, viewer| {
            viewer.require_role(Scope::TenantAdmin, AdminRole::TenantAdmin)?;
            people::group(tables, tenant, group)?.ok_or(Refusal::NotFound(Noun::Group))?;
            Ok(people::group_members(tables, tenant, group, offset, limit)?)
        })
        .await?;
    let members = page.items.iter().map(|(id, row)| present::people::group_member(*id, row));
    Ok(Json(GroupMemberList { members: members.collect(), total: page.total }))
}

/// Puts a user into a group.
#[utoipa::path(post, path = "/admin/groups/{id}/members", tag = "people",
    request_body = AddGroupMember,
    responses((status = 201, description = "The user is in it.", body = GroupMember)))]
async fn add_group_member(
    State(state): State<ApiState>,
    Path(id): Path<String>,
    Asked(call, new): Asked<AddGroupMember>,
) -> Result<CreatedAs<Json<GroupMember>>, ApiError> {
    let group = path_id(&id, Noun::Group)?;
    let user: UserId = body_id("body", "user_id", &new.user_id)?;
    let command = People::AddToGroup { group, user };
    state.ops.agree::<()>(&call, Command::People(command)).await?;
    let tenant = call.caller.tenant;
    let row = state
        .ops
        .ask(&call, move |tables, _| {
            Ok(people::user(tables, tenant, user)?.ok_or(Refusal::NotFound(Noun::User))?)
        })
        .await?;
    Ok(CreatedAs(Json(present::people::group_member(user, &row))))
}

/// Takes a user out of a group.
#[utoipa::path(delete, path = "/admin/groups/{id}/members/{user_id}", tag = "people",
    responses((status = 204, description = "The user is not in it.")))]
async fn remove_group_member(
    State(state): State<ApiState>,
    Path((id, user_id)): Path<(String, String)>,
    Asking(call): Asking,
) -> Result<Done, ApiError> {
    let group = path_id(&id, Noun::Group)?;
    let user = path_id(&user_id, Noun::Member)?;
    let command = People::RemoveFromGroup { group, user };
    state.ops.agree::<()>(&call, Command::People(command)).await?;
    Ok(Done)
}
