//! What the server's feed asks of those who follow it.

use std::fs;

use super::{Person, alike, server};
use crate::fake;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_change_of_rights_shows_comes_when_all_is_to_be_looked_at_again() {
    let (address, shared) = fake::serve().await;
    let ann = Person::new(&address);
    server(&shared).write("c/d/x", b"x");
    server(&shared).write("y", b"y");
    server(&shared).close("c");
    ann.sync().await;
    assert_eq!(ann.files().into_keys().collect::<Vec<_>>(), ["y"]);
    server(&shared).open("c");
    ann.sync().await;
    alike(&ann, &shared);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_moves_into_a_folder_that_is_not_known_yet_is_not_taken_for_deleted() {
    let (address, shared) = fake::serve().await;
    let ann = Person::new(&address);
    server(&shared).write("c/d/x", b"x");
    server(&shared).write("y", b"y");
    server(&shared).write("e/z", b"z");
    server(&shared).close("c");
    ann.sync().await;
    server(&shared).shift("y", "c/y");
    server(&shared).shift("e", "c/d/e");
    // Nothing tells of the folders themselves.
    server(&shared).open_unsaid("c");
    let figures = ann.sync().await;
    assert_eq!(figures.files, 1, "what was here has moved and did not come again");
    alike(&ann, &shared);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_told_with_its_subtree_becomes_what_its_snapshot_says() {
    let (address, shared) = fake::serve().await;
    let ann = Person::new(&address);
    server(&shared).write("d/open", b"1");
    server(&shared).write("d/closed/x", b"2");
    ann.sync().await;
    server(&shared).close_in("d", "closed");
    ann.sync().await;
    // Ghosts in the tree would be deleted there when somebody clears them away here.
    fs::remove_dir_all(ann.path("d/closed")).ok();
    ann.sync().await;
    assert!(server(&shared).files().contains_key("d/closed/x"));
    assert_eq!(ann.files().into_keys().collect::<Vec<_>>(), ["d/open"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_walk_misses_because_it_moves_is_not_taken_for_deleted() {
    let (address, shared) = fake::serve().await;
    let ann = Person::new(&address);
    ann.write("a/x", b"x");
    ann.write("b/y", b"y");
    ann.sync().await;
    server(&shared).forgot_history = true;
    server(&shared).moves_meanwhile = Some(("a", "b/a"));
    let figures = ann.sync().await;
    assert_eq!(figures.files, 0, "nothing was deleted here and fetched again");
    alike(&ann, &shared);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_share_that_is_refused_is_not_taken_for_emptied() {
    let (address, shared) = fake::serve().await;
    let ann = Person::new(&address);
    ann.write("x", b"x");
    ann.sync().await;
    server(&shared).close_share();
    assert!(ann.try_sync(|_| ()).await.is_err());
    assert_eq!(ann.files().len(), 1);
}
