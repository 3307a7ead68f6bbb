//! What was asked and what was answered, in order: all that the checks know of a run from outside.
//!
//! Every invocation and every answer has a number of its own, counted up through the whole run, so
//! that "before" is a comparison. What is in contents is told by their seeds.

pub(crate) mod record;
pub(crate) mod setting;

use api_types::v1::conflicts::Strategy;
use api_types::v1::error::ErrorCode;
use node_base::{
    ConflictId, Duration, FileId, NodeId, Sha256, ShareId, UploadId, UserId, VersionId,
};
use raft_meta::table::item::{ItemId, Parent};

use crate::client::Person;
use crate::client::content::Content;
use crate::client::upload::Goal;
use crate::workload::ground::Site;
use crate::workload::replica::Replica;
use setting::Setting;

/// The number of an answer that never came.
pub(crate) use simulator_order::NEVER;

/// Everything that clients did and saw.
#[derive(Debug, Default)]
pub(crate) struct History {
    /// Who may look at everything.
    pub(crate) admin: Option<Person>,
    pub(crate) people: Vec<Person>,
    pub(crate) sites: Vec<Site>,
    /// By when they began.
    pub(crate) operations: Vec<Operation>,
    pub(crate) replicas: Vec<Replica>,
    /// What was set of things, and told of them.
    pub(crate) settings: Vec<Setting>,
    /// Answers that nobody could read.
    pub(crate) garbled: Vec<String>,
}

/// One thing that a user wanted done, however often it was sent.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Operation {
    pub(crate) number: u32,
    pub(crate) user: UserId,
    pub(crate) share: ShareId,
    pub(crate) ask: Ask,
    pub(crate) began: u64,
    pub(crate) began_at: Duration,
    /// [`NEVER`] while nobody has answered.
    pub(crate) ended: u64,
    /// Who answered, or was asked last.
    pub(crate) node: NodeId,
    pub(crate) tries: u32,
    /// Tries that may have been carried out, or may yet be, though no answer came.
    pub(crate) lost: u32,
    pub(crate) answer: Answer,
}

/// How a new file comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// In one request.
    Form,
    /// In a session, whose end this is.
    Session(UploadId),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ask {
    Folder {
        parent: Parent,
        name: String,
    },
    File {
        parent: Parent,
        name: String,
        content: Content,
        way: Way,
    },
    Replace {
        file: FileId,
        base: Option<VersionId>,
        content: Content,
        upload: UploadId,
    },
    /// To another place, under another name, or both; absent is as it is.
    Relocate {
        item: ItemId,
        to: Option<Parent>,
        name: Option<String>,
    },
    Trash {
        item: ItemId,
    },
    Restore {
        item: ItemId,
    },
    Purge {
        item: ItemId,
    },
    /// An old version becomes the newest.
    Revive {
        file: FileId,
        number: u32,
    },
    /// An old version goes.
    Prune {
        file: FileId,
        number: u32,
    },
    Stat {
        item: ItemId,
    },
    List {
        folder: Parent,
    },
    Read {
        file: FileId,
        number: Option<u32>,
    },
    Changes {
        cursor: Option<String>,
        limit: u32,
        /// Seconds to wait for something new.
        wait: u32,
    },
    Snapshot {
        folder: Parent,
    },
    /// Makes somebody a member, or nobody any more.
    Member {
        user: UserId,
        joins: bool,
    },
    /// Gives somebody an entry in the share's list that lets them read, or takes it away.
    Entry {
        user: UserId,
        joins: bool,
    },
    /// A content that a device sends, and how a conflict is to be settled.
    Send {
        goal: Goal,
        content: Content,
        upload: UploadId,
        strategy: Strategy,
    },
    /// Settles a conflict that was left open.
    Resolve {
        conflict: ConflictId,
        strategy: Strategy,
    },
    /// To the root of another share.
    Pass {
        item: ItemId,
        to: ShareId,
    },
    Copy {
        file: FileId,
        to: ShareId,
    },
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Nobody knows: it is under way, or was given up.
    Unknown,
    Refused(Refused),
    Done(Told),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) status: u16,
    pub(crate) code: Option<ErrorCode>,
    pub(crate) conflict: Option<ConflictId>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Told {
    Nothing,
    Item(Seen),
    List(Vec<Seen>),
    Content {
        version: VersionId,
        size: u64,
        hash: Sha256,
    },
    /// Whether anything but deletions was told of.
    Changes {
        is_shown: bool,
    },
    /// What was sent and what is there did not go together.
    Conflict(ConflictId),
}

/// An item as an answer shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) item: ItemId,
    pub(crate) share: ShareId,
    pub(crate) parent: Parent,
    pub(crate) name: String,
    /// Of a file: the current version.
    pub(crate) version: Option<(VersionId, u32)>,
    pub(crate) is_trashed: bool,
}

impl Ask {
    /// Whether it only looks.
    pub(crate) const fn is_read(&self) -> bool {
        matches!(
            self,
            Self::Stat { .. }
                | Self::List { .. }
                | Self::Read { .. }
                | Self::Changes { .. }
                | Self::Snapshot { .. }
        )
    }

    /// The content that it brings.
    pub(crate) const fn content(&self) -> Option<&Content> {
        match self {
            Self::File { content, .. }
            | Self::Replace { content, .. }
            | Self::Send { content, .. } => Some(content),
            _ => None,
        }
    }
}

impl Operation {
    /// What it is remembered by.
    pub(crate) fn key(&self) -> String {
        key(self.number)
    }

    pub(crate) const fn told(&self) -> Option<&Told> {
        match &self.answer {
            Answer::Done(told) => Some(told),
            Answer::Unknown | Answer::Refused(_) => None,
        }
    }

    /// The item that it was answered with.
    pub(crate) const fn item(&self) -> Option<&Seen> {
        match self.told() {
            Some(Told::Item(seen)) => Some(seen),
            _ => None,
        }
    }

    /// All items that its answer shows.
    pub(crate) fn shown(&self) -> &[Seen] {
        match self.told() {
            Some(Told::Item(seen)) => std::slice::from_ref(seen),
            Some(Told::List(list)) => list,
            _ => &[],
        }
    }

    pub(crate) const fn is_done(&self) -> bool {
        matches!(self.answer, Answer::Done(_))
    }

    /// Whether it may have been carried out, though no answer says so.
    pub(crate) const fn is_doubtful(&self) -> bool {
        match &self.answer {
            Answer::Done(_) => false,
            Answer::Unknown => true,
            Answer::Refused(_) => self.lost > 0,
        }
    }

    /// For people.
    pub(crate) fn line(&self) -> String {
        let ended = if self.ended == NEVER { "never".to_owned() } else { self.ended.to_string() };
        format!(
            "operation {} of {} in {}: {:?}, {}..{ended}, {} tries, {} lost: {:?}",
            self.number,
            self.user,
            self.share,
            self.ask,
            self.began,
            self.tries,
            self.lost,
            self.answer
        )
    }
}

/// The idempotency key of an operation.
pub(crate) fn key(number: u32) -> String {
    format!("operation-{number}")
}
