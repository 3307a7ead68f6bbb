//! Time, tasks and the end of an incarnation.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use node_base::{Duration, NodeId};
use node_world::OpenMode;
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
