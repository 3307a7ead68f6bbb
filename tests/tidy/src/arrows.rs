//! The arrow table of ARCHITECTURE.md against cargo: which package may depend on which.

use std::collections::BTreeMap;

use crate::finding::{Finding, demand_none, demand_places};
use crate::markdown::{self, quoted};
use crate::metadata::{self, Kind, Member};
use crate::tree::{self, TextFile};

const BORN: &str = "package (folder)";
const UNBORN: &str = "package (folder), not yet born";
/// What the tests of every package may use besides what the package may.
const FOR_ALL_TESTS: &str = "simulator-world";
/// Packages whose names are not their folders.
const NAMED_OTHERWISE: [(&str, &str); 1] = [("tests/xtask", "xtask")];

struct Arrow {
    place: String,
    name: String,
    folder: String,
    sentence: String,
    may: Vec<String>,
}

fn check(document: &TextFile, members: &[Member]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let born = arrows(document, BORN, &mut findings);
    let unborn = arrows(document, UNBORN, &mut findings);
    let by_name: BTreeMap<&str, &Arrow> =
        born.iter().map(|arrow| (arrow.name.as_str(), arrow)).collect();
    for arrow in born.iter().chain(&unborn) {
        for name in &arrow.may {
            let known = born.iter().chain(&unborn).any(|other| other.name == *name);
            if !known {
                findings.push(Finding::new(
                    &arrow.place,
                    format!("`{}` may depend on `{name}`, which has no row", arrow.name),
                    "give it a row, or take it out",
                ));
            }
        }
    }
    for arrow in &born {
        if !members.iter().any(|member| member.name == arrow.name) {
            findings.push(Finding::new(
                &arrow.place,
                format!("`{}` is no member of the workspace", arrow.name),
                "move its row to the table of packages not yet born",
            ));
        }
    }
    for arrow in &unborn {
        if members.iter().any(|member| member.name == arrow.name) {
            findings.push(Finding::new(
                &arrow.place,
                format!("`{}` has been born", arrow.name),
                "move its row up into the table of packages",
            ));
        }
    }
    for member in members {
        match by_name.get(member.name.as_str()) {
            Some(arrow) => judge(member, arrow, members, &mut findings),
            None => findings.push(Finding::new(
                format!("{}/Cargo.toml", member.folder),
                format!("`{}` has no row in ARCHITECTURE.md", member.name),
                "decide what it may depend on, and write it into the table",
            )),
        }
    }
    findings
}

fn judge(member: &Member, arrow: &Arrow, members: &[Member], findings: &mut Vec<Finding>) {
    let manifest = format!("{}/Cargo.toml", member.folder);
    for (name, kind) in &member.depends {
        let ours = members.iter().any(|other| other.name == *name);
        let allowed = arrow.may.contains(name) || (*kind == Kind::Tests && name == FOR_ALL_TESTS);
        if ours && !allowed {
            findings.push(Finding::new(
                &manifest,
                format!("`{}` must not depend on `{name}`", member.name),
                "move the code to a package that may; changing the table is a change of the house",
            ));
        }
    }
    if arrow.folder != member.folder {
        findings.push(Finding::new(
            &arrow.place,
            format!("`{}` lies in {}, not in {}", member.name, member.folder, arrow.folder),
            "write where it lies",
        ));
    }
    if arrow.sentence != member.description {
        findings.push(Finding::new(
            &arrow.place,
            format!("`{}` calls itself \"{}\"", member.name, member.description),
            "use the same sentence here and as `description` in its Cargo.toml",
        ));
    }
    let named = NAMED_OTHERWISE.contains(&(member.folder.as_str(), member.name.as_str()));
    if !named && member.folder.replace('/', "-") != member.name {
        findings.push(Finding::new(
            manifest,
            format!("`{}` is not its folder's path with dashes", member.name),
            format!("name it {}", member.folder.replace('/', "-")),
        ));
    }
}

fn arrows(document: &TextFile, head: &str, findings: &mut Vec<Finding>) -> Vec<Arrow> {
    let Some(rows) = markdown::table(&document.text, head) else {
        findings.push(Finding::new(
            &document.path,
            format!("there is no table that begins \"{head}\""),
            "keep the table: the arrows are judged by it",
        ));
        return Vec::new();
    };
    let mut arrows = Vec::new();
    for row in rows {
        let place = format!("{}:{}", document.path, row.line);
        let name = row.cells.first().map(|cell| quoted(cell)).unwrap_or_default();
        let folder = row.cells.first().and_then(|cell| Some(cell.split_once('(')?.1));
        let folder = folder.and_then(|rest| rest.strip_suffix(')'));
        match (name.as_slice(), folder, row.cells.as_slice()) {
            ([name], Some(folder), [_, sentence, may, _]) => arrows.push(Arrow {
                place,
                name: name.clone(),
                folder: folder.to_owned(),
                sentence: sentence.clone(),
                may: quoted(may),
            }),
            _ => findings.push(Finding::new(
                place,
                "this row cannot be read",
                "| `name` (folder) | sentence | `a`, `b` | prose |",
            )),
        }
    }
    arrows
}

#[test]
fn the_arrows_are_kept() {
    demand_none(check(&tree::file("ARCHITECTURE.md"), &metadata::workspace().members));
}

fn document(rows: &str, unborn: &str) -> TextFile {
    let head = |first: &str| format!("| {first} | s | m | n |\n|---|---|---|---|\n");
    TextFile::planted("A.md", &format!("{}{rows}\n{}{unborn}", head(BORN), head(UNBORN)))
}

#[test]
fn a_forbidden_arrow_is_found_and_tests_may_pretend() {
    let text = document(
        "| `a` (a) | What a is. | – | – |\n| `b` (b) | What b is. | `a` | – |\n\
         | `simulator-world` (simulator/world) | What simulator-world is. | – | – |\n",
        "",
    );
    let world = metadata::planted("simulator-world", "simulator/world", &[]);
    let good = [
        metadata::planted("a", "a", &[("tokio", Kind::Product), (FOR_ALL_TESTS, Kind::Tests)]),
        metadata::planted("b", "b", &[("a", Kind::Product)]),
        world.clone(),
    ];
    demand_none(check(&text, &good));
    let bad = [
        metadata::planted("a", "a", &[("b", Kind::Product), (FOR_ALL_TESTS, Kind::Product)]),
        metadata::planted("b", "b", &[]),
        world,
    ];
    demand_places(&check(&text, &bad), &["a/Cargo.toml", "a/Cargo.toml"]);
}

#[test]
fn the_tables_and_the_workspace_hold_the_same_packages() {
    let text = document(
        "| `a` (x/a) | Another sentence. | `nobody` | – |\n| `gone` (gone) | s | – | – |\n| a |\n",
        "| `b` (b) | s | – | – |\n",
    );
    let members = [
        metadata::planted("a", "a", &[]),
        metadata::planted("b", "b", &[]),
        metadata::planted("new", "raft/new", &[]),
    ];
    let mut findings = check(&text, &members);
    findings.sort();
    let rows = ["A.md:3", "A.md:3", "A.md:3", "A.md:4", "A.md:5", "A.md:9"];
    let places = [&rows[..], &["b/Cargo.toml", "raft/new/Cargo.toml"]].concat();
    demand_places(&findings, &places);
}

#[test]
fn a_package_is_named_after_its_folder() {
    let text = document("| `b` (a/b) | What b is. | – | – |\n", "");
    demand_places(&check(&text, &[metadata::planted("b", "a/b", &[])]), &["a/b/Cargo.toml"]);
}
