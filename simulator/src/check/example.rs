//! Histories made by hand, for the tests of checks.

use node_base::{
    ConflictId, Duration, FileId, FolderId, NodeId, ShareId, UploadId, UserId, VersionId,
};
use raft_meta::table::item::ItemId;

use api_types::v1::error::ErrorCode;

use super::facts::{Fact, Facts, Standing, Stored, Stuff};
use crate::client::content::{Content, Piece};
use crate::history::{Answer, Ask, History, NEVER, Operation, Refused, Seen, Told, Way};
use crate::workload::ground::{Door, Kind, Site};

/// A share of one person's, in which one thing happens after the other.
pub(super) struct Example {
    pub(super) history: History,
    pub(super) facts: Facts,
    pub(super) share: ShareId,
    pub(super) user: UserId,
    guest: UserId,
    ids: u128,
    moments: u64,
}

/// A file with its only version.
#[derive(Clone, Copy)]
pub(super) struct Made {
    pub(super) item: ItemId,
    pub(super) file: FileId,
    pub(super) version: VersionId,
}

pub(super) fn content(n: u64) -> Content {
    Content(vec![Piece { seed: n, size: 100 }])
}

pub(super) fn stuff(n: u64) -> Stuff {
    let content = content(n);
    let chunks = content.cut().into_iter().map(|(hash, _)| hash).collect();
    Stuff { size: content.size(), checksum: None, chunks }
}

impl Default for Example {
    fn default() -> Self {
        let (share, user, guest) = (ShareId::from(1), UserId::from(2), UserId::from(3));
        let site = Site {
            share,
            kind: Kind::Open,
            owner: user,
            guest: None,
            quota: None,
            door: Door::Member,
        };
        let history = History { sites: vec![site], ..History::default() };
        Self { history, facts: Facts::default(), share, user, guest, ids: 10, moments: 0 }
    }
}

impl Example {
    /// With a guest that comes and goes.
    pub(super) fn guarded() -> Self {
        let mut example = Self::default();
        for site in &mut example.history.sites {
            (site.kind, site.guest) = (Kind::Guarded, Some(example.guest));
        }
        example
    }

    pub(super) fn id<I: From<u128>>(&mut self) -> I {
        self.ids += 1;
        I::from(self.ids)
    }

    /// An operation, answered before the next one begins.
    pub(super) fn operation(&mut self, ask: Ask, answer: Answer) -> &mut Operation {
        self.moments += 10;
        let began = self.moments;
        let ended = if answer == Answer::Unknown { NEVER } else { began + 5 };
        self.history.operations.push(Operation {
            number: self.history.operations.len() as u32,
            user: self.user,
            share: self.share,
            ask,
            began,
            began_at: Duration::ZERO,
            ended,
            node: NodeId(1),
            tries: 1,
            lost: 0,
            answer,
        });
        self.last()
    }

    pub(super) fn done(&mut self, ask: Ask, told: Told) -> &mut Operation {
        self.operation(ask, Answer::Done(told))
    }

    pub(super) fn as_guest(&mut self, ask: Ask, told: Told) {
        let guest = self.guest;
        self.done(ask, told).user = guest;
    }

    pub(super) fn last(&mut self) -> &mut Operation {
        self.history.operations.last_mut().expect("something happened")
    }

    pub(super) fn refusal(status: u16, code: Option<ErrorCode>) -> Answer {
        Answer::Refused(Refused { status, code, conflict: None })
    }

    pub(super) fn seen(&self, item: ItemId, name: &str, version: Option<(VersionId, u32)>) -> Seen {
        let name = name.to_owned();
        Seen { item, share: self.share, parent: None, name, version, is_trashed: false }
    }

    fn fact(&mut self, item: ItemId, name: &str, version: Option<VersionId>) {
        let (name, state) = (name.to_owned(), Standing::Live);
        let fact = Fact { share: self.share, parent: None, name, version, state };
        self.facts.items.insert(item, fact);
    }

    /// Makes a file in the root.
    pub(super) fn file(&mut self, name: &str, n: u64) -> Made {
        let (file, version): (FileId, VersionId) = (self.id(), self.id());
        let item = ItemId::File(file);
        let way = Way::Session(self.id::<UploadId>());
        let ask = Ask::File { parent: None, name: name.to_owned(), content: content(n), way };
        let seen = self.seen(item, name, Some((version, 1)));
        self.done(ask, Told::Item(seen));
        self.fact(item, name, Some(version));
        self.facts.versions.insert(version, Stored { file, number: 1, stuff: stuff(n) });
        Made { item, file, version }
    }

    /// Makes a folder in the root.
    pub(super) fn folder(&mut self, name: &str) -> FolderId {
        let folder: FolderId = self.id();
        let item = ItemId::Folder(folder);
        let seen = self.seen(item, name, None);
        self.done(Ask::Folder { parent: None, name: name.to_owned() }, Told::Item(seen));
        self.fact(item, name, None);
        folder
    }

    pub(super) fn trash(&mut self, made: Made) {
        self.done(Ask::Trash { item: made.item }, Told::Nothing);
        if let Some(fact) = self.facts.items.get_mut(&made.item) {
            fact.state = Standing::Trashed;
        }
    }

    pub(super) fn purge(&mut self, made: Made) {
        self.done(Ask::Purge { item: made.item }, Told::Nothing);
        self.facts.items.remove(&made.item);
        self.facts.versions.retain(|_, stored| stored.file != made.file);
    }

    /// Gives a file its next version.
    pub(super) fn replace(&mut self, made: Made, base: Option<VersionId>, n: u64) -> VersionId {
        let (file, version): (FileId, VersionId) = (made.file, self.id());
        let number = 1 + self.facts.versions.values().filter(|old| old.file == file).count() as u32;
        let upload = self.id();
        let ask = Ask::Replace { file, base, content: content(n), upload };
        let name = self.facts.items.get(&made.item).map_or("", |fact| &fact.name).to_owned();
        let seen = self.seen(made.item, &name, Some((version, number)));
        self.done(ask, Told::Item(seen));
        self.facts.versions.insert(version, Stored { file, number, stuff: stuff(n) });
        self.fact(made.item, &name, Some(version));
        version
    }

    /// Fails to give a file its next version.
    pub(super) fn conflict(&mut self, made: Made, base: Option<VersionId>, n: u64) -> ConflictId {
        let (conflict, upload): (ConflictId, UploadId) = (self.id(), self.id());
        let ask = Ask::Replace { file: made.file, base, content: content(n), upload };
        let code = Some(ErrorCode::VersionConflict);
        let refused = Refused { status: 409, code, conflict: Some(conflict) };
        self.operation(ask, Answer::Refused(refused));
        conflict
    }

    pub(super) fn member(&mut self, joins: bool) {
        let user = self.guest;
        self.done(Ask::Member { user, joins }, Told::Nothing);
    }

    /// Some item.
    pub(super) fn top(&self) -> ItemId {
        ItemId::Folder(FolderId::from(4))
    }
}
