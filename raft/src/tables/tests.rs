//! What every engine must do, and what redb must survive.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::{Arc, Mutex};

use node_base::{Duration, NodeId};
use node_world::World;
use proptest::collection::vec;
use proptest::prelude::{Strategy, any, prop_assert_eq, prop_oneof, proptest};
use proptest::test_runner::Config;
use raft_meta::{Reader, TableError, Writer};
use simulator_world::{Options, Sim, Simulation, run};

use super::memory::Memory;
use super::redb::Redb;
use super::sled::Sled;
use super::{END, Engine, Row, Snapshot};

type Model = BTreeMap<Vec<u8>, Vec<u8>>;

fn rows(tables: &dyn Reader, from: &[u8], to: &[u8], back: bool, most: usize) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut visit = |key: &[u8], value: &[u8]| {
        rows.push((key.to_vec(), value.to_vec()));
        if rows.len() < most { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    };
    let scanned = if back {
        tables.scan_back(from, to, &mut visit)
    } else {
        tables.scan(from, to, &mut visit)
    };
    scanned.expect("the engine works");
    rows
}

fn all(tables: &dyn Reader) -> Model {
    rows(tables, &[], END, false, usize::MAX).into_iter().collect()
}

/// Runs a check on each engine, new.
fn on_each(check: impl Fn(Arc<dyn Engine>) + Send + Sync + Clone + 'static) {
    check(Arc::new(Memory::default()));
    let folder = tempfile::tempdir().expect("the machine has a place for it");
    check(Arc::new(Sled::open(folder.path(), 1 << 20).expect("it can be made")));
    run(1, move |world| async move {
        let redb = Redb::open(&world, Path::new("/tables"), 1 << 20).expect("it can be made");
        check(Arc::new(redb));
    });
}

fn put(engine: &dyn Engine, rows: &[(u8, u8)], note: u8) {
    let write = &mut |tables: &mut dyn Writer| {
        for (key, value) in rows {
            tables.put(&[*key], &[*value])?;
        }
        Ok(vec![note])
    };
    engine.write(write, false).expect("the engine works");
}

#[derive(Clone, Debug)]
enum Change {
    Put(u16, u8),
    Delete(u16),
}

fn changes() -> impl Strategy<Value = Vec<Vec<Change>>> {
    let change = prop_oneof![
        3 => (0..600u16, any::<u8>()).prop_map(|(key, value)| Change::Put(key, value)),
        1 => (0..600u16).prop_map(Change::Delete),
    ];
    vec(vec(change, 0..400), 1..5)
}

/// Writes `batch` to the engine and to the model, and compares what a writer sees midway.
fn write(engine: &dyn Engine, model: &mut Model, batch: &[Change], note: usize) {
    let before = model.clone();
    let work = &mut |tables: &mut dyn Writer| {
        *model = before.clone();
        for change in batch {
            match change {
                Change::Put(key, value) => {
                    model.insert(key.to_be_bytes().to_vec(), vec![*value]);
                    tables.put(&key.to_be_bytes(), &[*value])?;
                }
                Change::Delete(key) => {
                    model.remove(&key.to_be_bytes()[..]);
                    tables.delete(&key.to_be_bytes())?;
                }
            }
        }
        assert_eq!(all(tables), *model, "a writer reads what it has written");
        Ok(note.to_be_bytes().to_vec())
    };
    engine.write(work, note.is_multiple_of(2)).expect("the engine works");
}

fn compare(tables: &dyn Snapshot, model: &Model, from: u16, to: u16, most: usize) {
    let (from, to) = (from.to_be_bytes(), to.to_be_bytes());
    let range = |back: bool| -> Vec<Row> {
        if from >= to {
            return Vec::new();
        }
        let rows = model.range(from.to_vec()..to.to_vec());
        let row = |(key, value): (&Vec<u8>, &Vec<u8>)| (key.clone(), value.clone());
        if back {
            rows.rev().map(row).take(most).collect()
        } else {
            rows.map(row).take(most).collect()
        }
    };
    assert_eq!(rows(tables, &from, &to, false, most), range(false));
    assert_eq!(rows(tables, &from, &to, true, most), range(true));
    assert_eq!(tables.get(&from).expect("the engine works"), model.get(&from[..]).cloned());
}

