//! Between nodes: partitions, also in one direction, and messages that get lost, come twice, come
//! late and overtake one another.

use std::fmt;

use node_base::{Duration, NodeId};
use serde::{Deserialize, Serialize};
use simulator_world::{Chance, NetFaults};

use super::Span;
use crate::cluster::Cluster;
use crate::options::Options;

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) enum Network {
    /// Nothing passes from one of the first to one of the others.
    Partition {
        from: Vec<NodeId>,
        to: Vec<NodeId>,
        both_ways: bool,
    },
    Bad {
        loss: f64,
        duplicate: f64,
        delay_us_max: u64,
    },
}

/// Nodes as people write them.
struct Few<'a>(&'a [NodeId]);

impl fmt::Display for Few<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<String> = self.0.iter().map(NodeId::to_string).collect();
        f.write_str(&names.join("+"))
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Partition { from, to, both_ways } => {
                let arrow = if *both_ways { "and" } else { "to" };
                write!(f, "nothing passes from {} {arrow} {}", Few(from), Few(to))
            }
            Self::Bad { loss, duplicate, delay_us_max } => write!(
                f,
                "of the messages, {:.0} % are lost and {:.0} % come twice, after up to {} ms",
                loss * 100.0,
                duplicate * 100.0,
                delay_us_max / 1_000
            ),
        }
    }
}

pub(super) fn draw(options: &Options) -> Vec<Span<Network>> {
    if options.nodes == 1 {
        return Vec::new();
    }
    let chance = Chance::new(options.seed, "partitions");
    let partition = |chance: &Chance| {
        let (mut from, mut to) = (Vec::new(), Vec::new());
        for node in (1..=options.nodes).map(NodeId) {
            if chance.happens(0.4) { from.push(node) } else { to.push(node) }
        }
        Network::Partition { from, to, both_ways: chance.happens(0.6) }
    };
    let mut spans = super::draw(options, &chance, options.faults.partition_ms, 10_000, partition);
    let chance = Chance::new(options.seed, "bad networks");
    let bad = |chance: &Chance| Network::Bad {
        loss: chance.range(0..25) as f64 / 100.0,
        duplicate: chance.range(0..20) as f64 / 100.0,
        delay_us_max: chance.range(1_000..150_000),
    };
    spans.extend(super::draw(options, &chance, options.faults.bad_network_ms, 15_000, bad));
    spans
}

impl Network {
    pub(super) fn begin(&self, cluster: &Cluster) {
        match self {
            Self::Partition { from, to, both_ways } => {
                for (from, to) in from.iter().flat_map(|from| to.iter().map(move |to| (*from, *to)))
                {
                    cluster.sim().partition_one_way(from, to);
                    if *both_ways {
                        cluster.sim().partition_one_way(to, from);
                    }
                }
            }
            Self::Bad { loss, duplicate, delay_us_max } => {
                cluster.sim().set_net_faults(NetFaults {
                    delay_max: Duration::from_micros(*delay_us_max),
                    loss: *loss,
                    duplicate: *duplicate,
                    ..cluster.good_network()
                });
            }
        }
    }

    pub(super) fn end(&self, cluster: &Cluster) {
        match self {
            Self::Partition { .. } => cluster.sim().heal(),
            Self::Bad { .. } => cluster.sim().set_net_faults(cluster.good_network()),
        }
    }
}
