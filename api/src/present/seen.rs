//! Items as answers show them: whole, or, in a drop folder, only that they are there.

use api_ops::meta::outcome::ItemView;
use api_ops::meta::query::version::Numbered;
use api_types::Time;
use api_types::v1::Item;
use api_types::v1::files::File;
use api_types::v1::folders::Folder;
use api_types::v1::versions::Version;
use node_base::TenantId;
use serde::Serialize;
use utoipa::ToSchema;

use super::item::{checksum, item, item_id};

/// What a caller may see of an item: writing without READ is answered with the id alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(untagged)]
pub enum Seen<T> {
    Whole(T),
    Only { id: String },
}

/// A folder as the caller may see it.
pub fn folder(tenant: TenantId, view: &ItemView) -> Seen<Folder> {
    match item(tenant, view) {
        Some(Item::Folder(folder)) => Seen::Whole(folder),
        _ => Seen::Only { id: item_id(view.id) },
    }
}

/// A file as the caller may see it.
pub fn file(tenant: TenantId, view: &ItemView) -> Seen<File> {
    match item(tenant, view) {
        Some(Item::File(file)) => Seen::Whole(file),
        _ => Seen::Only { id: item_id(view.id) },
    }
}

/// A file or a folder as the caller may see it.
pub fn any(tenant: TenantId, view: &ItemView) -> Seen<Item> {
    item(tenant, view).map_or_else(|| Seen::Only { id: item_id(view.id) }, Seen::Whole)
}

/// The revision of an item, for its tag; nothing is told of what cannot be read.
pub fn revision(view: &ItemView) -> u64 {
    view.item.as_ref().map_or(0, |item| item.revision)
}

/// A version of a file.
pub fn version(Numbered { number, version, .. }: &Numbered) -> Version {
    Version {
        id: version.id.to_string(),
        version_number: *number,
        size: version.size,
        checksum_sha256: checksum(version.checksum).0,
        created_by: version.created_by.to_string(),
        created_at: Time(version.created_at),
    }
}
