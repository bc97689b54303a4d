//! The size of the store, and whether there is room for more.
//!
//! The size is that of the data file. It does not shrink: what is deleted leaves room inside, which is used again.

use super::Acting;
use crate::service::{ErrorCode, ServiceError};
use crate::store::DATA_FILE;

/// How large the store may become by what is written here.
#[derive(Debug)]
pub(super) struct Limit {
    /// From this size on nothing more is written.
    pub(super) bytes: u64,
    /// Where it is set.
    pub(super) place: String,
}

impl Acting<'_> {
    /// The size of the store, in bytes; 0 for one that an embedder keeps.
    pub(super) fn store_bytes(&self) -> u64 {
        let Some(dir) = &self.dir else { return 0 };
        std::fs::metadata(dir.join(DATA_FILE)).map(|metadata| metadata.len()).unwrap_or_default()
    }

    /// Refuses to write when the store is as large as it may be.
    pub(super) fn check_room(&self) -> Result<(), ServiceError> {
        let bytes = self.store_bytes();
        if bytes < self.limit.bytes {
            return Ok(());
        }
        let message = format!("the store has {bytes} bytes and may have {} (store.bytes_max)", self.limit.bytes);
        Err(ServiceError::new(ErrorCode::StoreFull, message).next(self.raise("cosmicsync doctor")))
    }

    /// How much more the store may grow by what is written here, in bytes.
    pub(super) fn room(&self) -> u64 {
        self.limit.bytes.saturating_sub(self.store_bytes())
    }

    /// What is to be done before a command in a store that is as large as it may be.
    pub(super) fn raise(&self, command: &str) -> String {
        let again = if self.daemon { " and start the node again" } else { "" };
        format!("raise store.bytes_max in {}{again}, then: {command}", self.limit.place)
    }
}
