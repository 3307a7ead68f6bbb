//! Devices of sync clients, their cursors and preferences.

use node_base::{DeviceId, FolderId, ShareId, TenantId, Timestamp, UserId};
use serde::{Deserialize, Serialize};

use super::tables;

tables! {
    Devices(90, "devices"): (TenantId, UserId, DeviceId) => Device;
    DeviceCursors(91, "device_cursors"): (TenantId, UserId, DeviceId, ShareId) => DeviceCursor;
    Preferences(92, "preferences"): (TenantId, UserId, DeviceId, ShareId) => Preference;
    /// The devices that have a cursor or a preference of a share.
    ShareDevices(93, "share_devices"): (TenantId, ShareId, UserId, DeviceId) => ();
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    pub name: String,
    pub platform: String,
    pub client_version: String,
    pub created_at: Timestamp,
    pub last_seen_at: Timestamp,
}

/// How far a device says it has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceCursor {
    pub incarnation: u64,
    pub position: u64,
    pub synced_at: Timestamp,
}

/// Which folders of a share a device keeps; all of them without a row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Preference {
    All,
    Selected(Vec<FolderId>),
}
