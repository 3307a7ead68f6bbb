//! What breaks, and when: a plan that is drawn before the run begins.
//!
//! Each family of faults draws from a stream of its own, so that a new family, or another rate of
//! one, leaves the others where they were; and since nothing of the run is asked, neither does a
//! change of the product. A plan is data: a failure is shrunk by leaving faults out of it.
//!
//! Crashes, pauses and bad networks may take any number of nodes at once: what was acknowledged was
//! durable. What destroys bytes is bounded by what the options promise, see [`damage`].

mod clock;
mod crash;
mod damage;
mod disk;
mod network;
mod pause;
mod roster;

use std::collections::BTreeSet;
use std::fmt;

use node_base::{Duration, NodeId};
use serde::{Deserialize, Serialize};
use simulator_world::Chance;

use crate::cluster::Cluster;
use crate::options::{Damages, Options};

/// Something that breaks.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) enum Fault {
    Crash(crash::Crash),
    Pause(pause::Pause),
    Network(network::Network),
    Clock(clock::Clock),
    Disk(disk::Disk),
    Damage(damage::Damage),
    Roster(roster::Roster),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Crash(fault) => fault.fmt(f),
            Self::Pause(fault) => fault.fmt(f),
            Self::Network(fault) => fault.fmt(f),
            Self::Clock(fault) => fault.fmt(f),
            Self::Disk(fault) => fault.fmt(f),
            Self::Damage(fault) => fault.fmt(f),
            Self::Roster(fault) => fault.fmt(f),
        }
    }
}

impl Fault {
    fn begin(&self, cluster: &Cluster) {
        match self {
            Self::Crash(fault) => fault.begin(cluster),
            Self::Pause(fault) => fault.begin(cluster),
            Self::Network(fault) => fault.begin(cluster),
            Self::Clock(fault) => fault.begin(cluster),
            Self::Disk(fault) => fault.begin(cluster),
            Self::Damage(fault) => fault.begin(cluster),
            Self::Roster(fault) => fault.begin(cluster),
        }
    }

    fn end(&self, cluster: &Cluster) {
        match self {
            Self::Crash(fault) => fault.end(cluster),
            Self::Pause(fault) => fault.end(cluster),
            Self::Network(fault) => fault.end(cluster),
            Self::Clock(fault) => fault.end(cluster),
            Self::Disk(fault) => fault.end(cluster),
            Self::Damage(fault) => fault.end(cluster),
            Self::Roster(fault) => fault.end(cluster),
        }
    }
}

/// A fault of a plan, and when it is there.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct Planned {
    /// Its place in the plan, by which people leave it out.
    pub(crate) number: usize,
    /// Since the cluster was up.
    pub(crate) at_ms: u64,
    pub(crate) for_ms: u64,
    pub(crate) fault: Fault,
}

impl fmt::Display for Planned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { number, at_ms, for_ms, fault } = self;
        let seconds = |ms: u64| Duration::from_millis(ms).as_secs_f64();
        write!(f, "#{number} at {:.3} s for {:.3} s: {fault}", seconds(*at_ms), seconds(*for_ms))
    }
}

/// All that breaks in a run, in order of time.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Plan(pub(crate) Vec<Planned>);

/// When a fault is there, before it has a number.
struct Span<F> {
    at_ms: u64,
    for_ms: u64,
    fault: F,
}

impl Plan {
    /// What the seed of the options decides.
    pub(crate) fn draw(options: &Options) -> Self {
        let mut spans = Vec::new();
        spans.extend(crash::draw(options).into_iter().map(|span| span.map(Fault::Crash)));
        spans.extend(pause::draw(options).into_iter().map(|span| span.map(Fault::Pause)));
        spans.extend(network::draw(options).into_iter().map(|span| span.map(Fault::Network)));
        spans.extend(clock::draw(options).into_iter().map(|span| span.map(Fault::Clock)));
        spans.extend(disk::draw(options).into_iter().map(|span| span.map(Fault::Disk)));
        spans.extend(damage::draw(options).into_iter().map(|span| span.map(Fault::Damage)));
        spans.extend(roster::draw(options).into_iter().map(|span| span.map(Fault::Roster)));
        bear(options, &mut spans);
        spans.sort_by_key(|span| span.at_ms);
        let number = |(number, span): (usize, Span<Fault>)| Planned {
            number,
            at_ms: span.at_ms,
            for_ms: span.for_ms,
            fault: span.fault,
        };
        Self(spans.into_iter().enumerate().map(number).collect())
    }

    /// This plan with some of its faults alone.
    pub(crate) fn only(mut self, kept: &BTreeSet<usize>) -> Self {
        self.0.retain(|planned| kept.contains(&planned.number));
        self
    }

    /// Has everything happen in its time, until the last fault has ended or somebody stops waiting.
    pub(crate) async fn happen(&self, cluster: &Cluster) {
        let start = cluster.now();
        let mut steps: Vec<(u64, bool, &Planned)> = Vec::new();
        for planned in &self.0 {
            steps.push((planned.at_ms, true, planned));
            steps.push((planned.at_ms + planned.for_ms, false, planned));
        }
        steps.sort_by_key(|(at, begins, planned)| (*at, *begins, planned.number));
        for (at, begins, planned) in steps {
            let due = start + Duration::from_millis(at);
            cluster.sleep(due.saturating_sub(cluster.now())).await;
            if begins {
                cluster.note(format_args!("fault {} begins: {}", planned.number, planned.fault));
                planned.fault.begin(cluster);
            } else {
                cluster.note(format_args!("fault {} ends", planned.number));
                planned.fault.end(cluster);
            }
        }
    }

