//! Partners, tenants, users, groups; and who may speak at all.
//!
//! Administrative commands need the scope of the token and the role in the tables: a token alone
//! makes nobody an administrator.

pub(crate) mod field;
mod group;
pub(crate) mod tenant;
#[cfg(test)]
mod tests;
pub(crate) mod user;

use super::{Step, Stop, nodes};
use crate::caller::Caller;
use crate::command::{Command, People};
use crate::outcome::Answer;
use crate::query;

pub(crate) fn run(step: &mut Step<'_>, command: &People) -> Result<Answer, Stop> {
    match command {
        People::CreatePartner { name, display_name } => {
            tenant::create_partner(step, name, display_name)
        }
        People::UpdatePartner { partner, display_name, standing } => {
            tenant::update_partner(step, *partner, display_name.as_deref(), *standing)
        }
        People::CreateTenant { partner, name, display_name } => {
            tenant::create_tenant(step, *partner, &tenant::NewTenant { name, display_name })
        }
        People::UpdateTenant { tenant, display_name, standing, settings } => {
            let display_name = display_name.as_deref();
            tenant::update_tenant(step, *tenant, display_name, *standing, settings.as_ref())
        }
        People::CreateUser(new) => user::create(step, new),
        People::Provision { tenant, issuer, subject, email, name } => {
            let seen = user::Seen { issuer, subject, email, name };
            user::provision(step, *tenant, &seen)
        }
        People::UpdateUser { user, display_name, email, admin_role } => {
            user::update(step, *user, display_name.as_deref(), email.as_deref(), *admin_role)
        }
        People::SetSuspended { user, suspended } => user::set_suspended(step, *user, *suspended),
        People::DeleteUser { user } => user::delete(step, *user),
        People::CreateGroup { name, description } => group::create(step, name, description),
        People::UpdateGroup { group, name, description } => {
            group::update(step, *group, name.as_deref(), description.as_deref())
        }
        People::DeleteGroup { group } => group::delete(step, *group),
        People::AddToGroup { group, user } => group::add(step, *group, *user),
        People::RemoveFromGroup { group, user } => group::remove(step, *group, *user),
        People::SetFavorite { target, favorite } => user::set_favorite(step, *target, *favorite),
    }
}

/// Whether the caller may speak at all: its status, and whether the command is for its kind.
pub(crate) fn admit(step: &Step<'_>, command: &Command) -> Result<(), Stop> {
    match step.caller {
        Caller::Node(node)
            if is_for_nodes(command) && !nodes::is_removed(step.reader(), *node)? =>
        {
            Ok(())
        }
        Caller::User(caller) if is_for_users(command) => {
            Ok(query::people::admit(step.reader(), caller)??)
        }
        Caller::Node(_) | Caller::User(_) => Err(crate::Refusal::WrongCaller.into()),
    }
}

/// What comes from a node itself: upkeep, the built-in issuer, and the private socket's people.
fn is_for_nodes(command: &Command) -> bool {
    match command {
        Command::Upkeep(_) | Command::Identity(_) | Command::Cluster(_) => true,
        Command::People(people) => match people {
            People::CreatePartner { .. }
            | People::UpdatePartner { .. }
            | People::CreateTenant { .. }
            | People::UpdateTenant { .. }
            | People::CreateUser(_)
            | People::Provision { .. }
            | People::UpdateUser { .. }
            | People::SetSuspended { .. }
            | People::DeleteUser { .. } => true,
            People::CreateGroup { .. }
            | People::UpdateGroup { .. }
            | People::DeleteGroup { .. }
            | People::AddToGroup { .. }
            | People::RemoveFromGroup { .. }
            | People::SetFavorite { .. } => false,
        },
        Command::Share(_)
        | Command::Permission(_)
        | Command::Item(_)
        | Command::Upload(_)
        | Command::Sync(_)
        | Command::Quota(_) => false,
    }
}

/// Everything but upkeep and what only nodes and the issuer's side may say.
fn is_for_users(command: &Command) -> bool {
    match command {
        Command::Upkeep(_) | Command::Identity(_) | Command::People(People::Provision { .. }) => {
            false
        }
        Command::Cluster(command) => command.is_for_operators(),
        _ => true,
    }
}
