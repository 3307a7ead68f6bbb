//! Lets somebody into a share and out of it again, while that somebody looks.

use super::ground::{Actor, Door, Site};
use super::uploader::{form, look};
use crate::history::Ask;

/// The owner: brings files, and opens and closes the door.
pub(crate) async fn owner(actor: Actor, site: Site) {
    let Some(guest) = site.guest else { return };
    let mut joins = true;
    while actor.rest().await {
        if actor.happens(0.4) {
            let ask = match site.door {
                Door::Member => Ask::Member { user: guest, joins },
                Door::Entry => Ask::Entry { user: guest, joins },
            };
            Box::pin(actor.ask(site.share, ask)).await;
            joins = !joins;
        } else {
            drop(Box::pin(form(&actor, site.share)).await);
        }
    }
}

/// The guest: looks at what it has heard of, whether or not it may.
pub(crate) async fn guest(actor: Actor, site: Site) {
    while actor.rest().await {
        Box::pin(look(&actor, site.share)).await;
    }
}
