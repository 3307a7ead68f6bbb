//! Section 13: frames of the web sockets. They are hints: the change log is the truth.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::sync::Change;
use super::{Item, ItemType};

/// The code that a socket is closed with when the token is bad.
pub const CLOSE_BAD_TOKEN: u16 = 4401;

/// A token in the address, for callers that cannot set a header.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct SocketQuery {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
}

/// Of what events are told.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct EventsQuery {
    /// Absent: all the caller's shares.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share_id: Option<String>,
    /// For callers that cannot set a header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
}

/// What a device says on `/sync/ws/{device_id}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum DeviceFrame {
    Subscribe,
    Ping,
}

/// What a device is told that answers it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum DeviceAnswer {
    Subscribed,
    Pong,
    /// A frame that was not understood.
    Error {
        detail: String,
    },
}

/// What a device is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "event_type", rename_all = "snake_case")]
pub enum DeviceEvent {
    Change {
        share_id: String,
        data: Box<Change>,
    },
    SyncPreferenceUpdated {
        share_id: String,
    },
    /// List once and go on from there.
    ForceSync {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        share_id: Option<String>,
    },
}

/// What a viewer says on `/realtime/ws`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum ViewerFrame {
    Subscribe { share_id: String },
    Unsubscribe { share_id: String },
    Ping,
}

/// Something that happened to an item.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ItemEvent {
    pub share_id: String,
    pub resource_type: ItemType,
    pub resource_id: String,
    /// As it is now; null when it is gone.
    pub item: Option<Item>,
}

/// What a viewer is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ViewerEvent {
    Connected,
    Subscribed {
        share_id: String,
    },
    Unsubscribed {
        share_id: String,
    },
    FileCreated(ItemEvent),
    FileUpdated(ItemEvent),
    FileDeleted(ItemEvent),
    FolderCreated(ItemEvent),
    FolderUpdated(ItemEvent),
    FolderDeleted(ItemEvent),
    Pong,
    /// A frame that was not understood or not allowed.
    Error {
        detail: String,
    },
}
