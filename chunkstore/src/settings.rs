//! The settings of the chunk store.

use node_base::limits::BATCH_BYTES_MAX;
use node_base::{Duration, NodeId};

use crate::drive::index::PACK_MAX;

/// How the store of this node is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The cluster whose drives these are; those of another one are refused.
    pub cluster: u128,
    /// This node and the zone it is in, as its drives appear in the cluster map.
    pub node: NodeId,
    pub zone: String,
    /// A pack file is closed at about this size.
    pub pack_bytes: u64,
    /// What is kept free on each drive, so that deleting and compacting go on when it is full. At
    /// most a fiftieth of the drive is kept.
    pub reserve_bytes: u64,
    /// Plain bytes of chunks being written, and being read, at any time; more have to wait.
    pub in_flight_bytes: u32,
    /// How often scrub and compaction look whether there is something to do.
    pub care_interval: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            cluster: 0,
            node: NodeId(1),
            zone: "default".to_owned(),
            pack_bytes: 1 << 30,
            reserve_bytes: 1 << 30,
            in_flight_bytes: 64 << 20,
            care_interval: Duration::from_secs(60),
        }
    }
}

/// A setting that is out of bounds.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{setting} is from {least} to {most}, not {value}")]
pub struct SettingsError {
    pub setting: &'static str,
    pub least: u64,
    pub most: u64,
    pub value: u64,
}

impl Settings {
    /// Whether all settings are within bounds.
    ///
    /// # Errors
    /// The first that is not.
    pub fn check(&self) -> Result<(), SettingsError> {
        // A batch goes to a pack whole, behind what is in it.
        let pack_most = PACK_MAX - 4 * BATCH_BYTES_MAX as u64;
        let care_ms = u64::try_from(self.care_interval.as_millis()).unwrap_or(u64::MAX);
        let checks = [
            ("pack_bytes", 1 << 16, pack_most, self.pack_bytes),
            ("in_flight_bytes", 16 << 20, 1 << 30, u64::from(self.in_flight_bytes)),
            ("care_interval in milliseconds", 10, 24 * 3600 * 1000, care_ms),
        ];
        for (setting, least, most, value) in checks {
            if !(least..=most).contains(&value) {
                return Err(SettingsError { setting, least, most, value });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Settings, SettingsError};

    #[test]
    fn bounds_are_told() {
        assert_eq!(Settings::default().check(), Ok(()));
        let small = Settings { in_flight_bytes: 5, ..Settings::default() };
        let told = small.check().expect_err("too few");
        assert_eq!(
            told,
            SettingsError { setting: "in_flight_bytes", least: 16 << 20, most: 1 << 30, value: 5 }
        );
        assert_eq!(told.to_string(), "in_flight_bytes is from 16777216 to 1073741824, not 5");
    }
}