proptest! {
    #![proptest_config(Config::with_cases(24))]
    #[test]
    fn engines_do_what_a_sorted_map_does(
        batches in changes(), from in 0..600u16, to in 0..700u16, most in 1..700usize,
    ) {
        on_each(move |engine| {
            let mut model = Model::new();
            let mut moments = Vec::new();
            for (number, batch) in batches.iter().enumerate() {
                write(&*engine, &mut model, batch, number);
                moments.push((engine.snapshot().expect("the engine works"), model.clone()));
            }
            // Each moment shows what it showed, whatever was written since.
            for (number, (tables, model)) in moments.iter().enumerate() {
                compare(&**tables, model, from, to, most);
                assert_eq!(all(&**tables), *model);
                let note = tables.note().expect("the engine works");
                assert_eq!(note, Some(number.to_be_bytes().to_vec()));
            }
        });
        prop_assert_eq!(1, 1);
    }
}

#[test]
fn a_transaction_that_fails_changes_nothing() {
    on_each(|engine| {
        put(&*engine, &[(1, 1), (2, 2)], 1);
        let failing = &mut |tables: &mut dyn Writer| {
            tables.put(&[1], &[9])?;
            tables.delete(&[2])?;
            Err(TableError::Invariant("it fails here"))
        };
        assert!(engine.write(failing, true).is_err());
        let tables = engine.snapshot().expect("the engine works");
        assert_eq!(all(&*tables), Model::from([(vec![1], vec![1]), (vec![2], vec![2])]));
        assert_eq!(tables.note().expect("the engine works"), Some(vec![1]));
        drop(tables);
        put(&*engine, &[(3, 3)], 2);
    });
}

#[test]
fn a_visitor_may_read_while_it_is_shown_rows() {
    on_each(|engine| {
        put(&*engine, &[(1, 2), (2, 3), (3, 1)], 1);
        let tables = engine.snapshot().expect("the engine works");
        put(&*engine, &[(1, 7)], 2);
        let mut seen = Vec::new();
        let mut visit = |_: &[u8], value: &[u8]| {
            seen.push(tables.get(value).expect("the engine works"));
            ControlFlow::Continue(())
        };
        tables.scan(&[], END, &mut visit).expect("the engine works");
        assert_eq!(seen, [Some(vec![3]), Some(vec![1]), Some(vec![2])]);
    });
}

#[test]
fn a_replacement_takes_the_place_of_all_rows() {
    on_each(|engine| {
        put(&*engine, &[(1, 1)], 1);
        let old = engine.snapshot().expect("the engine works");
        let mut given_up = engine.replacement().expect("the engine works");
        given_up.put(&[(vec![8], vec![8])]).expect("the engine works");
        drop(given_up);
        let mut replacement = engine.replacement().expect("the engine works");
        replacement.put(&[(vec![5], vec![5])]).expect("the engine works");
        replacement.put(&[(vec![6], vec![6])]).expect("the engine works");
        let new = replacement.finish(b"new").expect("the engine works");
        let tables = new.snapshot().expect("the engine works");
        assert_eq!(all(&*tables), Model::from([(vec![5], vec![5]), (vec![6], vec![6])]));
        assert_eq!(tables.note().expect("the engine works"), Some(b"new".to_vec()));
        assert_eq!(all(&*old), Model::from([(vec![1], vec![1])]));
        put(&*new, &[(7, 7)], 3);
        assert_eq!(all(&*new.snapshot().expect("the engine works")).len(), 3);
    });
}

#[test]
fn sled_finds_its_tables_again() {
    let folder = tempfile::tempdir().expect("the machine has a place for it");
    let sled = Sled::open(folder.path(), 1 << 20).expect("it can be made");
    let mut replacement = sled.replacement().expect("the engine works");
    replacement.put(&[(vec![5], vec![5])]).expect("the engine works");
    let sled = (sled, replacement.finish(b"new").expect("the engine works"));
    drop(sled);
    let sled = Sled::open(folder.path(), 1 << 20).expect("it opens again");
    let tables = sled.snapshot().expect("the engine works");
    assert_eq!(all(&*tables), Model::from([(vec![5], vec![5])]));
}

