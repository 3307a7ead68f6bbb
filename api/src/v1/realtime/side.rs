//! The two kinds of sockets: what each understands, and how changes are told on it.

use std::collections::BTreeSet;

use api_ops::OpError;
use api_ops::meta::outcome::ItemView;
use api_ops::meta::query::feed::{self, Told};
use api_ops::meta::query::{self, Denied};
use api_ops::meta::table::acl::Target;
use api_ops::meta::table::change::ChangeKind;
use api_ops::meta::table::item::ItemId;
use api_types::v1::ItemType;
use api_types::v1::realtime::{
    DeviceAnswer, DeviceEvent, DeviceFrame, ItemEvent, ViewerEvent, ViewerFrame,
};
use node_base::{DeviceId, ShareId};
use serde::Serialize;

use super::line::Who;
use crate::error::ApiError;
use crate::present;

/// Shares that one viewer looks at.
const SHARES_MAX: usize = 1_000;

/// Who is at the other end.
pub(super) enum Side {
    Device(DeviceId),
    Viewer { shares: BTreeSet<ShareId> },
}

/// What comes of a frame: the answer, and whether changes are followed from now on.
pub(super) struct Turn {
    pub(super) answer: String,
    pub(super) follow: Option<bool>,
}

impl Turn {
    fn say(answer: &impl Serialize) -> Self {
        Self { answer: json(answer), follow: None }
    }
}

fn json(frame: &impl Serialize) -> String {
    serde_json::to_string(frame).expect("frames are plain data")
}

impl Side {
    pub(super) const fn device(device: DeviceId) -> Self {
        Self::Device(device)
    }

    pub(super) const fn viewer() -> Self {
        Self::Viewer { shares: BTreeSet::new() }
    }

    /// The device whose preferences are told of.
    pub(super) fn device_id(&self) -> Option<DeviceId> {
        match self {
            Self::Device(device) => Some(device.clone()),
            Self::Viewer { .. } => None,
        }
    }

    /// What is said before anything is asked.
    pub(super) fn greeting(&self) -> Option<String> {
        match self {
            Self::Device(_) => None,
            Self::Viewer { .. } => Some(json(&ViewerEvent::Connected)),
        }
    }

    /// What is said when the history behind the cursor is gone.
    pub(super) fn start_anew(&self) -> Option<String> {
        match self {
            Self::Device(_) => Some(json(&DeviceEvent::ForceSync { share_id: None })),
            Self::Viewer { .. } => None,
        }
    }

    /// What is said when a device keeps something else of a share than it did.
    pub(super) fn kept_anew(share: ShareId) -> String {
        json(&DeviceEvent::SyncPreferenceUpdated { share_id: share.to_string() })
    }

    /// Takes a frame.
    pub(super) async fn hear(&mut self, who: &Who, text: &str) -> Turn {
        match self {
            Self::Device(_) => match serde_json::from_str(text) {
                Ok(DeviceFrame::Ping) => Turn::say(&DeviceAnswer::Pong),
                Ok(DeviceFrame::Subscribe) => {
                    Turn { follow: Some(true), ..Turn::say(&DeviceAnswer::Subscribed) }
                }
                Err(error) => Turn::say(&DeviceAnswer::Error { detail: not_understood(&error) }),
            },
            Self::Viewer { shares } => match serde_json::from_str(text) {
                Ok(ViewerFrame::Ping) => Turn::say(&ViewerEvent::Pong),
                Ok(ViewerFrame::Subscribe { share_id }) => subscribe(who, shares, share_id).await,
                Ok(ViewerFrame::Unsubscribe { share_id }) => {
                    if let Ok(share) = share_id.parse() {
                        shares.remove(&share);
                    }
                    let follow = shares.is_empty().then_some(false);
                    Turn { follow, ..Turn::say(&ViewerEvent::Unsubscribed { share_id }) }
                }
                Err(error) => Turn::say(&ViewerEvent::Error { detail: not_understood(&error) }),
            },
        }
    }

