//! Speaks HTTP; turns requests into operations.
