//! What a run is like: everything that its seed decides before anything happens.
//!
//! Options are drawn from a stream of their own, in the order of their fields. Whoever adds one
//! or draws another way makes every old seed mean another run: that is a new [`VERSION`], and seeds
//! are written with it (`1.42`), so that an old one is answered with a word instead of a surprise.

use std::fmt;
use std::str::FromStr;

use node_base::{Duration, NodeId};
use serde::{Deserialize, Serialize};
use simulator_world::Chance;

/// How options are drawn from a seed.
pub(crate) const VERSION: u32 = 4;

/// The number of a run, with the version of the options that it stands for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Seed(pub(crate) u64);

impl fmt::Display for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{VERSION}.{}", self.0)
    }
}

/// A text that is no seed of this build.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum SeedError {
    #[error("'{0}' is no seed: write a number, or VERSION.NUMBER as a run prints it")]
    Malformed(String),
    #[error(
        "seed {text} is of options in version {theirs}, and this simulator draws version \
         {VERSION}: the number would be another run here; build the commit that printed it"
    )]
    Version { text: String, theirs: u32 },
}

impl FromStr for Seed {
    type Err = SeedError;

    fn from_str(text: &str) -> Result<Self, SeedError> {
        let malformed = || SeedError::Malformed(text.to_owned());
        let (version, number) = text.split_once('.').unzip();
        let seed = number.unwrap_or(text).parse().map(Self).map_err(|_| malformed())?;
        match version.map(str::parse::<u32>) {
            Some(Err(_)) => Err(malformed()),
            Some(Ok(theirs)) if theirs != VERSION => {
                Err(SeedError::Version { text: text.to_owned(), theirs })
            }
            None | Some(Ok(_)) => Ok(seed),
        }
    }
}

/// A run's options.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct Options {
    pub(crate) version: u32,
    pub(crate) seed: u64,
    /// 1 to 7.
    pub(crate) nodes: u64,
    /// Of each node.
    pub(crate) drives: u64,
    pub(crate) members: Members,
    /// How long faults and workload go on, in milliseconds of virtual time.
    pub(crate) length_ms: u64,
    pub(crate) tuning: Tuning,
    pub(crate) network: Network,
    pub(crate) faults: Rates,
    pub(crate) damages: Damages,
    pub(crate) workload: Workload,
}

/// Which nodes come and go.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Members {
    /// So many join while the run lasts, numbered on from the first ones.
    pub(crate) joiners: u64,
    /// One of the first ones goes for good.
    pub(crate) leave: Option<Leave>,
}

/// How a node goes for good.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) enum Leave {
    /// The cluster is told to do without it.
    Removed,
    /// The same once others have all that it holds.
    Drained,
    /// Its machine is lost with all drives, and another joins in its place.
    Replaced,
}

/// Settings of the nodes: small enough that what happens rarely happens in a run.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct Tuning {
    /// The log is purged after so many entries, and keeps so many.
    pub(crate) snapshot_entries: u64,
    pub(crate) kept_entries: u64,
    pub(crate) log_segment_bytes: u64,
    /// The tables are made durable so often.
    pub(crate) durable_every_ms: u64,
    /// A node that is silent for so long is out of the cluster map.
    pub(crate) out_after_ms: u64,
    pub(crate) pack_bytes: u64,
    pub(crate) care_seconds: u64,
    pub(crate) round_ms: u64,
    pub(crate) rows_per_command: u32,
    pub(crate) lease_seconds: u64,
    pub(crate) trash_seconds: u64,
    pub(crate) orphan_seconds: u64,
}

/// The network on a good day.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct Network {
    /// A message between nodes takes up to this long.
    pub(crate) delay_us_max: u64,
    /// A request or an answer between a client and a node takes up to this long.
    pub(crate) client_delay_us_max: u64,
    /// The chance that a client's connection breaks, for each request.
    pub(crate) client_loss: f64,
}

/// How often things break, as mean milliseconds between two faults of a kind in the whole cluster;
/// never where absent.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Rates {
    pub(crate) crash_ms: Option<u64>,
    pub(crate) pause_ms: Option<u64>,
    pub(crate) partition_ms: Option<u64>,
    pub(crate) bad_network_ms: Option<u64>,
    pub(crate) skew_ms: Option<u64>,
    pub(crate) disk_full_ms: Option<u64>,
    pub(crate) disk_slow_ms: Option<u64>,
    pub(crate) disk_unreadable_ms: Option<u64>,
    pub(crate) disk_rot_ms: Option<u64>,
    pub(crate) disk_misdirected_ms: Option<u64>,
    pub(crate) drive_lost_ms: Option<u64>,
    /// A drive cannot tell any more which one it is.
    pub(crate) drive_unnamed_ms: Option<u64>,
    /// A node stops in good order, and comes back as another version.
    pub(crate) upgrade_ms: Option<u64>,
    /// A node may not vote for a while.
    pub(crate) demotion_ms: Option<u64>,
}

