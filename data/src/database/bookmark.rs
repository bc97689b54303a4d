//! Bookmarks: opaque text that marks the end of a page, bound to the query and to the order of its answer.

use super::ask::{Query, QueryError};
use crate::json;
use crate::query::plan::IndexPart;

/// First byte of every bookmark.
const VERSION: u8 = 1;
/// Stands for an index's number if the answer is in the order of the query's sort.
const NO_INDEX: u32 = u32::MAX;

/// The end of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Bookmark {
    /// The index that orders the answer, if one does.
    pub(super) index: Option<u32>,
    bound: [u8; 8],
    /// The place of the last document, in the order of the index or of the sort.
    pub(super) place: Vec<u8>,
}

impl Bookmark {
    /// Returns a bookmark for a query, in the order of a part of an index or of the query's sort.
    pub(super) fn new(query: &Query, part: Option<&IndexPart>, place: &[u8]) -> Self {
        Self { index: part.map(|part| part.no), bound: bound(query, part), place: place.to_vec() }
    }

    /// Parses a bookmark.
    pub(super) fn parse(text: &str) -> Result<Self, QueryError> {
        let byte = |pair: &[u8]| u8::from_str_radix(core::str::from_utf8(pair).ok()?, 16).ok();
        let bytes: Option<Vec<u8>> = text.as_bytes().chunks(2).map(byte).collect();
        let bytes = bytes.filter(|_| text.len().is_multiple_of(2)).ok_or(QueryError::Bookmark)?;
        let (version, rest) = bytes.split_first().ok_or(QueryError::Bookmark)?;
        let (index, rest) = rest.split_first_chunk().ok_or(QueryError::Bookmark)?;
        let (bound, place) = rest.split_first_chunk().ok_or(QueryError::Bookmark)?;
        if *version != VERSION {
            return Err(QueryError::Bookmark);
        }
        let index = Some(u32::from_be_bytes(*index)).filter(|no| *no != NO_INDEX);
        Ok(Self { index, bound: *bound, place: place.to_vec() })
    }

    /// Refuses a bookmark of another query, or of an index whose order has changed since.
    pub(super) fn check(&self, query: &Query, part: Option<&IndexPart>) -> Result<(), QueryError> {
        let is_it = self.index == part.map(|part| part.no) && self.bound == bound(query, part);
        if is_it { Ok(()) } else { Err(QueryError::Bookmark) }
    }
}

impl core::fmt::Display for Bookmark {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let index = self.index.unwrap_or(NO_INDEX).to_be_bytes();
        let bytes = [&[VERSION], index.as_slice(), &self.bound, &self.place].concat();
        bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

fn bound(query: &Query, part: Option<&IndexPart>) -> [u8; 8] {
    let mut hasher = blake3::Hasher::new_derive_key("cosmicsync bookmark 1");
    let mut say = |text: &str| {
        hasher.update(&(text.len() as u64).to_be_bytes());
        hasher.update(text.as_bytes());
    };
    say(&query.collection);
    say(&json::to_string(&query.selector.to_value()));
    say(&query.sort.to_string());
    if let Some(part) = part {
        say(&part.fields.to_text());
        say(&format!("{:?} {}", part.lists, part.cut));
    }
    *hasher.finalize().as_bytes().first_chunk().unwrap_or(&[0; 8])
}
