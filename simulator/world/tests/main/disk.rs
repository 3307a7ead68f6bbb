//! What goes wrong on drives: each fault seen happening, and not happening when it is off.

use std::io::ErrorKind;
use std::path::Path;

use node_base::{Duration, NodeId};
use node_world::{OpenMode, World};
use simulator_world::{DiskFaults, Options, Simulation};

const NODE: NodeId = NodeId(1);
const SEEDS: u64 = 200;
const SECTOR: usize = 512;

/// Runs on every seed: writes, crashes the node, and answers what the next incarnation read.
fn after_crash<T: Send + Ord>(
    before: impl Fn(&World) + Sync,
    after: impl Fn(&World) -> T + Sync,
) -> Vec<T> {
    let run = |seed| {
        Simulation::new(seed, Options::default()).run(async |sim| {
            before(&sim.world(NODE));
            after(&sim.world(NODE))
        })
    };
    let mut seen: Vec<T> = (0..SEEDS).map(run).collect();
    seen.sort();
    seen
}

fn distinct<T: Ord + Clone>(seen: &[T]) -> Vec<T> {
    let mut seen = seen.to_vec();
    seen.sort();
    seen.dedup();
    seen
}

fn put(world: &World, path: &str, bytes: &[u8], sync: bool) {
    let file = world.disk().open(Path::new(path), OpenMode::Create).expect("opened");
    file.write_at(bytes, 0).expect("written");
    if sync {
        file.sync_data().expect("synced");
    }
}

fn sync_folder(world: &World, path: &str) {
    world.disk().sync_folder(Path::new(path)).expect("synced");
}

/// The bytes of a file, where it is there.
fn get(world: &World, path: &str) -> Option<Vec<u8>> {
    let file = world.disk().open(Path::new(path), OpenMode::Read).ok()?;
    let len = usize::try_from(file.len().expect("a length")).expect("small");
    let mut bytes = vec![0; len];
    file.read_at(&mut bytes, 0).expect("read");
    Some(bytes)
}

#[test]
fn what_was_synced_survives_every_crash() {
    let before = |world: &World| {
        world.disk().create_folder(Path::new("data/log")).expect("made");
        put(world, "data/log/a", &[7; 3000], true);
        ["", "data", "data/log"].into_iter().for_each(|folder| sync_folder(world, folder));
    };
    let seen = after_crash(before, |world| get(world, "data/log/a"));
    assert_eq!(distinct(&seen), [Some(vec![7; 3000])]);
}

#[test]
fn bytes_that_were_not_synced_are_lost_kept_or_torn_at_sectors() {
    let before = |world: &World| {
        put(world, "a", &[1; 4 * SECTOR], true);
        sync_folder(world, "");
        put(world, "a", &[2; 4 * SECTOR], false);
    };
    let pattern = |world: &World| {
        let bytes = get(world, "a").expect("its name was synced");
        assert_eq!(bytes.len(), 4 * SECTOR);
        let sectors = bytes.chunks(SECTOR);
        sectors
            .map(|sector| {
                assert!(sector.iter().all(|byte| *byte == sector[0]), "a sector is never torn");
                sector[0]
            })
            .collect::<Vec<u8>>()
    };
    let seen = distinct(&after_crash(before, pattern));
    assert!(seen.contains(&vec![1; 4]), "lost");
    assert!(seen.contains(&vec![2; 4]), "kept");
    assert!(seen.contains(&vec![2, 2, 1, 1]), "torn");
    assert!(seen.contains(&vec![1, 1, 2, 1]), "a later sector without an earlier one");
    assert!(seen.iter().flatten().all(|value| [1, 2].contains(value)));
}

#[test]
fn a_later_write_may_survive_an_earlier_one() {
    let before = |world: &World| {
        put(world, "a", &[0; 2 * SECTOR], true);
        sync_folder(world, "");
        let file = world.disk().open(Path::new("a"), OpenMode::Write).expect("there");
        file.write_at(&[1; SECTOR], 0).expect("written");
        file.write_at(&[2; SECTOR], SECTOR as u64).expect("written");
    };
    let ends = |world: &World| {
        let bytes = get(world, "a").expect("its name was synced");
        (bytes[0], bytes[SECTOR])
    };
    let seen = distinct(&after_crash(before, ends));
    assert_eq!(seen, [(0, 0), (0, 2), (1, 0), (1, 2)]);
}

#[test]
fn in_one_sector_a_later_write_never_survives_alone() {
    let before = |world: &World| {
        put(world, "a", &[0; 8], true);
        sync_folder(world, "");
        let file = world.disk().open(Path::new("a"), OpenMode::Write).expect("there");
        file.write_at(&[1], 0).expect("written");
        file.write_at(&[2], 1).expect("written");
    };
    let ends = |world: &World| {
        let bytes = get(world, "a").expect("its name was synced");
        (bytes[0], bytes[1])
    };
    assert_eq!(distinct(&after_crash(before, ends)), [(0, 0), (1, 0), (1, 2)]);
}

