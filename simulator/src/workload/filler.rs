//! Brings files until there is no more room, and makes room again.

use super::deleter::{purge, trash};
use super::ground::{Actor, Site};
use super::uploader::{form, overwrite};
use crate::history::Answer;

pub(crate) async fn run(actor: Actor, site: Site) {
    while actor.rest().await {
        let answer = Box::pin(form(&actor, site.share)).await;
        if actor.happens(0.2) {
            Box::pin(overwrite(&actor, site.share)).await;
        }
        if !matches!(answer, Answer::Refused(refused) if refused.status == 507) {
            continue;
        }
        for _ in 0..4 {
            for choose in [trash, purge] {
                if let Some(ask) = choose(&actor, site.share) {
                    Box::pin(actor.ask(site.share, ask)).await;
                }
            }
        }
    }
}
