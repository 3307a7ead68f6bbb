//! Section 3: what a signed-in user sees of itself.

use api_ops::meta::command::{People, ShareCommand};
use api_ops::meta::outcome::{ItemView, Noun};
use api_ops::meta::query::{item, people, quota, recent, share};
use api_ops::meta::table::acl::Target;
use api_ops::meta::table::quota::QuotaTarget;
use api_ops::meta::{Command, Refusal, Scope};
use api_types::Time;
use api_types::v1::shares::RoleName;
use api_types::v1::users::{
    Favorite, FavoriteList, FavoriteRequest, Me, MyGroup, MyInvitation, MyInvitations, MyQuota,
    MyShare, MyShares, MyStats, ShareStats,
};
use api_types::v1::{Item, ItemList, PageQuery};
use axum::Json;
use axum::extract::{Path, State};
use node_base::{InvitationId, TenantId, limits};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::answer::{Done, Tagged};
use crate::error::ApiError;
use crate::extract::{Asked, Asking, Asks, bounds, part, path_id};
use crate::present;
use crate::state::ApiState;
use crate::v1::permissions::target_of;

/// How many recent files are shown.
const RECENT: usize = 100;

pub(crate) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(get_me))
        .routes(routes!(list_my_shares))
        .routes(routes!(list_my_shared_items))
        .routes(routes!(get_my_quota))
        .routes(routes!(get_my_stats))
        .routes(routes!(list_my_recent))
        .routes(routes!(list_my_favorites, add_my_favorite, remove_my_favorite))
        .routes(routes!(list_my_invitations))
        .routes(routes!(accept_my_invitation))
        .routes(routes!(decline_my_invitation))
}

/// The caller.
#[utoipa::path(get, path = "/users/me", tag = "users",
    responses((status = 200, description = "Who the token speaks of.", body = Me)))]
async fn get_me(
    State(state): State<ApiState>,
    Asking(call): Asking,
) -> Result<Tagged<Json<Me>>, ApiError> {
    let (tenant, id, scopes) = (call.caller.tenant, call.caller.user, call.caller.scopes);
    let (user, home, groups) = state
        .ops
        .ask(&call, move |tables, _| {
            let user = people::user(tables, tenant, id)?.ok_or(Refusal::NotFound(Noun::User))?;
            let home = people::tenant(tables, tenant)?.ok_or(Refusal::NotFound(Noun::Tenant))?;
            Ok((user, home, people::groups_of(tables, tenant, id)?))
        })
        .await?;
    let groups = groups.into_iter();
    let groups = groups.map(|(id, row)| MyGroup { id: id.to_string(), name: row.name });
    Ok(Tagged(
        user.revision,
        Json(Me {
            id: id.to_string(),
            email: present::filled(&user.email),
            name: present::filled(&user.name),
            display_name: present::filled(&user.display_name),
            tenant_id: tenant.to_string(),
            partner_id: home.partner.to_string(),
            groups: groups.collect(),
            scopes: scopes.iter().map(Scope::name).map(str::to_owned).collect(),
            is_admin: user.admin_role.is_some(),
            admin_role: user.admin_role.map(present::people::admin_role),
        }),
    ))
}

/// The shares the caller is a member of, directly and by groups.
#[utoipa::path(get, path = "/users/me/shares", tag = "users", params(PageQuery),
    responses((status = 200, description = "A page of shares.", body = MyShares)))]
async fn list_my_shares(
    State(state): State<ApiState>,
    Asking(call): Asking,
    Asks(query): Asks<PageQuery>,
) -> Result<Json<MyShares>, ApiError> {
    let bounds = bounds(query.limit, query.offset, limits::PAGE_MAX)?;
    let views =
        state.ops.ask(&call, |tables, viewer| Ok(share::memberships(tables, viewer)?)).await?;
    let (views, total) = part(views, bounds);
    Ok(Json(MyShares { shares: views.into_iter().map(my_share).collect(), total }))
}

fn my_share(view: share::ShareView) -> MyShare {
    MyShare {
        id: view.id.to_string(),
        share_type: present::share::share_type(view.share.kind),
        role: view.role.map_or(RoleName::Reader, present::share::role),
        owner_id: present::people::principal_id(view.share.owner),
        quota_bytes: view.quota_bytes,
        used_bytes: view.used_bytes,
        created_at: Time(view.share.created_at),
        no_access: view.mask.is_empty(),
        name: view.share.name,
    }
}

fn item_list(tenant: TenantId, views: &[ItemView], total: u64) -> ItemList {
    let items = views.iter().filter_map(|view| present::item(tenant, view)).collect();
    ItemList { items, total }
}

/// The topmost items that the caller may read below something closed.
#[utoipa::path(get, path = "/users/me/shared-items", tag = "users", params(PageQuery),
    responses((status = 200, description = "A page of items.", body = ItemList)))]
