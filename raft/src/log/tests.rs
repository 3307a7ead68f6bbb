//! The log under append, truncate, purge, power loss and rot.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use node_base::{Duration, NodeId};
use node_world::{OpenMode, World};
use openraft::storage::{RaftLogStorage, RaftLogStorageExt};
use openraft::{CommittedLeaderId, EntryPayload, LogState, RaftLogReader};
use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, prop_oneof, proptest};
use proptest::test_runner::Config;
use simulator_world::{Options, Sim, Simulation, run};
use tokio::sync::{oneshot, watch};

use super::{LogError, LogSettings, LogStore};
use crate::machine::Durable;
use crate::types::{Entry, LogId, Vote};

const NODE: NodeId = NodeId(1);
const FOLDER: &str = "/log";
const SETTINGS: LogSettings = LogSettings { segment_bytes: 600, cache_bytes: 400 };

fn id(term: u64, index: u64) -> LogId {
    LogId::new(CommittedLeaderId::new(term, 1), index)
}

fn entry(term: u64, index: u64, len: usize) -> Entry {
    let body = vec![(index * 31 + term) as u8; len];
    Entry { log_id: id(term, index), payload: EntryPayload::Normal(Bytes::from(body)) }
}

async fn open(world: &World) -> Result<LogStore, LogError> {
    let tables = Durable { entry: Some(u64::MAX), failure: None };
    open_behind(world, watch::channel(tables).1).await
}

async fn open_behind(
    world: &World,
    tables: watch::Receiver<Durable>,
) -> Result<LogStore, LogError> {
    LogStore::open(world, NODE, Path::new(FOLDER), SETTINGS, tables).await
}

async fn reopen(world: &World) -> LogStore {
    open(world).await.expect("the log opens")
}

async fn ids(log: &mut LogStore) -> Vec<LogId> {
    let entries = log.try_get_log_entries(..).await.expect("the log can be read");
    entries.iter().map(|entry| entry.log_id).collect()
}

#[test]
fn the_own_committed_vote_comes_back_as_not_committed() {
    run(1, async |world| {
        for (saved, expected) in [
            (Vote::new_committed(4, 1), Vote::new(4, 1)),
            (Vote::new(5, 1), Vote::new(5, 1)),
            (Vote::new_committed(6, 2), Vote::new_committed(6, 2)),
            (Vote::new(7, 2), Vote::new(7, 2)),
        ] {
            let mut log = reopen(&world).await;
            log.save_vote(&saved).await.expect("it can be written");
            assert_eq!(log.read_vote().await, Ok(Some(saved)));
            let mut log = reopen(&world).await;
            assert_eq!(log.read_vote().await, Ok(Some(expected)), "after a restart");
        }
    });
}

#[test]
fn what_the_tables_do_not_keep_is_not_purged() {
    run(1, async |world| {
        let (tables, durable) = watch::channel(Durable { entry: Some(2), failure: None });
        let mut log = open_behind(&world, durable).await.expect("the log opens");
        log.blocking_append((1..=4).map(|index| entry(1, index, 10))).await.expect("it is written");
        log.purge(id(1, 2)).await.expect("the tables keep that");
        assert_eq!(ids(&mut log).await, [id(1, 3), id(1, 4)]);

        let purge = |log: &LogStore, to| {
            let mut log = log.clone();
            world.spawn(async move { log.purge(to).await })
        };
        let waiting = purge(&log, id(1, 9));
        world.sleep(Duration::from_secs(60)).await;
        let kept: Vec<Entry> = log.since(3).await.expect("it can be read");
        assert_eq!(kept.len(), 2, "the snapshot is not on the drive yet");
        tables.send_modify(|tables| tables.entry = Some(9));
        waiting.await.expect("it ends").expect("it is purged");
        assert_eq!(log.get_log_state().await.expect("it is known").last_log_id, Some(id(1, 9)));

        let waiting = purge(&log, id(1, 20));
        tables.send_modify(|tables| tables.failure = Some("the drive is full".to_owned()));
        assert!(waiting.await.expect("it ends").is_err(), "nobody waits for what does not come");
    });
}

