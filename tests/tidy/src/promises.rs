//! The promises of ARCHITECTURE.md have numbers, and what proves one names a number that is there.

use std::collections::BTreeSet;

use crate::finding::{Finding, demand_none, demand_places};
use crate::source;
use crate::tree::{self, TextFile};

/// Every `P<number>` that the document defines, in the order of its list.
fn promises(document: &TextFile) -> Vec<u32> {
    let items = document.text.lines().filter_map(|line| line.strip_prefix("- **P"));
    items.filter_map(|rest| rest.split(' ').next()?.parse().ok()).collect()
}

fn check_numbers(document: &TextFile) -> Vec<Finding> {
    let found = promises(document);
    let expected: Vec<u32> = (1..).take(found.len().max(1)).collect();
    if found == expected {
        return Vec::new();
    }
    vec![Finding::new(
        &document.path,
        format!("the promises are numbered {found:?}"),
        "number them from 1 on: `- **P1 kept**: …`; a number is never given to another promise",
    )]
}

/// Comments say "promise P3" or "promises P1 and P4".
fn check_citations(file: &TextFile, known: &BTreeSet<u32>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (index, line) in source::lines(&file.text).iter().enumerate() {
        let Some((_, cited)) = line.comment.split_once("romise") else { continue };
        let words = cited.split(|c: char| !c.is_alphanumeric());
        let numbers = words.filter_map(|word| word.strip_prefix('P')?.parse::<u32>().ok());
        for number in numbers.filter(|number| !known.contains(number)) {
            findings.push(Finding::new(
                format!("{}:{}", file.path, index + 1),
                format!("there is no promise P{number}"),
                "name one of ARCHITECTURE.md",
            ));
        }
    }
    findings
}

#[test]
fn promises_are_numbered_and_cited_by_number() {
    let document = tree::file("ARCHITECTURE.md");
    let known = promises(&document).into_iter().collect();
    let mut findings = check_numbers(&document);
    let rust = tree::files().iter().filter(|file| file.is_rust());
    findings.extend(rust.flat_map(|file| check_citations(file, &known)));
    demand_none(findings);
}

#[test]
fn a_gap_in_the_numbers_is_found() {
    let check = |text| check_numbers(&TextFile::planted("A.md", text));
    demand_none(check("- **P1 kept**: a\n- **P2 told**: b\n"));
    demand_places(&check("- **P1 kept**: a\n- **P3 told**: b\n"), &["A.md"]);
    demand_places(&check("no promises\n"), &["A.md"]);
}

#[test]
fn an_unknown_promise_is_found() {
    // The number is put in here, so that this file does not cite it.
    let text = format!("//! Proves promises P1 and P{}.\nlet promise = 1;\n", 2);
    let known = BTreeSet::from([1]);
    demand_places(&check_citations(&TextFile::planted("a.rs", &text), &known), &["a.rs:1"]);
}
