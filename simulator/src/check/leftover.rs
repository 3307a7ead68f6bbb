//! P5: what lies on the drives, less what is referenced, leased or in the trash, is nothing; and
//! what is referenced lies there as often as its profile says.

use std::collections::{BTreeMap, BTreeSet};

use chunkstore_core::shard::ChunkKey;
use chunkstore_core::stripe::Shape;
use node_base::{DriveId, NodeId};
use raft_meta::query::chunk::Standing;

use super::Violation;

const PROMISE: &str = "P5 nothing left over";
const PROMISED_IN: &str = "ARCHITECTURE.md, section 9, P5";
/// Of each kind, so many are told of.
const SHOWN: usize = 5;

/// A shard on a drive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lying {
    pub(crate) node: NodeId,
    pub(crate) drive: DriveId,
    pub(crate) key: ChunkKey,
    pub(crate) index: u8,
    /// What its head says of all shards of its chunk.
    pub(crate) shape: Shape,
    pub(crate) is_trashed: bool,
    pub(crate) standing: Standing,
}

/// A chunk that a record names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Recorded {
    pub(crate) key: ChunkKey,
    pub(crate) references: u64,
}

/// Everything about bytes at one moment.
#[derive(Debug, Default)]
pub(crate) struct Bytes {
    pub(crate) lying: Vec<Lying>,
    pub(crate) recorded: Vec<Recorded>,
    /// Drives that are in use.
    pub(crate) drives: usize,
}

/// What is left over, and, unless more was destroyed than the promise bears, what is not there as
/// often as it should be. `may_be_written`: some writer may still be open, and its bytes be there.
pub(crate) fn check(bytes: &Bytes, may_be_lost: bool, may_be_written: bool) -> Vec<Violation> {
    let mut violations = Vec::new();
    let is_left = |standing| match standing {
        Standing::Recorded => false,
        Standing::Written => !may_be_written,
        Standing::Orphaned => true,
    };
    let left: Vec<String> = bytes
        .lying
        .iter()
        .filter(|lying| is_left(lying.standing) && !lying.is_trashed)
        .map(|lying| {
            let Lying { index, key, node, drive, standing, .. } = lying;
            format!("shard {index} of {key:?} at node {node} on drive {drive:?}: {standing:?}")
        })
        .collect();
    violations.extend(report("nothing names what lies there", &left));
    let unneeded: Vec<String> = bytes
        .recorded
        .iter()
        .filter(|chunk| chunk.references == 0)
        .map(|chunk| format!("{:?}", chunk.key))
        .collect();
    violations.extend(report("chunks without a reference are not collected", &unneeded));
    if !may_be_lost {
        violations.extend(report("chunks lack redundancy", &lacking(bytes)));
    }
    violations
}

fn lacking(bytes: &Bytes) -> Vec<String> {
    let mut chunks: BTreeMap<ChunkKey, Vec<&Lying>> = BTreeMap::new();
    for lying in bytes.lying.iter().filter(|lying| !lying.is_trashed) {
        chunks.entry(lying.key).or_default().push(lying);
    }
    let mut lacking = Vec::new();
    for chunk in bytes.recorded.iter().filter(|chunk| chunk.references > 0) {
        let shards = chunks.remove(&chunk.key).unwrap_or_default();
        let Some(first) = shards.first() else {
            lacking.push(format!("{:?}: no shard at all", chunk.key));
            continue;
        };
        let indexes: BTreeSet<u8> = shards.iter().map(|lying| lying.index).collect();
        let drives: BTreeSet<DriveId> = shards.iter().map(|lying| lying.drive).collect();
        let wanted = first.shape.shards();
        let apart = wanted.min(bytes.drives);
        if indexes.len() < wanted || drives.len() < apart {
            lacking.push(format!(
                "{:?}: {} of {wanted} shards, on {} drives",
                chunk.key,
                indexes.len(),
                drives.len()
            ));
        }
    }
    lacking
}

fn report(what: &str, which: &[String]) -> Option<Violation> {
    if which.is_empty() {
        return None;
    }
    let shown = &which[..which.len().min(SHOWN)];
    Some(Violation {
        promise: PROMISE,
        promised_in: PROMISED_IN,
        what: format!("{what} ({}):\n  {}", which.len(), shown.join("\n  ")),
        touching: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use chunkstore_core::shard::ChunkKey;
    use chunkstore_core::stripe::Shape;
    use node_base::{DriveId, Generation, NodeId, Profile, Sha256, TenantId};
    use raft_meta::query::chunk::Standing;

    use super::{Bytes, Lying, Recorded, check};

    fn key(n: u8) -> ChunkKey {
        ChunkKey { tenant: TenantId::from(1), hash: Sha256([n; 32]), generation: Generation(9) }
    }

    fn lying(n: u8, index: u8, standing: Standing) -> Lying {
        let drive = DriveId(u128::from(index));
        let shape = Shape::new(Profile { data: 2, parity: 1 }, if n == 2 { 100_000 } else { 100 });
        Lying { node: NodeId(1), drive, key: key(n), index, shape, is_trashed: false, standing }
    }

    fn sound() -> Bytes {
        let recorded = |n| Recorded { key: key(n), references: 1 };
        let copies = [0, 1].map(|index| lying(1, index, Standing::Recorded));
        let stripe = [0, 1, 2].map(|index| lying(2, index, Standing::Recorded));
        let leased = [lying(3, 0, Standing::Written)];
        let trashed = [Lying { is_trashed: true, ..lying(4, 0, Standing::Orphaned) }];
        Bytes {
            lying: [&copies[..], &stripe, &leased, &trashed].concat(),
            recorded: vec![recorded(1), recorded(2)],
            drives: 3,
        }
    }

    #[test]
    fn what_is_named_leased_or_in_the_trash_is_in_order() {
        assert_eq!(check(&sound(), false, true), []);
    }

    #[test]
    fn what_is_left_or_lacking_or_not_collected_is_found() {
        assert!(
            check(&sound(), false, false)[0].what.contains("nothing names"),
            "no writer is open"
        );
        let mut bytes = sound();
        bytes.lying.push(lying(5, 0, Standing::Orphaned));
        assert!(check(&bytes, false, true)[0].what.contains("nothing names"));
        let mut bytes = sound();
        bytes.lying.remove(4);
        assert!(check(&bytes, false, true)[0].what.contains("2 of 3 shards"));
        assert_eq!(check(&bytes, true, true), []);
        let mut bytes = sound();
        bytes.lying.retain(|lying| lying.key != key(1));
        assert!(check(&bytes, false, true)[0].what.contains("no shard at all"));
        let mut bytes = sound();
        bytes.lying[1].drive = bytes.lying[0].drive;
        assert!(check(&bytes, false, true)[0].what.contains("on 1 drives"));
        let mut bytes = sound();
        bytes.recorded[0].references = 0;
        assert!(check(&bytes, false, true)[0].what.contains("not collected"));
    }
}
