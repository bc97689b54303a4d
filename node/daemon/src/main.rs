//! The `cosmicsync` binary.

fn main() {}
