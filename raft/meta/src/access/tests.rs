//! The evaluator against the text of the rules, read naively; and the cases people ask about.

use node_base::{
    AceId, FileId, FolderId, GroupId, Name, NamePolicy, Permission, PermissionSet, Role, ShareId,
    TenantId, Timestamp, UserId, VersionId,
};
use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop_assert_eq, prop_oneof, proptest};

use super::{FolderFilter, Memo, Reason, Viewer, explain, sort};
use crate::apply::permission::{adopt, reaching};
use crate::caller::{Scopes, UserCaller};
use crate::chain::Chain;
use crate::table::acl::{AppliesTo, Effect, Entry, Lists, Membership, Target, Trustee};
use crate::table::item::{Body, Checksum, Child, File, Item, ItemId, ItemState, Items};
use crate::table::people::{
    AdminRole, Principal, ProvisioningSource, User, UserGroups, UserStatus, Users,
};
use crate::table::share::{Member, Members, Share, ShareKind, ShareSettings, Shares};
use crate::table::{self};
use crate::tables::MemoryTables;

const NOW: Timestamp = Timestamp::from_millis(1_000_000);

fn tenant() -> TenantId {
    TenantId::from(1)
}

fn share() -> ShareId {
    ShareId::from(2)
}

fn user(n: u8) -> UserId {
    UserId::from(u128::from(n) + 100)
}

fn group(n: u8) -> GroupId {
    GroupId::from(u128::from(n) + 200)
}

/// One item of the world: its parent is an earlier one, or the root.
#[derive(Debug, Clone)]
struct Node {
    parent: Option<usize>,
    owner: u8,
    inherits: bool,
    entries: Vec<Entry>,
}

#[derive(Debug, Clone)]
struct Sketch {
    owner: Principal,
    is_public: bool,
    members: Vec<(Principal, Role, Option<Timestamp>)>,
    groups: Vec<(u8, u8)>,
    admins: Vec<u8>,
    root: Vec<Entry>,
    nodes: Vec<Node>,
}

fn folder(at: usize) -> FolderId {
    FolderId::from(at as u128 + 1)
}

impl Sketch {
    fn id(&self, at: usize) -> ItemId {
        if at + 1 == self.nodes.len() {
            ItemId::File(FileId::from(at as u128 + 1))
        } else {
            ItemId::Folder(folder(at))
        }
    }

    fn item(&self, at: usize) -> Item {
        let node = &self.nodes[at];
        let name = Name::new(&format!("n{at}"), NamePolicy::Portable).expect("taken");
        let parent = node.parent.map(folder);
        let body = match self.id(at) {
            ItemId::Folder(_) => Body::Folder,
            ItemId::File(_) => Body::File(File {
                mime_type: String::new(),
                version: 1,
                version_id: VersionId::from(1),
                size: 0,
                checksum: Checksum::Unknown,
                client_modified_at: None,
                executable: false,
            }),
        };
        Item {
            share: share(),
            parent,
            name,
            owner: user(node.owner),
            created_by: user(node.owner),
            created_at: NOW,
            modified_by: user(node.owner),
            modified_at: NOW,
            revision: 1,
            state: ItemState::Live,
            has_own_entries: !node.entries.is_empty(),
            inherits: node.inherits,
            body,
        }
    }

