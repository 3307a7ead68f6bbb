//! Devices: registered, forgotten, and how far each has come in a share.

use node_base::{DeviceId, ShareId, TenantId, UserId};

use crate::access::{self, Viewer};
use crate::apply::{Step, Stop};
use crate::chain::Chain;
use crate::outcome::{Answer, Expired, Invalid, Noun, Refusal};
use crate::query::Denied;
use crate::query::feed::require_visible;
use crate::table;
use crate::table::change::ShareFeeds;
use crate::table::device::{
    Device, DeviceCursor, DeviceCursors, Devices, Preference, Preferences, ShareDevices,
};
use crate::tables::TableError;

/// Devices of one user.
const DEVICES_MAX: usize = 1_000;
/// A device's name, platform or version, in bytes.
const TEXT_MAX: usize = 255;
/// Folders that one device keeps of one share.
const SELECTED_MAX: usize = 1_000;

/// What a device says of itself.
#[derive(Clone, Copy)]
pub(super) struct Texts<'a> {
    pub(super) name: &'a str,
    pub(super) platform: &'a str,
    pub(super) client_version: &'a str,
}

/// Registers a device, or takes over what one that is known says of itself now.
pub(super) fn register(
    step: &mut Step<'_>,
    device: &DeviceId,
    texts: Texts<'_>,
) -> Result<Answer, Stop> {
    let (tenant, user) = step.who()?;
    for (field, text) in [
        ("device_name", texts.name),
        ("platform", texts.platform),
        ("client_version", texts.client_version),
    ] {
        if text.len() > TEXT_MAX {
            return Err(Refusal::invalid(field, Invalid::TooLong { max: TEXT_MAX as u64 }).into());
        }
    }
    let key = (tenant, user, device.clone());
    let known = table::get::<Devices>(step.reader(), &key)?;
    match &known {
        Some(known) => access::require_row::<Devices>(step, known)?,
        None if step.if_revision.is_some() => return Err(Refusal::PreconditionFailed.into()),
        None => {}
    }
    if known.is_none() {
        let devices = table::all::<Devices>(step.reader(), &(tenant, user))?;
        if devices.len() >= DEVICES_MAX {
            let max = DEVICES_MAX as u64;
            return Err(Refusal::invalid("device_id", Invalid::TooMany { max }).into());
        }
    }
    let row = Device {
        name: texts.name.to_owned(),
        platform: texts.platform.to_owned(),
        client_version: texts.client_version.to_owned(),
        created_at: known.map_or(step.now, |known| known.created_at),
        last_seen_at: step.now,
    };
    table::put::<Devices>(step.tables, &key, &row)?;
    Ok(Answer::Device(device.clone()))
}

/// Forgets a device with its cursors and preferences.
pub(super) fn remove(step: &mut Step<'_>, device: &DeviceId) -> Result<Answer, Stop> {
    let (tenant, user) = step.who()?;
    let known = own(step, (tenant, user), device)?;
    access::require_row::<Devices>(step, &known)?;
    forget_device(step, &(tenant, user, device.clone()))?;
    Ok(Answer::Done)
}

/// Answers how many cursors and preferences went with the device.
fn forget_device(
    step: &mut Step<'_>,
    key: &(TenantId, UserId, DeviceId),
) -> Result<usize, TableError> {
    let (tenant, user, device) = key;
    let cursors = table::all::<DeviceCursors>(step.reader(), key)?;
    let preferences = table::all::<Preferences>(step.reader(), key)?;
    let count = cursors.len() + preferences.len();
    let keys = cursors.into_iter().map(|(key, _)| key);
    for (.., share) in keys.chain(preferences.into_iter().map(|(key, _)| key)) {
        forget(step, (*tenant, share, *user, device.clone()))?;
    }
    table::delete::<Devices>(step.tables, key)?;
    Ok(count)
}

/// Forgets devices of a user, each as a whole, until `limit` rows were touched; answers how many.
pub(crate) fn forget_user(
    step: &mut Step<'_>,
    who: (TenantId, UserId),
    limit: usize,
) -> Result<usize, TableError> {
    let mut worked = 0;
    for device in table::some::<Devices>(step.reader(), &who, limit)? {
        if worked >= limit {
            break;
        }
        worked += 1 + forget_device(step, &device)?;
    }
    Ok(worked)
}

