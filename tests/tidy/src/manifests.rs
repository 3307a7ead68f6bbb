//! Every Cargo.toml: lints are inherited, each dependency comes from the workspace's table, and the
//! table holds nothing that nobody uses.

use std::collections::BTreeSet;

use toml::{Table, Value};

use crate::finding::{Finding, demand_none, demand_places};
use crate::metadata;
use crate::tree::{self, TextFile};

const SECTIONS: [&str; 3] = ["dependencies", "dev-dependencies", "build-dependencies"];

fn check_member(file: &TextFile) -> Vec<Finding> {
    let manifest = parse(file);
    let mut findings = Vec::new();
    if !inherits(manifest.get("lints")) {
        findings.push(Finding::new(
            &file.path,
            "a member has the workspace's lints",
            "add `[lints]` with `workspace = true`",
        ));
    }
    for field in ["version", "edition", "rust-version", "license", "publish"] {
        if !inherits(manifest.get("package").and_then(|package| package.get(field))) {
            findings.push(Finding::new(
                &file.path,
                format!("`{field}` is the workspace's"),
                format!("write `{field}.workspace = true`"),
            ));
        }
    }
    for (name, _) in dependencies(&manifest).filter(|(_, value)| !inherits(Some(value))) {
        findings.push(Finding::new(
            file.place_of(&name),
            format!("`{name}` is not taken from the workspace's table"),
            format!("name it in the root Cargo.toml, and write `{name}.workspace = true`"),
        ));
    }
    findings
}

fn check_table(root: &TextFile, members: &[TextFile]) -> Vec<Finding> {
    let used: BTreeSet<String> = members
        .iter()
        .flat_map(|file| dependencies(&parse(file)).map(|(name, _)| name).collect::<Vec<_>>())
        .collect();
    let manifest = parse(root);
    let table = manifest.get("workspace").and_then(|workspace| workspace.get("dependencies"));
    let names = table.and_then(Value::as_table).into_iter().flat_map(Table::keys);
    let unused = names.filter(|name| !used.contains(*name)).map(|name| {
        Finding::new(
            root.place_of(name),
            format!("nobody depends on `{name}`"),
            "take it out of the workspace's table",
        )
    });
    unused.collect()
}

/// Every dependency of a manifest, those for one platform included.
fn dependencies(manifest: &Table) -> impl Iterator<Item = (String, Value)> {
    let platforms = manifest.get("target").and_then(Value::as_table).into_iter();
    let platforms = platforms.flat_map(Table::values).filter_map(Value::as_table);
    let mut found = Vec::new();
    for table in platforms.chain([manifest]) {
        for section in SECTIONS {
            let section = table.get(section).and_then(Value::as_table).into_iter().flatten();
            found.extend(section.map(|(name, value)| (name.clone(), value.clone())));
        }
    }
    found.into_iter()
}

fn inherits(value: Option<&Value>) -> bool {
    value.and_then(|value| value.get("workspace")).and_then(Value::as_bool) == Some(true)
}

fn parse(file: &TextFile) -> Table {
    file.text.parse().unwrap_or_else(|error| panic!("{} is no TOML: {error}", file.path))
}

fn members() -> Vec<TextFile> {
    let members = metadata::workspace().members.iter();
    members.map(|member| tree::file(&format!("{}/Cargo.toml", member.folder))).collect()
}

#[test]
fn members_inherit_what_is_shared() {
    demand_none(members().iter().flat_map(check_member).collect());
}

#[test]
fn the_workspace_names_what_is_used() {
    demand_none(check_table(&tree::file("Cargo.toml"), &members()));
}

const GOOD: &str = "package = { version.workspace = true, edition.workspace = true, \
    rust-version.workspace = true, license.workspace = true, publish.workspace = true }\n\
    lints.workspace = true\n";

#[test]
fn what_is_not_inherited_is_found() {
    let check = |more: &str| check_member(&TextFile::planted("C", &format!("{GOOD}{more}")));
    demand_none(check("[dependencies]\na.workspace = true\nb = { workspace = true }\n"));
    demand_places(&check("[dependencies]\na = \"1\"\n"), &["C:4"]);
    demand_places(&check("[dev-dependencies]\na = { path = \"../a\" }\n"), &["C:4"]);
    demand_places(&check("[target.'cfg(unix)'.dependencies]\na = \"1\"\n"), &["C:4"]);
    demand_places(&check_member(&TextFile::planted("C", "")), &["C"; 6]);
}

#[test]
fn an_unused_entry_is_found() {
    let root = TextFile::planted("R", "[workspace.dependencies]\na = \"1\"\nb = \"1\"\n");
    let member = TextFile::planted("C", "[dependencies]\na.workspace = true\n");
    demand_places(&check_table(&root, &[member]), &["R:3"]);
}