const NODE: NodeId = NodeId(1);

/// How far a run of writes got: the last batch written, and the last that was made durable.
#[derive(Clone, Copy, Default)]
struct Got {
    written: u64,
    durable: u64,
}

fn batch(number: u64) -> impl Iterator<Item = Row> {
    (0..12u64).map(move |i| {
        let key = (number.wrapping_mul(0x9E37_79B9) + i * 977) % 4000;
        (key.to_be_bytes().to_vec(), [&number.to_be_bytes()[..], &[7; 120]].concat())
    })
}

fn write_batch(engine: &dyn Engine, number: u64, durable: bool) -> Result<(), TableError> {
    let work = &mut |tables: &mut dyn Writer| {
        for (key, value) in batch(number) {
            tables.put(&key, &value)?;
        }
        Ok(number.to_be_bytes().to_vec())
    };
    engine.write(work, durable)
}

/// Which batch the tables are at; they must hold exactly what the batches up to it left.
fn batch_of(engine: &dyn Engine) -> u64 {
    let tables = engine.snapshot().expect("the engine works");
    let note = tables.note().expect("the engine works");
    let number = note.map_or(0, |note| u64::from_be_bytes(note.try_into().expect("eight bytes")));
    let model: Model = (1..=number).flat_map(batch).collect();
    assert_eq!(all(&*tables), model, "batches are kept whole");
    number
}

async fn write_until_the_power_goes(world: World, got: Arc<Mutex<Got>>) {
    let redb = Redb::open(&world, Path::new("/tables"), 1 << 20).expect("it opens after any crash");
    let mut engine: Arc<dyn Engine> = Arc::new(redb);
    let at = batch_of(&*engine);
    {
        let mut got = got.lock().expect("nobody panics");
        assert!(at >= got.durable, "batch {} was durable, and {at} is what is left", got.durable);
        // One more may have arrived than was seen to.
        assert!(at <= got.written + 1);
        *got = Got { written: at, durable: at.max(got.durable) };
    }
    for number in at + 1..at + 400 {
        let durable = number.is_multiple_of(7);
        write_batch(&*engine, number, durable).expect("the drive works until the power goes");
        let mut now = got.lock().expect("nobody panics");
        now.written = number;
        if durable {
            now.durable = number;
        }
        drop(now);
        if number.is_multiple_of(60) {
            engine = replaced(&*engine, number);
            *got.lock().expect("nobody panics") = Got { written: number, durable: number };
        }
    }
}

fn replaced(engine: &dyn Engine, number: u64) -> Arc<dyn Engine> {
    let tables = engine.snapshot().expect("the engine works");
    let rows: Vec<Row> = all(&*tables).into_iter().collect();
    let mut replacement = engine.replacement().expect("the drive works");
    for part in rows.chunks(100) {
        replacement.put(part).expect("the drive works");
    }
    replacement.finish(&number.to_be_bytes()).expect("the drive works")
}

async fn lose_power(sim: Sim) -> u64 {
    let got = Arc::new(Mutex::new(Got::default()));
    for _ in 0..4 {
        let world = sim.world(NODE);
        sim.crash_instead_of_change(NODE, sim.draw(1..2500));
        drop(world.spawn(write_until_the_power_goes(world.clone(), Arc::clone(&got))));
        tokio::select! {
            () = sim.down(NODE) => {}
            () = sim.sleep(Duration::from_secs(5)) => sim.crash(NODE),
        }
    }
    got.lock().expect("nobody panics").written
}

#[test]
fn redb_keeps_what_was_synced() {
    let mut written = 0;
    for seed in 0..40 {
        written += Simulation::new(seed, Options::default()).run(lose_power);
    }
    assert!(written > 2000, "the runs did something: {written}");
}
