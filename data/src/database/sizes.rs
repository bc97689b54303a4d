//! How much a database takes in at a time.

/// How much a database takes in at a time. Less needs less memory and more steps; no answer depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    /// Changes that indexes take in.
    pub changes: usize,
    /// Documents that an index takes in while it is built.
    pub built: usize,
    /// Documents that are read one by one because indexes are behind for them; more of them are waited for.
    pub behind: usize,
    /// Rows of an index that are read.
    pub rows: usize,
    /// Changed documents that a live query looks at one by one; where more changed, it is answered again.
    pub followed: usize,
    /// Documents that a live query holds beyond its limit, at least.
    pub slack: usize,
}

impl Default for Sizes {
    fn default() -> Self {
        Self { changes: 1024, built: 512, behind: 256, rows: 512, followed: 256, slack: 16 }
    }
}

impl Sizes {
    /// So much of everything, at least 1.
    pub const fn all(size: usize) -> Self {
        let size = if size == 0 { 1 } else { size };
        Self { changes: size, built: size, behind: size, rows: size, followed: size, slack: size }
    }
}
