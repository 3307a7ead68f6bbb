//! Words that do not occur: marks of unfinished work, tests that do not run, names that say
//! nothing, addresses of one machine.

use crate::finding::{Finding, demand_none, demand_places};
use crate::source::{self, Line};
use crate::tree::{self, TextFile};

/// Names that say where a thing was put and not what it is.
const EMPTY_NAMES: [&str; 9] =
    ["common", "helper", "helpers", "manager", "managers", "misc", "util", "utils", "shared"];
/// Marks of unfinished work. Written in two parts, so that this file does not hold them.
const UNFINISHED: [&str; 4] = [concat!("TO", "DO"), concat!("FIX", "ME"), "XXX", "HACK"];
/// What somebody says who means to come back.
const PROVISIONAL: [&str; 2] = [concat!("for ", "now"), concat!("tempor", "ary hack")];
/// Attributes of tests that are not run, or that pass for the wrong reason.
const UNTRUSTED: [(&str, &str); 2] = [
    (concat!("#[", "ignore"), "make it fast enough to run, or delete it"),
    (concat!("#[should_", "panic"), "let the code answer an error, and compare that"),
];
/// Where a path on somebody's machine begins.
const MACHINE: [&str; 6] = [
    concat!("/ho", "me/"),
    concat!("/ro", "ot/"),
    concat!("/wo", "rk/"),
    concat!("/Use", "rs/"),
    concat!("/tmp/", "bash"),
    concat!("C:\\Use", "rs"),
];
/// Hosts of package registries: cargo and pip know them, we need not.
const REGISTRIES: [&str; 4] = [
    concat!("crates", ".io"),
    concat!("py", "pi.org"),
    concat!("pythonhosted", ".org"),
    concat!("npm", "js.org"),
];

fn check_rust(file: &TextFile) -> Vec<Finding> {
    let mut findings = empty_name_of_file(file);
    for (index, line) in source::lines(&file.text).iter().enumerate() {
        let place = format!("{}:{}", file.path, index + 1);
        findings.extend(check_line(&place, line));
    }
    findings
}

fn check_line(place: &str, line: &Line) -> Vec<Finding> {
    let mut findings = check_prose(place, &line.comment);
    for (attribute, instead) in UNTRUSTED {
        if line.code.replace(' ', "").contains(attribute) {
            findings.push(Finding::new(place, format!("no `{attribute}`"), instead));
        }
    }
    let words: Vec<&str> = line.code.split_whitespace().collect();
    for pair in words.windows(2).filter(|pair| pair[0] == "mod") {
        findings.extend(empty_name(place, pair[1].trim_end_matches([';', '{'])));
    }
    findings
}

/// Comments, and whole files that are not Rust.
fn check_prose(place: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for mark in UNFINISHED {
        let unnumbered = occurrences(text, mark).filter(|(before, after)| {
            let word = !ends_in_word(before) && !starts_with_word(after);
            word && !numbered(after)
        });
        if unnumbered.count() > 0 {
            findings.push(Finding::new(
                place,
                format!("{mark} without an issue"),
                format!("finish it, or open an issue and write {mark}(#12)"),
            ));
        }
    }
    for phrase in PROVISIONAL {
        let lower = text.to_lowercase();
        let found = occurrences(&lower, phrase)
            .any(|(before, after)| !ends_in_word(before) && !starts_with_word(after));
        if found {
            findings.push(Finding::new(
                place,
                format!("\"{phrase}\""),
                "say what is so and why; what is to change is an issue",
            ));
        }
    }
    findings
}

fn check_addresses(file: &TextFile) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (index, line) in file.text.lines().enumerate() {
        let place = format!("{}:{}", file.path, index + 1);
        for path in MACHINE {
            // A route has folders in it, too: a path of a machine does not follow a word.
            if occurrences(line, path).any(|(before, _)| !ends_in_word(before)) {
                findings.push(Finding::new(
                    &place,
                    format!("`{path}` is a place on one machine"),
                    "take it from the environment, or make it relative",
                ));
            }
        }
        for host in REGISTRIES {
            if line.contains(host) {
                findings.push(Finding::new(
                    &place,
                    format!("`{host}` is a registry's host"),
                    "leave it to the registry's client and its settings",
                ));
            }
        }
    }
    findings
}

