//! Who there is, and who may speak.

use crate::caller::UserCaller;
use crate::outcome::{Noun, Refusal};
use crate::table::people::{Partners, Standing, Tenants, UserStatus, Users};
use crate::table::{self};
use crate::tables::{Reader, TableError};

/// Whether a signed-in user may speak at all, now: its own status, its tenant's, its partner's.
pub fn admit(tables: &dyn Reader, caller: &UserCaller) -> Result<Result<(), Refusal>, TableError> {
    let Some(user) = table::get::<Users>(tables, &(caller.tenant, caller.user))? else {
        return Ok(Err(Refusal::NotFound(Noun::User)));
    };
    match user.status {
        UserStatus::Active => {}
        UserStatus::Pending | UserStatus::Suspended | UserStatus::Inactive => {
            return Ok(Err(Refusal::Suspended));
        }
        UserStatus::Deleted => return Ok(Err(Refusal::NotFound(Noun::User))),
    }
    let Some(tenant) = table::get::<Tenants>(tables, &(caller.tenant,))? else {
        return Ok(Err(Refusal::NotFound(Noun::Tenant)));
    };
    let partner = table::get::<Partners>(tables, &(tenant.partner,))?;
    let stands = tenant.standing == Standing::Active
        && partner.is_some_and(|partner| partner.standing == Standing::Active);
    Ok(if stands { Ok(()) } else { Err(Refusal::Suspended) })
}
