//! A snapshot: one moment of the tables on its way to another node.

use std::ops::ControlFlow;

use openraft::StoredMembership;
use raft_meta::TableError;
use serde::{Deserialize, Serialize};

use crate::tables::{END, Replacement, Row, Snapshot};
use crate::types::{LogId, LogIdShape, SnapshotMeta, StoredMembers, StoredMembersShape, encode};

/// What openraft carries between our functions and never looks into.
pub(crate) enum SnapshotData {
    /// A moment of this node's tables.
    Reading(Box<dyn Snapshot>),
    /// Tables filled by another node, with the note that belongs to them.
    Received(Box<dyn Replacement>, Note),
    /// Nothing yet.
    Empty,
}

/// How far the tables are: the note written with every batch of entries.
#[derive(Clone, PartialEq, Debug, Default)]
pub(crate) struct Note {
    /// The last entry applied.
    pub(crate) applied: Option<LogId>,
    pub(crate) members: StoredMembers,
    /// How many commands were applied so far: the number of the last one.
    pub(crate) commands: u64,
}

/// A note as it is stored and sent.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct NoteShape {
    applied: Option<LogIdShape>,
    members: StoredMembersShape,
    commands: u64,
}

impl From<&Note> for NoteShape {
    fn from(note: &Note) -> Self {
        Self {
            applied: note.applied.map(Into::into),
            members: (&note.members).into(),
            commands: note.commands,
        }
    }
}

impl From<NoteShape> for Note {
    fn from(shape: NoteShape) -> Self {
        Self {
            applied: shape.applied.map(Into::into),
            members: shape.members.into(),
            commands: shape.commands,
        }
    }
}

impl Note {
    pub(crate) fn encode(&self) -> Vec<u8> {
        encode(&NoteShape::from(self))
    }

    /// The note of a moment of the tables.
    pub(crate) fn of(tables: &dyn Snapshot) -> Result<Self, TableError> {
        let Some(bytes) = tables.note()? else { return Ok(Self::default()) };
        let shape: NoteShape = postcard::from_bytes(&bytes)
            .map_err(|source| TableError::Row { table: "notes", source })?;
        Ok(shape.into())
    }

    /// What openraft wants to know of a snapshot with this note. The same log id gives the same
    /// name on every node, as it gives the same tables.
    pub(crate) fn meta(&self) -> SnapshotMeta {
        let name = self.applied.map_or("empty".to_owned(), |id| id.to_string());
        SnapshotMeta {
            last_log_id: self.applied,
            last_membership: StoredMembership::new(
                *self.members.log_id(),
                self.members.membership().clone(),
            ),
            snapshot_id: name,
        }
    }
}

/// Rows from `from` on, about `budget` bytes of them, and where the rest begins; nothing when there
/// is no rest.
pub(crate) fn part(
    tables: &dyn Snapshot,
    from: &[u8],
    budget: usize,
) -> Result<(Vec<Row>, Option<Vec<u8>>), TableError> {
    let mut rows: Vec<Row> = Vec::new();
    let mut rest = None;
    let mut bytes = 0;
    tables.scan(from, END, &mut |key, value| {
        if bytes >= budget {
            rest = Some(key.to_vec());
            return ControlFlow::Break(());
        }
        bytes += key.len() + value.len();
        rows.push((key.to_vec(), value.to_vec()));
        ControlFlow::Continue(())
    })?;
    Ok((rows, rest))
}
