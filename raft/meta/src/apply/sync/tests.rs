//! What comes of a device's changes where others were faster.

use node_base::{DeviceId, FileId, Sha256, Timestamp, UploadId, VersionId};

use crate::command::{
    Command, Declared, FileDestination, ItemCommand, SyncChange, SyncCommand, SyncEdit, SyncParent,
    UploadCommand,
};
use crate::outcome::{Answer, Noun, Refusal, SyncStatus};
use crate::query::feed::tests::{Follower, Tree};
use crate::table;
use crate::table::conflict::{Conflicts, Stated};
use crate::table::item::{Body, File, ItemId, Items, Versions};
use crate::table::share::ConflictStrategy;

const MANUAL: ConflictStrategy = ConflictStrategy::Manual;

fn device() -> DeviceId {
    "dev_laptop".parse().expect("it is an id")
}

/// A tree with a file `a` of two versions, by which a client that knew the first comes late.
struct Late {
    tree: Tree,
    file: FileId,
    base: VersionId,
}

impl Late {
    fn new() -> Self {
        let mut tree = Tree::new();
        let file = tree.file(None, "a.txt", 1);
        tree.file(None, "chunks.bin", 3);
        let mut late = Self { tree, file, base: VersionId::from(0) };
        late.base = late.current();
        let ann = late.tree.fixture.ann;
        let to = FileDestination::Replace { file, base: None };
        late.tree.commit(ann, to, 2).expect("taken");
        let register = SyncCommand::RegisterDevice {
            device: device(),
            name: "Bob's: laptop".to_owned(),
            platform: "linux".to_owned(),
            client_version: "1".to_owned(),
        };
        let bob = late.tree.fixture.bob;
        late.tree.fixture.run(bob, Command::Sync(register)).expect("registered");
        late
    }

    fn current(&self) -> VersionId {
        self.shown().version_id
    }

    fn shown(&self) -> File {
        let key = (self.tree.fixture.tenant, ItemId::File(self.file));
        let row = table::get::<Items>(&self.tree.fixture.tables, &key).expect("memory");
        match row.expect("it is there").body {
            Body::File(file) => file,
            Body::Folder => panic!("a file"),
        }
    }

    /// What is said of the file now, by itself and by its current version.
    fn said(&self) -> (Option<Timestamp>, bool) {
        let file = self.shown();
        let key = (self.tree.fixture.tenant, self.file, file.version);
        let version = table::get::<Versions>(&self.tree.fixture.tables, &key).expect("memory");
        let version = version.expect("it is there");
        let said = (file.client_modified_at, file.executable);
        assert_eq!(said, (version.client_modified_at, version.executable));
        said
    }

    /// A session of Bob's that is full: its one chunk lies in the share.
    fn filled(&mut self, client_modified_at: Option<Timestamp>) -> UploadId {
        self.filled_with(client_modified_at, 3)
    }

    fn filled_with(&mut self, client_modified_at: Option<Timestamp>, chunk: u8) -> UploadId {
        let place = self.tree.place(None);
        let create = UploadCommand::Create {
            destination: FileDestination::New { place, name: "session".to_owned() },
            size: u64::from(chunk) + 1,
            chunk_size: None,
            chunks: vec![Declared { hash: Sha256([chunk; 32]), size: u32::from(chunk) + 1 }],
            mime_type: None,
            checksum: None,
            client_modified_at,
            executable: false,
        };
        let bob = self.tree.fixture.bob;
        match self.tree.fixture.run(bob, Command::Upload(create)) {
            Ok(Answer::Upload(upload)) if upload.missing.is_empty() => upload.upload,
            other => panic!("{other:?}"),
        }
    }

    fn apply(&mut self, strategy: ConflictStrategy, edits: Vec<SyncEdit>) -> Vec<SyncStatus> {
        self.apply_stated(strategy, edits, Stated::default())
    }

