//! In-memory stand-ins for what a driver provides, shared by tests, fuzzing and simulation.
//!
//! Nothing here is part of the product; all of it keeps the core's rules (no clock, no threads, no files).

pub mod cited;
pub mod clones;
pub mod fuzz;
pub mod hostile;
pub mod merging;
pub mod notes;
pub mod peer;
pub mod sample;
pub mod store;
pub mod tally;
pub mod world;
