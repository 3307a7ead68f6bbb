//! What the server has: listed once, then followed by its changes.
//!
//! Nodes are kept by id, so that moving a folder is one row. Paths are made when they are needed;
//! what hangs on nothing any more falls away then.
//!
//! What is not in the tree is taken for deleted, so nothing may be missing from it by accident: a
//! thing in a folder that is not known is asked for, a folder that is told with `subtree` becomes
//! what its snapshot says, and after each snapshot the rows that came meanwhile are taken too,
//! because a walk can miss what moves while it lasts.

use std::collections::{BTreeMap, BTreeSet};

use api_client::{CallError, Client};
use api_sync_core::{Remote, RemoteFile};
use api_types::v1::error::ErrorCode;
use api_types::v1::files::File;
use api_types::v1::folders::{Folder, FolderQuery};
use api_types::v1::sync::{Change, ChangeType, ChangesQuery, SnapshotLine, SnapshotQuery};
use api_types::v1::{Item, ResourceType};
use node_base::limits::DEPTH_MAX;
use node_base::{Name, NamePolicy};

use crate::state::{Edit, Node};

const PAGE: u32 = node_base::limits::CHANGES_PAGE_MAX;

/// How a pull ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pulled {
    /// The tree is as the server's.
    UpToDate,
    /// The tree is as the server's, but the server may have forgotten what came between: nothing
    /// may be taken for deleted because it is absent.
    HistoryLost,
}

/// The server's tree.
pub(crate) struct Feed {
    share_id: String,
    /// The folder that is kept in step; nothing for the whole share.
    root: Option<String>,
    nodes: BTreeMap<String, Node>,
    /// What lies in each folder, by its id.
    within: BTreeMap<String, BTreeSet<String>>,
    cursor: Option<String>,
    /// Folders that were asked for and are none of ours: outside of the root, or closed.
    elsewhere: BTreeSet<String>,
    /// A snapshot was taken since the last page of changes.
    walked: bool,
    /// Not yet written down.
    edits: Vec<Edit>,
}

impl Feed {
    pub(crate) fn new(
        share_id: String,
        root: Option<String>,
        nodes: BTreeMap<String, Node>,
        cursor: Option<String>,
    ) -> Self {
        let mut within: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (id, node) in &nodes {
            if let Some(parent) = &node.parent {
                within.entry(parent.clone()).or_default().insert(id.clone());
            }
        }
        let (elsewhere, edits) = (BTreeSet::new(), Vec::new());
        Self { share_id, root, nodes, within, cursor, elsewhere, walked: false, edits }
    }

    /// What changed since it was last asked.
    pub(crate) fn take_edits(&mut self) -> Vec<Edit> {
        std::mem::take(&mut self.edits)
    }

    pub(crate) fn cursor(&self) -> Option<&str> {
        self.cursor.as_deref()
    }

    /// Brings the tree up to date.
    pub(crate) async fn pull(&mut self, client: &Client) -> Result<Pulled, CallError> {
        let Some(cursor) = self.cursor.clone() else {
            self.list(client).await?;
            return Ok(Pulled::UpToDate);
        };
        match self.follow(client, cursor).await {
            Err(CallError::Refused(refusal)) if refusal.status == 410 => {
                let kept = refusal.body.and_then(|body| body.error.history_replaced);
                self.list(client).await?;
                // Only where the server says that the history is the old one, absence is deletion.
                Ok(if kept == Some(false) { Pulled::UpToDate } else { Pulled::HistoryLost })
            }
            other => other.map(|()| Pulled::UpToDate),
        }
    }

    /// Takes what came since the last pull. Where the server has forgotten that, it fails: only
    /// [`Feed::pull`] tells whether absence may still be taken for deletion.
    pub(crate) async fn catch_up(&mut self, client: &Client) -> Result<(), CallError> {
        match self.cursor.clone() {
            Some(cursor) => self.follow(client, cursor).await,
            None => Ok(()),
        }
    }

    async fn list(&mut self, client: &Client) -> Result<(), CallError> {
        let cursor = self.look_again(client).await?;
        self.follow(client, cursor).await
    }

