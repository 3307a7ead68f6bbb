//! What a share is to those who use it, as one thing that does one step after the other.
//!
//! A step carries what was answered. The model does it if that answer is the right one in the state
//! it is in, and says no otherwise. What a step changed can be taken back, so that a search may try
//! many orders on one model.

use std::collections::BTreeMap;

use node_base::{FileId, VersionId};
use raft_meta::table::item::{ItemId, Parent};

use simulator_order::mix;

/// A name; equal names have equal numbers.
pub(super) type Name = u32;

pub(super) type Version = Option<(VersionId, u32)>;

/// Where something lies and what it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Place {
    pub(super) parent: Parent,
    pub(super) name: Name,
    pub(super) version: Version,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Node {
    place: Place,
    is_trashed: bool,
}

/// Why something was refused, as far as it tells of the share's state.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum No {
    /// Somebody else has the name.
    Taken,
    /// The base is not the current version.
    Stale,
    /// It, or where it was to go, is in the trash.
    Trashed,
    /// It, or where it was to go, is not there.
    Gone,
}

/// What was done, and what came of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Step {
    Create {
        parent: Parent,
        name: Name,
        told: Result<(ItemId, Version), No>,
    },
    Replace {
        file: FileId,
        base: Option<VersionId>,
        told: Result<Version, No>,
    },
    /// An old content becomes the newest version, or is so already.
    Revive {
        file: FileId,
        told: Result<Version, No>,
    },
    /// Without an answer where there was none.
    Relocate {
        item: ItemId,
        to: Option<Parent>,
        name: Option<Name>,
        told: Result<Option<Place>, No>,
    },
    Trash {
        item: ItemId,
        told: Result<(), No>,
    },
    Restore {
        item: ItemId,
        told: Result<Option<Place>, No>,
    },
    Purge {
        item: ItemId,
        told: Result<(), No>,
    },
    Stat {
        item: ItemId,
        told: Result<Place, No>,
    },
    List {
        folder: Parent,
        told: Result<Vec<(Name, ItemId, Version)>, No>,
    },
    /// The version that is current.
    Current {
        file: FileId,
        told: Result<VersionId, No>,
    },
}

/// How to take a change back.
pub(super) enum Undo {
    Node(ItemId, Option<Node0>),
    Slot((Parent, Name), Option<ItemId>),
}

/// A node as it was.
pub(super) struct Node0(Node);

/// A share.
#[derive(Default)]
pub(super) struct Model {
    nodes: BTreeMap<ItemId, Node>,
    slots: BTreeMap<(Parent, Name), ItemId>,
    hash: u64,
}

/// How something stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Standing {
    Live,
    Trashed,
    Gone,
}

fn halves(value: u128) -> u64 {
    mix((value >> 64) as u64) ^ mix(value as u64).rotate_left(17)
}

fn item_hash(item: ItemId) -> u64 {
    match item {
        ItemId::Folder(id) => halves(u128::from_be_bytes(id.to_bytes())),
        ItemId::File(id) => halves(u128::from_be_bytes(id.to_bytes())) ^ 0x5555,
    }
}

fn node_hash(item: ItemId, node: &Node) -> u64 {
    let parent = node.place.parent.map_or(1, |id| item_hash(ItemId::Folder(id)));
    let version = node
        .place
        .version
        .map_or(2, |(id, number)| halves(u128::from_be_bytes(id.to_bytes())) ^ u64::from(number));
    let rest = u64::from(node.place.name) << 1 | u64::from(node.is_trashed);
    mix(mix(mix(item_hash(item)) ^ parent).wrapping_add(version)).wrapping_mul(3) ^ mix(rest + 7)
}

impl simulator_order::Model for Model {
    type Step = Step;
    type Undo = Undo;

    fn hash(&self) -> u64 {
        self.hash
    }

    fn take(&mut self, step: &Step, undo: &mut Vec<Undo>) -> bool {
        match step {
            Step::Create { parent, name, told } => self.create(*parent, *name, *told, undo),
            Step::Replace { file, base, told } => self.replace(*file, *base, *told, undo),
            Step::Revive { file, told } => self.revive(*file, *told, undo),
            Step::Relocate { item, to, name, told } => {
                self.relocate(*item, *to, *name, *told, undo)
            }
            Step::Trash { item, told } => self.trash(*item, *told, undo),
            Step::Restore { item, told } => self.restore(*item, *told, undo),
            Step::Purge { item, told } => self.purge(*item, *told, undo),
            Step::Stat { item, told } => self.looks_at(*item, told.map(Some)),
            Step::Current { file, told } => self.is_current(*file, *told),
            Step::List { folder, told } => self.lists(*folder, told),
        }
    }

    fn take_back(&mut self, undo: &mut Vec<Undo>) {
        while let Some(change) = undo.pop() {
            match change {
                Undo::Node(item, node) => drop(self.swap(item, node.map(|node| node.0))),
                Undo::Slot(slot, Some(item)) => drop(self.slots.insert(slot, item)),
                Undo::Slot(slot, None) => drop(self.slots.remove(&slot)),
            }
        }
    }
}

