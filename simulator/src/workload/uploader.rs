//! Brings files: in one request and in sessions, of new bytes and of old ones, over files that
//! others bring too, and at times gives up half-way.

use node_base::ShareId;
use raft_meta::table::item::ItemId;

use super::ground::Actor;
use crate::client::content::{Content, Piece};
use crate::client::upload::{Goal, Manner};
use crate::history::{Answer, Ask, Told, Way};

pub(crate) async fn run(actor: Actor, shares: Vec<ShareId>) {
    while actor.rest().await {
        let Some(share) = actor.pick(&shares).copied() else { return };
        match actor.range(0, 10) {
            0..3 => drop(Box::pin(form(&actor, share)).await),
            3..6 => Box::pin(session(&actor, share)).await,
            6..9 => Box::pin(overwrite(&actor, share)).await,
            _ => Box::pin(abandon(&actor, share)).await,
        }
        if actor.happens(0.4) {
            Box::pin(look(&actor, share)).await;
        }
    }
}

/// A new file in one request.
pub(super) async fn form(actor: &Actor, share: ShareId) -> Answer {
    let (parent, name) = (actor.folder(share), actor.name("file"));
    let content = actor.content();
    let ask = Ask::File { parent, name, content, way: Way::Form };
    Box::pin(actor.ask(share, ask)).await
}

/// A new file by a session.
async fn session(actor: &Actor, share: ShareId) {
    let (parent, name) = (actor.folder(share), actor.name("file"));
    let (content, manner) = manner(actor);
    let goal = Goal::New { parent, name: name.clone() };
    let filled = Box::pin(actor.client.fill(share, &goal, &content, manner, usize::MAX)).await;
    if let Some(upload) = filled {
        let ask = Ask::File { parent, name, content, way: Way::Session(upload) };
        Box::pin(actor.ask(share, ask)).await;
    }
}

/// The next version of a file, perhaps of one that has changed meanwhile.
pub(super) async fn overwrite(actor: &Actor, share: ShareId) {
    let Some((file, seen)) = actor.file(share) else { return };
    let (content, manner) = manner(actor);
    let base = actor.base(&seen);
    let goal = Goal::Replace { file, base };
    let filled = Box::pin(actor.client.fill(share, &goal, &content, manner, usize::MAX)).await;
    if let Some(upload) = filled {
        Box::pin(actor.ask(share, Ask::Replace { file, base, content, upload })).await;
    }
}

/// A session that nobody ends.
async fn abandon(actor: &Actor, share: ShareId) {
    let goal = Goal::New { parent: None, name: actor.name("never") };
    let (content, manner) = manner(actor);
    let at_most = actor.range(0, 3) as usize;
    let _ = Box::pin(actor.client.fill(share, &goal, &content, manner, at_most)).await;
}

/// Cut by content, or in pieces of one size.
pub(super) fn manner(actor: &Actor) -> (Content, Manner) {
    const PIECE: u32 = 64 << 10;
    let content = actor.content();
    if content.size() < u64::from(PIECE) || actor.happens(0.7) {
        let manner = if actor.happens(0.3) { Manner::Batch } else { Manner::Delta };
        return (content, manner);
    }
    let whole = content.size() / u64::from(PIECE);
    let seed = |n: u64| content.0[0].seed.wrapping_add(n);
    let mut pieces: Vec<Piece> = (0..whole).map(|n| Piece { seed: seed(n), size: PIECE }).collect();
    let rest = (content.size() % u64::from(PIECE)) as u32;
    if rest > 0 {
        pieces.push(Piece { seed: seed(whole), size: rest });
    }
    (Content(pieces), Manner::Fixed(PIECE))
}

/// Looks at something of the share, in one of the ways there are.
pub(super) async fn look(actor: &Actor, share: ShareId) {
    let ask = match actor.range(0, 4) {
        0 => Ask::List { folder: actor.folder(share) },
        1 => match actor.some(share, |_| true) {
            Some(seen) => Ask::Stat { item: seen.item },
            None => Ask::List { folder: None },
        },
        _ => match actor.file(share) {
            Some((file, seen)) => {
                let newest = seen.version.map_or(1, |(_, number)| number);
                let old = actor.happens(0.2).then(|| actor.range(1, u64::from(newest) + 1) as u32);
                Ask::Read { file, number: old }
            }
            None => Ask::List { folder: None },
        },
    };
    let answer = Box::pin(actor.ask(share, ask)).await;
    // What was listed is looked at closer now and then.
    if let Answer::Done(Told::List(list)) = answer
        && let Some(seen) = actor.pick(&list)
        && let ItemId::File(file) = seen.item
    {
        Box::pin(actor.ask(share, Ask::Read { file, number: None })).await;
    }
}
