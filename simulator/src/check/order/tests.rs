use api_types::v1::error::ErrorCode;
use node_base::{FileId, VersionId};
use raft_meta::table::item::ItemId;

use super::check;
use crate::check::example::{Example, Made, content};
use crate::history::{Answer, Ask, NEVER, Seen, Told, Way};

/// How many shares are out of order, and how many could not be judged.
fn judged(example: &Example) -> (usize, usize) {
    let (violations, undecided) = check(&example.history, &example.facts);
    (violations.len(), undecided.len())
}

fn stat(example: &mut Example, made: Made, name: &str, version: (VersionId, u32)) {
    let seen = example.seen(made.item, name, Some(version));
    example.done(Ask::Stat { item: made.item }, Told::Item(seen));
}

fn refused(example: &mut Example, ask: Ask, code: ErrorCode) {
    example.operation(ask, Example::refusal(code.status(), Some(code)));
}

fn rename(example: &mut Example, item: ItemId, name: &str, told: Seen) {
    let ask = Ask::Relocate { item, to: None, name: Some(name.to_owned()) };
    example.done(ask, Told::Item(told));
}

#[test]
fn a_life_in_order_is_in_order() {
    let mut example = Example::default();
    let a = example.file("a", 1);
    let b = example.file("b", 2);
    let folder = example.folder("f");
    let name = "a".to_owned();
    refused(&mut example, Ask::Folder { parent: None, name }, ErrorCode::NameConflict);
    let second = example.replace(a, Some(a.version), 3);
    example.conflict(a, Some(a.version), 4);
    stat(&mut example, a, "a", (second, 2));
    let told = Seen { parent: Some(folder), ..example.seen(a.item, "c", Some((second, 2))) };
    let ask = Ask::Relocate { item: a.item, to: Some(Some(folder)), name: Some("c".to_owned()) };
    example.done(ask, Told::Item(told.clone()));
    example.done(Ask::List { folder: Some(folder) }, Told::List(vec![told]));
    example.trash(b);
    refused(&mut example, Ask::Stat { item: b.item }, ErrorCode::Trashed);
    let list = vec![example.seen(ItemId::Folder(folder), "f", None)];
    example.done(Ask::List { folder: None }, Told::List(list));
    example.file("b", 5);
    let told = example.seen(b.item, "b (restored)", Some((b.version, 1)));
    example.done(Ask::Restore { item: b.item }, Told::Item(told));
    example.trash(b);
    example.purge(b);
    refused(&mut example, Ask::Stat { item: b.item }, ErrorCode::NotFound);
    assert_eq!(judged(&example), (0, 0));
}

#[test]
fn a_stale_read_is_found() {
    let mut example = Example::default();
    let file = example.file("a", 1);
    example.replace(file, None, 2);
    stat(&mut example, file, "a", (file.version, 1));
    assert_eq!(judged(&example), (1, 0));
    // Had it begun before the change was acknowledged, it would be right.
    example.last().began -= 10;
    assert_eq!(judged(&example), (0, 0));
}

#[test]
fn a_listing_that_lacks_or_invents_something_is_found() {
    for list in [0, 1, 3] {
        let mut example = Example::default();
        let made = [("a", 1), ("b", 2)].map(|(name, n)| (name, example.file(name, n)));
        let (name, gone) = ("c", example.file("c", 3));
        example.trash(gone);
        let all = [made[0], made[1], (name, gone)];
        let seen =
            |(name, made): (&str, Made)| example.seen(made.item, name, Some((made.version, 1)));
        let list = all.into_iter().take(list).map(seen).collect();
        example.done(Ask::List { folder: None }, Told::List(list));
        assert_eq!(judged(&example), (1, 0));
    }
}

#[test]
fn two_of_one_name_and_a_lost_update_are_found() {
    let mut example = Example::default();
    example.file("a", 1);
    example.file("a", 2);
    assert_eq!(judged(&example), (1, 0));

    let mut example = Example::default();
    let file = example.file("a", 1);
    example.replace(file, Some(file.version), 2);
    example.replace(file, Some(file.version), 3);
    assert_eq!(judged(&example), (1, 0));
}

#[test]
fn a_refusal_without_a_reason_is_found() {
    let mut example = Example::default();
    let file = example.file("a", 1);
    refused(&mut example, Ask::Stat { item: file.item }, ErrorCode::NotFound);
    assert_eq!(judged(&example), (1, 0));

    let mut example = Example::default();
    let name = "a".to_owned();
    refused(&mut example, Ask::Folder { parent: None, name }, ErrorCode::NameConflict);
    assert_eq!(judged(&example), (1, 0));

    let mut example = Example::default();
    let file = example.file("a", 1);
    example.conflict(file, Some(file.version), 2);
    assert_eq!(judged(&example), (1, 0));
}

#[test]
fn what_was_never_answered_may_have_happened_or_not() {
    for happened in [true, false] {
        let mut example = Example::default();
        let file = example.file("a", 1);
        let ask = Ask::Relocate { item: file.item, to: None, name: Some("b".to_owned()) };
        example.operation(ask, Answer::Unknown);
        let name = if happened { "b" } else { "a" };
        stat(&mut example, file, name, (file.version, 1));
        assert_eq!(judged(&example), (0, 0));
        stat(&mut example, file, "c", (file.version, 1));
        assert_eq!(judged(&example), (1, 0));
    }
}

#[test]
fn what_a_lost_answer_made_is_known_by_its_content() {
    let mut example = Example::default();
    let file = example.file("a", 1);
    let lost = example.last();
    (lost.answer, lost.ended, lost.lost) = (Answer::Unknown, NEVER, 1);
    stat(&mut example, file, "a", (file.version, 1));
    assert_eq!(judged(&example), (0, 0));
    example.facts.versions.clear();
    assert_eq!(judged(&example), (0, 1), "nobody knows where it came from");
}

#[test]
fn many_at_once_are_put_in_order() {
    let mut example = Example::default();
    let file = example.file("n0", 1);
    // Twelve renames at the same time, of which the last in any order is what is read.
    for n in 1..=12 {
        let name = format!("n{n}");
        let told = example.seen(file.item, &name, Some((file.version, 1)));
        rename(&mut example, file.item, &name, told);
    }
    let end = example.last().ended;
    for op in &mut example.history.operations[1..] {
        (op.began, op.ended) = (op.number.into(), end);
        op.began += 15;
    }
    stat(&mut example, file, "n5", (file.version, 1));
    assert_eq!(judged(&example), (0, 0));
    stat(&mut example, file, "n6", (file.version, 1));
    assert_eq!(judged(&example), (1, 0));
}

#[test]
fn a_new_file_may_come_in_one_request() {
    let mut example = Example::default();
    let (file, version): (FileId, VersionId) = (example.id(), example.id());
    let item = ItemId::File(file);
    let ask = Ask::File { parent: None, name: "a".to_owned(), content: content(1), way: Way::Form };
    let seen = example.seen(item, "a", Some((version, 1)));
    example.done(ask, Told::Item(seen));
    example.done(
        Ask::Read { file, number: None },
        Told::Content { version, size: 100, hash: content(1).hash() },
    );
    assert_eq!(judged(&example), (0, 0));
}
