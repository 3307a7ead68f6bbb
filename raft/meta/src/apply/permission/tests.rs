//! Lists that are changed, cut off, copied and given away: by the real commands, and at random.

use node_base::{AceId, Permission, PermissionSet, Role, ShareId, UserId};

use crate::access::{Extent, Pass, Viewer};
use crate::command::{
    Command, EntryFilter, ItemCommand, People, PermissionCommand, Place, ShareCommand,
};
use crate::fixture::Fixture;
use crate::outcome::{Answer, Noun, Outcome, Refusal};
use crate::query;
use crate::query::feed::Since;
use crate::query::snapshot::Snapshot;
use crate::table::acl::{AppliesTo, Effect, Listed, Lists, Named, Target, Trustee};
use crate::table::audit::Events;
use crate::table::change::{ChangeKind, Changes, ShareFeeds};
use crate::table::item::{Children, ItemId, Items};
use crate::table::people::Principal;
use crate::table::{self};

const NONE: PermissionSet = PermissionSet::NONE;
const MANAGE: Permission = Permission::ManagePermissions;

fn folder(fixture: &mut Fixture, user: UserId, parent: Option<ItemId>, name: &str) -> ItemId {
    let parent = match parent {
        Some(ItemId::Folder(folder)) => Some(folder),
        _ => None,
    };
    let place = Place { share: fixture.share, parent };
    let create = ItemCommand::CreateFolder { place, name: name.to_owned() };
    match fixture.run(user, Command::Item(create)) {
        Ok(Answer::Item(view)) => view.id,
        other => panic!("a folder, not {other:?}"),
    }
}

fn run(fixture: &mut Fixture, user: UserId, command: PermissionCommand) -> Outcome {
    fixture.run(user, Command::Permission(command))
}

fn add(
    target: Target,
    trustee: Trustee,
    effect: Effect,
    permissions: impl Into<PermissionSet>,
) -> PermissionCommand {
    let (permissions, applies_to) = (permissions.into(), AppliesTo::ThisAndChildren);
    PermissionCommand::AddEntry { target, trustee, effect, permissions, applies_to }
}

fn cut(target: Target, copy_inherited: bool, keep_caller: bool) -> PermissionCommand {
    PermissionCommand::SetInheritance { target, inherit: false, copy_inherited, keep_caller }
}

fn last_change(fixture: &Fixture) -> crate::table::change::Change {
    let key = (fixture.tenant, fixture.share);
    let feed = table::get::<ShareFeeds>(&fixture.tables, &key).expect("memory").expect("rows");
    let key = (fixture.tenant, fixture.share, feed.last);
    table::get::<Changes>(&fixture.tables, &key).expect("memory").expect("the last")
}

