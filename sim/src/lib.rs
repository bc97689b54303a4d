//! The deterministic world around the shipped core: network, clock, disks, faults, oracles and traces.
//!
//! [`run()`] drives the [`Endpoint`](cosmicsync_protocol::Endpoint)s of a [`Plan`] in virtual time, from one heap
//! of events, and reports the oracles' findings. [`generate()`] makes a plan from a seed. The same plan gives the
//! same run, bit for bit, in any process. It never reads a clock, draws no randomness but the plan's, and simulates
//! no part of the protocol itself (`spec/invariants.md`).
//!
//! [`App`] runs the documents, users and rules of an app under the same faults
//! (`docs/guides/simulate-your-app.md`).

pub mod app;
pub mod coverage;
mod generate;
mod oracle;
pub mod plan;
mod random;
pub mod report;
mod run;
pub mod scenario;
pub mod shrink;
mod trace;
mod world;

pub use app::App;
pub use generate::{Copies, Profile, generate};
pub use plan::{Plan, PlanError};
pub use report::{OracleId, Report, Violation};
pub use run::{run, run_traced};
