//! In-memory replacements for a driver's parts, shared by tests, fuzzing and simulation.
//!
//! No part belongs to the product; all of it keeps the core's rules (no clock, no threads, no files).

pub mod cited;
pub mod clones;
pub mod fuzz;
pub mod hostile;
pub mod limits;
pub mod merging;
pub mod notes;
pub mod peer;
pub mod sample;
pub mod store;
pub mod tally;
pub mod world;
