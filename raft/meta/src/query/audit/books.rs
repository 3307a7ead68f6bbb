//! Two columns, one for what is kept and one for what was counted anew.

use std::collections::BTreeMap;

use node_base::{
    ConflictId, DeviceId, FileId, Generation, Profile, Sha256, ShareId, UploadId, UserId,
};

use crate::table::acl::{Target, Trustee};
use crate::table::item::{ItemId, Parent};
use crate::table::people::Principal;
use crate::table::quota::{QuotaTarget, Usage};

/// What a number is kept of. Where the number is 0 or 1 it says whether there is such a row.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// References of a chunk.
    References(Sha256),
    /// The log index a chunk is condemned at, in its record and in the list of condemned ones.
    Condemned(Sha256),
    /// Whether a chunk is condemned, as it is exactly when it has no reference.
    Unneeded(Sha256),
    ShareReferences(ShareId, Sha256),
    /// Chunks of a profile.
    Coded(Profile),
    /// Holders of a manifest.
    Holders(UploadId),
    Dropped(UploadId),
    /// Chunks, bytes and pages of a sealed manifest.
    ManifestChunks(UploadId),
    ManifestBytes(UploadId),
    ManifestPages(UploadId),
    /// Where a page begins in the file.
    PageOffset(UploadId, u32),
    /// Of an open session: chunks and bytes named, chunks wanted, and how often each is.
    SessionChunks(UploadId),
    SessionBytes(UploadId),
    Wanted(UploadId),
    WantCount(UploadId, Sha256),
    /// An open session's right to write.
    Writer(UploadId),
    /// A generation that is both recorded and never to come back.
    Spent(Generation),
    /// A version whose file is not there.
    Version(FileId, u32),
    /// A conflict in the list of its share.
    ShareConflict(ShareId, ConflictId),
    /// A live item in the listing of its folder.
    Child(ShareId, Parent, ItemId),
    /// A deleted item in the trash of its share.
    Trash(ShareId, ItemId),
    PrincipalShare(Principal, ShareId),
    /// A list, or a share's being public, by whom it names.
    Named(Trustee, Target),
    /// A device that has a cursor or a preference of a share.
    ShareDevice(ShareId, UserId, DeviceId),
    /// A device whose user is not there any more.
    Device(UserId, DeviceId),
    Usage(QuotaTarget, Counter),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Counter {
    UsedBytes,
    Files,
    Folders,
    VersionBytes,
    PhysicalBytes,
}

/// A number that is kept and is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drift {
    pub subject: Subject,
    pub stored: u64,
    pub counted: u64,
}

#[derive(Default)]
pub(super) struct Books(BTreeMap<Subject, (u64, u64)>);

impl Books {
    pub(super) fn stored(&mut self, subject: Subject, number: u64) {
        self.0.entry(subject).or_default().0 += number;
    }

    pub(super) fn counted(&mut self, subject: Subject, number: u64) {
        self.0.entry(subject).or_default().1 += number;
    }

    /// Enters each of a row's numbers into one of the columns.
    pub(super) fn usage(
        &mut self,
        target: QuotaTarget,
        usage: &Usage,
        enter: impl Fn(&mut Self, Subject, u64),
    ) {
        let numbers = [
            (Counter::UsedBytes, usage.used_bytes),
            (Counter::Files, usage.file_count),
            (Counter::Folders, usage.folder_count),
            (Counter::VersionBytes, usage.version_bytes),
            (Counter::PhysicalBytes, usage.physical_bytes),
        ];
        for (counter, number) in numbers {
            enter(self, Subject::Usage(target, counter), number);
        }
    }

    /// What was counted so far.
    pub(super) fn count_of(&self, subject: &Subject) -> u64 {
        self.0.get(subject).map_or(0, |(_, counted)| *counted)
    }

    pub(super) fn close(self) -> Vec<Drift> {
        let differing = self.0.into_iter().filter(|(_, (stored, counted))| stored != counted);
        differing.map(|(subject, (stored, counted))| Drift { subject, stored, counted }).collect()
    }
}
