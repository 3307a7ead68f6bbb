//! What lies in a folder: names, and pages of a listing.

use node_base::{Name, NamePolicy, ShareId, TenantId};

use crate::table::item::{Children, ItemId, Items, Parent};
use crate::table::{self};
use crate::tables::{Reader, TableError};

/// Between a folded name and the name itself, in the keys of shares that tell case apart. A folded
/// portable name has no control characters.
const CASED: char = '\u{1}';

/// Under which key a name is listed by a share of this policy.
pub(crate) fn key(name: &Name, policy: NamePolicy) -> String {
    let folded = name.key(NamePolicy::Portable);
    let folded = String::from_utf8_lossy(folded.as_bytes()).into_owned();
    match policy {
        NamePolicy::Portable => folded,
        NamePolicy::Any => format!("{folded}{CASED}{}", name.as_str()),
    }
}

/// Who has a name that `name` may not be used beside, in a share that has this policy now. Names
/// that were given under the other policy count as well.
pub(crate) fn find(
    tables: &dyn Reader,
    tenant: TenantId,
    share: ShareId,
    parent: Parent,
    name: &Name,
    policy: NamePolicy,
) -> Result<Option<ItemId>, TableError> {
    let at = |key: String| table::get::<Children>(tables, &(tenant, share, parent, key));
    let portable = at(key(name, NamePolicy::Portable))?.map(|child| child.item);
    match policy {
        NamePolicy::Any => {
            if let Some(child) = at(key(name, NamePolicy::Any))? {
                return Ok(Some(child.item));
            }
            let Some(item) = portable else { return Ok(None) };
            let row = table::get::<Items>(tables, &(tenant, item))?;
            Ok(row.filter(|row| row.name == *name).map(|_| item))
        }
        NamePolicy::Portable if portable.is_some() => Ok(portable),
        NamePolicy::Portable => cased(tables, tenant, share, parent, name),
    }
}

/// Who was given, when the share told case apart, a name that differs in nothing else.
fn cased(
    tables: &dyn Reader,
    tenant: TenantId,
    share: ShareId,
    parent: Parent,
    name: &Name,
) -> Result<Option<ItemId>, TableError> {
    use std::ops::ControlFlow;
    let folded = key(name, NamePolicy::Portable);
    let start = format!("{folded}{CASED}");
    let mut found = None;
    let from = (tenant, share, parent, start.clone());
    table::scan_from::<Children>(
        tables,
        &(tenant, share, parent),
        &from,
        &mut |key_found, child| {
            let Some(rest) = key_found.3.strip_prefix(&start) else {
                return ControlFlow::Break(());
            };
            let other = Name::new(rest, NamePolicy::Any);
            if other.is_ok_and(|other| key(&other, NamePolicy::Portable) == folded) {
                found = Some(child.item);
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        },
    )?;
    Ok(found)
}
