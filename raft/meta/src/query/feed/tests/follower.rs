//! A client as `tell` describes it, over a small tree that is changed through the real `apply`.

use std::collections::{BTreeMap, BTreeSet};

use node_base::{FileId, Generation, Permission, Profile, Sha256, ShareId, UserId, VersionId};

use crate::access::Viewer;
use crate::chain::Chain;
use crate::command::{
    Command, FileDestination, ItemCommand, NewChunk, NewContent, NewFile, Place, Written,
};
use crate::fixture::Fixture;
use crate::outcome::{Answer, ItemView, Outcome, Refusal};
use crate::query::Denied;
use crate::query::feed::{ChangesPage, Since, Stream, Told, changes};
use crate::query::snapshot::Snapshot;
use crate::table;
use crate::table::acl::Target;
use crate::table::change::ChangeKind;
use crate::table::item::{Body, Item, ItemId, Items, Parent};
use crate::table::upload::{Writer, Writers};

/// A cluster whose node holds an open lease.
pub(crate) struct Tree {
    pub(crate) fixture: Fixture,
    lease: u64,
    written: u64,
}

impl Tree {
    pub(crate) fn new() -> Self {
        let mut fixture = Fixture::new();
        fixture.index += 1;
        let lease = fixture.index;
        let row = Writer::Lease { node: node_base::NodeId(1), opened_at: fixture.now };
        table::put::<Writers>(&mut fixture.tables, &(lease,), &row).expect("memory never fails");
        Self { fixture, lease, written: 0 }
    }

    /// A content of one chunk that no content of another number shares.
    pub(crate) fn content(&mut self, n: u8) -> NewContent {
        self.written += 1;
        let generation = Generation::new(self.lease, self.written).expect("few are written");
        let profile = Profile { data: 1, parity: 0 };
        let size = u32::from(n) + 1;
        let written = Some(Written { generation, stored_size: size, profile });
        NewContent {
            size: u64::from(size),
            checksum: None,
            mime_type: None,
            client_modified_at: None,
            executable: false,
            chunks: vec![NewChunk { hash: Sha256([n; 32]), size, written }],
        }
    }

    pub(crate) fn place(&self, parent: Parent) -> Place {
        Place { share: self.fixture.share, parent }
    }

    pub(crate) fn run(&mut self, user: UserId, command: ItemCommand) -> Outcome {
        self.fixture.pass(node_base::Duration::from_secs(1));
        self.fixture.run(user, Command::Item(command))
    }

    pub(crate) fn folder(&mut self, parent: Parent, name: &str) -> node_base::FolderId {
        let command =
            ItemCommand::CreateFolder { place: self.place(parent), name: name.to_owned() };
        match self.run(self.fixture.ann, command) {
            Ok(Answer::Item(ItemView { id: ItemId::Folder(id), .. })) => id,
            other => panic!("no folder: {other:?}"),
        }
    }

    pub(crate) fn file(&mut self, parent: Parent, name: &str, n: u8) -> FileId {
        let destination = FileDestination::New { place: self.place(parent), name: name.to_owned() };
        match self.commit(self.fixture.ann, destination, n) {
            Ok(Answer::Committed { view: ItemView { id: ItemId::File(id), .. }, .. }) => id,
            other => panic!("no file: {other:?}"),
        }
    }

    pub(crate) fn commit(&mut self, user: UserId, to: FileDestination, n: u8) -> Outcome {
        let content = self.content(n);
        let file = NewFile { destination: to, content };
        self.run(user, ItemCommand::CommitFile { file })
    }

    pub(crate) fn viewer(&self, user: UserId) -> Viewer {
        let caller = self.fixture.caller(user);
        Viewer::of(&self.fixture.tables, self.fixture.now, &caller).expect("memory never fails")
    }

    pub(crate) fn items(&self) -> Vec<(ItemId, Item)> {
        let rows = table::all::<Items>(&self.fixture.tables, &(self.fixture.tenant,));
        rows.expect("memory never fails").into_iter().map(|((_, id), row)| (id, row)).collect()
    }

    /// What the user may READ of the share now.
    pub(crate) fn seen(&self, user: UserId, share: ShareId) -> BTreeMap<ItemId, Known> {
        let (tables, viewer) = (&self.fixture.tables, self.viewer(user));
        let mut seen = BTreeMap::new();
        for (id, item) in self.items() {
            let chain = Chain::of(tables, self.fixture.tenant, id).expect("memory never fails");
            let Some(chain) = chain.filter(|chain| chain.share_id == share) else { continue };
            let mask = viewer.mask(tables, &chain).expect("memory never fails");
            if !chain.is_trashed() && mask.contains(Permission::Read) {
                seen.insert(id, Known::of(&item));
            }
        }
        seen
    }

    /// Everything that is counted agrees with what there is.
    pub(crate) fn check(&self) {
        let drift = crate::query::audit::recount(&self.fixture.tables, self.fixture.tenant);
        assert_eq!(drift.expect("memory never fails"), []);
    }
}

/// What a client knows of an item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) parent: Parent,
    pub(crate) name: String,
    pub(crate) version: Option<VersionId>,
}