    fn tables(&self) -> MemoryTables {
        let mut tables = MemoryTables::default();
        let t = &mut tables;
        let row = Share {
            name: "s".to_owned(),
            description: String::new(),
            kind: ShareKind::Project,
            owner: self.owner,
            is_public: self.is_public,
            trashed: None,
            purging: false,
            settings: ShareSettings::default(),
            created_by: user(0),
            created_at: NOW,
            modified_at: NOW,
            revision: 1,
            incarnation: 1,
        };
        table::put::<Shares>(t, &(tenant(), share()), &row).expect("memory");
        for (principal, role, expires_at) in &self.members {
            let (added_by, added_at) = (user(0), NOW);
            let row = Member { role: *role, expires_at: *expires_at, added_by, added_at };
            table::put::<Members>(t, &(tenant(), share(), *principal), &row).expect("memory");
        }
        for (who, of) in &self.groups {
            table::put::<UserGroups>(t, &(tenant(), user(*who), group(*of)), &()).expect("memory");
        }
        for who in &self.admins {
            let row = User {
                email: String::new(),
                name: String::new(),
                display_name: String::new(),
                avatar_url: None,
                status: UserStatus::Active,
                admin_role: Some(AdminRole::TenantAdmin),
                source: ProvisioningSource::Admin,
                is_service_account: false,
                created_at: NOW,
                last_login_at: None,
                personal_share: None,
                revision: 1,
            };
            table::put::<Users>(t, &(tenant(), user(*who)), &row).expect("memory");
        }
        let mut lists = vec![(Target::Share(share()), &self.root)];
        for at in 0..self.nodes.len() {
            let id = self.id(at);
            table::put::<Items>(t, &(tenant(), id), &self.item(at)).expect("memory");
            lists.push((Target::Item(id), &self.nodes[at].entries));
        }
        for (target, entries) in lists {
            let mut entries = entries.clone();
            sort(&mut entries);
            if !entries.is_empty() {
                table::put::<Lists>(t, &(tenant(), target), &entries).expect("memory");
            }
        }
        tables
    }

    fn viewer(&self, tables: &MemoryTables, who: u8, scopes: &str) -> Viewer {
        let caller = UserCaller {
            tenant: tenant(),
            user: user(who),
            scopes: Scopes::parse(scopes).unwrap_or(Scopes::NONE),
            service_account: None,
            ip: None,
            user_agent: None,
        };
        Viewer::of(tables, NOW, &caller).expect("memory")
    }

    fn is_one_of(&self, who: u8, principal: Principal) -> bool {
        match principal {
            Principal::User(id) => id == user(who),
            Principal::Group(id) => {
                self.groups.iter().any(|(member, of)| *member == who && group(*of) == id)
            }
        }
    }

    /// The last row of a principal counts: rows are written one over the other.
    fn live_roles(&self, who: u8) -> Vec<(Principal, Role)> {
        let mut roles: Vec<(Principal, Role)> = Vec::new();
        for (principal, role, expires_at) in &self.members {
            roles.retain(|(other, _)| other != principal);
            if self.is_one_of(who, *principal) && expires_at.is_none_or(|end| NOW < end) {
                roles.push((*principal, *role));
            }
        }
        roles
    }

    /// The rules of permissions.md, read word for word: make one list, and for each bit find the
    /// first that names it.
    fn reference(&self, who: u8, at: Option<usize>) -> PermissionSet {
        let item_owner = at.map(|at| self.nodes[at].owner);
        let roles = self.live_roles(who);
        // distance, layer, deny (0) before allow (1), mask
        let mut list: Vec<(usize, u16, u8, PermissionSet)> = Vec::new();
        let mut add = |entries: &[Entry], distance: usize| {
            for entry in entries {
                let left_out = match entry.applies_to {
                    AppliesTo::ChildrenOnly => distance == 0,
                    AppliesTo::ThisOnly => distance > 0,
                    AppliesTo::ThisAndChildren => false,
                };
                let mine = match entry.trustee {
                    Trustee::User(id) => id == user(who),
                    Trustee::Group(id) => self.is_one_of(who, Principal::Group(id)),
                    Trustee::Everyone => true,
                    Trustee::CreatorOwner => distance > 0 && item_owner == Some(who),
                };
                let mask = match entry.membership {
                    None => entry.permissions,
                    Some(of) if of.share != share() => PermissionSet::NONE,
                    Some(Membership { principal: Some(principal), .. }) => roles
                        .iter()
                        .find(|(other, _)| *other == principal)
                        .map_or(PermissionSet::NONE, |(_, role)| role.permissions()),
                    Some(Membership { principal: None, .. }) if self.is_public => {
                        PermissionSet::READ
                    }
                    Some(_) => PermissionSet::NONE,
                };
                if mine && !left_out {
                    list.push((distance, entry.layer, entry.effect as u8, mask));
                }
            }
        };
        let (mut at_node, mut distance, mut open) = (at, 0, true);
        while let Some(node) = at_node.filter(|_| open).map(|at| &self.nodes[at]) {
            add(&node.entries, distance);
            distance += 1;
            open = node.inherits;
            at_node = node.parent;
        }
        if open {
            add(&self.root, distance);
            for (_, role) in &roles {
                list.push((distance, 0, 1, role.permissions()));
            }
            if self.is_public {
                list.push((distance, 0, 1, PermissionSet::READ));
            }
        }
        list.sort_by_key(|(distance, layer, effect, _)| (*distance, *layer, *effect));
        let mut mask: PermissionSet = Permission::ALL
            .into_iter()
            .filter(|bit| {
                list.iter().find(|(.., mask)| mask.contains(*bit)).is_some_and(|e| e.2 == 1)
            })
            .collect();
        let owns_share = self.is_one_of(who, self.owner);
        let administers = roles.iter().any(|(_, role)| matches!(role, Role::Admin | Role::Owner));
        if owns_share || administers || (item_owner == Some(who) && !roles.is_empty()) {
            mask = mask | Permission::ManagePermissions.into();
        }
        if self.admins.contains(&who) { PermissionSet::ALL } else { mask }
    }
}

