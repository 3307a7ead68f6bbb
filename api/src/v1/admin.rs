//! Section 4: partners and tenants.

use api_ops::meta::command::{People, TenantSettingsChange};
use api_ops::meta::outcome::Noun;
use api_ops::meta::query::{Denied, people};
use api_ops::meta::table;
use api_ops::meta::table::people::{AdminRole, Partners, Tenant as TenantRow, Tenants};
use api_ops::meta::{Command, Reader, Refusal, Scope};
use api_ops::{Call, OpError};
use api_types::v1::PageQuery;
use api_types::v1::admin::{PatchTenant, PatchTenantSettings, Tenant};
use api_types::v1::partners::{
    CreatePartner, CreateTenant, Partner, PartnerList, PatchPartner, TenantList,
};
use axum::Json;
use axum::extract::{Path, State};
use node_base::{PartnerId, TenantId, limits};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::answer::{CreatedAs, Tagged};
use crate::error::ApiError;
use crate::extract::{Asked, Asking, Asks, bounds, not_null, path_id};
use crate::present;
use crate::state::ApiState;

pub(crate) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(list_partners, create_partner))
        .routes(routes!(get_partner, update_partner))
        .routes(routes!(list_partner_tenants, create_partner_tenant))
        .routes(routes!(get_tenant, update_tenant))
}

/// All partners.
#[utoipa::path(get, path = "/admin/partners", tag = "tenancy", params(PageQuery),
    responses((status = 200, description = "A page of partners.", body = PartnerList)))]
async fn list_partners(
    State(state): State<ApiState>,
    Asking(call): Asking,
    Asks(query): Asks<PageQuery>,
) -> Result<Json<PartnerList>, ApiError> {
    let (offset, limit) = bounds(query.limit, query.offset, limits::PAGE_MAX)?;
    let page = state
        .ops
        .ask(&call, move |tables, viewer| {
            people::require_partner_admin(tables, viewer, None)??;
            Ok(people::partners(tables, offset, limit)?)
        })
        .await?;
    let partners = page.items.iter().map(|(id, row)| present::people::partner(*id, row));
    Ok(Json(PartnerList { partners: partners.collect(), total: page.total }))
}

async fn partner(
    state: &ApiState,
    call: &Call,
    id: PartnerId,
) -> Result<Tagged<Json<Partner>>, OpError> {
    state
        .ops
        .ask(call, move |tables, viewer| {
            people::require_partner_admin(tables, viewer, Some(id))??;
            let row = people::partner(tables, id)?.ok_or(Refusal::NotFound(Noun::Partner))?;
            let partner = present::people::partner(id, &row);
            Ok(Tagged(table::mark::<Partners>(&row)?, Json(partner)))
        })
        .await
}

/// Makes a partner.
#[utoipa::path(post, path = "/admin/partners", tag = "tenancy", request_body = CreatePartner,
    responses((status = 201, description = "It is made.", body = Partner)))]
async fn create_partner(
    State(state): State<ApiState>,
    Asked(call, new): Asked<CreatePartner>,
) -> Result<CreatedAs<Tagged<Json<Partner>>>, ApiError> {
    let display_name = new.display_name.unwrap_or_else(|| new.name.clone());
    let command = People::CreatePartner { name: new.name, display_name };
    let id = state.ops.agree(&call, Command::People(command)).await?;
    Ok(CreatedAs(partner(&state, &call, id).await?))
}

/// A partner.
#[utoipa::path(get, path = "/admin/partners/{id}", tag = "tenancy",
    responses((status = 200, description = "The partner.", body = Partner)))]
async fn get_partner(
    State(state): State<ApiState>,
    Path(id): Path<String>,
    Asking(call): Asking,
) -> Result<Tagged<Json<Partner>>, ApiError> {
    Ok(partner(&state, &call, path_id(&id, Noun::Partner)?).await?)
}

/// Changes a partner.
#[utoipa::path(patch, path = "/admin/partners/{id}", tag = "tenancy", request_body = PatchPartner,
    responses((status = 200, description = "The partner as it is now.", body = Partner)))]
async fn update_partner(
    State(state): State<ApiState>,
    Path(id): Path<String>,
    Asked(call, patch): Asked<PatchPartner>,
) -> Result<Tagged<Json<Partner>>, ApiError> {
    let command = People::UpdatePartner {
        partner: path_id(&id, Noun::Partner)?,
        display_name: not_null("display_name", patch.display_name)?,
        standing: not_null("status", patch.status)?.map(present::people::standing_row),
    };
    let id: PartnerId = state.ops.agree(&call, Command::People(command)).await?;
    Ok(partner(&state, &call, id).await?)
}

/// The tenants of a partner.
#[utoipa::path(get, path = "/admin/partners/{id}/tenants", tag = "tenancy", params(PageQuery),
    responses((status = 200, description = "A page of tenants.", body = TenantList)))]
