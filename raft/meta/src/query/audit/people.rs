//! Whom lists name, and whose devices follow what.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use node_base::TenantId;

use super::books::{Books, Subject};
use crate::table::acl::{Lists, Named, Target, Trustee};
use crate::table::device::{DeviceCursors, Devices, Preferences, ShareDevices};
use crate::table::people::{LeftUsers, UserStatus, Users};
use crate::table::share::Shares;
use crate::table::{self};
use crate::tables::{Reader, TableError};

/// The rows by name, from the lists and from the shares that everybody may read.
pub(super) fn named(
    tables: &dyn Reader,
    tenant: TenantId,
    books: &mut Books,
) -> Result<(), TableError> {
    let mut named = BTreeSet::new();
    table::scan::<Lists>(tables, &(tenant,), &mut |(_, target), entries| {
        named.extend(entries.into_iter().map(|entry| (entry.trustee, target)));
        ControlFlow::Continue(())
    })?;
    table::scan::<Shares>(tables, &(tenant,), &mut |(_, id), share| {
        if share.is_public && !share.purging {
            named.insert((Trustee::Everyone, Target::Share(id)));
        }
        ControlFlow::Continue(())
    })?;
    for (trustee, target) in named {
        books.counted(Subject::Named(trustee, target), 1);
    }
    table::scan::<Named>(tables, &(tenant,), &mut |(_, trustee, target), ()| {
        books.stored(Subject::Named(trustee, target), 1);
        ControlFlow::Continue(())
    })
}

/// Devices, which are somebody's, and the list of those that follow a share.
pub(super) fn devices(
    tables: &dyn Reader,
    tenant: TenantId,
    books: &mut Books,
) -> Result<(), TableError> {
    let mut users = BTreeSet::new();
    table::scan::<Users>(tables, &(tenant,), &mut |(_, user), row| {
        if row.status != UserStatus::Deleted {
            users.insert(user);
        }
        ControlFlow::Continue(())
    })?;
    table::scan::<LeftUsers>(tables, &(tenant,), &mut |(_, user), ()| {
        users.insert(user);
        ControlFlow::Continue(())
    })?;
    table::scan::<Devices>(tables, &(tenant,), &mut |(_, user, device), _| {
        books.counted(Subject::Device(user, device.clone()), u64::from(users.contains(&user)));
        books.stored(Subject::Device(user, device), 1);
        ControlFlow::Continue(())
    })?;
    let mut following = BTreeSet::new();
    table::scan::<DeviceCursors>(tables, &(tenant,), &mut |(_, user, device, share), _| {
        following.insert((share, user, device));
        ControlFlow::Continue(())
    })?;
    table::scan::<Preferences>(tables, &(tenant,), &mut |(_, user, device, share), _| {
        following.insert((share, user, device));
        ControlFlow::Continue(())
    })?;
    for (share, user, device) in following {
        books.counted(Subject::ShareDevice(share, user, device), 1);
    }
    table::scan::<ShareDevices>(tables, &(tenant,), &mut |(_, share, user, device), ()| {
        books.stored(Subject::ShareDevice(share, user, device), 1);
        ControlFlow::Continue(())
    })
}
