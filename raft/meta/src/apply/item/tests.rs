//! What happens to trees, versions and the trash, told as short stories.

use node_base::{Duration, FileId, FolderId, NamePolicy, PermissionSet};

use crate::command::{
    BatchFile, BatchTarget, Command, FileDestination, ItemCommand, NewChunk, NewContent, People,
    PermissionCommand, Place, ShareCommand, ShareSettingsChange, TenantSettingsChange, Upkeep,
};
use crate::outcome::{Answer, BatchStatus, Invalid, Outcome, Refusal};
use crate::query::feed::tests::Tree;
use crate::table;
use crate::table::acl::{AppliesTo, Effect, Target, Trustee};
use crate::table::item::{Body, Item, ItemId, ItemState, Items};
use crate::table::quota::{QuotaTarget, Usage, Usages};

fn row(tree: &Tree, id: ItemId) -> Option<Item> {
    table::get::<Items>(&tree.fixture.tables, &(tree.fixture.tenant, id)).expect("memory")
}

fn usage(tree: &Tree) -> Usage {
    let target = QuotaTarget::Share(tree.fixture.tenant, tree.fixture.share);
    table::get::<Usages>(&tree.fixture.tables, &(target,)).expect("memory").unwrap_or_default()
}

fn act(tree: &mut Tree, command: ItemCommand) -> Outcome {
    let ann = tree.fixture.ann;
    let outcome = tree.run(ann, command);
    tree.check();
    outcome
}

fn rename(item: ItemId, name: &str) -> ItemCommand {
    let name = Some(name.to_owned());
    ItemCommand::Update { item, name, client_modified_at: None, executable: None, restore: false }
}

fn version(tree: &Tree, file: FileId) -> u32 {
    match row(tree, ItemId::File(file)).expect("it is there").body {
        Body::File(file) => file.version,
        Body::Folder => panic!("a file"),
    }
}

#[test]
fn siblings_differ_in_more_than_case() {
    let mut tree = Tree::new();
    let folder = tree.folder(None, "Report");
    let place = tree.place(None);
    let again = act(&mut tree, ItemCommand::CreateFolder { place, name: "rEPORT".to_owned() });
    let taken = Err(Refusal::NameConflict { item: Some(ItemId::Folder(folder)) });
    assert_eq!(again, taken);
    assert!(act(&mut tree, rename(ItemId::Folder(folder), "REPORT")).is_ok());
    let bad = act(&mut tree, ItemCommand::CreateFolder { place, name: "CON".to_owned() });
    assert!(matches!(bad, Err(Refusal::Invalid { reason: Invalid::Name(_), .. })));
}

#[test]
fn a_folder_is_not_moved_into_itself() {
    let mut tree = Tree::new();
    let outer = tree.folder(None, "outer");
    let inner = tree.folder(Some(outer), "inner");
    for parent in [outer, inner] {
        let to = tree.place(Some(parent));
        let moved = ItemCommand::Move { item: ItemId::Folder(outer), to, name: None };
        assert_eq!(act(&mut tree, moved), Err(Refusal::Cycle));
    }
}

#[test]
fn folders_end_at_the_deepest() {
    let mut tree = Tree::new();
    let mut chain: Vec<FolderId> = Vec::new();
    for _ in 0..=node_base::limits::DEPTH_MAX {
        chain.push(tree.folder(chain.last().copied(), "d"));
    }
    let place = tree.place(chain.last().copied());
    let deeper = act(&mut tree, ItemCommand::CreateFolder { place, name: "d".to_owned() });
    assert_eq!(deeper, Err(Refusal::invalid("parent_id", Invalid::TooDeep)));
    let (top, other) = (ItemId::Folder(chain[0]), tree.folder(None, "other"));
    let to = tree.place(Some(other));
    let moved = ItemCommand::Move { item: top, to, name: None };
    assert_eq!(act(&mut tree, moved.clone()), Err(Refusal::invalid("parent_id", Invalid::TooDeep)));
    let last = ItemId::Folder(*chain.last().expect("many"));
    act(&mut tree, ItemCommand::Purge { item: last }).expect("purged");
    tree.fixture.run_node(Command::Upkeep(Upkeep::Release { limit: 10 })).expect("released");
    act(&mut tree, moved).expect("it fits when the deepest is gone");
}

