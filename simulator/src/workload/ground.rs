//! What the clients of a run share: the shares they work in, and what they have heard lies there.
//!
//! What is known here is gossip: it may be out of date, and is good for choosing what to ask for.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use node_base::{ConflictId, Duration, FileId, ShareId, UserId, VersionId};
use raft_meta::table::item::{ItemId, Parent};

use crate::client::content::{Content, Piece};
use crate::client::{Client, Patience};
use crate::history::record::Recorder;
use crate::history::{Answer, Ask, Seen, Told};

/// What may happen in a share.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// Everybody works in it, and may all the time.
    Open,
    /// Its owner puts files there, and lets somebody in and out.
    Guarded,
    /// It has a quota that is soon full.
    Tight,
    /// Files go from one of these to the other, and conflicts are settled in every way: too much
    /// for the model of a share that orders are looked for in.
    Loose,
}

/// How somebody is let in where not everybody is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Door {
    #[default]
    Member,
    /// An entry in the list of the share's root.
    Entry,
}

/// A share that is worked in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Site {
    pub(crate) share: ShareId,
    pub(crate) kind: Kind,
    pub(crate) owner: UserId,
    /// Who comes and goes, where somebody does.
    pub(crate) guest: Option<UserId>,
    pub(crate) quota: Option<u64>,
    pub(crate) door: Door,
}

/// What all clients of a run share.
#[derive(Default)]
pub(crate) struct Ground {
    pub(crate) recorder: Recorder,
    pub(crate) patience: Patience,
    pub(crate) pause_ms_max: u64,
    pub(crate) file_bytes_max: u64,
    stopping: AtomicBool,
    names: AtomicU64,
    rumours: Mutex<Rumours>,
}

#[derive(Default)]
struct Rumours {
    shares: BTreeMap<ShareId, BTreeMap<ItemId, Seen>>,
    /// Pieces that were uploaded, to be uploaded again.
    pieces: Vec<Piece>,
    /// What files were made with.
    contents: BTreeMap<ItemId, Content>,
    /// Conflicts that may be open.
    conflicts: Vec<(ShareId, ConflictId)>,
}

/// Pieces that are remembered for duplicates.
const PIECES_MAX: usize = 64;
/// Items that are remembered of a share.
const ITEMS_MAX: usize = 400;

