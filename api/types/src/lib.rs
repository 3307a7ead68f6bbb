//! The public contract, by version.
