//! Sessions, commits, copies, removals and upkeep in any order: nothing that somebody counts on is
//! ever lost, nothing drifts, and in the end nothing is left over.

use node_base::{Duration, FileId, UploadId};
use proptest::collection::vec;
use proptest::prelude::{ProptestConfig, Strategy, any, prop_oneof, proptest};

use super::drives::{Drives, declared, hash, length};
use crate::command::{Command, ItemCommand, NewChunk, Place, Received, Upkeep, UploadCommand};
use crate::outcome::{Answer, Outcome, Refusal};
use crate::query;
use crate::table;
use crate::table::chunk::{Condemned, ShareChunks, Spent};
use crate::table::item::{ItemId, ManifestPages, Manifests, Purges};
use crate::table::upload::{Dropped, Uploads, UploadsDue, Wants, Writers};
use crate::table::{Table, chunk::Chunks};

/// How a chunk is named: by a copy written under the session, by one under the node's lease, or not
/// written at all because it seems to be there.
#[derive(Debug, Clone, Copy)]
enum Way {
    Session,
    Lease,
    Existing,
}

#[derive(Debug, Clone)]
enum Act {
    /// Opens a session and declares so many chunks at once; a fixed one without.
    Open {
        chunks: Vec<u8>,
        fixed: bool,
        replaces: Option<u8>,
        first: usize,
    },
    Declare {
        session: u8,
        many: usize,
        again: usize,
    },
    Receive {
        session: u8,
        index: u8,
        way: Way,
    },
    /// Declares and sends all that is missing.
    Fill {
        session: u8,
    },
    /// A session from its beginning to its end.
    Whole {
        chunks: Vec<u8>,
        fixed: bool,
    },
    Complete {
        session: u8,
    },
    Abort {
        session: u8,
    },
    Commit {
        chunks: Vec<u8>,
        replaces: Option<u8>,
        existing: bool,
    },
    /// The same command comes once more.
    Repeat {
        back: u8,
    },
    Copy {
        file: u8,
    },
    Delete {
        file: u8,
    },
    Purge {
        file: u8,
    },
    DeleteVersion {
        file: u8,
        number: u8,
    },
    RestoreVersion {
        file: u8,
        number: u8,
    },
    Pass {
        hours: u8,
    },
    Expire {
        limit: u8,
    },
    Release {
        limit: u8,
    },
    Reap {
        limit: u8,
        all: bool,
    },
    Follow,
    Rotate,
}

fn chunks() -> impl Strategy<Value = Vec<u8>> {
    let long = (1..4u8, 129..300usize)
        .prop_map(|(step, many)| (0..many).map(|n| (n as u8).wrapping_mul(step) % 9).collect());
    prop_oneof![8 => vec(0..9u8, 0..6), 1 => long]
}

