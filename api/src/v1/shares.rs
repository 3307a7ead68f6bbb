//! Section 5: shares and their members.

use api_ops::meta::command::{ShareCommand, ShareSettingsChange};
use api_ops::meta::outcome::Noun;
use api_ops::meta::query::people::Found;
use api_ops::meta::query::share::ShareView;
use api_ops::meta::query::{people, share};
use api_ops::meta::table;
use api_ops::meta::table::people::Principal;
use api_ops::meta::table::share::Members;
use api_ops::meta::{Answer, Command, Refusal};
use api_ops::{Call, OpError};
use api_types::v1::shares::{
    AddMember, CreateShare, FoundGroup, FoundUser, Member, MemberList, MemberType, PatchMember,
    PatchShare, PatchShareSettings, Principals, PrincipalsQuery, Share, ShareList, SharesQuery,
};
use api_types::v1::{DeleteQuery, PageQuery};
use axum::Json;
use axum::extract::{Path, State};
use node_base::{Permission, ShareId, TenantId, limits};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::answer::{CreatedAs, Done, Tagged};
use crate::error::ApiError;
use crate::extract::{Asked, Asking, Asks, bounds, id as body_id, not_null, path_id};
use crate::present;
use crate::state::ApiState;

/// Principals that one search finds at most, and by itself.
const FOUND_MAX: u32 = 50;
const FOUND_DEFAULT: u32 = 20;

pub(crate) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(list_shares, create_share))
        .routes(routes!(search_principals))
        .routes(routes!(get_share, update_share, delete_share))
        .routes(routes!(restore_share))
        .routes(routes!(list_members, add_member))
        .routes(routes!(update_member, remove_member))
}

fn present_share(tenant: TenantId, view: &ShareView) -> Share {
    present::share::share(tenant, view.id, &view.share, view.quota_bytes, view.used_bytes)
}

/// The shares that the caller sees; an administrator sees all of the tenant.
#[utoipa::path(get, path = "/shares", tag = "shares", params(SharesQuery),
    responses((status = 200, description = "A page of shares.", body = ShareList)))]
async fn list_shares(
    State(state): State<ApiState>,
    Asking(call): Asking,
    Asks(query): Asks<SharesQuery>,
) -> Result<Json<ShareList>, ApiError> {
    let (offset, limit) = bounds(query.limit, query.offset, limits::PAGE_MAX)?;
    let trashed = query.include_trashed;
    let page = state
        .ops
        .ask(&call, move |tables, viewer| {
            Ok(share::visible(tables, viewer, trashed, offset, limit)?)
        })
        .await?;
    let shares = page.items.iter().map(|view| present_share(call.caller.tenant, view));
    Ok(Json(ShareList { shares: shares.collect(), total: page.total }))
}

async fn view(state: &ApiState, call: &Call, id: ShareId) -> Result<ShareView, OpError> {
    state
        .ops
        .ask(call, move |tables, viewer| {
            Ok(share::share(tables, viewer, id)?.ok_or(Refusal::NotFound(Noun::Share))?)
        })
        .await
}

async fn shown(state: &ApiState, call: &Call, id: ShareId) -> Result<Tagged<Json<Share>>, OpError> {
    let view = view(state, call, id).await?;
    Ok(Tagged(view.share.revision, Json(present_share(call.caller.tenant, &view))))
}

fn principal(place: &str, field: &str, text: &str) -> Result<Principal, ApiError> {
    match text.parse() {
        Ok(group) => Ok(Principal::Group(group)),
        Err(_) => body_id(place, field, text).map(Principal::User),
    }
}

fn change(patch: PatchShareSettings) -> Result<ShareSettingsChange, ApiError> {
    let policy = not_null("settings.name_policy", patch.name_policy)?;
    let strategy = not_null("settings.conflict_resolution", patch.conflict_resolution)?;
    Ok(ShareSettingsChange {
        name_policy: policy.map(present::share::name_policy_row),
        conflict_resolution: strategy.map(present::conflict::strategy_row),
        trash_retention_days: patch.trash_retention_days.into_option(),
        version_retention_days: patch.version_retention_days.into_option(),
        max_versions: patch.max_versions.into_option(),
    })
}

/// Makes a share.
#[utoipa::path(post, path = "/shares", tag = "shares", request_body = CreateShare,
    responses((status = 201, description = "It is made.", body = Share)))]
async fn create_share(
    State(state): State<ApiState>,
    Asked(call, new): Asked<CreateShare>,
) -> Result<CreatedAs<Tagged<Json<Share>>>, ApiError> {
    let command = ShareCommand::Create {
        name: new.name,
        description: new.description.unwrap_or_default(),
        kind: present::share::share_kind_row(new.share_type),
        owner: principal("body", "owner_id", &new.owner_id)?,
        is_public: new.is_public,
        quota_bytes: new.quota_bytes,
        settings: change(new.settings.unwrap_or_default())?,
    };
    let id = state.ops.agree(&call, Command::Share(command)).await?;
    Ok(CreatedAs(shown(&state, &call, id).await?))
}

