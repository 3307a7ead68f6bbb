//! What a reader sees of something: it, only things below it, or nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use node_base::{FileId, Name, NamePolicy, Permission, ShareId, UserId};

use crate::access::{Memo, Viewer};
use crate::chain::Chain;
use crate::table;
use crate::table::acl::{Listed, Target};
use crate::table::change::ListBefore;
use crate::table::item::{Body, Item, ItemId, ItemState, Items, Parent};
use crate::tables::{Reader, TableError};

/// How much of something a reader sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Sight {
    Nothing,
    /// Not the folder itself, but perhaps things that lie below it.
    Below,
    Itself,
}

/// What something is to a reader: how much is seen of it, and whether what lies in it and has no
/// list of its own is, for things of others and for the reader's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct View {
    pub(crate) sight: Sight,
    pub(crate) hands: [bool; 2],
}

impl View {
    fn of(itself: bool, hands: [bool; 2], has_below: bool) -> Self {
        let sight = match (itself, has_below || hands.contains(&true)) {
            (true, _) => Sight::Itself,
            (false, true) => Sight::Below,
            (false, false) => Sight::Nothing,
        };
        Self { sight, hands }
    }
}

/// Folders, and the root, above things that have lists of their own or do not inherit.
#[derive(Default)]
struct Above {
    /// Above what the reader sees, or sees things in.
    seen: BTreeSet<Parent>,
    /// Above folders, seen or not; and above those that are closed to the reader.
    folders: BTreeSet<Parent>,
    closed: BTreeSet<Parent>,
}

/// A reader's sight of one moment of the tables, each folder walked once.
pub(crate) struct Eyes<'a> {
    pub(crate) tables: &'a dyn Reader,
    pub(crate) viewer: &'a Viewer,
    memo: Memo<'a>,
    /// Of each share, what lies above things that have lists of their own; found when first asked.
    above: BTreeMap<ShareId, Above>,
    paths: BTreeMap<(ShareId, Parent), Option<Vec<Option<String>>>>,
    /// Shares in which only the reader's stored role let something be seen.
    passed: BTreeSet<ShareId>,
}

impl<'a> Eyes<'a> {
    pub(crate) fn new(tables: &'a dyn Reader, viewer: &'a Viewer) -> Self {
        let memo = Memo::new(viewer);
        let (above, paths, passed) = (BTreeMap::new(), BTreeMap::new(), BTreeSet::new());
        Self { tables, viewer, memo, above, paths, passed }
    }

    /// Whether only the reader's stored role let something of the share be seen so far.
    pub(crate) fn passed(&self, share: ShareId) -> bool {
        self.passed.contains(&share)
    }

    fn hands(&mut self, share: ShareId, parent: Parent) -> Result<[bool; 2], TableError> {
        let filter = self.memo.folder(self.tables, share, parent)?;
        Ok(filter.map_or([false; 2], |filter| reads(filter.hands())))
    }

    /// What an item is to the reader where it lies now.
    pub(crate) fn item(&mut self, id: ItemId, item: &Item) -> Result<View, TableError> {
        self.item_in(id, item, item.parent)
    }

    /// What an item would be to the reader if it lay in that folder.
    pub(crate) fn item_in(
        &mut self,
        id: ItemId,
        item: &Item,
        parent: Parent,
    ) -> Result<View, TableError> {
        let tables = self.tables;
        let Some(filter) = self.memo.folder(tables, item.share, parent)? else {
            return Ok(View { sight: Sight::Nothing, hands: [false; 2] });
        };
        let verdict = filter.verdict(tables, id, item)?;
        if verdict.is_override(Permission::Read) {
            self.passed.insert(item.share);
        }
        let itself = verdict.mask().contains(Permission::Read);
        let ItemId::Folder(folder) = id else { return Ok(View::of(itself, [false; 2], false)) };
        let hands = reads(filter.descend(tables, folder, item)?.hands());
        let has_below = !itself && self.has_below(item.share, Some(folder))?;
        Ok(View::of(itself, hands, has_below))
    }

    /// What a share's root is to the reader.
    pub(crate) fn root(&mut self, chain: &Chain) -> Result<View, TableError> {
        let itself = self.viewer.mask(self.tables, chain)?.contains(Permission::Read);
        let hands = self.hands(chain.share_id, None)?;
        let has_below = !itself && self.has_below(chain.share_id, None)?;
        Ok(View::of(itself, hands, has_below))
    }

    /// What the bottom of a chain was to the reader before its rights changed.
    pub(crate) fn before(
        &mut self,
        chain: &Chain,
        target: Target,
        before: &ListBefore,
    ) -> Result<View, TableError> {
        let (tables, viewer) = (self.tables, self.viewer);
        let reads = |chain: &Chain| viewer.could_read(tables, chain, target, before);
        let itself = reads(chain)?;
        if let Target::Item(ItemId::File(_)) = target {
            return Ok(View::of(itself, [false; 2], false));
        }
        let mut hands = [false; 2];
        for (hands, owner) in hands.iter_mut().zip([UserId::from(0), self.viewer.user()]) {
            *hands = reads(&with_plain(chain, owner))?;
        }
        let folder = match target {
            Target::Item(ItemId::Folder(folder)) => Some(folder),
            _ => None,
        };
        let has_below = !itself && self.has_below(chain.share_id, folder)?;
        Ok(View::of(itself, hands, has_below))
    }

