//! Where shards belong: computed from the cluster map, never stored.
//!
//! Weighted rendezvous hashing gives each drive a cost for a chunk, `-log₂(u) / weight` with `u` a
//! hash of both taken as a fraction; the cheapest drives win, in proportion to their weights, and
//! another drive's coming or going changes no one else's cost. (Schindelhauer and Schomaker,
//! "Weighted distributed hash tables", 2005.) Costs are integers, so that every machine agrees.
//!
//! Drives are then taken so that each next one shares as little as can be with those before it:
//! first another zone, then another node, then another drive. What belongs to a drive is "one of
//! the chunk's shards", not a certain one: so one drive's coming moves one shard, and never
//! renumbers the others.

use std::collections::{BTreeMap, BTreeSet};

use node_base::{ClusterMap, Drive, DriveId, NodeId, Sha256, TenantId};

/// The `count` drives a chunk's shards belong on, best first; those behind the number of shards are
/// the spares, in rank. Fewer when there are fewer drives that take data.
pub fn rank(map: &ClusterMap, tenant: TenantId, hash: Sha256, count: usize) -> Vec<DriveId> {
    let mut drives: Vec<(Cost, &Drive)> = map
        .drives
        .iter()
        .filter(|drive| drive.weight > 0)
        .map(|drive| (Cost::new(tenant, hash, drive), drive))
        .collect();
    drives.sort_by(|(a, _), (b, _)| a.cmp(b));
    let mut zones: BTreeMap<&str, usize> = BTreeMap::new();
    let mut nodes: BTreeMap<NodeId, usize> = BTreeMap::new();
    let mut taken = Vec::with_capacity(count.min(drives.len()));
    while taken.len() < count && !drives.is_empty() {
        let used = |drive: &Drive| {
            let zone = zones.get(drive.zone.as_str()).copied().unwrap_or(0);
            (zone, nodes.get(&drive.node).copied().unwrap_or(0))
        };
        // The first of the least shared: `drives` is in order of cost.
        let best = (0..drives.len()).min_by_key(|at| used(drives[*at].1)).unwrap_or(0);
        let (_, drive) = drives.remove(best);
        *zones.entry(&drive.zone).or_default() += 1;
        *nodes.entry(drive.node).or_default() += 1;
        taken.push(drive.id);
    }
    taken
}

/// The drives to look on while several maps are in force: those of the newest first.
pub fn candidates(
    maps: &[ClusterMap],
    tenant: TenantId,
    hash: Sha256,
    count: usize,
) -> Vec<DriveId> {
    let mut newest_first: Vec<&ClusterMap> = maps.iter().collect();
    newest_first.sort_by_key(|map| std::cmp::Reverse(map.epoch));
    let mut seen = BTreeSet::new();
    newest_first
        .into_iter()
        .flat_map(|map| rank(map, tenant, hash, count))
        .filter(|drive| seen.insert(*drive))
        .collect()
}

/// `-log₂(u)` in 2⁻⁵⁶ths and the weight that divides it; compared across by multiplying.
struct Cost {
    bits: u64,
    weight: u64,
    id: DriveId,
}

impl Cost {
    fn new(tenant: TenantId, hash: Sha256, drive: &Drive) -> Self {
        // One block of the hash function.
        let mut block = [0; 64];
        block[..32].copy_from_slice(&hash.0);
        block[32..48].copy_from_slice(&tenant.to_bytes());
        block[48..].copy_from_slice(&drive.id.0.to_be_bytes());
        let mut draw = [0; 8];
        draw.copy_from_slice(&blake3::hash(&block).as_bytes()[..8]);
        let bits = minus_log2(u64::from_le_bytes(draw));
        Self { bits, weight: u64::from(drive.weight), id: drive.id }
    }

    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        let scaled = |a: &Self, b: &Self| u128::from(a.bits) * u128::from(b.weight);
        scaled(self, other).cmp(&scaled(other, self)).then(self.id.cmp(&other.id))
    }
}

