//! Section 15: quotas and usage.

use api_ops::meta::access::Viewer;
use api_ops::meta::command::QuotaCommand;
use api_ops::meta::outcome::Noun;
use api_ops::meta::query::audit::{self, Counter, Subject};
use api_ops::meta::query::people::{self, UserFilter};
use api_ops::meta::query::{Denied, quota, share};
use api_ops::meta::table;
use api_ops::meta::table::people::AdminRole;
use api_ops::meta::table::quota::{LimitType, Quota as Row, QuotaTarget, Quotas};
use api_ops::meta::{Command, Reader, Refusal, Scope};
use api_ops::{Call, OpError};
use api_types::v1::PageQuery;
use api_types::v1::quotas::{
    ExemptQuota, LimitType as LimitName, PutQuota, Quota, Usage, UsageList, UsageQuery,
};
use axum::Json;
use axum::extract::{Path, State};
use node_base::{Permission, TenantId, limits};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::answer::{Done, Tagged};
use crate::error::ApiError;
use crate::extract::{Asked, Asking, Asks, bounds, path_id};
use crate::present;
use crate::state::ApiState;

pub(crate) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(get_tenant_quota, put_tenant_quota))
        .routes(routes!(get_partner_quota, put_partner_quota))
        .routes(routes!(get_quota, put_quota, remove_quota))
        .routes(routes!(exempt_quota))
        .routes(routes!(get_tenant_usage))
        .routes(routes!(list_user_usage))
        .routes(routes!(get_usage))
}

/// What an address names: the kind in the plural, and an id.
fn target_in_path(tenant: TenantId, kind: &str, id: &str) -> Result<QuotaTarget, ApiError> {
    match kind {
        "partners" => Ok(QuotaTarget::Partner(path_id(id, Noun::Partner)?)),
        "tenants" => Ok(QuotaTarget::Tenant(path_id(id, Noun::Tenant)?)),
        "groups" => Ok(QuotaTarget::Group(tenant, path_id(id, Noun::Group)?)),
        "users" => Ok(QuotaTarget::User(tenant, path_id(id, Noun::User)?)),
        "shares" => Ok(QuotaTarget::Share(tenant, path_id(id, Noun::Share)?)),
        _ => Err(ApiError::not_found(Noun::Quota)),
    }
}

/// Whether the viewer may know how much of a limit is used: whose it is, who manages it, and
/// administrators.
fn require_sight(tables: &dyn Reader, viewer: &Viewer, target: QuotaTarget) -> Result<(), Denied> {
    let administers = viewer.require_role(Scope::TenantAdmin, AdminRole::TenantAdmin);
    match target {
        QuotaTarget::Partner(partner) => {
            people::require_partner_admin(tables, viewer, Some(partner))??;
        }
        QuotaTarget::Tenant(tenant) if tenant == viewer.tenant() => administers?,
        QuotaTarget::Tenant(tenant) => {
            let row = people::tenant(tables, tenant)?.ok_or(Refusal::NotFound(Noun::Tenant))?;
            people::require_partner_admin(tables, viewer, Some(row.partner))?
                .map_err(|_| Refusal::NotFound(Noun::Tenant))?;
        }
        QuotaTarget::User(_, user) if user == viewer.user() => {}
        QuotaTarget::User(tenant, user) => {
            administers?;
            people::user(tables, tenant, user)?.ok_or(Refusal::NotFound(Noun::User))?;
        }
        QuotaTarget::Group(tenant, group) => {
            administers?;
            people::group(tables, tenant, group)?.ok_or(Refusal::NotFound(Noun::Group))?;
        }
        QuotaTarget::Share(_, id) => {
            let view = share::share(tables, viewer, id)?.ok_or(Refusal::NotFound(Noun::Share))?;
            if !view.mask.contains(Permission::Read) && administers.is_err() {
                return Err(Refusal::PermissionDenied.into());
            }
        }
    }
    Ok(())
}

/// A quota with its mark.
type Marked = (Row, u64);

async fn row(
    state: &ApiState,
    call: &Call,
    target: QuotaTarget,
) -> Result<Option<Marked>, OpError> {
    state
        .ops
        .ask(call, move |tables, viewer| {
            require_sight(tables, viewer, target)?;
            let Some(row) = quota::quota(tables, target)? else { return Ok(None) };
            let mark = table::mark::<Quotas>(&row)?;
            Ok(Some((row, mark)))
        })
        .await
}

async fn shown(
    state: &ApiState,
    call: &Call,
    target: QuotaTarget,
) -> Result<Tagged<Json<Quota>>, ApiError> {
    let row = row(state, call, target).await?;
    let (row, mark) = row.ok_or_else(|| ApiError::not_found(Noun::Quota))?;
    Ok(Tagged(mark, Json(present::quota::quota(call.caller.tenant, target, &row))))
}

