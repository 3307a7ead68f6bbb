//! What we are built from: licences, bans and sources as deny.toml has them, and how much of it.
//!
//! cargo-deny reads the same file where it is installed; these checks hold without it.

use std::collections::BTreeMap;

use toml::{Table, Value};

use crate::finding::{Finding, demand_none, demand_places};
use crate::metadata::{self, Outside};
use crate::tree::{self, TextFile};

const LOCK: &str = "Cargo.lock";
const BUDGET: &str = "tests/tidy/budget.txt";

struct Policy {
    licences: Vec<String>,
    /// Crates that may have a licence of their own besides.
    exceptions: BTreeMap<String, Vec<String>>,
    banned: Vec<String>,
}

fn policy(file: &TextFile) -> Policy {
    let table: Table = file.text.parse().expect("deny.toml is TOML");
    let licences = table.get("licenses").expect("deny.toml has [licenses]");
    let exceptions = items(licences.get("exceptions"));
    let banned = items(table.get("bans").and_then(|bans| bans.get("deny")));
    Policy {
        licences: words(licences.get("allow")),
        exceptions: exceptions
            .iter()
            .map(|item| (word(item.get("crate")), words(item.get("allow"))))
            .collect(),
        banned: banned.iter().map(|item| word(item.get("crate"))).collect(),
    }
}

fn items(value: Option<&Value>) -> Vec<Value> {
    value.and_then(Value::as_array).cloned().unwrap_or_default()
}

fn words(value: Option<&Value>) -> Vec<String> {
    items(value).iter().map(|item| word(Some(item))).collect()
}

fn word(value: Option<&Value>) -> String {
    value.and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn check_policy(policy: &Policy, outside: &[Outside]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in outside {
        let place = format!("{LOCK} ({} {})", package.name, package.version);
        if !package.source.starts_with("registry+") {
            findings.push(Finding::new(
                &place,
                format!("it comes from {}", package.source),
                "use a release from the registry",
            ));
        }
        if policy.banned.contains(&package.name) {
            findings.push(Finding::new(
                &place,
                "deny.toml bans it",
                format!("see `cargo tree -i {}`, and choose other features", package.name),
            ));
        }
        let own = policy.exceptions.get(&package.name);
        let allows = |licence: &str| {
            policy.licences.iter().chain(own.into_iter().flatten()).any(|have| have == licence)
        };
        if !permits(&package.licence, &allows) {
            findings.push(Finding::new(
                &place,
                format!("its licence is \"{}\"", package.licence),
                "use another crate, or allow it in deny.toml with the reason",
            ));
        }
    }
    findings
}

/// Whether a licence expression is satisfied: OR of AND of names, with brackets around groups; a
/// slash is the old way to write OR.
fn permits(expression: &str, allows: &dyn Fn(&str) -> bool) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let tokens: Vec<&str> = spaced.split_whitespace().collect();
    let mut at = 0;
    let permitted = any_of(&tokens, &mut at, allows);
    permitted && at == tokens.len()
}

fn any_of(tokens: &[&str], at: &mut usize, allows: &dyn Fn(&str) -> bool) -> bool {
    let mut permitted = all_of(tokens, at, allows);
    while tokens.get(*at) == Some(&"OR") {
        *at += 1;
        permitted |= all_of(tokens, at, allows);
    }
    permitted
}

fn all_of(tokens: &[&str], at: &mut usize, allows: &dyn Fn(&str) -> bool) -> bool {
    let mut permitted = one(tokens, at, allows);
    while tokens.get(*at) == Some(&"AND") {
        *at += 1;
        permitted &= one(tokens, at, allows);
    }
    permitted
}

fn one(tokens: &[&str], at: &mut usize, allows: &dyn Fn(&str) -> bool) -> bool {
    let Some(token) = tokens.get(*at) else { return false };
    *at += 1;
    if *token == "(" {
        let permitted = any_of(tokens, at, allows);
        let closed = tokens.get(*at) == Some(&")");
        *at += 1;
        return permitted && closed;
    }
    if tokens.get(*at) == Some(&"WITH") {
        let exception = tokens.get(*at + 1).copied().unwrap_or_default();
        *at += 2;
        return allows(&format!("{token} WITH {exception}"));
    }
    allows(token)
}