/// A share.
#[utoipa::path(get, path = "/shares/{id}", tag = "shares",
    responses((status = 200, description = "The share.", body = Share)))]
async fn get_share(
    State(state): State<ApiState>,
    Path(id): Path<String>,
    Asking(call): Asking,
) -> Result<Tagged<Json<Share>>, ApiError> {
    let id = path_id(&id, Noun::Share)?;
    let view = state
        .ops
        .ask(&call, move |tables, viewer| {
            let view = share::share(tables, viewer, id)?.ok_or(Refusal::NotFound(Noun::Share))?;
            let may = view.mask.contains(Permission::Read) || viewer.administers();
            may.then_some(view).ok_or_else(|| Refusal::PermissionDenied.into())
        })
        .await?;
    Ok(Tagged(view.share.revision, Json(present_share(call.caller.tenant, &view))))
}

/// Changes a share. Its limit is for administrators to set.
#[utoipa::path(patch, path = "/shares/{id}", tag = "shares", request_body = PatchShare,
    responses((status = 200, description = "The share as it is now.", body = Share)))]
async fn update_share(
    State(state): State<ApiState>,
    Path(id): Path<String>,
    Asked(call, patch): Asked<PatchShare>,
) -> Result<Tagged<Json<Share>>, ApiError> {
    let id: ShareId = path_id(&id, Noun::Share)?;
    let command = ShareCommand::Update {
        share: id,
        name: not_null("name", patch.name)?,
        description: patch.description.into_option().map(Option::unwrap_or_default),
        is_public: not_null("is_public", patch.is_public)?,
        settings: not_null("settings", patch.settings)?.map(change).transpose()?,
        quota_bytes: patch.quota_bytes.into_option(),
    };
    state.ops.agree::<ShareId>(&call, Command::Share(command)).await?;
    Ok(shown(&state, &call, id).await?)
}

/// Puts a share into the trash; with `permanent`, removes one that is there for good.
#[utoipa::path(delete, path = "/shares/{id}", tag = "shares", params(DeleteQuery),
    responses((status = 204, description = "It is deleted.")))]
async fn delete_share(
    State(state): State<ApiState>,
    Path(id): Path<String>,
    Asking(call): Asking,
    Asks(query): Asks<DeleteQuery>,
) -> Result<Done, ApiError> {
    let share = path_id(&id, Noun::Share)?;
    let command = match query.permanent {
        true => ShareCommand::Purge { share },
        false => ShareCommand::Delete { share },
    };
    state.ops.agree::<Answer>(&call, Command::Share(command)).await?;
    Ok(Done)
}

/// Takes a share out of the trash.
#[utoipa::path(post, path = "/trash/share/{id}/restore", tag = "trash",
    responses((status = 200, description = "The share as it is now.", body = Share)))]
async fn restore_share(
    State(state): State<ApiState>,
    Path(id): Path<String>,
    Asking(call): Asking,
) -> Result<Tagged<Json<Share>>, ApiError> {
    let share: ShareId = path_id(&id, Noun::Share)?;
    let restore = Command::Share(ShareCommand::Restore { share });
    state.ops.agree::<Answer>(&call, restore).await?;
    Ok(shown(&state, &call, share).await?)
}

fn present_member(view: share::MemberView) -> Member {
    present::share::member(view.principal, present::filled(&view.name), &view.member)
}

/// The members of a share.
#[utoipa::path(get, path = "/shares/{id}/members", tag = "shares", params(PageQuery),
    responses((status = 200, description = "A page of members.", body = MemberList)))]
async fn list_members(
    State(state): State<ApiState>,
    Path(id): Path<String>,
    Asking(call): Asking,
    Asks(query): Asks<PageQuery>,
) -> Result<Json<MemberList>, ApiError> {
    let share = path_id(&id, Noun::Share)?;
    let (offset, limit) = bounds(query.limit, query.offset, limits::PAGE_MAX)?;
    let page = state
        .ops
        .ask(&call, move |tables, viewer| {
            Ok(share::members(tables, viewer, share, offset, limit)??)
        })
        .await?;
    let members = page.items.into_iter().map(present_member);
    Ok(Json(MemberList { members: members.collect(), total: page.total }))
}

