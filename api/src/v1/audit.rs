//! Section 19: the audit trail.

use api_ops::meta::Scope;
use api_ops::meta::query::audit_log::{self, EventFilter};
use api_ops::meta::table::people::AdminRole;
use api_types::v1::audit::{EventList, EventsQuery};
use axum::Json;
use axum::extract::State;
use node_base::limits;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::error::ApiError;
use crate::extract::{Asking, Asks, bounds, id};
use crate::present;
use crate::state::ApiState;

pub(crate) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(list_audit_events))
}

/// The events of the tenant, newest first.
#[utoipa::path(get, path = "/enterprise/audit/events", tag = "audit", params(EventsQuery),
    responses((status = 200, description = "A page of events.", body = EventList)))]
async fn list_audit_events(
    State(state): State<ApiState>,
    Asking(call): Asking,
    Asks(query): Asks<EventsQuery>,
) -> Result<Json<EventList>, ApiError> {
    let (offset, limit) = bounds(query.limit, query.offset, limits::PAGE_MAX)?;
    let user = query.user_id.as_deref().map(|user| id("query", "user_id", user)).transpose()?;
    let filter = EventFilter {
        category: query.category.map(present::audit::category_row),
        severity: query.severity.map(present::audit::severity_row),
        action: query.action,
        user,
        resource: query.resource_id,
        from: query.from.map(Into::into),
        to: query.to.map(Into::into),
    };
    let tenant = call.caller.tenant;
    let page = state
        .ops
        .ask(&call, move |tables, viewer| {
            viewer.require_role(Scope::TenantAdmin, AdminRole::TenantAdmin)?;
            Ok(audit_log::events(tables, tenant, &filter, offset, limit)?)
        })
        .await?;
    let events = page.items.into_iter();
    let events = events.map(|(number, row)| present::audit::event(tenant, number, row));
    Ok(Json(EventList { events: events.collect(), total: page.total }))
}