    /// One change that says this of its file.
    fn state(
        &mut self,
        strategy: ConflictStrategy,
        edit: SyncEdit,
        at: Option<i64>,
        executable: Option<bool>,
    ) -> SyncStatus {
        let client_modified_at = at.map(Timestamp::from_millis);
        let stated = Stated { client_modified_at, executable };
        self.apply_stated(strategy, vec![edit], stated).remove(0)
    }

    fn apply_stated(
        &mut self,
        strategy: ConflictStrategy,
        edits: Vec<SyncEdit>,
        stated: Stated,
    ) -> Vec<SyncStatus> {
        let changes = edits.into_iter().enumerate();
        let changes =
            changes.map(|(n, edit)| SyncChange { client_ref: n.to_string(), edit, stated });
        let command = SyncCommand::Apply {
            device: device(),
            share: self.tree.fixture.share,
            strategy: Some(strategy),
            changes: changes.collect(),
        };
        let bob = self.tree.fixture.bob;
        let outcome = self.tree.fixture.run(bob, Command::Sync(command));
        self.tree.check();
        match outcome {
            Ok(Answer::Sync { results, .. }) => {
                results.into_iter().map(|result| result.status).collect()
            }
            other => panic!("{other:?}"),
        }
    }

    fn edit_late(&mut self, strategy: ConflictStrategy, at: Option<Timestamp>) -> SyncStatus {
        let upload = self.filled(at);
        let edit =
            SyncEdit::UpdateFile { file: self.file, base: Some(self.base), upload: Some(upload) };
        self.apply(strategy, vec![edit]).remove(0)
    }

    /// Names of live items with their sizes, in the order of the names.
    fn names(&self) -> Vec<(String, Option<u64>)> {
        let items = self.tree.items();
        let mut names: Vec<_> = items
            .into_iter()
            .filter(|(_, item)| item.state == crate::table::item::ItemState::Live)
            .map(|(_, item)| match item.body {
                Body::File(file) => (item.name.as_str().to_owned(), Some(file.size)),
                Body::Folder => (item.name.as_str().to_owned(), None),
            })
            .collect();
        names.sort();
        names
    }
}

fn named(names: &[(&str, Option<u64>)]) -> Vec<(String, Option<u64>)> {
    names.iter().map(|(name, size)| ((*name).to_owned(), *size)).collect()
}

#[test]
fn the_server_wins_and_the_clients_content_is_a_version_below() {
    let mut late = Late::new();
    let current = late.current();
    let status = late.edit_late(ConflictStrategy::ServerWins, None);
    assert!(matches!(status, SyncStatus::Conflict { .. }));
    assert_eq!(late.current(), current);
    let viewer = late.tree.viewer(late.tree.fixture.bob);
    let tables = &late.tree.fixture.tables;
    let page = crate::query::version::list(tables, &viewer, late.file, 0, 10).expect("bob may");
    let sizes: Vec<_> = page.items.iter().map(|v| (v.number, v.version.size)).collect();
    assert_eq!(sizes, [(3, 3), (2, 4), (1, 2)]);
}

#[test]
fn the_server_wins_in_the_trash_and_who_follows_is_not_told_of_the_file() {
    let mut late = Late::new();
    let (ann, bob) = (late.tree.fixture.ann, late.tree.fixture.bob);
    late.tree.run(ann, ItemCommand::Delete { item: ItemId::File(late.file) }).expect("deleted");
    let status = late.edit_late(ConflictStrategy::ServerWins, None);
    assert!(matches!(status, SyncStatus::Conflict { .. }), "{status:?}");
    let share = late.tree.fixture.share;
    let mut follower = Follower::new(bob, share);
    follower.catch_up(&late.tree);
    assert_eq!(follower.known, late.tree.seen(bob, share));
}

#[test]
fn the_later_clock_wins_and_a_missing_one_is_the_clients() {
    let mut late = Late::new();
    late.edit_late(ConflictStrategy::LastWriterWins, None);
    assert_eq!(late.names(), named(&[("a.txt", Some(4)), ("chunks.bin", Some(4))]));
}

