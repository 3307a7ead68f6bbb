//! Folders are made.

use node_base::{FolderId, Name};

use super::place::{
    change, list, name, new_item, policy, record, require_free, require_room, save, target,
};
use crate::apply::quota::{self, Delta};
use crate::apply::{Step, Stop, feed};
use crate::chain::Chain;
use crate::command::Place;
use crate::outcome::ItemView;
use crate::table::change::ChangeKind;
use crate::table::item::{Body, ItemId};

pub(crate) fn folder(step: &mut Step<'_>, place: Place, text: &str) -> Result<ItemView, Stop> {
    let above = target(step, place)?;
    let name = name(text, &above)?;
    let folder = make(step, &above, name)?;
    super::view(step, ItemId::Folder(folder))
}

/// Makes a folder in one that the caller may create in.
pub(super) fn make(step: &mut Step<'_>, above: &Chain, name: Name) -> Result<FolderId, Stop> {
    let (tenant, user) = step.who()?;
    require_free(step, above, &name, None)?;
    require_room(step, above, &name, None)?;
    let folder: FolderId = step.new_id();
    let id = ItemId::Folder(folder);
    let mut item = new_item(step, above, name, Body::Folder)?;
    save(step, tenant, id, &mut item)?;
    list(step, tenant, id, &item, policy(above))?;
    quota::charge(step, tenant, item.share, user, Delta { folders: 1, ..Delta::default() })?;
    feed::append(step, tenant, item.share, change(id, &item, ChangeKind::Created))?;
    record(step, tenant, "folder.created", id, Vec::new())?;
    Ok(folder)
}