impl Model {
    fn swap(&mut self, item: ItemId, node: Option<Node>) -> Option<Node> {
        let old = match node {
            Some(node) => {
                self.hash ^= node_hash(item, &node);
                self.nodes.insert(item, node)
            }
            None => self.nodes.remove(&item),
        };
        if let Some(old) = &old {
            self.hash ^= node_hash(item, old);
        }
        old
    }

    fn set(&mut self, item: ItemId, node: Option<Node>, undo: &mut Vec<Undo>) {
        let old = self.swap(item, node);
        undo.push(Undo::Node(item, old.map(Node0)));
    }

    fn hold(&mut self, slot: (Parent, Name), item: Option<ItemId>, undo: &mut Vec<Undo>) {
        let old = match item {
            Some(item) => self.slots.insert(slot, item),
            None => self.slots.remove(&slot),
        };
        undo.push(Undo::Slot(slot, old));
    }

    fn standing(&self, item: ItemId) -> Standing {
        let (mut at, mut standing) = (Some(item), Standing::Live);
        while let Some(item) = at {
            let Some(node) = self.nodes.get(&item) else { return Standing::Gone };
            if node.is_trashed {
                standing = Standing::Trashed;
            }
            at = node.place.parent.map(ItemId::Folder);
        }
        standing
    }

    fn standing_of(&self, parent: Parent) -> Standing {
        parent.map_or(Standing::Live, |folder| self.standing(ItemId::Folder(folder)))
    }

    fn live(&self, item: ItemId) -> Option<Node> {
        let node = self.nodes.get(&item).copied()?;
        (self.standing(item) == Standing::Live).then_some(node)
    }

    /// Whether a refusal for how things stand is right, where one of these is why.
    fn is_why(&self, no: No, standings: &[Standing]) -> bool {
        match no {
            No::Trashed => standings.contains(&Standing::Trashed),
            No::Gone => standings.contains(&Standing::Gone),
            No::Taken | No::Stale => false,
        }
    }

    fn is_taken(&self, slot: (Parent, Name), by_other_than: Option<ItemId>) -> bool {
        self.slots.get(&slot).is_some_and(|holder| Some(*holder) != by_other_than)
    }

    fn create(
        &mut self,
        parent: Parent,
        name: Name,
        told: Result<(ItemId, Version), No>,
        undo: &mut Vec<Undo>,
    ) -> bool {
        let standing = self.standing_of(parent);
        let is_live = standing == Standing::Live;
        match told {
            Ok((item, version)) => {
                let known = self.nodes.contains_key(&item);
                if !is_live || known || self.is_taken((parent, name), None) {
                    return false;
                }
                let place = Place { parent, name, version };
                self.set(item, Some(Node { place, is_trashed: false }), undo);
                self.hold((parent, name), Some(item), undo);
                true
            }
            Err(No::Taken) => is_live && self.is_taken((parent, name), None),
            Err(no) => self.is_why(no, &[standing]),
        }
    }

    fn replace(
        &mut self,
        file: FileId,
        base: Option<VersionId>,
        told: Result<Version, No>,
        undo: &mut Vec<Undo>,
    ) -> bool {
        let item = ItemId::File(file);
        let Some(node) = self.live(item) else {
            return matches!(told, Err(no) if self.is_why(no, &[self.standing(item)]));
        };
        let current = node.place.version.map(|(version, _)| version);
        match told {
            // The file had this very content.
            Ok(version) if version == node.place.version => true,
            Ok(version) if base.is_none() || base == current => {
                self.follow(item, node, version, undo)
            }
            Err(No::Stale) => base.is_some() && base != current,
            Ok(_) | Err(_) => false,
        }
    }

    fn revive(&mut self, file: FileId, told: Result<Version, No>, undo: &mut Vec<Undo>) -> bool {
        let item = ItemId::File(file);
        let Some(node) = self.live(item) else {
            return matches!(told, Err(no) if self.is_why(no, &[self.standing(item)]));
        };
        match told {
            Ok(version) if version == node.place.version => true,
            Ok(version) => self.follow(item, node, version, undo),
            Err(_) => false,
        }
    }

    /// A version behind the current one, and the very next.
    fn follow(&mut self, item: ItemId, node: Node, version: Version, undo: &mut Vec<Undo>) -> bool {
        let number = |version: Version| version.map_or(0, |(_, number)| number);
        if number(version) != number(node.place.version) + 1 {
            return false;
        }
        let place = Place { version, ..node.place };
        self.set(item, Some(Node { place, ..node }), undo);
        true
    }