/// How much of what keeps bytes may be destroyed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) enum Damages {
    /// No more than an acknowledged write bears.
    Promised,
    /// More: bytes may be lost. That must be said, and no others may be given out.
    Beyond,
}

/// Who does what to the files: so many clients of each kind.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct Workload {
    pub(crate) users: u64,
    pub(crate) shares: u64,
    pub(crate) uploaders: u64,
    pub(crate) syncers: u64,
    pub(crate) movers: u64,
    pub(crate) deleters: u64,
    /// How many kinds of doors are opened and closed: none, membership, and entries of a list too.
    pub(crate) permitters: u64,
    pub(crate) fillers: u64,
    /// Clients that do what no order is looked for in.
    pub(crate) minglers: u64,
    /// Whether somebody looks after users, groups and quotas.
    pub(crate) stewards: u64,
    /// Whether somebody looks after a share: its rules, its members, files by the dozen.
    pub(crate) hosts: u64,
    /// Whether somebody looks at what is their own: devices, favorites, lists.
    pub(crate) visitors: u64,
    /// Whether somebody signs in with a password, on a device.
    pub(crate) signers: u64,
    /// Whether somebody makes backups.
    pub(crate) savers: u64,
    /// A client rests up to this long between two operations.
    pub(crate) pause_ms_max: u64,
    /// The largest file that is uploaded.
    pub(crate) file_bytes_max: u64,
}

impl Options {
    /// What the seed decides.
    pub(crate) fn draw(Seed(seed): Seed) -> Self {
        let chance = Chance::new(seed, "options");
        let nodes = pick(&chance, &[1, 1, 2, 3, 3, 3, 4, 5, 6, 7]);
        Self {
            version: VERSION,
            seed,
            nodes,
            drives: pick(&chance, &[1, 1, 2, 3]),
            members: Members::draw(&Chance::new(seed, "members"), nodes),
            length_ms: chance.range(30_000..90_001),
            tuning: Tuning::draw(&chance),
            network: Network::draw(&chance),
            faults: Rates::draw(&chance),
            damages: pick(&chance, &[Damages::Promised, Damages::Promised, Damages::Beyond]),
            workload: Workload::draw(&chance),
        }
    }

    pub(crate) fn seed(&self) -> Seed {
        Seed(self.seed)
    }

    /// Whether bytes may be lost in this run. No promise about reading them holds then, but that
    /// nobody is given others.
    pub(crate) fn may_lose_bytes(&self) -> bool {
        let rates = &self.faults;
        let any = [
            rates.disk_rot_ms,
            rates.disk_misdirected_ms,
            rates.drive_lost_ms,
            rates.drive_unnamed_ms,
        ];
        self.damages == Damages::Beyond && any.iter().any(Option::is_some)
    }

    /// The number of the node that takes the place of one that was lost.
    pub(crate) fn successor(&self) -> NodeId {
        NodeId(self.nodes + self.members.joiners + 1)
    }

    /// How many nodes there may ever be; their numbers begin with one.
    pub(crate) fn nodes_ever(&self) -> u64 {
        let is_replaced = self.members.leave == Some(Leave::Replaced);
        self.nodes + self.members.joiners + u64::from(is_replaced)
    }

    pub(crate) fn length(&self) -> Duration {
        Duration::from_millis(self.length_ms)
    }
}

fn pick<T: Copy>(chance: &Chance, from: &[T]) -> T {
    from[chance.range(0..from.len() as u64) as usize]
}

/// A rate between these, in three runs of four.
fn rate(chance: &Chance, often_ms: u64, seldom_ms: u64) -> Option<u64> {
    let mean = chance.range(often_ms..seldom_ms);
    chance.happens(0.75).then_some(mean)
}

