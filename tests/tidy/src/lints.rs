//! The lints themselves: STYLE.md names each, and few packages may lift the bans of clippy.toml.

use toml::{Table, Value};

use crate::finding::{Finding, demand_none, demand_places};
use crate::markdown;
use crate::source;
use crate::tree::{self, TextFile};

/// Folders whose packages make the outside, or look on from outside. They may lift the bans for
/// a whole package; elsewhere an exception covers one item, with a reason that clippy asks for.
const OUTSIDE: [&str; 3] = ["node/os/", "simulator/world/", "tests/"];
const BANS: [&str; 2] = ["disallowed_methods", "disallowed_types"];

fn check_named(root: &TextFile, style: &TextFile) -> Vec<Finding> {
    let manifest: Table = root.text.parse().expect("the root manifest is TOML");
    let lints = manifest.get("workspace").and_then(|workspace| workspace.get("lints"));
    let groups = lints.and_then(Value::as_table).into_iter().flat_map(Table::values);
    let names = groups.filter_map(Value::as_table).flat_map(Table::keys);
    let quoted = markdown::quoted(&style.text);
    let unnamed = names.filter(|name| !quoted.contains(name)).map(|name| {
        Finding::new(
            root.place_of(name),
            format!("STYLE.md does not name the lint `{name}`"),
            "write there which rule it enforces",
        )
    });
    unnamed.collect()
}

fn check_lifted(file: &TextFile) -> Vec<Finding> {
    if OUTSIDE.iter().any(|folder| file.path.starts_with(folder)) {
        return Vec::new();
    }
    let mut findings = Vec::new();
    let mut inner = false;
    for (index, line) in source::lines(&file.text).iter().enumerate() {
        inner |= line.code.contains("#![");
        if inner && BANS.iter().any(|ban| line.code.contains(ban)) {
            findings.push(Finding::new(
                format!("{}:{}", file.path, index + 1),
                "the bans of clippy.toml are lifted for more than one item",
                "ask the World; an exception stands on one item: #[expect(…, reason = \"…\")]",
            ));
        }
        inner &= !line.code.contains(']');
    }
    findings
}

#[test]
fn the_style_names_every_lint() {
    demand_none(check_named(&tree::file("Cargo.toml"), &tree::file("STYLE.md")));
}

#[test]
fn few_packages_lift_the_bans() {
    let rust = tree::files().iter().filter(|file| file.is_rust());
    demand_none(rust.flat_map(check_lifted).collect());
}

#[test]
fn an_unnamed_lint_is_found() {
    let root = TextFile::planted("R", "[workspace.lints.clippy]\ntodo = \"deny\"\nb = \"deny\"\n");
    demand_places(&check_named(&root, &TextFile::planted("S", "lint `todo`")), &["R:3"]);
}

#[test]
fn a_lifted_ban_is_found() {
    let text = "#![allow(\n    clippy::disallowed_types,\n    reason = \"x\"\n)]\n\
                #[expect(clippy::disallowed_methods, reason = \"y\")]\nfn f() {}\n";
    let raft = TextFile::planted("raft/src/lib.rs", text);
    demand_places(&check_lifted(&raft), &["raft/src/lib.rs:2"]);
    demand_none(check_lifted(&TextFile::planted("node/os/src/lib.rs", text)));
}