fn empty_name_of_file(file: &TextFile) -> Vec<Finding> {
    let parts = file.path.split('/').map(|part| part.trim_end_matches(".rs"));
    parts.flat_map(|part| empty_name(&file.path, part)).collect()
}

fn empty_name(place: &str, name: &str) -> Option<Finding> {
    EMPTY_NAMES.contains(&name).then(|| {
        Finding::new(
            place,
            format!("a module named `{name}` says nothing"),
            "name it after what it holds",
        )
    })
}

/// What stands before and after each place where `needle` is found.
fn occurrences<'a>(text: &'a str, needle: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
    text.match_indices(needle).map(move |(at, _)| (&text[..at], &text[at + needle.len()..]))
}

fn ends_in_word(text: &str) -> bool {
    text.chars().last().is_some_and(char::is_alphanumeric)
}

fn starts_with_word(text: &str) -> bool {
    text.chars().next().is_some_and(char::is_alphanumeric)
}

fn numbered(after: &str) -> bool {
    let inside = after.strip_prefix("(#").and_then(|rest| rest.split_once(')'));
    inside.is_some_and(|(number, _)| number.parse::<u32>().is_ok())
}

#[test]
fn the_sources_are_finished_and_named() {
    let rust = tree::files().iter().filter(|file| file.is_rust());
    demand_none(rust.flat_map(check_rust).collect());
}

#[test]
fn the_prose_is_finished() {
    // STYLE.md names the banned words in order to ban them.
    let prose = tree::files().iter().filter(|file| !file.is_rust() && file.path != "STYLE.md");
    let findings = prose.flat_map(|file| {
        let lines = file.text.lines().enumerate();
        lines
            .flat_map(|(index, line)| check_prose(&format!("{}:{}", file.path, index + 1), line))
            .collect::<Vec<_>>()
    });
    demand_none(findings.collect());
}

#[test]
fn no_machine_and_no_registry_is_named() {
    demand_none(tree::files().iter().flat_map(check_addresses).collect());
}

#[test]
fn unfinished_work_is_found() {
    let [todo, ..] = UNFINISHED;
    let text = format!("// {todo}: later\n// {todo}(#7): counted\n// MAS{todo}N\n");
    demand_places(&check_rust(&TextFile::planted("a.rs", &text)), &["a.rs:1"]);
    let [phrase, ..] = PROVISIONAL;
    let text = format!("//! It is so {phrase}.\n//! A platform nowhere.\n");
    demand_places(&check_rust(&TextFile::planted("a.rs", &text)), &["a.rs:1"]);
}

#[test]
fn untrusted_tests_are_found_in_code_alone() {
    for (attribute, _) in UNTRUSTED {
        let text = format!("{attribute}]\n// {attribute}]\n\"{attribute}]\";\n");
        demand_places(&check_rust(&TextFile::planted("a.rs", &text)), &["a.rs:1"]);
    }
}

#[test]
fn empty_names_are_found() {
    let check = |path, text| check_rust(&TextFile::planted(path, text));
    demand_places(&check("a/utils/b.rs", ""), &["a/utils/b.rs"]);
    demand_places(&check("a/helpers.rs", ""), &["a/helpers.rs"]);
    demand_places(&check("a.rs", "pub(crate) mod util;\nmod utility;\n"), &["a.rs:1"]);
}

#[test]
fn places_and_hosts_are_found() {
    for needle in MACHINE.iter().chain(&REGISTRIES) {
        let text = format!("fine\nsee {needle}x\n");
        demand_places(&check_addresses(&TextFile::planted("a.md", &text)), &["a.md:2"]);
    }
    let route = format!("GET /folders{}children\n", MACHINE[1]);
    demand_none(check_addresses(&TextFile::planted("a.md", &route)));
}
