//! Partners and tenants.

use node_base::{PartnerId, TenantId};

use super::field;
use crate::access;
use crate::apply::audit::{self, Draft};
use crate::apply::{Step, Stop};
use crate::caller::Caller;
use crate::command::TenantSettingsChange;
use crate::outcome::{Answer, Noun, Refusal};
use crate::table::audit::Category;
use crate::table::people::{Partner, Partners, Standing, Tenant, TenantSettings, Tenants};
use crate::table::{self};

/// The longest retention: a hundred years.
const RETENTION_DAYS_MAX: u64 = 36_500;
/// The largest file that can be allowed, and the largest quota: an exbibyte.
const BYTES_MAX: u64 = 1 << 60;

/// The names of a tenant to be made.
pub(crate) struct NewTenant<'a> {
    pub(crate) name: &'a str,
    pub(crate) display_name: &'a str,
}

pub(super) fn create_partner(
    step: &mut Step<'_>,
    name: &str,
    display_name: &str,
) -> Result<Answer, Stop> {
    if matches!(step.caller, Caller::User(_)) {
        access::require_partner_admin(step, None)?;
    }
    let partner = add_partner(step, name, display_name)?;
    record(step, "partner.created", partner, vec![("name", name.to_owned())])?;
    Ok(Answer::Partner(partner))
}

/// Makes a partner; whoever calls has checked that it may.
pub(crate) fn add_partner(
    step: &mut Step<'_>,
    name: &str,
    display_name: &str,
) -> Result<PartnerId, Stop> {
    field::display_name("name", name)?;
    field::display_name("display_name", display_name)?;
    let partners = table::all::<Partners>(step.reader(), &())?;
    if partners.iter().any(|(_, other)| field::folded(&other.name) == field::folded(name)) {
        return Err(Refusal::NameConflict { item: None }.into());
    }
    let partner = step.new_id();
    let row = Partner {
        name: name.to_owned(),
        display_name: display_name.to_owned(),
        standing: Standing::Active,
        created_at: step.now,
    };
    table::put::<Partners>(step.tables, &(partner,), &row)?;
    Ok(partner)
}

pub(super) fn update_partner(
    step: &mut Step<'_>,
    partner: PartnerId,
    display_name: Option<&str>,
    standing: Option<Standing>,
) -> Result<Answer, Stop> {
    if matches!(step.caller, Caller::User(_)) {
        access::require_partner_admin(step, None)?;
    }
    let row = table::get::<Partners>(step.reader(), &(partner,))?;
    let mut row = row.ok_or(Refusal::NotFound(Noun::Partner))?;
    access::require_row::<Partners>(step, &row)?;
    if let Some(display_name) = display_name {
        field::display_name("display_name", display_name)?;
        display_name.clone_into(&mut row.display_name);
    }
    row.standing = standing.unwrap_or(row.standing);
    table::put::<Partners>(step.tables, &(partner,), &row)?;
    record(step, "partner.updated", partner, standing_text(standing))?;
    Ok(Answer::Partner(partner))
}

pub(super) fn create_tenant(
    step: &mut Step<'_>,
    partner: PartnerId,
    names: &NewTenant<'_>,
) -> Result<Answer, Stop> {
    if matches!(step.caller, Caller::User(_)) {
        access::require_partner_admin(step, Some(partner))?;
    }
    if !table::has::<Partners>(step.reader(), &(partner,))? {
        return Err(Refusal::NotFound(Noun::Partner).into());
    }
    let tenant = add_tenant(step, partner, names)?;
    record(step, "tenant.created", tenant, vec![("name", names.name.to_owned())])?;
    Ok(Answer::Tenant(tenant))
}

