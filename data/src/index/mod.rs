//! Indexes without storage: definitions, keys, and the rows of a document. Specified in `spec/query.md`, section 6.

pub mod define;
pub mod key;
pub mod project;