#[test]
fn entries_that_wait_together_are_synced_together() {
    let lines = Simulation::new(2, Options { trace_kept: 10_000, ..Options::default() });
    lines.run(async |sim| {
        let world = sim.world(NODE);
        let inner = world.clone();
        let task = world.spawn(async move {
            let log = reopen(&inner).await;
            let told: Vec<_> = (1..=50)
                .map(|index| {
                    let (tell, told) = oneshot::channel();
                    let flushed = Box::new(move |result: io::Result<()>| {
                        tell.send(result.is_ok()).expect("the test waits");
                    });
                    log.enqueue(vec![entry(1, index, 10)], flushed).expect("there is no hole");
                    told
                })
                .collect();
            for told in told {
                assert!(told.await.expect("everybody is told"));
            }
            let hole = log.enqueue(vec![entry(1, 52, 10)], Box::new(|_| ()));
            assert!(matches!(hole, Err(LogError::Stopped(_))));
        });
        let before = syncs(&sim);
        task.await.expect("it ends");
        // Two of each copy of the vote and one of the first segment, besides.
        assert!(syncs(&sim) - before <= 5, "fifty appends took {} syncs", syncs(&sim) - before);
    });
}

fn syncs(sim: &Sim) -> usize {
    sim.trace().lines().iter().filter(|line| line.contains(" sync ")).count()
}

#[test]
fn memory_holds_recent_entries_and_the_drive_all() {
    run(3, async |world| {
        let mut log = reopen(&world).await;
        for index in 1..=40 {
            log.blocking_append([entry(1, index, 50)]).await.expect("it can be written");
        }
        assert!(log.cached() <= SETTINGS.cache_bytes);
        let entries = log.try_get_log_entries(..).await.expect("it can be read");
        let expected: Vec<Entry> = (1..=40).map(|index| entry(1, index, 50)).collect();
        assert_eq!(entries, expected);
        let large = entry(1, 41, 16 << 20);
        log.blocking_append([large.clone()]).await.expect("it can be written");
        log.blocking_append([entry(1, 42, 1)]).await.expect("it can be written");
        assert!(log.cached() <= SETTINGS.cache_bytes);
        let mut log = reopen(&world).await;
        let entries = log.limited_get_log_entries(41, 43).await.expect("it can be read");
        assert_eq!(entries, [large], "one large entry fills a message");
    });
}

#[test]
fn what_was_committed_is_known_again_unless_its_entry_is_gone() {
    run(4, async |world| {
        let mut log = reopen(&world).await;
        log.blocking_append([entry(1, 1, 5), entry(1, 2, 5)]).await.expect("it can be written");
        log.save_committed(Some(id(1, 2))).await.expect("it is only noted");
        log.blocking_append([entry(1, 3, 5)]).await.expect("it can be written");
        let mut log = reopen(&world).await;
        assert_eq!(log.read_committed().await, Ok(Some(id(1, 2))));
        log.truncate(id(1, 2)).await.expect("it can be written");
        log.blocking_append([entry(2, 2, 5)]).await.expect("it can be written");
        // The append wrote the note again, of an entry that is another's now.
        let mut log = reopen(&world).await;
        assert_eq!(log.read_committed().await, Ok(None));
    });
}

#[derive(Clone, Debug)]
enum Step {
    Append(Vec<usize>),
    Truncate(u64),
    Purge(u64),
    /// A snapshot came: purge beyond the end.
    Skip(u64),
    Vote,
    Reopen,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    vec(
        prop_oneof![
            6 => vec(0..200usize, 1..6).prop_map(Step::Append),
            2 => (0..8u64).prop_map(Step::Truncate),
            2 => (0..12u64).prop_map(Step::Purge),
            1 => (1..5u64).prop_map(Step::Skip),
            1 => Just(Step::Vote),
            2 => Just(Step::Reopen),
        ],
        1..30,
    )
}

/// What the log should hold.
#[derive(Clone, Default, PartialEq, Debug)]
struct Model {
    term: u64,
    entries: BTreeMap<u64, Entry>,
    purged: Option<LogId>,
    vote: Option<Vote>,
}

impl Model {
    fn last(&self) -> Option<LogId> {
        self.entries.values().next_back().map(|entry| entry.log_id).or(self.purged)
    }

    fn next(&self) -> u64 {
        self.last().map_or(0, |last| last.index + 1)
    }

    fn append(&mut self, lens: &[usize]) -> Vec<Entry> {
        let entries: Vec<Entry> =
            (self.next()..).zip(lens).map(|(index, len)| entry(self.term, index, *len)).collect();
        self.entries.extend(entries.iter().map(|entry| (entry.log_id.index, entry.clone())));
        entries
    }

    fn purge(&mut self, upto: LogId) {
        self.entries = self.entries.split_off(&(upto.index + 1));
        self.purged = Some(upto);
    }

