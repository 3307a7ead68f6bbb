//! Small worlds of shares, items and lists: what they look like as tables, and what the rules say
//! of them when they are read word for word.

use node_base::{
    AceId, FileId, FolderId, GroupId, Name, NamePolicy, Permission, PermissionSet, Role, ShareId,
    TenantId, Timestamp, UserId, VersionId,
};
use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop_oneof};

use crate::access::{Viewer, sort};
use crate::caller::{Scopes, UserCaller};
use crate::chain::Chain;
use crate::table::acl::{AppliesTo, Effect, Entry, Lists, Membership, Target, Trustee};
use crate::table::item::{Body, Checksum, File, Item, ItemId, ItemState, Items};
use crate::table::people::{
    AdminRole, Principal, ProvisioningSource, User, UserGroups, UserStatus, Users,
};
use crate::table::share::{Member, Members, Share, ShareKind, ShareSettings, Shares};
use crate::table::{self};
use crate::tables::MemoryTables;

pub(super) const NOW: Timestamp = Timestamp::from_millis(1_000_000);

pub(super) fn tenant() -> TenantId {
    TenantId::from(1)
}

pub(super) fn share() -> ShareId {
    ShareId::from(2)
}

pub(super) fn user(n: u8) -> UserId {
    UserId::from(u128::from(n) + 100)
}

pub(super) fn group(n: u8) -> GroupId {
    GroupId::from(u128::from(n) + 200)
}

/// One item of the world: its parent is an earlier one, or the root.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) parent: Option<usize>,
    pub(super) owner: u8,
    pub(super) inherits: bool,
    pub(super) entries: Vec<Entry>,
}

#[derive(Debug, Clone)]
pub(super) struct Sketch {
    pub(super) owner: Principal,
    pub(super) is_public: bool,
    pub(super) members: Vec<(Principal, Role, Option<Timestamp>)>,
    pub(super) groups: Vec<(u8, u8)>,
    pub(super) admins: Vec<u8>,
    pub(super) root: Vec<Entry>,
    pub(super) nodes: Vec<Node>,
}

pub(super) fn folder(at: usize) -> FolderId {
    FolderId::from(at as u128 + 1)
}

impl Sketch {
    pub(super) fn id(&self, at: usize) -> ItemId {
        if at + 1 == self.nodes.len() {
            ItemId::File(FileId::from(at as u128 + 1))
        } else {
            ItemId::Folder(folder(at))
        }
    }

    pub(super) fn item(&self, at: usize) -> Item {
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

    pub(super) fn tables(&self) -> MemoryTables {
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

    pub(super) fn viewer(&self, tables: &MemoryTables, who: u8, scopes: &str) -> Viewer {
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
    pub(super) fn reference(&self, who: u8, at: Option<usize>) -> PermissionSet {
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

pub(super) fn principals() -> impl Strategy<Value = Principal> {
    prop_oneof![
        (0..3u8).prop_map(|n| Principal::User(user(n))),
        (0..2u8).prop_map(|n| Principal::Group(group(n))),
    ]
}

pub(super) fn masks() -> impl Strategy<Value = PermissionSet> {
    (1..64u8).prop_map(|bits| PermissionSet::from_bits(bits).expect("six bits"))
}

pub(super) fn entries() -> impl Strategy<Value = Vec<Entry>> {
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

pub(super) fn sketches() -> impl Strategy<Value = Sketch> {
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

pub(super) fn chain(tables: &MemoryTables, sketch: &Sketch, at: Option<usize>) -> Chain {
    let chain = match at {
        Some(at) => Chain::of(tables, tenant(), sketch.id(at)),
        None => Chain::root(tables, tenant(), share()),
    };
    chain.expect("memory").expect("it is there")
}
