//! Keeps shards on this node's drives and moves them between nodes.
