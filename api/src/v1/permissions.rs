//! Section 6: permissions and the lists that give them.

use api_ops::meta::command::{EntryFilter, PermissionCommand};
use api_ops::meta::query::people;
use api_ops::meta::query::permission::{self, EntryView};
use api_ops::meta::table::acl::{Target, Trustee};
use api_ops::meta::table::item::ItemId;
use api_ops::meta::table::people::Principal;
use api_ops::meta::{Answer, Command};
use api_ops::{Call, OpError};
use api_types::v1::ResourceType;
use api_types::v1::permissions::{
    Acl, AclEntry, AddAclEntry, AppliesTo, Check, CheckBatch, CheckResult, CheckResults, Checked,
    Effective, EffectiveQuery, PrincipalType, RemoveAclEntry, SetInheritance, TransferOwnership,
};
use axum::Json;
use axum::extract::{Path, State};
use node_base::{AceId, PermissionSet, UserId};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::answer::{CreatedAs, Done};
use crate::error::ApiError;
use crate::extract::{Asked, Asking, Asks, id as text_id};
use crate::present;
use crate::state::ApiState;

/// Questions in one batch.
const CHECKS_MAX: usize = 100;

pub(crate) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(check_permission, post_check_permission))
        .routes(routes!(check_permissions))
        .routes(routes!(get_effective_permissions))
        .routes(routes!(get_acl, add_acl_entry, remove_acl_entries))
        .routes(routes!(set_inheritance))
        .routes(routes!(transfer_ownership))
}

/// What a kind and an id name.
pub(crate) fn target_of(place: &str, kind: ResourceType, id: &str) -> Result<Target, ApiError> {
    Ok(match kind {
        ResourceType::Share => Target::Share(text_id(place, "resource_id", id)?),
        ResourceType::Folder => Target::Item(ItemId::Folder(text_id(place, "resource_id", id)?)),
        ResourceType::File => Target::Item(ItemId::File(text_id(place, "resource_id", id)?)),
    })
}

/// The same in a path, where what cannot be is simply not there.
fn target_in_path(kind: &str, id: &str) -> Result<Target, ApiError> {
    use api_ops::meta::outcome::Noun;
    let (noun, kind) = match kind {
        "share" => (Noun::Share, ResourceType::Share),
        "folder" => (Noun::Folder, ResourceType::Folder),
        "file" => (Noun::File, ResourceType::File),
        _ => {
            let message = "must be file, folder or share";
            return Err(ApiError::invalid("path", &["resource_type"], message));
        }
    };
    target_of("path", kind, id).map_err(|_| ApiError::not_found(noun))
}

async fn checked(
    state: &ApiState,
    call: &Call,
    place: &str,
    check: &Check,
) -> Result<Json<Checked>, ApiError> {
    let target = target_of(place, check.resource_type, &check.resource_id)?;
    let wanted = present::permission::permission_row(check.permission);
    let allowed = state
        .ops
        .ask(call, move |tables, viewer| Ok(permission::check(tables, viewer, target, wanted)??))
        .await?;
    Ok(Json(Checked { allowed }))
}

/// Whether the caller has a permission on something.
#[utoipa::path(get, path = "/permissions/check", tag = "permissions", params(Check),
    responses((status = 200, description = "Yes or no.", body = Checked)))]
async fn check_permission(
    State(state): State<ApiState>,
    Asking(call): Asking,
    Asks(check): Asks<Check>,
) -> Result<Json<Checked>, ApiError> {
    checked(&state, &call, "query", &check).await
}

/// Whether the caller has a permission on something.
#[utoipa::path(post, path = "/permissions/check", tag = "permissions", request_body = Check,
    responses((status = 200, description = "Yes or no.", body = Checked)))]
async fn post_check_permission(
    State(state): State<ApiState>,
    Asked(call, check): Asked<Check>,
) -> Result<Json<Checked>, ApiError> {
    checked(&state, &call, "body", &check).await
}

/// Many such questions. Of what is not there for the caller nothing is allowed.
#[utoipa::path(post, path = "/permissions/check/batch", tag = "permissions",
    request_body = CheckBatch,
    responses((status = 200, description = "In the order of the questions.", body = CheckResults)))]
async fn check_permissions(
    State(state): State<ApiState>,
    Asked(call, batch): Asked<CheckBatch>,
) -> Result<Json<CheckResults>, ApiError> {
    if batch.checks.len() > CHECKS_MAX {
        let message = format!("at most {CHECKS_MAX} are taken");
        return Err(ApiError::invalid("body", &["checks"], message));
    }
    let results = state
        .ops
        .ask(&call, move |tables, viewer| {
            let mut results = Vec::with_capacity(batch.checks.len());
            for check in batch.checks {
                let wanted = present::permission::permission_row(check.permission);
                let target = target_of("body", check.resource_type, &check.resource_id).ok();
                let allowed = match target {
                    Some(target) => permission::check(tables, viewer, target, wanted)? == Ok(true),
                    None => false,
                };
                let Check { resource_type, resource_id, permission } = check;
                results.push(CheckResult { resource_type, resource_id, permission, allowed });
            }
            Ok(results)
        })
        .await?;
    Ok(Json(CheckResults { results }))
}