fn principals() -> impl Strategy<Value = Principal> {
    prop_oneof![
        (0..3u8).prop_map(|n| Principal::User(user(n))),
        (0..2u8).prop_map(|n| Principal::Group(group(n))),
    ]
}

fn masks() -> impl Strategy<Value = PermissionSet> {
    (1..64u8).prop_map(|bits| PermissionSet::from_bits(bits).expect("six bits"))
}

fn entries() -> impl Strategy<Value = Vec<Entry>> {
    let trustee = prop_oneof![
        4 => principals().prop_map(Trustee::from),
        1 => Just(Trustee::Everyone),
        1 => Just(Trustee::CreatorOwner),
    ];
    let applies = prop_oneof![
        Just(AppliesTo::ThisAndChildren),
        Just(AppliesTo::ThisOnly),
        Just(AppliesTo::ChildrenOnly),
    ];
    let own = (trustee, any::<bool>(), masks(), applies, 0..3u16).prop_map(
        |(trustee, deny, permissions, applies_to, layer)| Entry {
            id: AceId::from(0),
            trustee,
            effect: if deny { Effect::Deny } else { Effect::Allow },
            permissions,
            applies_to,
            layer,
            membership: None,
        },
    );
    let copied = (proptest::option::of(principals()), any::<bool>(), 1..3u16).prop_map(
        |(principal, elsewhere, layer)| Entry {
            id: AceId::from(0),
            trustee: principal.map_or(Trustee::Everyone, Trustee::from),
            effect: Effect::Allow,
            permissions: PermissionSet::NONE,
            applies_to: AppliesTo::ThisAndChildren,
            layer,
            membership: Some(Membership {
                share: if elsewhere { ShareId::from(9) } else { share() },
                principal,
            }),
        },
    );
    vec(prop_oneof![5 => own, 1 => copied], 0..4)
}

fn sketches() -> impl Strategy<Value = Sketch> {
    let ends = prop_oneof![
        3 => Just(None),
        1 => Just(Some(NOW)),
        1 => Just(Some(Timestamp::from_millis(NOW.millis() + 1))),
    ];
    let members = vec((principals(), 0..3usize, ends), 0..4);
    let nodes = vec((any::<proptest::sample::Index>(), 0..3u8, 0..4u8, entries()), 1..6);
    let groups = vec((0..3u8, 0..2u8), 0..4);
    (principals(), any::<bool>(), members, groups, vec(0..3u8, 0..1), entries(), nodes).prop_map(
        |(owner, is_public, members, groups, admins, root, nodes)| Sketch {
            owner,
            is_public,
            members: members.into_iter().map(|(who, r, end)| (who, Role::ALL[r], end)).collect(),
            groups,
            admins,
            // A root has nothing above it to copy.
            root: root.into_iter().filter(|e| e.layer == 0 && e.membership.is_none()).collect(),
            nodes: nodes
                .into_iter()
                .enumerate()
                .map(|(at, (parent, owner, inherits, entries))| Node {
                    parent: parent.index(at + 1).checked_sub(1),
                    owner,
                    inherits: inherits > 0,
                    entries,
                })
                .collect(),
        },
    )
}

