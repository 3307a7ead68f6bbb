//! Chores: ci, bench, release, spec.

fn main() {}
