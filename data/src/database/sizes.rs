//! Batch sizes of a database.

/// Largest number of documents that one request opens at a time.
pub(super) const OPENING_MAX: usize = 32;

/// Batch sizes of a database. Smaller sizes need less memory and more steps; no answer depends on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    /// Number of changes that the indexes process per step.
    pub changes: usize,
    /// Number of documents per step of building an index.
    pub built: usize,
    /// Largest number of documents behind the indexes that a query reads one by one; with more, it waits for the
    /// indexes.
    pub behind: usize,
    /// Number of index rows per read.
    pub rows: usize,
    /// Largest number of changed documents that a live query reads one by one; with more, it runs the query again.
    pub followed: usize,
    /// Least number of documents that a live query holds beyond its limit.
    pub slack: usize,
}

impl Default for Sizes {
    fn default() -> Self {
        Self { changes: 1024, built: 512, behind: 256, rows: 512, followed: 256, slack: 16 }
    }
}

impl Sizes {
    /// Returns sizes that are all `size`, at least 1.
    pub const fn all(size: usize) -> Self {
        let size = if size == 0 { 1 } else { size };
        Self { changes: size, built: size, behind: size, rows: size, followed: size, slack: size }
    }
}
