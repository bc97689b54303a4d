//! Queries as requests, and their answers. The planning and evaluation are in `find.rs` and `crate::query`. Specified
//! in `spec/query.md`.

use super::request::Found;
use crate::index::define::Fields;
use crate::query::plan::Plan;
use crate::query::{Field, Selector, Sort, Virtual};
use cosmicsync_protocol::crdt::Value;
use cosmicsync_protocol::ids::{DocId, PartNo};

/// Largest number of documents in a page.
pub const PAGE_MAX: usize = 10_000;
/// Largest number of documents read for one answer that no index helps.
pub const SCANNED_MAX: u64 = 100_000;
/// Largest number of measures of a group.
pub const MEASURES_MAX: usize = 16;
/// Largest total size of the values that a live query holds, in bytes.
pub const LIVE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Largest number of groups in an aggregate.
pub const GROUPS_MAX: usize = 10_000;
/// Largest number of live queries that wait for a change.
pub const RESTING_MAX: usize = 16_384;

/// A query over one collection.
#[derive(Debug, Clone, PartialEq)]
pub struct Query {
    /// The partition of the collection.
    pub partition: PartNo,
    /// The collection's name.
    pub collection: String,
    /// Condition on the documents.
    pub selector: Selector,
    /// Order of the answer; without fields, documents come in the order in which they are read.
    pub sort: Sort,
    /// Largest number of documents. A page has fewer if they are large or more than [`PAGE_MAX`]; its bookmark
    /// continues.
    pub limit: Option<usize>,
    /// Bookmark of the page before, of the same query.
    pub bookmark: Option<String>,
    /// Name of the only index to use.
    pub use_index: Option<String>,
    /// True to compare each document with the schema.
    pub validity: bool,
}

impl Query {
    /// Returns a query for all documents of a collection.
    pub fn all(partition: PartNo, collection: String) -> Self {
        let (selector, sort) = (Selector::All(Vec::new()), Sort::by_id());
        Self { partition, collection, selector, sort, limit: None, bookmark: None, use_index: None, validity: false }
    }
}

impl Query {
    /// Returns true if documents must be compared with the schema.
    pub(super) fn asks_validity(&self) -> bool {
        let sorts = self.sort.fields().iter().any(|(field, _)| *field == Field::Virtual(Virtual::Valid));
        self.validity || sorts || self.selector.asks(Virtual::Valid)
    }
}

impl Want {
    /// Returns true if documents must be compared with the schema.
    pub(super) fn asks_validity(&self) -> bool {
        let is_it = |field: &Field| *field == Field::Virtual(Virtual::Valid);
        match self {
            Self::Groups { by, measures } => {
                by.as_ref().is_some_and(is_it) || measures.iter().any(|measure| is_it(&measure.field))
            }
            Self::Docs | Self::Count | Self::Plan => false,
        }
    }
}

/// The kind of answer to a query.
#[derive(Debug, Clone, PartialEq)]
pub enum Want {
    /// The documents themselves: [`Answer::Matches`](super::request::Answer::Matches).
    Docs,
    /// The number of documents: [`Answer::Count`](super::request::Answer::Count).
    Count,
    /// Aggregates over the documents: [`Answer::Groups`](super::request::Answer::Groups).
    Groups {
        /// The field to group by; `None` puts all documents into one group.
        by: Option<Field>,
        /// The aggregates to compute for each group.
        measures: Vec<Measure>,
    },
    /// The query plan: [`Answer::Plan`](super::request::Answer::Plan).
    Plan,
}

/// An aggregate over a group. Values that are not numbers are used by the minimum and the maximum only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Measure {
    /// The aggregate function.
    pub kind: MeasureKind,
    /// The field to aggregate.
    pub field: Field,
}

/// Aggregate functions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MeasureKind {
    /// Sum of the numbers.
    Sum,
    /// Least value that is not missing, in the order of values.
    Min,
    /// Greatest value that is not missing, in the order of values.
    Max,
    /// Sum of the numbers, divided by their count.
    Average,
}

/// A group of documents.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    /// The common value of the group; `None` if the field is missing, and in a query without a grouping field.
    pub value: Option<Value>,
    /// Number of documents in the group.
    pub count: u64,
    /// The aggregates, in the order of the request; `None` for an aggregate over no values.
    pub measures: Vec<Option<Value>>,
}

/// Documents that match.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Matches {
    /// The documents, in the order of the query.
    pub docs: Vec<Found>,
    /// Bookmark of the next page; `None` on the last page.
    pub bookmark: Option<String>,
    /// The cost of the answer.
    pub cost: Cost,
}

/// Cost of an answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cost {
    /// Number of index rows read.
    pub keys: u64,
    /// Number of documents examined.
    pub docs: u64,
    /// True if every document of the collection was examined, because no index helps.
    pub no_index: bool,
}

/// Number of an open live query.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LiveId(pub u64);

