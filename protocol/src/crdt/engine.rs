//! The Loro document of a replica, behind a guard.

use super::encode::fresh;
use core::mem::ManuallyDrop;
use loro::LoroDoc;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The Loro document of a replica.
pub(super) enum Engine {
    /// Nothing was written or imported yet, so no Loro document is needed.
    Empty,
    /// The document.
    Loro(LoroDoc),
    /// It panicked, or refused what it had been given.
    Broken,
}

/// The document broke: the engine panicked on what it had imported. Rebuild it from its updates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the document is broken and must be rebuilt from its updates")]
pub struct Broken;

impl Engine {
    /// Runs `work` on the document, which is made for `peer` if there is none. After a panic it leaks the document, whose
    /// state cannot be trusted even to be dropped.
    pub(super) fn run<R>(&mut self, peer: u64, work: impl FnOnce(&LoroDoc) -> R) -> Result<R, Broken> {
        let doc = match core::mem::replace(self, Self::Broken) {
            Self::Empty => fresh(peer),
            Self::Loro(doc) => doc,
            Self::Broken => return Err(Broken),
        };
        let doc = ManuallyDrop::new(doc);
        let result = catch_unwind(AssertUnwindSafe(|| work(&doc)));
        // Dropping a panic's payload may panic again.
        let result = result.map_err(|payload| {
            core::mem::forget(payload);
            Broken
        })?;
        *self = Self::Loro(ManuallyDrop::into_inner(doc));
        Ok(result)
    }
}
