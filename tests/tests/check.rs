//! `scaidrived check` of data directories that are sound, in use, and damaged.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tests::{Client, Ran, Start};

fn check(folder: &Path, deep: bool) -> Ran {
    let deep: &[&str] = if deep { &["--deep"] } else { &[] };
    Start::at(folder).form(&[&["check"], deep].concat())
}

/// All files below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() { files.extend(self::files(&path)) } else { files.push(path) }
    }
    files
}

fn copy(from: &Path, to: &Path) {
    let _ = fs::remove_dir_all(to);
    for file in files(from) {
        let target = to.join(file.strip_prefix(from).expect("below"));
        fs::create_dir_all(target.parent().expect("a folder")).expect("writable");
        // The socket of a node that was killed is none.
        let _ = fs::copy(&file, &target);
    }
}

fn found(folder: &Path, ending: &str) -> PathBuf {
    let mut found = files(folder);
    found.retain(|file| file.to_string_lossy().ends_with(ending));
    found.sort();
    found.pop().unwrap_or_else(|| panic!("no {ending}"))
}

/// Changes one byte at this part of a file, in thousandths.
fn flip(file: &Path, part: usize) {
    let mut bytes = fs::read(file).expect("readable");
    let at = bytes.len() * part / 1_000;
    bytes[at] ^= 0x40;
    fs::write(file, bytes).expect("writable");
}

#[test]
fn what_is_amiss_in_a_data_directory_is_told() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let (node, copied) = (home.path().join("node"), home.path().join("copied"));
    let server = Start::at(&node).ready();
    let ann = Client::new(&server, "ann@example.com");
    ann.json(&["share", "create", "Team"]);
    fs::write(ann.path("a.bin"), crate::random_bytes(3 << 20)).expect("writable");
    ann.json(&["put", "a.bin", "Team:/a.bin"]);
    let busy = check(&node, false);
    assert_eq!(busy.code, Some(6), "a node runs on it: {}", busy.errors);
    // After a crash all is sound as well, though the tables may be behind the log.
    let crashed = server.kill();
    let sound = check(&node, true);
    assert_eq!(sound.code, Some(0), "{} {}", sound.output, sound.errors);
    assert_eq!(crashed.ready().stop(), Some(0));
    for deep in [false, true] {
        let sound = check(&node, deep);
        assert_eq!(sound.code, Some(0), "{} {}", sound.output, sound.errors);
        let said = sound.json();
        assert_eq!((&said["is_sound"], &said["missing_chunks"]), (&true.into(), &0.into()));
        assert_eq!(said["whole_chunks"].as_u64() > Some(0), deep);
        assert!(said["known_chunks"].as_u64() > Some(0));
    }
    let nobody = check(&home.path().join("nothing"), false);
    assert_eq!(nobody.code, Some(4), "{}", nobody.errors);

    let damaged = |deep: bool, what: &str, damage: &dyn Fn()| -> Value {
        copy(&node, &copied);
        damage();
        let ran = check(&copied, deep);
        assert_eq!(ran.code, Some(1), "{what}: {} {}", ran.output, ran.errors);
        let said = ran.json();
        assert_eq!(said["is_sound"], false, "{what}");
        assert!(!said["wrong"].as_array().expect("a list").is_empty(), "{what}");
        said
    };
    let body = || flip(&found(&copied, ".pack"), 500);
    let said = damaged(true, "a byte of a chunk", &body);
    let drive = &said["drives"][0];
    assert_eq!((&drive["rotten_shards"], &said["wrong_chunks"]), (&1.into(), &1.into()));
    damaged(false, "the first head of a pack", &|| flip(&found(&copied, ".pack"), 0));
    let gone = || fs::remove_file(found(&copied, ".pack")).expect("there");
    let said = damaged(false, "a pack", &gone);
    assert_eq!(said["missing_chunks"], said["known_chunks"]);
    damaged(false, "a frame of the log", &|| flip(&found(&copied, ".log"), 500));
    let vote = || fs::write(found(&copied, "vote"), [0; 100]).expect("writable");
    damaged(false, "the vote", &vote);
    let tables = || fs::remove_file(found(&copied, "tables.redb")).expect("there");
    damaged(false, "the tables", &tables);
    // Which of the pages are in use is for the tables to know.
    let pages = || (10..1_000).for_each(|part| flip(&found(&copied, "tables.redb"), part));
    damaged(false, "pages of the tables", &pages);
}
