//! The change log: each change of a tree is one row in its share's log, numbered without gaps, and
//! one line in the tenant's order.
//!
//! A row tells what was done, once for everybody. What each reader is told of it is decided when it
//! is read ([`query::feed`](crate::query::feed)).

use std::ops::ControlFlow;

use node_base::{Name, ShareId, TenantId, VersionId, limits};

use super::{Step, Stop};
use crate::caller::Caller;
use crate::table::acl::Target;
use crate::table::change::{
    Aspect, Change, ChangeKind, Changes, Feed, ListBefore, ShareFeeds, TenantChanges, TenantFeeds,
    Turns,
};
use crate::table::item::{Body, Items, Parent};
use crate::table::{self};
use crate::tables::{Reader, TableError};

/// A change to be appended; number, time and author are added.
pub(crate) struct Draft {
    pub(crate) target: Target,
    pub(crate) kind: ChangeKind,
    pub(crate) parent: Parent,
    pub(crate) name: Option<Name>,
    pub(crate) old: Option<(Parent, Name)>,
    pub(crate) version: Option<VersionId>,
    pub(crate) size: Option<u64>,
    pub(crate) subtree: bool,
    pub(crate) before: Option<ListBefore>,
}

/// Appends a change to a share's log and the tenant's. What it is about must be written already.
pub(crate) fn append(
    step: &mut Step<'_>,
    tenant: TenantId,
    share: ShareId,
    draft: Draft,
) -> Result<(), Stop> {
    let number = match draft.version {
        Some(_) => version_number(step.reader(), tenant, draft.target)?,
        None => None,
    };
    let by = match step.caller {
        Caller::User(user) => Some(user.user),
        Caller::Node(_) => None,
    };
    let change = Change {
        id: step.new_id(),
        target: draft.target,
        kind: draft.kind,
        by,
        device: step.device.cloned(),
        at: step.now,
        parent: draft.parent,
        name: draft.name,
        old: draft.old,
        version: draft.version,
        number,
        size: draft.size,
        subtree: draft.subtree,
        before: draft.before,
    };
    let mut feed = table::get::<ShareFeeds>(step.reader(), &(tenant, share))?.unwrap_or_default();
    feed.last += 1;
    table::put::<ShareFeeds>(step.tables, &(tenant, share), &feed)?;
    table::put::<Changes>(step.tables, &(tenant, share, feed.last), &change)?;
    if let Some(aspect) = turns(&change) {
        let key = (tenant, share, change.target);
        let mut turned = table::get::<Turns>(step.reader(), &key)?.unwrap_or_default();
        turned.note(aspect, feed.last);
        table::put::<Turns>(step.tables, &key, &turned)?;
    }
    let mut all = table::get::<TenantFeeds>(step.reader(), &(tenant,))?.unwrap_or_default();
    all.last += 1;
    table::put::<TenantFeeds>(step.tables, &(tenant,), &all)?;
    table::put::<TenantChanges>(step.tables, &(tenant, all.last), &(share, feed.last))?;
    Ok(())
}

fn version_number(
    tables: &dyn Reader,
    tenant: TenantId,
    target: Target,
) -> Result<Option<u32>, TableError> {
    let Target::Item(item) = target else { return Ok(None) };
    let row = table::get::<Items>(tables, &(tenant, item))?;
    Ok(row.and_then(|row| match row.body {
        Body::File(file) => Some(file.version),
        Body::Folder => None,
    }))
}

/// By what the target, and what lies in it, may come into or out of sight.
fn turns(change: &Change) -> Option<Aspect> {
    match (change.kind, &change.before) {
        (ChangeKind::Permissions, Some(before)) => Some(before.aspect()),
        (ChangeKind::Permissions, None) => Some(Aspect::List),
        (ChangeKind::Moved | ChangeKind::Restored, _) => Some(Aspect::Place),
        (
            ChangeKind::Created | ChangeKind::Updated | ChangeKind::Renamed | ChangeKind::Deleted,
            _,
        ) => None,
    }
}

/// Forgets changes of a share that are older than is promised, and more than is promised; answers
/// how many.
pub(crate) fn trim_share(
    step: &mut Step<'_>,
    tenant: TenantId,
    share: ShareId,
    limit: u32,
) -> Result<u32, Stop> {
    let Some(mut feed) = table::get::<ShareFeeds>(step.reader(), &(tenant, share))? else {
        return Ok(0);
    };
    let start = feed.forgotten;
    while may_trim(&feed, start, limit) {
        let key = (tenant, share, feed.forgotten + 1);
        match table::get::<Changes>(step.reader(), &key)? {
            Some(change) if is_kept(step, &change) => break,
            _ => table::delete::<Changes>(step.tables, &key)?,
        }
        feed.forgotten += 1;
    }
    if feed.forgotten > start {
        table::put::<ShareFeeds>(step.tables, &(tenant, share), &feed)?;
    }
    Ok(count(feed.forgotten - start))
}

/// The same for the order of a tenant's changes: a line goes after the change it names.
pub(crate) fn trim_tenant(step: &mut Step<'_>, tenant: TenantId, limit: u32) -> Result<u32, Stop> {
    let Some(mut feed) = table::get::<TenantFeeds>(step.reader(), &(tenant,))? else {
        return Ok(0);
    };
    let start = feed.forgotten;
    while may_trim(&feed, start, limit) {
        let key = (tenant, feed.forgotten + 1);
        if let Some((share, number)) = table::get::<TenantChanges>(step.reader(), &key)? {
            let change = table::get::<Changes>(step.reader(), &(tenant, share, number))?;
            if change.is_some_and(|change| is_kept(step, &change)) {
                break;
            }
        }
        table::delete::<TenantChanges>(step.tables, &key)?;
        feed.forgotten += 1;
    }
    if feed.forgotten > start {
        table::put::<TenantFeeds>(step.tables, &(tenant,), &feed)?;
    }
    Ok(count(feed.forgotten - start))
}

/// Forgets what may be forgotten of all tenants and shares, a bounded number of rows; answers how
/// many.
pub(crate) fn trim(step: &mut Step<'_>, limit: u32) -> Result<u32, Stop> {
    let mut tenants = Vec::new();
    table::scan::<TenantFeeds>(step.reader(), &(), &mut |(tenant,), _| {
        tenants.push(tenant);
        ControlFlow::Continue(())
    })?;
    let mut worked = 0;
    for tenant in tenants {
        worked += trim_tenant(step, tenant, limit.saturating_sub(worked))?;
    }
    let left = limit.saturating_sub(worked);
    let swept = super::item::sweep(step, super::item::Sweep::Feed, left, |step, share, left| {
        trim_share(step, share.0, share.1, left)
    })?;
    Ok(worked + swept)
}

fn may_trim(feed: &Feed, start: u64, limit: u32) -> bool {
    feed.last - feed.forgotten > limits::CHANGES_KEPT_MIN
        && feed.forgotten - start < u64::from(limit)
}

fn is_kept(step: &Step<'_>, change: &Change) -> bool {
    step.now.since(change.at) <= limits::CHANGES_KEPT
}

fn count(rows: u64) -> u32 {
    u32::try_from(rows).unwrap_or(u32::MAX)
}