async fn list_my_shared_items(
    State(state): State<ApiState>,
    Asking(call): Asking,
    Asks(query): Asks<PageQuery>,
) -> Result<Json<ItemList>, ApiError> {
    let (offset, limit) = bounds(query.limit, query.offset, limits::PAGE_MAX)?;
    let (views, total) = state
        .ops
        .ask(&call, move |tables, viewer| {
            let page = share::shared_items(tables, viewer, offset, limit)?;
            let mut views = Vec::with_capacity(page.items.len());
            for id in page.items {
                views.push(item::get(tables, viewer, id)?);
            }
            Ok((views, page.total))
        })
        .await?;
    Ok(Json(item_list(call.caller.tenant, &views, total)))
}

/// What the caller uses, and may use.
#[utoipa::path(get, path = "/users/me/quota", tag = "users",
    responses((status = 200, description = "Bytes.", body = MyQuota)))]
async fn get_my_quota(
    State(state): State<ApiState>,
    Asking(call): Asking,
) -> Result<Json<MyQuota>, ApiError> {
    let target = QuotaTarget::User(call.caller.tenant, call.caller.user);
    let (used, limit) = state
        .ops
        .ask(&call, move |tables, _| {
            Ok((quota::counted(tables, target)?.used_bytes, quota::quota(tables, target)?))
        })
        .await?;
    let quota_bytes = limit.filter(|limit| !limit.exempt).map(|limit| limit.limit_bytes);
    let percent = |limit: u64| 100.0 * used as f64 / limit as f64;
    Ok(Json(MyQuota {
        user_id: call.caller.user.to_string(),
        used_bytes: used,
        quota_bytes,
        percent_used: quota_bytes.filter(|limit| *limit > 0).map(percent),
    }))
}

/// What the caller's shares hold.
#[utoipa::path(get, path = "/users/me/stats", tag = "users",
    responses((status = 200, description = "For each share, and in all.", body = MyStats)))]
async fn get_my_stats(
    State(state): State<ApiState>,
    Asking(call): Asking,
) -> Result<Json<MyStats>, ApiError> {
    let shares = state
        .ops
        .ask(&call, |tables, viewer| {
            let mut shares = Vec::new();
            for view in share::memberships(tables, viewer)? {
                if view.mask.contains(node_base::Permission::Read) {
                    let stats = recent::stats(tables, viewer, view.id)?;
                    shares.push((view, stats));
                }
            }
            Ok(shares)
        })
        .await?;
    let shares: Vec<ShareStats> = shares
        .into_iter()
        .map(|(view, stats)| ShareStats {
            share_id: view.id.to_string(),
            share_name: view.share.name,
            file_count: stats.usage.file_count,
            folder_count: stats.usage.folder_count,
            used_bytes: stats.usage.used_bytes,
            trash_bytes: stats.trash_bytes,
            version_bytes: stats.usage.version_bytes,
        })
        .collect();
    let sum = |of: fn(&ShareStats) -> u64| shares.iter().map(of).sum();
    Ok(Json(MyStats {
        total_file_count: sum(|share| share.file_count),
        total_folder_count: sum(|share| share.folder_count),
        total_used_bytes: sum(|share| share.used_bytes),
        total_trash_bytes: sum(|share| share.trash_bytes),
        total_version_bytes: sum(|share| share.version_bytes),
        shares,
    }))
}

/// The files that the caller made or changed last.
#[utoipa::path(get, path = "/users/me/recent", tag = "users", params(PageQuery),
    responses((status = 200, description = "The latest first, 100 in all.", body = ItemList)))]
async fn list_my_recent(
    State(state): State<ApiState>,
    Asking(call): Asking,
    Asks(query): Asks<PageQuery>,
) -> Result<Json<ItemList>, ApiError> {
    let bounds = bounds(query.limit, query.offset, limits::PAGE_MAX)?;
    let views =
        state.ops.ask(&call, |tables, viewer| Ok(recent::list(tables, viewer, RECENT)?)).await?;
    let (views, total) = part(views, bounds);
    Ok(Json(item_list(call.caller.tenant, &views, total)))
}

/// The caller's favourites.
#[utoipa::path(get, path = "/users/me/favorites", tag = "users", params(PageQuery),
    responses((status = 200, description = "The newest first.", body = FavoriteList)))]
