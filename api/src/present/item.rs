//! Files and folders.

use api_ops::meta::outcome::ItemView;
use api_ops::meta::table::item::{Body, Checksum, File as FileRow, Item as Row, ItemId};
use api_types::v1::files::{ChecksumStatus, File};
use api_types::v1::folders::Folder;
use api_types::v1::{Item, ResourceType};
use api_types::{Hash, Time};
use node_base::TenantId;

/// What stands in a path for a name that the caller may not read.
const HIDDEN: &str = "…";

/// The text of an item's id.
pub fn item_id(id: ItemId) -> String {
    match id {
        ItemId::Folder(folder) => folder.to_string(),
        ItemId::File(file) => file.to_string(),
    }
}

/// What kind of thing an item's id names.
pub const fn item_type(id: ItemId) -> ResourceType {
    match id {
        ItemId::Folder(_) => ResourceType::Folder,
        ItemId::File(_) => ResourceType::File,
    }
}

/// A path from the share's root, with a leading slash.
pub fn path(names: &[Option<String>]) -> String {
    let names = names.iter().map(|name| format!("/{}", name.as_deref().unwrap_or(HIDDEN)));
    let path: String = names.collect();
    if path.is_empty() { "/".to_owned() } else { path }
}

/// What is known of a file's checksum, and how far it can be trusted.
pub fn checksum(checksum: Checksum) -> (Option<Hash>, ChecksumStatus) {
    match checksum {
        Checksum::Unknown => (None, ChecksumStatus::Pending),
        Checksum::Pending(hash) => (Some(Hash(hash)), ChecksumStatus::Pending),
        Checksum::Verified(hash) => (Some(Hash(hash)), ChecksumStatus::Verified),
        Checksum::Mismatch(hash) => (Some(Hash(hash)), ChecksumStatus::Mismatch),
    }
}

/// An item whose caller may read it; nothing for a drop folder's answer.
pub fn item(tenant: TenantId, view: &ItemView) -> Option<Item> {
    let row = view.item.as_ref()?;
    Some(match &row.body {
        Body::Folder => Item::Folder(folder(tenant, view, row)),
        Body::File(body) => Item::File(file(tenant, view, row, body)),
    })
}

fn folder(tenant: TenantId, view: &ItemView, row: &Row) -> Folder {
    Folder {
        id: item_id(view.id),
        tenant_id: tenant.to_string(),
        share_id: row.share.to_string(),
        parent_id: row.parent.map(|parent| parent.to_string()),
        name: row.name.as_str().to_owned(),
        path: path(&view.path),
        owner_id: row.owner.to_string(),
        created_by: row.created_by.to_string(),
        created_at: Time(row.created_at),
        modified_at: Time(row.modified_at),
        is_deleted: view.is_deleted,
    }
}

fn file(tenant: TenantId, view: &ItemView, row: &Row, body: &FileRow) -> File {
    let (checksum_sha256, checksum_status) = checksum(body.checksum);
    File {
        id: item_id(view.id),
        tenant_id: tenant.to_string(),
        share_id: row.share.to_string(),
        folder_id: row.parent.map(|parent| parent.to_string()),
        name: row.name.as_str().to_owned(),
        path: path(&view.path),
        mime_type: body.mime_type.clone(),
        size: body.size,
        checksum_sha256,
        checksum_status,
        version: body.version,
        version_id: body.version_id.to_string(),
        owner_id: row.owner.to_string(),
        created_by: row.created_by.to_string(),
        created_at: Time(row.created_at),
        modified_by: row.modified_by.to_string(),
        modified_at: Time(row.modified_at),
        client_modified_at: body.client_modified_at.map(Time),
        executable: body.executable,
        is_deleted: view.is_deleted,
        vectorized_at: None,
    }
}

#[cfg(test)]
mod tests {
    use super::path;

    #[test]
    fn a_path_hides_the_names_that_its_reader_may_not_know() {
        let name = |text: &str| Some(text.to_owned());
        assert_eq!(path(&[]), "/");
        assert_eq!(path(&[name("a"), None, name("c.txt")]), "/a/…/c.txt");
    }
}
