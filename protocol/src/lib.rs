//! The sans-IO core of CosmicSync: sync of sealed documents between devices, without a clock, thread, socket or file.
//!
//! [`Endpoint`] is the object that a runtime drives, [`Recovery`] reads a store back and ends as an endpoint, and
//! [`pump()`] is the drive loop. `spec/` contains the specification; `ARCHITECTURE.md` is the map.
#![forbid(unsafe_code)]

#[cfg(all(planted, not(feature = "testkit")))]
compile_error!("planted bugs are for the simulator alone: build with the feature `testkit`");

/// Returns whether the planted bug of this id is on: always `false` without `--cfg planted`.
macro_rules! planted {
    ($id:literal) => {{
        #[cfg(planted)]
        let is_on = $crate::planted::is_on($id);
        #[cfg(not(planted))]
        let is_on = false;
        is_on
    }};
}

pub mod branch;
pub mod config;
pub mod connection;
pub mod crdt;
pub mod documents;
pub mod endpoint;
pub mod entropy;
pub mod identity;
pub mod ids;
pub mod ledger;
pub mod log;
#[cfg(planted)]
pub mod planted;
pub mod pump;
pub mod sealed;
pub mod space;
pub mod storage;
pub mod sync;
#[cfg(feature = "testkit")]
pub mod testkit;
pub mod time;
pub mod wire;

pub use endpoint::Endpoint;
pub use ledger::Recovery;
pub use pump::pump;
