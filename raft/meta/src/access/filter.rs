//! The walk over lists, done once for a folder and used for everything in it.

use std::collections::BTreeMap;
use std::sync::Arc;

use node_base::{FolderId, Permission, PermissionSet, ShareId, limits};

use super::decide::{Decision, Level, decide, decide_membership};
use super::{Footing, Verdict, Viewer};
use crate::chain::Chain;
use crate::table;
use crate::table::acl::{self, Entry, Target};
use crate::table::change::ListBefore;
use crate::table::item::{Child, Item, ItemId, ItemState, Items, Parent};
use crate::table::share::{Share, Shares};
use crate::tables::{Reader, TableError};

/// Where lists are read from: the tables, with one of them as it was before, perhaps.
pub(super) struct Lists<'a> {
    pub(super) tables: &'a dyn Reader,
    pub(super) viewer: &'a Viewer,
    pub(super) before: Option<(Target, &'a ListBefore)>,
}

impl<'a> Lists<'a> {
    pub(super) fn now(tables: &'a dyn Reader, viewer: &'a Viewer) -> Self {
        Self { tables, viewer, before: None }
    }

    pub(super) fn before_of(&self, target: Target) -> Option<&'a ListBefore> {
        self.before.filter(|(changed, _)| *changed == target).map(|(_, before)| before)
    }

    pub(super) fn of_share(&self, share: ShareId) -> Result<Vec<Entry>, TableError> {
        let target = Target::Share(share);
        match self.before_of(target) {
            Some(before) => {
                let own = before.entries.iter().filter(|entry| entry.membership.is_none());
                Ok(own.cloned().collect())
            }
            None => self.stored(target),
        }
    }

    /// An item's own list, and whether it inherits.
    pub(super) fn of_item(
        &self,
        id: ItemId,
        item: &Item,
    ) -> Result<(Vec<Entry>, bool), TableError> {
        let target = Target::Item(id);
        match self.before_of(target) {
            Some(before) => Ok((before.entries.clone(), before.inherits)),
            None if item.has_own_entries => Ok((self.stored(target)?, item.inherits)),
            None => Ok((Vec::new(), item.inherits)),
        }
    }

    /// Whether the viewer owns an item, or did before the change that is looked at.
    fn owns(&self, id: ItemId, item: &Item) -> bool {
        let before = self.before_of(Target::Item(id)).and_then(|before| before.owner);
        before.unwrap_or(item.owner) == self.viewer.user()
    }

    fn stored(&self, target: Target) -> Result<Vec<Entry>, TableError> {
        let key = (self.viewer.tenant(), target);
        Ok(table::get::<acl::Lists>(self.tables, &key)?.unwrap_or_default())
    }
}

/// What a folder, or a share's root, hands down to what lies in it.
#[derive(Debug, Clone)]
struct Handed {
    footing: Arc<Footing>,
    /// To an item that is another's, and to one that is the viewer's.
    decisions: [Decision; 2],
}

impl Handed {
    fn from_root(lists: &Lists<'_>, share_id: ShareId, share: &Share) -> Result<Self, TableError> {
        let footing = Arc::new(Footing::of(lists, share_id, share)?);
        let entries = lists.of_share(share_id)?;
        let membership = decide_membership(&footing);
        let decisions = [false, true].map(|is_owner| {
            let level = Level::Above { is_owner };
            decide(&entries, lists.viewer, &footing, level).then(membership)
        });
        Ok(Self { footing, decisions })
    }

    fn through(&self, lists: &Lists<'_>, id: ItemId, item: &Item) -> Result<Self, TableError> {
        let (entries, inherits) = lists.of_item(id, item)?;
        let decisions = [false, true].map(|is_owner| {
            let level = Level::Above { is_owner };
            let own = decide(&entries, lists.viewer, &self.footing, level);
            if inherits { own.then(self.decisions[usize::from(is_owner)]) } else { own }
        });
        Ok(Self { footing: Arc::clone(&self.footing), decisions })
    }