#[test]
fn what_was_deleted_comes_back_under_a_free_name() {
    let mut tree = Tree::new();
    let file = tree.file(None, "a.txt", 1);
    act(&mut tree, ItemCommand::Delete { item: ItemId::File(file) }).expect("deleted");
    assert_eq!(act(&mut tree, rename(ItemId::File(file), "b")), Err(Refusal::Trashed));
    for _ in 0..2 {
        tree.file(None, "a.txt", 2);
        let place = tree.place(None);
        let items = tree.items();
        let live = items
            .iter()
            .find(|(_, item)| item.name.as_str() == "a.txt" && item.state == ItemState::Live);
        let (id, _) = live.expect("it was made");
        let copy = ItemCommand::Copy { item: *id, to: place, name: Some("kept.txt".to_owned()) };
        let _ = act(&mut tree, copy);
        act(&mut tree, ItemCommand::Restore { item: ItemId::File(file) }).expect("restored");
        act(&mut tree, ItemCommand::Delete { item: *id }).expect("deleted");
        let name = row(&tree, ItemId::File(file)).expect("it is there").name;
        assert_eq!(name.as_str(), "a (restored).txt");
        act(&mut tree, rename(ItemId::File(file), "a.txt")).expect("renamed");
        act(&mut tree, ItemCommand::Delete { item: ItemId::File(file) }).expect("deleted");
    }
    let folder = tree.folder(None, "gone");
    let inside = tree.file(Some(folder), "inside", 1);
    act(&mut tree, ItemCommand::Delete { item: ItemId::File(inside) }).expect("deleted");
    act(&mut tree, ItemCommand::Delete { item: ItemId::Folder(folder) }).expect("deleted");
    act(&mut tree, ItemCommand::Restore { item: ItemId::File(inside) }).expect("restored");
    assert_eq!(row(&tree, ItemId::File(inside)).expect("it is there").parent, None);
}

#[test]
fn the_same_content_is_no_new_version_and_an_old_base_is_a_conflict() {
    let mut tree = Tree::new();
    let file = tree.file(None, "a", 1);
    let ann = tree.fixture.ann;
    let base = match row(&tree, ItemId::File(file)).expect("it is there").body {
        Body::File(file) => file.version_id,
        Body::Folder => panic!("a file"),
    };
    let to = |base| FileDestination::Replace { file, base };
    tree.commit(ann, to(Some(base)), 1).expect("taken");
    assert_eq!(version(&tree, file), 1);
    tree.commit(ann, to(Some(base)), 2).expect("taken");
    assert_eq!(version(&tree, file), 2);
    let late = tree.commit(ann, to(Some(base)), 3);
    assert!(matches!(late, Ok(Answer::Conflicted { .. })), "{late:?}");
    assert_eq!(version(&tree, file), 2);
    assert_eq!(usage(&tree).used_bytes, 2 + 3 + 4);
    assert_eq!(usage(&tree).version_bytes, 2);
    act(&mut tree, ItemCommand::RestoreVersion { file, number: 1 }).expect("restored");
    assert_eq!(version(&tree, file), 3);
    act(&mut tree, ItemCommand::DeleteVersion { file, number: 2 }).expect("pruned");
    let current = act(&mut tree, ItemCommand::DeleteVersion { file, number: 3 });
    assert!(matches!(current, Err(Refusal::Invalid { .. })));
    tree.fixture.pass(Duration::from_secs(366 * 24 * 3600));
    tree.fixture.run_node(Command::Upkeep(Upkeep::Expire { limit: 100 })).expect("expired");
    tree.check();
    assert_eq!(usage(&tree).version_bytes, 0);
}

#[test]
fn a_subtree_with_something_denied_is_neither_deleted_nor_copied() {
    let mut tree = Tree::new();
    let folder = tree.folder(None, "shared");
    let file = tree.file(Some(folder), "private", 1);
    let (ann, bob) = (tree.fixture.ann, tree.fixture.bob);
    let command = PermissionCommand::AddEntry {
        target: Target::Item(ItemId::File(file)),
        trustee: Trustee::User(bob),
        effect: Effect::Deny,
        permissions: PermissionSet::ALL,
        applies_to: AppliesTo::ThisOnly,
    };
    tree.fixture.run(ann, Command::Permission(command)).expect("ann may");
    let item = ItemId::Folder(folder);
    let to = tree.place(None);
    for command in [
        ItemCommand::Delete { item },
        ItemCommand::Copy { item, to, name: Some("copy".to_owned()) },
        ItemCommand::Move { item, to, name: Some("moved".to_owned()) },
    ] {
        assert_eq!(tree.run(bob, command), Err(Refusal::PermissionDenied));
    }
    let hidden = tree.run(bob, ItemCommand::Delete { item: ItemId::File(file) });
    assert_eq!(hidden, Err(Refusal::NotFound(crate::outcome::Noun::File)));
    act(&mut tree, ItemCommand::Delete { item }).expect("ann may");
}

