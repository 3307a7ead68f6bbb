//! Deletes, brings back, and deletes for good: files, folders, and versions. What is gone for good
//! is brought once more at times, while its bytes are on their way out.

use node_base::ShareId;
use raft_meta::table::item::ItemId;

use super::ground::Actor;
use super::uploader::look;
use crate::history::{Answer, Ask, Way};

pub(crate) async fn run(actor: Actor, shares: Vec<ShareId>) {
    while actor.rest().await {
        let Some(share) = actor.pick(&shares).copied() else { return };
        let ask = match actor.range(0, 10) {
            0..4 => trash(&actor, share),
            4 => restore(&actor, share),
            5..7 => purge(&actor, share),
            7..9 => version(&actor, share, true),
            _ => version(&actor, share, false),
        };
        if let Some(ask) = ask {
            let gone = if let Ask::Purge { item } = ask { actor.content_of(item) } else { None };
            let answer = Box::pin(actor.ask(share, ask)).await;
            if let (Some(content), Answer::Done(_)) = (gone, answer)
                && actor.happens(0.7)
            {
                let (parent, name, way) = (actor.folder(share), actor.name("again"), Way::Form);
                Box::pin(actor.ask(share, Ask::File { parent, name, content, way })).await;
            }
        }
        if actor.happens(0.3) {
            Box::pin(look(&actor, share)).await;
        }
    }
}

/// Mostly files: a folder takes all that the others work on with it.
pub(super) fn trash(actor: &Actor, share: ShareId) -> Option<Ask> {
    let folders = actor.happens(0.2);
    let seen = actor.some(share, |seen| !seen.is_trashed && seen.version.is_none() == folders)?;
    Some(Ask::Trash { item: seen.item })
}

pub(super) fn restore(actor: &Actor, share: ShareId) -> Option<Ask> {
    let seen = actor.some(share, |seen| seen.is_trashed)?;
    Some(Ask::Restore { item: seen.item })
}

pub(super) fn purge(actor: &Actor, share: ShareId) -> Option<Ask> {
    let seen = actor.some(share, |seen| seen.is_trashed)?;
    Some(Ask::Purge { item: seen.item })
}

fn version(actor: &Actor, share: ShareId, revives: bool) -> Option<Ask> {
    let is_old = |seen: &crate::history::Seen| seen.version.is_some_and(|(_, number)| number > 1);
    let seen = actor.some(share, |seen| !seen.is_trashed && is_old(seen))?;
    let ItemId::File(file) = seen.item else { return None };
    let newest = seen.version.map_or(1, |(_, number)| number);
    let number = actor.range(1, u64::from(newest)) as u32;
    Some(if revives { Ask::Revive { file, number } } else { Ask::Prune { file, number } })
}