    /// Takes a step here, and answers what it asks of a log.
    fn step(&mut self, step: &Step) -> Asked {
        match step {
            Step::Append(lens) => Asked::Append(self.append(lens)),
            Step::Truncate(back) => {
                let since = self.next().saturating_sub(*back);
                let first = self.entries.range(since..).next().map(|(_, entry)| entry.log_id);
                let Some(first) = first else { return Asked::Nothing };
                self.entries.split_off(&first.index);
                self.term += 1;
                Asked::Truncate(first)
            }
            Step::Purge(count) => {
                let upto = self.entries.values().nth(*count as usize).map(|entry| entry.log_id);
                let Some(upto) = upto else { return Asked::Nothing };
                self.purge(upto);
                Asked::Purge(upto)
            }
            Step::Skip(count) => {
                let upto = id(self.term, self.next() + count);
                self.purge(upto);
                Asked::Purge(upto)
            }
            Step::Vote => {
                self.term += 1;
                let vote = Vote::new(self.term, 1);
                self.vote = Some(vote);
                Asked::Vote(vote)
            }
            Step::Reopen => Asked::Nothing,
        }
    }

    async fn holds(&self, log: &mut LogStore) -> bool {
        let state = log.get_log_state().await.expect("it is in memory");
        let expected = LogState { last_purged_log_id: self.purged, last_log_id: self.last() };
        let entries = log.try_get_log_entries(..).await.expect("the log can be read");
        state == expected
            && entries.iter().eq(self.entries.values())
            && log.read_vote().await.expect("it is in memory") == self.vote
    }
}

/// What a step asks of a log.
enum Asked {
    Nothing,
    Append(Vec<Entry>),
    Truncate(LogId),
    Purge(LogId),
    Vote(Vote),
}

async fn take(log: &mut LogStore, asked: Asked) {
    let done = match asked {
        Asked::Nothing => Ok(()),
        Asked::Append(entries) => log.blocking_append(entries).await,
        Asked::Truncate(since) => log.truncate(since).await,
        Asked::Purge(upto) => log.purge(upto).await,
        Asked::Vote(vote) => log.save_vote(&vote).await,
    };
    done.expect("the drive works until the power goes");
}

proptest! {
    #![proptest_config(Config::with_cases(120))]
    #[test]
    fn the_log_does_what_a_list_does(steps in steps()) {
        run(5, async move |world| {
            let mut log = reopen(&world).await;
            let mut model = Model { term: 1, ..Model::default() };
            for step in &steps {
                if matches!(step, Step::Reopen) {
                    log = reopen(&world).await;
                }
                take(&mut log, model.step(step)).await;
                assert!(model.holds(&mut log).await, "after {step:?}: {model:?}");
            }
        });
    }

    /// The power goes at some change to the drive. Then the log is as it was before the step that
    /// was under way, or as after it, or with a part of the entries it appended.
    #[test]
    fn a_log_that_loses_power_keeps_every_step_it_acknowledged(
        steps in steps(), seed: u64, after in 1..200u64,
    ) {
        Simulation::new(seed, Options::default()).run(async move |sim| {
            lose_power(&sim, steps, after).await;
        });
    }
}

async fn lose_power(sim: &Sim, steps: Vec<Step>, after: u64) {
    let world = sim.world(NODE);
    sim.crash_instead_of_change(NODE, after);
    // The model before and after the step under way.
    let models = Arc::new(Mutex::new((Model { term: 1, ..Model::default() }, None)));
    let (inner, shared) = (world.clone(), Arc::clone(&models));
    let work = world.spawn(async move {
        let mut log = reopen(&inner).await;
        for step in steps {
            if matches!(step, Step::Reopen) {
                log = reopen(&inner).await;
            }
            let asked = {
                let mut models = shared.lock().expect("nobody panics");
                let mut after = models.0.clone();
                let asked = after.step(&step);
                models.1 = Some(after);
                asked
            };
            take(&mut log, asked).await;
            let mut models = shared.lock().expect("nobody panics");
            models.0 = models.1.take().expect("the step was just taken");
        }
    });
    let _ = work.await;
    let (before, after) = models.lock().expect("nobody panics").clone();
    let world = sim.world(NODE);
    let inner = world.clone();
    let check = world.spawn(async move {
        let mut log = reopen(&inner).await;
        if before.holds(&mut log).await {
            return;
        }
        let after = after.expect("nothing was under way, so nothing may differ");
        let mut part = after.clone();
        while part.entries.len() >= before.entries.len() {
            if part.holds(&mut log).await {
                return;
            }
            part.entries.pop_last();
        }
        assert!(after.holds(&mut log).await, "{before:?} {after:?} {:?}", ids(&mut log).await);
    });
    check.await.expect("it ends");
}

