//! The same seed gives the same trace in two processes and beside others, and another seed another.

use super::{simulator, text};

/// What one process of its own found for a seed, without the seed.
fn found(seed: u64) -> String {
    let output = simulator(&["determinism", &seed.to_string()]);
    let text = text(&output.stdout);
    text.split_once(": ").map(|(_, found)| found.to_owned()).expect("it names its seed")
}

#[test]
fn two_processes_find_the_same_for_a_seed_and_something_else_for_another() {
    let (first, second) = (found(3), found(3));
    assert_eq!(first, second);
    assert_ne!(first, found(4));
}

#[test]
fn twice_compares_by_itself() {
    let output = simulator(&["determinism", "5", "--seeds", "2", "--twice"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(text(&output.stdout).lines().count(), 2);
}
