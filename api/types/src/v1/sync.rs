//! Section 11: devices, cursors, changes.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::conflicts::{Conflict, Strategy};
use super::error::ItemError;
use super::{Item, ItemType, ResourceType};
use crate::{Hash, Patch, Time};

/// A new device, or one that shows itself again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RegisterDevice {
    /// `dev_` and what the client chose, or the part behind the prefix alone.
    pub device_id: String,
    pub device_name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_version: Option<String>,
}

/// Where a device stands in one share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeviceCursor {
    pub share_id: String,
    pub cursor: String,
    /// Changes it has not acknowledged.
    pub lag: u64,
    pub acknowledged_at: Option<Time>,
}

/// A device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Device {
    pub device_id: String,
    pub device_name: String,
    pub platform: Option<String>,
    pub client_version: Option<String>,
    pub last_seen_at: Time,
    pub created_at: Time,
    pub cursors: Vec<DeviceCursor>,
}

/// The caller's devices.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeviceList {
    pub devices: Vec<Device>,
    pub total: u64,
}

/// A change of a device.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct PatchDevice {
    #[serde(default, skip_serializing_if = "Patch::is_absent")]
    #[schema(value_type = String, required = false)]
    pub device_name: Patch<String>,
    #[serde(default, skip_serializing_if = "Patch::is_absent")]
    #[schema(value_type = Option<String>)]
    pub platform: Patch<String>,
    #[serde(default, skip_serializing_if = "Patch::is_absent")]
    #[schema(value_type = Option<String>)]
    pub client_version: Patch<String>,
}

/// How much of a share a device keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PreferenceMode {
    All,
    Selected,
}

/// Selective sync of one share on one device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Preferences {
    pub share_id: String,
    pub mode: PreferenceMode,
    /// Ids of the folders that are kept, with `selected`.
    #[serde(default)]
    pub folders: Vec<String>,
}

/// Of which share preferences are asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct PreferencesQuery {
    pub share_id: String,
}

/// Of which share and device the status is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct StatusQuery {
    pub share_id: String,
    pub device_id: String,
}

/// Where a device stands in a share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Status {
    pub cursor: String,
    pub cursor_position: u64,
    pub last_sync_at: Option<Time>,
    pub pending_changes: u64,
    pub has_conflicts: bool,
}

/// Which changes are asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ChangesQuery {
    /// Absent: from the beginning. `latest`: from now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// Absent: all the caller's shares in one stream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(minimum = 1, maximum = 5000, default = 1000)]
    pub limit: Option<u32>,
    /// Seconds to wait for a change when there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(minimum = 0, maximum = 60, default = 0)]
    pub wait: Option<u32>,
}

/// What happened to something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ChangeType {
    Created,
    Updated,
    Deleted,
    Moved,
    Renamed,
    Restored,
    Permissions,
}

/// A file's content at a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ChangeMetadata {
    pub size: Option<u64>,
    pub mime_type: Option<String>,
    pub checksum_sha256: Option<Hash>,
    /// The file's own time on the client that sent it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_modified_at: Option<Time>,
    /// The Unix bit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub executable: Option<bool>,
}

/// A row of the change log: one operation, whatever lies below.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Change {
    pub id: String,
    pub seq: u64,
    pub tenant_id: String,
    pub share_id: String,
    pub resource_type: ResourceType,
    pub resource_id: String,
    pub change_type: ChangeType,
    pub changed_by: String,
    pub device_id: Option<String>,
    pub changed_at: Time,
    pub old_path: Option<String>,
    pub new_path: Option<String>,
    /// Null in the share's root.
    pub parent_id: Option<String>,
    pub name: Option<String>,
    pub version_id: Option<String>,
    /// Of files.
    pub metadata: Option<ChangeMetadata>,
    /// The folder comes with content: ask for its snapshot.
    pub subtree: bool,
}

/// Changes, and where to go on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Changes {
    pub changes: Vec<Change>,
    pub cursor: String,
    pub has_more: bool,
    /// Null for all the caller's shares.
    pub share_id: Option<String>,
}

/// Of which share, or subtree, a snapshot is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct SnapshotQuery {
    pub share_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folder_id: Option<String>,
}

/// The last line of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SnapshotEnd {
    /// Continues the snapshot.
    pub cursor: String,
}

/// A line of a snapshot: items with parents first, then the cursor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
#[allow(clippy::large_enum_variant, reason = "all lines but one are items")]
pub enum SnapshotLine {
    Item(Item),
    End(SnapshotEnd),
}

/// A device's acknowledgement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AcknowledgeCursor {
    pub share_id: String,
    pub device_id: String,
    pub cursor: String,
}

/// What a change of POST `/sync/apply` does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ApplyType {
    Created,
    Updated,
    Deleted,
    Moved,
    Renamed,
    Restored,
}

/// One change of POST `/sync/apply`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ApplyChange {
    /// What the client calls it in the answer.
    pub client_ref: String,
    pub resource_type: ItemType,
    /// Of everything but `created`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_id: Option<String>,
    pub change_type: ApplyType,
    /// Where it goes; `root`: the share's root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_id: Option<String>,
    /// Instead of `parent_id`: the `client_ref` of an earlier entry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_ref: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_version_id: Option<String>,
    /// The session with the content; it is completed here. A change `updated` without one changes
    /// only what follows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upload_session_id: Option<String>,
    /// When the client's own file changed: kept of what is created or updated, and compared where
    /// the last writer wins. Absent: what the session says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_modified_at: Option<Time>,
    /// Kept of what is created or updated. Absent: what the session says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub executable: Option<bool>,
}

/// Changes that a device made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Apply {
    pub device_id: String,
    pub share_id: String,
    /// Absent: as the share says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conflict_resolution: Option<Strategy>,
    #[schema(max_items = 1000)]
    pub changes: Vec<ApplyChange>,
}

/// What became of one change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ApplyStatus {
    Applied,
    Conflict,
    Rejected,
}

/// One change of a batch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ApplyResult {
    pub client_ref: String,
    pub status: ApplyStatus,
    /// As it is now, where the caller may know.
    pub resource: Option<Item>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conflict: Option<Conflict>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ItemError>,
}

/// The changes of a batch, in its order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Applied {
    pub results: Vec<ApplyResult>,
    pub cursor: String,
}

/// What part of a file is downloaded, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct DownloadQuery {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(minimum = 1)]
    pub version: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub range_start: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub range_end: Option<u64>,
}
