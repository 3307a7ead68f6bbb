//! What the server has: listed once, then followed by its changes.
//!
//! Nodes are kept by id, so that moving a folder is one row. Paths are made when they are needed;
//! what hangs on nothing any more falls away then.

use std::collections::BTreeMap;

use api_client::{CallError, Client};
use api_sync_core::{Remote, RemoteFile};
use api_types::v1::files::File;
use api_types::v1::sync::{Change, ChangeType, ChangesQuery, SnapshotLine, SnapshotQuery};
use api_types::v1::{Item, ResourceType};
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
    cursor: Option<String>,
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
        Self { share_id, root, nodes, cursor, edits: Vec::new() }
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

    async fn list(&mut self, client: &Client) -> Result<(), CallError> {
        for id in std::mem::take(&mut self.nodes).into_keys() {
            self.edits.push(Edit::Node { id, node: None });
        }
        let root = self.root.clone();
        let cursor = self.snapshot(client, root).await?;
        self.set_cursor(cursor);
        Ok(())
    }

    fn set_cursor(&mut self, cursor: String) {
        if self.cursor.as_deref() != Some(&cursor) {
            self.edits.push(Edit::Cursor(Some(cursor.clone())));
            self.cursor = Some(cursor);
        }
    }

    /// Takes in all of the share, or of a folder; the cursor that continues it.
    async fn snapshot(
        &mut self,
        client: &Client,
        folder_id: Option<String>,
    ) -> Result<String, CallError> {
        let query = SnapshotQuery { share_id: self.share_id.clone(), folder_id };
        let mut lines = client.snapshot(&query).await?;
        let mut cursor = String::new();
        while let Some(line) = lines.next().await? {
            match line {
                SnapshotLine::Item(item) => self.enter(item),
                SnapshotLine::End(end) => cursor = end.cursor,
            }
        }
        Ok(cursor)
    }

    fn enter(&mut self, item: Item) {
        let deleted = match &item {
            Item::File(file) => file.is_deleted,
            Item::Folder(folder) => folder.is_deleted,
        };
        if deleted || Some(item.id()) == self.root.as_deref() {
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
        if sound && self.nodes.get(&id) != Some(&node) {
            self.edits.push(Edit::Node { id: id.clone(), node: Some(node.clone()) });
            self.nodes.insert(id, node);
        }
    }

    fn drop_node(&mut self, id: &str) {
        if self.nodes.remove(id).is_some() {
            self.edits.push(Edit::Node { id: id.to_owned(), node: None });
        }
    }

    async fn follow(&mut self, client: &Client, from: String) -> Result<(), CallError> {
        let mut cursor = from;
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
            if !page.has_more {
                return Ok(());
            }
            cursor = page.cursor;
        }
    }

    /// Applies one row, as what is so now.
    async fn change(&mut self, client: &Client, change: Change) -> Result<(), CallError> {
        let id = change.resource_id.clone();
        if change.resource_type == ResourceType::Share || Some(&id) == self.root.as_ref() {
            return Ok(());
        }
        if change.change_type == ChangeType::Deleted || !self.holds(change.parent_id.as_deref()) {
            self.drop_node(&id);
            return Ok(());
        }
        let Some(name) = change.name.clone() else { return Ok(()) };
        match change.resource_type {
            ResourceType::Folder => {
                let unknown = !self.nodes.contains_key(&id);
                let node = Node { parent: change.parent_id, name, file: None };
                self.put(id.clone(), node);
                let comes_full = unknown && change.change_type != ChangeType::Created;
                if change.subtree || comes_full {
                    self.refresh(client, id).await?;
                }
                Ok(())
            }
            ResourceType::File => self.change_of_file(client, change, id, name).await,
            ResourceType::Share => Ok(()),
        }
    }

    async fn refresh(&mut self, client: &Client, folder: String) -> Result<(), CallError> {
        match self.snapshot(client, Some(folder.clone())).await {
            Ok(_) => Ok(()),
            // It went again since; a later row says so too.
            Err(error) if matches!(error.status(), Some(404 | 410)) => {
                self.drop_node(&folder);
                Ok(())
            }
            Err(error) => Err(error),
        }
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
            _ => match client.file(&id).await {
                Ok(file) => remote_file(&file),
                Err(error) if matches!(error.status(), Some(404 | 410)) => {
                    self.drop_node(&id);
                    return Ok(());
                }
                Err(error) => return Err(error),
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
        let held: std::collections::BTreeSet<&str> = tree.values().map(Remote::id).collect();
        let orphans: Vec<String> =
            self.nodes.keys().filter(|id| !held.contains(id.as_str())).cloned().collect();
        for id in orphans {
            self.drop_node(&id);
        }
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
