//! Recovery: a store becomes an endpoint.

use super::Endpoint;
use crate::config::Config;
#[cfg(feature = "testkit")]
use crate::ledger::Image;
use crate::ledger::{self, Loading, RecoverError};
use crate::storage::{StoreDone, StoreRequest};
use crate::time::Now;

/// Reads a store back. Drive it like an endpoint: [`poll_store`](Self::poll_store), then [`step`](Self::step).
///
/// Tables are read one after the other, and rows are taken in as they come, so recovery never holds more than
/// one page of them. An empty store becomes a new device, whose keys are in the first commit of the endpoint.
///
/// ```
/// use cosmicsync_protocol::config::Config;
/// use cosmicsync_protocol::endpoint::Step;
/// use cosmicsync_protocol::ledger::RecoverError;
/// use cosmicsync_protocol::testkit::store::MemStore; // in place of a store of your own
/// use cosmicsync_protocol::time::Now;
/// use cosmicsync_protocol::{Endpoint, Recovery};
///
/// fn recover(store: &mut MemStore, now: Now, seed: [u8; 32]) -> Result<Endpoint, RecoverError> {
///     let mut recovery = Recovery::new(Config::default(), seed);
///     loop {
///         while let Some(request) = recovery.poll_store() {
///             store.submit(request);
///         }
///         let done = store.complete_next().expect("recovery always has a read under way");
///         match recovery.step(now, done)? {
///             Step::More(more) => recovery = more,
///             Step::Ready(endpoint) => return Ok(*endpoint),
///         }
///     }
/// }
///
/// # fn main() -> Result<(), RecoverError> {
/// let (mut store, now) = (MemStore::new(), Now { mono_us: 1, wall_ms: 1_800_000_000_000 });
/// let mut first = recover(&mut store, now, [1; 32])?;
/// while let Some(request) = first.poll_store() {
///     store.submit(request);
/// }
/// store.complete_all();
///
/// // The next start draws another seed. The device stays the same; the process is another one.
/// let second = recover(&mut store, now, [2; 32])?;
/// assert_eq!(first.device(), second.device());
/// assert_ne!(first.process().instance, second.process().instance);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Recovery(Box<Loading>);

/// State of a recovery after a step.
#[derive(Debug)]
pub enum Step {
    /// More is to be read.
    More(Recovery),
    /// The endpoint is ready.
    Ready(Box<Endpoint>),
}

impl Recovery {
    /// Begins a recovery. `seed` is all the randomness that the endpoint will ever have: a fresh one for each
    /// start of a store.
    pub fn new(config: Config, seed: [u8; 32]) -> Self {
        Self(Box::new(Loading::new(config, seed)))
    }

    /// Returns the next request for the store.
    pub fn poll_store(&mut self) -> Option<StoreRequest> {
        self.0.poll_store()
    }

    /// Takes a completion.
    ///
    /// # Errors
    /// Fails if the configuration is not valid, the store failed, or it contains a row that this version cannot read.
    pub fn step(self, now: Now, done: StoreDone) -> Result<Step, RecoverError> {
        Ok(match self.0.step(now, done)? {
            ledger::Step::More(more) => Step::More(Self(more)),
            ledger::Step::Ready(ledger) => Step::Ready(Box::new(Endpoint::start(*ledger, now))),
        })
    }

    /// Resumes the process of which this is a copy.
    #[cfg(feature = "testkit")]
    #[must_use]
    pub fn resume(mut self, image: Image) -> Self {
        self.0.image = Some(image);
        self
    }
}

impl Endpoint {
    /// Copies the secrets that this process holds in memory alone.
    #[cfg(feature = "testkit")]
    pub fn image(&self) -> Image {
        self.ledger.image()
    }
}
