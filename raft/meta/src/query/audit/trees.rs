//! Items, versions, and what follows from them.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use node_base::{FileId, NamePolicy, ShareId, TenantId, UserId};

use super::books::{Books, Subject};
use crate::query::children;
use crate::table::conflict::{Conflicts, ShareConflicts};
use crate::table::item::{
    Body, Children, Content, Item, ItemId, ItemState, Items, Trash, Version, Versions,
};
use crate::table::people::Principal;
use crate::table::quota::{QuotaTarget, Usage, Usages};
use crate::table::share::{Members, PrincipalShares, Shares};
use crate::table::{self};
use crate::tables::{Reader, TableError};

/// What is counted for an item, a version or a conflict.
struct Account {
    tenant: TenantId,
    owners: BTreeMap<ShareId, Principal>,
}

impl Account {
    fn count(&self, books: &mut Books, share: ShareId, owner: UserId, usage: &Usage) {
        let tenant = self.tenant;
        let mut targets = vec![
            QuotaTarget::Share(tenant, share),
            QuotaTarget::User(tenant, owner),
            QuotaTarget::Tenant(tenant),
        ];
        if let Some(Principal::Group(group)) = self.owners.get(&share) {
            targets.push(QuotaTarget::Group(tenant, *group));
        }
        for target in targets {
            books.usage(target, usage, Books::counted);
        }
    }
}

/// A file as far as its versions need it.
struct Owned {
    share: ShareId,
    owner: UserId,
    current: u32,
}

/// What items, versions and conflicts hold and take.
pub(super) fn contents(
    tables: &dyn Reader,
    tenant: TenantId,
    books: &mut Books,
) -> Result<(), TableError> {
    let shares = table::all::<Shares>(tables, &(tenant,))?;
    let owners = shares.into_iter().map(|((_, id), share)| (id, share.owner)).collect();
    let account = Account { tenant, owners };
    let mut files: BTreeMap<FileId, Owned> = BTreeMap::new();
    table::scan::<Items>(tables, &(tenant,), &mut |(_, id), item| {
        let mut usage = Usage::default();
        match (&item.body, id) {
            (Body::File(file), ItemId::File(id)) => {
                usage.file_count = 1;
                let current = file.version;
                files.insert(id, Owned { share: item.share, owner: item.owner, current });
            }
            _ => usage.folder_count = 1,
        }
        account.count(books, item.share, item.owner, &usage);
        ControlFlow::Continue(())
    })?;
    table::scan::<Versions>(tables, &(tenant,), &mut |(_, id, number), version| {
        match files.get(&id) {
            Some(file) => {
                let is_old = number != file.current;
                content(books, file.share, &version);
                account.count(books, file.share, file.owner, &bytes(&version, is_old));
            }
            None => books.stored(Subject::Version(id, number), 1),
        }
        ControlFlow::Continue(())
    })?;
    table::scan::<Conflicts>(tables, &(tenant,), &mut |(_, id), conflict| {
        books.counted(Subject::ShareConflict(conflict.share, id), 1);
        if let Some(version) = &conflict.content {
            content(books, conflict.share, version);
            account.count(books, conflict.share, conflict.user, &bytes(version, false));
        }
        ControlFlow::Continue(())
    })
}

fn bytes(version: &Version, is_old: bool) -> Usage {
    let version_bytes = if is_old { version.size } else { 0 };
    Usage { used_bytes: version.size, version_bytes, ..Usage::default() }
}

fn content(books: &mut Books, share: ShareId, version: &Version) {
    match &version.content {
        Content::Inline(chunks) => {
            for chunk in chunks {
                books.counted(Subject::References(chunk.hash), 1);
                books.counted(Subject::ShareReferences(share, chunk.hash), 1);
            }
        }
        Content::Paged(manifest) => books.counted(Subject::Holders(*manifest), 1),
    }
}

/// Rows that only repeat what others say.
pub(super) fn indexes(
    tables: &dyn Reader,
    tenant: TenantId,
    books: &mut Books,
) -> Result<(), TableError> {
    table::scan::<Items>(tables, &(tenant,), &mut |(_, id), item| {
        match item.state {
            ItemState::Live => {
                books.counted(Subject::Child(item.share, item.parent, id), 1);
            }
            ItemState::Trashed(_) => books.counted(Subject::Trash(item.share, id), 1),
            ItemState::Purging => {}
        }
        ControlFlow::Continue(())
    })?;
    let mut listed = Vec::new();
    table::scan::<Children>(tables, &(tenant,), &mut |(_, share, parent, name), child| {
        listed.push((share, parent, name, child.item));
        ControlFlow::Continue(())
    })?;
    for (share, parent, name, id) in listed {
        let item = table::get::<Items>(tables, &(tenant, id))?;
        // A row under another name than the item's counts twice: it can never be right.
        let is_its_name = item.is_none_or(|item| keys(&item).contains(&name));
        books.stored(Subject::Child(share, parent, id), if is_its_name { 1 } else { 2 });
    }
    table::scan::<Trash>(tables, &(tenant,), &mut |(_, share, id), _| {
        books.stored(Subject::Trash(share, id), 1);
        ControlFlow::Continue(())
    })?;
    table::scan::<ShareConflicts>(tables, &(tenant,), &mut |(_, share, id), ()| {
        books.stored(Subject::ShareConflict(share, id), 1);
        ControlFlow::Continue(())
    })?;
    table::scan::<Members>(tables, &(tenant,), &mut |(_, share, principal), _| {
        books.counted(Subject::PrincipalShare(principal, share), 1);
        ControlFlow::Continue(())
    })?;
    table::scan::<PrincipalShares>(tables, &(tenant,), &mut |(_, principal, share), ()| {
        books.stored(Subject::PrincipalShare(principal, share), 1);
        ControlFlow::Continue(())
    })
}

/// A share may have changed its policy since the item was named.
fn keys(item: &Item) -> [String; 2] {
    [NamePolicy::Portable, NamePolicy::Any].map(|policy| children::key(&item.name, policy))
}

/// What the tenant's rows say is used.
pub(super) fn usages(
    tables: &dyn Reader,
    tenant: TenantId,
    books: &mut Books,
) -> Result<(), TableError> {
    table::scan::<Usages>(tables, &(tenant,), &mut |(target,), usage| {
        books.usage(target, &usage, Books::stored);
        ControlFlow::Continue(())
    })
}
