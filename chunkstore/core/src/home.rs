//! What to do so that each shard of a chunk lies on a home of its own.
//!
//! The homes of a chunk are the first drives of its rank. Which of its shards lies on which home
//! does not matter, so a plan keeps as many as can be where they are (a largest matching of indexes
//! and homes), moves those that lie elsewhere, and asks for those that nobody has to be made anew.
//! Drives that did not answer may hold what is missing: a plan does not count on it that they do
//! not; but where the shards that are known are just enough, it does not count on it that they do.

use std::collections::{BTreeMap, BTreeSet};

use node_base::DriveId;

/// A shard that somebody has.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Seen {
    pub index: u8,
    pub drive: DriveId,
    /// Whether it can be read, as far as its node knows.
    pub is_sound: bool,
}

/// What is known of a chunk's shards.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// The first drives of the chunk's rank, at most one for each shard.
    pub homes: &'a [DriveId],
    /// How many shards the chunk has.
    pub shards: usize,
    /// How many of them give the chunk back.
    pub needed: usize,
    pub seen: &'a [Seen],
    /// Drives of nodes that did not answer.
    pub silent: &'a BTreeSet<DriveId>,
}

/// A shard to be written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Write {
    pub index: u8,
    /// Where it is now; nothing when it has to be made from the others.
    pub from: Option<DriveId>,
    pub to: DriveId,
}

/// How to bring a chunk's shards home.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Plan {
    pub writes: Vec<Write>,
    /// Where each index lies in the end, as far as that is known. Shards of it elsewhere are
    /// superfluous once it is there.
    pub keepers: BTreeMap<u8, DriveId>,
}

impl Plan {
    /// How many shards have to be made anew.
    pub fn missing(&self) -> usize {
        self.writes.iter().filter(|write| write.from.is_none()).count()
    }

    /// How many shards lie elsewhere than they belong.
    pub fn astray(&self) -> usize {
        self.writes.iter().filter(|write| write.from.is_some()).count()
    }

    /// Whether a shard lies where another of its index is kept or will be.
    pub fn is_superfluous(&self, index: u8, drive: DriveId) -> bool {
        self.keepers.get(&index).is_some_and(|keeper| *keeper != drive)
    }
}

/// The places of a chunk's shards: one for each, on homes taken in turn where there are fewer.
struct Places {
    homes: Vec<DriveId>,
    taken: Vec<Option<u8>>,
}

impl Places {
    fn new(view: &View<'_>) -> Self {
        let homes = view.homes.iter().copied().cycle().take(view.shards).collect::<Vec<_>>();
        Self { taken: vec![None; homes.len()], homes }
    }

    /// Finds a place for an index among those `may` allow, moving others aside where that helps.
    fn seat(&mut self, index: u8, may: &BTreeSet<(u8, DriveId)>, tried: &mut [bool]) -> bool {
        for at in 0..self.homes.len() {
            if tried[at] || !may.contains(&(index, self.homes[at])) {
                continue;
            }
            tried[at] = true;
            let sitting = self.taken[at];
            if sitting.is_none_or(|other| self.seat(other, may, tried)) {
                self.taken[at] = Some(index);
                return true;
            }
        }
        false
    }
}

/// What to write where.
pub fn plan(view: &View<'_>) -> Plan {
    let shards = u8::try_from(view.shards).unwrap_or(u8::MAX);
    let sound: BTreeSet<(u8, DriveId)> = view
        .seen
        .iter()
        .filter(|seen| seen.is_sound && seen.index < shards)
        .map(|seen| (seen.index, seen.drive))
        .collect();
    let mut places = Places::new(view);
    let mut plan = Plan::default();
    let mut unseated = Vec::new();
    for index in 0..shards {
        let mut tried = vec![false; places.homes.len()];
        if !places.seat(index, &sound, &mut tried) {
            unseated.push(index);
        }
    }
    let seated = places.taken.iter().zip(&places.homes);
    plan.keepers = seated.filter_map(|(index, home)| Some(((*index)?, *home))).collect();
    let free = places.homes.iter().zip(&places.taken).filter(|(_, index)| index.is_none());
    let free: Vec<DriveId> =
        free.map(|(home, _)| *home).filter(|home| !view.silent.contains(home)).collect();
    let first_of = |index: u8| {
        let mut holders = sound.range((index, DriveId(0))..=(index, DriveId(u128::MAX)));
        holders.next().map(|(_, drive)| *drive)
    };
    let (astray, missing): (Vec<u8>, Vec<u8>) =
        unseated.into_iter().partition(|index| first_of(*index).is_some());
    let known: BTreeSet<u8> = sound.iter().map(|(index, _)| *index).collect();
    // With one less the chunk were gone: one more comes before better places for those there are.
    let is_urgent = known.len() == view.needed;
    let order = match is_urgent {
        true => [missing, astray].concat(),
        false => [astray, missing].concat(),
    };
    let mut free = free.into_iter();
    for index in order {
        let from = first_of(index);
        // There is a place for each shard: those that find none left may lie on the silent homes.
        let to = free.next();
        plan.keepers.extend(to.or(from).map(|keeper| (index, keeper)));
        plan.writes.extend(to.map(|to| Write { index, from, to }));
    }
    plan
}

