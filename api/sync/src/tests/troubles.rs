//! What one file meets, and what that means for the others.

use super::{Person, alike, noise, server};
use crate::failure::Exit;
use crate::fake;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_cannot_be_compared_stays_as_it_is_and_the_others_move() {
    let (address, shared) = fake::serve().await;
    let ann = Person::new(&address);
    let (here, there) = (noise(1, 3 << 20), noise(2, 3 << 20));
    server(&shared).write("closed", &there);
    server(&shared).write("theirs", b"theirs");
    server(&shared).secret.insert("closed");
    ann.write("closed", &here);
    ann.write("mine", b"mine");
    let (_, outcome) = ann.sync_with(|_| ()).await;
    let failure = outcome.failure().expect("one thing is not in step");
    assert_eq!(failure.exit, Exit::NotAllowed, "{failure:?}");
    assert!(outcome.problems[0].line().contains("closed"), "{:?}", outcome.problems);
    assert_eq!(outcome.problems.len(), 1);
    assert_eq!(ann.files()["theirs"], b"theirs");
    assert_eq!(ann.files()["closed"], here);
    let up = server(&shared).files();
    assert_eq!((&up["mine"][..], &up["closed"][..]), (&b"mine"[..], &there[..]));
    server(&shared).secret.clear();
    ann.sync().await;
    alike(&ann, &shared);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_quota_stops_what_does_not_fit_and_nothing_else() {
    let (address, shared) = fake::serve().await;
    let ann = Person::new(&address);
    server(&shared).write("theirs", b"theirs");
    server(&shared).room = Some(100);
    for large in ["large 1", "large 2", "large 3", "large 4"] {
        ann.write(large, &noise(1, 3 << 20));
    }
    ann.write("medium", &noise(2, 2_000));
    ann.write("small", b"small");
    let (_, outcome) = ann.sync_with(|_| ()).await;
    let failure = outcome.failure().expect("five things are not in step");
    assert_eq!((failure.exit, failure.hint.is_some()), (Exit::Quota, true), "{failure:?}");
    assert_eq!(outcome.problems.len(), 5);
    assert_eq!(ann.files()["theirs"], b"theirs");
    assert!(server(&shared).files().contains_key("small"));
    // The ones under way when the first was refused are refused, too; no more is tried.
    let tried =
        server(&shared).asked.iter().filter(|asked| *asked == "POST /api/v1/uploads").count();
    assert!(tried <= 2, "{tried}");
    server(&shared).room = None;
    ann.sync().await;
    alike(&ann, &shared);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_conflict_that_a_race_raised_is_settled_when_both_sides_have_their_names() {
    let (address, shared) = fake::serve().await;
    let ann = Person::new(&address);
    ann.write("x", b"first");
    ann.sync().await;
    ann.write("x", b"mine, longer");
    server(&shared).meanwhile = Some(Box::new(|server| server.write("x", b"theirs")));
    let (figures, outcome) = ann.sync_with(|_| ()).await;
    assert!(outcome.failure().is_none(), "{:?}", outcome.problems);
    assert_eq!(figures.conflicts, 1);
    assert!(server(&shared).conflicts.is_empty(), "it is settled");
    let resolved = |asked: &&String| asked.ends_with("/resolve");
    assert_eq!(server(&shared).asked.iter().filter(resolved).count(), 1);
    assert_eq!(ann.files()["x"], b"theirs");
    alike(&ann, &shared);
    assert_eq!(ann.files().len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn folders_of_the_programs_own_are_left_alone() {
    let (address, shared) = fake::serve().await;
    let ann = Person::new(&address);
    ann.write(".config/scaidrive/session.json", b"secret");
    ann.write(".config/other", b"other");
    let own = std::fs::canonicalize(ann.path(".config/scaidrive")).expect("there");
    let (_, outcome) = ann
        .sync_with(|pair| {
            pair.root = std::fs::canonicalize(&pair.root).expect("there");
            pair.selection = std::mem::take(&mut pair.selection).without(vec![own]);
        })
        .await;
    assert!(outcome.failure().is_none(), "{:?}", outcome.problems);
    assert_eq!(outcome.left_alone[0].path, ".config/scaidrive");
    assert_eq!(server(&shared).files().keys().collect::<Vec<_>>(), [".config/other"]);
}
