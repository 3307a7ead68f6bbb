//! Random changes of a tree and of who may see what in it, followed by clients that lag.

use node_base::{Duration, PermissionSet, Role, UserId};
use proptest::collection::vec;
use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop_oneof, proptest};

use super::follower::{Follower, Tree};
use crate::command::{
    Command, EntryFilter, FileDestination, ItemCommand, PermissionCommand, Place, ShareCommand,
    Upkeep,
};
use crate::table::acl::{AppliesTo, Effect, Target, Trustee};
use crate::table::item::{ItemId, Parent};
use crate::table::people::Principal;

/// A change; numbers choose among what there is.
#[derive(Debug, Clone)]
enum Act {
    Folder { parent: u8, name: u8 },
    File { parent: u8, name: u8, content: u8 },
    Replace { item: u8, content: u8 },
    Rename { item: u8, name: u8 },
    Move { item: u8, parent: u8 },
    Copy { item: u8, parent: u8, name: u8 },
    Delete(u8),
    Restore(u8),
    Purge(u8),
    Entry { item: u8, who: u8, allow: bool, applies: u8 },
    NoEntry { item: u8, who: u8, allow: bool },
    Inherit { item: u8, inherit: bool, copy: bool },
    Member { join: bool },
    Release,
    Poll { who: u8, limit: u8 },
}

fn acts() -> impl Strategy<Value = Act> {
    let n = || any::<u8>();
    let name = || 0..4u8;
    prop_oneof![
        3 => (n(), name()).prop_map(|(parent, name)| Act::Folder { parent, name }),
        2 => (n(), name(), 0..3u8)
            .prop_map(|(parent, name, content)| Act::File { parent, name, content }),
        1 => (n(), 0..3u8).prop_map(|(item, content)| Act::Replace { item, content }),
        1 => (n(), name()).prop_map(|(item, name)| Act::Rename { item, name }),
        3 => (n(), n()).prop_map(|(item, parent)| Act::Move { item, parent }),
        1 => (n(), n(), name()).prop_map(|(item, parent, name)| Act::Copy { item, parent, name }),
        2 => n().prop_map(Act::Delete),
        2 => n().prop_map(Act::Restore),
        1 => n().prop_map(Act::Purge),
        3 => (n(), 0..3u8, any::<bool>(), 0..3u8)
            .prop_map(|(item, who, allow, applies)| Act::Entry { item, who, allow, applies }),
        2 => (n(), 0..3u8, any::<bool>())
            .prop_map(|(item, who, allow)| Act::NoEntry { item, who, allow }),
        2 => (n(), any::<bool>(), any::<bool>())
            .prop_map(|(item, inherit, copy)| Act::Inherit { item, inherit, copy }),
        1 => any::<bool>().prop_map(|join| Act::Member { join }),
        1 => Just(Act::Release),
        3 => (0..3u8, 1..4u8).prop_map(|(who, limit)| Act::Poll { who, limit }),
    ]
}

fn name(n: u8) -> String {
    ["a", "B", "c.txt", "d"][usize::from(n) % 4].to_owned()
}

/// What there is to choose from.
struct Choice {
    items: Vec<ItemId>,
    folders: Vec<Parent>,
}

impl Choice {
    fn of(tree: &Tree) -> Self {
        let items: Vec<ItemId> = tree.items().into_iter().map(|(id, _)| id).collect();
        let folders = items.iter().filter_map(|id| match id {
            ItemId::Folder(folder) => Some(Some(*folder)),
            ItemId::File(_) => None,
        });
        let folders = std::iter::once(None).chain(folders).collect();
        Self { items, folders }
    }

    fn item(&self, n: u8) -> Option<ItemId> {
        self.items.get(usize::from(n) % self.items.len().max(1)).copied()
    }

    fn place(&self, tree: &Tree, n: u8) -> Place {
        let parent = self.folders[usize::from(n) % self.folders.len()];
        Place { share: tree.fixture.share, parent }
    }
}

/// Runs an act as Ann, who may do everything; what is refused changes nothing.
fn perform(tree: &mut Tree, act: &Act, followers: &mut [Follower]) {
    let choice = Choice::of(tree);
    let ann = tree.fixture.ann;
    let command = match act {
        Act::Poll { who, limit } => {
            let follower = &mut followers[usize::from(*who) % followers.len()];
            follower.follow(tree, usize::from(*limit));
            return;
        }
        Act::Release => {
            let _ = tree.fixture.run_node(Command::Upkeep(Upkeep::Release { limit: 3 }));
            return;
        }
        Act::Member { join } => member(tree, *join),
        Act::Entry { item, .. } | Act::NoEntry { item, .. } | Act::Inherit { item, .. } => {
            let target = match choice.item(*item) {
                Some(id) if item % 8 != 0 => Target::Item(id),
                _ => Target::Share(tree.fixture.share),
            };
            let readers = [tree.fixture.bob, tree.fixture.cleo];
            Command::Permission(rights(act, target, |n| readers[usize::from(n) % 2]))
        }
        Act::File { .. } | Act::Replace { .. } => {
            if let Some((to, content)) = content(tree, act, &choice) {
                let _ = tree.commit(ann, to, content);
            }
            return;
        }
        _ => match moves(tree, act, &choice) {
            Some(command) => Command::Item(command),
            None => return,
        },
    };
    tree.fixture.pass(Duration::from_secs(1));
    let _ = tree.fixture.run(ann, command);
}

