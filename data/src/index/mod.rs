//! Indexes: under which keys a document stands, without any storage.

pub mod define;
pub mod key;
pub mod project;