fn act() -> impl Strategy<Value = Act> {
    let way = prop_oneof![
        3 => any::<()>().prop_map(|()| Way::Session),
        1 => any::<()>().prop_map(|()| Way::Lease),
        1 => any::<()>().prop_map(|()| Way::Existing),
    ];
    let n = || any::<u8>();
    prop_oneof![
        4 => (chunks(), any::<bool>(), any::<Option<u8>>(), 0..5usize).prop_map(
            |(chunks, fixed, replaces, first)| Act::Open { chunks, fixed, replaces, first }
        ),
        3 => (n(), 0..200usize, 0..4usize)
            .prop_map(|(session, many, again)| Act::Declare { session, many, again }),
        8 => (n(), n(), way).prop_map(|(session, index, way)| Act::Receive { session, index, way }),
        2 => n().prop_map(|session| Act::Fill { session }),
        4 => n().prop_map(|session| Act::Complete { session }),
        1 => n().prop_map(|session| Act::Abort { session }),
        3 => (vec(0..9u8, 0..5), any::<Option<u8>>(), any::<bool>()).prop_map(
            |(chunks, replaces, existing)| Act::Commit { chunks, replaces, existing }
        ),
        4 => n().prop_map(|back| Act::Repeat { back }),
        3 => (chunks(), any::<bool>()).prop_map(|(chunks, fixed)| Act::Whole { chunks, fixed }),
        3 => n().prop_map(|file| Act::Copy { file }),
        1 => n().prop_map(|file| Act::Delete { file }),
        3 => n().prop_map(|file| Act::Purge { file }),
        1 => (n(), 1..4u8).prop_map(|(file, number)| Act::DeleteVersion { file, number }),
        1 => (n(), 1..4u8).prop_map(|(file, number)| Act::RestoreVersion { file, number }),
        1 => (1..30u8).prop_map(|hours| Act::Pass { hours }),
        1 => (0..4u8).prop_map(|limit| Act::Expire { limit }),
        3 => n().prop_map(|limit| Act::Release { limit }),
        3 => (0..9u8, any::<bool>()).prop_map(|(limit, all)| Act::Reap { limit, all }),
        3 => any::<()>().prop_map(|()| Act::Follow),
        1 => any::<()>().prop_map(|()| Act::Rotate),
    ]
}

/// What a client knows of a session it opened.
struct Session {
    id: UploadId,
    writer: u64,
    chunks: Vec<u8>,
    declared: usize,
    fixed: bool,
}

struct World {
    drives: Drives,
    sessions: Vec<Session>,
    names: u32,
    /// Commands that name written chunks, the newest last.
    past: Vec<Command>,
}

impl World {
    fn run(&mut self, act: &Act) {
        match act {
            Act::Open { chunks, fixed, replaces, first } => {
                self.open(chunks, *fixed, *replaces, *first);
            }
            Act::Declare { session, many, again } => self.declare(*session, *many, *again),
            Act::Receive { session, index, way } => {
                self.receive(*session, usize::from(*index), *way)
            }
            Act::Fill { session } => self.fill(*session),
            Act::Whole { chunks, fixed } => {
                self.open(chunks, *fixed, None, 0);
                let last = (self.sessions.len().max(1) - 1) as u8;
                self.fill(last);
                self.run(&Act::Complete { session: last });
            }
            Act::Complete { session } => {
                if let Some(id) = self.session(*session).map(|session| session.id) {
                    tolerate(&self.drives.complete(id));
                }
            }
            Act::Abort { session } => {
                if let Some(upload) = self.session(*session).map(|session| session.id) {
                    tolerate(&self.drives.upload(UploadCommand::Abort { upload }));
                }
            }
            Act::Commit { chunks, replaces, existing } => {
                self.commit(chunks, *replaces, *existing);
            }
            Act::Repeat { back } => {
                if let Some(command) = pick(&self.past, *back).cloned() {
                    tolerate(&self.drives.run(command));
                }
            }
            Act::Pass { hours } => {
                self.drives.fixture.pass(Duration::from_secs(u64::from(*hours) * 3600));
            }
            Act::Follow => self.drives.follow(),
            Act::Rotate => self.drives.rotate_lease(),
            _ => self.change(act),
        }
    }

    fn change(&mut self, act: &Act) {
        match act {
            Act::Copy { file } => {
                let name = self.name();
                if let Some(item) = self.item(*file) {
                    let to = Place { share: self.drives.fixture.share, parent: None };
                    self.item_command(ItemCommand::Copy { item, to, name: Some(name) });
                }
            }
            Act::Delete { file } => {
                if let Some(item) = self.item(*file) {
                    self.item_command(ItemCommand::Delete { item });
                }
            }
            Act::Purge { file } => {
                if let Some(item) = self.item(*file) {
                    self.item_command(ItemCommand::Purge { item });
                }
            }
            Act::DeleteVersion { file, number } => {
                if let Some(file) = self.file(*file) {
                    let number = u32::from(*number);
                    self.item_command(ItemCommand::DeleteVersion { file, number });
                }
            }
            Act::RestoreVersion { file, number } => {
                if let Some(file) = self.file(*file) {
                    let number = u32::from(*number);
                    self.item_command(ItemCommand::RestoreVersion { file, number });
                }
            }
            Act::Expire { limit } => {
                self.drives.upkeep(Upkeep::Expire { limit: u32::from(*limit) });
            }
            Act::Release { limit } => {
                self.drives.upkeep(Upkeep::Release { limit: u32::from(*limit) });
            }
            Act::Reap { limit, all } => {
                let index = self.drives.fixture.index;
                let before = if *all { u64::MAX } else { index.saturating_sub(3) };
                self.drives.upkeep(Upkeep::Reap { before, limit: u32::from(*limit) });
            }
            _ => {}
        }
    }