impl Ground {
    pub(crate) fn new(pause_ms_max: u64, file_bytes_max: u64) -> Self {
        Self { pause_ms_max, file_bytes_max, ..Self::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Rumours> {
        self.rumours.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    /// A number that nobody had before.
    pub(crate) fn fresh(&self) -> u64 {
        self.names.fetch_add(1, Ordering::Relaxed)
    }

    fn learn(&self, share: ShareId, ask: &Ask, answer: &Answer) {
        let mut rumours = self.lock();
        let conflict = match answer {
            Answer::Done(Told::Conflict(conflict)) => Some(*conflict),
            Answer::Refused(refused) => refused.conflict,
            _ => None,
        };
        rumours.conflicts.extend(conflict.map(|conflict| (share, conflict)));
        if let (Ask::File { content, .. }, Answer::Done(Told::Item(seen))) = (ask, answer) {
            rumours.contents.insert(seen.item, content.clone());
            while rumours.contents.len() > ITEMS_MAX {
                rumours.contents.pop_first();
            }
        }
        if let (Ask::Pass { item, to }, Answer::Done(Told::Item(seen))) = (ask, answer) {
            rumours.shares.entry(share).or_default().remove(item);
            rumours.shares.entry(*to).or_default().insert(seen.item, seen.clone());
            return;
        }
        let items = rumours.shares.entry(share).or_default();
        match (ask, answer) {
            (_, Answer::Done(Told::Item(seen))) => drop(items.insert(seen.item, seen.clone())),
            (_, Answer::Done(Told::List(list))) => {
                items.extend(list.iter().map(|seen| (seen.item, seen.clone())));
            }
            (Ask::Trash { item }, _) => {
                if let Some(seen) = items.get_mut(item) {
                    seen.is_trashed = true;
                }
            }
            (Ask::Purge { item }, Answer::Done(_)) => drop(items.remove(item)),
            (Ask::Stat { item } | Ask::Restore { item }, Answer::Refused(refused))
                if refused.status == 404 =>
            {
                items.remove(item);
            }
            _ => {}
        }
        while items.len() > ITEMS_MAX {
            items.pop_first();
        }
    }
}

/// A client with what it shares with the others.
#[derive(Clone)]
pub(crate) struct Actor {
    pub(crate) client: Client,
    pub(crate) ground: Arc<Ground>,
}

impl Actor {
    /// Asks for something, and lets the others know what was heard.
    pub(crate) async fn ask(&self, share: ShareId, ask: Ask) -> Answer {
        let answer = Box::pin(self.client.ask(share, ask.clone())).await;
        self.ground.learn(share, &ask, &answer);
        answer
    }

    /// Rests a while; whether to go on.
    pub(crate) async fn rest(&self) -> bool {
        if self.ground.is_stopping() {
            return false;
        }
        let span = self.range(1, self.ground.pause_ms_max.max(2));
        self.client.cluster.sleep(Duration::from_millis(span)).await;
        !self.ground.is_stopping()
    }

    pub(crate) fn range(&self, from: u64, to: u64) -> u64 {
        self.client.cluster.draw().range(from..to)
    }

    pub(crate) fn happens(&self, chance: f64) -> bool {
        self.client.cluster.draw().happens(chance)
    }

    /// One of some.
    pub(crate) fn pick<'a, T>(&self, from: &'a [T]) -> Option<&'a T> {
        from.get(self.range(0, from.len() as u64) as usize)
    }

    /// Some item that is heard of and like this.
    pub(crate) fn some(&self, share: ShareId, like: impl Fn(&Seen) -> bool) -> Option<Seen> {
        let rumours = self.ground.lock();
        let items = rumours.shares.get(&share)?;
        let found: Vec<&Seen> = items.values().filter(|seen| like(seen)).collect();
        self.pick(&found).map(|seen| (*seen).clone())
    }

    /// Some file that is not said to be in the trash.
    pub(crate) fn file(&self, share: ShareId) -> Option<(FileId, Seen)> {
        let seen = self.some(share, |seen| seen.version.is_some() && !seen.is_trashed)?;
        match seen.item {
            ItemId::File(file) => Some((file, seen)),
            ItemId::Folder(_) => None,
        }
    }

    /// Some folder; the root as often as any other two.
    pub(crate) fn folder(&self, share: ShareId) -> Parent {
        if self.happens(0.3) {
            return None;
        }
        let seen = self.some(share, |seen| seen.version.is_none() && !seen.is_trashed)?;
        match seen.item {
            ItemId::Folder(folder) => Some(folder),
            ItemId::File(_) => None,
        }
    }

    /// A conflict in a share that nobody is known to have settled.
    pub(crate) fn conflict(&self, share: ShareId) -> Option<ConflictId> {
        let mut rumours = self.ground.lock();
        let at = rumours.conflicts.iter().position(|(of, _)| *of == share)?;
        Some(rumours.conflicts.swap_remove(at).1)
    }

    /// A name: mostly one that nobody has, at times one that others want too.
    pub(crate) fn name(&self, kind: &str) -> String {
        if self.happens(0.15) {
            format!("{kind} {}", self.range(0, 6))
        } else {
            format!("{kind} no {}", self.ground.fresh())
        }
    }

    /// A content of a few pieces; with some chance, of pieces that were there before.
    pub(crate) fn content(&self) -> Content {
        let max = self.ground.file_bytes_max.max(2);
        let size = match self.range(0, 20) {
            // One chunk that is striped, or several.
            0 => self.range(max / 2, max).max(1),
            1..4 => self.range(1, max.min(20_000)),
            _ => self.range(1, max.min(4_000)),
        };
        let count = if size > 100_000 { size.div_ceil(300_000) } else { 1 + size / 6_000 };
        let mut rumours = self.ground.lock();
        let mut pieces = Vec::new();
        for _ in 0..count.max(1) {
            let known = rumours.pieces.len() as u64;
            let piece = if known > 0 && self.happens(0.2) {
                rumours.pieces[self.range(0, known) as usize]
            } else {
                let size = u32::try_from(size.div_ceil(count.max(1))).unwrap_or(1).max(1);
                Piece { seed: self.range(1, u64::MAX), size }
            };
            pieces.push(piece);
        }
        for piece in &pieces {
            match rumours.pieces.len() {
                0..PIECES_MAX => rumours.pieces.push(*piece),
                full => rumours.pieces[self.range(0, full as u64) as usize] = *piece,
            }
        }
        Content(pieces)
    }

    /// What a file was made with, where that is known.
    pub(crate) fn content_of(&self, item: ItemId) -> Option<Content> {
        self.ground.lock().contents.get(&item).cloned()
    }

    /// The base for a change of a file: what is known to be current, or nothing.
    pub(crate) fn base(&self, seen: &Seen) -> Option<VersionId> {
        let known = seen.version.map(|(version, _)| version);
        if self.happens(0.8) { known } else { None }
    }
}
