//! The cluster map: which nodes and drives there are, and how chunks are coded.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A node's number in the cluster; never given twice.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
pub struct NodeId(pub u64);

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A drive's identity: 128 random bits, written on the drive when it is first used.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct DriveId(pub u128);

impl fmt::Display for DriveId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for DriveId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The number of a cluster map; each change of the drives makes the next.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
pub struct Epoch(pub u64);

/// A place for shards.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Drive {
    pub id: DriveId,
    pub node: NodeId,
    pub zone: String,
    /// Its share of the data, in GiB of capacity; zero takes no new data.
    pub weight: u32,
}

/// How a chunk is cut into shards: any `data` of the `data + parity` give it back.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Profile {
    pub data: u8,
    pub parity: u8,
}

impl Profile {
    /// How many shards there are in all.
    pub const fn shards(self) -> usize {
        self.data as usize + self.parity as usize
    }

    /// The profile that a cluster with this many failure domains uses by default.
    pub const fn for_domains(domains: usize) -> Self {
        let (data, parity) = match domains {
            0 | 1 => (1, 0),
            2 => (1, 1),
            3 => (2, 1),
            4 => (2, 2),
            5 => (3, 2),
            6..=8 => (4, 2),
            9..=13 => (6, 3),
            _ => (10, 4),
        };
        Self { data, parity }
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}+{}", self.data, self.parity)
    }
}

/// What the cluster agreed about its drives.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct ClusterMap {
    pub epoch: Epoch,
    pub drives: Vec<Drive>,
    /// Overrides the profile that the number of failure domains gives.
    pub profile: Option<Profile>,
}

impl ClusterMap {
    /// How many failure domains hold data: zones when there are several, else nodes, else drives.
    pub fn domains(&self) -> usize {
        fn distinct<K: Ord>(keys: impl Iterator<Item = K>) -> usize {
            keys.collect::<std::collections::BTreeSet<K>>().len()
        }
        let live = || self.drives.iter().filter(|drive| drive.weight > 0);
        let zones = distinct(live().map(|drive| &drive.zone));
        let nodes = distinct(live().map(|drive| drive.node));
        match (zones, nodes) {
            (zones, _) if zones > 1 => zones,
            (_, nodes) if nodes > 1 => nodes,
            _ => live().count(),
        }
    }

    /// The profile new chunks are coded with.
    pub fn profile(&self) -> Profile {
        self.profile.unwrap_or(Profile::for_domains(self.domains()))
    }
}

#[cfg(test)]
mod tests {
    use super::{ClusterMap, Drive, DriveId, NodeId, Profile};

    fn drive(id: u128, node: u64, zone: &str, weight: u32) -> Drive {
        Drive { id: DriveId(id), node: NodeId(node), zone: zone.to_owned(), weight }
    }

    #[test]
    fn domains_are_the_widest_that_there_are_several_of() {
        let mut map = ClusterMap::default();
        assert_eq!(map.profile(), Profile { data: 1, parity: 0 });
        map.drives = vec![drive(1, 1, "a", 1), drive(2, 1, "a", 1), drive(3, 1, "a", 1)];
        assert_eq!((map.domains(), map.profile().to_string()), (3, "2+1".to_owned()));
        map.drives.push(drive(4, 2, "a", 1));
        assert_eq!(map.domains(), 2);
        map.drives.push(drive(5, 3, "b", 0));
        assert_eq!(map.domains(), 2);
    }
}
