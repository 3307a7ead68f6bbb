//! Names, and what a client says of its own file, change in place.

use node_base::{Name, Permission, TenantId, Timestamp};

use super::place::{
    bottom, change, list, live, name as named, policy, record, require_free, require_room, save,
    touch, unlist,
};
use super::{trash, version};
use crate::apply::{Step, Stop, feed};
use crate::chain::Chain;
use crate::outcome::{Invalid, ItemView, Refusal};
use crate::table::change::ChangeKind;
use crate::table::conflict::Stated;
use crate::table::item::{Body, Item, ItemId};

/// What is to be another than it was.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Update<'a> {
    pub(crate) name: Option<&'a str>,
    pub(crate) client_modified_at: Option<Option<Timestamp>>,
    pub(crate) executable: Option<bool>,
    /// Out of the trash, first.
    pub(crate) restore: bool,
}

impl From<Stated> for Update<'_> {
    fn from(Stated { client_modified_at, executable }: Stated) -> Self {
        Self { client_modified_at: client_modified_at.map(Some), executable, ..Self::default() }
    }
}

pub(crate) fn update(
    step: &mut Step<'_>,
    id: ItemId,
    update: Update<'_>,
) -> Result<ItemView, Stop> {
    if update.restore {
        trash::restore(step, id)?;
    }
    let chain = live(step, id, Permission::Write)?;
    if !update.restore {
        super::require_revision(step, &chain)?;
    }
    let (tenant, _) = step.who()?;
    let (_, mut item) = bottom(&chain)?;
    let old = item.clone();
    if update.client_modified_at.is_some() || update.executable.is_some() {
        set_file(step, tenant, id, &mut item, update)?;
    }
    if let Some(text) = update.name {
        item.name = named(text, &chain)?;
    }
    if item == old {
        return super::view(step, id);
    }
    let kind = if item.name == old.name { ChangeKind::Updated } else { ChangeKind::Renamed };
    if kind == ChangeKind::Renamed {
        rename(step, &chain, &old, &mut item)?;
    }
    save(step, tenant, id, &mut item)?;
    let mut draft = change(id, &item, kind);
    draft.old = (kind == ChangeKind::Renamed).then(|| (old.parent, old.name.clone()));
    feed::append(step, tenant, item.share, draft)?;
    let action = match (kind, id) {
        (ChangeKind::Renamed, ItemId::Folder(_)) => "folder.renamed",
        (ChangeKind::Renamed, ItemId::File(_)) => "file.renamed",
        _ => "file.changed",
    };
    record(step, tenant, action, id, Vec::new())?;
    super::view(step, id)
}

/// Lists the item under its new name.
fn rename(step: &mut Step<'_>, chain: &Chain, old: &Item, item: &mut Item) -> Result<(), Stop> {
    let (tenant, _) = step.who()?;
    let (id, _) = bottom(chain)?;
    let folder = chain.parent();
    require_free(step, &folder, &item.name, Some(id))?;
    require_longer(step, &folder, &old.name, &item.name, id)?;
    touch(step, item)?;
    unlist(step, tenant, id, old)?;
    Ok(list(step, tenant, id, item, policy(&folder))?)
}

/// A name that is not longer than the last needs no more room.
fn require_longer(
    step: &mut Step<'_>,
    folder: &Chain,
    old: &Name,
    new: &Name,
    id: ItemId,
) -> Result<(), Stop> {
    if new.as_str().len() <= old.as_str().len() {
        return Ok(());
    }
    require_room(step, folder, new, Some(id))
}

/// Takes over what a client says of its own file; the version that is current says the same.
fn set_file(
    step: &mut Step<'_>,
    tenant: TenantId,
    id: ItemId,
    item: &mut Item,
    update: Update<'_>,
) -> Result<(), Stop> {
    let (ItemId::File(id), Body::File(file)) = (id, &mut item.body) else {
        let rule = Invalid::Rule("only files have it".to_owned());
        return Err(Refusal::invalid("client_modified_at", rule).into());
    };
    file.client_modified_at = update.client_modified_at.unwrap_or(file.client_modified_at);
    file.executable = update.executable.unwrap_or(file.executable);
    Ok(version::restate(step, (tenant, id), file)?)
}
