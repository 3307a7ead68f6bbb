//! The sync client and command line: scanner, executor, state.

fn main() {}
