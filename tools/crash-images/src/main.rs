//! Crash images.
fn main() {}