#[test]
fn a_folder_moves_to_another_share_with_all_that_is_counted() {
    let mut tree = Tree::new();
    let folder = tree.folder(None, "f");
    let inner = tree.folder(Some(folder), "g");
    let file = tree.file(Some(inner), "a", 1);
    let ann = tree.fixture.ann;
    tree.commit(ann, FileDestination::Replace { file, base: None }, 2).expect("taken");
    let trashed = tree.file(Some(inner), "b", 3);
    act(&mut tree, ItemCommand::Delete { item: ItemId::File(trashed) }).expect("deleted");
    let share = tree.fixture.project(ann, "Other");
    let to = Place { share, parent: None };
    let item = ItemId::Folder(folder);
    act(&mut tree, ItemCommand::Move { item, to, name: None }).expect("moved");
    assert_eq!(usage(&tree), Usage::default());
    assert_eq!(row(&tree, ItemId::File(file)).expect("it is there").share, share);
    act(&mut tree, ItemCommand::Restore { item: ItemId::File(trashed) }).expect("restored");
    act(&mut tree, ItemCommand::Purge { item }).expect("purged");
    for _ in 0..10 {
        tree.fixture.run_node(Command::Upkeep(Upkeep::Release { limit: 1 })).expect("released");
        tree.check();
    }
    assert_eq!(tree.items(), []);
}

#[test]
fn a_batch_makes_folders_and_judges_each_file_alone() {
    let mut tree = Tree::new();
    let batch = |tree: &mut Tree| {
        let files = ["x/y/a", "x/y/b", "x/y/a", "x//c", "x/y"].into_iter().enumerate();
        let files = files.map(|(n, path)| BatchFile {
            client_ref: n.to_string(),
            target: BatchTarget::Path { folder: None, path: path.to_owned() },
            content: tree.content(u8::try_from(n).expect("few")),
        });
        let files = files.collect();
        let place = tree.place(None);
        match act(tree, ItemCommand::CommitFiles { place, files }) {
            Ok(Answer::CommittedBatch { results, .. }) => results
                .into_iter()
                .map(|result| match result.status {
                    BatchStatus::Created(_) => "created",
                    BatchStatus::Replaced(_) => "replaced",
                    BatchStatus::Conflict(..) => "conflict",
                    BatchStatus::Rejected(_) => "rejected",
                })
                .collect::<Vec<_>>(),
            other => panic!("{other:?}"),
        }
    };
    let first = batch(&mut tree);
    assert_eq!(first, ["created", "created", "rejected", "rejected", "rejected"]);
    let again = batch(&mut tree);
    assert_eq!(again, ["replaced", "replaced", "rejected", "rejected", "rejected"]);
    let gone = NewChunk { written: None, ..tree.content(99).chunks[0] };
    let content = NewContent { chunks: vec![gone], ..tree.content(99) };
    let target = BatchTarget::Path { folder: None, path: "z/q".to_owned() };
    let files = vec![BatchFile { client_ref: String::new(), target, content }];
    let place = tree.place(None);
    let outcome = act(&mut tree, ItemCommand::CommitFiles { place, files });
    assert!(matches!(outcome, Ok(Answer::CommittedBatch { .. })));
    assert!(tree.items().iter().all(|(_, item)| item.name.as_str() != "z"), "nothing is left");
}

