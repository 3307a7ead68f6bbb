//! How long a line and a file may be. How long a function may be is clippy's.

use crate::finding::{Finding, demand_none, demand_places};
use crate::tree::{self, TextFile};

const COLUMNS: usize = 100;
const LINES: usize = 700;
/// Files that may be longer than [`LINES`], each with the reason.
const LONGER: [(&str, &str); 0] = [];

fn check_columns(file: &TextFile) -> Vec<Finding> {
    let mut fenced = false;
    let mut findings = Vec::new();
    for (index, line) in file.text.lines().enumerate() {
        if file.is_markdown() && line.trim_start().starts_with("```") {
            fenced = !fenced;
        }
        // A table's row and an address cannot be broken; a fence shows what a program printed.
        let table = file.is_markdown() && (line.starts_with('|') || fenced);
        if line.chars().count() > COLUMNS && !table && !line.contains("://") {
            findings.push(Finding::new(
                format!("{}:{}", file.path, index + 1),
                format!("{} columns are more than {COLUMNS}", line.chars().count()),
                "break the line; rustfmt leaves strings and comments to you",
            ));
        }
    }
    findings
}

fn check_length(file: &TextFile, longer: &[(&str, &str)]) -> Vec<Finding> {
    let count = file.text.lines().count();
    let named = longer.iter().any(|(path, _)| *path == file.path);
    if file.is_rust() && count > LINES && !named {
        return vec![Finding::new(
            &file.path,
            format!("{count} lines are more than {LINES}"),
            "split it along its nouns",
        )];
    }
    if named && count <= LINES {
        return vec![Finding::new(
            &file.path,
            "it is named as a long file, and is not one",
            "take it out of LONGER in tests/tidy/src/shape.rs",
        )];
    }
    Vec::new()
}

#[test]
fn lines_fit_the_page() {
    let ours = tree::files().iter().filter(|file| file.is_rust() || file.is_markdown());
    demand_none(ours.flat_map(check_columns).collect());
}

#[test]
fn files_can_be_read_in_one_sitting() {
    let findings = tree::files().iter().flat_map(|file| check_length(file, &LONGER));
    demand_none(findings.collect());
}

#[test]
fn a_long_line_is_found() {
    let long = "ä".repeat(COLUMNS + 1);
    let fits = "ä".repeat(COLUMNS);
    let check = |path, text: String| check_columns(&TextFile::planted(path, &text));
    demand_places(&check("a.rs", format!("{fits}\n{long}\n")), &["a.rs:2"]);
    demand_places(&check("a.rs", format!("| {long} |\n")), &["a.rs:1"]);
    demand_places(&check("a.md", format!("| {long} |\n```\n{long}\n```\n{long}\n")), &["a.md:5"]);
    demand_none(check("a.md", format!("see https://example.org/{long}\n")));
}

#[test]
fn a_long_file_is_found() {
    let file = TextFile::planted("a.rs", &"\n".repeat(LINES + 1));
    demand_places(&check_length(&file, &[]), &["a.rs"]);
    demand_none(check_length(&file, &[("a.rs", "a table of cases")]));
    let short = TextFile::planted("a.rs", &"\n".repeat(LINES));
    demand_none(check_length(&short, &[]));
    demand_places(&check_length(&short, &[("a.rs", "no longer true")]), &["a.rs"]);
}
