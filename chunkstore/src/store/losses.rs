//! What was lost here and cannot be told what it was: a shard with a rotten head, or what was torn
//! when the power went.
//!
//! Whose it was is known by its siblings alone, and they look for it when they are told that
//! something is lost.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use node_base::NodeId;
use node_world::Class;

use super::Inner;
use crate::drive::{Drive, Held};
use crate::peer::{Reply, Request};

impl Inner {
    /// Keeps in mind that a shard cannot be read, nor whose it is.
    pub(super) fn note_nameless(&self, drive: &Drive, shard: &Held) {
        if drive.mark_rotten(shard.print, shard.slot) {
            self.losses.fetch_add(1, Ordering::Relaxed);
            // Of drives of the same node there may be siblings too.
            self.want_survey();
        }
    }

    /// Tells the nodes that were not told yet, as far as they answer, that something is lost.
    pub(super) async fn tell_losses(self: &Arc<Self>, told: &mut BTreeMap<NodeId, u64>) {
        let losses = self.losses.load(Ordering::Relaxed);
        for node in self.others() {
            if told.get(&node).copied().unwrap_or(0) == losses || self.is_away(node) {
                continue;
            }
            // Where shards may be away from home a node looks for all of its chunks.
            let nothing = Request::Put { drives: Vec::new(), away: true };
            let reply = self.ask(node, Class::ShardBackground, &nothing, &[]).await;
            if let Ok((Reply::Put(_), _)) = reply {
                told.insert(node, losses);
            }
        }
    }
}
