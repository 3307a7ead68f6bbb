//! Two of five nodes are gone at once.

use std::fs;
use std::path::Path;

use tests::{Bench, Client};

/// How many mebibytes people have; `SCAIDRIVE_TEST_SHARE_MIB` says otherwise.
fn mebibytes() -> usize {
    let asked = std::env::var("SCAIDRIVE_TEST_SHARE_MIB").ok();
    asked.and_then(|text| text.parse().ok()).unwrap_or(12)
}

/// Files of many sizes in a folder, of so many mebibytes together.
fn fill(folder: &Path, mebibytes: usize) {
    fs::create_dir_all(folder).expect("writable");
    let sizes = [100, 5_000, 70_000, 400_000, 1_500_000, 6_000_000, 30_000_000];
    let (mut left, mut count) = (mebibytes << 20, 0);
    while left > 0 {
        let size = sizes[count % sizes.len()].min(left);
        let name = folder.join(format!("file{count:05}"));
        fs::write(name, crate::random_bytes(size)).expect("writable");
        (left, count) = (left - size, count + 1);
    }
}

/// Every file comes back byte for byte.
fn check(ann: &Client, share: &str) {
    let back = ann.path("back");
    let _ = fs::remove_dir_all(&back);
    ann.run(&["get", "-r", &format!("{share}:/files"), back.to_str().expect("UTF-8")]);
    for entry in fs::read_dir(ann.path("files")).expect("a folder") {
        let entry = entry.expect("readable");
        let content = fs::read(entry.path()).expect("readable");
        let found = [back.join("files").join(entry.file_name()), back.join(entry.file_name())];
        let found = found.iter().find(|path| path.exists()).expect("it came back");
        assert!(fs::read(found).expect("readable") == content, "{:?}", entry.file_name());
    }
}

#[test]
fn two_of_five_nodes_are_lost_and_all_is_there_and_made_whole_again() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let mut bench = Bench::form(home.path(), 5, false);
    let mut ann = Client::new(bench.any(), "ann@example.com");
    ann.json(&["share", "create", "Team"]);
    fill(&ann.path("files"), mebibytes());
    ann.run(&["put", "-r", "files", "Team:/"]);

    let leader = bench.leader().expect("one leads");
    let dead = [leader, (leader + 2) % 5];
    dead.iter().for_each(|at| bench.kill(*at));
    ann.turn_to(bench.any());
    check(&ann, "Team");

    for at in dead {
        bench.remove(at);
    }
    bench.join();
    bench.wait_until_up();
    bench.wait_until_whole();
    // Whole again, it bears the loss of one more.
    let other = bench.up()[0];
    bench.kill(other);
    ann.turn_to(bench.any());
    check(&ann, "Team");
    bench.check_logs();
}