    fn relocate(
        &mut self,
        item: ItemId,
        to: Option<Parent>,
        name: Option<Name>,
        told: Result<Option<Place>, No>,
        undo: &mut Vec<Undo>,
    ) -> bool {
        let target = to.map_or(Standing::Live, |to| self.standing_of(to));
        let Some(node) = self.live(item).filter(|_| target == Standing::Live) else {
            return matches!(told, Err(no) if self.is_why(no, &[self.standing(item), target]));
        };
        let parent = to.unwrap_or(node.place.parent);
        let place = Place { parent, name: name.unwrap_or(node.place.name), ..node.place };
        let is_taken = self.is_taken((parent, place.name), Some(item));
        match told {
            Err(no) => no == No::Taken && is_taken,
            Ok(told) => {
                if is_taken || self.is_below(parent, item) || told.is_some_and(|told| told != place)
                {
                    return false;
                }
                self.hold((node.place.parent, node.place.name), None, undo);
                self.hold((parent, place.name), Some(item), undo);
                self.set(item, Some(Node { place, ..node }), undo);
                true
            }
        }
    }

    /// Whether a folder is this item or lies below it.
    fn is_below(&self, folder: Parent, item: ItemId) -> bool {
        let mut at = folder;
        while let Some(folder) = at {
            if ItemId::Folder(folder) == item {
                return true;
            }
            at = self.nodes.get(&ItemId::Folder(folder)).and_then(|node| node.place.parent);
        }
        false
    }

    fn trash(&mut self, item: ItemId, told: Result<(), No>, undo: &mut Vec<Undo>) -> bool {
        let Some(node) = self.live(item) else {
            return matches!(told, Err(no) if self.is_why(no, &[self.standing(item)]));
        };
        if told.is_err() {
            return false;
        }
        self.hold((node.place.parent, node.place.name), None, undo);
        self.set(item, Some(Node { is_trashed: true, ..node }), undo);
        true
    }

    fn restore(
        &mut self,
        item: ItemId,
        told: Result<Option<Place>, No>,
        undo: &mut Vec<Undo>,
    ) -> bool {
        let standing = self.standing(item);
        let (Some(node), true) = (self.nodes.get(&item).copied(), standing != Standing::Gone)
        else {
            return told == Err(No::Gone);
        };
        if !node.is_trashed {
            return match told {
                Ok(place) => standing == Standing::Live && place.is_none_or(|p| p == node.place),
                Err(no) => self.is_why(no, &[standing]),
            };
        }
        let Ok(told) = told else { return false };
        let is_home = self.standing_of(node.place.parent) == Standing::Live;
        let parent = if is_home { node.place.parent } else { None };
        let has_own_name = !self.is_taken((parent, node.place.name), None);
        // Nobody has told what it is called now.
        let Some(name) = told.map(|told| told.name).or(has_own_name.then_some(node.place.name))
        else {
            return false;
        };
        let place = Place { parent, name, ..node.place };
        let is_right = (name == node.place.name) == has_own_name
            && !self.is_taken((parent, name), None)
            && told.is_none_or(|told| told == place);
        if is_right {
            self.hold((parent, name), Some(item), undo);
            self.set(item, Some(Node { place, is_trashed: false }), undo);
        }
        is_right
    }

    /// Only what was itself deleted can be deleted for good.
    fn purge(&mut self, item: ItemId, told: Result<(), No>, undo: &mut Vec<Undo>) -> bool {
        let node = self.nodes.get(&item).filter(|node| node.is_trashed);
        let is_there = node.is_some() && self.standing(item) != Standing::Gone;
        match told {
            Ok(()) if is_there => {
                self.set(item, None, undo);
                true
            }
            Ok(()) => false,
            Err(no) => no == No::Gone && !is_there,
        }
    }

    fn looks_at(&self, item: ItemId, told: Result<Option<Place>, No>) -> bool {
        match (self.live(item), told) {
            (Some(node), Ok(told)) => told == Some(node.place),
            (None, Err(no)) => self.is_why(no, &[self.standing(item)]),
            _ => false,
        }
    }

    fn is_current(&self, file: FileId, told: Result<VersionId, No>) -> bool {
        let item = ItemId::File(file);
        match (self.live(item), told) {
            (Some(node), Ok(told)) => {
                node.place.version.is_some_and(|(version, _)| version == told)
            }
            (None, Err(no)) => self.is_why(no, &[self.standing(item)]),
            _ => false,
        }
    }

    fn lists(&self, folder: Parent, told: &Result<Vec<(Name, ItemId, Version)>, No>) -> bool {
        let standing = self.standing_of(folder);
        match told {
            Err(no) => self.is_why(*no, &[standing]),
            Ok(_) if standing != Standing::Live => false,
            Ok(list) => {
                let here = self.slots.range((folder, 0)..=(folder, Name::MAX));
                let version = |item| self.nodes.get(item).and_then(|node| node.place.version);
                let here = here.map(|((_, name), item)| (*name, *item, version(item)));
                here.eq(list.iter().copied())
            }
        }
    }
}