fn chain(tables: &MemoryTables, sketch: &Sketch, at: Option<usize>) -> Chain {
    let chain = match at {
        Some(at) => Chain::of(tables, tenant(), sketch.id(at)),
        None => Chain::root(tables, tenant(), share()),
    };
    chain.expect("memory").expect("it is there")
}

proptest! {
    #[test]
    fn decides_as_the_rules_are_written(sketch in sketches(), who in 0..3u8) {
        let tables = sketch.tables();
        let viewer = sketch.viewer(&tables, who, "*");
        let reader = sketch.viewer(&tables, who, "files:read tenant:admin");
        let nothing = sketch.viewer(&tables, who, "tenant:admin");
        let mut memo = Memo::new(&viewer);
        for at in std::iter::once(None).chain((0..sketch.nodes.len()).map(Some)) {
            let expected = sketch.reference(who, at);
            let chain = chain(&tables, &sketch, at);
            prop_assert_eq!(viewer.mask(&tables, &chain).expect("memory"), expected);
            let capped = reader.mask(&tables, &chain).expect("memory");
            prop_assert_eq!(capped, expected & PermissionSet::READ);
            prop_assert_eq!(nothing.mask(&tables, &chain).expect("memory"), PermissionSet::NONE);
            let explained = explain(&tables, &viewer, &chain).expect("memory");
            let allowed = explained.iter().filter(|e| e.allowed).map(|e| e.permission);
            prop_assert_eq!(allowed.collect::<PermissionSet>(), expected);
            let Some(at) = at else { continue };
            let (id, item) = (sketch.id(at), sketch.item(at));
            let filter = FolderFilter::of(&tables, &viewer, &chain.parent()).expect("memory");
            prop_assert_eq!(filter.mask(&tables, id, &item).expect("memory"), expected);
            let own_permissions = item.has_own_entries || !item.inherits;
            let child = Child { item: id, own_permissions };
            let may_read = filter.may_read(&tables, &child).expect("memory");
            prop_assert_eq!(may_read, expected.contains(Permission::Read));
            prop_assert_eq!(memo.mask(&tables, id).expect("memory"), Some(expected));
        }
    }
}

proptest! {
    #[test]
    fn copying_changes_nobodys_mask(sketch in sketches(), at: proptest::sample::Index) {
        let at = at.index(sketch.nodes.len());
        let tables = sketch.tables();
        let chain = chain(&tables, &sketch, Some(at));
        let mut cut = sketch.clone();
        let node = &mut cut.nodes[at];
        let copies = reaching(&tables, NOW, &chain, tenant()).expect("memory");
        if node.inherits {
            let adopted = adopt(&mut node.entries, copies, || AceId::from(0));
            proptest::prop_assert!(adopted.is_ok());
        }
        node.inherits = false;
        let after = cut.tables();
        for who in 0..3 {
            let (old, new) = (sketch.viewer(&tables, who, "*"), cut.viewer(&after, who, "*"));
            for at in 0..sketch.nodes.len() {
                let mask = old.mask(&tables, &self::chain(&tables, &sketch, Some(at)));
                let copied = new.mask(&after, &self::chain(&after, &cut, Some(at)));
                prop_assert_eq!(mask.expect("memory"), copied.expect("memory"));
            }
        }
    }
}

