//! Gets commands agreed, applied in order, and read consistently.
