//! The rules of this project, as tests.
//!
//! Every module is one kind of rule: a check that lists what breaks it, a test that runs the check
//! over the project, and tests that plant a violation and see it found. Run with
//! `cargo test -p tests-tidy`; STYLE.md says which rule is enforced where.
//!
//! Never here: anything of the product; tools that a bare machine lacks.
#![cfg(test)]
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a tool that reads the project's own files and asks cargo about it"
)]

mod arrows;
mod fences;
mod finding;
mod heads;
mod links;
mod lints;
mod manifests;
mod markdown;
mod metadata;
mod promises;
mod shape;
mod source;
mod supply;
mod tree;
mod words;
