//! The lints themselves: STYLE.md names each, and few packages may lift the bans of clippy.toml.

use std::collections::BTreeSet;

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

fn check_lifted(file: &TextFile, for_tests: &BTreeSet<String>) -> Vec<Finding> {
    let outside = OUTSIDE.iter().any(|folder| file.path.starts_with(folder));
    if outside || for_tests.contains(&file.path) {
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

/// The files of modules that are built for tests alone: what stands in for the outside there may
/// use it.
fn test_modules(files: &[TextFile]) -> BTreeSet<String> {
    let mut paths = BTreeSet::new();
    for file in files.iter().filter(|file| file.is_rust()) {
        let stem = file.path.trim_end_matches(".rs");
        let folder = match stem.rsplit_once('/') {
            Some((folder, "lib" | "main" | "mod")) => folder,
            _ => stem,
        };
        let lines: Vec<&str> = file.text.lines().map(str::trim).collect();
        for pair in lines.windows(2).filter(|pair| pair[0] == "#[cfg(test)]") {
            let module = pair[1].trim_start_matches("pub(crate) ").strip_prefix("mod ");
            if let Some(name) = module.and_then(|rest| rest.strip_suffix(';')) {
                paths.insert(format!("{folder}/{name}.rs"));
                paths.insert(format!("{folder}/{name}/mod.rs"));
            }
        }
    }
    paths
}

#[test]
fn the_style_names_every_lint() {
    demand_none(check_named(&tree::file("Cargo.toml"), &tree::file("STYLE.md")));
}

#[test]
fn few_packages_lift_the_bans() {
    let rust = tree::files().iter().filter(|file| file.is_rust());
    let for_tests = test_modules(tree::files());
    demand_none(rust.flat_map(|file| check_lifted(file, &for_tests)).collect());
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
    let fake = TextFile::planted("raft/src/log/fake.rs", text);
    let log = TextFile::planted("raft/src/log.rs", "#[cfg(test)]\nmod fake;\n");
    let for_tests = test_modules(&[log]);
    demand_places(&check_lifted(&raft, &for_tests), &["raft/src/lib.rs:2"]);
    demand_places(&check_lifted(&fake, &BTreeSet::new()), &["raft/src/log/fake.rs:2"]);
    demand_none(check_lifted(&fake, &for_tests));
    demand_none(check_lifted(&TextFile::planted("node/os/src/lib.rs", text), &for_tests));
}
