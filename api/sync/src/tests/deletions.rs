//! What is deleted on the server, and what must not be.

use std::fs;

use super::{Person, alike, server};
use crate::fake;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_that_goes_does_not_take_along_what_was_never_here() {
    let (address, shared) = fake::serve().await;
    let mut ann = Person::new(&address);
    ann.exclude = vec!["target".to_owned()];
    ann.write("a/x", b"x");
    ann.write("a/b/y", b"y");
    ann.write("z", b"z");
    ann.sync().await;
    server(&shared).write("a/target/o", b"by bob");
    ann.sync().await;
    fs::remove_dir_all(ann.path("a")).expect("removed");
    ann.sync().await;
    let there: Vec<String> = server(&shared).files().into_keys().collect();
    assert_eq!(there, ["a/target/o", "z"]);
    server(&shared).forget_requests();
    ann.sync().await;
    assert_eq!(server(&shared).asked, ["GET /api/v1/sync/changes"], "nothing is left to do");
    assert_eq!(ann.files().into_keys().collect::<Vec<_>>(), ["z"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_into_a_folder_while_it_is_to_be_deleted_stays() {
    let (address, shared) = fake::serve().await;
    let ann = Person::new(&address);
    for name in ["d/x", "d/e/y", "f/z", "g/edited", "g/old"] {
        ann.write(name, name.as_bytes());
    }
    ann.sync().await;
    for name in ["d", "f", "g"] {
        fs::remove_dir_all(ann.path(name)).expect("removed");
    }
    ann.write("new", b"new");
    server(&shared).meanwhile = Some(Box::new(|server| {
        server.write("d/e/by-bob", b"new");
        server.write("g/edited", b"by bob");
    }));
    ann.sync().await;
    alike(&ann, &shared);
    let names: Vec<String> = ann.files().into_keys().collect();
    assert_eq!(names, ["d/e/by-bob", "g/edited", "new"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_here_again_when_its_deletion_is_due_is_not_deleted() {
    let (address, shared) = fake::serve().await;
    let ann = Person::new(&address);
    ann.write("text", b"first");
    ann.write("d/x", b"x");
    ann.sync().await;
    // As some editors do: the old file goes aside, and a new one takes its name after a while.
    fs::remove_file(ann.path("text")).expect("removed");
    fs::rename(ann.path("d"), ann.home.path().join("d")).expect("moved away");
    ann.write("new", b"new");
    let (text, away, back) = (ann.path("text"), ann.home.path().join("d"), ann.path("d"));
    server(&shared).meanwhile = Some(Box::new(move |_| {
        fs::write(text, b"second").expect("written");
        fs::rename(away, back).expect("moved back");
    }));
    server(&shared).forget_requests();
    ann.sync().await;
    alike(&ann, &shared);
    assert_eq!(ann.files()["text"], b"second");
    let deleted = server(&shared).asked.iter().filter(|line| line.ends_with("apply")).count();
    assert_eq!(deleted, 0, "nothing was deleted in between");
}