fn member(tree: &Tree, join: bool) -> Command {
    let (share, principal) = (tree.fixture.share, Principal::User(tree.fixture.cleo));
    Command::Share(if join {
        ShareCommand::AddMember { share, principal, role: Role::Reader, expires_at: None }
    } else {
        ShareCommand::RemoveMember { share, principal }
    })
}

fn content(tree: &Tree, act: &Act, choice: &Choice) -> Option<(FileDestination, u8)> {
    match act {
        Act::File { parent, name: n, content } => {
            let place = choice.place(tree, *parent);
            Some((FileDestination::New { place, name: name(*n) }, *content))
        }
        Act::Replace { item, content } => match choice.item(*item)? {
            ItemId::File(file) => Some((FileDestination::Replace { file, base: None }, *content)),
            ItemId::Folder(_) => None,
        },
        _ => None,
    }
}

fn moves(tree: &Tree, act: &Act, choice: &Choice) -> Option<ItemCommand> {
    let place = |n: u8| choice.place(tree, n);
    let item = |n: u8| choice.item(n);
    Some(match act {
        Act::Folder { parent, name: n } => {
            ItemCommand::CreateFolder { place: place(*parent), name: name(*n) }
        }
        Act::Rename { item: n, name: to } => ItemCommand::Update {
            item: item(*n)?,
            name: Some(name(*to)),
            client_modified_at: None,
            executable: None,
            restore: false,
        },
        Act::Move { item: n, parent } => {
            ItemCommand::Move { item: item(*n)?, to: place(*parent), name: None }
        }
        Act::Copy { item: n, parent, name: to } => {
            ItemCommand::Copy { item: item(*n)?, to: place(*parent), name: Some(name(*to)) }
        }
        Act::Delete(n) => ItemCommand::Delete { item: item(*n)? },
        Act::Restore(n) => ItemCommand::Restore { item: item(*n)? },
        Act::Purge(n) => ItemCommand::Purge { item: item(*n)? },
        _ => return None,
    })
}

fn rights(act: &Act, target: Target, who: impl Fn(u8) -> UserId) -> PermissionCommand {
    let effect = |allow: bool| if allow { Effect::Allow } else { Effect::Deny };
    match act {
        Act::Entry { who: n, allow, applies, .. } => PermissionCommand::AddEntry {
            target,
            trustee: Trustee::User(who(n % 2)),
            effect: effect(*allow),
            permissions: PermissionSet::READ,
            applies_to: [AppliesTo::ThisAndChildren, AppliesTo::ThisOnly, AppliesTo::ChildrenOnly]
                [usize::from(*applies) % 3],
        },
        Act::NoEntry { who: n, allow, .. } => PermissionCommand::RemoveEntries {
            target,
            which: EntryFilter::Of(Trustee::User(who(n % 2)), effect(*allow)),
        },
        Act::Inherit { inherit, copy, .. } => PermissionCommand::SetInheritance {
            target,
            inherit: *inherit,
            copy_inherited: *copy,
            keep_caller: true,
        },
        _ => unreachable!("only acts on rights come here"),
    }
}

fn check(acts: &[Act]) {
    let mut tree = Tree::new();
    let share = tree.fixture.share;
    let readers = [tree.fixture.bob, tree.fixture.cleo, tree.fixture.ann];
    let mut followers = readers.map(|user| Follower::new(user, share));
    for act in acts {
        perform(&mut tree, act, &mut followers);
    }
    tree.check();
    for follower in &mut followers {
        follower.catch_up(&tree);
        assert_eq!(follower.known, tree.seen(follower.user, share), "followed {}", follower.user);
        let walked = super::follower::snapshot(&tree, follower.user, share, None);
        assert_eq!(walked, follower.known, "walked {}", follower.user);
    }
}

// What random changes once found, as they were cut down.

#[test]
fn a_file_moved_out_of_sight_and_then_closed() {
    check(&[
        Act::Folder { parent: 0, name: 0 },
        Act::File { parent: 0, name: 1, content: 0 },
        Act::Inherit { item: 126, inherit: false, copy: false },
        Act::Replace { item: 0, content: 0 },
        Act::Poll { who: 0, limit: 2 },
        Act::File { parent: 0, name: 2, content: 0 },
        Act::Move { item: 142, parent: 31 },
        Act::Inherit { item: 25, inherit: false, copy: false },
    ]);
}