    fn item_command(&mut self, command: ItemCommand) {
        tolerate(&self.drives.item(command));
    }

    fn name(&mut self) -> String {
        self.names += 1;
        format!("file {}", self.names)
    }

    fn file(&self, n: u8) -> Option<FileId> {
        pick(&self.drives.files(), n).copied()
    }

    fn item(&self, n: u8) -> Option<ItemId> {
        self.file(n).map(ItemId::File)
    }

    fn session(&self, n: u8) -> Option<&Session> {
        pick(&self.sessions, n)
    }

    fn open(&mut self, chunks: &[u8], fixed: bool, replaces: Option<u8>, first: usize) {
        // In fixed pieces all but the last chunk have the full size.
        let chunks: Vec<u8> = match chunks.split_last() {
            Some((last, full)) if fixed => full.iter().map(|n| n % 6).chain([*last]).collect(),
            _ => chunks.to_vec(),
        };
        let name = self.name();
        let file = replaces.and_then(|n| self.file(n));
        let to = self.drives.destination(&name, file);
        let first = if fixed { 0 } else { first.min(chunks.len()) };
        let piece = fixed.then_some(64 << 10);
        let outcome = self.drives.create(to, length(&chunks), piece, &chunks[..first]);
        tolerate(&outcome);
        if let Ok(Answer::Upload(answer)) = outcome {
            let (id, writer) = (answer.upload, answer.writer);
            self.sessions.push(Session { id, writer, chunks, declared: first, fixed });
        }
    }

    fn declare(&mut self, session: u8, many: usize, again: usize) {
        let count = self.sessions.len().max(1);
        let Some(session) = self.sessions.get_mut(usize::from(session) % count) else { return };
        let from = session.declared.saturating_sub(again);
        let to = session.chunks.len().min(session.declared.saturating_add(many));
        let command = UploadCommand::Declare {
            upload: session.id,
            first: Some(from as u64),
            chunks: declared(&session.chunks[from..to]),
        };
        let outcome = self.drives.upload(command);
        tolerate(&outcome);
        if outcome.is_ok() {
            session.declared = to;
        }
    }

    fn receive(&mut self, session: u8, index: usize, way: Way) {
        let Some(session) = self.session(session) else { return };
        let known = if session.fixed { session.chunks.len() } else { session.declared };
        if index >= known {
            return;
        }
        let (upload, writer, n) = (session.id, session.writer, session.chunks[index]);
        let chunk = match way {
            Way::Session => self.drives.write(n, writer),
            Way::Lease => self.drives.write(n, self.drives.lease),
            Way::Existing => Drives::name(n),
        };
        let chunks = vec![Received { index: index as u64, chunk }];
        let command = Command::Upload(UploadCommand::Receive { upload, chunks });
        self.past.push(command.clone());
        tolerate(&self.drives.run(command));
    }

