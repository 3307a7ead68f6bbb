//! Drives that destroy bytes: bits that rot, writes that land elsewhere, a drive that is gone or
//! cannot tell any more which one it is.
//!
//! Only chunks are damaged, and never on more failure domains at once than an acknowledged write
//! bears; unless the options say [`Damages::Beyond`]. Then bytes may be lost, and what is checked
//! is that nodes say so and never answer with others.

use std::fmt;

use node_base::{NodeId, Profile};
use serde::{Deserialize, Serialize};
use simulator_world::{Chance, DiskFaults};

use super::Span;
use crate::cluster::Cluster;
use crate::options::{Damages, Options};

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct Damage {
    pub(super) node: NodeId,
    pub(super) drive: u64,
    pub(super) kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) enum Kind {
    /// In so many reads of a thousand, a bit has turned, for good.
    Rot { per_mille: u64 },
    /// So many writes of a thousand land elsewhere in their file.
    Misdirected { per_mille: u64 },
    /// All chunks on it are gone.
    Lost,
    /// What names the drive rots, which the next start finds out.
    Unnamed,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { node, drive, kind } = self;
        match kind {
            Kind::Rot { per_mille } => {
                write!(f, "bits turn on drive {drive} of node {node}, at {per_mille} ‰ of reads")
            }
            Kind::Misdirected { per_mille } => {
                write!(f, "{per_mille} ‰ of writes to drive {drive} of node {node} go astray")
            }
            Kind::Lost => write!(f, "drive {drive} of node {node} is gone"),
            Kind::Unnamed => write!(f, "what names drive {drive} of node {node} rots"),
        }
    }
}

/// The drive that may be damaged where only one node, or one drive of a single node, may.
pub(super) fn victim(options: &Options) -> (NodeId, u64) {
    let at = Chance::new(options.seed, "damaged drives").range(0..options.nodes * options.drives);
    (NodeId(1 + at / options.drives), at % options.drives)
}

/// How chunks are kept when the run begins. A failure domain is a node, or a drive of the only one.
pub(super) fn profile(options: &Options) -> Profile {
    let domains = if options.nodes == 1 { options.drives } else { options.nodes };
    Profile::for_domains(usize::try_from(domains).unwrap_or(0))
}

/// The drives that a run may damage.
fn victims(options: &Options) -> Vec<(NodeId, u64)> {
    let drives = |node: u64| (0..options.drives).map(move |drive| (NodeId(node), drive));
    let all: Vec<(NodeId, u64)> = (1..=options.nodes).flat_map(drives).collect();
    let bears = profile(options).parity > 0;
    let victim = victim(options);
    match options.damages {
        Damages::Beyond => all,
        Damages::Promised if !bears => Vec::new(),
        // A write is acknowledged with one shard more than a read needs, so one domain may fail.
        Damages::Promised if options.nodes == 1 => vec![victim],
        Damages::Promised => all.into_iter().filter(|(node, _)| *node == victim.0).collect(),
    }
}

pub(super) fn draw(options: &Options) -> Vec<Span<Damage>> {
    let victims = victims(options);
    if victims.is_empty() {
        return Vec::new();
    }
    let damage = |chance: &Chance, kind| {
        let (node, drive) =
            victims[usize::try_from(chance.range(0..victims.len() as u64)).unwrap_or(0)];
        Damage { node, drive, kind }
    };
    let rates = &options.faults;
    let rot = Chance::new(options.seed, "rot");
    let mut spans = super::draw(options, &rot, rates.disk_rot_ms, 10_000, |chance| {
        damage(chance, Kind::Rot { per_mille: chance.range(1..200) })
    });
    let astray = Chance::new(options.seed, "misdirected writes");
    spans.extend(super::draw(options, &astray, rates.disk_misdirected_ms, 5_000, |chance| {
        damage(chance, Kind::Misdirected { per_mille: chance.range(1..200) })
    }));
    let lost = Chance::new(options.seed, "lost drives");
    spans.extend(super::draw(options, &lost, rates.drive_lost_ms, 5_000, |chance| {
        damage(chance, Kind::Lost)
    }));
    let unnamed = Chance::new(options.seed, "unnamed drives");
    let named = super::draw(options, &unnamed, rates.drive_unnamed_ms, 1, |chance| {
        damage(chance, Kind::Unnamed)
    });
    // A node starts as long as one of its drives can tell.
    spans.extend(named.into_iter().filter(|span| span.fault.drive > 0));
    spans
}

impl Damage {
    /// Where every sixth read meets a bit that has turned.
    pub(super) const fn rot(node: NodeId) -> Self {
        Self { node, drive: 0, kind: Kind::Rot { per_mille: 170 } }
    }

    pub(super) fn begin(&self, cluster: &Cluster) {
        match self.kind {
            Kind::Lost => cluster.lose_drive(self.node, self.drive),
            Kind::Unnamed => cluster.unname_drive(self.node, self.drive),
            Kind::Rot { .. } | Kind::Misdirected { .. } => self.on_drive(cluster, true),
        }
    }

    pub(super) fn end(&self, cluster: &Cluster) {
        match self.kind {
            Kind::Lost => cluster.release(self.node),
            Kind::Unnamed => {}
            Kind::Rot { .. } | Kind::Misdirected { .. } => self.on_drive(cluster, false),
        }
    }

    fn on_drive(&self, cluster: &Cluster, is_there: bool) {
        let chance = |per_mille: u64| if is_there { per_mille as f64 / 1_000.0 } else { 0.0 };
        let change = |faults: &mut DiskFaults| match self.kind {
            Kind::Rot { per_mille } => faults.rot = chance(per_mille),
            Kind::Misdirected { per_mille } => faults.misdirected = chance(per_mille),
            Kind::Lost | Kind::Unnamed => {}
        };
        cluster.change_disk_faults(self.node, self.drive, true, change);
    }
}