/// A log of two segments, and the length of the last.
async fn written(world: &World) -> u64 {
    let mut log = reopen(world).await;
    for index in 1..=12 {
        log.blocking_append([entry(1, index, 60)]).await.expect("it can be written");
    }
    log.save_vote(&Vote::new(3, 2)).await.expect("it can be written");
    drop(log);
    let last = world.disk().list(Path::new(FOLDER)).expect("it is there");
    last.iter().filter(|entry| entry.name.ends_with("2.log")).map(|entry| entry.len).sum()
}

/// Opens the log with one bit turned.
fn rotten(file: &'static str, offset: u64) -> Result<usize, LogError> {
    Simulation::new(9, Options::default()).run(async move |sim| {
        let world = sim.world(NODE);
        let inner = world.clone();
        world.spawn(async move { written(&inner).await }).await.expect("it ends");
        sim.rot(NODE, &Path::new(FOLDER).join(file), offset, 3);
        let inner = world.clone();
        let opened = world.spawn(async move {
            let mut log = open(&inner).await?;
            Ok(ids(&mut log).await.len())
        });
        opened.await.expect("it ends")
    })
}

#[test]
fn rot_is_an_error_that_names_the_place() {
    let frame = (24 + 25 + 60) as u64;
    for (file, offset, place) in [
        ("0000000000000001.log", 40 + 30, 40),
        ("0000000000000001.log", 40 + frame + 5, 40 + frame),
        ("0000000000000002.log", 40 + frame + 50, 40 + frame),
        ("0000000000000002.log", 20, 0),
    ] {
        match rotten(file, offset) {
            Err(LogError::Damaged { path, offset, .. }) => {
                assert_eq!((path, offset), (Path::new(FOLDER).join(file), place));
            }
            other => panic!("rot in {file} at {offset} was answered with {other:?}"),
        }
    }
}

#[test]
fn rot_in_the_last_frame_is_taken_for_a_torn_tail_and_in_a_vote_for_nothing() {
    assert_eq!(rotten("vote", 25).expect("the other copy is good"), 12);
    assert_eq!(rotten("vote", 4096 + 25).expect("the other copy is good"), 12);
    let len = run(9, async |world| written(&world).await);
    assert_eq!(rotten("0000000000000002.log", len - 1).expect("the tail is cut"), 11);
}

#[test]
fn a_log_with_a_segment_missing_or_of_a_later_format_is_refused() {
    let cut = run(10, async |world| {
        written(&world).await;
        let first = Path::new(FOLDER).join("0000000000000001.log");
        world.disk().remove(&first).expect("it is there");
        open(&world).await.map(drop)
    });
    assert!(matches!(cut, Err(LogError::Missing { number: 1, .. })), "{cut:?}");
    let newer = run(11, async |world| {
        written(&world).await;
        let first = Path::new(FOLDER).join("0000000000000001.log");
        let file = world.disk().open(&first, OpenMode::Write).expect("it is there");
        file.write_at(&9u32.to_le_bytes(), 8).expect("it can be written");
        open(&world).await.map(drop)
    });
    assert!(matches!(newer, Err(LogError::Newer { found: 9, .. })), "{newer:?}");
}

#[test]
fn after_a_failed_write_nothing_is_acknowledged_any_more() {
    Simulation::new(12, Options::default()).run(async |sim| {
        let world = sim.world(NODE);
        let inner = world.clone();
        let mut log = world.spawn(async move { reopen(&inner).await }).await.expect("it ends");
        let full = simulator_world::DiskFaults { capacity: Some(100), ..Default::default() };
        sim.set_disk_faults(NODE, full);
        let failed = world.spawn(async move {
            let failed = log.blocking_append([entry(1, 1, 400)]).await;
            (log, failed)
        });
        let (mut log, failed) = failed.await.expect("it ends");
        assert!(failed.is_err());
        sim.set_disk_faults(NODE, simulator_world::DiskFaults::default());
        let refused = world.spawn(async move {
            let vote = log.save_vote(&Vote::new(2, 1)).await;
            (vote.is_err(), log.blocking_append([entry(1, 2, 4)]).await.is_err())
        });
        assert_eq!(refused.await.expect("it ends"), (true, true));
    });
}