async fn list_my_favorites(
    State(state): State<ApiState>,
    Asking(call): Asking,
    Asks(query): Asks<PageQuery>,
) -> Result<Json<FavoriteList>, ApiError> {
    let bounds = bounds(query.limit, query.offset, limits::PAGE_MAX)?;
    let tenant = call.caller.tenant;
    let (favorites, total) = state
        .ops
        .ask(&call, move |tables, viewer| {
            let (found, total) = part(people::favorites(tables, viewer)?, bounds);
            let mut favorites = Vec::with_capacity(found.len());
            for (target, at) in found {
                let (resource_type, resource_id) = present::permission::target(target);
                let (name, share_id, item) = match target {
                    Target::Share(id) => {
                        let view = share::share(tables, viewer, id)?;
                        let name = view.map(|view| view.share.name).unwrap_or_default();
                        (name, id.to_string(), None)
                    }
                    Target::Item(id) => {
                        let view = item::get(tables, viewer, id)?;
                        let Some(item) = present::item(tenant, &view) else { continue };
                        (item.name().to_owned(), share_of(&item).to_owned(), Some(item))
                    }
                };
                let created_at = Time(at);
                let favorite =
                    Favorite { resource_type, resource_id, name, share_id, item, created_at };
                favorites.push(favorite);
            }
            Ok((favorites, total))
        })
        .await?;
    Ok(Json(FavoriteList { favorites, total }))
}

fn share_of(item: &Item) -> &str {
    match item {
        Item::File(file) => &file.share_id,
        Item::Folder(folder) => &folder.share_id,
    }
}

async fn set_favorite(
    state: &ApiState,
    call: &api_ops::Call,
    request: &FavoriteRequest,
    favorite: bool,
) -> Result<Done, ApiError> {
    let target = target_of("body", request.resource_type, &request.resource_id)?;
    let command = People::SetFavorite { target, favorite };
    state.ops.agree::<()>(call, Command::People(command)).await?;
    Ok(Done)
}

/// Marks something to be found again.
#[utoipa::path(post, path = "/users/me/favorites", tag = "users", request_body = FavoriteRequest,
    responses((status = 204, description = "It is marked.")))]
async fn add_my_favorite(
    State(state): State<ApiState>,
    Asked(call, request): Asked<FavoriteRequest>,
) -> Result<Done, ApiError> {
    set_favorite(&state, &call, &request, true).await
}

/// Takes a mark away.
#[utoipa::path(delete, path = "/users/me/favorites", tag = "users",
    request_body = FavoriteRequest,
    responses((status = 204, description = "It is not marked.")))]
async fn remove_my_favorite(
    State(state): State<ApiState>,
    Asked(call, request): Asked<FavoriteRequest>,
) -> Result<Done, ApiError> {
    set_favorite(&state, &call, &request, false).await
}

/// Invitations to the caller's address that wait for an answer.
#[utoipa::path(get, path = "/users/me/invitations", tag = "users", params(PageQuery),
    responses((status = 200, description = "A page of invitations.", body = MyInvitations)))]
async fn list_my_invitations(
    State(state): State<ApiState>,
    Asking(call): Asking,
    Asks(query): Asks<PageQuery>,
) -> Result<Json<MyInvitations>, ApiError> {
    let bounds = bounds(query.limit, query.offset, limits::PAGE_MAX)?;
    let (rows, now) = state
        .ops
        .ask(&call, |tables, viewer| Ok((share::my_invitations(tables, viewer)?, viewer.now())))
        .await?;
    let (rows, total) = part(rows, bounds);
    let invitations = rows
        .into_iter()
        .map(|row| MyInvitation {
            id: row.id.to_string(),
            share_id: row.share.to_string(),
            share_name: row.share_name,
            role: present::share::role(row.invitation.role),
            status: present::share::invitation_status(&row.invitation, now),
            message: row.invitation.message,
            invited_by: row.invitation.invited_by.to_string(),
            created_at: Time(row.invitation.created_at),
            expires_at: Some(Time(row.invitation.expires_at)),
        })
        .collect();
    Ok(Json(MyInvitations { invitations, total }))
}

async fn answer_invitation(
    state: &ApiState,
    call: &api_ops::Call,
    id: &str,
    accept: bool,
) -> Result<Done, ApiError> {
    let invitation: InvitationId = path_id(id, Noun::Invitation)?;
    let command = ShareCommand::AnswerInvitation { invitation, accept };
    state.ops.agree::<api_ops::meta::Answer>(call, Command::Share(command)).await?;
    Ok(Done)
}

/// Accepts an invitation: the caller becomes a member.
#[utoipa::path(post, path = "/users/me/invitations/{id}/accept", tag = "users",
    responses((status = 204, description = "The caller is a member now.")))]
async fn accept_my_invitation(
    State(state): State<ApiState>,
    Path(id): Path<String>,
    Asking(call): Asking,
) -> Result<Done, ApiError> {
    answer_invitation(&state, &call, &id, true).await
}

/// Declines an invitation.
#[utoipa::path(post, path = "/users/me/invitations/{id}/decline", tag = "users",
    responses((status = 204, description = "It is declined.")))]
async fn decline_my_invitation(
    State(state): State<ApiState>,
    Path(id): Path<String>,
    Asking(call): Asking,
) -> Result<Done, ApiError> {
    answer_invitation(&state, &call, &id, false).await
}