#[test]
fn both_are_kept_under_two_names() {
    let mut late = Late::new();
    late.edit_late(ConflictStrategy::KeepBoth, None);
    let names: Vec<String> = late.names().into_iter().map(|(name, _)| name).collect();
    let at = late.tree.fixture.now.to_string();
    let at = at.get(..19).expect("a time").replace('T', " ").replace(':', ".");
    let beside = format!("a (conflict of Bob's- laptop {at}).txt");
    assert_eq!(names, [beside, "a.txt".to_owned(), "chunks.bin".to_owned()]);
}

#[test]
fn left_to_people_it_stays_open_until_somebody_decides() {
    let mut late = Late::new();
    let current = late.current();
    let SyncStatus::Conflict { conflict, row, .. } = late.edit_late(MANUAL, None) else {
        panic!("a conflict")
    };
    assert!(row.content.is_some() && row.resolved.is_none());
    assert_eq!(late.current(), current);
    let resolve = |strategy| Command::Sync(SyncCommand::ResolveConflict { conflict, strategy });
    let (bob, cleo) = (late.tree.fixture.bob, late.tree.fixture.cleo);
    let client = ConflictStrategy::ClientWins;
    let refused = late.tree.fixture.run(cleo, resolve(client));
    assert_eq!(refused, Err(Refusal::NotFound(Noun::Conflict)));
    assert!(matches!(late.tree.fixture.run(bob, resolve(MANUAL)), Err(Refusal::Invalid { .. })));
    for _ in 0..2 {
        let outcome = late.tree.fixture.run(bob, resolve(client));
        assert_eq!(outcome, Ok(Answer::Conflict(conflict)));
        late.tree.check();
    }
    assert_eq!(late.names()[0], ("a.txt".to_owned(), Some(4)));
    let other = late.tree.fixture.run(bob, resolve(ConflictStrategy::ServerWins));
    assert_eq!(other, Err(Refusal::AlreadyExists));
    let key = (late.tree.fixture.tenant, conflict);
    let row = table::get::<Conflicts>(&late.tree.fixture.tables, &key).expect("memory");
    assert_eq!(row.expect("it is kept").content, None);
}

#[test]
fn what_was_deleted_meanwhile_comes_back_with_the_edit() {
    let mut late = Late::new();
    let (ann, item) = (late.tree.fixture.ann, ItemId::File(late.file));
    late.tree.run(ann, ItemCommand::Delete { item }).expect("deleted");
    let status = late.edit_late(ConflictStrategy::KeepBoth, None);
    assert!(matches!(status, SyncStatus::Conflict { .. }), "{status:?}");
    assert_eq!(late.names()[0], ("a.txt".to_owned(), Some(4)));
}

fn millis(at: i64, executable: bool) -> (Option<Timestamp>, bool) {
    (Some(Timestamp::from_millis(at)), executable)
}

#[test]
fn a_change_of_time_or_mode_alone_makes_no_version() {
    let mut late = Late::new();
    let (file, current) = (late.file, late.current());
    let touch = SyncEdit::UpdateFile { file, base: Some(current), upload: None };
    let status = late.state(MANUAL, touch.clone(), Some(1_000), Some(true));
    assert!(matches!(status, SyncStatus::Applied(_)), "{status:?}");
    assert_eq!(late.said(), millis(1_000, true));
    late.state(MANUAL, touch, None, Some(false));
    assert_eq!((late.said(), late.current()), (millis(1_000, false), current));

    let stale = SyncEdit::UpdateFile { file, base: Some(late.base), upload: None };
    let status = late.state(MANUAL, stale.clone(), Some(1_000), None);
    assert!(matches!(status, SyncStatus::Applied(_)), "it is so already: {status:?}");
    for (strategy, at, then) in [
        (ConflictStrategy::ServerWins, 3_000, 1_000),
        (ConflictStrategy::KeepBoth, 3_000, 1_000),
        (ConflictStrategy::LastWriterWins, 500, 1_000),
        (ConflictStrategy::LastWriterWins, 2_000, 2_000),
        (ConflictStrategy::ClientWins, 500, 500),
    ] {
        let status = late.state(strategy, stale.clone(), Some(at), None);
        assert!(matches!(status, SyncStatus::Conflict { .. }), "{status:?}");
        assert_eq!((late.said(), late.current()), (millis(then, false), current), "{strategy:?}");
    }
    let status = late.state(MANUAL, stale, Some(9_000), Some(true));
    let SyncStatus::Conflict { conflict, .. } = status else { panic!("{status:?}") };
    assert_eq!(late.said(), millis(500, false));
    let strategy = ConflictStrategy::ClientWins;
    let resolve = Command::Sync(SyncCommand::ResolveConflict { conflict, strategy });
    let bob = late.tree.fixture.bob;
    late.tree.fixture.run(bob, resolve).expect("resolved");
    assert_eq!(late.said(), millis(9_000, true));
}