#[test]
fn an_entry_is_added_replaced_and_removed_with_all_that_repeats_it() {
    let mut fixture = Fixture::new();
    let (ann, bob, cleo) = (fixture.ann, fixture.bob, fixture.cleo);
    let item = folder(&mut fixture, ann, None, "plans");
    let (target, trustee) = (Target::Item(item), Trustee::User(cleo));
    let allow = |bits: PermissionSet| add(target, trustee, Effect::Allow, bits);
    assert_eq!(fixture.mask(cleo, Some(item)), NONE);
    let Ok(Answer::Entry(id)) = run(&mut fixture, ann, allow(PermissionSet::ALL)) else {
        panic!("an entry")
    };
    assert_eq!(fixture.mask(cleo, Some(item)), PermissionSet::ALL);
    let change = last_change(&fixture);
    let before = change.before.expect("what was before");
    assert_eq!(
        (change.kind, before.entries.len(), before.inherits),
        (ChangeKind::Permissions, 0, true)
    );
    assert_eq!(run(&mut fixture, ann, allow(PermissionSet::READ)), Ok(Answer::Entry(id)));
    assert_eq!(fixture.mask(cleo, Some(item)), PermissionSet::READ);
    assert_eq!(last_change(&fixture).before.map(|before| before.entries.len()), Some(1));
    let t = fixture.tenant;
    let rows = |fixture: &Fixture| {
        let children = table::all::<Children>(&fixture.tables, &(t, fixture.share));
        let own = children.expect("memory").iter().any(|(_, child)| child.own_permissions);
        let listed = table::all::<Listed>(&fixture.tables, &(t,)).expect("memory").len();
        let named = table::all::<Named>(&fixture.tables, &(t, trustee)).expect("memory").len();
        let lists = table::all::<Lists>(&fixture.tables, &(t,)).expect("memory").len();
        (own, listed, named, lists)
    };
    assert_eq!(rows(&fixture), (true, 1, 1, 1));
    let remove = |which| PermissionCommand::RemoveEntries { target, which };
    let by_id = remove(EntryFilter::Id(id));
    assert_eq!(run(&mut fixture, bob, by_id.clone()), Err(Refusal::PermissionDenied));
    assert_eq!(run(&mut fixture, ann, by_id.clone()), Ok(Answer::Done));
    assert_eq!(rows(&fixture), (false, 0, 0, 0));
    assert_eq!(fixture.mask(cleo, Some(item)), NONE);
    assert_eq!(run(&mut fixture, ann, by_id), Err(Refusal::NotFound(Noun::Entry)));
    for effect in [Effect::Allow, Effect::Deny] {
        assert!(run(&mut fixture, ann, add(target, trustee, effect, Permission::Read)).is_ok());
    }
    let of = remove(EntryFilter::Of(trustee, Effect::Deny));
    assert_eq!(run(&mut fixture, ann, of), Ok(Answer::Done));
    assert_eq!(fixture.mask(cleo, Some(item)), PermissionSet::READ);
}

#[test]
fn what_cannot_be_an_entry_is_refused() {
    let mut fixture = Fixture::new();
    let (ann, cleo) = (fixture.ann, fixture.cleo);
    let target = Target::Item(folder(&mut fixture, ann, None, "plans"));
    let stranger = Trustee::User(UserId::from(99));
    let everyone = Trustee::Everyone;
    let this_only = PermissionCommand::AddEntry {
        target,
        trustee: Trustee::CreatorOwner,
        effect: Effect::Allow,
        permissions: PermissionSet::READ,
        applies_to: AppliesTo::ThisOnly,
    };
    for command in [
        add(target, everyone, Effect::Allow, NONE),
        add(target, stranger, Effect::Allow, Permission::Read),
        this_only,
        cut(Target::Share(fixture.share), false, true),
    ] {
        let outcome = run(&mut fixture, ann, command);
        assert!(matches!(outcome, Err(Refusal::Invalid { .. })), "{outcome:?}");
    }
    // To who may do nothing here, nothing is here.
    let allow = add(target, everyone, Effect::Allow, Permission::Read);
    assert_eq!(run(&mut fixture, cleo, allow), Err(Refusal::NotFound(Noun::Folder)));
}

#[test]
fn a_private_folder_is_cut_off_and_its_owner_is_not() {
    let mut fixture = Fixture::new();
    let (ann, bob, cleo) = (fixture.ann, fixture.bob, fixture.cleo);
    let (share, admin) = (fixture.share, Role::Admin);
    fixture.join(share, cleo, admin);
    let item = folder(&mut fixture, bob, None, "private");
    let target = Target::Item(item);
    assert_eq!(run(&mut fixture, bob, cut(target, false, true)), Ok(Answer::Done));
    assert_eq!(fixture.mask(bob, Some(item)), PermissionSet::ALL);
    // Owner and administrators of the share may change the list, and see nothing else.
    assert_eq!(fixture.mask(ann, Some(item)), MANAGE.into());
    assert_eq!(fixture.mask(cleo, Some(item)), MANAGE.into());
    assert_eq!(fixture.mask(fixture.root, Some(item)), PermissionSet::ALL);
    let listed = query::permission::acl(&fixture.tables, &fixture.viewer(cleo), target);
    assert_eq!(listed.expect("memory").expect("may").entries.len(), 1);
    let on = PermissionCommand::SetInheritance {
        target,
        inherit: true,
        copy_inherited: false,
        keep_caller: false,
    };
    assert_eq!(run(&mut fixture, cleo, on), Ok(Answer::Done));
    assert_eq!(fixture.mask(ann, Some(item)), PermissionSet::ALL);
    assert_eq!(run(&mut fixture, bob, cut(target, false, false)), Ok(Answer::Done));
    let own = table::all::<Lists>(&fixture.tables, &(fixture.tenant,)).expect("memory");
    assert_eq!(own[0].1.len(), 1, "the entry from before");
}

