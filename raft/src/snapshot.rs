pub(crate) struct SnapshotData;
