//! How a package opens: a sentence that says what it is, and for a library what is never in it.

use crate::finding::{Finding, demand_none, demand_places};
use crate::metadata;
use crate::tree::{self, TextFile};

fn check(file: &TextFile) -> Vec<Finding> {
    let head: Vec<&str> = file.text.lines().take_while(|line| line.starts_with("//!")).collect();
    if head.is_empty() {
        return vec![Finding::new(
            format!("{}:1", file.path),
            "a package opens with what it is",
            "begin with `//!` and one sentence",
        )];
    }
    let library = file.path.ends_with("/lib.rs");
    if library && !head.iter().any(|line| line.contains("Never here:")) {
        return vec![Finding::new(
            format!("{}:1", file.path),
            "a library says what is never in it",
            "end its head with `//! Never here: …`, as in ARCHITECTURE.md",
        )];
    }
    Vec::new()
}

#[test]
fn every_package_opens_with_what_it_is() {
    let findings = metadata::workspace().members.iter().flat_map(|member| {
        let heads = ["lib.rs", "main.rs"].map(|name| format!("{}/src/{name}", member.folder));
        let found = tree::files().iter().filter(move |file| heads.contains(&file.path));
        found.flat_map(check).collect::<Vec<_>>()
    });
    demand_none(findings.collect());
}

#[test]
fn a_head_without_its_parts_is_found() {
    let check = |path, text| check(&TextFile::planted(path, text));
    demand_places(&check("a/src/lib.rs", "use x;\n//! Late.\n"), &["a/src/lib.rs:1"]);
    demand_places(&check("a/src/lib.rs", "//! A thing.\n"), &["a/src/lib.rs:1"]);
    demand_none(check("a/src/lib.rs", "//! A thing.\n//!\n//! Never here: others.\n"));
    demand_none(check("a/src/main.rs", "//! A binary.\n"));
}
