//! Devices, how far each has come, and conflicts.

use std::ops::ControlFlow;

use node_base::{ConflictId, DeviceId, Permission, ShareId, Timestamp};

use super::denied::Denied;
use super::feed::{self, Stream};
use super::page::{Page, Pager};
use super::share;
use crate::access::{Memo, Viewer};
use crate::outcome::{Noun, Refusal};
use crate::table;
use crate::table::acl::Target;
use crate::table::conflict::{Conflict, Conflicts, ShareConflicts};
use crate::table::device::{Device, DeviceCursor, DeviceCursors, Devices, Preference, Preferences};
use crate::tables::{Reader, TableError};

/// Where a device stands in a share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyncStatusView {
    /// What it acknowledged last, or the beginning.
    pub cursor: String,
    pub position: u64,
    pub last_sync_at: Option<Timestamp>,
    /// Changes of the share that it has not acknowledged, whoever may READ what they are about.
    pub pending: u64,
    pub has_conflicts: bool,
}

/// Where a device of the viewer's stands in a share.
///
/// # Errors
/// Refused for a device that is not the viewer's, and a share that the viewer sees nothing of.
pub fn status(
    tables: &dyn Reader,
    viewer: &Viewer,
    share: ShareId,
    device: &DeviceId,
) -> Result<SyncStatusView, Denied> {
    let key = (viewer.tenant(), viewer.user(), device.clone());
    if !table::has::<Devices>(tables, &key)? {
        return Err(Refusal::NotFound(Noun::Device).into());
    }
    feed::require_visible(tables, viewer, share)?;
    let (incarnation, last) = feed::newest(tables, viewer, Stream::Share(share))?;
    let acknowledged = table::get::<DeviceCursors>(tables, &(key.0, key.1, key.2, share))?;
    // Of an earlier life of the share it says nothing.
    let known = acknowledged.filter(|cursor| cursor.incarnation == incarnation);
    let position = known.map_or(0, |cursor| cursor.position);
    let at = (incarnation, position);
    let open = |conflict: &Conflict| conflict.resolved.is_none();
    let mut has_conflicts = false;
    each_conflict(tables, viewer, share, |_, conflict| {
        has_conflicts |= open(&conflict) && conflict.device.as_ref() == Some(device);
        ControlFlow::Continue(())
    })?;
    Ok(SyncStatusView {
        cursor: feed::cursor_at(tables, viewer, Stream::Share(share), at)?,
        position,
        last_sync_at: known.map(|cursor| cursor.synced_at),
        pending: last.saturating_sub(position),
        has_conflicts,
    })
}

/// A device with how far it has come in each share, and what it keeps of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceView {
    pub id: DeviceId,
    pub device: Device,
    pub cursors: Vec<(ShareId, DeviceCursor)>,
    pub preferences: Vec<(ShareId, Preference)>,
}

/// The viewer's devices, in the order of their ids.
///
/// # Errors
/// Only when the tables fail.
pub fn devices(tables: &dyn Reader, viewer: &Viewer) -> Result<Vec<DeviceView>, TableError> {
    let own = (viewer.tenant(), viewer.user());
    let rows = table::all::<Devices>(tables, &own)?;
    rows.into_iter().map(|((_, _, id), device)| device_view(tables, viewer, id, device)).collect()
}

/// One of the viewer's devices.
///
/// # Errors
/// Refused when there is none of this id.
pub fn device(tables: &dyn Reader, viewer: &Viewer, id: &DeviceId) -> Result<DeviceView, Denied> {
    let key = (viewer.tenant(), viewer.user(), id.clone());
    let row = table::get::<Devices>(tables, &key)?.ok_or(Refusal::NotFound(Noun::Device))?;
    Ok(device_view(tables, viewer, id.clone(), row)?)
}

