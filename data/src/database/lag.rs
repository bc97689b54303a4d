//! The numbered changes that a live query's answer does not include yet.
//!
//! A change gets its number when it is stored, and comes into a document in memory only later: once its entries are
//! read, or once the document is no longer held. A client that resumes at the number of a batch would miss it.

use cosmicsync_protocol::Endpoint;
use cosmicsync_protocol::ids::{DocRef, PartNo};
use std::collections::{BTreeMap, BTreeSet};

/// Documents whose state in the answer is older than their last numbered change, each with the first change that the
/// state may lack.
#[derive(Debug, Default)]
pub(super) struct Lags(BTreeMap<DocRef, u64>);

impl Lags {
    /// Returns the documents in memory that lack something now; their state includes the changes up to `cursor`.
    pub(super) fn of(endpoint: &Endpoint, partition: PartNo, cursor: u64) -> Self {
        Self(endpoint.lagging(partition).into_iter().map(|doc| (doc, cursor + 1)).collect())
    }

    /// Adds other documents.
    pub(super) fn join(&mut self, others: Self) {
        others.0.into_iter().for_each(|(doc, number)| self.note(doc, number));
    }

    /// Records that the state of a document lacks this change.
    pub(super) fn note(&mut self, doc: DocRef, number: u64) {
        let first = self.0.entry(doc).or_insert(number);
        *first = number.min(*first);
    }

    /// Removes the documents that have caught up. `changed` are those that changed after they were read.
    pub(super) fn settle(&mut self, endpoint: &Endpoint, changed: &BTreeSet<DocRef>) {
        self.0.retain(|doc, _| changed.contains(doc) || !endpoint.is_current(*doc));
    }

    /// Returns the number of the last change up to `cursor` such that the answer includes all before it too.
    pub(super) fn cursor(&self, cursor: u64) -> u64 {
        self.0.values().min().map_or(cursor, |first| cursor.min(first.saturating_sub(1)))
    }
}