#[test]
fn a_closed_folder_moves_after_its_parent_was_opened() {
    check(&[
        Act::Folder { parent: 0, name: 0 },
        Act::Folder { parent: 0, name: 1 },
        Act::Inherit { item: 20, inherit: false, copy: false },
        Act::Purge(29),
        Act::Folder { parent: 28, name: 2 },
        Act::Folder { parent: 19, name: 0 },
        Act::Folder { parent: 73, name: 1 },
        Act::Release,
        Act::Entry { item: 217, who: 2, allow: false, applies: 1 },
        Act::Copy { item: 4, parent: 3, name: 0 },
        Act::Poll { who: 0, limit: 2 },
        Act::File { parent: 0, name: 1, content: 0 },
        Act::Poll { who: 0, limit: 3 },
        Act::Entry { item: 162, who: 0, allow: true, applies: 0 },
        Act::Move { item: 82, parent: 135 },
    ]);
}

#[test]
fn a_member_joins_after_an_entry_gave_the_same() {
    check(&[
        Act::Folder { parent: 0, name: 0 },
        Act::Folder { parent: 0, name: 0 },
        Act::Folder { parent: 0, name: 0 },
        Act::Member { join: true },
        Act::Member { join: false },
        Act::Poll { who: 1, limit: 1 },
        Act::Entry { item: 56, who: 1, allow: true, applies: 0 },
        Act::Move { item: 0, parent: 0 },
        Act::Member { join: true },
    ]);
}

#[test]
fn a_file_closed_and_then_moved_out_of_sight() {
    check(&[
        Act::File { parent: 0, name: 2, content: 0 },
        Act::Copy { item: 0, parent: 0, name: 0 },
        Act::Poll { who: 0, limit: 2 },
        Act::Folder { parent: 0, name: 1 },
        Act::Inherit { item: 33, inherit: false, copy: false },
        Act::File { parent: 103, name: 1, content: 0 },
        Act::Purge(53),
        Act::Entry { item: 52, who: 2, allow: false, applies: 0 },
        Act::Copy { item: 81, parent: 0, name: 2 },
        Act::Move { item: 132, parent: 76 },
        Act::Folder { parent: 0, name: 0 },
    ]);
}

#[test]
fn a_closed_folder_goes_before_the_folder_it_was_in() {
    check(&[
        Act::Folder { parent: 0, name: 0 },
        Act::Folder { parent: 103, name: 0 },
        Act::Folder { parent: 179, name: 0 },
        Act::Entry { item: 35, who: 2, allow: false, applies: 1 },
        Act::Copy { item: 0, parent: 0, name: 1 },
        Act::Delete(3),
        Act::Folder { parent: 0, name: 0 },
        Act::Purge(39),
        Act::Folder { parent: 189, name: 1 },
        Act::Release,
        Act::Copy { item: 2, parent: 148, name: 0 },
        Act::Poll { who: 0, limit: 2 },
        Act::Folder { parent: 0, name: 2 },
        Act::Copy { item: 0, parent: 35, name: 0 },
        Act::Purge(158),
        Act::Folder { parent: 89, name: 0 },
        Act::Purge(228),
    ]);
}

#[test]
fn a_restored_file_moves_into_what_is_closed_later() {
    check(&[
        Act::File { parent: 0, name: 3, content: 0 },
        Act::Copy { item: 0, parent: 0, name: 0 },
        Act::File { parent: 0, name: 1, content: 0 },
        Act::Purge(13),
        Act::Folder { parent: 0, name: 2 },
        Act::Delete(25),
        Act::Folder { parent: 71, name: 1 },
        Act::Purge(103),
        Act::Entry { item: 165, who: 1, allow: true, applies: 2 },
        Act::File { parent: 188, name: 0, content: 0 },
        Act::Move { item: 123, parent: 31 },
        Act::Restore(14),
        Act::Poll { who: 1, limit: 1 },
        Act::Move { item: 86, parent: 20 },
        Act::Poll { who: 1, limit: 3 },
        Act::File { parent: 56, name: 0, content: 0 },
        Act::Poll { who: 1, limit: 1 },
        Act::Inherit { item: 66, inherit: false, copy: false },
        Act::Folder { parent: 0, name: 0 },
    ]);
}

#[test]
fn a_closed_folder_goes_after_the_folder_it_is_in_was_closed() {
    check(&[
        Act::Folder { parent: 0, name: 0 },
        Act::Folder { parent: 0, name: 1 },
        Act::Move { item: 103, parent: 205 },
        Act::File { parent: 0, name: 2, content: 0 },
        Act::File { parent: 65, name: 0, content: 0 },
        Act::Entry { item: 33, who: 2, allow: false, applies: 1 },
        Act::Poll { who: 0, limit: 2 },
        Act::Folder { parent: 3, name: 1 },
        Act::Poll { who: 0, limit: 2 },
        Act::Copy { item: 32, parent: 31, name: 0 },
        Act::Inherit { item: 114, inherit: false, copy: false },
        Act::Purge(43),
        Act::Release,
    ]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn who_follows_has_what_they_may_read(acts in vec(acts(), 1..60)) {
        check(&acts);
    }
}
