//! What the tables say when all is over: what the checks compare a history with.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use node_base::{ConflictId, FileId, Sha256, ShareId, TenantId, UploadId, UserId, VersionId};
use raft_meta::query::audit::{Drift, recount};
use raft_meta::table::conflict::Conflicts;
use raft_meta::table::item::{
    Body, Checksum, Content as Chunks, ItemId, ItemState, Items, ManifestPages, Parent, Version,
    Versions,
};
use raft_meta::table::upload::{UploadState, Uploads};
use raft_meta::{Reader, TableError, table};

use crate::client::content::Content;
use crate::workload::replica::{Known, Tree};

/// One moment of a tenant's tables.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    pub(crate) items: BTreeMap<ItemId, Fact>,
    pub(crate) versions: BTreeMap<VersionId, Stored>,
    /// The contents that conflicts keep.
    pub(crate) conflicts: BTreeMap<ConflictId, Option<Stuff>>,
    pub(crate) drift: Vec<Drift>,
    /// Upload sessions that nobody has ended.
    pub(crate) sessions: Vec<(UserId, UploadId)>,
}

/// An item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fact {
    pub(crate) share: ShareId,
    pub(crate) parent: Parent,
    pub(crate) name: String,
    pub(crate) version: Option<VersionId>,
    pub(crate) state: Standing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    Live,
    Trashed,
    Purging,
}

/// A version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) file: FileId,
    pub(crate) number: u32,
    pub(crate) stuff: Stuff,
}

/// What a content is made of, as the tables tell it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stuff {
    pub(crate) size: u64,
    /// Of the whole, where it is known.
    pub(crate) checksum: Option<Sha256>,
    pub(crate) chunks: Vec<Sha256>,
}

impl Stuff {
    /// Whether it is this content.
    pub(crate) fn is(&self, content: &Content) -> bool {
        if self.size != content.size() {
            return false;
        }
        match self.checksum {
            Some(checksum) => checksum == content.hash(),
            None => content.cut().into_iter().map(|(hash, _)| hash).eq(self.chunks.iter().copied()),
        }
    }
}

impl Facts {
    /// All of a tenant.
    pub(crate) fn of(tables: &dyn Reader, tenant: TenantId) -> Result<Self, TableError> {
        let mut facts = Self { drift: recount(tables, tenant)?, ..Self::default() };
        table::scan::<Items>(tables, &(tenant,), &mut |(_, item), row| {
            let version = match &row.body {
                Body::File(file) => Some(file.version_id),
                Body::Folder => None,
            };
            let state = match row.state {
                ItemState::Live => Standing::Live,
                ItemState::Trashed(_) => Standing::Trashed,
                ItemState::Purging => Standing::Purging,
            };
            let name = row.name.as_str().to_owned();
            let fact = Fact { share: row.share, parent: row.parent, name, version, state };
            facts.items.insert(item, fact);
            ControlFlow::Continue(())
        })?;
        for ((_, file, number), row) in table::all::<Versions>(tables, &(tenant,))? {
            let stuff = stuff(tables, tenant, &row)?;
            facts.versions.insert(row.id, Stored { file, number, stuff });
        }
        for ((_, conflict), row) in table::all::<Conflicts>(tables, &(tenant,))? {
            let content = row.content.as_ref();
            let content = content.map(|row| stuff(tables, tenant, row)).transpose()?;
            facts.conflicts.insert(conflict, content);
        }
        table::scan::<Uploads>(tables, &(tenant,), &mut |(_, upload), row| {
            if row.state == UploadState::Open {
                facts.sessions.push((row.user, upload));
            }
            ControlFlow::Continue(())
        })?;
        Ok(facts)
    }

    /// How something stands, by all that is above it; nothing when it is not there.
    pub(crate) fn standing(&self, item: ItemId) -> Option<Standing> {
        let (mut at, mut standing) = (Some(item), Standing::Live);
        while let Some(item) = at {
            let fact = self.items.get(&item)?;
            match fact.state {
                Standing::Purging => return None,
                Standing::Trashed => standing = Standing::Trashed,
                Standing::Live => {}
            }
            at = fact.parent.map(ItemId::Folder);
        }
        Some(standing)
    }

    /// What there is of a share for who may see all of it.
    pub(crate) fn tree(&self, share: ShareId) -> Tree {
        let live = self.items.iter().filter(|(item, fact)| {
            fact.share == share && self.standing(**item) == Some(Standing::Live)
        });
        let known = |fact: &Fact| Known {
            parent: fact.parent,
            name: fact.name.clone(),
            version: fact.version,
        };
        live.map(|(item, fact)| (*item, known(fact))).collect()
    }

    /// The versions of this content.
    pub(crate) fn versions_like(
        &self,
        content: &Content,
    ) -> impl Iterator<Item = (VersionId, &Stored)> {
        let like = self.versions.iter().filter(move |(_, stored)| stored.stuff.is(content));
        like.map(|(version, stored)| (*version, stored))
    }
}

fn stuff(tables: &dyn Reader, tenant: TenantId, row: &Version) -> Result<Stuff, TableError> {
    let checksum = match row.checksum {
        Checksum::Verified(hash) | Checksum::Mismatch(hash) => Some(hash),
        Checksum::Unknown | Checksum::Pending(_) => None,
    };
    let mut chunks = Vec::new();
    match &row.content {
        Chunks::Inline(list) => chunks.extend(list.iter().map(|chunk| chunk.hash)),
        Chunks::Paged(manifest) => {
            table::scan::<ManifestPages>(tables, &(tenant, *manifest), &mut |_, page| {
                chunks.extend(page.chunks.iter().flatten().map(|chunk| chunk.hash));
                ControlFlow::Continue(())
            })?;
        }
    }
    Ok(Stuff { size: row.size, checksum, chunks })
}