/// `A user0 RW` and the like: effect, trustee, rights, where it applies.
fn entry(text: &str) -> Entry {
    let mut words = text.split_whitespace();
    let mut word = || words.next().unwrap_or_default();
    let effect = if word() == "D" { Effect::Deny } else { Effect::Allow };
    let trustee = match word() {
        "everyone" => Trustee::Everyone,
        "creator" => Trustee::CreatorOwner,
        who if who.starts_with('g') => Trustee::Group(group(number(who))),
        who => Trustee::User(user(number(who))),
    };
    let permissions = rights(word());
    let applies_to = match word() {
        "this" => AppliesTo::ThisOnly,
        "children" => AppliesTo::ChildrenOnly,
        _ => AppliesTo::ThisAndChildren,
    };
    let layer = word().parse().unwrap_or(0);
    let id = AceId::from(0);
    Entry { id, trustee, effect, permissions, applies_to, layer, membership: None }
}

fn number(text: &str) -> u8 {
    text[1..].parse().expect("a letter and a number")
}

fn rights(text: &str) -> PermissionSet {
    let bit = |c| "RWDCSM".find(c).map(|at| Permission::ALL[at]);
    text.chars().filter_map(bit).collect()
}

fn show(mask: PermissionSet) -> String {
    mask.iter().map(|permission| char::from(b"RWDCSM"[permission as usize])).collect()
}

/// A tree root / folder / file, and what user 1 may do with the file. `lists` are those of root,
/// folder and file; `+` before a list's first entry means that inheritance is off.
fn check(members: &[(&str, Role)], lists: [&[&str]; 3], expected: &str) {
    let parse = |list: &[&str]| -> Vec<Entry> {
        list.iter().filter(|text| **text != "+").map(|text| entry(text)).collect()
    };
    let node = |parent, list: &[&str], owner| Node {
        parent,
        owner,
        inherits: !list.contains(&"+"),
        entries: parse(list),
    };
    let principal = |who: &str| match who.chars().next() {
        Some('g') => Principal::Group(group(number(who))),
        _ => Principal::User(user(number(who))),
    };
    let member = |(who, role): &(&str, Role)| (principal(who), *role, None);
    let sketch = Sketch {
        owner: Principal::User(user(0)),
        is_public: false,
        members: members.iter().map(member).collect(),
        groups: vec![(1, 1), (1, 2)],
        admins: Vec::new(),
        root: parse(lists[0]),
        nodes: vec![node(None, lists[1], 0), node(Some(0), lists[2], 1)],
    };
    let tables = sketch.tables();
    let viewer = sketch.viewer(&tables, 1, "*");
    let mask = viewer.mask(&tables, &chain(&tables, &sketch, Some(1))).expect("memory");
    assert_eq!(show(mask), expected, "{members:?} {lists:?}");
}

#[test]
fn near_beats_far_and_deny_beats_allow_at_one_level() {
    // No entry, no right: not even for the item's owner, who is no member.
    check(&[], [&[], &[], &[]], "");
    check(&[], [&[], &[], &["A u1 R"]], "R");
    check(&[], [&[], &[], &["A u2 R"]], "");
    // Rights add up over entries and groups.
    check(&[], [&[], &[], &["A u1 R", "A g1 W", "A g2 D", "A everyone C"]], "RWDC");
    check(&[], [&[], &[], &["D u1 W", "A g1 RW"]], "R");
    check(&[], [&[], &[], &["A u1 RW", "D g1 W"]], "R");
    check(&[], [&[], &[], &["D g3 RW", "A g1 RW"]], "RW");
    check(&[], [&[], &[], &["D everyone W", "A u1 RW"]], "R");
    // Explicit allow beats inherited deny; parent's beats grandparent's.
    check(&[], [&[], &["D g1 W"], &["A u1 W"]], "W");
    check(&[], [&[], &["A u1 RW"], &["D g1 W"]], "R");
    check(&[], [&[], &["D g1 W", "A u1 RW"], &[]], "R");
    check(&[], [&["D g1 W"], &["A u1 W"], &[]], "W");
    check(&[], [&["A g1 RW"], &["D u1 W"], &[]], "R");
    check(&[], [&["D u1 RW"], &["D g1 W"], &["A u1 R"]], "R");
}

