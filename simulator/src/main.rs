//! Whole clusters in one thread; faults, workloads, invariants.

fn main() {}