/// `-log₂((draw + 1) / 2⁶⁴)` in 2⁻⁵⁶ths, by repeated squaring; the last places are cut off, alike
/// everywhere.
fn minus_log2(draw: u64) -> u64 {
    const FRACTION: u32 = 56;
    let Some(draw) = draw.checked_add(1) else { return 0 };
    let whole = draw.leading_zeros();
    // In [1, 2), as 1.63 fixed point.
    let mut mantissa = draw << whole;
    let mut log = 0_u64;
    for _ in 0..FRACTION {
        let square = u128::from(mantissa) * u128::from(mantissa);
        log <<= 1;
        if square >> 127 == 1 {
            log |= 1;
            mantissa = (square >> 64) as u64;
        } else {
            mantissa = (square >> 63) as u64;
        }
    }
    // log₂(draw / 2⁶⁴) = 63 - whole + fraction - 64.
    ((u64::from(whole) + 1) << FRACTION) - log
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use node_base::{ClusterMap, Drive, DriveId, Epoch, NodeId, Sha256, TenantId, sha256};
    use proptest::prelude::{ProptestConfig, prop_assert, prop_assert_eq, proptest};

    use super::{candidates, minus_log2, rank};

    fn drive(id: u128, node: u64, zone: &str, weight: u32) -> Drive {
        Drive { id: DriveId(id), node: NodeId(node), zone: zone.to_owned(), weight }
    }

    fn map(drives: Vec<Drive>) -> ClusterMap {
        ClusterMap { drives, ..ClusterMap::default() }
    }

    fn chunk(n: u64) -> Sha256 {
        sha256(&n.to_le_bytes())
    }

    fn tenant() -> TenantId {
        TenantId::from(7)
    }

    #[test]
    fn the_logarithm_is_right() {
        for draw in [0, 1, 2, 12_345, u64::MAX / 3, u64::MAX / 2, u64::MAX - 1] {
            let exact = 64.0 - ((draw as f64) + 1.0).log2();
            let ours = minus_log2(draw) as f64 / (1_u64 << 56) as f64;
            assert!((exact - ours).abs() < 1e-9, "{draw}: {exact} {ours}");
        }
        assert_eq!(minus_log2(u64::MAX), 0);
    }

    #[test]
    fn golden_ranks() {
        let drives = (1..=6).map(|id| drive(id, id as u64 / 2, "a", id as u32 * 100)).collect();
        let map = map(drives);
        let ranks: Vec<Vec<u128>> = (0..4)
            .map(|n| rank(&map, tenant(), chunk(n), 6).into_iter().map(|id| id.0).collect())
            .collect();
        expect_test::expect![
            "[[6, 4, 3, 1, 5, 2], [2, 5, 6, 1, 4, 3], [4, 6, 3, 1, 5, 2], [5, 6, 1, 2, 4, 3]]"
        ]
        .assert_eq(&format!("{ranks:?}"));
    }

    #[test]
    fn drives_are_taken_in_proportion_to_their_weights() {
        let map = map(vec![drive(1, 1, "a", 100), drive(2, 2, "a", 300), drive(3, 3, "a", 0)]);
        let mut first: BTreeMap<DriveId, u32> = BTreeMap::new();
        for n in 0..4000 {
            *first.entry(rank(&map, tenant(), chunk(n), 1)[0]).or_default() += 1;
        }
        assert_eq!(first.keys().map(|id| id.0).collect::<Vec<_>>(), [1, 2], "weight 0 takes none");
        assert!((900..1100).contains(&first[&DriveId(1)]), "{first:?}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn shards_keep_apart_as_far_as_there_are_enough(
            zones in 1..4_u64, nodes in 1..4_u64, drives in 1..4_u64, n: u64,
        ) {
            let mut all = Vec::new();
            for at in 0..zones * nodes * drives {
                let zone = at / (nodes * drives);
                all.push(drive(u128::from(at), at / drives, &zone.to_string(), 10));
            }
            let map = map(all);
            let by_id: BTreeMap<DriveId, &Drive> = map.drives.iter().map(|d| (d.id, d)).collect();
            let ranked = rank(&map, tenant(), chunk(n), 100);
            prop_assert_eq!(ranked.len() as u64, zones * nodes * drives);
            for count in 1..=ranked.len() {
                let taken: Vec<&Drive> = ranked[..count].iter().map(|id| by_id[id]).collect();
                let spread = |distinct: usize, there: u64| distinct == count.min(there as usize);
                let zone_count = taken.iter().map(|d| &d.zone).collect::<BTreeSet<_>>().len();
                let node_count = taken.iter().map(|d| d.node).collect::<BTreeSet<_>>().len();
                let drive_count = taken.iter().map(|d| d.id).collect::<BTreeSet<_>>().len();
                prop_assert!(spread(zone_count, zones));
                prop_assert!(spread(node_count, zones * nodes));
                prop_assert!(spread(drive_count, zones * nodes * drives));
            }
        }

        #[test]
        fn another_drive_moves_one_shard_at_most_and_only_to_itself(
            count in 3..12_u64, shards in 1..4_usize, n: u64,
        ) {
            let mut before = map((0..count).map(|id| drive(id.into(), id, "a", 10)).collect());
            let homes = |map: &ClusterMap| -> BTreeSet<DriveId> {
                rank(map, tenant(), chunk(n), shards).into_iter().collect()
            };
            let old = homes(&before);
            before.drives.push(drive(1000, 1000, "a", 10));
            let new = homes(&before);
            let came: Vec<&DriveId> = new.difference(&old).collect();
            prop_assert!(came.is_empty() || came == [&DriveId(1000)]);
            prop_assert_eq!(old.difference(&new).count(), came.len());
        }
    }

    #[test]
    fn every_map_in_force_is_looked_through_newest_first() {
        let mut old = map((0..4).map(|id| drive(id, 1, "a", 10)).collect());
        let mut new = map((3..6).map(|id| drive(id, 1, "a", 10)).collect());
        (old.epoch, new.epoch) = (Epoch(1), Epoch(2));
        let of_new = rank(&new, tenant(), chunk(1), 3);
        let both = candidates(&[old, new], tenant(), chunk(1), 4);
        assert_eq!(both[..3], of_new[..]);
        assert_eq!(both.iter().collect::<BTreeSet<_>>().len(), 6);
    }
}