async fn list_partner_tenants(
    State(state): State<ApiState>,
    Path(id): Path<String>,
    Asking(call): Asking,
    Asks(query): Asks<PageQuery>,
) -> Result<Json<TenantList>, ApiError> {
    let id: PartnerId = path_id(&id, Noun::Partner)?;
    let (offset, limit) = bounds(query.limit, query.offset, limits::PAGE_MAX)?;
    let page = state
        .ops
        .ask(&call, move |tables, viewer| {
            people::require_partner_admin(tables, viewer, Some(id))??;
            people::partner(tables, id)?.ok_or(Refusal::NotFound(Noun::Partner))?;
            Ok(people::tenants(tables, Some(id), offset, limit)?)
        })
        .await?;
    let tenants = page.items.iter().map(|(id, row)| present::people::tenant(*id, row));
    Ok(Json(TenantList { tenants: tenants.collect(), total: page.total }))
}

/// Makes a tenant of a partner.
#[utoipa::path(post, path = "/admin/partners/{id}/tenants", tag = "tenancy",
    request_body = CreateTenant,
    responses((status = 201, description = "It is made.", body = Tenant)))]
async fn create_partner_tenant(
    State(state): State<ApiState>,
    Path(id): Path<String>,
    Asked(call, new): Asked<CreateTenant>,
) -> Result<CreatedAs<Tagged<Json<Tenant>>>, ApiError> {
    let partner = path_id(&id, Noun::Partner)?;
    let display_name = new.display_name.unwrap_or_else(|| new.name.clone());
    let command = People::CreateTenant { partner, name: new.name, display_name };
    let id: TenantId = state.ops.agree(&call, Command::People(command)).await?;
    Ok(CreatedAs(tagged(id, row(&state, &call, id).await?)))
}

/// A tenant with its mark.
type Marked = (TenantRow, u64);

fn marked(tables: &dyn Reader, id: TenantId) -> Result<Marked, Denied> {
    let row = people::tenant(tables, id)?.ok_or(Refusal::NotFound(Noun::Tenant))?;
    let mark = table::mark::<Tenants>(&row)?;
    Ok((row, mark))
}

fn tagged(id: TenantId, (row, mark): Marked) -> Tagged<Json<Tenant>> {
    Tagged(mark, Json(present::people::tenant(id, &row)))
}

async fn row(state: &ApiState, call: &Call, id: TenantId) -> Result<Marked, OpError> {
    let question = move |tables: &dyn Reader, _: &_| marked(tables, id);
    state.ops.ask(call, question).await
}

/// The caller's tenant.
#[utoipa::path(get, path = "/admin/tenant", tag = "tenancy",
    responses((status = 200, description = "The tenant.", body = Tenant)))]
async fn get_tenant(
    State(state): State<ApiState>,
    Asking(call): Asking,
) -> Result<Tagged<Json<Tenant>>, ApiError> {
    let id = call.caller.tenant;
    Ok(tagged(id, administered(&state, &call).await?))
}

async fn administered(state: &ApiState, call: &Call) -> Result<Marked, OpError> {
    let id = call.caller.tenant;
    state
        .ops
        .ask(call, move |tables, viewer| {
            viewer.require_role(Scope::TenantAdmin, AdminRole::TenantAdmin)?;
            marked(tables, id)
        })
        .await
}

/// Changes the caller's tenant. Its name stays: others refer to it.
#[utoipa::path(patch, path = "/admin/tenant", tag = "tenancy", request_body = PatchTenant,
    responses((status = 200, description = "The tenant as it is now.", body = Tenant)))]
async fn update_tenant(
    State(state): State<ApiState>,
    Asked(call, patch): Asked<PatchTenant>,
) -> Result<Tagged<Json<Tenant>>, ApiError> {
    let id = call.caller.tenant;
    let (before, _) = administered(&state, &call).await?;
    let name = not_null("name", patch.name)?;
    if name.is_some_and(|name| name != before.name) {
        return Err(ApiError::invalid("body", &["name"], "cannot be changed"));
    }
    let settings = not_null("settings", patch.settings)?;
    let display_name = patch.display_name.into_option();
    let command = People::UpdateTenant {
        tenant: id,
        display_name: display_name.map(|name| name.unwrap_or(before.name)),
        standing: None,
        settings: settings.map(change).transpose()?,
    };
    state.ops.agree::<TenantId>(&call, Command::People(command)).await?;
    Ok(tagged(id, row(&state, &call, id).await?))
}

fn change(patch: PatchTenantSettings) -> Result<TenantSettingsChange, ApiError> {
    let scope = not_null("settings.dedup_scope", patch.dedup_scope)?;
    Ok(TenantSettingsChange {
        max_file_size_bytes: not_null("settings.max_file_size_bytes", patch.max_file_size_bytes)?,
        default_share_quota_bytes: patch.default_share_quota_bytes.into_option(),
        trash_retention_days: not_null(
            "settings.trash_retention_days",
            patch.trash_retention_days,
        )?,
        version_retention_days: not_null(
            "settings.version_retention_days",
            patch.version_retention_days,
        )?,
        max_versions: patch.max_versions.into_option(),
        vectorization_enabled: not_null(
            "settings.vectorization_enabled",
            patch.vectorization_enabled,
        )?,
        dedup_scope: scope.map(present::people::dedup_scope_row),
        external_sharing: not_null("settings.external_sharing", patch.external_sharing)?,
    })
}
