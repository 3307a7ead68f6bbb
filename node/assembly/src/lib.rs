//! Builds one node from Settings and a World.