/// The drive whose node has to make missing shards anew: the first home with a sound shard, else
/// the least drive with one, else with any.
pub fn responsible(homes: &[DriveId], seen: &[Seen]) -> Option<DriveId> {
    let holders = |sound: bool| {
        let holders = seen.iter().filter(move |seen| seen.is_sound || !sound);
        holders.map(|seen| seen.drive).collect::<BTreeSet<_>>()
    };
    let sound = holders(true);
    let home = homes.iter().copied().find(|home| sound.contains(home));
    home.or_else(|| sound.first().copied()).or_else(|| holders(false).first().copied())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use node_base::DriveId;
    use proptest::collection::{btree_set, vec};
    use proptest::prelude::{ProptestConfig, any, prop_assert, prop_assert_eq, proptest};

    use super::{Plan, Seen, View, Write, plan, responsible};

    fn seen(index: u8, drive: u128) -> Seen {
        Seen { index, drive: DriveId(drive), is_sound: true }
    }

    fn of(homes: &[u128], shards: usize, seen: &[Seen], silent: &[u128]) -> Plan {
        let homes: Vec<DriveId> = homes.iter().map(|id| DriveId(*id)).collect();
        let silent = silent.iter().map(|id| DriveId(*id)).collect();
        let needed = shards.saturating_sub(1);
        plan(&View { homes: &homes, shards, needed, seen, silent: &silent })
    }

    fn told(plan: &Plan) -> Vec<String> {
        let from = |from: Option<DriveId>| from.map_or("new".to_owned(), |id| id.0.to_string());
        let line = |w: &Write| format!("{}: {} to {}", w.index, from(w.from), w.to.0);
        plan.writes.iter().map(line).collect()
    }

    #[test]
    fn plans() {
        let whole = [seen(0, 1), seen(1, 2), seen(2, 3)];
        assert_eq!(told(&of(&[3, 1, 2], 3, &whole, &[])), [""; 0], "any home will do");
        assert_eq!(told(&of(&[1, 2, 4], 3, &whole, &[])), ["2: 3 to 4"]);
        assert_eq!(told(&of(&[1, 2, 3], 3, &whole[..2], &[])), ["2: new to 3"]);
        assert_eq!(told(&of(&[1, 2, 3], 3, &whole[..2], &[3])), [""; 0], "it may be there");
        assert_eq!(told(&of(&[1, 2, 3], 3, &whole[..1], &[3])), ["1: new to 2"]);
        // A handed-off shard waits for its home.
        let away = [seen(0, 1), seen(1, 2), seen(2, 9)];
        assert_eq!(told(&of(&[1, 2, 3], 3, &away, &[3])), [""; 0]);
        assert_eq!(told(&of(&[1, 2, 3], 3, &away, &[])), ["2: 9 to 3"]);
        // Of two copies one is rotten where it belongs, the other stands in for a home away.
        let rotten = Seen { is_sound: false, ..seen(0, 3) };
        let last = of(&[3, 2], 2, &[rotten, seen(1, 1)], &[2]);
        assert_eq!(told(&last), ["0: new to 3"], "the last one is not moved");
        assert!(!last.is_superfluous(1, DriveId(1)));
        assert_eq!(told(&of(&[3, 2], 2, &[rotten, seen(1, 1)], &[])), ["0: new to 3", "1: 1 to 2"]);
        // One home has two, and one of these is there twice.
        let twice = [seen(0, 1), seen(1, 2), seen(1, 3), seen(2, 3)];
        let twice = of(&[1, 2, 3], 3, &twice, &[]);
        assert!(twice.writes.is_empty() && twice.is_superfluous(1, DriveId(3)));
        let two = [seen(0, 1), seen(1, 3), seen(2, 3)];
        assert_eq!(told(&of(&[1, 3, 2], 3, &two, &[])), ["2: 3 to 2"]);
        // Fewer homes than shards.
        assert_eq!(told(&of(&[1, 2], 3, &whole, &[])), ["2: 3 to 1"]);
        assert_eq!(told(&of(&[], 3, &whole, &[])), [""; 0]);
    }

    #[test]
    fn the_first_home_with_a_sound_shard_is_responsible() {
        let homes = [DriveId(5), DriveId(3), DriveId(4)];
        let mut all = [seen(0, 5), seen(1, 4), seen(2, 1)];
        assert_eq!(responsible(&homes, &all), Some(DriveId(5)));
        all[0].is_sound = false;
        assert_eq!(responsible(&homes, &all), Some(DriveId(4)));
        assert_eq!(responsible(&[], &all), Some(DriveId(1)));
        assert_eq!(responsible(&homes, &all[..1]), Some(DriveId(5)));
        assert_eq!(responsible(&homes, &[]), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]

        #[test]
        fn following_plans_ends_with_each_shard_on_one_home_and_loses_none(
            shards in 1..7_usize,
            homes in btree_set(0..9_u128, 1..7),
            held in vec((0..7_u8, 0..12_u128, any::<bool>()), 1..12),
        ) {
            let homes: Vec<DriveId> = homes.into_iter().take(shards).map(DriveId).collect();
            let mut held: BTreeSet<(u8, DriveId, bool)> =
                held.into_iter().map(|(i, d, s)| (i % shards as u8, DriveId(d), s)).collect();
            // A drive has a shard once.
            let twins: Vec<_> = held.iter().filter(|t| t.2).map(|t| (t.0, t.1, false)).collect();
            held.retain(|one| !twins.contains(one));
            for round in 0.. {
                prop_assert!(round < 3, "a plan that is carried out is the last but one");
                let seen: Vec<Seen> = held
                    .iter()
                    .map(|(index, drive, is_sound)| Seen {
                        index: *index, drive: *drive, is_sound: *is_sound,
                    })
                    .collect();
                let silent = BTreeSet::new();
                let plan = plan(&View {
                    homes: &homes, shards, needed: shards - 1, seen: &seen, silent: &silent,
                });
                let before: BTreeSet<u8> = seen.iter().filter(|s| s.is_sound).map(|s| s.index)
                    .collect();
                for write in &plan.writes {
                    if let Some(from) = write.from {
                        prop_assert!(held.contains(&(write.index, from, true)));
                    }
                    held.remove(&(write.index, write.to, false));
                    held.insert((write.index, write.to, true));
                }
                let mut superfluous = 0;
                held.retain(|(index, drive, _)| {
                    let goes = plan.is_superfluous(*index, *drive);
                    superfluous += u32::from(goes);
                    !goes
                });
                let after: BTreeSet<u8> = held.iter().filter(|h| h.2).map(|h| h.0).collect();
                prop_assert!(after.is_superset(&before), "no shard's last copy goes");
                if plan.writes.is_empty() && superfluous == 0 {
                    break;
                }
            }
            prop_assert_eq!(held.len(), shards);
            for home in &homes {
                let load = held.iter().filter(|held| held.1 == *home).count();
                let even = shards / homes.len()..=shards.div_ceil(homes.len());
                prop_assert!(even.contains(&load), "{:?}", held);
            }
        }

        #[test]
        fn what_silent_homes_may_hold_is_not_made_anew(
            shards in 1..7_usize, here in 0..7_usize, silent in 0..7_usize,
        ) {
            let (here, silent) = (here.min(shards), silent.min(shards - here.min(shards)));
            let homes: Vec<u128> = (0..shards as u128).collect();
            let seen: Vec<Seen> = (0..here).map(|n| seen(n as u8, n as u128)).collect();
            let plan = of(&homes, shards, &seen, &homes[shards - silent..]);
            prop_assert_eq!(plan.missing(), shards - here - silent);
            prop_assert_eq!(plan.astray(), 0);
        }
    }
}
