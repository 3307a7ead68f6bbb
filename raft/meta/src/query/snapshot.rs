//! All of a share, or of a folder, that a reader may READ: parents first, page by page.
//!
//! The cursor is taken before the walk begins. What changes meanwhile is in the changes behind it,
//! so that a client that follows them is right in the end, whatever the walk met.

use std::ops::ControlFlow;

use node_base::ShareId;

use super::denied::Denied;
use super::feed::{self, Eyes, Sight, Stream};
use super::item;
use crate::access::Viewer;
use crate::chain::Chain;
use crate::outcome::{ItemView, Noun, Refusal};
use crate::table;
use crate::table::acl::Target;
use crate::table::item::{Child, Children, ItemId, ItemState, Items, Parent};
use crate::tables::{Reader, TableError};

/// A walk in progress: small, and good on any later moment of the tables.
#[derive(Debug, Clone)]
pub struct Snapshot {
    share: ShareId,
    /// The folder asked for, until it has been shown.
    top: Option<ItemView>,
    /// The folders the walk is in, from the top down, with the key of the last child it took.
    open: Vec<Open>,
    cursor: String,
    /// What the walk is of; nothing once it is noted that it shows what only a role lets it.
    unnoted: Option<Target>,
}

#[derive(Debug, Clone)]
struct Open {
    folder: Parent,
    path: Vec<Option<String>>,
    last: Option<String>,
}

impl Snapshot {
    /// Begins a walk over a share, or over a folder with the folder itself first.
    ///
    /// # Errors
    /// Refused when the viewer sees nothing there, or it is in the trash.
    pub fn begin(
        tables: &dyn Reader,
        viewer: &Viewer,
        share: ShareId,
        folder: Parent,
    ) -> Result<Self, Denied> {
        let missing = if folder.is_some() { Noun::Folder } else { Noun::Share };
        let chain = match folder {
            None => Chain::root(tables, viewer.tenant(), share)?,
            Some(folder) => Chain::of(tables, viewer.tenant(), ItemId::Folder(folder))?,
        };
        let chain = chain.filter(|chain| chain.share_id == share);
        let chain = chain.ok_or(Refusal::NotFound(missing))?;
        let mut eyes = Eyes::new(tables, viewer);
        let sight = match chain.items.first() {
            None => eyes.root(&chain)?.sight,
            Some((id, item)) => eyes.item(*id, item)?.sight,
        };
        if sight == Sight::Nothing {
            return Err(Refusal::NotFound(missing).into());
        }
        if chain.is_trashed() {
            return Err(Refusal::Trashed.into());
        }
        let top = match (sight, folder) {
            (Sight::Itself, Some(_)) => Some(item::view(tables, viewer, &chain)?),
            _ => None,
        };
        let newest = feed::newest(tables, viewer, Stream::Share(share))?;
        let cursor = feed::cursor_at(tables, viewer, Stream::Share(share), newest)?;
        let path = item::path(tables, viewer, &chain)?;
        let open = vec![Open { folder, path, last: None }];
        let mut walk = Self { share, top, open, cursor, unnoted: Some(chain.target()) };
        walk.note(&eyes);
        Ok(walk)
    }

    /// Once for the whole walk.
    fn note(&mut self, eyes: &Eyes<'_>) {
        if eyes.passed(self.share)
            && let Some(target) = self.unnoted.take()
        {
            eyes.viewer.note_below(target);
        }
    }

    /// What continues the snapshot once it is walked to its end.
    pub fn cursor(&self) -> &str {
        &self.cursor
    }

    /// The next items, about `limit` of them; none when the walk is done.
    ///
    /// # Errors
    /// Only when the tables fail.
    pub fn page(
        &mut self,
        tables: &dyn Reader,
        viewer: &Viewer,
        limit: usize,
    ) -> Result<Vec<ItemView>, TableError> {
        let mut eyes = Eyes::new(tables, viewer);
        let mut views: Vec<ItemView> = self.top.take().into_iter().collect();
        while views.len() < limit {
            let Some(at) = self.open.last_mut() else { break };
            let from = (at.folder, at.last.clone());
            let Some((key, child)) = next_child(tables, viewer, self.share, from)? else {
                self.open.pop();
                continue;
            };
            at.last = Some(key);
            let path = at.path.clone();
            let row = table::get::<Items>(tables, &(viewer.tenant(), child.item))?;
            let Some(row) = row.filter(|row| row.state == ItemState::Live) else { continue };
            let sight = eyes.item(child.item, &row)?.sight;
            if sight == Sight::Nothing {
                continue;
            }
            let mut path = path;
            let is_seen = sight == Sight::Itself;
            path.push(is_seen.then(|| row.name.as_str().to_owned()));
            if let ItemId::Folder(folder) = child.item {
                self.open.push(Open { folder: Some(folder), path: path.clone(), last: None });
            }
            if is_seen {
                let view = ItemView { id: child.item, item: Some(row), path, is_deleted: false };
                views.push(view);
            }
        }
        self.note(&eyes);
        Ok(views)
    }
}

fn next_child(
    tables: &dyn Reader,
    viewer: &Viewer,
    share: ShareId,
    (folder, last): (Parent, Option<String>),
) -> Result<Option<(String, Child)>, TableError> {
    let prefix = (viewer.tenant(), share, folder);
    let from = (viewer.tenant(), share, folder, last.clone().unwrap_or_default());
    let mut found = None;
    table::scan_from::<Children>(tables, &prefix, &from, &mut |key, child| {
        if Some(&key.3) == last.as_ref() {
            return ControlFlow::Continue(());
        }
        found = Some((key.3, child));
        ControlFlow::Break(())
    })?;
    Ok(found)
}
