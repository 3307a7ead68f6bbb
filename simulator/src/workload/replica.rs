//! A sync client's copy of a share's tree, made of nothing but the change feed, and of snapshots
//! where the feed asks for them.

use std::collections::{BTreeMap, BTreeSet};

use api_types::v1::ResourceType;
use api_types::v1::sync::{Change, ChangeType, Changes};
use node_base::{FolderId, ShareId, UserId, VersionId};
use raft_meta::table::item::{ItemId, Parent};

use crate::client::Client;
use crate::client::answer::parse;
use crate::history::{Answer, Ask, Seen, Told};

/// What is known of an item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) parent: Parent,
    pub(crate) name: String,
    pub(crate) version: Option<VersionId>,
}

pub(crate) type Tree = BTreeMap<ItemId, Known>;

impl From<&Seen> for Known {
    fn from(seen: &Seen) -> Self {
        let version = seen.version.map(|(version, _)| version);
        Self { parent: seen.parent, name: seen.name.clone(), version }
    }
}

/// How far a replica had come at some time.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Stand {
    pub(crate) tree: Tree,
    pub(crate) cursor: Option<String>,
    /// The number of the last change that was told.
    pub(crate) last: u64,
}

/// One user's copy of a share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Replica {
    pub(crate) user: UserId,
    pub(crate) share: ShareId,
    pub(crate) now: Stand,
    /// Earlier stands, from which the same must come out.
    pub(crate) earlier: Vec<Stand>,
    /// What the feed did wrong.
    pub(crate) problems: Vec<String>,
}

/// Nobody answered any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct GaveUp;

/// Stands that are kept.
const EARLIER_MAX: usize = 3;

impl Replica {
    pub(crate) fn new(user: UserId, share: ShareId) -> Self {
        Self { user, share, now: Stand::default(), earlier: Vec::new(), problems: Vec::new() }
    }

    /// Keeps the present stand, to go on from there once more later.
    pub(crate) fn keep(&mut self) {
        if self.earlier.len() < EARLIER_MAX {
            self.earlier.push(self.now.clone());
        }
    }

    /// Takes pages until there is no more.
    pub(crate) async fn catch_up(&mut self, client: &Client, limit: u32) -> Result<(), GaveUp> {
        while self.follow(client, limit, 0).await? {}
        Ok(())
    }

    /// Takes one page, for which the server waits so many seconds; whether there is more.
    pub(crate) async fn follow(
        &mut self,
        client: &Client,
        limit: u32,
        wait: u32,
    ) -> Result<bool, GaveUp> {
        let ask = Ask::Changes { cursor: self.now.cursor.clone(), limit, wait };
        let (answer, reply) = Box::pin(client.ask_for(self.share, ask)).await;
        match answer {
            Answer::Unknown => return Err(GaveUp),
            // Nothing of the share is seen.
            Answer::Refused(refused) if refused.status == 404 => {
                self.now.tree.clear();
                return Ok(false);
            }
            Answer::Refused(refused) => {
                self.problems.push(format!("the feed refuses its own cursor: {refused:?}"));
                return Ok(false);
            }
            Answer::Done(_) => {}
        }
        let page: Changes = reply.and_then(|reply| parse(&reply.body).ok()).ok_or(GaveUp)?;
        for change in &page.changes {
            if change.seq <= self.now.last {
                let last = self.now.last;
                self.problems.push(format!("change {} was told after change {last}", change.seq));
            }
            self.now.last = self.now.last.max(change.seq);
            Box::pin(self.take(client, change)).await?;
        }
        self.now.cursor = Some(page.cursor);
        Ok(page.has_more)
    }

    async fn take(&mut self, client: &Client, change: &Change) -> Result<(), GaveUp> {
        let item = match change.resource_type {
            ResourceType::Share => None,
            ResourceType::Folder => change.resource_id.parse().map(ItemId::Folder).ok(),
            ResourceType::File => change.resource_id.parse().map(ItemId::File).ok(),
        };
        let Some(item) = item else {
            if change.subtree || change.change_type == ChangeType::Deleted {
                self.look_again(client).await?;
            }
            return Ok(());
        };
        if change.change_type != ChangeType::Deleted {
            return self.put(client, item, change).await;
        }
        self.drop_below(item);
        if change.subtree {
            self.look_again(client).await?;
        }
        Ok(())
    }