#[test]
fn copies_of_memberships_end_and_change_with_them() {
    let mut fixture = Fixture::new();
    let (ann, bob, share) = (fixture.ann, fixture.bob, fixture.share);
    let item = folder(&mut fixture, ann, None, "plans");
    let before = fixture.mask(bob, Some(item));
    assert_eq!(run(&mut fixture, ann, cut(Target::Item(item), true, true)), Ok(Answer::Done));
    assert_eq!(fixture.mask(bob, Some(item)), before);
    let principal = Principal::User(bob);
    let (role, expires_at) = (Some(Role::Reader), None);
    let demote = ShareCommand::UpdateMember { share, principal, role, expires_at };
    assert!(fixture.run(ann, Command::Share(demote)).is_ok());
    assert_eq!(fixture.mask(bob, Some(item)), PermissionSet::READ);
    let remove = ShareCommand::RemoveMember { share, principal };
    assert!(fixture.run(ann, Command::Share(remove)).is_ok());
    assert_eq!(fixture.mask(bob, Some(item)), NONE);
}

#[test]
fn an_item_is_given_to_another_user() {
    let mut fixture = Fixture::new();
    let (ann, bob, cleo, root) = (fixture.ann, fixture.bob, fixture.cleo, fixture.root);
    let item = folder(&mut fixture, bob, None, "plans");
    let target = Target::Item(item);
    let give = |to| PermissionCommand::TransferOwnership { target, new_owner: to };
    let to_cleo = give(Principal::User(cleo));
    assert_eq!(run(&mut fixture, cleo, to_cleo.clone()), Err(Refusal::NotFound(Noun::Folder)));
    assert_eq!(run(&mut fixture, ann, to_cleo.clone()), Err(Refusal::OwnerOnly));
    assert_eq!(run(&mut fixture, bob, to_cleo), Ok(Answer::Done));
    // An owner who is no member may not even change the list.
    assert_eq!(fixture.mask(cleo, Some(item)), NONE);
    assert!(!fixture.mask(bob, Some(item)).contains(MANAGE));
    assert_eq!(last_change(&fixture).before.and_then(|before| before.owner), Some(bob));
    let to_ann = give(Principal::User(ann));
    assert_eq!(run(&mut fixture, root, to_ann), Ok(Answer::Done));
    let row = table::get::<Items>(&fixture.tables, &(fixture.tenant, item)).expect("memory");
    assert_eq!(row.map(|row| row.owner), Some(ann));
}

#[test]
fn a_share_is_given_away_and_its_owner_stays_as_administrator() {
    let mut fixture = Fixture::new();
    let (ann, bob, share) = (fixture.ann, fixture.bob, fixture.share);
    let target = Target::Share(share);
    let new_owner = Principal::User(bob);
    let give = PermissionCommand::TransferOwnership { target, new_owner };
    assert_eq!(run(&mut fixture, bob, give.clone()), Err(Refusal::OwnerOnly));
    assert_eq!(run(&mut fixture, ann, give), Ok(Answer::Done));
    let members = query::share::members(&fixture.tables, &fixture.viewer(ann), share, 0, 10);
    let members = members.expect("memory").expect("a member").items;
    let roles: Vec<_> = members.iter().map(|m| (m.name.as_str(), m.member.role)).collect();
    assert_eq!(roles, [("ann", Role::Admin), ("bob", Role::Owner)]);
    let delete = |fixture: &mut Fixture, user| {
        fixture.run(user, Command::Share(ShareCommand::Delete { share }))
    };
    assert_eq!(delete(&mut fixture, ann), Err(Refusal::OwnerOnly));
    assert_eq!(delete(&mut fixture, bob), Ok(Answer::Share(share)));
}