#[test]
fn what_is_in_the_trash_too_long_is_removed() {
    let mut tree = Tree::new();
    let folder = tree.folder(None, "f");
    tree.file(Some(folder), "a", 1);
    act(&mut tree, ItemCommand::Delete { item: ItemId::Folder(folder) }).expect("deleted");
    tree.fixture.pass(Duration::from_secs(31 * 24 * 3600));
    tree.fixture.run_node(Command::Upkeep(Upkeep::Expire { limit: 10 })).expect("expired");
    tree.fixture.run_node(Command::Upkeep(Upkeep::Release { limit: 10 })).expect("released");
    tree.check();
    assert_eq!(tree.items(), []);
    assert_eq!(usage(&tree), Usage::default());
}

/// A share that keeps its trash for a shorter time loses it earlier, and its tenant's being tighter
/// still counts.
#[test]
fn a_share_keeps_its_trash_as_long_as_it_says_or_its_tenant() {
    let mut tree = Tree::new();
    let (ann, root) = (tree.fixture.ann, tree.fixture.root);
    let set = |share, days| {
        let (name, description, is_public, quota_bytes) = (None, None, None, None);
        let settings =
            Some(ShareSettingsChange { trash_retention_days: Some(days), ..Default::default() });
        Command::Share(ShareCommand::Update {
            share,
            name,
            description,
            is_public,
            settings,
            quota_bytes,
        })
    };
    let delete = |tree: &mut Tree, name: &str| {
        let folder = tree.folder(None, name);
        act(tree, ItemCommand::Delete { item: ItemId::Folder(folder) }).expect("deleted");
    };
    let left_after = |tree: &mut Tree, days: u64| {
        tree.fixture.pass(Duration::from_secs(days * 24 * 3600 + 1));
        tree.fixture.run_node(Command::Upkeep(Upkeep::Expire { limit: 10 })).expect("expired");
        tree.fixture.run_node(Command::Upkeep(Upkeep::Release { limit: 10 })).expect("released");
        tree.check();
        tree.items().len()
    };
    let share = tree.fixture.share;
    let wider = tree.fixture.run(ann, set(share, Some(31)));
    assert!(matches!(wider, Err(Refusal::Invalid { .. })));
    tree.fixture.run(ann, set(share, Some(7))).expect("ann may");
    delete(&mut tree, "a");
    assert_eq!([left_after(&mut tree, 6), left_after(&mut tree, 1)], [1, 0]);
    let settings =
        Some(TenantSettingsChange { trash_retention_days: Some(2), ..Default::default() });
    let (tenant, display_name, standing) = (tree.fixture.tenant, None, None);
    let tighter = People::UpdateTenant { tenant, display_name, standing, settings };
    tree.fixture.run(root, Command::People(tighter)).expect("root may");
    delete(&mut tree, "b");
    assert_eq!([left_after(&mut tree, 1), left_after(&mut tree, 1)], [1, 0]);
    tree.fixture.run(ann, set(share, None)).expect("ann may");
    delete(&mut tree, "c");
    assert_eq!([left_after(&mut tree, 1), left_after(&mut tree, 1)], [1, 0]);
}

#[test]
fn names_given_under_one_policy_meet_those_given_under_the_other() {
    let mut tree = Tree::new();
    let share = tree.fixture.share;
    let set = |tree: &mut Tree, name_policy| {
        let settings = Some(ShareSettingsChange {
            name_policy: Some(name_policy),
            ..ShareSettingsChange::default()
        });
        let (name, description, is_public, quota_bytes) = (None, None, None, None);
        let update =
            ShareCommand::Update { share, name, description, is_public, settings, quota_bytes };
        let ann = tree.fixture.ann;
        tree.fixture.run(ann, Command::Share(update)).expect("ann may");
    };
    let make = |tree: &mut Tree, name: &str| {
        let place = tree.place(None);
        act(tree, ItemCommand::CreateFolder { place, name: name.to_owned() }).is_ok()
    };
    assert!(make(&mut tree, "Old"));
    set(&mut tree, NamePolicy::Any);
    assert_eq!(
        ["Old", "old", "a", "A", "con"].map(|name| make(&mut tree, name)),
        [false, true, true, true, true]
    );
    set(&mut tree, NamePolicy::Portable);
    assert_eq!(
        ["OLD", "A", "CON", "b"].map(|name| make(&mut tree, name)),
        [false, false, false, true]
    );
    for (id, item) in tree.items() {
        act(&mut tree, rename(id, &format!("{}.x", super::place::text(id))))
            .expect("any can be renamed");
        assert_ne!(row(&tree, id).expect("it is there").name, item.name);
    }
}
