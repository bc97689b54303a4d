//! cosmicsync-data.