/// A device's cursor and preference of a share.
fn forget(
    step: &mut Step<'_>,
    listed: (TenantId, ShareId, UserId, DeviceId),
) -> Result<(), TableError> {
    table::delete::<ShareDevices>(step.tables, &listed)?;
    let (tenant, share, user, device) = listed;
    let key = (tenant, user, device, share);
    table::delete::<DeviceCursors>(step.tables, &key)?;
    table::delete::<Preferences>(step.tables, &key)
}

/// Forgets the cursors and preferences of a share that is removed for good, of at most `limit`
/// devices; answers how many.
pub(crate) fn forget_share(
    step: &mut Step<'_>,
    key: (TenantId, ShareId),
    limit: usize,
) -> Result<usize, TableError> {
    let listed = table::some::<ShareDevices>(step.reader(), &key, limit)?;
    let count = listed.len();
    for device in listed {
        forget(step, device)?;
    }
    Ok(count)
}

/// The caller's own device.
pub(super) fn own(
    step: &Step<'_>,
    (tenant, user): (TenantId, UserId),
    device: &DeviceId,
) -> Result<Device, Stop> {
    let row = table::get::<Devices>(step.reader(), &(tenant, user, device.clone()))?;
    Ok(row.ok_or(Refusal::NotFound(Noun::Device))?)
}

/// Notes that a device was heard of.
pub(super) fn note_seen(step: &mut Step<'_>, device: &DeviceId) -> Result<Device, Stop> {
    let (tenant, user) = step.who()?;
    let row = own(step, (tenant, user), device)?;
    let row = Device { last_seen_at: step.now, ..row };
    table::put::<Devices>(step.tables, &(tenant, user, device.clone()), &row)?;
    Ok(row)
}

/// A share that the caller sees something of.
pub(super) fn visible(step: &Step<'_>, share: ShareId) -> Result<Chain, Stop> {
    let viewer = Viewer::of(step.reader(), step.now, step.user()?)?;
    let root = Chain::root(step.reader(), viewer.tenant(), share)?;
    let root = root.ok_or(Refusal::NotFound(Noun::Share))?;
    match require_visible(step.reader(), &viewer, share) {
        Ok(()) => Ok(root),
        Err(Denied::Refused(refusal)) => Err(refusal.into()),
        Err(Denied::Failed(error)) => Err(error.into()),
    }
}

pub(super) fn prefer(
    step: &mut Step<'_>,
    device: &DeviceId,
    share: ShareId,
    preference: &Preference,
) -> Result<Answer, Stop> {
    let (tenant, user) = step.who()?;
    note_seen(step, device)?;
    visible(step, share)?;
    if let Preference::Selected(folders) = preference
        && folders.len() > SELECTED_MAX
    {
        let max = SELECTED_MAX as u64;
        return Err(Refusal::invalid("folders", Invalid::TooMany { max }).into());
    }
    let key = (tenant, user, device.clone(), share);
    let listed = (tenant, share, user, device.clone());
    let before = table::get::<Preferences>(step.reader(), &key)?.unwrap_or(Preference::All);
    access::require_row::<Preferences>(step, &before)?;
    match preference {
        Preference::Selected(_) => {
            table::put::<Preferences>(step.tables, &key, preference)?;
            table::put::<ShareDevices>(step.tables, &listed, &())?;
        }
        Preference::All if table::has::<DeviceCursors>(step.reader(), &key)? => {
            table::delete::<Preferences>(step.tables, &key)?;
        }
        Preference::All => forget(step, listed)?,
    }
    Ok(Answer::Done)
}

pub(super) fn acknowledge(
    step: &mut Step<'_>,
    device: &DeviceId,
    share: ShareId,
    (incarnation, position): (u64, u64),
) -> Result<Answer, Stop> {
    let (tenant, user) = step.who()?;
    note_seen(step, device)?;
    let root = visible(step, share)?;
    if incarnation != root.share.incarnation {
        return Err(Refusal::Expired(Expired::Cursor).into());
    }
    let feed = table::get::<ShareFeeds>(step.reader(), &(tenant, share))?.unwrap_or_default();
    if position > feed.last {
        let rule = Invalid::Rule("is ahead of all changes".to_owned());
        return Err(Refusal::invalid("cursor", rule).into());
    }
    let cursor = DeviceCursor { incarnation, position, synced_at: step.now };
    table::put::<DeviceCursors>(step.tables, &(tenant, user, device.clone(), share), &cursor)?;
    table::put::<ShareDevices>(step.tables, &(tenant, share, user, device.clone()), &())?;
    Ok(Answer::Done)
}
