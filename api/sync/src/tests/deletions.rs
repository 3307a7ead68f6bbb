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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_cleared_away_while_it_was_not_selected_is_not_deleted_there() {
    let (address, shared) = fake::serve().await;
    let mut ann = Person::new(&address);
    for name in ["a/x", "b/c/y", "b-c", "z.tmp"] {
        ann.write(name, name.as_bytes());
    }
    ann.sync().await;
    ann.select = vec!["a".to_owned()];
    ann.sync().await;
    fs::remove_dir_all(ann.path("b")).expect("removed");
    fs::remove_file(ann.path("b-c")).expect("removed");
    ann.select.clear();
    ann.exclude = vec!["*.tmp".to_owned()];
    ann.sync().await;
    fs::remove_file(ann.path("z.tmp")).expect("removed");
    ann.exclude.clear();
    ann.sync().await;
    assert_eq!(server(&shared).files().len(), 4);
    alike(&ann, &shared);
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_folder_in_the_place_of_ours_deletes_nothing_until_that_is_meant() {
    let (address, shared) = fake::serve().await;
    let ann = Person::new(&address);
    for name in ["x", "y", "z"] {
        ann.write(name, name.as_bytes());
    }
    ann.sync().await;
    // An old backup, put back: it lacks what is newer than it.
    fs::rename(ann.path(""), ann.home.path().join("old")).expect("moved away");
    fs::create_dir(ann.path("")).expect("made");
    ann.write("x", b"x");
    ann.write("y", b"y");
    for _ in 0..2 {
        let (_, outcome) = ann.sync_with(|_| ()).await;
        assert_eq!((outcome.held, server(&shared).files().len()), (1, 3));
    }
    let (_, outcome) = ann.sync_with(|pair| pair.merge = true).await;
    assert!(outcome.failure().is_none());
    alike(&ann, &shared);
    assert_eq!(ann.files().len(), 3);
    fs::remove_file(ann.path("z")).expect("removed");
    ann.sync().await;
    assert_eq!(server(&shared).files().len(), 2);
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_renamed_to_something_that_is_not_utf_8_is_not_deleted_there() {
    use std::os::unix::ffi::OsStrExt;
    let (address, shared) = fake::serve().await;
    let ann = Person::new(&address);
    ann.write("name", b"x");
    ann.write("d/y", b"y");
    ann.write("z", b"z");
    ann.sync().await;
    let odd = |byte: u8| ann.path("").join(std::ffi::OsStr::from_bytes(&[b'n', byte]));
    fs::rename(ann.path("name"), odd(0xFF)).expect("renamed");
    fs::rename(ann.path("d"), odd(0xFE)).expect("renamed");
    let (_, outcome) = ann.sync_with(|_| ()).await;
    assert_eq!((outcome.left_alone.len(), outcome.problems.len()), (2, 0));
    assert_eq!(server(&shared).files().len(), 3);
    fs::rename(odd(0xFF), ann.path("name again")).expect("renamed");
    fs::rename(odd(0xFE), ann.path("d")).expect("renamed");
    ann.sync().await;
    alike(&ann, &shared);
}