fn device_view(
    tables: &dyn Reader,
    viewer: &Viewer,
    id: DeviceId,
    device: Device,
) -> Result<DeviceView, TableError> {
    let key = (viewer.tenant(), viewer.user(), id.clone());
    let cursors = table::all::<DeviceCursors>(tables, &key)?;
    let preferences = table::all::<Preferences>(tables, &key)?;
    Ok(DeviceView {
        id,
        device,
        cursors: cursors.into_iter().map(|(key, row)| (key.3, row)).collect(),
        preferences: preferences.into_iter().map(|(key, row)| (key.3, row)).collect(),
    })
}

/// A page of conflicts about what the viewer may READ, the newest first: of one share, or of all
/// that the viewer sees.
///
/// # Errors
/// Refused when the viewer sees nothing of the share.
pub fn conflicts(
    tables: &dyn Reader,
    viewer: &Viewer,
    share: Option<ShareId>,
    which: &ConflictFilter<'_>,
) -> Result<Page<(ConflictId, Conflict)>, Denied> {
    let shares = match share {
        Some(share) => {
            feed::require_visible(tables, viewer, share)?;
            vec![share]
        }
        None => {
            let all = share::visible(tables, viewer, false, 0, u32::MAX)?;
            all.items.into_iter().map(|view| view.id).collect()
        }
    };
    let mut found = Vec::new();
    for share in shares {
        each_conflict(tables, viewer, share, |id, conflict| {
            let is_of_device =
                which.device.is_none_or(|device| conflict.device.as_ref() == Some(device));
            if is_of_device && (which.include_resolved || conflict.resolved.is_none()) {
                found.push((id, conflict));
            }
            ControlFlow::Continue(())
        })?;
    }
    // An id begins with the time it was made.
    found.sort_by_key(|(id, _)| std::cmp::Reverse(*id));
    let mut memo = Memo::new(viewer);
    let mut pager = Pager::new(which.offset, which.limit);
    for (id, conflict) in found {
        let verdict = memo.verdict(tables, conflict.item)?;
        if let Some(verdict) = verdict.filter(|verdict| verdict.mask().contains(Permission::Read)) {
            pager.push((verdict.is_override(Permission::Read), id, conflict));
        }
    }
    let Page { items, total } = pager.page();
    for (_, _, conflict) in items.iter().filter(|(is_passed, ..)| *is_passed) {
        viewer.note_below(Target::Share(conflict.share));
    }
    let items = items.into_iter().map(|(_, id, conflict)| (id, conflict)).collect();
    Ok(Page { items, total })
}

/// One conflict, about what the viewer may READ.
///
/// # Errors
/// Refused when there is none of this id for the viewer.
pub fn conflict(tables: &dyn Reader, viewer: &Viewer, id: ConflictId) -> Result<Conflict, Denied> {
    let missing = Refusal::NotFound(Noun::Conflict);
    let row = table::get::<Conflicts>(tables, &(viewer.tenant(), id))?.ok_or(missing.clone())?;
    let verdict = Memo::new(viewer).verdict(tables, row.item)?.ok_or(missing.clone())?;
    if !verdict.mask().contains(Permission::Read) {
        return Err(missing.into());
    }
    viewer.note_verdict(Target::Item(row.item), verdict, Permission::Read);
    Ok(row)
}

/// Which conflicts are asked for.
#[derive(Debug, Clone, Copy)]
pub struct ConflictFilter<'a> {
    pub device: Option<&'a DeviceId>,
    pub include_resolved: bool,
    pub offset: u64,
    pub limit: u32,
}

/// The newest first.
fn each_conflict(
    tables: &dyn Reader,
    viewer: &Viewer,
    share: ShareId,
    mut show: impl FnMut(ConflictId, Conflict) -> ControlFlow<()>,
) -> Result<(), TableError> {
    let mut ids = Vec::new();
    table::scan_back::<ShareConflicts>(tables, &(viewer.tenant(), share), &mut |key, ()| {
        ids.push(key.2);
        ControlFlow::Continue(())
    })?;
    for id in ids {
        let row = table::get::<Conflicts>(tables, &(viewer.tenant(), id))?;
        let row = row.ok_or(TableError::Invariant("a share's conflict is not there"))?;
        if show(id, row).is_break() {
            break;
        }
    }
    Ok(())
}