    /// Puts what the server has now in the place of all that is known. Where that is refused, it
    /// is not for us to take everything for deleted.
    async fn look_again(&mut self, client: &Client) -> Result<String, CallError> {
        let (items, cursor) = self.snapshot(client, self.root.clone()).await?;
        let listed: BTreeSet<&str> = items.iter().map(Item::id).collect();
        let gone: Vec<String> =
            self.nodes.keys().filter(|id| !listed.contains(id.as_str())).cloned().collect();
        gone.iter().for_each(|id| self.drop_node(id));
        items.into_iter().for_each(|item| self.enter(item));
        Ok(cursor)
    }

    fn set_cursor(&mut self, cursor: String) {
        if self.cursor.as_deref() != Some(&cursor) {
            self.edits.push(Edit::Cursor(Some(cursor.clone())));
            self.cursor = Some(cursor);
        }
    }

    /// All of the share, or of a folder, and the cursor that continues it.
    async fn snapshot(
        &mut self,
        client: &Client,
        folder_id: Option<String>,
    ) -> Result<(Vec<Item>, String), CallError> {
        self.walked = true;
        let query = SnapshotQuery { share_id: self.share_id.clone(), folder_id };
        let mut lines = client.snapshot(&query).await?;
        let (mut items, mut cursor) = (Vec::new(), String::new());
        while let Some(line) = lines.next().await? {
            match line {
                SnapshotLine::Item(item) => items.push(item),
                SnapshotLine::End(end) => cursor = end.cursor,
            }
        }
        Ok((items, cursor))
    }

    fn enter(&mut self, item: Item) {
        if is_trashed(&item) || Some(item.id()) == self.root.as_deref() {
            return;
        }
        match item {
            Item::Folder(folder) => {
                let node = Node { parent: folder.parent_id, name: folder.name, file: None };
                self.put(folder.id, node);
            }
            Item::File(file) => {
                let known = remote_file(&file);
                let node = Node { parent: file.folder_id, name: file.name, file: Some(known) };
                self.put(file.id, node);
            }
        }
    }

    /// Takes note of what this run did on the server, so that the row about it tells nothing new.
    pub(crate) fn note(&mut self, item: Item) {
        self.enter(item);
    }

    fn put(&mut self, id: String, node: Node) {
        // Names come from outside; one that could lead elsewhere on a disk is not taken.
        let sound = Name::new(&node.name, NamePolicy::Any).is_ok();
        if !sound || self.nodes.get(&id) == Some(&node) {
            return;
        }
        self.edits.push(Edit::Node { id: id.clone(), node: Some(node.clone()) });
        self.unlink(&id);
        if let Some(parent) = &node.parent {
            self.within.entry(parent.clone()).or_default().insert(id.clone());
        }
        self.nodes.insert(id, node);
    }

    fn drop_node(&mut self, id: &str) {
        self.unlink(id);
        if self.nodes.remove(id).is_some() {
            self.edits.push(Edit::Node { id: id.to_owned(), node: None });
        }
    }

    /// Takes a node out of the folder that it is in.
    fn unlink(&mut self, id: &str) {
        let parent = self.nodes.get(id).and_then(|node| node.parent.as_ref());
        if let Some(siblings) = parent.and_then(|parent| self.within.get_mut(parent)) {
            siblings.remove(id);
        }
    }

