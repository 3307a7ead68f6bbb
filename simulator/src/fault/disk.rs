//! Drives that give trouble for a while and destroy nothing: full, slow, or not readable.

use std::fmt;

use node_base::{Duration, NodeId};
use serde::{Deserialize, Serialize};
use simulator_world::{Chance, DiskFaults};

use super::Span;
use crate::cluster::Cluster;
use crate::options::Options;

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct Disk {
    pub(super) node: NodeId,
    pub(super) drive: u64,
    pub(super) trouble: Trouble,
}

#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) enum Trouble {
    /// No more than this fits, with what is there already.
    Full { bytes: u64 },
    /// Work takes up to so much longer.
    Slow { us: u64 },
    /// So many reads of a thousand fail, of chunks.
    Unreadable { per_mille: u64 },
}

impl fmt::Display for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { node, drive, trouble } = self;
        write!(f, "drive {drive} of node {node} ")?;
        match trouble {
            Trouble::Full { bytes } => write!(f, "holds no more than {bytes} bytes"),
            Trouble::Slow { us } => write!(f, "takes up to {us} µs longer"),
            Trouble::Unreadable { per_mille } => write!(f, "fails {per_mille} ‰ of its reads"),
        }
    }
}

pub(super) fn draw(options: &Options) -> Vec<Span<Disk>> {
    let disk = |chance: &Chance, trouble| Disk {
        node: super::node(options, chance),
        drive: chance.range(0..options.drives),
        trouble,
    };
    let rates = &options.faults;
    let full = Chance::new(options.seed, "full drives");
    let mut spans = super::draw(options, &full, rates.disk_full_ms, 8_000, |chance| {
        disk(chance, Trouble::Full { bytes: chance.range(0..8 << 20) })
    });
    let slow = Chance::new(options.seed, "slow drives");
    spans.extend(super::draw(options, &slow, rates.disk_slow_ms, 15_000, |chance| {
        disk(chance, Trouble::Slow { us: chance.range(5_000..400_000) })
    }));
    let unreadable = Chance::new(options.seed, "unreadable drives");
    spans.extend(super::draw(options, &unreadable, rates.disk_unreadable_ms, 8_000, |chance| {
        disk(chance, Trouble::Unreadable { per_mille: chance.range(1..300) })
    }));
    spans
}

impl Disk {
    pub(super) fn begin(&self, cluster: &Cluster) {
        let change = |faults: &mut DiskFaults| match self.trouble {
            Trouble::Full { bytes } => faults.capacity = Some(bytes),
            Trouble::Slow { us } => faults.slow = Duration::from_micros(us),
            Trouble::Unreadable { per_mille } => faults.read_error = per_mille as f64 / 1_000.0,
        };
        self.on_drive(cluster, change);
    }

    pub(super) fn end(&self, cluster: &Cluster) {
        let change = |faults: &mut DiskFaults| match self.trouble {
            Trouble::Full { .. } => faults.capacity = None,
            Trouble::Slow { .. } => faults.slow = Duration::ZERO,
            Trouble::Unreadable { .. } => faults.read_error = 0.0,
        };
        self.on_drive(cluster, change);
    }

    /// The agreement's own drive must be readable: a node that cannot read its log has failed.
    fn on_drive(&self, cluster: &Cluster, change: impl Fn(&mut DiskFaults)) {
        let only_chunks = matches!(self.trouble, Trouble::Unreadable { .. });
        cluster.change_disk_faults(self.node, self.drive, only_chunks, change);
    }
}
