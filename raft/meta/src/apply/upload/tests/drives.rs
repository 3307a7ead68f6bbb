//! A cluster with drives that do what the tables let them: they delete what is superfluous, reaped
//! or orphaned at the first occasion, so that whatever is needed too long is missed.

use std::collections::BTreeSet;

use node_base::{FileId, Generation, NodeId, Profile, Sha256, UploadId, sha256};

use crate::command::{
    Command, Declared, FileDestination, ItemCommand, NewChunk, NewContent, NewFile, Place,
    Received, Upkeep, UploadCommand, Written,
};
use crate::fixture::Fixture;
use crate::outcome::{Answer, Outcome, UploadAnswer};
use crate::query::{audit, chunk};
use crate::table::chunk::{Chunks, Reaped};
use crate::table::item::{ChunkRef, Content, ItemId, ManifestPages, Versions};
use crate::table::upload::{UploadState, Uploads, Wants, Writer, Writers};
use crate::table::{self};

/// The size of chunk `n` of the tests: the first six fill a fixed piece.
pub(super) fn size(n: u8) -> u32 {
    if n < 6 { 64 << 10 } else { 100 + u32::from(n) }
}

pub(super) fn hash(n: u8) -> Sha256 {
    sha256(&[n])
}

pub(super) fn declared(chunks: &[u8]) -> Vec<Declared> {
    chunks.iter().map(|n| Declared { hash: hash(*n), size: size(*n) }).collect()
}

pub(super) fn length(chunks: &[u8]) -> u64 {
    chunks.iter().map(|n| u64::from(size(*n))).sum()
}

pub(super) struct Drives {
    pub(super) fixture: Fixture,
    /// The generations whose bytes are there.
    bytes: BTreeSet<(Sha256, Generation)>,
    written: u64,
    pub(super) lease: u64,
    /// The last command that committed a file.
    pub(super) last: Option<Command>,
}

impl Drives {
    pub(super) fn new() -> Self {
        let fixture = Fixture::new();
        let mut drives = Self { fixture, bytes: BTreeSet::new(), written: 0, lease: 0, last: None };
        drives.rotate_lease();
        drives
    }

    pub(super) fn rotate_lease(&mut self) {
        self.close_lease();
        self.fixture.index += 1;
        self.lease = self.fixture.index;
        let lease = Writer::Lease { node: NodeId(1), opened_at: self.fixture.now };
        table::put::<Writers>(&mut self.fixture.tables, &(self.lease,), &lease)
            .expect("memory never fails");
    }

    pub(super) fn close_lease(&mut self) {
        table::delete::<Writers>(&mut self.fixture.tables, &(self.lease,))
            .expect("memory never fails");
    }

    /// Writes a chunk's bytes under a writer.
    pub(super) fn write(&mut self, n: u8, writer: u64) -> NewChunk {
        self.written += 1;
        let generation = Generation::new(writer, self.written).expect("few are written");
        self.bytes.insert((hash(n), generation));
        let profile = Profile { data: 1, parity: 0 };
        let written = Some(Written { generation, stored_size: size(n) / 2, profile });
        NewChunk { hash: hash(n), size: size(n), written }
    }

    /// Names a chunk without writing it.
    pub(super) fn name(n: u8) -> NewChunk {
        NewChunk { hash: hash(n), size: size(n), written: None }
    }

    pub(super) fn run(&mut self, command: Command) -> Outcome {
        let outcome = self.fixture.run(self.fixture.ann, command);
        if let Ok(
            Answer::Received { superfluous }
            | Answer::Committed { superfluous, .. }
            | Answer::Conflicted { superfluous, .. },
        ) = &outcome
        {
            for copy in superfluous {
                self.bytes.remove(copy);
            }
        }
        outcome
    }

    pub(super) fn upload(&mut self, command: UploadCommand) -> Outcome {
        self.run(Command::Upload(command))
    }

    pub(super) fn item(&mut self, command: ItemCommand) -> Outcome {
        self.run(Command::Item(command))
    }

    pub(super) fn upkeep(&mut self, command: Upkeep) -> u32 {
        match self.fixture.run_node(Command::Upkeep(command)) {
            Ok(Answer::Worked(rows)) => rows,
            other => panic!("upkeep is never refused: {other:?}"),
        }
    }

    pub(super) fn destination(&self, name: &str, file: Option<FileId>) -> FileDestination {
        match file {
            Some(file) => FileDestination::Replace { file, base: None },
            None => {
                let place = Place { share: self.fixture.share, parent: None };
                FileDestination::New { place, name: name.to_owned() }
            }
        }
    }