    fn verdict(&self, lists: &Lists<'_>, id: ItemId, item: &Item) -> Result<Verdict, TableError> {
        let (entries, inherits) = lists.of_item(id, item)?;
        let is_owner = lists.owns(id, item);
        let own = decide(&entries, lists.viewer, &self.footing, Level::Own);
        let handed = self.decisions[usize::from(is_owner)];
        let decision = if inherits { own.then(handed) } else { own };
        Ok(finish(lists.viewer, &self.footing, decision, is_owner))
    }
}

/// Adds what stands outside the lists.
fn finish(viewer: &Viewer, footing: &Footing, decision: Decision, is_owner: bool) -> Verdict {
    let manages = footing.manages || (is_owner && footing.is_member());
    let beside = if manages { Permission::ManagePermissions.into() } else { PermissionSet::NONE };
    Verdict {
        listed: decision.allowed | beside,
        passes_all: viewer.passes_all(),
        cap: viewer.cap(),
    }
}

/// The verdict on the item at the bottom of a chain, or on the share's root.
pub(super) fn verdict(lists: &Lists<'_>, chain: &Chain) -> Result<Verdict, TableError> {
    let Some(((id, item), above)) = chain.items.split_first() else {
        let footing = Footing::of(lists, chain.share_id, &chain.share)?;
        let own = decide(&lists.of_share(chain.share_id)?, lists.viewer, &footing, Level::Own);
        let decision = own.then(decide_membership(&footing));
        return Ok(finish(lists.viewer, &footing, decision, false));
    };
    handed_down(lists, chain, above)?.verdict(lists, *id, item)
}

fn handed_down(
    lists: &Lists<'_>,
    chain: &Chain,
    folders: &[(ItemId, Item)],
) -> Result<Handed, TableError> {
    let root = Handed::from_root(lists, chain.share_id, &chain.share)?;
    folders.iter().rev().try_fold(root, |handed, (id, item)| handed.through(lists, *id, item))
}

/// What a viewer may do with the things in one folder: one walk for the folder, and a look at the
/// list of each thing that has one.
#[derive(Debug, Clone)]
pub struct FolderFilter<'v> {
    viewer: &'v Viewer,
    handed: Handed,
}

impl<'v> FolderFilter<'v> {
    /// For what lies in the folder at the bottom of the chain, or in the share's root.
    pub fn of(tables: &dyn Reader, viewer: &'v Viewer, folder: &Chain) -> Result<Self, TableError> {
        let lists = Lists::now(tables, viewer);
        Ok(Self { viewer, handed: handed_down(&lists, folder, &folder.items)? })
    }

    /// For what lies in a folder of this folder: as a walk down a tree goes.
    pub fn descend(
        &self,
        tables: &dyn Reader,
        folder: FolderId,
        row: &Item,
    ) -> Result<Self, TableError> {
        let lists = Lists::now(tables, self.viewer);
        let handed = self.handed.through(&lists, ItemId::Folder(folder), row)?;
        Ok(Self { viewer: self.viewer, handed })
    }

    /// What the viewer may do with things in the folder that have no list of their own: with those
    /// of others, and with its own.
    pub fn hands(&self) -> [PermissionSet; 2] {
        [false, true].map(|is_owner| {
            let decision = self.handed.decisions[usize::from(is_owner)];
            finish(self.viewer, &self.handed.footing, decision, is_owner).mask()
        })
    }

    /// What the viewer may do with an item that lies in the folder.
    pub fn mask(
        &self,
        tables: &dyn Reader,
        id: ItemId,
        item: &Item,
    ) -> Result<PermissionSet, TableError> {
        Ok(self.verdict(tables, id, item)?.mask())
    }

    /// The same, with what it is made of.
    pub fn verdict(
        &self,
        tables: &dyn Reader,
        id: ItemId,
        item: &Item,
    ) -> Result<Verdict, TableError> {
        self.handed.verdict(&Lists::now(tables, self.viewer), id, item)
    }

