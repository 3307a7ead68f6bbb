//! Copies: new items of the caller's with the contents that are current; no bytes move.

use std::collections::BTreeMap;

use node_base::{FileId, FolderId, Name, Permission};

use super::commit::{bytes, current};
use super::place::{
    bottom, change, list, live, name as named, new_item, policy, record, require_free,
    require_room, save, target, text as id_text,
};
use super::relocate::collect;
use super::subtree::{require_below, too_many};
use crate::apply::quota::{self, Delta};
use crate::apply::{Step, Stop, content, feed};
use crate::chain::Chain;
use crate::command::Place;
use crate::outcome::{ItemView, Refusal};
use crate::table;
use crate::table::change::ChangeKind;
use crate::table::item::{Body, Content, Item, ItemId, ItemState, Parent, Version, Versions};
use crate::tables::TableError;

/// References that one command takes up.
const CHUNKS_MAX: usize = 100_000;

/// READ on the item and all that lies below, CREATE on the target.
pub(crate) fn item(
    step: &mut Step<'_>,
    id: ItemId,
    to: Place,
    text: Option<&str>,
) -> Result<ItemView, Stop> {
    let chain = live(step, id, Permission::Read)?;
    super::require_revision(step, &chain)?;
    let folder = target(step, to)?;
    require_below(step, &chain, Permission::Read)?;
    let (tenant, user) = step.who()?;
    let (_, source) = bottom(&chain)?;
    let name = match text {
        Some(text) => named(text, &folder)?,
        None => named(source.name.as_str(), &folder)?,
    };
    require_free(step, &folder, &name, None)?;
    require_room(step, &folder, &name, Some(id))?;
    let below = collect(step.reader(), tenant, id, &source)?;
    let mut copying =
        Copying { folder: &folder, folders: BTreeMap::new(), sum: Delta::default(), chunks: 0 };
    let parent = super::place::parent_of(&folder);
    let (copy, row) = copying.copy(step, id, &source, parent, name)?;
    for (id, source) in below {
        copying.copy_below(step, id, &source)?;
    }
    quota::charge(step, tenant, folder.share_id, user, copying.sum)?;
    let mut draft = change(copy, &row, ChangeKind::Created);
    draft.subtree = matches!(copy, ItemId::Folder(_));
    feed::append(step, tenant, folder.share_id, draft)?;
    let action = match copy {
        ItemId::Folder(_) => "folder.copied",
        ItemId::File(_) => "file.copied",
    };
    record(step, tenant, action, copy, vec![("source", id_text(id))])?;
    super::view(step, copy)
}

struct Copying<'a> {
    folder: &'a Chain,
    /// The copy of each folder.
    folders: BTreeMap<FolderId, FolderId>,
    sum: Delta,
    chunks: usize,
}

impl Copying<'_> {
    /// What lies in the trash, or in something that does, is not copied.
    fn copy_below(&mut self, step: &mut Step<'_>, id: ItemId, source: &Item) -> Result<(), Stop> {
        let parent = source.parent.and_then(|parent| self.folders.get(&parent)).copied();
        if let (ItemState::Live, Some(parent)) = (source.state, parent) {
            let name = Name::new(source.name.as_str(), policy(self.folder))
                .map_err(|error| Refusal::invalid("name", error))?;
            self.copy(step, id, source, Some(parent), name)?;
        }
        Ok(())
    }

    fn copy(
        &mut self,
        step: &mut Step<'_>,
        id: ItemId,
        source: &Item,
        parent: Parent,
        name: Name,
    ) -> Result<(ItemId, Item), Stop> {
        let (tenant, _) = step.who()?;
        let (copy, body) = match (id, &source.body) {
            (ItemId::File(id), Body::File(file)) => {
                let (copy, version) = self.copy_version(step, id, file.version)?;
                (ItemId::File(copy), Body::File(current(&version, 1)))
            }
            (ItemId::Folder(id), _) => {
                let copy: FolderId = step.new_id();
                self.folders.insert(id, copy);
                self.sum.folders += 1;
                (ItemId::Folder(copy), Body::Folder)
            }
            (ItemId::File(_), Body::Folder) => {
                return Err(TableError::Invariant("a file's row is a folder's").into());
            }
        };
        let mut item = Item { parent, ..new_item(step, self.folder, name, body)? };
        let taken = crate::query::children::find(
            step.reader(),
            tenant,
            item.share,
            parent,
            &item.name,
            policy(self.folder),
        )?;
        if taken.is_some() {
            return Err(Refusal::NameConflict { item: None }.into());
        }
        save(step, tenant, copy, &mut item)?;
        list(step, tenant, copy, &item, policy(self.folder))?;
        Ok((copy, item))
    }

    fn copy_version(
        &mut self,
        step: &mut Step<'_>,
        id: FileId,
        number: u32,
    ) -> Result<(FileId, Version), Stop> {
        let (tenant, user) = step.who()?;
        let row = table::get::<Versions>(step.reader(), &(tenant, id, number))?;
        let row = row.ok_or(TableError::Invariant("a current version is not there"))?;
        self.chunks += match &row.content {
            Content::Inline(chunks) => chunks.len(),
            Content::Paged(_) => 1,
        };
        if self.chunks > CHUNKS_MAX {
            return Err(too_many("or their contents too long").into());
        }
        content::hold(step, tenant, self.folder.share_id, &row.content)?;
        self.sum.files += 1;
        self.sum.bytes = self.sum.bytes.saturating_add(bytes(row.size));
        let copy: FileId = step.new_id();
        let version = Version { id: step.new_id(), created_by: user, created_at: step.now, ..row };
        super::version::put(step, (tenant, copy, 1), &version)?;
        Ok((copy, version))
    }
}
