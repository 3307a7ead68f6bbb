//! What a plan is made of.

use node_base::{Sha256, Timestamp};

use crate::tree::{RemoteFile, Stamp};

/// The file on the server that an upload is a new version of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Replaced {
    pub id: String,
    pub version_id: String,
}

/// One thing to do. Steps are done in the order of the plan; those of one kind that follow each
/// other may be done at the same time, except that folders come before what is in them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// It was moved on the server.
    MoveLocal {
        from: String,
        to: String,
    },
    /// It was moved here.
    MoveRemote {
        from: String,
        to: String,
        id: String,
        is_folder: bool,
    },
    /// Both sides have something of this name that the other must not overwrite: the local one
    /// steps aside, and is uploaded from there.
    KeepBeside {
        from: String,
        to: String,
    },
    /// It was deleted on the server, and is as it was.
    DeleteLocalFile {
        path: String,
        stamp: Stamp,
    },
    /// It was deleted on the server; it goes if nothing is left in it.
    DeleteLocalFolder {
        path: String,
    },
    /// It was deleted here, with all that is in it.
    DeleteRemote {
        path: String,
        id: String,
        is_folder: bool,
        version_id: Option<String>,
    },
    MakeLocalFolder {
        path: String,
        id: String,
    },
    MakeRemoteFolder {
        path: String,
    },
    /// Both have it already.
    Adopt {
        path: String,
    },
    /// The Unix bit was changed here.
    MarkRemote {
        path: String,
        id: String,
        executable: bool,
    },
    /// The Unix bit was changed on the server.
    MarkLocal {
        path: String,
        executable: bool,
    },
    Download {
        path: String,
        id: String,
        version_id: String,
        size: u64,
        checksum: Option<Sha256>,
        modified: Option<Timestamp>,
        executable: Option<bool>,
        /// What is there now, and must still be there when the new content takes its place.
        over: Option<Stamp>,
    },
    Upload {
        path: String,
        stamp: Stamp,
        executable: bool,
        replaces: Option<Replaced>,
    },
    /// Neither side has it any more.
    Forget {
        path: String,
    },
}

impl Step {
    pub(crate) fn download(path: &str, file: &RemoteFile, over: Option<Stamp>) -> Self {
        Self::Download {
            path: path.to_owned(),
            id: file.id.clone(),
            version_id: file.version_id.clone(),
            size: file.size,
            checksum: file.checksum,
            modified: file.modified,
            executable: file.executable,
            over,
        }
    }

    /// Where it is done, after moves.
    pub fn path(&self) -> &str {
        match self {
            Self::MoveLocal { to, .. }
            | Self::MoveRemote { to, .. }
            | Self::KeepBeside { to, .. } => to,
            Self::DeleteLocalFile { path, .. }
            | Self::DeleteLocalFolder { path }
            | Self::DeleteRemote { path, .. }
            | Self::MakeLocalFolder { path, .. }
            | Self::MakeRemoteFolder { path }
            | Self::Adopt { path }
            | Self::MarkRemote { path, .. }
            | Self::MarkLocal { path, .. }
            | Self::Download { path, .. }
            | Self::Upload { path, .. }
            | Self::Forget { path } => path,
        }
    }

    /// Whether it takes something away on one side.
    pub fn deletes(&self) -> bool {
        matches!(
            self,
            Self::DeleteLocalFile { .. }
                | Self::DeleteLocalFolder { .. }
                | Self::DeleteRemote { .. }
        )
    }
}