    fn fill(&mut self, session: u8) {
        self.declare(session, usize::MAX, 0);
        let Some(Session { id, .. }) = self.session(session) else { return };
        let (tables, now) = (&self.drives.fixture.tables, self.drives.fixture.now);
        let who = (self.drives.fixture.tenant, self.drives.fixture.ann);
        let status = query::upload::status(tables, now, who, *id, 0, usize::MAX);
        let missing = status.expect("memory").map(|status| status.missing);
        for index in missing.unwrap_or_default() {
            self.receive(session, index as usize, Way::Session);
        }
    }

    fn commit(&mut self, chunks: &[u8], replaces: Option<u8>, existing: bool) {
        let name = self.name();
        let file = replaces.and_then(|n| self.file(n));
        let to = self.drives.destination(&name, file);
        let there = |drives: &Drives, n: u8| {
            let key = (drives.fixture.tenant, hash(n));
            existing && table::has::<Chunks>(&drives.fixture.tables, &key).expect("memory")
        };
        let chunks: Vec<NewChunk> = chunks
            .iter()
            .map(|n| match there(&self.drives, *n) {
                true => Drives::name(*n),
                false => self.drives.write(*n, self.drives.lease),
            })
            .collect();
        let outcome = self.drives.commit(to, chunks);
        tolerate(&outcome);
        self.past.extend(self.drives.last.take());
    }

    /// Removes everything there is, and lets upkeep run until it finds nothing.
    fn remove_everything(&mut self) {
        for file in self.drives.files() {
            self.item_command(ItemCommand::Purge { item: ItemId::File(file) });
        }
        self.drives.close_lease();
        for _ in 0..3 {
            self.drives.fixture.pass(Duration::from_secs(25 * 3600));
            while self.drives.upkeep(Upkeep::Expire { limit: 7 }) >= 7 {}
            while self.drives.upkeep(Upkeep::Release { limit: 50 }) >= 50 {}
            while self.drives.upkeep(Upkeep::Reap { before: u64::MAX, limit: 3 }) >= 3 {}
            self.drives.follow();
            self.drives.check();
        }
    }

    fn expect_nothing(&self) {
        fn none<T: Table>(drives: &Drives) {
            let rows = table::all::<T>(&drives.fixture.tables, &()).expect("memory never fails");
            assert_eq!(rows.len(), 0, "rows of {} are left over", T::NAME);
        }
        none::<Chunks>(&self.drives);
        none::<ShareChunks>(&self.drives);
        none::<Condemned>(&self.drives);
        none::<Spent>(&self.drives);
        none::<Manifests>(&self.drives);
        none::<ManifestPages>(&self.drives);
        none::<Purges>(&self.drives);
        none::<Uploads>(&self.drives);
        none::<UploadsDue>(&self.drives);
        none::<Wants>(&self.drives);
        none::<Writers>(&self.drives);
        none::<Dropped>(&self.drives);
        none::<crate::table::quota::Usages>(&self.drives);
        assert_eq!(self.drives.bytes(), 0, "bytes are left on drives");
    }
}

fn pick<T>(all: &[T], n: u8) -> Option<&T> {
    all.get(usize::from(n) % all.len().max(1))
}

/// Random commands are refused often, but for reasons that the tables give.
fn tolerate(outcome: &Outcome) {
    let Err(refusal) = outcome else { return };
    let expected = matches!(
        refusal,
        Refusal::NotFound(_)
            | Refusal::Trashed
            | Refusal::Expired(_)
            | Refusal::NameConflict { .. }
            | Refusal::ChunksMissing { .. }
            | Refusal::ChunksGone { .. }
            | Refusal::WriterClosed
            | Refusal::Invalid { .. }
    );
    assert!(expected, "{refusal:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 80, ..ProptestConfig::default() })]

    #[test]
    fn nothing_needed_is_lost_and_nothing_else_is_kept(acts in vec(act(), 1..60)) {
        let drives = Drives::new();
        let mut world = World { drives, sessions: Vec::new(), names: 0, past: Vec::new() };
        for act in &acts {
            world.run(act);
            world.drives.check();
        }
        world.remove_everything();
        world.expect_nothing();
    }
}