    /// All that is known below a folder.
    fn below(&self, folder: &str) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        let mut open = vec![folder.to_owned()];
        while let Some(at) = open.pop() {
            for id in self.within.get(&at).into_iter().flatten() {
                // What comes from outside may be a ring.
                if found.insert(id.clone()) {
                    open.push(id.clone());
                }
            }
        }
        found
    }

    fn drop_with_all(&mut self, id: &str) {
        self.below(id).iter().for_each(|below| self.drop_node(below));
        self.drop_node(id);
    }

    async fn follow(&mut self, client: &Client, from: String) -> Result<(), CallError> {
        let mut cursor = from;
        self.walked = false;
        loop {
            let query = ChangesQuery {
                cursor: Some(cursor),
                share_id: Some(self.share_id.clone()),
                limit: Some(PAGE),
                wait: None,
            };
            let page = client.changes(&query).await?;
            for change in page.changes {
                self.change(client, change).await?;
            }
            self.set_cursor(page.cursor.clone());
            let walked = std::mem::take(&mut self.walked);
            if !page.has_more && !walked {
                return Ok(());
            }
            cursor = page.cursor;
        }
    }

    /// Applies one row, as what is so now.
    async fn change(&mut self, client: &Client, change: Change) -> Result<(), CallError> {
        let id = change.resource_id.clone();
        let is_deleted = change.change_type == ChangeType::Deleted;
        let is_top = change.resource_type == ResourceType::Share || Some(&id) == self.root.as_ref();
        if is_top || is_deleted {
            if !is_top {
                self.drop_with_all(&id);
            }
            // What lay below something closed may be anywhere else now.
            let again = change.subtree || (is_top && is_deleted);
            return if again { self.look_again(client).await.map(drop) } else { Ok(()) };
        }
        if !self.holds(change.parent_id.as_deref()) {
            return self.ask_for(client, &change).await;
        }
        let Some(name) = change.name.clone() else { return Ok(()) };
        match change.resource_type {
            ResourceType::Folder => {
                // What is put into a folder that was just made is told by later rows.
                let is_full =
                    !self.nodes.contains_key(&id) && change.change_type != ChangeType::Created;
                let node = Node { parent: change.parent_id, name, file: None };
                self.put(id.clone(), node);
                if change.subtree || is_full { self.refresh(client, &id).await } else { Ok(()) }
            }
            ResourceType::File => self.change_of_file(client, change, id, name).await,
            ResourceType::Share => Ok(()),
        }
    }

    /// A thing in a folder that is not known is taken as it is now, or not at all.
    async fn ask_for(&mut self, client: &Client, change: &Change) -> Result<(), CallError> {
        let id = &change.resource_id;
        let is_ours = match &change.parent_id {
            Some(parent) => !self.elsewhere.contains(parent),
            None => false,
        };
        let asked = match change.resource_type {
            _ if !is_ours => None,
            ResourceType::Folder => {
                let asked = client.folder(id, &FolderQuery::default()).await;
                seen(asked)?.filter(|folder| folder.share_id == self.share_id).map(Item::Folder)
            }
            ResourceType::File => {
                let asked = client.file(id).await;
                seen(asked)?.filter(|file| file.share_id == self.share_id).map(Item::File)
            }
            ResourceType::Share => None,
        };
        let Some(item) = asked.filter(|item| !is_trashed(item)) else {
            self.drop_with_all(id);
            return Ok(());
        };
        let parent = match &item {
            Item::Folder(folder) => folder.parent_id.clone(),
            Item::File(file) => file.folder_id.clone(),
        };
        if !self.learn(client, parent).await? {
            self.drop_with_all(id);
            return Ok(());
        }
        let is_new = !self.nodes.contains_key(id);
        let is_folder = matches!(item, Item::Folder(_));
        self.enter(item);
        if is_folder && (is_new || change.subtree) {
            self.refresh(client, id).await?;
        }
        Ok(())
    }

    /// Takes in a folder that something lies in, and what is not known of those above it; whether
    /// it lies in what is kept in step and can be seen.
    async fn learn(&mut self, client: &Client, folder: Option<String>) -> Result<bool, CallError> {
        let mut chain = Vec::new();
        let mut next = folder.clone();
        while !self.holds(next.as_deref()) {
            let id = next.filter(|id| !self.elsewhere.contains(id) && chain.len() < DEPTH_MAX);
            let found = match &id {
                Some(id) => seen(client.folder(id, &FolderQuery::default()).await)?,
                None => None,
            };
            let ours = found.filter(|found| found.share_id == self.share_id && !found.is_deleted);
            let Some(found) = ours else {
                let closed = chain.into_iter().map(|folder: Folder| folder.id).chain(id);
                self.elsewhere.extend(closed);
                return Ok(false);
            };
            next = found.parent_id.clone();
            chain.push(found);
        }
        // The snapshot of the outermost one has the others.
        if let Some(outermost) = chain.pop() {
            let id = outermost.id.clone();
            self.enter(Item::Folder(outermost));
            self.refresh(client, &id).await?;
        }
        Ok(self.holds(folder.as_deref()))
    }

    /// Puts the snapshot of a folder in the place of all that is known below it.
    async fn refresh(&mut self, client: &Client, folder: &str) -> Result<(), CallError> {
        let walk = self.snapshot(client, Some(folder.to_owned())).await;
        let Some((items, _)) = seen(walk)? else {
            // It went again since; a later row says so too.
            self.drop_with_all(folder);
            return Ok(());
        };
        let listed: BTreeSet<&str> = items.iter().map(Item::id).collect();
        let known = self.below(folder);
        let gone = known.iter().filter(|id| !listed.contains(id.as_str()));
        gone.for_each(|id| self.drop_node(id));
        items.into_iter().for_each(|item| self.enter(item));
        Ok(())
    }

    async fn change_of_file(
        &mut self,
        client: &Client,
        change: Change,
        id: String,
        name: String,
    ) -> Result<(), CallError> {
        let old = self.nodes.get(&id).and_then(|node| node.file.clone());
        let old = old.filter(|old| change.version_id.as_ref() == Some(&old.version_id));
        let file = match (old, change.version_id, change.metadata) {
            // Without a new content, only `updated` can mean that the Unix bit changed.
            (Some(old), _, Some(told)) if told.executable.is_some() => {
                RemoteFile { executable: told.executable, ..old }
            }
            (Some(old), _, _) if change.change_type != ChangeType::Updated => old,
            (None, Some(version_id), Some(told)) if told.size.is_some() => RemoteFile {
                id: id.clone(),
                version_id,
                size: told.size.unwrap_or_default(),
                checksum: told.checksum_sha256.map(|hash| hash.0),
                modified: told.client_modified_at.map(|time| time.0),
                executable: told.executable,
            },
            _ => match seen(client.file(&id).await)? {
                Some(file) => remote_file(&file),
                None => {
                    self.drop_node(&id);
                    return Ok(());
                }
            },
        };
        self.put(id, Node { parent: change.parent_id, name, file: Some(file) });
        Ok(())
    }

    /// Whether a folder is in the tree.
    fn holds(&self, parent: Option<&str>) -> bool {
        parent == self.root.as_deref()
            || parent.and_then(|id| self.nodes.get(id)).is_some_and(|node| node.file.is_none())
    }

    /// The tree by path, and what each folder's id is called.
    pub(crate) fn tree(&mut self) -> BTreeMap<String, Remote> {
        let mut children: BTreeMap<Option<&str>, Vec<(&String, &Node)>> = BTreeMap::new();
        for (id, node) in &self.nodes {
            children.entry(node.parent.as_deref()).or_default().push((id, node));
        }
        let mut tree = BTreeMap::new();
        let mut open = vec![(self.root.as_deref(), String::new())];
        let mut seen = 0;
        while let Some((parent, path)) = open.pop() {
            for (id, node) in children.remove(&parent).unwrap_or_default() {
                seen += 1;
                let at = if path.is_empty() {
                    node.name.clone()
                } else {
                    format!("{path}/{}", node.name)
                };
                let remote = match &node.file {
                    Some(file) => Remote::File(file.clone()),
                    None => {
                        open.push((Some(id.as_str()), at.clone()));
                        Remote::Folder(id.clone())
                    }
                };
                tree.insert(at, remote);
            }
        }
        if seen < self.nodes.len() {
            self.drop_orphans(&tree);
        }
        tree
    }

    fn drop_orphans(&mut self, tree: &BTreeMap<String, Remote>) {
        let held: BTreeSet<&str> = tree.values().map(Remote::id).collect();
        let orphans: Vec<String> =
            self.nodes.keys().filter(|id| !held.contains(id.as_str())).cloned().collect();
        for id in orphans {
            self.drop_node(&id);
        }
    }
}

/// What the server answered, or nothing where it is the server that says that there is nothing for
/// us to read.
fn seen<T>(answer: Result<T, CallError>) -> Result<Option<T>, CallError> {
    use ErrorCode::{NotFound, PermissionDenied, Trashed};
    match answer {
        Ok(found) => Ok(Some(found)),
        Err(error) if matches!(error.code(), Some(NotFound | PermissionDenied | Trashed)) => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn is_trashed(item: &Item) -> bool {
    match item {
        Item::File(file) => file.is_deleted,
        Item::Folder(folder) => folder.is_deleted,
    }
}

/// What is kept of a file.
pub(crate) fn remote_file(file: &File) -> RemoteFile {
    RemoteFile {
        id: file.id.clone(),
        version_id: file.version_id.clone(),
        size: file.size,
        checksum: file.checksum_sha256.map(|hash| hash.0),
        modified: file.client_modified_at.map(|time| time.0),
        executable: Some(file.executable),
    }
}