#[test]
fn entries_reach_where_they_say() {
    check(&[], [&[], &["A u1 R this"], &[]], "");
    check(&[], [&[], &["A u1 R children"], &[]], "R");
    check(&[], [&["A u1 R children"], &[], &[]], "R");
    check(&[], [&[], &[], &["A u1 R this"]], "R");
    check(&[], [&[], &[], &["A u1 R children"]], "");
    check(&[], [&[], &["D u1 W children"], &["A u1 RW children", "A u1 R"]], "R");
    // The creator's entry speaks of the item's owner, and only below where it stands.
    check(&[], [&[], &["A creator RW"], &[]], "RW");
    check(&[], [&[], &["A creator RW children"], &[]], "RW");
    check(&[], [&[], &[], &["A creator RW"]], "");
    check(&[], [&["D creator R"], &["A u1 W"], &[]], "W");
}

#[test]
fn layers_stand_as_the_levels_they_were_copied_from() {
    check(&[], [&[], &[], &["+", "D u1 W all 2", "A u1 RW all 1"]], "RW");
    check(&[], [&[], &[], &["+", "A u1 W all 2", "D u1 W all 1", "A u1 R all 2"]], "R");
    check(&[], [&[], &["A u1 W all 0", "D u1 W all 1"], &[]], "W");
}

#[test]
fn roles_are_entries_at_the_root_and_do_not_cap() {
    check(&[("u1", Role::Reader)], [&[], &[], &["D u1 M"]], "RM");
    check(&[("u1", Role::Contributor)], [&[], &["+"], &[]], "M");
    check(&[("g1", Role::Contributor)], [&[], &[], &[]], "RWDCM");
    check(&[("u1", Role::Reader), ("g1", Role::Contributor)], [&[], &[], &[]], "RWDCM");
    // A reader is lifted by an allow below, an owner held by a deny at the root.
    check(&[("u1", Role::Reader)], [&[], &[], &["A u1 W"]], "RWM");
    check(&[("u1", Role::Contributor)], [&["D u1 W"], &[], &[]], "RDCM");
    check(&[("u1", Role::Admin)], [&["D everyone RWDCSM"], &[], &[]], "M");
    check(&[("u1", Role::Admin)], [&[], &["+"], &[]], "M");
}

#[test]
fn each_verdict_names_what_decided_it() {
    let list = |text: &[&str]| text.iter().map(|text| entry(text)).collect::<Vec<Entry>>();
    let sketch = Sketch {
        owner: Principal::User(user(0)),
        is_public: true,
        members: vec![(Principal::Group(group(1)), Role::Contributor, None)],
        groups: vec![(1, 1)],
        admins: vec![2],
        root: list(&["D u1 S"]),
        nodes: vec![Node { parent: None, owner: 1, inherits: true, entries: list(&["A u1 D"]) }],
    };
    let tables = sketch.tables();
    let chain = chain(&tables, &sketch, Some(0));
    let why = |who, scopes| -> Vec<Reason> {
        let viewer = sketch.viewer(&tables, who, scopes);
        explain(&tables, &viewer, &chain).expect("memory").into_iter().map(|e| e.by).collect()
    };
    let member = Reason::Member { principal: Principal::Group(group(1)), role: Role::Contributor };
    let at_root = Reason::Entry { at: Target::Share(share()), entry: entry("D u1 S") };
    let own = Reason::Entry { at: Target::Item(sketch.id(0)), entry: entry("A u1 D") };
    let expected =
        [member.clone(), member.clone(), own, member, at_root.clone(), Reason::ItemOwner];
    assert_eq!(why(1, "*"), expected);
    assert_eq!(why(1, "files:read")[1..5], [Reason::Scope, Reason::Scope, Reason::Scope, at_root]);
    assert_eq!(why(2, "*")[..2], [Reason::Public, Reason::Administrator]);
    assert_eq!(why(0, "*")[4..], [Reason::Nothing, Reason::ShareManager]);
}