#[test]
fn a_length_that_was_not_synced_is_old_or_new_or_between() {
    let before = |world: &World| {
        put(world, "a", &[1; 100], true);
        sync_folder(world, "");
        let file = world.disk().open(Path::new("a"), OpenMode::Write).expect("there");
        file.write_at(&[1; 100], 100).expect("written");
        file.set_len(5000).expect("grown");
    };
    let lens = after_crash(before, |world| get(world, "a").expect("synced").len());
    assert_eq!(distinct(&lens), [100, 200, 5000]);
}

#[test]
fn names_that_were_not_synced_are_lost_or_kept() {
    let before = |world: &World| put(world, "a", b"x", true);
    let seen = after_crash(before, |world| get(world, "a"));
    assert_eq!(distinct(&seen), [None, Some(b"x".to_vec())]);
}

#[test]
fn a_file_in_a_folder_whose_name_was_not_synced_may_be_lost_with_it() {
    let before = |world: &World| {
        world.disk().create_folder(Path::new("data")).expect("made");
        put(world, "data/a", b"x", true);
        sync_folder(world, "data");
    };
    let seen = after_crash(before, |world| get(world, "data/a"));
    assert_eq!(distinct(&seen), [None, Some(b"x".to_vec())]);
}

#[test]
fn a_rename_happens_whole_or_not_at_all() {
    let before = |world: &World| {
        put(world, "a", b"old", true);
        put(world, "b", b"new", true);
        sync_folder(world, "");
        world.disk().rename(Path::new("b"), Path::new("a")).expect("renamed");
    };
    let seen = after_crash(before, |world| (get(world, "a"), get(world, "b")));
    let (old, new) = (Some(b"old".to_vec()), Some(b"new".to_vec()));
    assert_eq!(distinct(&seen), [(new.clone(), None), (old, new)]);
}

#[test]
fn a_name_used_again_after_a_move_to_another_folder_is_made_durable() {
    let before = |world: &World| {
        world.disk().create_folder(Path::new("to")).expect("made");
        sync_folder(world, "");
        put(world, "draft", b"1", true);
        world.disk().rename(Path::new("draft"), Path::new("to/final")).expect("renamed");
        put(world, "draft", b"2", true);
        sync_folder(world, "to");
        sync_folder(world, "");
    };
    let seen = after_crash(before, |world| (get(world, "draft"), get(world, "to/final")));
    assert_eq!(distinct(&seen), [(Some(b"2".to_vec()), Some(b"1".to_vec()))]);
}

#[test]
fn a_removal_that_was_not_synced_may_be_undone() {
    let before = |world: &World| {
        put(world, "a", b"x", true);
        sync_folder(world, "");
        world.disk().remove(Path::new("a")).expect("removed");
    };
    let seen = after_crash(before, |world| get(world, "a"));
    assert_eq!(distinct(&seen), [None, Some(b"x".to_vec())]);
}

#[test]
fn a_lock_does_not_outlive_its_incarnation() {
    Simulation::new(1, Options::default()).run(async |sim| {
        let first = sim.world(NODE);
        let held = first.disk().lock(Path::new("lock")).expect("free");
        let again = first.disk().lock(Path::new("lock")).map(drop).map_err(|error| error.kind());
        assert_eq!(again, Err(ErrorKind::WouldBlock));
        let second = sim.world(NODE);
        let now = second.disk().lock(Path::new("lock")).expect("free");
        // The dead incarnation's end changes nothing for the living.
        drop(held);
        let again = second.disk().lock(Path::new("lock")).map(drop).map_err(|error| error.kind());
        assert_eq!(again, Err(ErrorKind::WouldBlock));
        drop(now);
    });
}

#[test]
fn the_node_crashes_instead_of_the_chosen_change() {
    for changes in 0..6 {
        Simulation::new(changes, Options::default()).run(async |sim| {
            let world = sim.world(NODE);
            sim.crash_instead_of_change(NODE, changes);
            let inner = world.clone();
            let task = world.spawn(async move {
                let work = move || {
                    put(&inner, "a", b"x", true);
                    sync_folder(&inner, "");
                };
                // create, write, sync, sync of the folder
                current_world().blocking(work).await;
            });
            let finished = task.await.is_ok();
            assert_eq!(finished, changes >= 4, "four changes, and then it may go on");
            assert_eq!(sim.is_up(NODE), finished);
            if !finished {
                sim.down(NODE).await;
            }
            let kept = get(&sim.world(NODE), "a");
            assert!(changes < 4 || kept == Some(b"x".to_vec()));
            assert!(changes > 0 || kept.is_none());
        });
    }
}

fn current_world() -> World {
    node_world::task::current()
}

