//! Changes, as one reader is told of them.

use api_ops::meta::query::feed::Told;
use api_ops::meta::table::acl::Target;
use api_ops::meta::table::change::ChangeKind;
use api_ops::meta::table::item::ItemId;
use api_types::Time;
use api_types::v1::ResourceType;
use api_types::v1::sync::{Change, ChangeMetadata, ChangeType};
use node_base::TenantId;

use super::item::{checksum, item_id, item_type, path};

/// Who is named where no user made a change: what the cluster does by itself.
const NOBODY: &str = "system";

/// A change in a tenant.
pub fn change(tenant: TenantId, told: &Told) -> Change {
    let (resource_type, resource_id) = match told.target {
        Target::Share(share) => (ResourceType::Share, share.to_string()),
        Target::Item(id) => (item_type(id), item_id(id)),
    };
    Change {
        id: told.id.to_string(),
        seq: told.number,
        tenant_id: tenant.to_string(),
        share_id: told.share.to_string(),
        resource_type,
        resource_id,
        change_type: change_type(told.kind),
        changed_by: told.by.map_or_else(|| NOBODY.to_owned(), |user| user.to_string()),
        device_id: told.device.as_ref().map(ToString::to_string),
        changed_at: Time(told.at),
        old_path: told.old_path.as_deref().map(path),
        new_path: told.new_path.as_deref().map(path),
        parent_id: told.parent.map(|parent| parent.to_string()),
        name: told.name.as_ref().map(|name| name.as_str().to_owned()),
        version_id: told.version.map(|version| version.to_string()),
        metadata: metadata(told),
        subtree: told.subtree,
    }
}

const fn change_type(kind: ChangeKind) -> ChangeType {
    match kind {
        ChangeKind::Created => ChangeType::Created,
        ChangeKind::Updated => ChangeType::Updated,
        ChangeKind::Deleted => ChangeType::Deleted,
        ChangeKind::Moved => ChangeType::Moved,
        ChangeKind::Renamed => ChangeType::Renamed,
        ChangeKind::Restored => ChangeType::Restored,
        ChangeKind::Permissions => ChangeType::Permissions,
    }
}

/// Of files whose reader may know their content.
fn metadata(told: &Told) -> Option<ChangeMetadata> {
    let Target::Item(ItemId::File(_)) = told.target else { return None };
    told.version.map(|_| ChangeMetadata {
        size: told.size,
        mime_type: told.mime_type.clone(),
        checksum_sha256: told.checksum.and_then(|known| checksum(known).0),
        client_modified_at: told.client_modified_at.map(Time),
        executable: told.executable,
    })
}
