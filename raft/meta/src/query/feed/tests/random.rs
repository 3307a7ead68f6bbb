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

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn who_follows_has_what_they_may_read(acts in vec(acts(), 1..60)) {
        check(&acts);
    }
}
