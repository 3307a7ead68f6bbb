//! What the documents point to is there, and `.ci/run` types the command that README.md tells
//! people to type.

use crate::finding::{Finding, demand_none, demand_places};
use crate::tree::{self, TextFile};

const CI: &str = ".ci/run";

fn check_links(file: &TextFile, exists: &dyn Fn(&str) -> bool) -> Vec<Finding> {
    let folder = file.path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut findings = Vec::new();
    for (index, line) in file.text.lines().enumerate() {
        for target in line.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let path = target.split('#').next().unwrap_or_default();
            if path.is_empty() || path.contains("://") || exists(&resolve(folder, path)) {
                continue;
            }
            findings.push(Finding::new(
                format!("{}:{}", file.path, index + 1),
                format!("`{target}` is not there"),
                "point to what is there; a link is relative to its file",
            ));
        }
    }
    findings
}

/// A relative path from a folder, both with slashes.
fn resolve(folder: &str, path: &str) -> String {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in path.split('/').filter(|part| !part.is_empty() && *part != ".") {
        if part == ".." {
            parts.pop();
        } else {
            parts.push(part);
        }
    }
    parts.join("/")
}

/// The last line of the script is a command that stands on a line of its own in README.md.
fn check_command(script: &TextFile, readme: &TextFile) -> Vec<Finding> {
    let last = script.text.trim_end().lines().next_back().unwrap_or_default();
    let command = last.strip_prefix("exec ").unwrap_or(last);
    if !command.is_empty() && readme.text.lines().any(|line| line == command) {
        return Vec::new();
    }
    vec![Finding::new(
        &script.path,
        format!("README.md does not tell people to type `{command}`"),
        "end the script with README's test command, so that there is one way to test",
    )]
}

#[test]
fn links_lead_somewhere() {
    let exists = |path: &str| tree::root().join(path).exists();
    let documents = tree::files().iter().filter(|file| file.is_markdown());
    demand_none(documents.flat_map(|file| check_links(file, &exists)).collect());
}

#[test]
fn there_is_one_way_to_test() {
    demand_none(check_command(&tree::file(CI), &tree::file("README.md")));
}

#[test]
fn a_dead_link_is_found() {
    let exists = |path: &str| path == "a/b.md";
    let text = "[x](b.md#y) [x](../a/b.md) [x](#z) [x](https://example.org)\n[x](gone.md)\n";
    demand_places(&check_links(&TextFile::planted("a/c.md", text), &exists), &["a/c.md:2"]);
}

#[test]
fn a_second_way_to_test_is_found() {
    let readme = TextFile::planted("README.md", "```\nmake test\n```\n");
    demand_none(check_command(&TextFile::planted(CI, "set -e\nexec make test\n"), &readme));
    demand_places(&check_command(&TextFile::planted(CI, "cargo test\n"), &readme), &[CI]);
    demand_places(&check_command(&TextFile::planted(CI, ""), &readme), &[CI]);
}
