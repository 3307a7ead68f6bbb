//! What readers are told, and what cursors are refused.

use expect_test::{Expect, expect};
use node_base::PermissionSet;

use super::follower::Tree;
use crate::command::{Command, ItemCommand, PermissionCommand};
use crate::outcome::Refusal;
use crate::query::Denied;
use crate::query::feed::{Since, Stream, changes};
use crate::table::acl::{AppliesTo, Effect, Target, Trustee};
use crate::table::change::ChangeKind;
use crate::table::item::ItemId;

fn told(tree: &Tree, user: node_base::UserId, expected: &Expect) {
    let stream = Stream::Share(tree.fixture.share);
    let viewer = tree.viewer(user);
    let page = changes(&tree.fixture.tables, &viewer, stream, Since::Beginning, 100);
    let page = page.expect("it is answered");
    let shown = |path: &Option<Vec<Option<String>>>| match path {
        Some(path) => {
            let names = path.iter().map(|name| name.as_deref().unwrap_or("…"));
            names.collect::<Vec<_>>().join("/")
        }
        None => "-".to_owned(),
    };
    let lines = page.changes.iter().map(|told| {
        let subtree = if told.subtree { " subtree" } else { "" };
        let (old, new) = (shown(&told.old_path), shown(&told.new_path));
        format!("{} {:?} {old} > {new}{subtree}\n", told.number, told.kind)
    });
    expected.assert_eq(&lines.collect::<String>());
}

fn deny(tree: &mut Tree, target: Target, user: node_base::UserId) {
    let command = PermissionCommand::AddEntry {
        target,
        trustee: Trustee::User(user),
        effect: Effect::Deny,
        permissions: PermissionSet::READ,
        applies_to: AppliesTo::ThisAndChildren,
    };
    let ann = tree.fixture.ann;
    tree.fixture.run(ann, Command::Permission(command)).expect("ann may");
}

#[test]
fn a_member_is_told_what_was_done() {
    let mut tree = Tree::new();
    let folder = tree.folder(None, "plans");
    let file = tree.file(Some(folder), "a.txt", 1);
    let item = ItemId::File(file);
    let ann = tree.fixture.ann;
    let update = ItemCommand::Update {
        item,
        name: Some("b.txt".to_owned()),
        client_modified_at: None,
        executable: None,
        restore: false,
    };
    tree.run(ann, update).expect("renamed");
    let to = tree.place(None);
    tree.run(ann, ItemCommand::Move { item, to, name: None }).expect("moved");
    tree.run(ann, ItemCommand::Delete { item: ItemId::Folder(folder) }).expect("deleted");
    tree.run(ann, ItemCommand::Restore { item: ItemId::Folder(folder) }).expect("restored");
    told(
        &tree,
        tree.fixture.bob,
        &expect![[r#"
        1 Created - > -
        2 Created - > - subtree
        3 Created - > plans
        4 Created - > plans/a.txt
        5 Renamed plans/a.txt > plans/b.txt
        6 Moved plans/b.txt > b.txt
        7 Deleted plans > -
        8 Restored - > plans subtree
    "#]],
    );
}

#[test]
fn what_is_hidden_is_deleted_and_what_happens_there_is_not_told() {
    let mut tree = Tree::new();
    let folder = tree.folder(None, "plans");
    tree.file(Some(folder), "a.txt", 1);
    let bob = tree.fixture.bob;
    deny(&mut tree, Target::Item(ItemId::Folder(folder)), bob);
    tree.file(Some(folder), "secret.txt", 2);
    told(
        &tree,
        bob,
        &expect![[r#"
        1 Created - > -
        2 Created - > - subtree
        5 Deleted - > -
    "#]],
    );
}

#[test]
fn cursors_that_were_not_given_out_are_refused() {
    let mut tree = Tree::new();
    tree.folder(None, "plans");
    let viewer = tree.viewer(tree.fixture.ann);
    let stream = Stream::Share(tree.fixture.share);
    let ask = |stream: Stream, since: Since<'_>| match changes(
        &tree.fixture.tables,
        &viewer,
        stream,
        since,
        10,
    ) {
        Ok(page) => Ok(page.cursor),
        Err(Denied::Refused(refusal)) => Err(refusal),
        Err(Denied::Failed(error)) => panic!("memory never fails: {error}"),
    };
    let cursor = ask(stream, Since::Now).expect("it is given out");
    assert_eq!(ask(stream, Since::Cursor(&cursor)), Ok(cursor.clone()));
    let is_invalid =
        |outcome: Result<String, Refusal>| matches!(outcome, Err(Refusal::Invalid { .. }));
    assert!(is_invalid(ask(Stream::All, Since::Cursor(&cursor))), "of another stream");
    for at in 0..cursor.len() {
        let mut forged = cursor.clone();
        let other = if &cursor[at..=at] == "0" { "1" } else { "0" };
        forged.replace_range(at..=at, other);
        assert!(is_invalid(ask(stream, Since::Cursor(&forged))), "forged at {at}");
    }
    for text in ["", "latest", &cursor[1..], &cursor.to_uppercase(), &"é".repeat(66)] {
        assert!(is_invalid(ask(stream, Since::Cursor(text))), "{text:?}");
    }
}

#[test]
fn a_move_to_another_share_is_deleted_there_and_created_here() {
    let mut tree = Tree::new();
    let folder = tree.folder(None, "plans");
    tree.file(Some(folder), "a.txt", 1);
    let ann = tree.fixture.ann;
    let viewer = tree.viewer(ann);
    let all = |tree: &Tree, since: Since<'_>| {
        let page = changes(&tree.fixture.tables, &viewer, Stream::All, since, 100);
        page.expect("it is answered")
    };
    let before = all(&tree, Since::Now).cursor;
    let share = tree.fixture.project(ann, "Other");
    let to = crate::command::Place { share, parent: None };
    tree.run(ann, ItemCommand::Move { item: ItemId::Folder(folder), to, name: None })
        .expect("moved");
    let page = all(&tree, Since::Cursor(&before));
    let told: Vec<_> = page
        .changes
        .iter()
        .filter(|told| told.target == Target::Item(ItemId::Folder(folder)))
        .map(|told| (told.share, told.kind, told.subtree))
        .collect();
    let expected =
        [(tree.fixture.share, ChangeKind::Deleted, false), (share, ChangeKind::Created, true)];
    assert_eq!(told, expected);
    assert!(!page.has_more);
    let idle = all(&tree, Since::Cursor(&page.cursor));
    assert_eq!((idle.changes.len(), idle.cursor), (0, page.cursor));
}
