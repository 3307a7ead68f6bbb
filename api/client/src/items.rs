//! Sections 7, 8 and 10: folders, files, versions, trash.

use std::ops::Range;
use std::sync::Arc;

use api_types::v1::files::{File, Manifest, PatchFile, VersionQuery};
use api_types::v1::folders::{
    Children, ChildrenQuery, CreateFolder, Folder, FolderQuery, PatchFolder, Target,
};
use api_types::v1::versions::{TrashQuery, VersionList};
use api_types::v1::{DeleteQuery, Item, ItemList, ItemType, PageQuery};

use crate::Client;
use crate::answer::Download;
use crate::call::Call;
use crate::error::CallError;

/// The collection that items of a kind are in.
fn collection(kind: ItemType) -> &'static str {
    match kind {
        ItemType::File => "files",
        ItemType::Folder => "folders",
    }
}

impl Client {
    /// # Errors
    /// As [`Client::ask`].
    pub async fn folder(&self, id: &str, query: &FolderQuery) -> Result<Folder, CallError> {
        self.ask(Call::get(&["folders", id]).query(query)).await
    }

    /// One page of what is in a folder.
    ///
    /// # Errors
    /// As [`Client::ask`].
    pub async fn children(&self, id: &str, query: &ChildrenQuery) -> Result<Children, CallError> {
        self.ask(Call::get(&["folders", id, "children"]).query(query)).await
    }

    /// # Errors
    /// As [`Client::ask`].
    pub async fn create_folder(&self, folder: &CreateFolder) -> Result<Folder, CallError> {
        self.ask(Call::post(&["folders"]).json(folder)?).await
    }

    /// # Errors
    /// As [`Client::ask`].
    pub async fn patch_folder(&self, id: &str, patch: &PatchFolder) -> Result<Folder, CallError> {
        self.ask(Call::patch(&["folders", id]).json(patch)?).await
    }

    /// # Errors
    /// As [`Client::ask`].
    pub async fn file(&self, id: &str) -> Result<File, CallError> {
        self.ask(Call::get(&["files", id])).await
    }

    /// # Errors
    /// As [`Client::ask`].
    pub async fn patch_file(&self, id: &str, patch: &PatchFile) -> Result<File, CallError> {
        self.ask(Call::patch(&["files", id]).json(patch)?).await
    }

    /// # Errors
    /// As [`Client::ask`].
    pub async fn move_item(
        &self,
        kind: ItemType,
        id: &str,
        target: &Target,
    ) -> Result<Item, CallError> {
        self.to_target(kind, id, "move", target).await
    }

    /// # Errors
    /// As [`Client::ask`].
    pub async fn copy_item(
        &self,
        kind: ItemType,
        id: &str,
        target: &Target,
    ) -> Result<Item, CallError> {
        self.to_target(kind, id, "copy", target).await
    }

    async fn to_target(
        &self,
        kind: ItemType,
        id: &str,
        verb: &str,
        target: &Target,
    ) -> Result<Item, CallError> {
        let call = Call::post(&[collection(kind), id, verb]).json(target)?;
        match kind {
            ItemType::File => self.ask(call).await.map(Item::File),
            ItemType::Folder => self.ask(call).await.map(Item::Folder),
        }
    }

    /// Into the trash, or for good.
    ///
    /// # Errors
    /// As [`Client::ask`].
    pub async fn delete_item(
        &self,
        kind: ItemType,
        id: &str,
        permanent: bool,
    ) -> Result<(), CallError> {
        let query = DeleteQuery { permanent };
        self.remove(Call::delete(&[collection(kind), id]).query(&query)).await
    }

    /// A file's content as it comes.
    ///
    /// # Errors
    /// As [`Client::ask`].
    pub async fn content(&self, id: &str, version: Option<u32>) -> Result<Download, CallError> {
        let call = Call::get(&["files", id, "content"]).query(&VersionQuery { version });
        let answer = self.send(call).await?;
        Ok(Download::new(answer, Arc::clone(&self.0.counters)))
    }

    /// A part of a file's content. With `version_id` it is a part only while that is the content;
    /// otherwise the answer is the whole, see [`Download::is_partial`].
    ///
    /// # Errors
    /// As [`Client::ask`].
    pub async fn content_part(
        &self,
        id: &str,
        version: Option<u32>,
        version_id: Option<&str>,
        range: Range<u64>,
    ) -> Result<Download, CallError> {
        let last = range.end.saturating_sub(1);
        let mut call = Call::get(&["files", id, "content"])
            .query(&VersionQuery { version })
            .header("range", format!("bytes={}-{last}", range.start));
        if let Some(version_id) = version_id {
            call = call.header("if-range", format!("\"{version_id}\""));
        }
        let answer = self.send(call).await?;
        Ok(Download::new(answer, Arc::clone(&self.0.counters)))
    }

    /// What a file is made of.
    ///
    /// # Errors
    /// As [`Client::ask`].
    pub async fn manifest(&self, id: &str, version: Option<u32>) -> Result<Manifest, CallError> {
        self.ask(Call::get(&["files", id, "manifest"]).query(&VersionQuery { version })).await
    }

    /// # Errors
    /// As [`Client::ask`].
    pub async fn versions(&self, id: &str, page: &PageQuery) -> Result<VersionList, CallError> {
        self.ask(Call::get(&["files", id, "versions"]).query(page)).await
    }

    /// # Errors
    /// As [`Client::ask`].
    pub async fn restore_version(&self, id: &str, version: u32) -> Result<File, CallError> {
        let version = version.to_string();
        self.ask(Call::post(&["files", id, "versions", &version, "restore"])).await
    }

    /// # Errors
    /// As [`Client::ask`].
    pub async fn trash(&self, query: &TrashQuery) -> Result<ItemList, CallError> {
        self.ask(Call::get(&["trash"]).query(query)).await
    }

    /// # Errors
    /// As [`Client::ask`].
    pub async fn restore_item(&self, kind: ItemType, id: &str) -> Result<Item, CallError> {
        let call = Call::post(&["trash", singular(kind), id, "restore"]);
        match kind {
            ItemType::File => self.ask(call).await.map(Item::File),
            ItemType::Folder => self.ask(call).await.map(Item::Folder),
        }
    }

    /// Out of the trash, for good.
    ///
    /// # Errors
    /// As [`Client::ask`].
    pub async fn purge_item(&self, kind: ItemType, id: &str) -> Result<(), CallError> {
        self.remove(Call::delete(&["trash", singular(kind), id])).await
    }
}

fn singular(kind: ItemType) -> &'static str {
    match kind {
        ItemType::File => "file",
        ItemType::Folder => "folder",
    }
}