/// What somebody may do with something, and why.
#[utoipa::path(get, path = "/permissions/effective", tag = "permissions", params(EffectiveQuery),
    responses((status = 200, description = "For each permission, why.", body = Effective)))]
async fn get_effective_permissions(
    State(state): State<ApiState>,
    Asking(call): Asking,
    Asks(query): Asks<EffectiveQuery>,
) -> Result<Json<Effective>, ApiError> {
    let target = target_of("query", query.resource_type, &query.resource_id)?;
    let user = query.principal_id.as_deref();
    let user: Option<UserId> =
        user.map(|user| text_id("query", "principal_id", user)).transpose()?;
    let found = state
        .ops
        .ask(&call, move |tables, viewer| {
            Ok(match user.filter(|user| *user != viewer.user()) {
                Some(user) => permission::effective_of(tables, viewer, target, user)??,
                None => permission::effective(tables, viewer, target)??,
            })
        })
        .await?;
    Ok(Json(present::permission::effective(found.mask, &found.explained)))
}

/// The list of something: its own entries, and those that reach it from above.
#[utoipa::path(get, path = "/permissions/acl/{resource_type}/{resource_id}", tag = "permissions",
    responses((status = 200, description = "In the order of evaluation.", body = Acl)))]
async fn get_acl(
    State(state): State<ApiState>,
    Path((kind, id)): Path<(String, String)>,
    Asking(call): Asking,
) -> Result<Json<Acl>, ApiError> {
    Ok(Json(acl(&state, &call, target_in_path(&kind, &id)?).await?))
}

async fn acl(state: &ApiState, call: &Call, target: Target) -> Result<Acl, ApiError> {
    let view = state
        .ops
        .ask(call, move |tables, viewer| Ok(permission::acl(tables, viewer, target)??))
        .await?;
    let (resource_type, resource_id) = present::permission::target(target);
    Ok(Acl {
        resource_type,
        resource_id,
        inherit_from_parent: view.inherits,
        entries: view.entries.into_iter().map(entry).collect(),
    })
}

fn entry(view: EntryView) -> AclEntry {
    let (principal_type, principal_id) = present::permission::trustee(view.trustee);
    let applies_to = present::permission::applies_to(view.applies_to);
    let principal = principal_id.clone().unwrap_or_else(|| "everyone".to_owned());
    AclEntry {
        // A membership is changed as such, and has its member's name here.
        id: view.id.map_or_else(|| format!("member:{principal}"), |id| id.to_string()),
        principal_type,
        principal_id,
        principal_name: view.name,
        permissions: present::permission::permissions(view.permissions),
        ace_type: present::permission::effect(view.effect),
        applies_to,
        inherit_to_children: applies_to != AppliesTo::ThisOnly,
        layer: u32::from(view.layer),
        inherited_from: view.inherited_from.map(|from| present::permission::target(from).1),
    }
}

fn trustee(kind: PrincipalType, id: Option<&str>) -> Result<Trustee, ApiError> {
    let wrong = |message: &str| Err(ApiError::invalid("body", &["principal_id"], message));
    match (kind, id) {
        (PrincipalType::User, Some(id)) => Ok(Trustee::User(text_id("body", "principal_id", id)?)),
        (PrincipalType::Group, Some(id)) => {
            Ok(Trustee::Group(text_id("body", "principal_id", id)?))
        }
        (PrincipalType::Everyone, None) => Ok(Trustee::Everyone),
        (PrincipalType::CreatorOwner, None) => Ok(Trustee::CreatorOwner),
        (PrincipalType::User | PrincipalType::Group, None) => wrong("is needed for this type"),
        (PrincipalType::Everyone | PrincipalType::CreatorOwner, Some(_)) => {
            wrong("means nothing for this type")
        }
    }
}

fn applies_to(new: &AddAclEntry) -> Result<AppliesTo, ApiError> {
    match (new.applies_to, new.inherit_to_children) {
        (None, None | Some(true)) => Ok(AppliesTo::ThisAndChildren),
        (None, Some(false)) => Ok(AppliesTo::ThisOnly),
        (Some(applies), None) => Ok(applies),
        (Some(applies), Some(inherits)) if inherits == (applies != AppliesTo::ThisOnly) => {
            Ok(applies)
        }
        (Some(_), Some(_)) => {
            let message = "is at odds with applies_to";
            Err(ApiError::invalid("body", &["inherit_to_children"], message))
        }
    }
}

/// Adds an entry, or gives one that is there other permissions.
#[utoipa::path(post, path = "/permissions/acl/{resource_type}/{resource_id}", tag = "permissions",
    request_body = AddAclEntry,
    responses((status = 201, description = "The entry.", body = AclEntry)))]
