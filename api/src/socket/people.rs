//! People, tenants and partners, managed from the node itself.

use std::ops::ControlFlow;

use api_ops::OpError;
use api_ops::meta::command::{IdentityCommand, NewUser, People};
use api_ops::meta::outcome::Noun;
use api_ops::meta::table::cluster::Clusters;
use api_ops::meta::table::people::{
    Partners as PartnerRows, ProvisioningSource, Tenants as TenantRows, User, UserStatus,
    Users as UserRows, UsersByEmail,
};
use api_ops::meta::{Answer, Command, Reader, Refusal, TableError, table};
use api_types::v1::admin::{TenantStatus, UserStatus as StatusName};
use api_types::v1::users::AdminRole;
use axum::Json;
use axum::extract::State;
use node_base::{PartnerId, TenantId, UserId};
use serde::{Deserialize, Serialize};

use super::order::{TokenOrder, own};
use crate::error::ApiError;
use crate::extract::{Asks, Told};
use crate::issuer::password::{PasswordError, generate};
use crate::present;
use crate::state::ApiState;

/// A user, in a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    pub id: String,
    pub tenant_id: String,
    pub email: String,
    pub display_name: String,
    pub status: StatusName,
    pub admin_role: Option<AdminRole>,
}

/// Users of a tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Users {
    pub users: Vec<Person>,
}

/// A user to be made for the built-in issuer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NewPerson {
    pub email: String,
    /// Absent: the address.
    pub name: Option<String>,
    pub tenant: Option<String>,
    pub admin_role: Option<AdminRole>,
    /// Absent: one is made up, and told in the answer.
    pub password: Option<String>,
}

/// A user that was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MadePerson {
    pub id: String,
    pub tenant_id: String,
    /// The one that was made up; nothing when one was given.
    pub password: Option<String>,
}

/// A password for a user.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NewPassword {
    pub user: String,
    pub tenant: Option<String>,
    /// Absent: one is made up, and told in the answer.
    pub password: Option<String>,
}

/// A password that was set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetPassword {
    pub password: Option<String>,
}

/// A stored role for a user; nothing takes it away.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NewRole {
    pub user: String,
    pub tenant: Option<String>,
    pub admin_role: Option<AdminRole>,
}

/// A tenant, in a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TenantLine {
    pub id: String,
    pub partner_id: String,
    pub name: String,
    pub display_name: String,
    pub status: TenantStatus,
}

/// All tenants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tenants {
    pub tenants: Vec<TenantLine>,
}

/// A tenant to be made.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NewTenant {
    pub name: String,
    pub display_name: Option<String>,
    /// Absent: the partner of the tenant made at the first start.
    pub partner: Option<String>,
}

/// A partner, in a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartnerLine {
    pub id: String,
    pub name: String,
    pub display_name: String,
    pub status: TenantStatus,
}

/// All partners.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Partners {
    pub partners: Vec<PartnerLine>,
}

/// A partner to be made.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NewPartner {
    pub name: String,
    pub display_name: Option<String>,
}

/// Something that was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Made {
    pub id: String,
}

/// A user with its tenant.
pub(super) struct Found {
    pub(super) tenant: TenantId,
    pub(super) id: UserId,
    pub(super) row: User,
}

impl Found {
    fn line(&self) -> Person {
        Person {
            id: self.id.to_string(),
            tenant_id: self.tenant.to_string(),
            email: self.row.email.clone(),
            display_name: self.row.display_name.clone(),
            status: present::people::user_status(self.row.status),
            admin_role: self.row.admin_role.map(present::people::admin_role),
        }
    }
}