    /// Whether something that has a list of its own is seen below the folder.
    pub(crate) fn has_below(&mut self, share: ShareId, folder: Parent) -> Result<bool, TableError> {
        Ok(self.above(share)?.seen.contains(&folder))
    }

    /// Whether folders with lists of their own lie below the folder.
    pub(crate) fn has_listed(
        &mut self,
        share: ShareId,
        folder: Parent,
    ) -> Result<bool, TableError> {
        Ok(self.above(share)?.folders.contains(&folder))
    }

    /// Whether folders below the folder are closed to the reader.
    pub(crate) fn has_closed(
        &mut self,
        share: ShareId,
        folder: Parent,
    ) -> Result<bool, TableError> {
        Ok(self.above(share)?.closed.contains(&folder))
    }

    fn above(&mut self, share: ShareId) -> Result<&Above, TableError> {
        if !self.above.contains_key(&share) {
            let above = self.find_above(share)?;
            self.above.insert(share, above);
        }
        Ok(self.above.entry(share).or_default())
    }

    fn find_above(&mut self, share: ShareId) -> Result<Above, TableError> {
        let mut above = Above::default();
        if self.viewer.passes_all() {
            return Ok(above);
        }
        let (tables, viewer) = (self.tables, self.viewer);
        let mut listed = Vec::new();
        table::scan::<Listed>(tables, &(viewer.tenant(), share), &mut |(_, _, id), ()| {
            listed.push(id);
            ControlFlow::Continue(())
        })?;
        for id in listed {
            let Some(item) = table::get::<Items>(tables, &(viewer.tenant(), id))? else { continue };
            let Some(filter) = self.memo.folder(tables, share, item.parent)? else { continue };
            let is_open = filter.mask(tables, id, &item)?.contains(Permission::Read);
            let mut is_seen = is_open;
            if let ItemId::Folder(folder) = id {
                let hands = filter.descend(tables, folder, &item)?.hands();
                is_seen |= reads(hands).contains(&true);
                mark(tables, viewer, &mut above.folders, item.parent)?;
                if !is_open {
                    mark(tables, viewer, &mut above.closed, item.parent)?;
                }
            }
            if is_seen {
                mark(tables, viewer, &mut above.seen, item.parent)?;
            }
        }
        Ok(above)
    }

    /// The names down to a folder as the reader may see them; nothing when it is gone.
    pub(crate) fn path(
        &mut self,
        share: ShareId,
        parent: Parent,
    ) -> Result<Option<Vec<Option<String>>>, TableError> {
        let Some(folder) = parent else { return Ok(Some(Vec::new())) };
        if let Some(path) = self.paths.get(&(share, parent)) {
            return Ok(path.clone());
        }
        let id = ItemId::Folder(folder);
        let chain = Chain::of(self.tables, self.viewer.tenant(), id)?;
        let path = match chain.filter(|chain| chain.share_id == share) {
            Some(chain) => Some(crate::query::item::path(self.tables, self.viewer, &chain)?),
            None => None,
        };
        self.paths.insert((share, parent), path.clone());
        Ok(path)
    }
}

/// Adds a folder and all that are above it.
fn mark(
    tables: &dyn Reader,
    viewer: &Viewer,
    marked: &mut BTreeSet<Parent>,
    parent: Parent,
) -> Result<(), TableError> {
    let mut at = Some(parent);
    while let Some(parent) = at.filter(|parent| marked.insert(*parent)) {
        at = match parent {
            Some(folder) => {
                let key = (viewer.tenant(), ItemId::Folder(folder));
                table::get::<Items>(tables, &key)?.map(|row| row.parent)
            }
            None => None,
        };
    }
    Ok(())
}

fn reads(hands: [node_base::PermissionSet; 2]) -> [bool; 2] {
    hands.map(|mask| mask.contains(Permission::Read))
}

/// The chain with a thing in it that has no list of its own.
fn with_plain(chain: &Chain, owner: UserId) -> Chain {
    let parent = match chain.items.first() {
        Some((ItemId::Folder(folder), _)) => Some(*folder),
        _ => None,
    };
    let mut chain = chain.clone();
    let plain = plain(chain.share_id, parent, owner);
    chain.items.insert(0, (ItemId::File(FileId::from(0)), plain));
    chain
}

/// A thing that has no list of its own, where it would lie.
pub(crate) fn plain(share: ShareId, parent: Parent, owner: UserId) -> Item {
    let at = node_base::Timestamp::from_millis(0);
    Item {
        share,
        parent,
        name: Name::new("-", NamePolicy::Any).expect("it is no dot and has no slash"),
        owner,
        created_by: owner,
        created_at: at,
        modified_by: owner,
        modified_at: at,
        revision: 0,
        state: ItemState::Live,
        has_own_entries: false,
        inherits: true,
        body: Body::Folder,
    }
}