async fn put(
    state: &ApiState,
    call: &Call,
    target: QuotaTarget,
    put: PutQuota,
) -> Result<Tagged<Json<Quota>>, ApiError> {
    let before = row(state, call, target).await?.map(|(row, _)| row);
    let limit = put.limit_bytes.into_option().unwrap_or(before.as_ref().map(|b| b.limit_bytes));
    let Some(limit_bytes) = limit else {
        let message = "is needed; a quota without a limit is removed by DELETE";
        return Err(ApiError::invalid("body", &["limit_bytes"], message));
    };
    let limit_type = put.limit_type.map(|kind| match kind {
        LimitName::Hard => LimitType::Hard,
        LimitName::Soft => LimitType::Soft,
    });
    let [first, second, third] = before.as_ref().map_or([70, 85, 95], |b| b.warning_thresholds);
    let days = before.as_ref().map_or(7, |before| before.grace_period_days);
    let percent = before.as_ref().map_or(10, |before| before.grace_extra_percent);
    let old_type = before.map_or(LimitType::Hard, |before| before.limit_type);
    let command = QuotaCommand::Set {
        target,
        limit_bytes,
        limit_type: limit_type.unwrap_or(old_type),
        warning_thresholds: [
            put.warning_threshold_1.unwrap_or(first),
            put.warning_threshold_2.unwrap_or(second),
            put.warning_threshold_3.unwrap_or(third),
        ],
        grace_period_days: put.grace_period_days.unwrap_or(days),
        grace_extra_percent: put.grace_extra_percent.unwrap_or(percent),
    };
    state.ops.agree::<()>(call, Command::Quota(command)).await?;
    shown(state, call, target).await
}

/// The limit of the caller's tenant.
#[utoipa::path(get, path = "/quotas/tenant", tag = "quotas",
    responses((status = 200, description = "The quota.", body = Quota)))]
async fn get_tenant_quota(
    State(state): State<ApiState>,
    Asking(call): Asking,
) -> Result<Tagged<Json<Quota>>, ApiError> {
    shown(&state, &call, QuotaTarget::Tenant(call.caller.tenant)).await
}

/// Sets the limit of the caller's tenant: for its partner.
#[utoipa::path(put, path = "/quotas/tenant", tag = "quotas", request_body = PutQuota,
    responses((status = 200, description = "The quota as it is now.", body = Quota)))]
async fn put_tenant_quota(
    State(state): State<ApiState>,
    Asked(call, body): Asked<PutQuota>,
) -> Result<Tagged<Json<Quota>>, ApiError> {
    put(&state, &call, QuotaTarget::Tenant(call.caller.tenant), body).await
}

async fn partner(state: &ApiState, call: &Call) -> Result<QuotaTarget, OpError> {
    let tenant = call.caller.tenant;
    state
        .ops
        .ask(call, move |tables, _| {
            let row = people::tenant(tables, tenant)?.ok_or(Refusal::NotFound(Noun::Tenant))?;
            Ok(QuotaTarget::Partner(row.partner))
        })
        .await
}

/// The limit of the caller's partner.
#[utoipa::path(get, path = "/quotas/partner", tag = "quotas",
    responses((status = 200, description = "The quota.", body = Quota)))]
async fn get_partner_quota(
    State(state): State<ApiState>,
    Asking(call): Asking,
) -> Result<Tagged<Json<Quota>>, ApiError> {
    shown(&state, &call, partner(&state, &call).await?).await
}

/// Sets the limit of the caller's partner: for the cluster's administrators.
#[utoipa::path(put, path = "/quotas/partner", tag = "quotas", request_body = PutQuota,
    responses((status = 200, description = "The quota as it is now.", body = Quota)))]
async fn put_partner_quota(
    State(state): State<ApiState>,
    Asked(call, body): Asked<PutQuota>,
) -> Result<Tagged<Json<Quota>>, ApiError> {
    let target = partner(&state, &call).await?;
    put(&state, &call, target, body).await
}

/// A limit. `target_type` is partners, tenants, groups, users or shares.
#[utoipa::path(get, path = "/quotas/{target_type}/{target_id}", tag = "quotas",
    responses((status = 200, description = "The quota.", body = Quota)))]
async fn get_quota(
    State(state): State<ApiState>,
    Path((kind, id)): Path<(String, String)>,
    Asking(call): Asking,
) -> Result<Tagged<Json<Quota>>, ApiError> {
    shown(&state, &call, target_in_path(call.caller.tenant, &kind, &id)?).await
}

/// Sets a limit.
#[utoipa::path(put, path = "/quotas/{target_type}/{target_id}", tag = "quotas",
    request_body = PutQuota,
    responses((status = 200, description = "The quota as it is now.", body = Quota)))]
async fn put_quota(
    State(state): State<ApiState>,
    Path((kind, id)): Path<(String, String)>,
    Asked(call, body): Asked<PutQuota>,
) -> Result<Tagged<Json<Quota>>, ApiError> {
    let target = target_in_path(call.caller.tenant, &kind, &id)?;
    put(&state, &call, target, body).await
}

/// Takes a limit away.
#[utoipa::path(delete, path = "/quotas/{target_type}/{target_id}", tag = "quotas",
    responses((status = 204, description = "There is no limit.")))]