    pub(super) fn create(
        &mut self,
        destination: FileDestination,
        size: u64,
        chunk_size: Option<u32>,
        chunks: &[u8],
    ) -> Outcome {
        self.upload(UploadCommand::Create {
            destination,
            size,
            chunk_size,
            chunks: declared(chunks),
            mime_type: None,
            checksum: None,
            client_modified_at: None,
            executable: false,
        })
    }

    /// A session by content for a new file, with all of its chunks declared.
    pub(super) fn open(&mut self, name: &str, chunks: &[u8]) -> UploadAnswer {
        let destination = self.destination(name, None);
        opened(self.create(destination, length(chunks), None, chunks))
    }

    pub(super) fn receive(&mut self, upload: UploadId, index: u64, chunk: NewChunk) -> Outcome {
        self.upload(UploadCommand::Receive { upload, chunks: vec![Received { index, chunk }] })
    }

    pub(super) fn complete(&mut self, upload: UploadId) -> Outcome {
        self.upload(UploadCommand::Complete { upload, computed: None, declared: None })
    }

    pub(super) fn commit(&mut self, to: FileDestination, chunks: Vec<NewChunk>) -> Outcome {
        let content = NewContent {
            size: chunks.iter().map(|chunk| u64::from(chunk.size)).sum(),
            checksum: None,
            mime_type: None,
            client_modified_at: None,
            executable: false,
            chunks,
        };
        let file = NewFile { destination: to, content };
        let command = Command::Item(ItemCommand::CommitFile { file });
        self.last = Some(command.clone());
        self.run(command)
    }

    /// How many generations have bytes on drives.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Drives follow the tables as far as these let them.
    pub(super) fn follow(&mut self) {
        let tables = &self.fixture.tables;
        let mut up_to = 0;
        for departing in chunk::reaped(tables, 0, u64::MAX, usize::MAX).expect("memory") {
            self.bytes.remove(&(departing.hash, departing.generation));
            up_to = departing.index;
        }
        let tenant = self.fixture.tenant;
        self.bytes.retain(|(hash, generation)| {
            let standing = chunk::standing(tables, tenant, *hash, *generation);
            standing.expect("memory") != chunk::Standing::Orphaned
        });
        self.upkeep(Upkeep::ForgetReaped { up_to });
        assert_eq!(table::all::<Reaped>(&self.fixture.tables, &()).expect("memory"), []);
    }

    /// Nothing drifts, and what anybody counts on is there: in the tables and on drives.
    pub(super) fn check(&self) {
        let (tables, tenant) = (&self.fixture.tables, self.fixture.tenant);
        assert_eq!(audit::recount(tables, tenant).expect("memory never fails"), []);
        let there = |chunk: &ChunkRef| {
            let row = table::get::<Chunks>(tables, &(tenant, chunk.hash)).expect("memory");
            let row = row.expect("a chunk that is named has a record");
            assert!(row.references > 0 && row.size == chunk.size, "{row:?}");
            let kept = self.bytes.contains(&(chunk.hash, row.generation));
            assert!(kept, "the bytes of a chunk that is named are gone");
        };
        for (_, version) in table::all::<Versions>(tables, &(tenant,)).expect("memory") {
            match version.content {
                Content::Inline(chunks) => chunks.iter().for_each(there),
                Content::Paged(id) => self.each_chunk(id, |chunk| there(chunk)),
            }
        }
        for ((_, id), upload) in table::all::<Uploads>(tables, &(tenant,)).expect("memory") {
            if upload.state == UploadState::Open {
                self.each_chunk(id, |chunk| {
                    let key = (tenant, id, chunk.hash);
                    if !table::has::<Wants>(tables, &key).expect("memory") {
                        there(chunk);
                    }
                });
            }
        }
    }

    fn each_chunk(&self, id: UploadId, look: impl Fn(&ChunkRef)) {
        let key = (self.fixture.tenant, id);
        for (_, page) in table::all::<ManifestPages>(&self.fixture.tables, &key).expect("memory") {
            page.chunks.iter().flatten().for_each(&look);
        }
    }

    /// The files that can be seen in the share's root, or purged.
    pub(super) fn files(&self) -> Vec<FileId> {
        let items =
            table::all::<crate::table::item::Items>(&self.fixture.tables, &(self.fixture.tenant,));
        let ids = items.expect("memory").into_iter().filter_map(|((_, id), row)| match id {
            ItemId::File(file) if row.state != crate::table::item::ItemState::Purging => Some(file),
            _ => None,
        });
        ids.collect()
    }
}

pub(super) fn opened(outcome: Outcome) -> UploadAnswer {
    match outcome {
        Ok(Answer::Upload(answer)) => answer,
        other => panic!("the session should open: {other:?}"),
    }
}