    /// Whether the viewer may READ a child, looking its rows up only where they can matter.
    pub fn may_read(&self, tables: &dyn Reader, child: &Child) -> Result<bool, TableError> {
        if !self.viewer.cap().contains(Permission::Read) {
            return Ok(false);
        }
        if self.viewer.passes_all() {
            return Ok(true);
        }
        let lists = Lists::now(tables, self.viewer);
        let own = if child.own_permissions {
            let entries = lists.stored(Target::Item(child.item))?;
            decide(&entries, self.viewer, &self.handed.footing, Level::Own)
        } else {
            Decision::default()
        };
        let reads = |decision: Decision| decision.allowed.contains(Permission::Read);
        let [anothers, mine] = self.handed.decisions.map(|handed| reads(own.then(handed)));
        let inheriting = anothers == mine && !child.own_permissions;
        if inheriting || !own.is_open(PermissionSet::READ) {
            return Ok(anothers);
        }
        let key = (self.viewer.tenant(), child.item);
        let Some(item) = table::get::<Items>(tables, &key)? else { return Ok(false) };
        let owned = if lists.owns(child.item, &item) { mine } else { anothers };
        Ok(if item.inherits { owned } else { reads(own) })
    }
}

/// The folders a request has met so far, each walked once: for feeds, search, and whatever else
/// jumps about in a tree. It sees one moment: tables that change under it need a new one.
#[derive(Debug)]
pub struct Memo<'v> {
    viewer: &'v Viewer,
    folders: BTreeMap<(ShareId, Parent), Option<FolderFilter<'v>>>,
}

impl<'v> Memo<'v> {
    pub fn new(viewer: &'v Viewer) -> Self {
        Self { viewer, folders: BTreeMap::new() }
    }

    /// The filter for what lies in a folder, or in the root; nothing when it is gone.
    pub fn folder(
        &mut self,
        tables: &dyn Reader,
        share: ShareId,
        parent: Parent,
    ) -> Result<Option<&FolderFilter<'v>>, TableError> {
        let tenant = self.viewer.tenant();
        let mut below: Vec<(FolderId, Item)> = Vec::new();
        let mut at = parent;
        while let Some(folder) = at.filter(|_| !self.folders.contains_key(&(share, at))) {
            let row = table::get::<Items>(tables, &(tenant, ItemId::Folder(folder)))?;
            let live = |row: &Item| row.share == share && row.state != ItemState::Purging;
            let Some(row) = row.filter(live) else {
                self.folders.insert((share, at), None);
                break;
            };
            if below.len() > limits::DEPTH_MAX {
                return Err(TableError::Invariant("a folder lies in itself"));
            }
            at = row.parent;
            below.push((folder, row));
        }
        let mut filter = self.known(tables, share, at)?;
        for (folder, row) in below.into_iter().rev() {
            filter = match filter {
                Some(above) => Some(above.descend(tables, folder, &row)?),
                None => None,
            };
            self.folders.insert((share, Some(folder)), filter.clone());
        }
        Ok(self.folders.get(&(share, parent)).and_then(Option::as_ref))
    }

    fn known(
        &mut self,
        tables: &dyn Reader,
        share: ShareId,
        at: Parent,
    ) -> Result<Option<FolderFilter<'v>>, TableError> {
        if let Some(known) = self.folders.get(&(share, at)) {
            return Ok(known.clone());
        }
        let row = table::get::<Shares>(tables, &(self.viewer.tenant(), share))?;
        let filter = match row.filter(|row| !row.purging) {
            Some(row) => {
                let lists = Lists::now(tables, self.viewer);
                let handed = Handed::from_root(&lists, share, &row)?;
                Some(FolderFilter { viewer: self.viewer, handed })
            }
            None => None,
        };
        self.folders.insert((share, at), filter.clone());
        Ok(filter)
    }

    /// What the viewer may do with an item; nothing when it is gone.
    pub fn mask(
        &mut self,
        tables: &dyn Reader,
        id: ItemId,
    ) -> Result<Option<PermissionSet>, TableError> {
        Ok(self.verdict(tables, id)?.map(Verdict::mask))
    }

    /// The same, with what it is made of.
    pub fn verdict(
        &mut self,
        tables: &dyn Reader,
        id: ItemId,
    ) -> Result<Option<Verdict>, TableError> {
        let row = table::get::<Items>(tables, &(self.viewer.tenant(), id))?;
        let Some(item) = row.filter(|row| row.state != ItemState::Purging) else {
            return Ok(None);
        };
        match self.folder(tables, item.share, item.parent)? {
            Some(folder) => folder.verdict(tables, id, &item).map(Some),
            None => Ok(None),
        }
    }
}
