//! The executor of the driver's tasks: tokio's local tasks.
//!
//! Under `--cfg madsim` it is a scheduler that draws the order of tasks from a seed (`cargo xtask sim madsim`). All
//! tasks of the driver are made here; nothing else of it depends on the executor.

#[cfg(madsim)]
pub use madsim::{
    task::{JoinHandle, spawn_local},
    time::sleep,
};
#[cfg(not(madsim))]
pub use tokio::{
    task::{JoinHandle, spawn_local},
    time::sleep,
};