    /// Changes as frames.
    pub(super) async fn frames(&self, who: &Who, changes: &[Told]) -> Result<Vec<String>, OpError> {
        match self {
            Self::Device(_) => {
                let tenant = who.call.caller.tenant;
                let frames = changes.iter().map(|told| {
                    let share_id = told.share.to_string();
                    let data = Box::new(present::change(tenant, told));
                    json(&DeviceEvent::Change { share_id, data })
                });
                Ok(frames.collect())
            }
            Self::Viewer { shares } => {
                let seen = changes.iter().filter(|told| shares.contains(&told.share));
                let seen = seen.filter_map(|told| match told.target {
                    Target::Item(id) => Some((id, told.share, told.kind)),
                    Target::Share(_) => None,
                });
                item_events(who, seen.collect()).await
            }
        }
    }
}

fn not_understood(error: &serde_json::Error) -> String {
    format!("The frame was not understood: {error}.")
}

async fn subscribe(who: &Who, shares: &mut BTreeSet<ShareId>, share_id: String) -> Turn {
    let refused = |detail: &str| Turn::say(&ViewerEvent::Error { detail: detail.to_owned() });
    let Ok(share) = share_id.parse::<ShareId>() else {
        return refused("There is no such share.");
    };
    if shares.len() >= SHARES_MAX {
        return refused("There are too many subscriptions.");
    }
    let asked = who
        .state
        .ops
        .ask(&who.call, move |tables, viewer| feed::require_visible(tables, viewer, share));
    if let Err(error) = asked.await {
        return refused(&ApiError::from(error).body("", None).sentence());
    }
    shares.insert(share);
    Turn { follow: Some(true), ..Turn::say(&ViewerEvent::Subscribed { share_id }) }
}

/// What a viewer is told of items, each as it is by now.
async fn item_events(
    who: &Who,
    changes: Vec<(ItemId, ShareId, ChangeKind)>,
) -> Result<Vec<String>, OpError> {
    let ids: Vec<ItemId> = changes.iter().map(|(id, ..)| *id).collect();
    let views: Vec<Option<ItemView>> = who
        .state
        .ops
        .ask(&who.call, move |tables, viewer| {
            let view = |id| match query::item::get(tables, viewer, id) {
                Ok(view) => Ok(Some(view)),
                Err(Denied::Refused(_)) => Ok(None),
                Err(error) => Err(error),
            };
            ids.into_iter().map(view).collect()
        })
        .await?;
    let tenant = who.call.caller.tenant;
    let events = changes.into_iter().zip(views).map(|((id, share, kind), view)| {
        let event = ItemEvent {
            share_id: share.to_string(),
            resource_type: match id {
                ItemId::File(_) => ItemType::File,
                ItemId::Folder(_) => ItemType::Folder,
            },
            resource_id: present::item::item_id(id),
            item: view.and_then(|view| present::item(tenant, &view)),
        };
        json(&named(kind, event))
    });
    Ok(events.collect())
}

fn named(kind: ChangeKind, event: ItemEvent) -> ViewerEvent {
    match (kind, event.resource_type) {
        (ChangeKind::Created | ChangeKind::Restored, ItemType::File) => {
            ViewerEvent::FileCreated(event)
        }
        (ChangeKind::Created | ChangeKind::Restored, ItemType::Folder) => {
            ViewerEvent::FolderCreated(event)
        }
        (ChangeKind::Deleted, ItemType::File) => ViewerEvent::FileDeleted(event),
        (ChangeKind::Deleted, ItemType::Folder) => ViewerEvent::FolderDeleted(event),
        (
            ChangeKind::Updated | ChangeKind::Moved | ChangeKind::Renamed | ChangeKind::Permissions,
            ItemType::File,
        ) => ViewerEvent::FileUpdated(event),
        (
            ChangeKind::Updated | ChangeKind::Moved | ChangeKind::Renamed | ChangeKind::Permissions,
            ItemType::Folder,
        ) => ViewerEvent::FolderUpdated(event),
    }
}