#[test]
fn a_pass_by_role_alone_is_recorded() {
    let mut fixture = Fixture::new();
    let (ann, root) = (fixture.ann, fixture.root);
    let item = folder(&mut fixture, ann, None, "plans");
    let overrides = |fixture: &Fixture| {
        let events = table::all::<Events>(&fixture.tables, &(fixture.tenant,)).expect("memory");
        let is_one = |action: &str| action == "permission.overridden";
        events.iter().filter(|(_, event)| is_one(&event.action)).count()
    };
    let target = Target::Item(item);
    let note = |permission| {
        let pass = Pass { target, permission, extent: Extent::Itself };
        PermissionCommand::NotePasses { passes: vec![pass] }
    };
    assert_eq!(run(&mut fixture, ann, note(Permission::Read)), Ok(Answer::Done));
    assert_eq!(overrides(&fixture), 0);
    assert_eq!(run(&mut fixture, root, note(Permission::Read)), Ok(Answer::Done));
    assert_eq!(overrides(&fixture), 1);
    let allow = add(target, Trustee::User(root), Effect::Allow, PermissionSet::ALL);
    assert!(run(&mut fixture, root, allow).is_ok());
    assert_eq!(overrides(&fixture), 2);
    assert_eq!(run(&mut fixture, root, note(Permission::Read)), Ok(Answer::Done));
    assert_eq!(overrides(&fixture), 2);
    let below = Pass { target, permission: Permission::Read, extent: Extent::Below };
    let gone = Pass { target: Target::Share(ShareId::from(9)), ..below };
    let listed = PermissionCommand::NotePasses { passes: vec![below, gone] };
    assert_eq!(run(&mut fixture, ann, listed.clone()), Err(Refusal::PermissionDenied));
    assert_eq!(run(&mut fixture, root, listed), Ok(Answer::Done));
    assert_eq!(overrides(&fixture), 3, "what is gone is not told of");
    let many = PermissionCommand::NotePasses { passes: vec![below; 1_001] };
    assert!(matches!(run(&mut fixture, root, many), Err(Refusal::Invalid { .. })));
}

/// What an administrator's question notes.
fn noted(fixture: &Fixture, ask: impl FnOnce(&Viewer)) -> Vec<(Target, Extent)> {
    let viewer = fixture.viewer(fixture.root);
    ask(&viewer);
    viewer.into_passes().into_iter().map(|pass| (pass.target, pass.extent)).collect()
}

