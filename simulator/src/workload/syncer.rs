//! Follows a share's changes and keeps a copy of its tree.

use node_base::ShareId;

use super::ground::Actor;
use super::replica::Replica;

pub(crate) async fn run(actor: Actor, share: ShareId) -> Replica {
    let mut replica = Replica::new(actor.client.person.user, share);
    while actor.rest().await {
        // Small pages, so that cursors end in the middle of what happened together.
        let limit = actor.range(1, 8) as u32;
        let wait = if actor.happens(0.3) { actor.range(1, 15) as u32 } else { 0 };
        if Box::pin(replica.follow(&actor.client, limit, wait)).await.is_err() {
            break;
        }
        if actor.happens(0.05) {
            replica.keep();
        }
    }
    replica
}