impl Known {
    fn of(item: &Item) -> Self {
        let version = match &item.body {
            Body::File(file) => Some(file.version_id),
            Body::Folder => None,
        };
        Self { parent: item.parent, name: item.name.as_str().to_owned(), version }
    }
}

/// Follows one share.
pub(crate) struct Follower {
    pub(crate) user: UserId,
    share: ShareId,
    pub(crate) known: BTreeMap<ItemId, Known>,
    cursor: Option<String>,
    /// Numbers of the changes it was told of: each once, and rising.
    last: u64,
}

impl Follower {
    pub(crate) fn new(user: UserId, share: ShareId) -> Self {
        Self { user, share, known: BTreeMap::new(), cursor: None, last: 0 }
    }

    pub(crate) fn poll(&self, tree: &Tree, limit: usize) -> Result<ChangesPage, Refusal> {
        let since = self.cursor.as_deref().map_or(Since::Beginning, Since::Cursor);
        let viewer = tree.viewer(self.user);
        match changes(&tree.fixture.tables, &viewer, Stream::Share(self.share), since, limit) {
            Ok(page) => Ok(page),
            Err(Denied::Refused(refusal)) => Err(refusal),
            Err(Denied::Failed(error)) => panic!("memory never fails: {error}"),
        }
    }

    /// Takes one page; answers whether there is more.
    pub(crate) fn follow(&mut self, tree: &Tree, limit: usize) -> bool {
        let page = match self.poll(tree, limit) {
            Ok(page) => page,
            // Nothing of the share is seen.
            Err(Refusal::NotFound(_)) => {
                self.known.clear();
                return false;
            }
            Err(refusal) => panic!("a cursor that was given out is refused: {refusal}"),
        };
        assert!(page.changes.len() <= limit);
        for told in &page.changes {
            assert!(told.number > self.last, "a change is repeated");
            self.last = told.number;
            self.take(tree, told);
        }
        self.cursor = Some(page.cursor);
        page.has_more
    }

    pub(crate) fn catch_up(&mut self, tree: &Tree) {
        while self.follow(tree, 3) {}
    }

    fn take(&mut self, tree: &Tree, told: &Told) {
        let Target::Item(id) = told.target else {
            if told.subtree || told.kind == ChangeKind::Deleted {
                self.look_again(tree);
            }
            return;
        };
        match told.kind {
            ChangeKind::Deleted => {
                self.drop_below(id);
                if told.subtree {
                    self.look_again(tree);
                }
            }
            _ => self.put(tree, id, told),
        }
    }

    fn put(&mut self, tree: &Tree, id: ItemId, told: &Told) {
        let is_known = self.known.contains_key(&id);
        let name = told.name.as_ref().expect("what is told plainly has a name");
        let name = name.as_str().to_owned();
        let mut known = Known { parent: told.parent, name, version: told.version };
        let parent = told.parent.map(ItemId::Folder);
        if parent.is_some_and(|parent| !self.known.contains_key(&parent)) {
            match tree.seen(self.user, self.share).remove(&id) {
                Some(now) => known = now,
                None => return self.drop_below(id),
            }
        }
        if let ItemId::Folder(folder) = id
            && (told.subtree || !is_known)
        {
            self.drop_below(id);
            self.known.extend(snapshot(tree, self.user, self.share, Some(folder)));
        }
        self.known.insert(id, known);
    }

    fn look_again(&mut self, tree: &Tree) {
        self.known = snapshot(tree, self.user, self.share, None);
    }

    fn drop_below(&mut self, top: ItemId) {
        let mut gone = BTreeSet::from([top]);
        loop {
            let is_below = |known: &Known| {
                known.parent.is_some_and(|parent| gone.contains(&ItemId::Folder(parent)))
            };
            let found: Vec<ItemId> = self
                .known
                .iter()
                .filter(|(id, known)| !gone.contains(id) && is_below(known))
                .map(|(id, _)| *id)
                .collect();
            if found.is_empty() {
                break;
            }
            gone.extend(found);
        }
        self.known.retain(|id, _| !gone.contains(id));
    }
}

/// What a snapshot says, read in small pages; nothing where it is refused.
pub(crate) fn snapshot(
    tree: &Tree,
    user: UserId,
    share: ShareId,
    folder: Parent,
) -> BTreeMap<ItemId, Known> {
    let (tables, viewer) = (&tree.fixture.tables, tree.viewer(user));
    let mut known = BTreeMap::new();
    let Ok(mut walk) = Snapshot::begin(tables, &viewer, share, folder) else { return known };
    loop {
        let lines = walk.page(tables, &viewer, 2).expect("memory never fails");
        if lines.is_empty() {
            return known;
        }
        for line in lines {
            let item = line.item.expect("a snapshot shows what may be read");
            let parent = item.parent.map(ItemId::Folder);
            let is_shown = parent.is_none_or(|parent| known.contains_key(&parent));
            let is_closed = line.path.iter().rev().nth(1).is_none_or(Option::is_none);
            assert!(is_shown || is_closed || Some(line.id) == folder.map(ItemId::Folder));
            assert!(known.insert(line.id, Known::of(&item)).is_none(), "it is shown twice");
        }
    }
}
