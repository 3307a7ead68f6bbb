//! What cargo says about the workspace and everything it is built from.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::Value;

use crate::tree;

/// When a dependency is used.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Kind {
    /// By the package itself or its build script.
    Product,
    /// By its tests.
    Tests,
}

/// A member of the workspace.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub(crate) name: String,
    /// Below the root, with slashes.
    pub(crate) folder: String,
    pub(crate) description: String,
    pub(crate) depends: BTreeSet<(String, Kind)>,
    /// Every package that its product code reaches, at whatever depth.
    pub(crate) reaches: BTreeSet<String>,
}

/// A package from a registry.
#[derive(Clone, Debug)]
pub(crate) struct Outside {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) licence: String,
    pub(crate) source: String,
}

/// The workspace as cargo resolved it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Workspace {
    pub(crate) members: Vec<Member>,
    pub(crate) outside: Vec<Outside>,
}

/// Asks cargo, once.
pub(crate) fn workspace() -> &'static Workspace {
    static WORKSPACE: OnceLock<Workspace> = OnceLock::new();
    WORKSPACE.get_or_init(|| read(&ask_cargo()))
}

fn ask_cargo() -> Value {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--locked"])
        .current_dir(tree::root())
        .output()
        .expect("cargo can be started, it started this test");
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo metadata --locked failed: {complaint}");
    serde_json::from_slice(&output.stdout).expect("cargo answers JSON")
}

fn read(value: &Value) -> Workspace {
    let packages = list(value, "packages");
    let names: BTreeMap<&str, &str> =
        packages.iter().map(|package| (text(package, "id"), text(package, "name"))).collect();
    let graph = product_graph(value);
    let root = text(value, "workspace_root");
    let mut workspace = Workspace::default();
    for package in packages {
        if package["source"].is_null() {
            workspace.members.push(member(package, root, &graph, &names));
        } else {
            workspace.outside.push(outside(package));
        }
    }
    workspace.members.sort_by(|a, b| a.folder.cmp(&b.folder));
    workspace
}

fn member(
    package: &Value,
    root: &str,
    graph: &BTreeMap<&str, Vec<&str>>,
    names: &BTreeMap<&str, &str>,
) -> Member {
    let manifest = text(package, "manifest_path");
    let folder = manifest
        .strip_prefix(root)
        .and_then(|path| path.strip_suffix("Cargo.toml"))
        .map(|path| path.replace('\\', "/").trim_matches('/').to_owned())
        .expect("a member lies below the root");
    let depends = list(package, "dependencies")
        .iter()
        .map(|dependency| {
            let tests = dependency["kind"] == "dev";
            let kind = if tests { Kind::Tests } else { Kind::Product };
            (text(dependency, "name").to_owned(), kind)
        })
        .collect();
    Member {
        name: text(package, "name").to_owned(),
        folder,
        description: package["description"].as_str().unwrap_or_default().to_owned(),
        depends,
        reaches: reach(text(package, "id"), graph, names),
    }
}

fn outside(package: &Value) -> Outside {
    Outside {
        name: text(package, "name").to_owned(),
        version: text(package, "version").to_owned(),
        licence: package["license"].as_str().unwrap_or_default().to_owned(),
        source: text(package, "source").to_owned(),
    }
}

/// For each package what its product code depends on directly.
fn product_graph(value: &Value) -> BTreeMap<&str, Vec<&str>> {
    let mut graph = BTreeMap::new();
    for node in list(&value["resolve"], "nodes") {
        let product = list(node, "deps").iter().filter(|dependency| {
            list(dependency, "dep_kinds").iter().any(|kind| kind["kind"].is_null())
        });
        let ids = product.map(|dependency| text(dependency, "pkg")).collect();
        graph.insert(text(node, "id"), ids);
    }
    graph
}

fn reach(
    from: &str,
    graph: &BTreeMap<&str, Vec<&str>>,
    names: &BTreeMap<&str, &str>,
) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    let mut open = vec![from];
    while let Some(id) = open.pop() {
        for next in graph.get(id).into_iter().flatten() {
            if seen.insert(*next) {
                open.push(next);
            }
        }
    }
    seen.iter().filter_map(|id| names.get(id)).map(|name| (*name).to_owned()).collect()
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().expect("cargo metadata, format 1, has this list")
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().expect("cargo metadata, format 1, has this text")
}

/// A member made up for a test.
pub(crate) fn planted(name: &str, folder: &str, depends: &[(&str, Kind)]) -> Member {
    Member {
        name: name.to_owned(),
        folder: folder.to_owned(),
        description: format!("What {name} is."),
        depends: depends.iter().map(|(name, kind)| ((*name).to_owned(), *kind)).collect(),
        reaches: depends.iter().map(|(name, _)| (*name).to_owned()).collect(),
    }
}

#[test]
fn cargo_is_understood() {
    let workspace = workspace();
    let base = workspace.members.iter().find(|member| member.name == "node-base");
    let base = base.expect("node-base is a member");
    assert_eq!(base.folder, "node/base");
    assert!(base.depends.contains(&("serde".to_owned(), Kind::Product)));
    assert!(base.depends.contains(&("proptest".to_owned(), Kind::Tests)));
    assert!(base.reaches.contains("serde_core"), "what serde depends on is reached");
    assert!(!base.reaches.contains("proptest"), "what only tests use is not");
    assert!(workspace.outside.iter().any(|package| package.name == "serde"));
}
