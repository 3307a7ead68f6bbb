//! Does what a device does with what others did meanwhile: sends contents over files that have
//! changed and under names that are taken, has conflicts settled in every way, at once or later,
//! and carries files and folders from one share to another.

use api_types::v1::conflicts::Strategy;
use http::Method;
use node_base::ShareId;
use raft_meta::table::item::ItemId;
use serde_json::json;

use super::deleter::{restore, trash};
use super::ground::Actor;
use super::mover::{relocate, rename};
use super::uploader::{form, look, manner, overwrite};
use crate::client::request::{DEVICE, Request};
use crate::client::upload::Goal;
use crate::history::Ask;

const STRATEGIES: [Strategy; 5] = [
    Strategy::ServerWins,
    Strategy::ClientWins,
    Strategy::LastWriterWins,
    Strategy::KeepBoth,
    Strategy::Manual,
];

pub(crate) async fn run(actor: Actor, shares: Vec<ShareId>) {
    let body = json!({"device_id": DEVICE, "device_name": "A device: of \"somebody\""});
    let device = Request::json(Method::POST, "/sync/devices".to_owned(), &body);
    drop(Box::pin(actor.client.send(&device)).await);
    while actor.rest().await {
        let Some(share) = actor.pick(&shares).copied() else { return };
        let ask = match actor.range(0, 14) {
            0..2 => {
                drop(Box::pin(form(&actor, share)).await);
                None
            }
            2 => {
                Box::pin(overwrite(&actor, share)).await;
                None
            }
            3..7 => Box::pin(send(&actor, share)).await,
            7 => resolve(&actor, share),
            8..10 => pass(&actor, share, &shares),
            10 => copy(&actor, share, &shares),
            11 => Some(Ask::Folder { parent: actor.folder(share), name: actor.name("folder") }),
            12 if actor.happens(0.5) => relocate(&actor, share),
            12 => rename(&actor, share),
            _ if actor.happens(0.5) => restore(&actor, share),
            _ => trash(&actor, share),
        };
        if let Some(ask) = ask {
            Box::pin(actor.ask(share, ask)).await;
        }
        if actor.happens(0.5) {
            Box::pin(look(&actor, share)).await;
        }
    }
}

/// A new file under a name that others want too, or the next version of one.
async fn send(actor: &Actor, share: ShareId) -> Option<Ask> {
    let goal = match actor.file(share) {
        Some((file, seen)) if actor.happens(0.7) => Goal::Replace { file, base: actor.base(&seen) },
        _ => Goal::New { parent: actor.folder(share), name: format!("sent {}", actor.range(0, 4)) },
    };
    let (content, manner) = manner(actor);
    // The session is opened for what it is sent for, and others have time to change that.
    let filled = Box::pin(actor.client.fill(share, &goal, &content, manner, usize::MAX)).await;
    let upload = filled?;
    let strategy = *actor.pick(&STRATEGIES)?;
    Some(Ask::Send { goal, content, upload, strategy })
}

fn resolve(actor: &Actor, share: ShareId) -> Option<Ask> {
    let conflict = actor.conflict(share)?;
    let strategy = *actor.pick(&STRATEGIES[..4])?;
    Some(Ask::Resolve { conflict, strategy })
}

fn pass(actor: &Actor, share: ShareId, shares: &[ShareId]) -> Option<Ask> {
    let seen = actor.some(share, |seen| !seen.is_trashed)?;
    let to = *actor.pick(shares)?;
    Some(Ask::Pass { item: seen.item, to }).filter(|_| to != share)
}

fn copy(actor: &Actor, share: ShareId, shares: &[ShareId]) -> Option<Ask> {
    let (file, seen) = actor.file(share)?;
    let to = *actor.pick(shares)?;
    let is_whole = matches!(seen.item, ItemId::File(_));
    is_whole.then_some(Ask::Copy { file, to })
}
