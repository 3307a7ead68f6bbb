//! The evaluator against the text of the rules, read naively; and the cases people ask about.

mod sketch;

use node_base::{AceId, Permission, PermissionSet, Role};
use proptest::prelude::{prop_assert_eq, proptest};

use super::{FolderFilter, Memo, Reason, explain};
use crate::apply::permission::{adopt, reaching};
use crate::table::acl::{AppliesTo, Effect, Entry, Target, Trustee};
use crate::table::item::Child;
use crate::table::people::Principal;
use sketch::{NOW, Node, Sketch, chain, group, share, sketches, tenant, user};

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