async fn member(
    state: &ApiState,
    call: &Call,
    share: ShareId,
    who: Principal,
) -> Result<Tagged<Json<Member>>, OpError> {
    let (found, mark) = state
        .ops
        .ask(call, move |tables, viewer| {
            let all = u32::try_from(limits::SHARE_MEMBERS_MAX).unwrap_or(u32::MAX);
            let page = share::members(tables, viewer, share, 0, all)??;
            let found = page.items.into_iter().find(|member| member.principal == who);
            let found = found.ok_or(Refusal::NotFound(Noun::Member))?;
            let mark = table::mark::<Members>(&found.member)?;
            Ok((found, mark))
        })
        .await?;
    Ok(Tagged(mark, Json(present_member(found))))
}

/// Makes a user or group a member.
#[utoipa::path(post, path = "/shares/{id}/members", tag = "shares", request_body = AddMember,
    responses((status = 201, description = "It is a member.", body = Member)))]
async fn add_member(
    State(state): State<ApiState>,
    Path(id): Path<String>,
    Asked(call, new): Asked<AddMember>,
) -> Result<CreatedAs<Tagged<Json<Member>>>, ApiError> {
    let share = path_id(&id, Noun::Share)?;
    let principal = match new.principal_type {
        MemberType::User => Principal::User(body_id("body", "principal_id", &new.principal_id)?),
        MemberType::Group => Principal::Group(body_id("body", "principal_id", &new.principal_id)?),
    };
    let role = present::share::role_row(new.role);
    let expires_at = new.expires_at.map(Into::into);
    let command = ShareCommand::AddMember { share, principal, role, expires_at };
    state.ops.agree::<Answer>(&call, Command::Share(command)).await?;
    Ok(CreatedAs(member(&state, &call, share, principal).await?))
}

fn member_in_path(text: &str) -> Result<Principal, ApiError> {
    principal("path", "principal_id", text).map_err(|_| ApiError::not_found(Noun::Member))
}

/// Changes a membership.
#[utoipa::path(patch, path = "/shares/{id}/members/{principal_id}", tag = "shares",
    request_body = PatchMember,
    responses((status = 200, description = "The member as it is now.", body = Member)))]
async fn update_member(
    State(state): State<ApiState>,
    Path((id, principal_id)): Path<(String, String)>,
    Asked(call, patch): Asked<PatchMember>,
) -> Result<Tagged<Json<Member>>, ApiError> {
    let share = path_id(&id, Noun::Share)?;
    let principal = member_in_path(&principal_id)?;
    let command = ShareCommand::UpdateMember {
        share,
        principal,
        role: not_null("role", patch.role)?.map(present::share::role_row),
        expires_at: patch.expires_at.into_option().map(|moment| moment.map(Into::into)),
    };
    state.ops.agree::<Answer>(&call, Command::Share(command)).await?;
    Ok(member(&state, &call, share, principal).await?)
}

/// Ends a membership. The owner's cannot be ended.
#[utoipa::path(delete, path = "/shares/{id}/members/{principal_id}", tag = "shares",
    responses((status = 204, description = "It is no member.")))]
async fn remove_member(
    State(state): State<ApiState>,
    Path((id, principal_id)): Path<(String, String)>,
    Asking(call): Asking,
) -> Result<Done, ApiError> {
    let share = path_id(&id, Noun::Share)?;
    let principal = member_in_path(&principal_id)?;
    let command = ShareCommand::RemoveMember { share, principal };
    state.ops.agree::<Answer>(&call, Command::Share(command)).await?;
    Ok(Done)
}

/// Users and groups that a share may be opened to.
#[utoipa::path(get, path = "/shares/search/principals", tag = "shares", params(PrincipalsQuery),
    responses((status = 200, description = "Who was found.", body = Principals)))]
async fn search_principals(
    State(state): State<ApiState>,
    Asking(call): Asking,
    Asks(query): Asks<PrincipalsQuery>,
) -> Result<Json<Principals>, ApiError> {
    let (_, limit) = bounds(query.limit.or(Some(FOUND_DEFAULT)), None, FOUND_MAX)?;
    let users = query.principal_type != Some(MemberType::Group);
    let groups = query.principal_type != Some(MemberType::User);
    let found = state
        .ops
        .ask(&call, move |tables, viewer| {
            let kinds = (users, groups);
            Ok(people::search_principals(tables, viewer, &query.q, kinds, limit)??)
        })
        .await?;
    let mut principals = Principals { users: Vec::new(), groups: Vec::new() };
    for found in found {
        match found {
            Found::User { id, email, display_name } => principals.users.push(FoundUser {
                id: id.to_string(),
                email: present::filled(&email),
                display_name: present::filled(&display_name),
            }),
            Found::Group { id, name } => {
                principals.groups.push(FoundGroup { id: id.to_string(), name });
            }
        }
    }
    Ok(Json(principals))
}