/// The tenant of this id or name; without one, that of the first start.
fn tenant_of(tables: &dyn Reader, named: Option<&str>) -> Result<Option<TenantId>, TableError> {
    let Some(named) = named else {
        return Ok(table::get::<Clusters>(tables, &())?.and_then(|cluster| cluster.first_tenant));
    };
    let mut found = None;
    table::scan::<TenantRows>(tables, &(), &mut |(id,), row| {
        if id.to_string() == named || row.name.to_lowercase() == named.to_lowercase() {
            found = Some(id);
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    })?;
    Ok(found)
}

/// A user of a tenant, by address or id, unless it was deleted.
fn user_of(
    tables: &dyn Reader,
    tenant: TenantId,
    named: &str,
) -> Result<Option<Found>, TableError> {
    let id = match named.parse::<UserId>() {
        Ok(id) => Some(id),
        Err(_) => table::get::<UsersByEmail>(tables, &(tenant, named.trim().to_lowercase()))?,
    };
    let Some(id) = id else { return Ok(None) };
    let row = table::get::<UserRows>(tables, &(tenant, id))?;
    let live = row.filter(|row| row.status != UserStatus::Deleted);
    Ok(live.map(|row| Found { tenant, id, row }))
}

async fn tenant(state: &ApiState, named: Option<String>) -> Result<TenantId, ApiError> {
    let found = state.ops.look_now(move |tables| tenant_of(tables, named.as_deref())).await?;
    found.ok_or_else(|| ApiError::not_found(Noun::Tenant))
}

async fn find(state: &ApiState, tenant: TenantId, named: &str) -> Result<Option<Found>, OpError> {
    let named = named.to_owned();
    state.ops.look_now(move |tables| user_of(tables, tenant, &named)).await
}

async fn find_named(
    state: &ApiState,
    in_tenant: Option<String>,
    named: &str,
) -> Result<Found, ApiError> {
    let tenant = tenant(state, in_tenant).await?;
    let found = find(state, tenant, named).await?;
    found.ok_or_else(|| ApiError::not_found(Noun::User))
}

/// Whom a token is ordered for, and whether it was made for that.
pub(super) async fn find_or_create(
    state: &ApiState,
    order: &TokenOrder,
) -> Result<(Found, bool), ApiError> {
    let tenant = tenant(state, order.tenant.clone()).await?;
    if let Some(found) = find(state, tenant, &order.user).await? {
        return Ok((found, false));
    }
    if !order.create {
        return Err(ApiError::not_found(Noun::User));
    }
    let made = create(state, tenant, &order.user, &order.user, None, None).await;
    let created = match made {
        Ok(_) => true,
        // Somebody else was quicker.
        Err(OpError::Refused(Refusal::AlreadyExists)) => false,
        Err(error) => return Err(error.into()),
    };
    let found = find(state, tenant, &order.user).await?;
    found.map(|found| (found, created)).ok_or_else(|| ApiError::not_found(Noun::User))
}

async fn create(
    state: &ApiState,
    tenant: TenantId,
    email: &str,
    name: &str,
    admin_role: Option<AdminRole>,
    password: Option<String>,
) -> Result<UserId, OpError> {
    let new = NewUser {
        tenant,
        email: email.trim().to_owned(),
        name: name.to_owned(),
        display_name: name.to_owned(),
        admin_role: admin_role.map(present::people::admin_role_row),
        source: ProvisioningSource::BuiltIn,
        is_service_account: false,
        subject: None,
        password,
    };
    match state.ops.agree_as_node(Command::People(People::CreateUser(new))).await? {
        Answer::User { user, .. } => Ok(user),
        _ => Err(OpError::Unknown),
    }
}

/// A password as it is stored, and what was made up where none was given.
async fn chosen(
    state: &ApiState,
    given: Option<String>,
) -> Result<(String, Option<String>), ApiError> {
    let issuer = own(state)?;
    let made_up = given.is_none().then(|| generate(&state.ops));
    let text = given.as_ref().or(made_up.as_ref()).map_or("", String::as_str);
    let refused =
        |error: PasswordError| ApiError::invalid("body", &["password"], error.to_string());
    let phc = issuer.hash_chosen(&state.ops, text).await.map_err(refused)?;
    Ok((phc, made_up))
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct InTenant {
    tenant: Option<String>,
}

pub(super) async fn list_users(
    State(state): State<ApiState>,
    Asks(query): Asks<InTenant>,
) -> Result<Json<Users>, ApiError> {
    let tenant = tenant(&state, query.tenant).await?;
    let list = move |tables: &dyn Reader| {
        let mut users = Vec::new();
        table::scan::<UserRows>(tables, &(tenant,), &mut |(_, id), row| {
            if row.status != UserStatus::Deleted {
                users.push(Found { tenant, id, row }.line());
            }
            ControlFlow::Continue(())
        })?;
        Ok(users)
    };
    Ok(Json(Users { users: state.ops.look_now(list).await? }))
}

pub(super) async fn add_user(
    State(state): State<ApiState>,
    Told(new): Told<NewPerson>,
) -> Result<Json<MadePerson>, ApiError> {
    let tenant = tenant(&state, new.tenant).await?;
    let (phc, password) = chosen(&state, new.password).await?;
    let name = new.name.unwrap_or_else(|| new.email.clone());
    let id = create(&state, tenant, &new.email, &name, new.admin_role, Some(phc)).await?;
    Ok(Json(MadePerson { id: id.to_string(), tenant_id: tenant.to_string(), password }))
}

pub(super) async fn set_password(
    State(state): State<ApiState>,
    Told(new): Told<NewPassword>,
) -> Result<Json<SetPassword>, ApiError> {
    let found = find_named(&state, new.tenant, &new.user).await?;
    let (phc, password) = chosen(&state, new.password).await?;
    let set = IdentityCommand::SetPassword { tenant: found.tenant, user: found.id, phc };
    state.ops.agree_as_node::<()>(Command::Identity(set)).await?;
    Ok(Json(SetPassword { password }))
}

pub(super) async fn set_role(
    State(state): State<ApiState>,
    Told(new): Told<NewRole>,
) -> Result<Json<Person>, ApiError> {
    let found = find_named(&state, new.tenant, &new.user).await?;
    let update = People::UpdateUser {
        user: found.id,
        display_name: None,
        email: None,
        admin_role: Some(new.admin_role.map(present::people::admin_role_row)),
    };
    state.ops.agree_as_node::<Answer>(Command::People(update)).await?;
    let id = found.id.to_string();
    let again = find(&state, found.tenant, &id).await?;
    Ok(Json(again.ok_or_else(|| ApiError::not_found(Noun::User))?.line()))
}

pub(super) async fn list_tenants(State(state): State<ApiState>) -> Result<Json<Tenants>, ApiError> {
    let list = |tables: &dyn Reader| table::all::<TenantRows>(tables, &());
    let tenants = state.ops.look_now(list).await?.into_iter().map(|((id,), row)| TenantLine {
        id: id.to_string(),
        partner_id: row.partner.to_string(),
        name: row.name,
        display_name: row.display_name,
        status: present::people::standing(row.standing),
    });
    Ok(Json(Tenants { tenants: tenants.collect() }))
}

pub(super) async fn add_tenant(
    State(state): State<ApiState>,
    Told(new): Told<NewTenant>,
) -> Result<Json<Made>, ApiError> {
    let partner = partner(&state, new.partner).await?;
    let display_name = new.display_name.unwrap_or_else(|| new.name.clone());
    let create = People::CreateTenant { partner, name: new.name, display_name };
    let id: TenantId = state.ops.agree_as_node(Command::People(create)).await?;
    Ok(Json(Made { id: id.to_string() }))
}

async fn partner(state: &ApiState, named: Option<String>) -> Result<PartnerId, ApiError> {
    let look = move |tables: &dyn Reader| {
        let Some(named) = named else {
            let first = tenant_of(tables, None)?;
            let row = first.map(|first| table::get::<TenantRows>(tables, &(first,))).transpose()?;
            return Ok(row.flatten().map(|row| row.partner));
        };
        let all = table::all::<PartnerRows>(tables, &())?;
        let same = |row: &str| row.to_lowercase() == named.to_lowercase();
        let found = all.into_iter().find(|((id,), row)| id.to_string() == named || same(&row.name));
        Ok(found.map(|((id,), _)| id))
    };
    let found = state.ops.look_now(look).await?;
    found.ok_or_else(|| ApiError::not_found(Noun::Partner))
}

pub(super) async fn list_partners(
    State(state): State<ApiState>,
) -> Result<Json<Partners>, ApiError> {
    let list = |tables: &dyn Reader| table::all::<PartnerRows>(tables, &());
    let partners = state.ops.look_now(list).await?.into_iter().map(|((id,), row)| PartnerLine {
        id: id.to_string(),
        name: row.name,
        display_name: row.display_name,
        status: present::people::standing(row.standing),
    });
    Ok(Json(Partners { partners: partners.collect() }))
}

pub(super) async fn add_partner(
    State(state): State<ApiState>,
    Told(new): Told<NewPartner>,
) -> Result<Json<Made>, ApiError> {
    let display_name = new.display_name.unwrap_or_else(|| new.name.clone());
    let create = People::CreatePartner { name: new.name, display_name };
    let id: PartnerId = state.ops.agree_as_node(Command::People(create)).await?;
    Ok(Json(Made { id: id.to_string() }))
}