impl Members {
    fn draw(chance: &Chance, nodes: u64) -> Self {
        let joiners = pick(chance, &[0, 0, 1, 2]);
        let ways = [Leave::Removed, Leave::Replaced, Leave::Drained].map(Some);
        let leave = pick(chance, &[None, None, None, ways[0], ways[1], ways[2]]);
        // With fewer nodes, one that goes takes the agreement or the last copies with it.
        Self { joiners, leave: leave.filter(|_| nodes >= 3) }
    }
}

impl Tuning {
    fn draw(chance: &Chance) -> Self {
        Self {
            snapshot_entries: pick(chance, &[50, 300, 20_000]),
            kept_entries: pick(chance, &[5, 50, 5_000]),
            log_segment_bytes: pick(chance, &[1 << 16, 1 << 20, 64 << 20]),
            durable_every_ms: pick(chance, &[500, 1_000, 3_000]),
            out_after_ms: pick(chance, &[20_000, 600_000]),
            pack_bytes: pick(chance, &[1 << 16, 1 << 20, 16 << 20]),
            care_seconds: pick(chance, &[1, 5, 20]),
            round_ms: pick(chance, &[200, 500, 1_000]),
            rows_per_command: pick(chance, &[3, 50, 1_000]),
            lease_seconds: pick(chance, &[10, 30, 3_600]),
            trash_seconds: pick(chance, &[1, 10]),
            orphan_seconds: pick(chance, &[5, 15]),
        }
    }
}

impl Network {
    fn draw(chance: &Chance) -> Self {
        Self {
            delay_us_max: pick(chance, &[500, 3_000, 20_000]),
            client_delay_us_max: pick(chance, &[1_000, 20_000, 200_000]),
            client_loss: pick(chance, &[0.0, 0.01, 0.05]),
        }
    }
}

impl Rates {
    fn draw(chance: &Chance) -> Self {
        Self {
            crash_ms: rate(chance, 5_000, 40_000),
            pause_ms: rate(chance, 10_000, 60_000),
            partition_ms: rate(chance, 8_000, 60_000),
            bad_network_ms: rate(chance, 10_000, 60_000),
            skew_ms: rate(chance, 10_000, 60_000),
            disk_full_ms: rate(chance, 30_000, 120_000),
            disk_slow_ms: rate(chance, 20_000, 90_000),
            disk_unreadable_ms: rate(chance, 20_000, 90_000),
            disk_rot_ms: rate(chance, 20_000, 90_000),
            disk_misdirected_ms: rate(chance, 30_000, 120_000),
            drive_lost_ms: rate(chance, 60_000, 240_000),
            drive_unnamed_ms: rate(chance, 60_000, 240_000),
            upgrade_ms: rate(chance, 20_000, 90_000),
            demotion_ms: rate(chance, 30_000, 120_000),
        }
    }
}

impl Workload {
    fn draw(chance: &Chance) -> Self {
        Self {
            users: chance.range(2..5),
            shares: chance.range(1..4),
            uploaders: chance.range(1..4),
            syncers: chance.range(1..4),
            movers: chance.range(0..3),
            deleters: chance.range(0..3),
            permitters: chance.range(0..3),
            fillers: chance.range(0..2),
            minglers: chance.range(0..3),
            stewards: u64::from(chance.happens(0.35)),
            hosts: u64::from(chance.happens(0.35)),
            visitors: u64::from(chance.happens(0.35)),
            signers: u64::from(chance.happens(0.1)),
            savers: u64::from(chance.happens(0.1)),
            pause_ms_max: pick(chance, &[800, 2_000, 4_000]),
            file_bytes_max: pick(chance, &[20_000, 300_000, 1_500_000]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Options, Seed, SeedError, VERSION};

    #[test]
    fn a_seed_of_another_version_is_told_so() {
        assert_eq!("42".parse(), Ok(Seed(42)));
        assert_eq!(Seed(42).to_string().parse(), Ok(Seed(42)));
        let other = format!("{}.42", VERSION + 1);
        let error = SeedError::Version { text: other.clone(), theirs: VERSION + 1 };
        assert_eq!(other.parse::<Seed>(), Err(error));
        for text in ["", "x", "1.", ".4", "-3"] {
            assert_eq!(text.parse::<Seed>(), Err(SeedError::Malformed(text.to_owned())));
        }
    }

    #[test]
    fn options_are_data_and_the_seed_decides_them() {
        let options = Options::draw(Seed(7));
        let text = serde_json::to_string(&options).expect("data");
        assert_eq!(serde_json::from_str::<Options>(&text).expect("data"), options);
        assert_ne!(Options { seed: 7, ..Options::draw(Seed(8)) }, options);
    }
}
