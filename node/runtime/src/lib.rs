//! cosmicsync-node.
