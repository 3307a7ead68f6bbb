//! Outside crates that only some packages may use, and packages that stay pure to the last crate
//! they are built from. Both lists stand in ARCHITECTURE.md.

use crate::finding::{Finding, demand_none, demand_places};
use crate::markdown::{self, quoted};
use crate::metadata::{self, Kind, Member};
use crate::tree::{self, TextFile};

const TABLE: &str = "outside crate";
const PURE: &str = "Pure packages:";

fn check(document: &TextFile, members: &[Member]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let rows = markdown::table(&document.text, TABLE).unwrap_or_default();
    if rows.is_empty() {
        findings.push(Finding::new(
            &document.path,
            format!("there is no table that begins \"{TABLE}\""),
            "keep the table: dependencies are judged by it",
        ));
    }
    for row in rows {
        let [crates, packages, ..] = row.cells.as_slice() else { continue };
        let place = format!("{}:{}", document.path, row.line);
        judge_row(&place, &quoted(crates), &quoted(packages), members, &mut findings);
    }
    judge_pure(document, members, &mut findings);
    findings
}

fn judge_row(
    place: &str,
    crates: &[String],
    packages: &[String],
    members: &[Member],
    findings: &mut Vec<Finding>,
) {
    for package in packages {
        if !members.iter().any(|member| member.name == *package) {
            findings.push(Finding::new(
                place,
                format!("`{package}` is no member of the workspace"),
                "take it out of the row",
            ));
        }
    }
    for member in members.iter().filter(|member| !packages.contains(&member.name)) {
        for name in crates {
            if member.depends.contains(&(name.clone(), Kind::Product)) {
                findings.push(Finding::new(
                    format!("{}/Cargo.toml", member.folder),
                    format!("`{}` must not depend on `{name}` ({place})", member.name),
                    format!("ask one of {} for what it gives", packages.join(", ")),
                ));
            }
        }
    }
}

/// The paragraph that begins with [`PURE`]: its first sentence names packages, its second crates.
fn judge_pure(document: &TextFile, members: &[Member], findings: &mut Vec<Finding>) {
    let paragraph = document.text.split("\n\n").find(|paragraph| paragraph.starts_with(PURE));
    let sentences = paragraph.and_then(|paragraph| paragraph.split_once('.'));
    let Some((packages, crates)) = sentences else {
        findings.push(Finding::new(
            &document.path,
            format!("there is no paragraph that begins \"{PURE}\""),
            "keep it: purity is judged by it",
        ));
        return;
    };
    for package in quoted(packages) {
        let Some(member) = members.iter().find(|member| member.name == package) else {
            findings.push(Finding::new(
                document.place_of(PURE),
                format!("`{package}` is no member of the workspace"),
                "take it out of the list",
            ));
            continue;
        };
        for name in quoted(crates).iter().filter(|name| member.reaches.contains(*name)) {
            findings.push(Finding::new(
                format!("{}/Cargo.toml", member.folder),
                format!("`{package}` reaches `{name}`, at some depth"),
                format!("see `cargo tree -p {package} -i {name} -e normal`, and cut the way"),
            ));
        }
    }
}

#[test]
fn the_fences_are_kept() {
    demand_none(check(&tree::file("ARCHITECTURE.md"), &metadata::workspace().members));
}

fn document(row: &str, pure: &str) -> TextFile {
    let text = format!("| {TABLE} | only in | because |\n|---|---|---|\n{row}\n\n{pure}\n");
    TextFile::planted("A.md", &text)
}

#[test]
fn a_crate_outside_its_fence_is_found() {
    let text = document("| `axum` | `api` | one door |", "Pure packages: `base`. Never `tokio`.");
    let members = [
        metadata::planted("api", "api", &[("axum", Kind::Product)]),
        metadata::planted("api-ops", "api/ops", &[("axum", Kind::Product)]),
        metadata::planted("raft", "raft", &[("axum", Kind::Tests)]),
        metadata::planted("base", "base", &[]),
    ];
    demand_places(&check(&text, &members), &["api/ops/Cargo.toml"]);
}

#[test]
fn an_impure_package_is_found() {
    let text = document("| `x` | `base` | y |", "Pure packages: `base`, `nobody`. Never `tokio`.");
    let mut base = metadata::planted("base", "base", &[("innocent", Kind::Product)]);
    base.reaches.insert("tokio".to_owned());
    demand_places(&check(&text, &[base]), &["base/Cargo.toml", "A.md:5"]);
}

#[test]
fn the_lists_must_be_there() {
    demand_places(&check(&TextFile::planted("A.md", "nothing"), &[]), &["A.md", "A.md"]);
}