/// The budget file's last entry of a kind is what holds. An entry above the one before it needs a
/// note; the numbers may fall without one.
fn check_budget(file: &TextFile, kind: &str, actual: usize) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut holds: Option<usize> = None;
    for (index, line) in file.text.lines().enumerate() {
        let mut parts = line.splitn(3, ' ');
        if parts.next() != Some(kind) {
            continue;
        }
        let number = parts.next().and_then(|number| number.parse().ok());
        let noted = parts.next().is_some_and(|note| !note.trim().is_empty());
        let rises = number > holds;
        if number.is_none() || (rises && !noted) {
            findings.push(Finding::new(
                format!("{}:{}", file.path, index + 1),
                format!("an entry is `{kind} NUMBER note`, and a rise has a note"),
                "say what the growth bought",
            ));
        }
        holds = number;
    }
    if holds != Some(actual) {
        let held = holds.map_or("nothing".to_owned(), |number| number.to_string());
        findings.push(Finding::new(
            &file.path,
            format!("{kind}: {actual}, where the budget says {held}"),
            "drop what is not needed, or add a line with the new number (a rise needs a note)",
        ));
    }
    findings
}

fn doubles(outside: &[Outside]) -> usize {
    let mut versions: BTreeMap<&str, usize> = BTreeMap::new();
    for package in outside {
        *versions.entry(&package.name).or_default() += 1;
    }
    versions.values().filter(|count| **count > 1).count()
}

#[test]
fn what_we_build_on_is_permitted() {
    let outside = &metadata::workspace().outside;
    demand_none(check_policy(&policy(&tree::file("deny.toml")), outside));
}

#[test]
fn the_lock_file_keeps_its_budget() {
    let outside = &metadata::workspace().outside;
    let budget = tree::file(BUDGET);
    let mut findings = check_budget(&budget, "packages", outside.len());
    findings.extend(check_budget(&budget, "doubles", doubles(outside)));
    demand_none(findings);
}

fn package(name: &str, licence: &str, source: &str) -> Outside {
    Outside {
        name: name.to_owned(),
        version: "1.0.0".to_owned(),
        licence: licence.to_owned(),
        source: source.to_owned(),
    }
}

#[test]
fn a_licence_a_ban_and_a_source_are_found() {
    let text = "[licenses]\nallow = [\"MIT\"]\nexceptions = [{ crate = \"c\", allow = [\"X\"] }]\n\
                [bans]\ndeny = [{ crate = \"d\" }]\n";
    let policy = policy(&TextFile::planted("deny.toml", text));
    let outside = [
        package("a", "MIT OR GPL-3.0", "registry+x"),
        package("b", "GPL-3.0", "registry+x"),
        package("c", "X AND MIT", "registry+x"),
        package("d", "MIT", "registry+x"),
        package("e", "MIT", "git+x"),
        package("f", "", "registry+x"),
        package("g", "X", "registry+x"),
    ];
    let places = ["b", "d", "e", "f", "g"].map(|name| format!("Cargo.lock ({name} 1.0.0)"));
    demand_places(&check_policy(&policy, &outside), &places.each_ref().map(String::as_str));
}

#[test]
fn licence_expressions_are_understood() {
    let allowed = ["MIT", "ISC", "Apache-2.0 WITH LLVM-exception"];
    let allows = |licence: &str| allowed.contains(&licence);
    for good in ["MIT", "MIT/GPL-3.0", "(GPL-3.0 OR MIT) AND ISC", "MIT AND ISC"] {
        assert!(permits(good, &allows), "{good}");
    }
    assert!(permits("Apache-2.0 WITH LLVM-exception OR GPL-3.0", &allows));
    for bad in ["", "GPL-3.0", "MIT AND GPL-3.0", "(MIT OR ISC", "MIT ISC", "Apache-2.0"] {
        assert!(!permits(bad, &allows), "{bad}");
    }
}

#[test]
fn a_budget_rises_with_a_note_and_falls_without() {
    let check = |text, actual| check_budget(&TextFile::planted("b", text), "packages", actual);
    demand_none(check("packages 3 first\npackages 5 a codec\npackages 4\ndoubles 9 x\n", 4));
    demand_places(&check("packages 3 first\npackages 5\n", 5), &["b:2"]);
    demand_places(&check("packages 3 first\n", 4), &["b"]);
    demand_places(&check("packages 3 first\n", 2), &["b"]);
    demand_places(&check("", 2), &["b"]);
}

#[test]
fn doubles_are_counted_by_name() {
    let outside = [package("a", "", ""), package("a", "", ""), package("b", "", "")];
    assert_eq!(doubles(&outside), 1);
}
