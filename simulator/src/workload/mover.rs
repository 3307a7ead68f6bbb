//! Makes folders, renames and moves what there is.

use node_base::ShareId;

use super::ground::Actor;
use super::uploader::look;
use crate::history::Ask;

pub(crate) async fn run(actor: Actor, shares: Vec<ShareId>) {
    while actor.rest().await {
        let Some(share) = actor.pick(&shares).copied() else { return };
        let ask = match actor.range(0, 6) {
            0..2 => Some(Ask::Folder { parent: actor.folder(share), name: actor.name("folder") }),
            2..4 => rename(&actor, share),
            _ => relocate(&actor, share),
        };
        if let Some(ask) = ask {
            Box::pin(actor.ask(share, ask)).await;
        }
        if actor.happens(0.4) {
            Box::pin(look(&actor, share)).await;
        }
    }
}

pub(super) fn rename(actor: &Actor, share: ShareId) -> Option<Ask> {
    let seen = actor.some(share, |seen| !seen.is_trashed)?;
    let kind = if seen.version.is_some() { "file" } else { "folder" };
    Some(Ask::Relocate { item: seen.item, to: None, name: Some(actor.name(kind)) })
}

pub(super) fn relocate(actor: &Actor, share: ShareId) -> Option<Ask> {
    let seen = actor.some(share, |seen| !seen.is_trashed)?;
    let name = actor.happens(0.3).then(|| actor.name("moved"));
    Some(Ask::Relocate { item: seen.item, to: Some(actor.folder(share)), name })
}