    /// Ends everything that may still be there.
    pub(crate) fn heal(&self, cluster: &Cluster) {
        self.0.iter().for_each(|planned| planned.fault.end(cluster));
    }
}

/// Leaves out what a write does not bear together. One is acknowledged on one place more than
/// reading it needs; or on all that can be reached, where one is out of reach. Where a profile has
/// one parity shard that is no place more. So there a run has either what destroys bytes, or what
/// puts other places than that out of reach.
fn bear(options: &Options, spans: &mut Vec<Span<Fault>>) {
    if options.damages == Damages::Beyond || damage::profile(options).parity != 1 {
        return;
    }
    let destroys = Chance::new(options.seed, "one or the other").happens(0.5);
    spans.retain(|span| match destroys {
        true => !span.fault.cuts_off(options),
        false => !span.fault.destroys(),
    });
}

impl Fault {
    /// Whether bytes may be gone.
    fn destroys(&self) -> bool {
        match self {
            Self::Damage(_) => true,
            Self::Roster(fault) => fault.is_for_good(),
            Self::Crash(_) | Self::Pause(_) | Self::Network(_) | Self::Clock(_) | Self::Disk(_) => {
                false
            }
        }
    }

    /// Whether other places than those whose bytes may be gone may be out of reach.
    fn cuts_off(&self, options: &Options) -> bool {
        let (victim, drive) = damage::victim(options);
        let is_other = |node: NodeId| options.nodes > 1 && node != victim;
        match self {
            Self::Crash(fault) => is_other(fault.node),
            Self::Pause(fault) => is_other(fault.node),
            Self::Network(_) => options.nodes > 1,
            Self::Disk(fault) if options.nodes == 1 => fault.drive != drive,
            Self::Disk(fault) => is_other(fault.node),
            Self::Roster(fault) => fault.pauses().is_some_and(is_other),
            Self::Clock(_) | Self::Damage(_) => false,
        }
    }
}

impl Planned {
    /// A crash for a story: of this node, at this moment, for so long.
    pub(crate) fn crash(number: usize, node: NodeId, at_ms: u64, for_ms: u64) -> Self {
        Self { number, at_ms, for_ms, fault: Fault::Crash(crash::Crash::of(node)) }
    }

    /// Bits that turn on a node's first drive, for a story.
    pub(crate) fn rot(number: usize, node: NodeId, at_ms: u64, for_ms: u64) -> Self {
        Self { number, at_ms, for_ms, fault: Fault::Damage(damage::Damage::rot(node)) }
    }

    /// A node that may not vote, for a story.
    pub(crate) fn demotion(number: usize, node: NodeId, at_ms: u64, for_ms: u64) -> Self {
        Self { number, at_ms, for_ms, fault: Fault::Roster(roster::Roster::Demote { node }) }
    }

    /// A node that is removed, for a story.
    pub(crate) fn removal(number: usize, node: NodeId, at_ms: u64) -> Self {
        Self { number, at_ms, for_ms: 1, fault: Fault::Roster(roster::Roster::Remove { node }) }
    }
}

impl<F> Span<F> {
    fn map<T>(self, wrap: impl FnOnce(F) -> T) -> Span<T> {
        Span { at_ms: self.at_ms, for_ms: self.for_ms, fault: wrap(self.fault) }
    }
}

/// Faults of one kind: about every `mean_ms`, each for up to `longest_ms`.
fn draw<F>(
    options: &Options,
    chance: &Chance,
    mean_ms: Option<u64>,
    longest_ms: u64,
    fault: impl Fn(&Chance) -> F,
) -> Vec<Span<F>> {
    let Some(mean_ms) = mean_ms else { return Vec::new() };
    let mut spans = Vec::new();
    let mut at_ms = chance.range(0..mean_ms * 2);
    while at_ms < options.length_ms {
        let for_ms = chance.range(1..longest_ms + 1);
        spans.push(Span { at_ms, for_ms, fault: fault(chance) });
        at_ms += 1 + chance.range(0..mean_ms * 2);
    }
    spans
}

/// Any node that may be there.
fn node(options: &Options, chance: &Chance) -> NodeId {
    NodeId(chance.range(1..options.nodes + options.members.joiners + 1))
}

#[cfg(test)]
mod tests {
    use super::{Fault, Plan};
    use crate::options::{Options, Seed};

    #[test]
    fn a_family_does_not_move_the_others() {
        let options = Options::draw(Seed(5));
        let mut quiet = options.clone();
        quiet.faults.pause_ms = None;
        quiet.faults.disk_slow_ms = Some(1_000);
        let crashes = |options: &Options| {
            let plan = Plan::draw(options).0.into_iter();
            let crashes = plan.filter(|planned| matches!(planned.fault, Fault::Crash(_)));
            crashes.map(|planned| (planned.at_ms, planned.fault)).collect::<Vec<_>>()
        };
        assert_eq!(crashes(&options), crashes(&quiet));
    }

    #[test]
    fn a_plan_is_data_and_in_order() {
        for seed in 0..50 {
            let plan = Plan::draw(&Options::draw(Seed(seed)));
            assert!(plan.0.is_sorted_by_key(|planned| planned.at_ms));
            let text = serde_json::to_string(&plan).expect("data");
            assert_eq!(serde_json::from_str::<Plan>(&text).expect("data"), plan);
        }
    }
}