#[test]
fn what_a_change_says_goes_over_what_its_session_says_and_judges_who_was_last() {
    let mut late = Late::new();
    let (file, base) = (late.file, Some(late.current()));
    let earlier = Some(Timestamp::from_millis(1));
    let upload = Some(late.filled(earlier));
    late.state(MANUAL, SyncEdit::UpdateFile { file, base, upload }, Some(2_000), Some(true));
    assert_eq!(late.said(), millis(2_000, true));

    let (current, base) = (late.current(), Some(late.base));
    let last = ConflictStrategy::LastWriterWins;
    late.state(last, SyncEdit::Delete { item: ItemId::File(file), base }, Some(1_000), None);
    assert_eq!(late.names()[0].0, "a.txt", "the server's change is the later one");
    late.tree.file(None, "other.bin", 9);
    let content = |upload| SyncEdit::UpdateFile { file, base, upload: Some(upload) };
    let later = Some(Timestamp::from_millis(9_000));
    let upload = late.filled_with(later, 9);
    late.state(last, content(upload), Some(1_000), None);
    assert_eq!((late.said(), late.current()), (millis(2_000, true), current));
    let upload = late.filled_with(earlier, 9);
    late.state(last, content(upload), Some(3_000), Some(false));
    assert_eq!(late.said(), millis(3_000, false));
    assert_ne!(late.current(), current);
    late.state(last, SyncEdit::Delete { item: ItemId::File(file), base }, Some(4_000), None);
    assert_eq!(late.names()[0].0, "chunks.bin", "the deletion is the later one");
}

#[test]
fn a_tree_is_made_in_one_call_and_each_change_stands_alone() {
    let mut late = Late::new();
    let upload = late.filled(None);
    let made = |text: &str| SyncParent::Ref(text.to_owned());
    let edits = vec![
        SyncEdit::CreateFolder { parent: SyncParent::Folder(None), name: "x".to_owned() },
        SyncEdit::CreateFolder { parent: made("0"), name: "y".to_owned() },
        SyncEdit::CreateFile { parent: made("1"), name: "f".to_owned(), upload },
        SyncEdit::CreateFolder { parent: made("9"), name: "z".to_owned() },
        SyncEdit::CreateFolder { parent: SyncParent::Folder(None), name: "X".to_owned() },
        SyncEdit::Delete { item: ItemId::File(late.file), base: Some(late.base) },
    ];
    let statuses = late.apply(ConflictStrategy::ServerWins, edits);
    let shown: Vec<&str> = statuses
        .iter()
        .map(|status| match status {
            SyncStatus::Applied(_) => "applied",
            SyncStatus::Conflict { .. } => "conflict",
            SyncStatus::Rejected(_) => "rejected",
        })
        .collect();
    assert_eq!(shown, ["applied", "applied", "applied", "rejected", "applied", "conflict"]);
    let expected =
        [("a.txt", Some(3)), ("chunks.bin", Some(4)), ("f", Some(4)), ("x", None), ("y", None)];
    assert_eq!(late.names(), named(&expected));
}
