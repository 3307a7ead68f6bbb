//! The change log as each reader may follow it.
//!
//! One row of the log is at most one change for a reader ([`tell`]), so that a cursor that names a
//! row neither skips nor repeats. Rows are judged by the permissions in force now. A poll that
//! finds nothing new reads the share, its feed and the caller, however large the share.

mod cursor;
mod sight;
mod tell;
#[cfg(test)]
pub(crate) mod tests;

use node_base::ShareId;
use node_base::plant::{self, Bug};

use super::denied::Denied;
use crate::access::Viewer;
use crate::chain::Chain;
use crate::outcome::{Expired, Noun, Refusal};
use crate::table;
use crate::table::acl::Target;
use crate::table::change::{Changes, Feed, ShareFeeds, TenantChanges, TenantFeeds};
use crate::tables::{Reader, TableError};

use cursor::Position;
pub(crate) use sight::{Eyes, Sight};
pub use tell::Told;

/// Rows that one question looks at, whether the reader may be told of them or not.
const ROWS_MAX: u64 = 20_000;

/// Whose changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    Share(ShareId),
    /// All that the caller may READ, in the tenant's order.
    All,
}

/// From where on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Since<'a> {
    Beginning,
    Now,
    Cursor(&'a str),
}

/// A stretch of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangesPage {
    pub changes: Vec<Told>,
    /// Continues behind this stretch.
    pub cursor: String,
    pub incarnation: u64,
    /// The number, in the stream's own order, of the last row that was looked at.
    pub position: u64,
    pub has_more: bool,
}

/// The next changes, at most `limit`. There may be none and still be more: rows that the reader may
/// not be told of are passed over, a bounded number at a time.
///
/// # Errors
/// Refused for a cursor that is not of this stream, or too old, and for a share that the reader
/// sees nothing of.
pub fn changes(
    tables: &dyn Reader,
    viewer: &Viewer,
    stream: Stream,
    since: Since<'_>,
    limit: usize,
) -> Result<ChangesPage, Denied> {
    let head = head(tables, viewer, stream)?;
    let from = start(tables, viewer, stream, since, &head)?;
    let mut eyes = Eyes::new(tables, viewer);
    let mut position = from;
    let mut changes = Vec::new();
    while position < head.last && changes.len() < limit && position - from < ROWS_MAX {
        position += 1;
        let Some((share, number)) = place(tables, viewer, stream, position)? else { continue };
        let row = table::get::<Changes>(tables, &(viewer.tenant(), share, number))?;
        let Some(change) = row else { continue };
        let together = |told: &Told| told.at == change.at;
        if plant::on(Bug::SkipChange) && changes.last().is_some_and(together) {
            continue;
        }
        changes.extend(tell::tell(&mut eyes, tell::Row { share, number, change: &change })?);
    }
    for told in &changes {
        if eyes.passed(told.share) {
            viewer.note_below(Target::Share(told.share));
        }
    }
    if let Stream::Share(share) = stream
        && changes.is_empty()
    {
        require_sight(&mut eyes, share)?;
    }
    let at = Position { incarnation: head.incarnation, last: position };
    Ok(ChangesPage {
        changes,
        cursor: cursor::write(tables, viewer.tenant(), stream, at)?,
        incarnation: head.incarnation,
        position,
        has_more: position < head.last,
    })
}

/// What a cursor of this stream says: its incarnation and position.
///
/// # Errors
/// Refused like [`changes`] would.
pub fn read_cursor(
    tables: &dyn Reader,
    viewer: &Viewer,
    stream: Stream,
    text: &str,
) -> Result<(u64, u64), Denied> {
    let head = head(tables, viewer, stream)?;
    let last = start(tables, viewer, stream, Since::Cursor(text), &head)?;
    Ok((head.incarnation, last))
}

/// The cursor for a position that was agreed.
///
/// # Errors
/// Only when the tables fail.
pub fn cursor_at(
    tables: &dyn Reader,
    viewer: &Viewer,
    stream: Stream,
    (incarnation, last): (u64, u64),
) -> Result<String, TableError> {
    cursor::write(tables, viewer.tenant(), stream, Position { incarnation, last })
}

/// How far a stream reaches: its incarnation, and the number of its newest row. What a long poll
/// compares.
///
/// # Errors
/// Refused for a share that is not there.
pub fn newest(tables: &dyn Reader, viewer: &Viewer, stream: Stream) -> Result<(u64, u64), Denied> {
    let head = head(tables, viewer, stream)?;
    Ok((head.incarnation, head.last))
}

fn head(tables: &dyn Reader, viewer: &Viewer, stream: Stream) -> Result<Feed, Denied> {
    let tenant = viewer.tenant();
    match stream {
        Stream::All => Ok(table::get::<TenantFeeds>(tables, &(tenant,))?.unwrap_or_default()),
        Stream::Share(share) => {
            let chain = Chain::root(tables, tenant, share)?;
            let chain = chain.ok_or(Refusal::NotFound(Noun::Share))?;
            let feed = table::get::<ShareFeeds>(tables, &(tenant, share))?.unwrap_or_default();
            Ok(Feed { incarnation: chain.share.incarnation, ..feed })
        }
    }
}

fn start(
    tables: &dyn Reader,
    viewer: &Viewer,
    stream: Stream,
    since: Since<'_>,
    head: &Feed,
) -> Result<u64, Denied> {
    let text = match since {
        Since::Beginning => return Ok(head.forgotten),
        Since::Now => return Ok(head.last),
        Since::Cursor(text) => text,
    };
    let at = cursor::read(tables, viewer.tenant(), stream, text)??;
    if at.incarnation != head.incarnation || at.last < head.forgotten {
        return Err(Refusal::Expired(Expired::Cursor).into());
    }
    if at.last > head.last {
        return Err(cursor::refusal("is ahead of all changes").into());
    }
    Ok(at.last)
}

fn place(
    tables: &dyn Reader,
    viewer: &Viewer,
    stream: Stream,
    position: u64,
) -> Result<Option<(ShareId, u64)>, TableError> {
    match stream {
        Stream::Share(share) => Ok(Some((share, position))),
        Stream::All => table::get::<TenantChanges>(tables, &(viewer.tenant(), position)),
    }
}

/// Refused when the reader sees nothing of a share.
///
/// # Errors
/// So it is, and when the tables fail.
pub fn require_visible(tables: &dyn Reader, viewer: &Viewer, share: ShareId) -> Result<(), Denied> {
    require_sight(&mut Eyes::new(tables, viewer), share)
}

fn require_sight(eyes: &mut Eyes<'_>, share: ShareId) -> Result<(), Denied> {
    let root = Chain::root(eyes.tables, eyes.viewer.tenant(), share)?;
    let root = root.ok_or(Refusal::NotFound(Noun::Share))?;
    match eyes.root(&root)?.sight {
        Sight::Nothing => Err(Refusal::NotFound(Noun::Share).into()),
        Sight::Below | Sight::Itself => Ok(()),
    }
}
