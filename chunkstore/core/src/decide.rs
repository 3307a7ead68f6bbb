//! The rules that keep bytes safe, each a function of what is known.

use node_base::{Duration, Profile};

use crate::stripe::Shape;

/// Every byte is re-read within this time.
pub const SCRUB_PERIOD: Duration = Duration::from_secs(14 * 24 * 3600);
/// What a cycle aims at, so that a node that was off or busy for a day is not late.
const SCRUB_AIM: Duration = Duration::from_secs(12 * 24 * 3600);
/// Packs with at least this share of garbage, in percent, are compacted.
pub const COMPACTION_GARBAGE_MIN: u64 = 30;

/// Whether a chunk whose shards are durable on so many distinct drives may be acknowledged, when so
/// many drives could be written to at all: on `data + 1`, so that it outlives any one of them, or
/// on all, where there are fewer drives or shards.
pub fn is_acknowledged(shape: Shape, durable: usize, usable: usize) -> bool {
    let wanted = shape.needed() + 1;
    let there = shape.shards().min(usable);
    // Never without enough to read it back, wherever the shards lie.
    durable > 0 && durable >= wanted.min(there)
}

/// Whether so many places are enough to write to, of all where shards of this profile belong: no
/// more of those may be out of reach than the profile bears. Who sees fewer is himself cut off.
pub fn is_reachable(profile: Profile, places: usize, usable: usize) -> bool {
    let wanted = places.min(profile.shards()).saturating_sub(usize::from(profile.parity));
    usable >= wanted.max(1)
}

/// A shard that could be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Source<D> {
    pub index: u8,
    pub at: D,
    /// How far it is: 0 here, more for farther.
    pub distance: u32,
}

/// In which order to ask for shards: nearest first, data before parity among equals since they need
/// no decoding. The first [`Shape::needed`] suffice; those behind are spares, and a shard that is
/// there twice comes again at the very end.
pub fn read_order<D: Copy + Ord>(sources: &[Source<D>]) -> Vec<Source<D>> {
    let mut order = sources.to_vec();
    order.sort_by_key(|source| (source.distance, source.index, source.at));
    let mut seen = [false; 256];
    let is_first =
        |source: &Source<D>| !std::mem::replace(&mut seen[usize::from(source.index)], true);
    let (mut order, again): (Vec<_>, Vec<_>) = order.into_iter().partition(is_first);
    order.extend(again);
    order
}

/// What is known of a pack file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PackUse {
    pub number: u32,
    pub bytes: u64,
    /// Of which nothing is alive.
    pub garbage: u64,
}

/// Which closed pack to compact next: of those with enough garbage the one that gives back most for
/// what it costs. Its live bytes are copied before it is removed, so they must fit into `free`;
/// a pack of nothing but garbage always does.
pub fn choose_compaction(packs: &[PackUse], free: u64) -> Option<u32> {
    packs
        .iter()
        .filter(|pack| pack.bytes > 0 && pack.garbage * 100 >= pack.bytes * COMPACTION_GARBAGE_MIN)
        .filter(|pack| pack.bytes - pack.garbage.min(pack.bytes) <= free)
        .max_by_key(|pack| {
            let share = u128::from(pack.garbage) * 1_000_000 / u128::from(pack.bytes);
            (share, std::cmp::Reverse(pack.number))
        })
        .map(|pack| pack.number)
}

/// How many bytes a scrub cycle is behind: of `total` on the drive it has read `done` since it
/// began `elapsed` ago. Zero while it is ahead. There is no way to say "later": time alone makes it
/// due.
pub fn scrub_due(total: u64, done: u64, elapsed: Duration) -> u64 {
    let share = elapsed.min(SCRUB_AIM).as_millis();
    let target = u128::from(total) * share / SCRUB_AIM.as_millis();
    u64::try_from(target).unwrap_or(u64::MAX).saturating_sub(done)
}

#[cfg(test)]
mod tests {
    use node_base::{Duration, Profile};

    use super::{
        PackUse, SCRUB_PERIOD, Source, choose_compaction, is_acknowledged, is_reachable,
        read_order, scrub_due,
    };
    use crate::stripe::Shape;

    fn shape(data: u8, parity: u8) -> Shape {
        Shape::new(Profile { data, parity }, 1 << 20)
    }

    #[test]
    fn a_write_is_acknowledged_on_one_drive_more_than_reading_needs_or_on_all() {
        assert!(is_acknowledged(shape(1, 0), 1, 1));
        assert!(!is_acknowledged(shape(1, 0), 0, 0));
        assert!(!is_acknowledged(shape(1, 1), 1, 2));
        assert!(is_acknowledged(shape(1, 1), 1, 1));
        assert!(!is_acknowledged(shape(4, 2), 4, 6));
        assert!(is_acknowledged(shape(4, 2), 5, 6));
        assert!(is_acknowledged(shape(2, 1), 2, 2));
        let small = Shape::new(Profile { data: 4, parity: 2 }, 100);
        assert!(!is_acknowledged(small, 1, 6));
        assert!(is_acknowledged(small, 2, 6));
    }

    #[test]
    fn nobody_writes_with_more_places_out_of_reach_than_the_profile_bears() {
        let profile = |data, parity| Profile { data, parity };
        for (profile, places, least) in [
            (profile(1, 0), 1, 1),
            (profile(1, 1), 2, 1),
            (profile(2, 1), 3, 2),
            (profile(3, 2), 5, 3),
            (profile(3, 2), 40, 3),
            (profile(4, 2), 3, 1),
        ] {
            for usable in 0..=places {
                assert_eq!(is_reachable(profile, places, usable), usable >= least);
            }
        }
    }

    #[test]
    fn near_shards_come_first_and_second_ones_last() {
        let source = |index, at, distance| Source { index, at, distance };
        let sources = [source(2, 'a', 0), source(0, 'b', 5), source(1, 'c', 0), source(1, 'd', 5)];
        let order: Vec<char> = read_order(&sources).iter().map(|source| source.at).collect();
        assert_eq!(order, ['c', 'a', 'b', 'd']);
    }

    #[test]
    fn the_pack_that_gives_most_back_and_fits_is_compacted() {
        let pack = |number, bytes, garbage| PackUse { number, bytes, garbage };
        let packs = [pack(1, 1000, 299), pack(2, 1000, 300), pack(3, 1000, 900), pack(4, 10, 10)];
        assert_eq!(choose_compaction(&packs[..1], 5000), None);
        assert_eq!(choose_compaction(&packs[..2], 5000), Some(2));
        assert_eq!(choose_compaction(&packs[..3], 5000), Some(3));
        assert_eq!(choose_compaction(&packs[..3], 99), None);
        assert_eq!(choose_compaction(&packs, 0), Some(4));
        assert_eq!(choose_compaction(&[pack(1, 0, 0)], 10), None);
    }

    #[test]
    fn a_scrub_that_follows_what_is_due_ends_within_its_period() {
        let day = Duration::from_secs(24 * 3600);
        assert_eq!(scrub_due(1200, 0, Duration::ZERO), 0);
        assert_eq!(scrub_due(1200, 0, day), 100);
        assert_eq!(scrub_due(1200, 150, day), 0);
        assert_eq!(scrub_due(u64::MAX, 0, SCRUB_PERIOD - day), u64::MAX);
        assert_eq!(scrub_due(1200, 1200, Duration::MAX), 0);
    }
}