/// Makes a tenant; whoever calls has checked that it may.
pub(crate) fn add_tenant(
    step: &mut Step<'_>,
    partner: PartnerId,
    names: &NewTenant<'_>,
) -> Result<TenantId, Stop> {
    field::display_name("name", names.name)?;
    field::display_name("display_name", names.display_name)?;
    let tenants = table::all::<Tenants>(step.reader(), &())?;
    if tenants.iter().any(|(_, other)| field::folded(&other.name) == field::folded(names.name)) {
        return Err(Refusal::NameConflict { item: None }.into());
    }
    let tenant = step.new_id();
    let row = Tenant {
        partner,
        name: names.name.to_owned(),
        display_name: names.display_name.to_owned(),
        standing: Standing::Active,
        created_at: step.now,
        settings: TenantSettings::default(),
    };
    table::put::<Tenants>(step.tables, &(tenant,), &row)?;
    Ok(tenant)
}

/// Names and settings are the tenant's administrators'; whether it may work is the partner's.
pub(super) fn update_tenant(
    step: &mut Step<'_>,
    tenant: TenantId,
    display_name: Option<&str>,
    standing: Option<Standing>,
    settings: Option<&TenantSettingsChange>,
) -> Result<Answer, Stop> {
    let row = table::get::<Tenants>(step.reader(), &(tenant,))?;
    let mut row = row.ok_or(Refusal::NotFound(Noun::Tenant))?;
    if let Caller::User(caller) = step.caller {
        if standing.is_some() || caller.tenant != tenant {
            let hidden = |_| Refusal::NotFound(Noun::Tenant);
            access::require_partner_admin(step, Some(row.partner)).map_err(|stop| match stop {
                Stop::Refused(refusal) if caller.tenant != tenant => hidden(refusal).into(),
                stop => stop,
            })?;
        } else {
            access::require_admin(step)?;
        }
    }
    access::require_row::<Tenants>(step, &row)?;
    if let Some(display_name) = display_name {
        field::display_name("display_name", display_name)?;
        display_name.clone_into(&mut row.display_name);
    }
    if let Some(change) = settings {
        row.settings = change.of(&row.settings);
        check_settings(&row.settings)?;
    }
    row.standing = standing.unwrap_or(row.standing);
    table::put::<Tenants>(step.tables, &(tenant,), &row)?;
    record_in(step, tenant, "tenant.updated", tenant, standing_text(standing))?;
    Ok(Answer::Tenant(tenant))
}

fn check_settings(settings: &TenantSettings) -> Result<(), Refusal> {
    field::within("max_file_size_bytes", settings.max_file_size_bytes, 1, BYTES_MAX)?;
    if let Some(bytes) = settings.default_share_quota_bytes {
        field::within("default_share_quota_bytes", bytes, 0, BYTES_MAX)?;
    }
    for (name, days) in [
        ("trash_retention_days", settings.trash_retention_days),
        ("version_retention_days", settings.version_retention_days),
    ] {
        field::within(name, u64::from(days), 0, RETENTION_DAYS_MAX)?;
    }
    match settings.max_versions {
        Some(0) => field::within("max_versions", 0, 1, u64::from(u32::MAX)),
        _ => Ok(()),
    }
}

fn standing_text(standing: Option<Standing>) -> Vec<(&'static str, String)> {
    let text = standing.map(|standing| match standing {
        Standing::Active => "active",
        Standing::Suspended => "suspended",
    });
    text.map(|text| ("status", text.to_owned())).into_iter().collect()
}

/// Records in the caller's own tenant; what a node does to partners has no chain to stand in.
fn record(
    step: &mut Step<'_>,
    action: &'static str,
    resource: impl ToString,
    payload: Vec<(&'static str, String)>,
) -> Result<(), Stop> {
    match step.caller {
        Caller::User(caller) => record_in(step, caller.tenant, action, resource, payload),
        Caller::Node(_) => Ok(()),
    }
}

fn record_in(
    step: &mut Step<'_>,
    tenant: TenantId,
    action: &'static str,
    resource: impl ToString,
    payload: Vec<(&'static str, String)>,
) -> Result<(), Stop> {
    audit::record(step, tenant, Draft::info(Category::Admin, action, resource, payload))
}