/// With faults on a node that has a synced file `a` of four sectors.
fn faulty<T: Send>(faults: DiskFaults, act: impl AsyncFnOnce(&World) -> T + Send) -> T {
    Simulation::new(7, Options::default()).run(async |sim| {
        let world = sim.world(NODE);
        put(&world, "a", &[7; 4 * SECTOR], true);
        sync_folder(&world, "");
        sim.set_disk_faults(NODE, faults);
        act(&world).await
    })
}

#[test]
fn a_full_drive_says_so() {
    let fill = async |world: &World| {
        let file = world.disk().open(Path::new("b"), OpenMode::Create).expect("made");
        let written = file.write_at(&[1; 2000], 0).map_err(|error| error.kind());
        let grown = file.set_len(1 << 30).map_err(|error| error.kind());
        let in_place = world.disk().open(Path::new("a"), OpenMode::Write).expect("there");
        in_place.write_at(&[8; 100], 0).expect("what has its place can be written");
        let space = world.disk().space(Path::new("a")).expect("the drive");
        assert!(space.free <= space.total);
        (written, grown)
    };
    let capacity = Some(3000);
    let full = Err(ErrorKind::StorageFull);
    assert_eq!(faulty(DiskFaults { capacity, ..DiskFaults::default() }, fill), (full, full));
    assert_eq!(faulty(DiskFaults::default(), fill), (Ok(()), Ok(())));
}

#[test]
fn a_read_may_fail() {
    let read = async |world: &World| {
        let file = world.disk().open(Path::new("a"), OpenMode::Read).expect("there");
        (0..100).filter(|_| file.read_at(&mut [0; 10], 0).is_err()).count()
    };
    let failed = faulty(DiskFaults { read_error: 0.5, ..DiskFaults::default() }, read);
    assert!((20..80).contains(&failed), "{failed}");
    assert_eq!(faulty(DiskFaults::default(), read), 0);
}

#[test]
fn bits_rot_for_good() {
    let read = async |world: &World| (get(world, "a"), get(world, "a"));
    let (first, second) = faulty(DiskFaults { rot: 1.0, ..DiskFaults::default() }, read);
    let turned = |bytes: Option<Vec<u8>>| {
        bytes.expect("there").iter().map(|byte| (byte ^ 7).count_ones()).sum::<u32>()
    };
    assert_eq!((turned(first), turned(second)), (1, 2));
    let (first, second) = faulty(DiskFaults::default(), read);
    assert_eq!((turned(first), turned(second)), (0, 0));
}

#[test]
fn a_chosen_bit_rots_and_a_file_is_lost() {
    Simulation::new(1, Options::default()).run(async |sim| {
        let world = sim.world(NODE);
        world.disk().create_folder(Path::new("drive")).expect("made");
        put(&world, "drive/a", &[0; 4], true);
        assert!(sim.rot(NODE, Path::new("/drive/a"), 2, 3));
        assert!(!sim.rot(NODE, Path::new("/drive/a"), 4, 3), "past the end");
        assert_eq!(get(&world, "drive/a"), Some(vec![0, 0, 8, 0]));
        ["", "drive"].into_iter().for_each(|folder| sync_folder(&world, folder));
        let world = sim.world(NODE);
        assert_eq!(get(&world, "drive/a"), Some(vec![0, 0, 8, 0]), "for good");
        sim.lose(NODE, Path::new("/drive")).expect("a path");
        let world = sim.world(NODE);
        assert_eq!(get(&world, "drive/a"), None);
        assert!(world.disk().list(Path::new("drive")).is_err());
    });
}

#[test]
fn a_write_may_land_on_another_sector() {
    let write = async |world: &World| {
        let file = world.disk().open(Path::new("a"), OpenMode::Write).expect("there");
        let mut places = Vec::new();
        for value in 10..40 {
            file.write_at(&[value; 4], SECTOR as u64).expect("it believes so");
            let bytes = get(world, "a").expect("there");
            assert_eq!(bytes.len(), 4 * SECTOR);
            places.push(bytes.iter().position(|byte| *byte == value).expect("somewhere"));
        }
        distinct(&places)
    };
    let astray = faulty(DiskFaults { misdirected: 1.0, ..DiskFaults::default() }, write);
    assert_eq!(astray, [0, 2 * SECTOR, 3 * SECTOR]);
    assert_eq!(faulty(DiskFaults::default(), write), [SECTOR]);
}

#[test]
fn a_slow_drive_makes_blocking_work_slow() {
    let work = async |world: &World| {
        let start = world.now();
        for _ in 0..20 {
            world.blocking(|| ()).await;
        }
        world.now().since(start)
    };
    let slow = Duration::from_secs(1);
    assert!(faulty(DiskFaults { slow, ..DiskFaults::default() }, work) > slow);
    assert!(faulty(DiskFaults::default(), work) < slow);
}