/// A batch of changes in the answer of a live query.
#[derive(Debug, Clone, PartialEq)]
pub struct LiveBatch {
    /// The live query.
    pub id: LiveId,
    /// Number of a change: the client was told all up to it, and may resume behind it.
    pub cursor: u64,
    /// True if the batch replaces the whole answer; the caller discards all earlier batches.
    pub reset: bool,
    /// Events that, applied in this order, turn the previous answer into the present one.
    pub events: Vec<LiveEvent>,
}

/// One change in the answer of a live query.
#[derive(Debug, Clone, PartialEq)]
pub enum LiveEvent {
    /// A document joined the answer.
    Added {
        /// The document.
        found: Found,
        /// The document before it in the answer; `None` if it comes first.
        after: Option<DocId>,
    },
    /// A document changed and kept its place.
    Changed {
        /// The document.
        found: Found,
    },
    /// A sort value of a document changed, so the document may have a new place.
    Moved {
        /// The document.
        found: Found,
        /// The document before it in the answer; `None` if it comes first.
        after: Option<DocId>,
    },
    /// A document left the answer.
    Removed {
        /// The document.
        doc: DocId,
        /// The document's key, if it has one and an earlier batch reported the document.
        key: Option<String>,
    },
}

impl LiveEvent {
    /// Returns the document that it is about.
    pub const fn doc(&self) -> DocId {
        match self {
            Self::Added { found, .. } | Self::Changed { found } | Self::Moved { found, .. } => found.doc,
            Self::Removed { doc, .. } => *doc,
        }
    }
}

/// A change of the indexes of a collection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IndexChange {
    /// Defines an index; changes nothing if the same index exists already.
    Create {
        /// The index's name.
        name: String,
        /// The index's fields.
        fields: Fields,
    },
    /// Drops an index on every device.
    Drop {
        /// The index's name.
        name: String,
    },
    /// Rebuilds an index on this device.
    Rebuild {
        /// The index's name.
        name: String,
    },
}

/// Progress of an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IndexState {
    /// The index is being built.
    Building {
        /// Number of documents that the index includes so far.
        done: u64,
    },
    /// The index includes all documents, and queries use it.
    Ready,
}

/// Description of an index, for display.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexInfo {
    /// The index's name.
    pub name: String,
    /// The paths of its fields.
    pub fields: Vec<String>,
    /// Progress of the index.
    pub state: IndexState,
    /// True if some document has several keys in the index.
    pub lists: bool,
}

/// Result of an index check.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct IndexCheck {
    /// Number of documents compared.
    pub docs: u64,
    /// Number of rows that these documents have in the index.
    pub rows: u64,
    /// Number of rows that the index lacks.
    pub missing: u64,
    /// Number of rows that the index has in excess.
    pub extra: u64,
}

/// Plan of a query, and the documents that indexes do not cover yet.
#[derive(Debug, Clone, PartialEq)]
pub struct Explained {
    /// The query plan.
    pub plan: Plan,
    /// Number of documents of the partition that indexes have not caught up with; a query reads these one by one.
    pub behind: usize,
}

/// Reasons to refuse a query.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// No index serves the sort, and too many documents match to sort them in memory.
    #[error("more than {PAGE_MAX} documents match, and no index sorts them: make an index on {0}, or ask for fewer")]
    SortNeedsIndex(String),
    /// No index helps, and the collection has more than [`SCANNED_MAX`] documents.
    #[error(
        "no index helps, and the collection has more than {SCANNED_MAX} documents: make an index on a field of the selector"
    )]
    ScanLimit,
    /// The text is not a bookmark, or belongs to another query.
    #[error("the bookmark belongs to another query: begin without one")]
    Bookmark,
    /// The collection has no index of this name.
    #[error("the collection has no index {0:?}")]
    NoIndex(String),
    /// An index of this name exists with other fields.
    #[error("the index {0:?} is there already, on other fields: drop it first, or take another name")]
    IndexThere(String),
    /// The index is still being built.
    #[error("the index {0:?} is still being built")]
    IndexBuilding(String),
    /// The live query does not exist, or has ended.
    #[error("there is no such live query: open it again")]
    NotLive,
    /// Too many live queries are open.
    #[error("there are {RESTING_MAX} live queries already: end others first")]
    TooManyLive,
    /// There are too many groups, or they are too large.
    #[error(
        "there are more than {GROUPS_MAX} groups or 32 MiB of them: select fewer documents, or group by another field"
    )]
    TooManyGroups,
    /// A group has more measures than [`MEASURES_MAX`].
    #[error("a group has at most {MEASURES_MAX} measures, not {0}")]
    TooManyMeasures(usize),
    /// The matching documents are too large for a live query to hold.
    #[error("more than {LIVE_BYTES_MAX} bytes match: select fewer documents, or set a limit")]
    LiveTooLarge,
}