    async fn put(&mut self, client: &Client, item: ItemId, change: &Change) -> Result<(), GaveUp> {
        let is_known = self.now.tree.contains_key(&item);
        let Some(name) = change.name.clone() else {
            self.problems.push(format!("change {} has no name", change.seq));
            return Ok(());
        };
        let parent: Parent = change.parent_id.as_deref().and_then(|id| id.parse().ok());
        let version = change.version_id.as_deref().and_then(|id| id.parse().ok());
        let mut known = Known { parent, name, version };
        if parent.is_some_and(|parent| !self.now.tree.contains_key(&ItemId::Folder(parent))) {
            match Box::pin(client.ask(self.share, Ask::Stat { item })).await {
                Answer::Unknown => return Err(GaveUp),
                Answer::Done(Told::Item(seen)) if seen.share == self.share && !seen.is_trashed => {
                    known = Known::from(&seen);
                    if let Some(parent) = known.parent {
                        Box::pin(self.learn(client, parent)).await?;
                    }
                }
                Answer::Done(_) | Answer::Refused(_) => {
                    self.drop_below(item);
                    return Ok(());
                }
            }
        }
        if let ItemId::Folder(folder) = item
            && (change.subtree || !is_known)
        {
            self.drop_below(item);
            let below = snapshot(client, self.share, Some(folder)).await?;
            self.now.tree.extend(below);
        }
        self.now.tree.insert(item, known);
        Ok(())
    }

    /// A folder that something lies in and that is not known: who may see it takes it with all that
    /// is in it. What becomes of a folder above is told of that folder alone, so that an item is
    /// never kept without those above it that can be seen.
    async fn learn(&mut self, client: &Client, folder: FolderId) -> Result<(), GaveUp> {
        let item = ItemId::Folder(folder);
        if self.now.tree.contains_key(&item) {
            return Ok(());
        }
        let seen = match Box::pin(client.ask(self.share, Ask::Stat { item })).await {
            Answer::Unknown => return Err(GaveUp),
            Answer::Done(Told::Item(seen)) if seen.share == self.share && !seen.is_trashed => seen,
            Answer::Done(_) | Answer::Refused(_) => return Ok(()),
        };
        if let Some(above) = seen.parent {
            Box::pin(self.learn(client, above)).await?;
        }
        let below = snapshot(client, self.share, Some(folder)).await?;
        self.now.tree.extend(below);
        self.now.tree.insert(item, Known::from(&seen));
        Ok(())
    }

    async fn look_again(&mut self, client: &Client) -> Result<(), GaveUp> {
        self.now.tree = snapshot(client, self.share, None).await?;
        Ok(())
    }

    fn drop_below(&mut self, top: ItemId) {
        let mut gone = BTreeSet::from([top]);
        loop {
            let before = gone.len();
            let is_below = |known: &Known| {
                known.parent.is_some_and(|parent| gone.contains(&ItemId::Folder(parent)))
            };
            let tree = self.now.tree.iter();
            let found: Vec<ItemId> =
                tree.filter(|(_, known)| is_below(known)).map(|(id, _)| *id).collect();
            gone.extend(found);
            if gone.len() == before {
                break;
            }
        }
        self.now.tree.retain(|id, _| !gone.contains(id));
    }
}

/// What the server says lies in a share, or below a folder; nothing where it is refused.
pub(crate) async fn snapshot(
    client: &Client,
    share: ShareId,
    folder: Parent,
) -> Result<Tree, GaveUp> {
    match Box::pin(client.ask(share, Ask::Snapshot { folder })).await {
        Answer::Unknown => Err(GaveUp),
        Answer::Done(Told::List(items)) => {
            Ok(items.iter().map(|seen| (seen.item, Known::from(seen))).collect())
        }
        Answer::Done(_) | Answer::Refused(_) => Ok(Tree::new()),
    }
}
