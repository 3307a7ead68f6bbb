//! The same seed gives the same trace in two processes, and another seed another one.

use std::collections::BTreeSet;
use std::process::Output;

const SEEDS: u64 = 8;

#[expect(clippy::disallowed_types, reason = "two processes are what is compared")]
fn simulator(arguments: &[&str]) -> Output {
    let binary = env!("CARGO_BIN_EXE_simulator");
    std::process::Command::new(binary).args(arguments).output().expect("it starts")
}

/// What one process of its own found for a seed, without the seed.
fn found(seed: u64) -> String {
    let output = simulator(&["determinism", &seed.to_string()]);
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).expect("text");
    let prefix = format!("seed {seed}: ");
    text.trim().strip_prefix(&prefix).expect("it names its seed").to_owned()
}

#[test]
fn two_processes_find_the_same_for_a_seed_and_something_else_for_another() {
    let first: Vec<String> = (0..SEEDS).map(found).collect();
    let second: Vec<String> = (0..SEEDS).map(found).collect();
    assert_eq!(first, second);
    let hashes: BTreeSet<&str> =
        first.iter().filter_map(|text| text.split("trace ").nth(1)).collect();
    assert_eq!(hashes.len() as u64, SEEDS);
}

#[test]
fn twice_compares_by_itself() {
    let output = simulator(&["determinism", "42", "--twice"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), format!("seed 42: {}", found(42)));
}

#[test]
fn a_wrong_call_is_told_so() {
    assert_eq!(simulator(&["determinism", "many"]).status.code(), Some(2));
}