async fn add_acl_entry(
    State(state): State<ApiState>,
    Path((kind, id)): Path<(String, String)>,
    Asked(call, new): Asked<AddAclEntry>,
) -> Result<CreatedAs<Json<AclEntry>>, ApiError> {
    let target = target_in_path(&kind, &id)?;
    let permissions = new.permissions.iter().copied().map(present::permission::permission_row);
    let permissions: PermissionSet = permissions.collect();
    let trustee = trustee(new.principal_type, new.principal_id.as_deref())?;
    let effect = present::permission::effect_row(new.ace_type);
    let applies_to = present::permission::applies_to_row(applies_to(&new)?);
    let command = PermissionCommand::AddEntry { target, trustee, effect, permissions, applies_to };
    let id: AceId = state.ops.agree(&call, Command::Permission(command)).await?;
    // Made of what was asked for: the caller may have cut itself off from the list.
    let name = principal_name(&state, &call, trustee).await?;
    Ok(CreatedAs(Json(entry(EntryView {
        id: Some(id),
        trustee,
        name,
        effect,
        permissions,
        applies_to,
        layer: 0,
        inherited_from: None,
    }))))
}

async fn principal_name(
    state: &ApiState,
    call: &Call,
    trustee: Trustee,
) -> Result<Option<String>, OpError> {
    let tenant = call.caller.tenant;
    state
        .ops
        .ask(call, move |tables, _| {
            Ok(match trustee {
                Trustee::User(user) => {
                    people::user(tables, tenant, user)?.map(|user| user.display_name)
                }
                Trustee::Group(group) => {
                    people::group(tables, tenant, group)?.map(|group| group.name)
                }
                Trustee::Everyone | Trustee::CreatorOwner => None,
            })
        })
        .await
}

/// Removes the entry of this id, or all that match.
#[utoipa::path(delete, path = "/permissions/acl/{resource_type}/{resource_id}",
    tag = "permissions", request_body = RemoveAclEntry,
    responses((status = 204, description = "They are removed.")))]
async fn remove_acl_entries(
    State(state): State<ApiState>,
    Path((kind, id)): Path<(String, String)>,
    Asked(call, which): Asked<RemoveAclEntry>,
) -> Result<Done, ApiError> {
    let target = target_in_path(&kind, &id)?;
    let which = match (which.id, which.principal_type, which.ace_type) {
        (Some(id), None, None) => EntryFilter::Id(text_id("body", "id", &id)?),
        (None, Some(kind), Some(effect)) => EntryFilter::Of(
            trustee(kind, which.principal_id.as_deref())?,
            present::permission::effect_row(effect),
        ),
        _ => {
            let message = "either id, or principal_type, principal_id and ace_type are needed";
            return Err(ApiError::invalid("body", &[], message));
        }
    };
    let command = PermissionCommand::RemoveEntries { target, which };
    state.ops.agree::<Answer>(&call, Command::Permission(command)).await?;
    Ok(Done)
}

/// Says whether something takes what its parent has.
#[utoipa::path(put, path = "/permissions/acl/{resource_type}/{resource_id}/inheritance",
    tag = "permissions", request_body = SetInheritance,
    responses((status = 200, description = "It is so now.", body = SetInheritance)))]
async fn set_inheritance(
    State(state): State<ApiState>,
    Path((kind, id)): Path<(String, String)>,
    Asked(call, set): Asked<SetInheritance>,
) -> Result<Json<SetInheritance>, ApiError> {
    let target = target_in_path(&kind, &id)?;
    let command = PermissionCommand::SetInheritance {
        target,
        inherit: set.inherit_from_parent,
        copy_inherited: set.copy_inherited,
        keep_caller: set.keep_caller,
    };
    state.ops.agree::<Answer>(&call, Command::Permission(command)).await?;
    // Not the list: the caller may have cut itself off from it.
    Ok(Json(set))
}

/// Gives something to another owner.
#[utoipa::path(post, path = "/permissions/ownership/{resource_type}/{resource_id}/transfer",
    tag = "permissions", request_body = TransferOwnership,
    responses((status = 204, description = "It is the new owner's.")))]
async fn transfer_ownership(
    State(state): State<ApiState>,
    Path((kind, id)): Path<(String, String)>,
    Asked(call, new): Asked<TransferOwnership>,
) -> Result<Done, ApiError> {
    let target = target_in_path(&kind, &id)?;
    let new_owner = match new.new_owner_id.parse() {
        Ok(group) => Principal::Group(group),
        Err(_) => Principal::User(text_id("body", "new_owner_id", &new.new_owner_id)?),
    };
    let command = PermissionCommand::TransferOwnership { target, new_owner };
    state.ops.agree::<Answer>(&call, Command::Permission(command)).await?;
    Ok(Done)
}
