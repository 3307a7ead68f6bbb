//! Time, tasks and the end of an incarnation.

use std::collections::BTreeSet;
use std::panic::{UnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use node_base::{Duration, NodeId};
use node_world::{BoxFuture, Class, Handler, OpenMode, Refusal};
use simulator_world::{Options, Simulation, run};

const NODE: NodeId = NodeId(1);

#[test]
fn an_hour_passes_at_once_and_blocking_work_is_done() {
    let (slept, sum) = run(1, |world| async move {
        let start = world.now();
        world.sleep(Duration::from_secs(3600)).await;
        let sum = world.blocking(|| 40 + 2).await;
        (world.now().since(start), sum)
    });
    assert!(slept >= Duration::from_secs(3600));
    assert_eq!(sum, 42);
}

#[test]
fn no_task_takes_a_step_after_the_crash() {
    let steps = Arc::new(AtomicU64::new(0));
    let seen = Simulation::new(2, Options::default()).run(async |sim| {
        let world = sim.world(NODE);
        let (inner, counted) = (world.clone(), Arc::clone(&steps));
        world.spawn(async move {
            loop {
                inner.sleep(Duration::from_millis(1)).await;
                counted.fetch_add(1, Ordering::Relaxed);
            }
        });
        let late = Arc::clone(&steps);
        let waiting = world.clone();
        world.spawn(async move {
            waiting.sleep(Duration::from_millis(100)).await;
            waiting.blocking(move || late.fetch_add(1_000_000, Ordering::Relaxed)).await
        });
        sim.sleep(Duration::from_millis(100)).await;
        sim.crash(NODE);
        let seen = steps.load(Ordering::Relaxed);
        assert!(!sim.is_up(NODE));
        let opened = world.disk().open(Path::new("late"), OpenMode::Create);
        assert!(opened.is_err(), "the drives of an ended incarnation do nothing");
        sim.sleep(Duration::from_secs(10)).await;
        seen
    });
    assert!(seen > 10, "it ran before: {seen}");
    assert_eq!(steps.load(Ordering::Relaxed), seen);
}

#[test]
fn a_paused_node_stands_still_while_time_passes() {
    let steps = |pause: bool| {
        Simulation::new(2, Options::default()).run(async |sim| {
            let world = sim.world(NODE);
            let steps = Arc::new(AtomicU64::new(0));
            let (inner, counted) = (world.clone(), Arc::clone(&steps));
            world.spawn(async move {
                loop {
                    inner.sleep(Duration::from_millis(10)).await;
                    counted.fetch_add(1, Ordering::Relaxed);
                }
            });
            if pause {
                sim.pause(NODE);
            }
            sim.sleep(Duration::from_secs(1)).await;
            let seen = steps.load(Ordering::Relaxed);
            sim.resume(NODE);
            sim.sleep(Duration::from_secs(1)).await;
            (seen, steps.load(Ordering::Relaxed) - seen)
        })
    };
    let (paused, resumed) = steps(true);
    assert_eq!(paused, 0);
    assert!(resumed > 50, "{resumed}");
    assert!(steps(false).0 > 50);
}

#[test]
fn a_wall_clock_may_be_wrong_and_monotonic_time_is_not() {
    Simulation::new(1, Options::default()).run(async |sim| {
        let (right, wrong) = (sim.world(NODE), sim.world(NodeId(2)));
        assert_eq!(right.wall(), wrong.wall());
        sim.set_skew_ms(NodeId(2), -90_000);
        assert_eq!(right.wall().since(wrong.wall()), Duration::from_secs(90));
        assert_eq!(right.now(), wrong.now());
    });
}

#[test]
fn each_incarnation_has_its_own_entropy_and_the_seed_repeats_it() {
    let draws = |seed| {
        Simulation::new(seed, Options::default())
            .run(async |sim| [sim.world(NODE).random(), sim.world(NODE).random()])
    };
    let [first, second] = draws(5);
    assert_ne!(first, second);
    assert_eq!(draws(5), [first, second]);
    assert_ne!(draws(6), [first, second]);
}

/// The order in which ten tasks come to write their number down.
fn order(seed: u64, yield_chance: f64) -> Vec<u64> {
    let options = Options { yield_chance, ..Options::default() };
    Simulation::new(seed, options).run(async |sim| {
        let world = sim.world(NODE);
        let (noted, mut notes) = tokio::sync::mpsc::unbounded_channel();
        for number in 0..10 {
            let noted = noted.clone();
            world.spawn(async move { noted.send(number) });
        }
        drop(noted);
        let mut order = Vec::new();
        while let Some(number) = notes.recv().await {
            order.push(number);
        }
        order
    })
}

#[test]
fn seeds_differ_in_who_comes_first() {
    let orders: BTreeSet<Vec<u64>> = (0..20).map(|seed| order(seed, 0.3)).collect();
    assert!(orders.len() > 10, "{}", orders.len());
    let orders: BTreeSet<Vec<u64>> = (0..20).map(|seed| order(seed, 0.0)).collect();
    assert_eq!(orders.len(), 1, "without yields there is one order");
}

fn failure(run: impl FnOnce() + UnwindSafe) -> String {
    let panic = catch_unwind(run).expect_err("it fails");
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default()
}

#[test]
fn a_panic_in_any_task_fails_the_run() {
    let why = failure(|| {
        run(1, |world| async move {
            world.spawn(async { panic!("the roof fell in") });
            std::future::pending::<()>().await;
        });
    });
    assert_eq!(why, "the roof fell in");
}

#[test]
fn a_run_in_which_nothing_can_happen_fails() {
    let why = failure(|| run(9, |_| std::future::pending::<()>()));
    assert!(why.contains("seed 9") && why.contains("stuck"), "{why}");
}

#[test]
fn a_run_that_goes_in_circles_fails() {
    let why = failure(|| {
        let options = Options { events_max: 1000, ..Options::default() };
        Simulation::new(9, options).run(async |sim| {
            let world = sim.world(NODE);
            loop {
                world.blocking(|| ()).await;
            }
        });
    });
    assert!(why.contains("seed 9") && why.contains("circles"), "{why}");
}

#[test]
fn a_node_is_up_although_nobody_holds_its_world() {
    struct Yes;
    impl Handler for Yes {
        fn handle(&self, _: NodeId, request: Bytes) -> BoxFuture<Result<Bytes, Refusal>> {
            Box::pin(std::future::ready(Ok(request)))
        }
    }
    Simulation::new(1, Options::default()).run(async |sim| {
        sim.world(NODE).net().serve(Class::Control, Arc::new(Yes));
        let other = sim.world(NodeId(2));
        let limit = Duration::from_secs(1);
        let reply = other.net().call(sim.peer(NODE), Class::Control, Bytes::new(), limit).await;
        assert_eq!(reply, Ok(Bytes::new()));
    });
}

/// Writes, sleeps and messages of one node; answers the trace's hash and its last lines.
fn traced(seed: u64, bytes: &'static [u8]) -> (String, Vec<String>) {
    let options = Options { trace_kept: 5, ..Options::default() };
    Simulation::new(seed, options).run(async |sim| {
        let world = sim.world(NODE);
        let inner = world.clone();
        let work = move || {
            let file = inner.disk().open(Path::new("a"), OpenMode::Create).expect("made");
            file.write_at(bytes, 0).expect("written");
        };
        world.blocking(work).await;
        sim.crash(NODE);
        (sim.trace().hash(), sim.trace().lines())
    })
}

#[test]
fn a_trace_tells_runs_apart_by_seed_and_by_what_they_did() {
    let (hash, lines) = traced(1, b"x");
    assert_eq!(traced(1, b"x"), (hash.clone(), lines.clone()));
    assert_ne!(traced(2, b"x").0, hash);
    assert_ne!(traced(1, b"y").0, hash);
    let last = lines.last().expect("a line");
    assert!(last.ends_with(" 1.1 crash"), "{lines:?}");
    assert!(lines.iter().any(|line| line.contains(" 1.1 a write 0 1:")), "{lines:?}");
}