async fn remove_quota(
    State(state): State<ApiState>,
    Path((kind, id)): Path<(String, String)>,
    Asking(call): Asking,
) -> Result<Done, ApiError> {
    let target = target_in_path(call.caller.tenant, &kind, &id)?;
    state.ops.agree::<()>(&call, Command::Quota(QuotaCommand::Remove { target })).await?;
    Ok(Done)
}

/// Leaves a limit out of account, or takes it into account again.
#[utoipa::path(post, path = "/quotas/{target_type}/{target_id}/exempt", tag = "quotas",
    request_body = ExemptQuota,
    responses((status = 200, description = "The quota as it is now.", body = Quota)))]
async fn exempt_quota(
    State(state): State<ApiState>,
    Path((kind, id)): Path<(String, String)>,
    Asked(call, body): Asked<ExemptQuota>,
) -> Result<Tagged<Json<Quota>>, ApiError> {
    let target = target_in_path(call.caller.tenant, &kind, &id)?;
    let (exempt, reason) = (body.exempt, body.exempt_reason);
    let command = QuotaCommand::SetExempt { target, exempt, reason };
    state.ops.agree::<()>(&call, Command::Quota(command)).await?;
    shown(&state, &call, target).await
}

/// How far the stored count of a target's bytes is off.
fn drift(tables: &dyn Reader, tenant: TenantId, target: QuotaTarget) -> Result<i64, Denied> {
    let subject = Subject::Usage(target, Counter::UsedBytes);
    let drifts = audit::recount(tables, tenant)?;
    let found = drifts.into_iter().find(|drift| drift.subject == subject);
    let difference = |stored: u64, counted: u64| {
        let difference = i128::from(stored) - i128::from(counted);
        i64::try_from(difference).unwrap_or(i64::MAX)
    };
    Ok(found.map_or(0, |drift| difference(drift.stored, drift.counted)))
}

async fn usage(
    state: &ApiState,
    call: &Call,
    target: QuotaTarget,
    query: UsageQuery,
) -> Result<Json<Usage>, ApiError> {
    let (used, drift, now) = state
        .ops
        .ask(call, move |tables, viewer| {
            require_sight(tables, viewer, target)?;
            let drift = if query.recalculate {
                viewer.require_role(Scope::TenantAdmin, AdminRole::TenantAdmin)?;
                Some(drift(tables, viewer.tenant(), target)?)
            } else {
                None
            };
            Ok((quota::usage(tables, target)?, drift, viewer.now()))
        })
        .await?;
    Ok(Json(present::quota::usage(target, used.usage, used.trash_bytes, now, drift)))
}

/// What the caller's tenant uses.
#[utoipa::path(get, path = "/quotas/usage/tenant", tag = "quotas", params(UsageQuery),
    responses((status = 200, description = "What counts.", body = Usage)))]
async fn get_tenant_usage(
    State(state): State<ApiState>,
    Asking(call): Asking,
    Asks(query): Asks<UsageQuery>,
) -> Result<Json<Usage>, ApiError> {
    usage(&state, &call, QuotaTarget::Tenant(call.caller.tenant), query).await
}

/// What each user of the tenant uses.
#[utoipa::path(get, path = "/quotas/usage/users", tag = "quotas", params(PageQuery),
    responses((status = 200, description = "A page of users.", body = UsageList)))]
async fn list_user_usage(
    State(state): State<ApiState>,
    Asking(call): Asking,
    Asks(query): Asks<PageQuery>,
) -> Result<Json<UsageList>, ApiError> {
    let (offset, limit) = bounds(query.limit, query.offset, limits::PAGE_MAX)?;
    let tenant = call.caller.tenant;
    let (users, total) = state
        .ops
        .ask(&call, move |tables, viewer| {
            viewer.require_role(Scope::TenantAdmin, AdminRole::TenantAdmin)?;
            let page = people::users(tables, tenant, &UserFilter::default(), offset, limit)?;
            let mut users = Vec::with_capacity(page.items.len());
            for (id, _) in page.items {
                let target = QuotaTarget::User(tenant, id);
                let used = quota::usage(tables, target)?;
                let now = viewer.now();
                let (row, trash) = (used.usage, used.trash_bytes);
                users.push(present::quota::usage(target, row, trash, now, None));
            }
            Ok((users, page.total))
        })
        .await?;
    Ok(Json(UsageList { users, total }))
}

/// What something uses. `target_type` is users, groups or shares.
#[utoipa::path(get, path = "/quotas/usage/{target_type}/{target_id}", tag = "quotas",
    params(UsageQuery),
    responses((status = 200, description = "What counts.", body = Usage)))]
async fn get_usage(
    State(state): State<ApiState>,
    Path((kind, id)): Path<(String, String)>,
    Asking(call): Asking,
    Asks(query): Asks<UsageQuery>,
) -> Result<Json<Usage>, ApiError> {
    let target = target_in_path(call.caller.tenant, &kind, &id)?;
    usage(&state, &call, target, query).await
}