#[test]
fn questions_note_what_the_lists_would_not_have_shown() {
    let mut fixture = Fixture::new();
    let (ann, root, share) = (fixture.ann, fixture.root, fixture.share);
    fixture.join(share, root, Role::Reader);
    let open = folder(&mut fixture, ann, None, "open");
    let closed = folder(&mut fixture, ann, None, "closed");
    let target = Target::Item(closed);
    assert!(run(&mut fixture, ann, cut(target, false, true)).is_ok());
    let tables = &fixture.tables;
    let item = |id| noted(&fixture, |viewer| drop(query::item::get(tables, viewer, id)));
    assert_eq!(item(open), []);
    assert_eq!(item(closed), [(target, Extent::Itself)]);
    let root_target = Target::Share(share);
    let listing = query::children::Listing {
        share,
        parent: None,
        include_deleted: false,
        sort: query::children::Sort::Name,
        descending: false,
        offset: 0,
        limit: 10,
    };
    let list =
        |listing| noted(&fixture, |viewer| drop(query::children::page(tables, viewer, &listing)));
    assert_eq!(list(listing), [(root_target, Extent::Below)]);
    let behind = query::children::Listing { offset: 1, ..listing };
    assert_eq!(list(behind), [], "the closed one comes first, and is not shown");
    let walked = noted(&fixture, |viewer| {
        let mut walk = Snapshot::begin(tables, viewer, share, None).expect("it is seen");
        while !walk.page(tables, viewer, 1).expect("memory").is_empty() {}
    });
    assert_eq!(walked, [(root_target, Extent::Below)]);
    let followed = noted(&fixture, |viewer| {
        let stream = query::feed::Stream::Share(share);
        let all = query::feed::changes(tables, viewer, stream, Since::Beginning, 100);
        assert!(!all.expect("it is seen").changes.is_empty());
    });
    assert_eq!(followed, [(root_target, Extent::Below)]);
    let acl = noted(&fixture, |viewer| {
        drop(query::permission::acl(tables, viewer, target).expect("memory"));
    });
    assert_eq!(acl, [(target, Extent::Itself)]);
}

#[test]
fn group_changes_are_told_to_the_groups_shares() {
    let mut fixture = Fixture::new();
    let (ann, cleo, root, share) = (fixture.ann, fixture.cleo, fixture.root, fixture.share);
    let create = People::CreateGroup { name: "crew".to_owned(), description: String::new() };
    let Ok(Answer::Group(group)) = fixture.run(root, Command::People(create)) else {
        panic!("a group")
    };
    let (principal, role, expires_at) = (Principal::Group(group), Role::Reader, None);
    let join = ShareCommand::AddMember { share, principal, role, expires_at };
    assert!(fixture.run(ann, Command::Share(join)).is_ok());
    let read = |fixture: &Fixture| {
        let change = last_change(fixture);
        let chain = crate::chain::Chain::root(&fixture.tables, fixture.tenant, share);
        let chain = chain.expect("memory").expect("there");
        let (viewer, before) = (fixture.viewer(cleo), change.before.expect("before"));
        let could = viewer.could_read(&fixture.tables, &chain, change.target, &before);
        (could.expect("memory"), fixture.mask(cleo, None).contains(Permission::Read))
    };
    let add = People::AddToGroup { group, user: cleo };
    assert_eq!(fixture.run(root, Command::People(add)), Ok(Answer::Done));
    assert_eq!(read(&fixture), (false, true));
    let delete = People::DeleteGroup { group };
    assert_eq!(fixture.run(root, Command::People(delete)), Ok(Answer::Done));
    assert_eq!(read(&fixture), (true, false));
    let add = People::AddToGroup { group, user: cleo };
    let gone: Outcome = Err(Refusal::NotFound(Noun::Group));
    assert_eq!(fixture.run(root, Command::People(add)), gone);
}

#[test]
fn lists_have_an_end() {
    let mut fixture = Fixture::new();
    let ann = fixture.ann;
    let item = folder(&mut fixture, ann, None, "plans");
    let target = Target::Item(item);
    let full: Vec<_> = (0..1_000u32)
        .map(|layer| crate::table::acl::Entry {
            id: AceId::from(u128::from(layer)),
            trustee: Trustee::Everyone,
            effect: Effect::Allow,
            permissions: PermissionSet::READ,
            applies_to: AppliesTo::ThisAndChildren,
            layer: u16::try_from(layer).expect("small"),
            membership: None,
        })
        .collect();
    table::put::<Lists>(&mut fixture.tables, &(fixture.tenant, target), &full).expect("memory");
    let more = add(target, Trustee::User(ann), Effect::Allow, Permission::Read);
    assert!(matches!(run(&mut fixture, ann, more), Err(Refusal::Invalid { .. })));
}
