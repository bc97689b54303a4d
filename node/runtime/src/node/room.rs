//! The size of the store, and its limit.
//!
//! The size is that of the data file, which does not shrink: deleted data leaves free space in the file, which is used
//! again.

use super::Acting;
use crate::service::{ErrorCode, ServiceError};
use crate::store::DATA_FILE;

/// Size limit for writes of this node.
#[derive(Debug)]
pub(super) struct Limit {
    /// Size beyond which nothing is written, in bytes.
    pub(super) bytes: u64,
    /// The place of the setting, for messages.
    pub(super) place: String,
}

impl Acting<'_> {
    /// Returns the size of the store, in bytes; 0 for a store of an embedder.
    pub(super) fn store_bytes(&self) -> u64 {
        let Some(dir) = &self.dir else { return 0 };
        std::fs::metadata(dir.join(DATA_FILE)).map(|metadata| metadata.len()).unwrap_or_default()
    }

    /// Fails if the store has reached its limit.
    pub(super) fn check_room(&self) -> Result<(), ServiceError> {
        let bytes = self.store_bytes();
        if bytes < self.limit.bytes {
            return Ok(());
        }
        let message = format!("the store has {bytes} bytes and may have {} (store.bytes_max)", self.limit.bytes);
        Err(ServiceError::new(ErrorCode::StoreFull, message).next(self.raise("cosmicsync doctor")))
    }

    /// Returns the space up to the limit, in bytes.
    pub(super) fn room(&self) -> u64 {
        self.limit.bytes.saturating_sub(self.store_bytes())
    }

    /// Returns the next step for a command that fails because the store has reached its limit.
    pub(super) fn raise(&self, command: &str) -> String {
        let again = if self.daemon { " and start the node again" } else { "" };
        format!("raise store.bytes_max in {}{again}, then: {command}", self.limit.place)
    }
}
